//! One stream as clients know it.

use crate::block::Stream;

/// A stream that clients can ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// Its number in the header of every message.
    pub id: u8,
    /// Its name: `raw` or the chain's.
    pub name: String,
    /// What its samples are.
    pub kind: FeedKind,
    /// Its shape.
    pub stream: Stream,
}

/// What the samples of a stream are; the header's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// `i32` codes as converted.
    Codes,
    /// `f32` in the channel's unit.
    Units,
}

impl FeedKind {
    /// The name in `hello`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            FeedKind::Codes => "i32",
            FeedKind::Units => "f32",
        }
    }
}
