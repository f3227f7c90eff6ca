//! Removes what is faster than a corner: muscle in an EEG, converter noise above the band of interest.

use super::prelude::*;

/// The row of `low_pass`.
pub(super) const KIND: Kind = Kind {
    name: "low_pass",
    summary: "removes what is faster than a corner: muscle, noise (Butterworth)",
    keys: &[
        Key { name: "order", default: "4", help: "1 to 8; 6 dB an octave each" },
        Key { name: "corner_hz", default: "40.0", help: "where the signal is 3 dB down, below half the rate" },
    ],
    example: "order = 4\ncorner_hz = 40.0",
    build: build::<LowPass>,
};

/// A Butterworth low-pass, as `scipy.signal.butter(order, corner_hz, "lowpass")`. Acts on every channel and
/// starts settled: the first output is the first input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowPass {
    order: u32,
    corner_hz: f64,
    #[serde(skip)]
    cascade: Cascade,
}

impl Default for LowPass {
    fn default() -> LowPass {
        LowPass { order: 4, corner_hz: 40.0, cascade: Cascade::default() }
    }
}

impl Stage for LowPass {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        check::range("order", self.order, 1..=design::ORDER_MAX)?;
        check::frequency("corner_hz", self.corner_hz, input.rate_hz)?;
        let sections = design::low_pass(self.order, self.corner_hz, input.rate_hz)?;
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
