//! What is done to a block. One file per stage; `KINDS` is the table that makes the configuration, `biosigd kinds`
//! and the tests. Stages see one block at a time and nothing else: no queue, no thread, no file.
//!
//! What follows is the page for authors, `src/stage/README.md`.
#![doc = include_str!("README.md")]

mod band_pass;
pub mod check;
mod dc_block;
mod decimate;
pub mod design;
pub mod filter;
mod fir;
mod gain;
mod high_pass;
mod kinds;
mod low_pass;
mod notch;
pub mod prelude;
mod recount;
mod rereference;

pub use band_pass::BandPass;
pub use dc_block::DcBlock;
pub use decimate::Decimate;
pub use gain::Gain;
pub use high_pass::HighPass;
pub use kinds::{Build, KINDS, Kind, build};
pub use low_pass::LowPass;
pub use notch::Notch;
pub use rereference::Rereference;

use crate::block::{Block, Stream};

/// Changes blocks in place. The page for authors is `src/stage/README.md`.
pub trait Stage: Send {
    /// Checks the settings against the stream and gets everything ready; returns what comes out.
    /// Called once, before any block. May allocate and read files.
    ///
    /// # Errors
    /// When the settings do not fit the stream; the message starts with the key it is about, `KEY = VALUE must ..`.
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError>;

    /// Changes one block in place. The first block, and the first after [`Stage::reset`], starts the state anew.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn process(&mut self, block: &mut Block);

    /// Forgets the past: frames were lost, and the next block does not follow the last one.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn reset(&mut self) {}
}

/// Why a stage does not fit its stream: a sentence for the person who wrote the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StageError(String);

impl StageError {
    /// An error that says `what` is wrong and what would be right.
    pub fn new(what: impl Into<String>) -> StageError {
        StageError(what.into())
    }
}
