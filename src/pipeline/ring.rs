//! The recorder's packed ring: `stall_budget_s` of signal in one preallocated run of bytes, so that a stalled disk
//! costs nothing until the budget is spent, and no slab waits for the disk.
//!
//! One entry is a fixed head and the block's frames: of each its codes, then the status words of its chips, 3 bytes each,
//! little-endian two's complement. So a status word travels as one more column of the frame, and the file gets a signal of
//! it in the same turn. A head without frames says that a recording ends here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::block::{End, Flags, Head, RawBlock, Stream, Tally};

/// Bytes of an entry's head, term by term.
const HEAD_BYTES: usize = 8 // first frame
    + 8 // frames in the block
    + 8 // edge, monotonic
    + 8 // edge, UTC
    + 8 // flags
    + Tally::BYTES; // frames lost since the recorder's first block

/// Bytes of one code, and of one status word.
const CODE_BYTES: usize = 3;

/// The ring's size for `budget_s` seconds of `stream` from `n_chips` chips, in bytes.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and is refused above half of the memory"
)]
pub fn ring_bytes(stream: &Stream, n_chips: usize, budget_s: f64) -> usize {
    let entries = (stream.rate_hz * budget_s / stream.block_frames_max as f64).ceil() as usize;
    let entry_bytes = entry_bytes(stream.n_channels() + n_chips, stream.block_frames_max);
    entries.max(1).saturating_mul(entry_bytes).saturating_add(HEAD_BYTES)
}

/// `n_columns` is what each frame holds: codes and status words.
fn entry_bytes(n_columns: usize, n_frames: usize) -> usize {
    HEAD_BYTES + n_columns * n_frames * CODE_BYTES
}

/// The threads at both ends, so that each can wake the other.
#[derive(Default)]
struct Ends {
    intake: OnceLock<Thread>,
    disk: OnceLock<Thread>,
    /// Set by the intake after its last entry; read by the disk's side before the look that finds the ring empty.
    closed: OnceLock<()>,
    /// The index after the newest frame that was packed. Written by the intake, read by the disk's side to see how old
    /// the oldest is; `Relaxed`, it is a number by itself.
    next_frame: AtomicU64,
    /// Set by the intake when it finds no room, before it looks once more; taken by the disk's side after it has made room. A
    /// fence between the two on either side (`SeqCst`): one of them sees what the other has done.
    room_is_missed: AtomicBool,
}

impl Ends {
    fn wake_intake(&self) {
        if let Some(intake) = self.intake.get() {
            intake.unpark();
        }
    }
}

/// The intake's end of the ring.
pub struct RingWriter {
    bytes: Producer<u8>,
    budget_s: f64,
    /// How long a full block lasts, in nanoseconds.
    block_ns: u64,
    entry: Vec<u8>,
    ends: Arc<Ends>,
}

/// The disk's end of the ring.
pub struct RingReader {
    bytes: Consumer<u8>,
    codes: Vec<u8>,
    n_columns: usize,
    ends: Arc<Ends>,
}

/// Makes the ring for `budget_s` seconds of `stream` from `n_chips` chips. Allocates and touches all of it.
#[must_use]
pub fn ring(stream: &Stream, n_chips: usize, budget_s: f64) -> (RingWriter, RingReader) {
    let (producer, consumer) = RingBuffer::new(ring_bytes(stream, n_chips, budget_s));
    let ends = Arc::new(Ends::default());
    let n_columns = stream.n_channels() + n_chips;
    let block_ns = stream.duration_ns(stream.block_frames_max as u64).unsigned_abs();
    let entry = Vec::with_capacity(entry_bytes(n_columns, stream.block_frames_max));
    let codes = vec![0; n_columns * stream.block_frames_max * CODE_BYTES];
    (
        RingWriter { bytes: producer, budget_s, block_ns, entry, ends: Arc::clone(&ends) },
        RingReader { bytes: consumer, codes, n_columns, ends },
    )
}

impl RingWriter {
    /// Names the calling thread as the intake.
    pub fn attach(&self) {
        self.ends.intake.get_or_init(thread::current);
    }

