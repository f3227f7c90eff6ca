//! Fewer frames a second, without aliases: for long views, slow links, and algorithms made for 250 Hz.

use super::fir::{DELAY_FRAMES, Decimator};
use super::prelude::*;
use super::recount::Recount;

/// The row of `decimate`.
pub(super) const KIND: Kind = Kind {
    name: "decimate",
    summary: "divides the rate by a whole number, anti-alias filter included",
    keys: &[Key { name: "factor", default: "4", help: "2 to 100; 4 makes 1000 Hz of 4000 Hz" }],
    example: "factor = 4",
    build: build::<Decimate>,
};

/// One frame of `factor`, after a linear-phase low-pass: gain 1 to within 1e-4 up to 0.4 of the new rate, below 1e-4
/// from its half on. Acts on every channel, starts settled, and delays by 26 frames of the output, which the stream's
/// `delay_s` states.
///
/// Output frame `m` is made when input frame `m * factor` arrives, so a block may come out with no frames at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decimate {
    factor: u32,
    #[serde(skip)]
    decimator: Decimator,
    #[serde(skip)]
    recount: Recount,
}

impl Default for Decimate {
    fn default() -> Decimate {
        Decimate { factor: 4, decimator: Decimator::default(), recount: Recount::default() }
    }
}

impl Stage for Decimate {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        check::range("factor", self.factor, 2..=100)?;
        let Some(ratio) = input.ratio.checked_mul(self.factor) else {
            let text = format!("factor = {} must leave at least one frame in 2^32 of the source's", self.factor);
            return Err(StageError::new(text));
        };
        self.decimator = Decimator::new(self.factor, input.n_channels());
        self.recount = Recount::new(self.factor, input.rate_hz);
        let rate_hz = input.rate_hz / f64::from(self.factor);
        Ok(Stream {
            rate_hz,
            block_frames_max: input.block_frames_max.div_ceil(self.factor as usize),
            ratio,
            delay_s: input.delay_s + DELAY_FRAMES as f64 / rate_hz,
            ..input.clone()
        })
    }

    fn process(&mut self, block: &mut Block) {
        let output = self.recount.head(&block.head);
        self.decimator.process(block.head.first_frame, block.samples_mut());
        block.head = output;
    }

    fn reset(&mut self) {
        self.decimator.reset();
    }
}
