//! The recorder's side of the disk: brings the packed ring to the sink, block by block, and holds nothing that the
//! intake needs. It may stall for as long as the ring has room.
//!
//! It decides when a recording begins and ends. A recording begins with the oldest block of the ring, of which the newest
//! `pre_s` are kept while none is active; it ends where the intake, told by the [`Gate`], put its end into the ring.
//! Between the two every block is written or counted as lost to `disk`, also while no file can be opened.

mod desk;
mod orders;
mod recording;
mod trouble;

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use self::desk::Desk;
use super::control::Request;
use super::ring::{Next, Taken};
use super::{Gate, Ledger, Progress, RingReader};
use crate::block::Marker;
use crate::metrics::Metrics;
use crate::sink::RawSink;

/// What the recorder is doing, for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordingStatus {
    /// Whether a recording is active: frames go to a file.
    pub active: bool,
    /// Whether one should be.
    pub wanted: bool,
    /// The file, or the last one.
    pub file: Option<PathBuf>,
    /// The index of the recording's first frame.
    pub first_frame: Option<u64>,
    /// How much signal it holds, in seconds.
    pub seconds: f64,
    /// Markers that wait for room in the file.
    pub markers_waiting: usize,
    /// Why the last recording ended, where it was not asked to.
    pub ended: Option<String>,
}

/// What the thread is made of.
pub struct DiskParts<S> {
    /// The ring, which holds `ring_s` seconds.
    pub ring: RingReader,
    /// As `ring`.
    pub ring_s: f64,
    /// Frames per second.
    pub rate_hz: f64,
    /// Where recordings go: into the first that can be opened.
    pub sinks: Vec<S>,
    /// Whether the first recording begins with the first frame; the gate was made open then.
    pub at_once: bool,
    /// How much of the signal before a recording was asked for belongs to it, in seconds.
    pub pre_s: f64,
    /// Events.
    pub markers: Receiver<Marker>,
    /// What people ask for.
    pub orders: Receiver<Request>,
    /// Tells the intake what is owed.
    pub gate: Arc<Gate>,
    /// The recorder's ledger, of which the intake counts what is owed.
    pub ledger: Ledger,
    /// For people.
    pub status: Arc<Mutex<RecordingStatus>>,
    /// For the watchdog.
    pub progress: Arc<Progress>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The time between two syncs.
    pub sync_every: Duration,
    /// The time between two tries to open a file after the disk refused.
    pub retry_every: Duration,
}

/// Everything the disk thread owns.
pub struct Disk<S> {
    ring: RingReader,
    ring_s: f64,
    pre_frames: u64,
    desk: Desk<S>,
}

impl<S: RawSink> Disk<S> {
    /// Gets the thread's work ready.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most half of a ring that was laid out"
    )]
    pub fn new(parts: DiskParts<S>) -> Disk<S> {
        let pre_frames = (parts.pre_s * parts.rate_hz).ceil() as u64;
        parts.gate.pack(pre_frames > 0);
        Disk {
            ring_s: parts.ring_s,
            pre_frames,
            desk: Desk::new(
                parts.sinks,
                (parts.at_once, pre_frames > 0),
                (parts.markers, parts.orders),
                (parts.gate, parts.ledger),
                (parts.status, parts.progress, parts.metrics),
                (parts.rate_hz, parts.sync_every, parts.retry_every),
            ),
            ring: parts.ring,
        }
    }

    /// Runs until the ring is closed and empty.
    pub fn run(mut self) {
        self.ring.attach();
        while self.turn() {
            self.desk.sync_when_due();
            self.desk.show_backlog(self.ring.fill() * self.ring_s);
            if self.desk.takes_gate_turn() {
                self.ring.wake_intake();
            }
        }
        self.desk.closed();
    }

    /// One entry of the ring, or a wait for one. False: there is nothing, and nothing will come.
    fn turn(&mut self) -> bool {
        self.desk.pass_markers();
        self.desk.take_orders();
        if !self.desk.is_recording() {
            return self.between_recordings();
        }
        match self.ring.take() {
            Taken::Block(head, codes) => self.desk.block(&head, codes),
            Taken::RecordingEnded(end) => self.desk.end(&end),
            Taken::Empty => self.park(),
            Taken::Closed => return false,
        }
        true
    }

    /// Keeps the newest `pre_s`, and opens a recording with the oldest of them where one is to begin.
    fn between_recordings(&mut self) -> bool {
        match self.ring.peek() {
            Next::Block(head) if head.next_frame() + self.kept_frames() <= self.ring.next_frame() => {
                self.ring.take();
            }
            Next::Block(head) if self.desk.is_to_begin() => self.desk.open(&head),
            // The blocks of the pre-trigger stay, and must not hide that there will be no more.
            Next::Block(_) if self.ring.is_closed() => return false,
            Next::Block(_) | Next::Empty => self.park(),
            // An end without a recording does not come; one that did would be in the way.
            Next::RecordingEnded => {
                self.ring.take();
            }
            Next::Closed => return false,
        }
        true
    }

    /// How many frames after a block make it too old to keep.
    fn kept_frames(&self) -> u64 {
        if self.desk.owes() {
            return u64::MAX / 2;
        }
        // A recording that is to begin needs one block.
        self.pre_frames.max(u64::from(self.desk.is_to_begin()))
    }

    fn park(&self) {
        thread::park_timeout(self.desk.next_look().saturating_duration_since(Instant::now()));
    }
}
