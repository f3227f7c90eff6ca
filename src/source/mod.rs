//! Where samples come from. A source fills raw blocks on the acquisition thread and waits for nothing but its ADC;
//! how long that ADC can itself be kept waiting is its slack.

use std::time::Duration;

use crate::block::{End, Marker, RawBlock, Stream};
use crate::rt::Stop;

/// Makes raw blocks.
pub trait Source: Send {
    /// What its blocks look like.
    fn stream(&self) -> &Stream;

    /// Chips that put a status word into every frame; 0 where there are none.
    fn n_chips(&self) -> usize {
        0
    }

    /// What sets the pace; only a clock or a converter justifies real-time priority.
    fn pace(&self) -> Pace;

    /// How long the source can be kept waiting from now on without losing a frame.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn slack(&self) -> Slack;

    /// Called once on the acquisition thread, just before the first `fill`: time starts here.
    fn start(&mut self);

    /// Waits for the next conversions and fills `block`, its head included. When `stop` is set it hands over what
    /// there is, a short block, and answers [`Filled::End`] from then on.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the ADC alone.
    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled;

    /// The index after the last conversion there was, and what was lost of them, at the end.
    fn end(&self) -> End;

    /// Gives the source the way out for events of its own (annotations of a recording), once, before `start`.
    /// A source that reads ahead on a thread of its own begins here.
    fn connect(&mut self, markers: MarkerOut) {
        drop(markers);
    }
}

/// Takes an event to everyone who keeps events; may wait, so never called on a real-time thread.
pub type MarkerOut = Box<dyn FnMut(Marker) + Send>;

/// What a call of [`Source::fill`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The block holds at least one frame.
    Frames,
    /// Nothing came within the source's own time limit; the loop turns, try again.
    Nothing,
    /// There will be no more.
    End,
}

/// What sets a source's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A converter or a clock: a late thread may cost frames.
    Clock,
    /// Its consumers: as fast as they go.
    Free,
}

/// How long a source can be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slack {
    /// This long from now; zero for a converter without memory.
    For(Duration),
    /// As long as it takes: a recording.
    Forever,
}
