//! The reader's thread: records from the disk, frames into the ring, annotations to whoever keeps events. It may wait
//! for the disk and for room, so nothing real-time waits for it without a bound.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use rtrb::Producer;

use super::Recording;
use crate::block::{Marker, Origin};
use crate::edf::Annotation;
use crate::source::{Fate, MarkerOut};

/// What a recorder calls frames that it did not get and filled in.
const GAP_TEXT: &str = "BAD_ACQ_SKIP";

/// What they are called when they are replayed. These frames are delivered, filled as they are: they must not be taken for gaps
/// of the new recording, whose ledger has its own. Programs that leave out what begins with BAD leave them out still. They
/// become no gaps of the stream either: a recorder writes the annotation after the frames, maybe records later.
const REPLAYED_GAP_TEXT: &str = "BAD_replayed_gap";

/// Everything the reader's thread owns.
pub(super) struct Reader {
    recording: Recording,
    looped: bool,
    codes: Producer<i32>,
    /// Whom to wake when there is something in the ring; empty until the acquisition thread has started.
    acquire: Arc<OnceLock<Thread>>,
    piece: Vec<i32>,
    fate: Fate,
}

/// Leaves word when dropped in the middle of a round: the thread died.
struct InTheMiddle(Fate);

impl Drop for InTheMiddle {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broke_off("the thread that reads the recording panicked".to_owned());
        }
    }
}

/// How a round through the file ended.
enum Round {
    /// Every record has been read.
    Complete,
    /// The file failed, or nobody takes frames any more.
    Broken,
}

impl Reader {
    pub(super) fn new(
        recording: Recording,
        looped: bool,
        codes: Producer<i32>,
        acquire: Arc<OnceLock<Thread>>,
        piece_frames: usize,
        fate: Fate,
    ) -> Reader {
        let piece = vec![0; piece_frames * recording.n_channels()];
        Reader { recording, looped, codes, acquire, piece, fate }
    }

    /// Reads until the end, or for ever in a loop, or until the ring is dropped. The end of the ring is how the
    /// acquisition thread learns that there is no more.
    pub(super) fn run(mut self, connected: &Receiver<MarkerOut>) {
        // No sender: nobody keeps events.
        let mut markers = connected.recv().ok();
        let mut first_frame = 0;
        let _in_the_middle = InTheMiddle(self.fate.clone());
        while let Round::Complete = self.round(first_frame, &mut markers) {
            first_frame += self.recording.n_frames();
            if !self.looped {
                break;
            }
        }
        let acquire = self.acquire;
        drop(self.codes);
        if let Some(acquire) = acquire.get() {
            acquire.unpark();
        }
    }

    /// Once through the file, whose first frame is `first_frame` of the stream.
    fn round(&mut self, first_frame: u64, markers: &mut Option<MarkerOut>) -> Round {
        for record in 0..self.recording.n_records() {
            if let Err(error) = self.read_record(record) {
                let reason = match error.kind() {
                    io::ErrorKind::UnexpectedEof => "the file became shorter while it was read".to_owned(),
                    _ => error.to_string(),
                };
                let (path, n_records) = (self.recording.path().display(), self.recording.n_records());
                let why = format!("{path}: the replay ends after {record} of {n_records} records: {reason}");
                tracing::error!("{why}");
                self.fate.broke_off(why);
                return Round::Broken;
            }
            if let Some(markers) = markers {
                self.annotate(first_frame, markers);
            }
            if !self.push_record() {
                return Round::Broken;
            }
        }
        Round::Complete
    }

    fn read_record(&mut self, record: u64) -> io::Result<()> {
        if record == 0 {
            self.recording.rewind()?;
        }
        self.recording.read_record()
    }

    /// Gives the record's annotations away, before its frames.
    fn annotate(&mut self, first_frame: u64, markers: &mut MarkerOut) {
        self.recording.read_annotations(|Annotation { onset_ns, duration_ns, text }| {
            let (frame, offset_ns) = self.recording.frame_at(onset_ns);
            let text = if text == GAP_TEXT { REPLAYED_GAP_TEXT.to_owned() } else { text };
            let (frame, origin) = (first_frame.saturating_add(frame), Origin::Replay);
            markers(Marker { frame, offset_ns, duration_ns, text, origin, ..Marker::default() });
        });
    }

    /// Puts the frames of the record into the ring, piece by piece as there is room. False: the ring was dropped.
    fn push_record(&mut self) -> bool {
        let (n_channels, n_frames) = (self.recording.n_channels(), self.recording.record_frames());
        let piece_frames = self.piece.len() / n_channels;
        for first_frame in (0..n_frames).step_by(piece_frames) {
            let piece = &mut self.piece[..piece_frames.min(n_frames - first_frame) * n_channels];
            self.recording.frames(first_frame, piece);
            while !self.codes.is_abandoned() && self.codes.push_entire_slice(piece).is_err() {
                thread::park_timeout(Duration::from_secs(1));
            }
            if let Some(acquire) = self.acquire.get() {
                acquire.unpark();
            }
        }
        !self.codes.is_abandoned()
    }
}
