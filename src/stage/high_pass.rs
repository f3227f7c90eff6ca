//! Removes what is slower than a corner: electrode offsets and drift, thousands of times larger than the signal.

use super::prelude::*;

/// The row of `high_pass`.
pub(super) const KIND: Kind = Kind {
    name: "high_pass",
    summary: "removes what is slower than a corner: offsets, drift (Butterworth)",
    keys: &[
        Key { name: "order", default: "2", help: "1 to 8; 6 dB an octave each" },
        Key { name: "corner_hz", default: "0.5", help: "where the signal is 3 dB down, below half the rate" },
    ],
    example: "order = 2\ncorner_hz = 0.5",
    build: build::<HighPass>,
};

/// A Butterworth high-pass, as `scipy.signal.butter(order, corner_hz, "highpass")`. Acts on every channel and
/// starts settled: the first output is 0, whatever the offset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HighPass {
    order: u32,
    corner_hz: f64,
    #[serde(skip)]
    cascade: Cascade,
}

impl Default for HighPass {
    fn default() -> HighPass {
        HighPass { order: 2, corner_hz: 0.5, cascade: Cascade::default() }
    }
}

impl Stage for HighPass {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        check::range("order", self.order, 1..=design::ORDER_MAX)?;
        check::frequency("corner_hz", self.corner_hz, input.rate_hz)?;
        let sections = design::high_pass(self.order, self.corner_hz, input.rate_hz)?;
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
