//! What the electrodes see, in microvolts at the instant of each conversion. The filter's group delay is left out: a
//! signal is what the converter should say of it.

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use super::noise::Noise;
use crate::source::synthetic::Generator;

/// The analogue input of every channel whose MUX is at its electrode. Channels are counted through all chips.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Not a voltage but a code that anyone can check: [`crate::source::synthetic::counter_code`] of the conversion's
    /// index and the channel. Takes no notice of gain, noise and electrodes; full scale while the reference settles.
    Counter,
    /// Nothing: 0 V.
    Still,
    /// The same sine everywhere, less what the digital filter takes of it.
    Sine {
        /// Its frequency.
        freq_hz: f64,
        /// Its amplitude.
        amplitude_uv: f64,
    },
    /// White noise, evenly spread up to this amplitude, different everywhere.
    Noise {
        /// Its amplitude.
        amplitude_uv: f64,
    },
    /// What the synthetic source calls an EEG.
    Eeg,
    /// A recording, over and over.
    Recording(Arc<Recording>),
}

/// A recording as analogue input: between its samples lie straight lines.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Samples a second.
    pub rate_hz: f64,
    /// The samples of each channel, in microvolts; channels that it lacks see 0 V.
    pub channels: Vec<Vec<f32>>,
}

impl Recording {
    /// The voltage of conversion `index` at `rate_hz`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the whole part is the sample's index")]
    fn microvolts(&self, channel: usize, index: u64, rate_hz: f64) -> f64 {
        let samples = self.channels.get(channel).map_or(&[][..], Vec::as_slice);
        if samples.is_empty() {
            return 0.0;
        }
        let position = (index as f64 * self.rate_hz / rate_hz).rem_euclid(samples.len() as f64);
        let (i, part) = (position as usize % samples.len(), position.fract());
        let (this, next) = (f64::from(samples[i]), f64::from(samples[(i + 1) % samples.len()]));
        this + (next - this) * part
    }
}

/// Codes of the synthetic generator per microvolt: finer than the chip's own, and room for +-84 mV.
const CODES_PER_UV: f64 = 100.0;

/// The signal at work: one frame of all channels at a time.
#[derive(Debug)]
pub(super) struct Input {
    signal: Signal,
    noise: Noise,
    /// The EEG at each of the chips' rates: made before anything runs.
    eeg: Vec<Generator>,
    codes: Vec<i32>,
    uv: Vec<f64>,
    /// The conversion and the rate that `uv` belongs to.
    of: Option<(u64, u8)>,
}

impl Input {
    pub(super) fn new(signal: &Signal, n_channels: usize, seed: u64) -> Input {
        let eeg = |dr: u8| Generator::eeg(n_channels, rate_hz(dr), CODES_PER_UV);
        Input {
            signal: signal.clone(),
            noise: Noise::new(seed ^ 0x519A),
            eeg: if matches!(signal, Signal::Eeg) { (0..7).map(eeg).collect() } else { Vec::new() },
            codes: vec![0; n_channels],
            uv: vec![0.0; n_channels],
            of: None,
        }
    }

    /// The voltages of all channels at conversion `index`, at the data rate `dr` of CONFIG1.
    ///
    /// Fast because chips in step share one frame, and the counter needs none.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn microvolts(&mut self, index: u64, dr: u8) -> &[f64] {
        let constant = matches!(self.signal, Signal::Counter | Signal::Still);
        if !constant && self.of != Some((index, dr)) {
            self.of = Some((index, dr));
            self.compute(index, dr.min(6));
        }
        &self.uv
    }

    fn compute(&mut self, index: u64, dr: u8) {
        let rate_hz = rate_hz(dr);
        match &self.signal {
            Signal::Counter | Signal::Still => {}
            Signal::Sine { freq_hz, amplitude_uv } => {
                let phase = (index as f64 * freq_hz / rate_hz).fract();
                self.uv.fill((TAU * phase).sin() * amplitude_uv * droop(freq_hz / rate_hz));
            }
            Signal::Noise { amplitude_uv } => {
                for uv in &mut self.uv {
                    *uv = (2.0 * self.noise.fraction() - 1.0) * amplitude_uv;
                }
            }
            Signal::Eeg => {
                let n_channels = self.uv.len();
                self.eeg[usize::from(dr)].fill(index, n_channels, &mut self.codes);
                for (uv, code) in self.uv.iter_mut().zip(&self.codes) {
                    *uv = f64::from(*code) / CODES_PER_UV;
                }
            }
            Signal::Recording(recording) => {
                for (channel, uv) in self.uv.iter_mut().enumerate() {
                    *uv = recording.microvolts(channel, index, rate_hz);
                }
            }
        }
    }
}

/// The nominal rate of a value of CONFIG1.DR.
fn rate_hz(dr: u8) -> f64 {
    16_000.0 / f64::from(1_u32 << dr.min(6))
}

/// What the sinc3 filter leaves of a frequency, given as a part of the data rate (SBAS499C, "Digital Decimation
/// Filter").
fn droop(part: f64) -> f64 {
    let x = PI * part;
    if x.abs() < 1e-9 { 1.0 } else { (x.sin() / x).powi(3) }
}
