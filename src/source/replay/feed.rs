//! The ring between the reader's thread and the acquisition thread, seen from the acquisition thread. Both sides
//! wait on a level (codes in the ring, room in the ring) by parking, and look again each second in any case.

use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use rtrb::{Consumer, RingBuffer};

use super::Recording;
use super::reader::Reader;
use crate::block::Stream;
use crate::rt::{Stop, now_ns};
use crate::source::{Fate, MarkerOut, SourceError};

/// Codes that come from the reader's thread.
#[derive(Debug)]
pub(super) struct Feed {
    codes: Consumer<i32>,
    /// Dropped after `codes`, so that the reader wakes up to an abandoned ring and ends.
    reader: WakeLast,
    acquire: Arc<OnceLock<Thread>>,
    n_channels: usize,
    /// The room that the reader waits for.
    piece_codes: usize,
}

/// Wakes a thread, and once more when it is dropped.
#[derive(Debug)]
struct WakeLast(Thread);

impl Drop for WakeLast {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Feed {
    /// Makes the ring and starts the thread that fills it with the codes of `recording`.
    pub(super) fn start(
        recording: Recording,
        looped: bool,
        stream: &Stream,
        connected: mpsc::Receiver<MarkerOut>,
        fate: Fate,
    ) -> Result<Feed, SourceError> {
        let (n_channels, path) = (stream.n_channels(), recording.path().to_owned());
        let piece_frames = piece_frames(n_channels, recording.frames_per_record());
        let n_frames = ring_frames(n_channels, stream.block_frames_max, piece_frames, recording.frames_per_record());
        let (producer, codes) = RingBuffer::new(n_frames * n_channels);
        let acquire = Arc::new(OnceLock::new());
        let reader = Reader::new(recording, looped, producer, Arc::clone(&acquire), piece_frames, fate);
        let reader = spawn(&path, move || reader.run(&connected))?;
        Ok(Feed { codes, reader: WakeLast(reader), acquire, n_channels, piece_codes: piece_frames * n_channels })
    }

    /// Names the calling thread as the one that the reader wakes.
    pub(super) fn attach(&self) {
        self.acquire.get_or_init(thread::current);
    }

    /// Waits until the ring holds `n_frames_max` frames, or all there will ever be, or until stopped, and returns
    /// how many of them there are; 0 is the end. `None`: there were not enough by `turn_ends_ns`.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the reader.
    pub(super) fn wait(&self, n_frames_max: usize, turn_ends_ns: u64, stop: &Stop) -> Option<usize> {
        loop {
            // In this order: what the reader pushed before it let go is then seen.
            let reader_ended = self.codes.is_abandoned();
            let n_frames = self.codes.slots() / self.n_channels;
            if n_frames >= n_frames_max || reader_ended || stop.is_set() {
                return Some(n_frames.min(n_frames_max));
            }
            let now = now_ns();
            if now >= turn_ends_ns {
                return None;
            }
            thread::park_timeout(Duration::from_nanos(turn_ends_ns - now));
        }
    }

    /// Takes as many codes as [`Feed::wait`] said there are.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take(&mut self, codes: &mut [i32]) {
        let (_, missing) = self.codes.pop_partial_slice(codes);
        debug_assert!(missing.is_empty(), "only what is in the ring is taken");
        let room_codes = self.codes.buffer().capacity() - self.codes.slots();
        if room_codes >= self.piece_codes {
            self.reader.0.unpark();
        }
    }
}

fn spawn(path: &Path, run: impl FnOnce() + Send + 'static) -> Result<Thread, SourceError> {
    // Nobody joins it: it ends with the recording, or at its next look at a ring that was dropped.
    let handle = thread::Builder::new().name("replay-reader".to_owned()).spawn(run);
    handle.map(|handle| handle.thread().clone()).map_err(|error| SourceError::of_io(path, error))
}

/// Frames that are decoded at a time: what fits the Pi's first-level cache beside the record's own bytes, and one frame at least.
fn piece_frames(n_channels: usize, frames_per_record: usize) -> usize {
    const PIECE_BYTES: usize = 16 << 10;
    (PIECE_BYTES / size_of::<i32>() / n_channels).clamp(1, frames_per_record)
}

/// Frames of the ring.
fn ring_frames(n_channels: usize, block_frames_max: usize, piece_frames: usize, frames_per_record: usize) -> usize {
    /// So that a stall of the disk is bridged.
    const RECORDS: usize = 3;
    /// However wide the file and long its records.
    const BYTES_MAX: usize = 16 << 20;
    let bridge = (RECORDS * frames_per_record).min(BYTES_MAX / size_of::<i32>() / n_channels);
    // Twice what either side waits for, so that both can never wait at once: with less than a block in it, more
    // than a piece is free.
    let handshake = 2 * block_frames_max.max(piece_frames);
    bridge.max(handshake)
}
