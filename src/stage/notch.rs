//! Removes the mains hum: one frequency and, where asked, its multiples.

use super::prelude::*;

/// The row of `notch`.
pub(super) const KIND: Kind = Kind {
    name: "notch",
    summary: "removes one frequency, such as the mains, and its multiples",
    keys: &[
        Key { name: "freq_hz", default: "50.0", help: "what is removed, below half the rate" },
        Key { name: "q", default: "30.0", help: "frequency over width at -3 dB, 1 to 1000; 30 is 1.7 Hz at 50 Hz" },
        Key { name: "harmonics", default: "1", help: "1 to 100; 3 removes 50, 100 and 150 Hz, if below half the rate" },
    ],
    example: "freq_hz = 50.0\nq = 30.0\nharmonics = 3",
    build: build::<Notch>,
};

/// Notches at `freq_hz` and its multiples up to `harmonics` times, each as `scipy.signal.iirnotch`. Acts on every
/// channel and starts settled.
///
/// All have the same Q, so that the third is three times as wide as the first: when the mains wander by 0.2 Hz, their
/// third harmonic wanders by 0.6 Hz. A larger Q removes less of the signal but rings longer, for about
/// `q / freq_hz` seconds after a step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notch {
    freq_hz: f64,
    q: f64,
    harmonics: u32,
    #[serde(skip)]
    cascade: Cascade,
}

impl Default for Notch {
    fn default() -> Notch {
        Notch { freq_hz: 50.0, q: 30.0, harmonics: 1, cascade: Cascade::default() }
    }
}

impl Stage for Notch {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        check::frequency("freq_hz", self.freq_hz, input.rate_hz)?;
        check::range("q", self.q, 1.0..=1000.0)?;
        check::range("harmonics", self.harmonics, 1..=100)?;
        let half_hz = input.rate_hz / 2.0;
        let sections = (1..=self.harmonics)
            .map(|harmonic| f64::from(harmonic) * self.freq_hz)
            .take_while(|freq_hz| *freq_hz < half_hz)
            .map(|freq_hz| design::notch(freq_hz, self.q, input.rate_hz))
            .collect::<Result<Vec<_>, _>>()?;
        if sections.len() < self.harmonics as usize {
            tracing::info!(
                "notch: {} of {} multiples of {} Hz are below half the rate, {half_hz} Hz; the others are left out",
                sections.len(),
                self.harmonics,
                self.freq_hz
            );
        }
        self.cascade = Cascade::new(sections, input.n_channels());
        Ok(input.clone())
    }

    fn process(&mut self, block: &mut Block) {
        self.cascade.process(block);
    }

    fn reset(&mut self) {
        self.cascade.reset();
    }
}
