//! How the disk's side tells the intake where a recording begins and ends, without either waiting for the other.
//!
//! The intake owes frames between a begin and an end. Both are *turns* of one counter: odd while a recording is wanted,
//! even while none is. The disk's side alone turns it, and begins a recording only after the end of the one before came
//! out of the ring, so the intake can miss at most one begin together with its end, and sees that by the count.
//!
//! A recording begins with a block that is in the ring already (the oldest that the pre-trigger kept, or the first that
//! was packed on request). The intake therefore learns which frame that was and what the stream had lost before it, and
//! counts all frames from there to where it stands as owed, at once: each frame once, whoever was first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::block::{Cause, Tally};

/// A first frame that stands for "whichever comes next".
const NEXT: u64 = u64::MAX;

/// What the disk's side wants of the intake.
#[derive(Debug, Default)]
pub struct Gate {
    /// Odd: a recording is wanted. Written by the disk's side (`Release`), read by the intake (`Acquire`) at each turn of
    /// its loop: what is stored in the fields below before the counter turns is seen by whoever sees the turn.
    turn: AtomicU64,
    /// The recording's first frame. Written by the disk's side before it turns to odd, read by the intake after; `turn`
    /// orders it.
    first_frame: AtomicU64,
    /// What the stream had lost before that frame, by cause; as `first_frame`.
    lost_before: [AtomicU64; Cause::ALL.len()],
    /// The monotonic instant up to which frames still belong to the recording. Written before the turn to even, which
    /// orders it.
    until_ns: AtomicU64,
    /// Whether blocks go into the ring also while none is owed. Written by the disk's side, read by the intake; `Relaxed`:
    /// a block more or less before a recording changes no count.
    packs: AtomicBool,
    /// The last turn that the intake has counted for. Written by the intake after it counted (`Release`), read by the
    /// disk's side when the ring is closed (`Acquire`), which then counts what the intake never saw.
    seen: AtomicU64,
    /// Set by the intake when the budget was spent and `on_overflow = "stop"`; taken by the disk's side when the
    /// recording's end comes out of the ring, which orders it.
    overflowed: AtomicBool,
}

impl Gate {
    /// A gate that is open from the first block on, or closed.
    #[must_use]
    pub fn new(open: bool) -> Gate {
        let gate = Gate::default();
        gate.first_frame.store(NEXT, Ordering::Relaxed);
        gate.turn.store(u64::from(open), Ordering::Release);
        gate
    }

    /// Whether a recording is wanted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        is_open_in(self.turn.load(Ordering::Acquire))
    }

    /// Whether blocks are packed while no recording is active.
    pub(super) fn pack(&self, packs: bool) {
        self.packs.store(packs, Ordering::Relaxed);
    }

    /// Begins a recording with `first_frame`, before which the stream had lost `lost_before`. The end of the one before
    /// has come out of the ring.
    pub(super) fn open(&self, first_frame: u64, lost_before: &Tally) {
        debug_assert!(!self.is_open(), "a recording begins after the one before has ended");
        self.first_frame.store(first_frame, Ordering::Relaxed);
        for ((_, n_frames), cell) in lost_before.iter().zip(&self.lost_before) {
            cell.store(n_frames, Ordering::Relaxed);
        }
        self.turn.fetch_add(1, Ordering::Release);
    }

    /// Ends the recording with the block that holds the instant `until_ns`: the intake puts the end into the ring behind
    /// it, and owes nothing from there on. Does nothing where none is wanted.
    pub(super) fn shut(&self, until_ns: u64) {
        if self.is_open() {
            self.until_ns.store(until_ns, Ordering::Relaxed);
            self.turn.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether the intake has counted what the last begin owes.
    pub(super) fn was_seen(&self) -> bool {
        // An end that it has not seen takes nothing back.
        self.seen.load(Ordering::Acquire) >= self.turn.load(Ordering::Relaxed).saturating_sub(1) | 1
    }

    /// Whether the recording ended because the budget was spent; tells it once.
    pub(super) fn take_overflowed(&self) -> bool {
        self.overflowed.swap(false, Ordering::Relaxed)
    }
}

/// The intake's side. Real time, all of it: no allocation, no locks, no waiting, no logging.
impl Gate {
    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    pub(super) fn packs(&self) -> bool {
        self.packs.load(Ordering::Relaxed)
    }

    /// The recording's first frame and what was lost before it; `None`: the next frame that there is.
    pub(super) fn begin(&self) -> Option<(u64, Tally)> {
        let first_frame = self.first_frame.load(Ordering::Relaxed);
        let mut lost = Tally::default();
        for (cause, cell) in Cause::ALL.into_iter().zip(&self.lost_before) {
            lost.add(cause, cell.load(Ordering::Relaxed));
        }
        (first_frame != NEXT).then_some((first_frame, lost))
    }

    pub(super) fn until_ns(&self) -> u64 {
        self.until_ns.load(Ordering::Relaxed)
    }

    pub(super) fn has_seen(&self, turn: u64) {
        self.seen.store(turn, Ordering::Release);
    }

    pub(super) fn overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }
}

/// Whether a recording is wanted in this turn.
pub(super) fn is_open_in(turn: u64) -> bool {
    turn % 2 == 1
}
