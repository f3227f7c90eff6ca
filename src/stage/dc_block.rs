//! Removes an offset at the least cost: one pole, one zero at 0 Hz.

use std::f64::consts::TAU;

use super::prelude::*;

/// The row of `dc_block`.
pub(super) const KIND: Kind = Kind {
    name: "dc_block",
    summary: "removes an offset with a single pole",
    keys: &[Key { name: "corner_hz", default: "0.5", help: "where the signal is 3 dB down, far below half the rate" }],
    example: "corner_hz = 0.5",
    build: build::<DcBlock>,
};

/// `y[n] = x[n] - x[n-1] + r y[n-1]` with `r = exp(-2 pi corner_hz / rate)`. Acts on every channel and starts
/// settled: the first output is 0, whatever the offset.
///
/// The corner is that of the analog filter with this time constant. It holds to within 1 % below a hundredth of the
/// rate; where it matters near half the rate, take `high_pass`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DcBlock {
    corner_hz: f64,
    #[serde(skip)]
    cascade: Cascade,
}

impl Default for DcBlock {
    fn default() -> DcBlock {
        DcBlock { corner_hz: 0.5, cascade: Cascade::default() }
    }
}

impl Stage for DcBlock {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        check::frequency("corner_hz", self.corner_hz, input.rate_hz)?;
        let r = (-TAU * self.corner_hz / input.rate_hz).exp();
        let section = Section { b0: 1.0, b1: -1.0, b2: 0.0, a1: -r, a2: 0.0 };
        self.cascade = Cascade::new(vec![section], input.n_channels());
        Ok(input.clone())
    }

    fn process(&mut self, block: &mut Block) {
        self.cascade.process(block);
    }

    fn reset(&mut self) {
        self.cascade.reset();
    }
}