    /// Packs a block in, where there is room for it; false where there is not. `lost` is all that was lost since
    /// the recorder's first block.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn push(&mut self, block: &RawBlock, lost: &Tally) -> bool {
        // One more head must always fit: the recording's end.
        let (n_channels, n_chips) = (block.n_channels(), block.n_chips());
        if !self.has_room(entry_bytes(n_channels + n_chips, block.head.n_frames) + HEAD_BYTES) {
            return false;
        }
        self.begin_entry(&block.head, lost);
        if n_chips == 0 {
            block.codes().iter().for_each(|code| self.pack(code.to_le_bytes()));
        } else {
            let words = block.status().chunks_exact(n_chips);
            for (codes, words) in block.codes().chunks_exact(n_channels).zip(words) {
                codes.iter().for_each(|code| self.pack(code.to_le_bytes()));
                words.iter().for_each(|word| self.pack(word.to_le_bytes()));
            }
        }
        self.ends.next_frame.store(block.head.next_frame(), Ordering::Relaxed);
        self.push_entry()
    }

    /// Says that the recording ends here; there is always room for that.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn end_recording(&mut self, end: &End) {
        self.begin_entry(&Head { first_frame: end.next_frame, ..Head::default() }, &end.lost);
        let pushed = self.push_entry();
        debug_assert!(pushed, "room for one head is kept");
    }

    /// How long a full block lasts, in nanoseconds.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn block_ns(&self) -> u64 {
        self.block_ns
    }

    /// What waits in the ring, in seconds of signal.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn backlog_s(&self) -> f64 {
        (1.0 - self.bytes.slots() as f64 / self.bytes.buffer().capacity() as f64) * self.budget_s
    }

    /// Where there is none, the disk's side wakes the intake as soon as it has taken a block.
    fn has_room(&self, n_bytes: usize) -> bool {
        if self.bytes.slots() >= n_bytes {
            return true;
        }
        self.ends.room_is_missed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.bytes.slots() >= n_bytes
    }

    fn begin_entry(&mut self, head: &Head, lost: &Tally) {
        self.entry.clear();
        let words = [head.first_frame, head.n_frames as u64, head.edge_ns, head.edge_utc_ns, u64::from(head.flags.0)];
        for word in words {
            self.entry.extend_from_slice(&word.to_le_bytes());
        }
        self.entry.extend_from_slice(&lost.to_bytes());
    }

    fn pack(&mut self, [low, middle, high, _]: [u8; 4]) {
        self.entry.extend_from_slice(&[low, middle, high]);
    }

    fn push_entry(&mut self) -> bool {
        let pushed = self.bytes.push_entire_slice(&self.entry).is_ok();
        self.wake_disk();
        pushed
    }

    fn wake_disk(&self) {
        if let Some(disk) = self.ends.disk.get() {
            disk.unpark();
        }
    }
}

impl Drop for RingWriter {
    /// There will be no more; also when the intake died.
    fn drop(&mut self) {
        self.ends.closed.get_or_init(|| ());
        self.wake_disk();
    }
}

/// What a look into the ring shows.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    /// A block with this head.
    Block(Head),
    /// The end of a recording.
    RecordingEnded,
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
}

/// What was taken out of the ring.
pub enum Taken<'a> {
    /// A block: its head (`lost` counts since the recorder's first block) and its packed frames.
    Block(Head, &'a [u8]),
    /// The recording ends here.
    RecordingEnded(End),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Closed,
}

impl RingReader {
    /// Names the calling thread as the one that brings the ring to the disk.
    pub fn attach(&self) {
        self.ends.disk.get_or_init(thread::current);
    }

    /// Takes the oldest block, and wakes an intake that waits for room.
    pub fn take(&mut self) -> Taken<'_> {
        let closed = self.ends.closed.get().is_some();
        let mut head_bytes = [0; HEAD_BYTES];
        if self.bytes.pop_entire_slice(&mut head_bytes).is_err() {
            return if closed { Taken::Closed } else { Taken::Empty };
        }
        let head = unpack_head(&head_bytes);
        if head.n_frames == 0 {
            return Taken::RecordingEnded(End { next_frame: head.first_frame, lost: head.lost });
        }
        // The head says how much follows, and an entry is pushed as a whole: the codes are there.
        let codes = &mut self.codes[..head.n_frames * self.n_columns * CODE_BYTES];
        let whole = self.bytes.pop_entire_slice(codes).is_ok();
        debug_assert!(whole, "an entry is pushed as a whole");
        // Fast because an intake that waits for its link, and not for room, is left alone: woken with every block, it went to
        // sleep 200 times a second instead of 100 (`bench/recorder`).
        fence(Ordering::SeqCst);
        if self.ends.room_is_missed.load(Ordering::Relaxed) && self.ends.room_is_missed.swap(false, Ordering::Relaxed) {
            self.ends.wake_intake();
        }
        Taken::Block(head, codes)
    }

    /// What comes next, which stays where it is. One look tells all of it: a block that is pushed afterwards is the next
    /// look's, and cannot be taken for nothing.
    #[must_use]
    pub fn peek(&mut self) -> Next {
        let closed = self.ends.closed.get().is_some();
        let Ok(chunk) = self.bytes.read_chunk(HEAD_BYTES) else {
            return if closed { Next::Closed } else { Next::Empty };
        };
        let (first, second) = chunk.as_slices();
        let mut bytes = [0; HEAD_BYTES];
        bytes[..first.len()].copy_from_slice(first);
        bytes[first.len()..].copy_from_slice(second);
        let head = unpack_head(&bytes);
        if head.n_frames == 0 { Next::RecordingEnded } else { Next::Block(head) }
    }

    /// The index after the newest frame that was packed.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.ends.next_frame.load(Ordering::Relaxed)
    }

    /// Whether there will be no more than what is in it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ends.closed.get().is_some()
    }

    /// Wakes the intake, to look at its gate.
    pub fn wake_intake(&self) {
        self.ends.wake_intake();
    }

    /// How full the ring is, 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.bytes.slots() as f64 / self.bytes.buffer().capacity() as f64
    }
}

