//! From corner frequencies to sections. Pure arithmetic, tested against SciPy (`tests/golden.rs`): the filters are
//! those of `scipy.signal.butter` and `scipy.signal.iirnotch`, so that a recording filtered offline agrees.

use std::f64::consts::{PI, TAU};

use biquad::Type;

use super::StageError;
use super::filter::Section;

/// The highest order of a Butterworth filter: as far as the golden files reach.
pub const ORDER_MAX: u32 = 8;

/// A Butterworth low-pass: -3 dB at `corner_hz`, flat below, falling by `order` times 6 dB an octave above.
///
/// # Errors
/// When there is no such filter: `corner_hz` is not between 0 and half of `rate_hz`.
pub fn low_pass(order: u32, corner_hz: f64, rate_hz: f64) -> Result<Vec<Section>, StageError> {
    let t = (PI * corner_hz / rate_hz).tan();
    let real_pole = Section { b0: t / (1.0 + t), b1: t / (1.0 + t), b2: 0.0, a1: (t - 1.0) / (t + 1.0), a2: 0.0 };
    butterworth(Type::LowPass, real_pole, order, corner_hz, rate_hz)
}

/// A Butterworth high-pass, the mirror image of [`low_pass`].
///
/// # Errors
/// As [`low_pass`].
pub fn high_pass(order: u32, corner_hz: f64, rate_hz: f64) -> Result<Vec<Section>, StageError> {
    let t = (PI * corner_hz / rate_hz).tan();
    let real_pole = Section { b0: 1.0 / (1.0 + t), b1: -1.0 / (1.0 + t), b2: 0.0, a1: (t - 1.0) / (t + 1.0), a2: 0.0 };
    butterworth(Type::HighPass, real_pole, order, corner_hz, rate_hz)
}

/// A Butterworth filter has its poles evenly on a half circle: one section for each pair, which differ in Q only,
/// and for an odd order one real pole.
fn butterworth(
    kind: Type<f64>,
    real_pole: Section,
    order: u32,
    corner_hz: f64,
    rate_hz: f64,
) -> Result<Vec<Section>, StageError> {
    let mut sections = Vec::new();
    for angle in pole_pairs(order) {
        sections.push(section(kind, corner_hz, 1.0 / (2.0 * angle.sin()), rate_hz)?);
    }
    if order % 2 == 1 {
        sections.push(real_pole);
    }
    Ok(sections)
}

/// A Butterworth band-pass: -3 dB at both `low_hz` and `high_hz`, 1 at their geometric mean (of the frequencies as
/// the bilinear transform bends them), `order` times 6 dB an octave on either side.
///
/// Each pole pair of the low-pass prototype becomes two sections of equal Q on either side of the centre. The closed
/// form is Geffe's: P. R. Geffe, "Designers' guide to active bandpass filters", EDN, 1974.
///
/// # Errors
/// When there is no such filter: not `0 < low_hz < high_hz < rate_hz / 2`.
pub fn band_pass(order: u32, low_hz: f64, high_hz: f64, rate_hz: f64) -> Result<Vec<Section>, StageError> {
    // Analog frequencies, in units in which the bilinear transform is w = tan(pi f / rate).
    let (low, high) = ((PI * low_hz / rate_hz).tan(), (PI * high_hz / rate_hz).tan());
    let centre = (low * high).sqrt();
    let q_band = centre / (high - low);
    let to_hz = |w: f64| w.atan() * rate_hz / PI;

    let mut sections = Vec::new();
    for angle in pole_pairs(order) {
        let damping = angle.sin();
        let d = 2.0 * damping / q_band;
        let e = 1.0 / (q_band * q_band) + 4.0;
        let g = (e * e - 4.0 * d * d).sqrt();
        let q = ((e + g) / (2.0 * d * d)).sqrt();
        let m = damping * q / q_band;
        let apart = m + (m * m - 1.0).max(0.0).sqrt();
        // Either section is 1 at its own peak; this makes it 1 at the centre of the band.
        let gain = (1.0 + (q * (apart - 1.0 / apart)).powi(2)).sqrt();
        sections.push(band_section(to_hz(centre / apart), q, gain, rate_hz)?);
        sections.push(band_section(to_hz(centre * apart), q, gain, rate_hz)?);
    }
    if order % 2 == 1 {
        sections.push(band_section(to_hz(centre), q_band, 1.0, rate_hz)?);
    }
    Ok(sections)
}

/// A notch: 0 at `freq_hz`, -3 dB at the edges of a band of `freq_hz / q` around it, 1 far from it.
///
/// # Errors
/// When there is no such filter: `freq_hz` is not between 0 and half of `rate_hz`.
pub fn notch(freq_hz: f64, q: f64, rate_hz: f64) -> Result<Section, StageError> {
    // The crate's Q is that of an analog notch before the bilinear transform bends its band; ours, like SciPy's, is
    // centre over width as one measures them.
    let half_width = PI * freq_hz / q / rate_hz;
    section(Type::Notch, freq_hz, (TAU * freq_hz / rate_hz).sin() / (2.0 * half_width.tan()), rate_hz)
}

/// The angles of a Butterworth prototype's complex pole pairs, from the imaginary axis.
fn pole_pairs(order: u32) -> impl Iterator<Item = f64> {
    (0..order / 2).map(move |k| PI * f64::from(2 * k + 1) / f64::from(2 * order))
}

/// A band-pass section whose peak, at `peak_hz`, is `gain`; the crate's has a peak of `q`.
fn band_section(peak_hz: f64, q: f64, gain: f64, rate_hz: f64) -> Result<Section, StageError> {
    let s = section(Type::BandPass, peak_hz, q, rate_hz)?;
    Ok(Section { b0: s.b0 * gain / q, b1: s.b1 * gain / q, b2: s.b2 * gain / q, ..s })
}

fn section(kind: Type<f64>, hz: f64, q: f64, rate_hz: f64) -> Result<Section, StageError> {
    let section = Section::from_normalized_params(kind, 2.0 * hz / rate_hz, q);
    section.map_err(|_| StageError::new(format!("no filter works at {hz} Hz with q = {q} where the rate is {rate_hz}")))
}
