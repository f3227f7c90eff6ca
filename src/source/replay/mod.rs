//! A recording as a source: BDF or EDF (plain or +C), CSV or raw, at its own speed, faster or slower, or as fast as its consumers
//! go. It loses nothing: a recording can be kept waiting for ever.
//!
//! Two threads share the work, because a disk may stall and `acquire` may not touch a file:
//!
//! ```text
//! replay-reader: file ──▶ record ──▶ frame-major codes ──▶ ring ──▶ acquire: fill
//!                           └─▶ annotations ──▶ MarkerOut
//! ```
//!
//! What is deliberately absent: discontinuous files (`+D`), whose gaps have no length in frames, and signals of
//! different rates, which make no frames. Both are refused when the file is opened.

mod channels;
mod feed;
mod reader;
mod recording;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::mpsc;

use serde::Deserialize;

use super::{Fate, Filled, Kind, MarkerOut, Opening, Pace, Plan, Slack, Source, SourceError};
use crate::block::{End, Head, RawBlock, Stream, Tally};
use crate::config::{Key, MaxOr, Mistakes, Table};
use crate::rt::{Stop, now_ns, utc_now_ns};
use feed::Feed;
pub use recording::Recording;

/// The row of `source::KINDS`.
pub(super) const KIND: Kind = Kind {
    name: "replay",
    summary: "a BDF or EDF (plain or +C), CSV or raw recording; the daemon drains and exits at its end",
    keys: &[
        Key::new("file", "", "the recording, relative to the configuration file"),
        Key::new("speed", "1.0", "times as fast as it was recorded, above 0; or \"max\": as fast as it is taken"),
        Key::new("loop", "false", "whether to begin again at the end, with frame indices that run on"),
    ],
    plan,
};

/// The keys of `[source]` with `kind = "replay"`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The recording.
    pub file: PathBuf,
    /// How many times as fast as it was recorded, or as fast as recorder and process take it.
    pub speed: MaxOr<f64>,
    /// Whether to begin again at the end.
    #[serde(rename = "loop")]
    pub looped: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { file: PathBuf::new(), speed: MaxOr::Value(1.0), looped: false }
    }
}