fn unpack_head(bytes: &[u8; HEAD_BYTES]) -> Head {
    let word = |i: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
        u64::from_le_bytes(word)
    };
    let mut tally = [0; Tally::BYTES];
    tally.copy_from_slice(&bytes[HEAD_BYTES - Tally::BYTES..]);
    let [flags, ..] = word(4).to_le_bytes();
    Head {
        first_frame: word(0),
        n_frames: usize::try_from(word(1)).unwrap_or(usize::MAX),
        edge_ns: word(2),
        edge_utc_ns: word(3),
        flags: Flags(flags),
        lost: Tally::from_bytes(&tally),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Cause, Channel};

    fn stream(n_channels: usize, block_frames_max: usize) -> Stream {
        let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0); n_channels];
        Stream { rate_hz: 1000.0, channels, block_frames_max, ratio: 1, delay_s: 0.0 }
    }

    #[test]
    fn what_goes_in_comes_out_also_across_the_ring_s_end() {
        let stream = stream(3, 7);
        let (mut writer, mut reader) = ring(&stream, 0, 0.020);
        let mut lost = Tally::default();
        for turn in 0..50_u32 {
            let mut block = RawBlock::new(&stream, 0);
            let n_frames = 1 + turn as usize % 7;
            let edge_ns = u64::from(turn);
            block.head =
                Head { first_frame: edge_ns * 7, n_frames, edge_ns, edge_utc_ns: edge_ns + 1, ..Head::default() };
            lost.add(Cause::RingFull, u64::from(turn));
            for (i, code) in (0_i32..).zip(block.slab_mut()) {
                *code = if turn % 2 == 0 { i * 1000 - 8_388_608 } else { 8_388_607 - i };
            }
            assert!(writer.push(&block, &lost));
            let expected: Vec<u8> = block.codes().iter().flat_map(|code| code.to_le_bytes()[..3].to_vec()).collect();
            match reader.take() {
                Taken::Block(head, codes) => {
                    assert_eq!(head, Head { lost, ..block.head });
                    assert_eq!(codes, expected);
                }
                _ => panic!("the block is there"),
            }
        }
        writer.end_recording(&End { next_frame: 350, lost });
        drop(writer);
        assert!(matches!(reader.take(), Taken::RecordingEnded(End { next_frame: 350, .. })));
        assert!(matches!(reader.take(), Taken::Closed));
    }

    #[test]
    fn status_words_stand_behind_the_codes_of_their_frame() {
        let stream = stream(3, 4);
        let (mut writer, mut reader) = ring(&stream, 2, 0.004);
        assert_eq!(ring_bytes(&stream, 2, 0.004), HEAD_BYTES + 4 * (3 + 2) * 3 + HEAD_BYTES);
        let mut block = RawBlock::new(&stream, 2);
        block.head.n_frames = 2;
        for (code, value) in block.slab_mut().iter_mut().zip([1, 2, 3, -1, -2, -3]) {
            *code = value;
        }
        for (word, value) in block.status_mut().iter_mut().zip([0x10_0003, 0, 0x05_0000, 0x7F_FFFF]) {
            *word = value;
        }
        assert!(writer.push(&block, &Tally::default()));
        let Taken::Block(_, frames) = reader.take() else { panic!("the block is there") };
        let first = [1, 0, 0, 2, 0, 0, 3, 0, 0, 3, 0, 0x10, 0, 0, 0];
        let second = [0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFD, 0xFF, 0xFF, 0, 0, 5, 0xFF, 0xFF, 0x7F];
        assert_eq!(frames, [first, second].concat());
        // The whole budget fits, with the words of every chip, and what packs it was made large enough.
        let capacity = writer.entry.capacity();
        block.head.n_frames = 4;
        assert!(writer.push(&block, &Tally::default()));
        assert!(!writer.push(&block, &Tally::default()));
        assert_eq!(writer.entry.capacity(), capacity);
    }

    #[test]
    fn a_full_ring_refuses_and_says_so() {
        let stream = stream(2, 10);
        let (mut writer, mut reader) = ring(&stream, 0, 0.030);
        writer.attach();
        let mut block = RawBlock::new(&stream, 0);
        block.head.n_frames = 10;
        let pushed = (0..5).filter(|_| writer.push(&block, &Tally::default())).count();
        assert_eq!(pushed, 3);
        writer.end_recording(&End::default());
        // Whoever was refused is woken by the next block that is taken.
        reader.take();
        let parked_ns = crate::rt::now_ns();
        thread::park_timeout(std::time::Duration::from_secs(60));
        assert!(crate::rt::now_ns() - parked_ns < 60_000_000_000);
    }
}
