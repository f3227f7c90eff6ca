//! What the driver has to tell while it runs: events without text, put into a queue by the acquisition thread; a thread of
//! its own makes log lines and markers of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

pub use super::doubt::Doubt;
use super::fault::ProofError;
use super::wire::WireError;
use crate::block::{Marker, Origin, Stream};
use crate::source::MarkerOut;

/// More than a second of triggers on every frame at 1 kHz; what is beyond is counted.
const NOTES_MAX: usize = 1024;

/// How long the thread sleeps when nobody wakes it: a bound, nothing depends on it.
const TURN: Duration = Duration::from_secs(1);

/// How long the end is waited for: a recorder whose disk stalls may hold up who tells it of more than it can keep.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why conversions were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No interrupt was counted for them.
    Unseen,
    /// The kernel's queue of edges was full.
    Overflowed,
    /// The kernel's thread was late: several edges became one event.
    Merged,
    /// The edges came; nobody read in time.
    Late,
}

impl Miss {
    pub(super) const N: usize = 4;

    fn text(self) -> &'static str {
        match self {
            Miss::Unseen => {
                "no interrupt was counted for all of them; look at DRDY's wire, and at what disables interrupts"
            }
            Miss::Overflowed => "the acquisition thread slept until the kernel's queue of edges was full",
            Miss::Merged => "the kernel's thread for DRDY's interrupt was late",
            Miss::Late => "the acquisition thread was late",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note {
    /// A trigger input of the first chip rose at this frame.
    Trigger {
        /// The frame.
        frame: u64,
        /// The pin, from 1.
        pin: u8,
    },
    /// From `first` to before `next`, frames were delivered of which it turned out later that they are not to be trusted.
    /// What follows is flagged, frame by frame.
    Doubted {
        /// The first frame after the last proof that all was well.
        first: u64,
        /// The frame at which it was found.
        next: u64,
        /// What was found.
        doubt: Doubt,
    },
    /// All is well again, after so many flagged frames.
    Trusted {
        /// The first good frame.
        frame: u64,
        /// Frames that were flagged.
        n_frames: u64,
    },
    /// Conversions were missed; the first of an episode.
    Missed {
        /// The first of them.
        frame: u64,
        /// How many.
        n_frames: u64,
        /// By what.
        how: Miss,
    },
    /// Channels of a chip stand near the end of their range; the first of an episode.
    Saturated {
        /// The first frame.
        frame: u64,
        /// A channel of the stream that does, from 0.
        channel: usize,
    },
    /// For ten seconds no register was read back, because there was no time between two conversions.
    NotReadBack {
        /// The newest frame.
        frame: u64,
    },
    /// A transfer failed; the first of an episode.
    Wire {
        /// The conversion.
        frame: u64,
        /// Why.
        error: WireError,
    },
    /// No edges come.
    NoEdges {
        /// The first conversion without.
        frame: u64,
    },
    /// The converter is set up again.
    SettingUp {
        /// The first conversion that is lost.
        frame: u64,
    },
    /// It was, and converts.
    SetUp {
        /// The first conversion after.
        frame: u64,
        /// Conversions that passed.
        n_frames: u64,
    },
    /// START took longer than it may, each time it was tried: the index may be off by a conversion, and chips behind several
    /// selects may stand a conversion apart.
    StartLate {
        /// The next frame.
        frame: u64,
        /// From just before the first chip could hear it until the last one did, nanoseconds.
        took_ns: u64,
    },
    /// It could not be.
    SetUpFailed {
        /// Why.
        error: ProofError,
        /// Seconds until the next attempt.
        again_s: u64,
        /// Other chips were, and convert: the next attempt comes not before that pause, nor before a chip that is silent answers.
        others_go_on: bool,
    },
}

/// The queue between the acquisition thread and the thread that tells.
#[derive(Debug)]
pub struct Notes {
    queue: ArrayQueue<Note>,
    /// Notes that found no room. `Relaxed`: a number for people.
    dropped: AtomicU64,
    teller: OnceLock<Thread>,
    /// Set when the source is gone, before the last wake-up. `SeqCst`, read once a turn.
    ended: AtomicBool,
}

impl Default for Notes {
    fn default() -> Notes {
        Notes {
            queue: ArrayQueue::new(NOTES_MAX),
            dropped: AtomicU64::new(0),
            teller: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }
}

impl Notes {
    /// Notes something.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn note(&self, note: Note) {
        if self.queue.push(note).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(teller) = self.teller.get() {
            teller.unpark();
        }
    }

    /// The oldest note that was not taken.
    #[must_use]
    pub fn take(&self) -> Option<Note> {
        self.queue.pop()
    }

    /// Notes that were dropped because nobody took them.
    #[must_use]
    pub fn n_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The thread that tells. When dropped it tells what is left, and ends.
pub(super) struct Teller {
    notes: Arc<Notes>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    /// Begins to tell the notes about `stream`.
    pub(super) fn begin(notes: &Arc<Notes>, stream: &Stream, markers: MarkerOut) -> std::io::Result<Teller> {
        let (notes, shared, stream) = (Arc::clone(notes), Arc::clone(notes), stream.clone());
        let thread = thread::Builder::new()
            .name("ads1299-notes".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || Telling::new(markers).run(&shared, &stream))?;
        notes.teller.get_or_init(|| thread.thread().clone());
        Ok(Teller { notes, thread: Some(thread) })
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.notes.ended.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        let deadline = Instant::now() + FAREWELL;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::error!("ads1299: nobody takes the last markers within {} s", FAREWELL.as_secs());
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        // A thread that panicked has printed why.
        drop(thread.join());
    }
}

/// What the thread knows between two turns.
struct Telling {
    markers: MarkerOut,
    /// The frame of the newest note.
    frame: u64,
    dropped: u64,
}

impl Telling {
    fn new(markers: MarkerOut) -> Telling {
        Telling { markers, frame: 0, dropped: 0 }
    }

    fn run(mut self, notes: &Notes, stream: &Stream) {
        loop {
            let ended = notes.ended.load(Ordering::SeqCst);
            self.turn(notes, stream);
            if ended {
                return;
            }
            thread::park_timeout(TURN);
        }
    }

    fn turn(&mut self, notes: &Notes, stream: &Stream) {
        while let Some(note) = notes.take() {
            tell(&note, stream);
            self.frame = note.frame().unwrap_or(self.frame);
            if let Some(marker) = note.marker(stream) {
                (self.markers)(marker);
            }
        }
        let n_more = notes.n_dropped() - self.dropped;
        if n_more > 0 {
            self.dropped += n_more;
            // In the recording too: there, a trigger that is missing would look like one that never was.
            let text = format!("{n_more} notes of triggers or faults found no room and are missing");
            tracing::warn!("ads1299: after frame {}: {text}", self.frame);
            (self.markers)(Marker { frame: self.frame, text, origin: Origin::Source, ..Marker::default() });
        }
    }
}

impl Note {
    /// The frame at which it was made; `None` where it is of none.
    #[must_use]
    pub fn frame(&self) -> Option<u64> {
        match *self {
            Note::Trigger { frame, .. }
            | Note::Doubted { next: frame, .. }
            | Note::Trusted { frame, .. }
            | Note::Missed { frame, .. }
            | Note::Saturated { frame, .. }
            | Note::Wire { frame, .. }
            | Note::NoEdges { frame }
            | Note::NotReadBack { frame }
            | Note::StartLate { frame, .. }
            | Note::SettingUp { frame }
            | Note::SetUp { frame, .. } => Some(frame),
            Note::SetUpFailed { .. } => None,
        }
    }

    /// The marker that it becomes, where it does.
    #[must_use]
    pub fn marker(&self, stream: &Stream) -> Option<Marker> {
        match *self {
            Note::Trigger { frame, pin } => {
                let (text, origin) = (format!("trigger {pin}"), Origin::Trigger);
                Some(Marker { frame, text, origin, ..Marker::default() })
            }
            Note::Doubted { first, next, doubt } if next > first => Some(Marker {
                frame: first,
                duration_ns: Some(stream.duration_ns(next - first)),
                text: format!("BAD_unproven {}", doubt.text(stream)),
                origin: Origin::Source,
                ..Marker::default()
            }),
            _ => None,
        }
    }
}

fn tell(note: &Note, stream: &Stream) {
    match note {
        Note::Trigger { .. } => {}
        Note::Doubted { first, next, doubt } if first == next => {
            tracing::warn!("ads1299: frame {next}: {}; suspect frames are flagged", doubt.text(stream));
        }
        Note::Doubted { first, next, doubt } => tracing::warn!(
            "ads1299: frame {next}: {}; suspect frames are flagged, and those since {first} are unproven",
            doubt.text(stream)
        ),
        Note::Trusted { frame, n_frames } => {
            tracing::info!("ads1299: frame {frame}: all is well again after {n_frames} suspect frames");
        }
        Note::Missed { frame, n_frames, how } => tracing::warn!(
            "ads1299: frame {frame}: {} missed: {}; more of the kind are counted without a line each until a second passes without",
            if *n_frames == 1 { "1 conversion was".to_owned() } else { format!("{n_frames} conversions were") },
            how.text()
        ),
        Note::Saturated { frame, channel } => {
            let name = stream.channels.get(*channel).map_or("?", |channel| channel.name.as_str());
            tracing::warn!(
                "ads1299: frame {frame}: channel {name} stands at the end of its range: look at its electrode and its gain; its \
                 chip's saturated frames are flagged, without a line each until a second passes without"
            );
        }
        Note::Wire { frame, error } => tracing::warn!("ads1299: frame {frame}: {error}"),
        Note::NotReadBack { frame } => {
            tracing::warn!(
                "ads1299: frame {frame}: no time is left to read registers back: one that changes is not found by that"
            );
        }
        Note::NoEdges { frame } => tracing::error!("ads1299: no DRDY edges since frame {frame}"),
        Note::StartLate { frame, took_ns } => tracing::warn!(
            "ads1299: frame {frame}: START took {:.1} us, more than a quarter of a conversion, and did so each time: the index may be \
             off by one, and chips of several selects may convert apart from each other; look at `start_line`, or at what holds the \
             thread up",
            *took_ns as f64 / 1e3
        ),
        Note::SettingUp { frame } => {
            tracing::warn!("ads1299: the converter is set up again; frames from {frame} on are lost")
        }
        Note::SetUp { frame, n_frames } => {
            tracing::info!("ads1299: the converter converts again from frame {frame} on; {n_frames} were lost");
        }
        Note::SetUpFailed { error, again_s, others_go_on: false } => {
            tracing::error!("ads1299: setting up failed: {error}; again in {again_s} s");
        }
        Note::SetUpFailed { error, again_s, others_go_on: true } => tracing::error!(
            "ads1299: setting up failed: {error}; the other chips go on, what this one gives is flagged suspect; again after \
             {again_s} s, as soon as it answers"
        ),
    }
}
