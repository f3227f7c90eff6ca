//! One stream as clients know it.

use std::sync::{Arc, Mutex, PoisonError};

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

/// The streams that clients can ask for, as they are now; a reload changes their shape, never their number or names.
/// Cloning shares them. Not for real-time threads.
#[derive(Debug, Clone)]
pub struct Feeds(Arc<Mutex<Arc<Vec<Feed>>>>);

impl Feeds {
    /// These streams.
    #[must_use]
    pub fn new(feeds: Vec<Feed>) -> Feeds {
        Feeds(Arc::new(Mutex::new(Arc::new(feeds))))
    }

    /// The streams at this moment.
    #[must_use]
    pub fn now(&self) -> Arc<Vec<Feed>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these, in the same order.
    pub fn set(&self, feeds: Vec<Feed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(feeds);
    }
}
