//! What several tests and benchmarks need: a stage from its text, a stream, a signal, blocks of it.
#![allow(dead_code, reason = "each test file uses its part of this")]

use biosigd::block::{Block, Channel, Head, Stream};
use biosigd::config::{Document, Mistakes};
use biosigd::stage::{KINDS, Kind, Stage};

/// A stream of `n_channels` voltages at `rate_hz`.
pub(crate) fn stream(n_channels: usize, rate_hz: f64, block_frames_max: usize) -> Stream {
    let channels = (1..=n_channels).map(|i| Channel::microvolts_24_bit(&format!("ch{i}"), 187_500.0)).collect();
    Stream { rate_hz, channels, block_frames_max, ratio: 1, delay_s: 0.0 }
}

/// The row of the table that is called `name`.
pub(crate) fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no stage is called {name}"))
}

/// Builds a stage from its keys as TOML, or says all that is wrong with them.
pub(crate) fn try_build(kind: &Kind, keys: &str) -> Result<Box<dyn Stage>, Mistakes> {
    let document = Document::parse("test.toml", keys)?;
    let mut mistakes = Mistakes::new("test.toml");
    match (kind.build)(&document.root(), &mut mistakes) {
        Some(stage) if mistakes.is_empty() => Ok(stage),
        _ => Err(mistakes),
    }
}

/// Builds a stage that is known to be right.
pub(crate) fn build(name: &str, keys: &str) -> Box<dyn Stage> {
    try_build(kind(name), keys).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A block of `stream` that begins at `first_frame`.
pub(crate) fn block(stream: &Stream, first_frame: u64, samples: &[f32]) -> Block {
    let mut block = Block::from_samples(stream, samples);
    block.head = Head { first_frame, ..block.head };
    block
}

/// Numbers like those of an EEG with an electrode offset: hum, noise and an offset of each channel's own, in uV.
/// The noise is the generator `ranqd1` of Numerical Recipes, always the same.
#[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type")]
pub(crate) fn signal(n_frames: usize, n_channels: usize, rate_hz: f64) -> Vec<f32> {
    let mut seed = 1_u32;
    let mut samples = Vec::with_capacity(n_frames * n_channels);
    for frame in 0..n_frames {
        let hum = 20.0 * (std::f64::consts::TAU * 50.0 * frame as f64 / rate_hz).sin();
        for channel in 0..n_channels {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(seed) / f64::from(u32::MAX) - 0.5;
            samples.push((1000.0 * (channel as f64 - 3.0) + hum + 10.0 * noise) as f32);
        }
    }
    samples
}
