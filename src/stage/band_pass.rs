//! Keeps one band, such as alpha (8 to 13 Hz) or the 20 to 450 Hz of a surface EMG.

use super::prelude::*;

/// How far the upper edge must be above the lower, as a ratio: narrower bands lose their shape to rounding.
const APART_MIN: f64 = 1.001;

/// The row of `band_pass`.
pub(super) const KIND: Kind = Kind {
    name: "band_pass",
    summary: "keeps one band (Butterworth)",
    keys: &[
        Key { name: "order", default: "4", help: "1 to 8; 6 dB an octave each, on both sides" },
        Key { name: "low_hz", default: "1.0", help: "lower edge, where the signal is 3 dB down" },
        Key { name: "high_hz", default: "40.0", help: "upper edge, above low_hz and below half the rate" },
    ],
    example: "order = 4\nlow_hz = 8.0\nhigh_hz = 13.0",
    build: build::<BandPass>,
};

/// A Butterworth band-pass, as `scipy.signal.butter(order, [low_hz, high_hz], "bandpass")`, of twice `order` poles.
/// Acts on every channel and starts settled: the first output is 0, whatever the offset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BandPass {
    order: u32,
    low_hz: f64,
    high_hz: f64,
    #[serde(skip)]
    cascade: Cascade,
}

impl Default for BandPass {
    fn default() -> BandPass {
        BandPass { order: 4, low_hz: 1.0, high_hz: 40.0, cascade: Cascade::default() }
    }
}

impl Stage for BandPass {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        let BandPass { order, low_hz, high_hz, .. } = *self;
        check::range("order", order, 1..=design::ORDER_MAX)?;
        check::frequency("low_hz", low_hz, input.rate_hz)?;
        check::frequency("high_hz", high_hz, input.rate_hz)?;
        if high_hz < low_hz * APART_MIN {
            return Err(StageError::new(format!("high_hz = {high_hz} must be at least 0.1 % above low_hz, {low_hz}")));
        }
        let sections = design::band_pass(order, low_hz, high_hz, input.rate_hz)?;
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
