//! Where blocks go. Plain code with `open`, `write`, `close`: a sink cannot see a queue, and decides nothing about
//! loss; the policy belongs to the link before it.

pub mod recorder;
pub mod websocket;

use std::sync::Arc;

pub use self::recorder::About;
use crate::block::{Account, Block, Head, Marker, RawBlock, Tally};

/// One block as it comes out of the recorder's packed ring.
#[derive(Debug, Clone, Copy)]
pub struct PackedBlock<'a> {
    /// Where the block stands.
    pub head: Head,
    /// Frames missing directly before it, by cause.
    pub gap: Tally,
    /// `n_frames` frames, each of `n_channels` codes and then `n_chips` status words
    /// ([`ChipStatus`](crate::block::ChipStatus)), 3 bytes each, little-endian two's complement.
    pub codes: &'a [u8],
}

/// Takes raw blocks to a file. Made when the daemon starts, driven by one thread.
pub trait RawSink: Send {
    /// Begins a recording whose first frame is `first.first_frame`.
    ///
    /// # Errors
    /// When the file cannot be made or there is too little room; nothing is left behind.
    fn open(&mut self, first: &Head) -> Result<(), SinkError>;

    /// Appends a block and the gap before it.
    ///
    /// # Errors
    /// When the disk refuses; the recording is over, what was written stays readable.
    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError>;

    /// The active recording's file ends at the next record boundary and another one begins; nothing where none is active.
    fn rotate(&mut self);

    /// What the next recording, and only that one, will be about.
    fn describe_next(&mut self, about: About);

    /// Notes an event; it is written with the next record that has room for it.
    fn marker(&mut self, marker: Marker);

    /// Brings everything completed to the disk, and the sidecar with it.
    ///
    /// # Errors
    /// As [`RawSink::write`]; [`SinkError::DiskLow`] when free space fell to the configured limit.
    fn sync(&mut self) -> Result<(), SinkError>;

    /// Appends the gap at the end, completes the last record and finishes the file.
    ///
    /// # Errors
    /// As [`RawSink::write`].
    fn close(&mut self, gap_at_end: &Tally) -> Result<(), SinkError>;

    /// Looks at the free space that [`RawSink::progress`] tells, while no recording is open; where that cannot be seen, it
    /// is 0 until the next look.
    fn look(&mut self) {}

    /// What it has done so far, over all recordings.
    fn progress(&self) -> Progress;
}

/// What a [`RawSink`] has done so far, over all of its recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames given to it that stand in a file and that a sync brought to the disk, gaps and padding not counted. (What was
    /// only written may still be lost, and a sync that fails is the last that is heard of it.) Never falls.
    pub frames_delivered: u64,
    /// Bytes that a sync brought to the disk. Never falls.
    pub bytes: u64,
    /// The file in work, or the last one.
    pub file: Option<std::path::PathBuf>,
    /// Free bytes on its file system, as of the last look.
    pub free_bytes: u64,
    /// Markers that wait for room in the file in work.
    pub markers_waiting: usize,
}

/// Why a recording cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The operating system refused.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done: `cannot create`, `cannot write` ...
        what: &'static str,
        /// To which file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Free space is at or below the configured limit: the recording ends cleanly, and none begins.
    #[error("{} has {free_bytes} bytes free, the limit is {limit_bytes}", path.display())]
    DiskLow {
        /// The directory.
        path: std::path::PathBuf,
        /// What is free there.
        free_bytes: u64,
        /// `min_free_gb` in bytes.
        limit_bytes: u64,
    },
    /// The stream does not fit the format.
    #[error("{0}")]
    Format(String),
}

/// One block on its way to live clients.
#[derive(Debug, Clone)]
pub struct LiveBlock {
    /// Where it stands; `lost` counts what the whole way to here lost.
    pub head: Head,
    /// Since when its stream has been as it is.
    pub epoch: Epoch,
    /// Its samples.
    pub samples: Samples,
}

impl LiveBlock {
    /// The index of the first frame, counted over all epochs.
    #[must_use]
    pub fn first_of_all(&self) -> u64 {
        self.head.first_frame.wrapping_add(self.epoch.shift)
    }
}

/// A time in which a stream keeps its shape; a reload begins another one, and may change the rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Counts reloads.
    pub generation: u32,
    /// What is added (modulo 2^64) to an index of this epoch so that all epochs of the stream count on: what is lost on the way
    /// is then told from the index whatever happened to the rate.
    pub shift: u64,
}

/// The samples of a [`LiveBlock`], shared with everyone else who reads them.
#[derive(Debug, Clone)]
pub enum Samples {
    /// Codes of `raw`.
    Codes(Arc<RawBlock>),
    /// A chain's samples, in units.
    Units(Arc<Block>),
}

/// Takes blocks to whoever is connected now. Driven by one thread, which waits in [`LiveSink::wait`].
pub trait LiveSink: Send {
    /// Offers a block of stream number `stream` and the gap before it to all who want it. Never waits for one.
    fn offer(&mut self, stream: usize, block: &LiveBlock, gap: &Tally);

    /// Stream number `stream` is another one from `first_frame` on.
    fn reshaped(&mut self, stream: usize, first_frame: u64);

    /// Stream number `stream` has ended after `gap`.
    fn ended(&mut self, stream: usize, gap: &Tally);

    /// Waits until a socket or the waker has something, at most a second, and does what the sockets want.
    fn wait(&mut self);

    /// Says goodbye to everyone, within a deadline of its own.
    fn finish(&mut self);

    /// The account of a stream, summed over its clients.
    fn account(&self, stream: usize) -> Account;

    /// Counts of the whole sink.
    fn traffic(&self) -> Traffic;
}

/// Counts of a [`LiveSink`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Clients connected now.
    pub clients: usize,
    /// Bytes of messages handed to the kernel.
    pub sent_bytes: u64,
    /// Messages dropped for slow clients.
    pub dropped_messages: u64,
}