fn plan(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<Box<dyn Plan>> {
    let before = mistakes.len();
    let settings: Settings = table.read(mistakes)?;
    if settings.file.as_os_str().is_empty() && mistakes.len() == before {
        table.refuse(mistakes, "file", "file = \"\" must name a BDF or EDF recording");
    }
    if let MaxOr::Value(speed) = settings.speed {
        if !(0.0 < speed && speed < f64::INFINITY) {
            table.refuse(mistakes, "speed", format!("speed = {speed} must be above 0, or \"max\""));
        }
    }
    (mistakes.len() == before).then(|| Box::new(settings) as Box<dyn Plan>)
}

impl Plan for Settings {
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError> {
        let recording = Recording::open(&opening.base.join(&self.file))?;
        let pace = if self.speed == MaxOr::Max { Pace::Free } else { Pace::Clock };
        let block_frames = opening.block_frames(recording.rate_hz(), pace);
        Ok(Box::new(Replay::new(recording, self, block_frames)?))
    }
}

/// A recording being replayed.
#[derive(Debug)]
pub struct Replay {
    stream: Stream,
    feed: Feed,
    /// Until the reader has been given its way out for annotations, or was told by its end that there is none.
    connect: Option<mpsc::Sender<MarkerOut>>,
    /// Frames per second of this replay; `None` as fast as it goes.
    paced_hz: Option<f64>,
    fate: Fate,
    /// When time started.
    start_ns: u64,
    next_frame: u64,
    ended: bool,
}

impl Replay {
    /// Gets ready to replay `recording` in blocks of at most `block_frames_max` frames (at least 1), and starts the
    /// reader's thread, which waits for [`Source::connect`] or [`Source::start`].
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] when the system has no thread left.
    pub fn new(recording: Recording, settings: &Settings, block_frames_max: usize) -> Result<Replay, SourceError> {
        let stream = recording.stream(block_frames_max);
        let paced_hz = match settings.speed {
            MaxOr::Max => None,
            MaxOr::Value(speed) => Some(stream.rate_hz * speed),
        };
        let (connect, connected) = mpsc::channel();
        let fate = Fate::default();
        let feed = Feed::start(recording, settings.looped, &stream, connected, fate.clone())?;
        Ok(Replay { stream, feed, connect: Some(connect), paced_hz, fate, start_ns: 0, next_frame: 0, ended: false })
    }

    /// The monotonic instant of a frame's conversion, nanoseconds: absolute, so that lateness does not add up.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates: never")]
    fn instant_ns(&self, paced_hz: f64, frame: u64) -> u64 {
        self.start_ns.saturating_add(((frame + 1) as f64 * 1e9 / paced_hz).round() as u64)
    }

    /// How many of the next `n_frames` frames have been converted by now.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the minimum is at most n_frames")]
    fn n_converted(&self, paced_hz: f64, n_frames: usize) -> usize {
        let converted = (now_ns().saturating_sub(self.start_ns) as f64 * 1e-9 * paced_hz).floor();
        (converted - self.next_frame as f64).clamp(0.0, n_frames as f64) as usize
    }

    /// Waits until frames are in the ring and their instant has come. How many, and the instant of the last one;
    /// `None`: nothing within the turn.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the reader and the clock.
    fn wait(&mut self, n_frames_max: usize, stop: &Stop) -> Option<(usize, u64)> {
        /// A turn of the loop takes no longer, so that the watchdog sees it turn.
        const TURN_NS: u64 = 1_000_000_000;
        let turn_ends_ns = now_ns() + TURN_NS;
        let n_frames = self.feed.wait(n_frames_max, turn_ends_ns, stop)?;
        let Some(paced_hz) = self.paced_hz else { return Some((n_frames, now_ns())) };
        let instant_of =
            |n_frames: usize| self.instant_ns(paced_hz, (self.next_frame + n_frames as u64).saturating_sub(1));
        let instant_ns = instant_of(n_frames);
        if stop.wait_until(instant_ns.min(turn_ends_ns)) {
            return (instant_ns <= turn_ends_ns).then_some((n_frames, instant_ns));
        }
        let n_frames = self.n_converted(paced_hz, n_frames);
        Some((n_frames, instant_of(n_frames)))
    }
}

impl Source for Replay {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn pace(&self) -> Pace {
        if self.paced_hz.is_some() { Pace::Clock } else { Pace::Free }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn slack(&self) -> Slack {
        Slack::Forever
    }

    fn start(&mut self) {
        // Without `connect` there is nobody for annotations: the reader learns it from the channel's end.
        self.connect = None;
        self.feed.attach();
        self.start_ns = now_ns();
    }

    /// Real time: no allocation, no locks, no logging; waits for the reader and the clock, a second at most.
    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
        if self.ended {
            return Filled::End;
        }
        let stopped = stop.is_set();
        let Some((n_frames, edge_ns)) = self.wait(block.frames_max(), stop) else { return Filled::Nothing };
        // A stop that came while waiting ends the source with this block; one that comes later, with the next.
        self.ended = stopped || n_frames == 0 || (n_frames < block.frames_max() && stop.is_set());
        if n_frames == 0 {
            return Filled::End;
        }
        self.feed.take(&mut block.slab_mut()[..n_frames * self.stream.channels.len()]);
        block.head = Head {
            first_frame: self.next_frame,
            n_frames,
            edge_ns,
            edge_utc_ns: utc_now_ns().saturating_sub(now_ns().saturating_sub(edge_ns)),
            ..Head::default()
        };
        self.next_frame = block.head.next_frame();
        Filled::Frames
    }

    fn end(&self) -> End {
        End { next_frame: self.next_frame, lost: Tally::default() }
    }

    fn fate(&self) -> Fate {
        self.fate.clone()
    }

    fn connect(&mut self, markers: MarkerOut) {
        if let Some(connect) = self.connect.take() {
            // It fails only when the reader has ended, and then there are no annotations to come.
            drop(connect.send(markers));
        }
    }
}
