//! What the simulator knows it did, for the tests that hold it against what the driver says: counters, and notes of
//! everything out of the ordinary. A run in which all goes well makes one note, so a simulated day stays small.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

/// A time that the host did not give the chips; what was sent with it had no effect, unless stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Less than 4 tCLK between two bytes of commands (tSDECODE).
    Decode,
    /// CS rose less than 4 tCLK after the last SCLK edge of a command (tSCCS).
    Hold,
    /// CS was high for less than 2 tCLK (tCSH); noted alone.
    SelectHigh,
    /// SCLK above 20 MHz; noted alone.
    Clock,
    /// A command came within the 18 tCLK after a reset, or before the power-on reset was over.
    Busy,
    /// CS rose within a command.
    Partial,
    /// A byte that is not 0 came in standby and was not WAKEUP.
    Standby,
    /// A byte that is not 0 and not SDATAC came while the chip streamed.
    Streaming,
    /// A reserved bit was written with the wrong value; it keeps the right one, the others are written.
    Reserved,
    /// RESET was low for less than 2 tCLK.
    ResetPulse,
    /// RESET rose before the power-on reset was over; it had no effect.
    ResetEarly,
    /// Another command than SDATAC, RESET and RREG came to a chip that had no RESET since its power-on reset; noted alone.
    Unreset,
}

/// Something out of the ordinary. Conversions are indices of the run; chips are counted through all selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A run began: its conversion 0 will be complete at this instant. The counters of conversions start again.
    RunBegan {
        /// When conversion 0 is complete.
        first_ns: u64,
    },
    /// Indices passed while a chip did not convert: it starts again with conversion `first + n`.
    Down {
        /// The chip.
        chip: usize,
        /// The first index it did not make.
        first: u64,
        /// How many.
        n: u64,
    },
    /// A read latched a conversion later than the one that follows the conversion read before.
    Skipped {
        /// The chip select.
        select: usize,
        /// The index that should have been read.
        first: u64,
        /// The one that was.
        read: u64,
        /// Conversions made in between that nobody read.
        n_unread: u64,
    },
    /// A read latched the conversion that was read before.
    Repeated {
        /// The chip select.
        select: usize,
        /// The conversion.
        conversion: u64,
    },
    /// A frame was read that is not what the converters should have made, or that did not arrive as it was.
    Touched {
        /// The chip select.
        select: usize,
        /// The conversion, of the first chip of the select.
        conversion: u64,
        /// One bit per chip of the bench.
        chips: u32,
        /// By what.
        by: Touched,
    },
    /// A transfer failed.
    Failed {
        /// The chip select.
        select: usize,
        /// The latest conversion at that time.
        conversion: u64,
    },
    /// A fault of the plan struck.
    Struck {
        /// Its place in [`super::Setup::faults`].
        fault: usize,
        /// The conversion that is the first to suffer.
        conversion: u64,
        /// When.
        at_ns: u64,
    },
    /// The host did not keep a time.
    Violation {
        /// The chip.
        chip: usize,
        /// When.
        at_ns: u64,
        /// Which time.
        violation: Violation,
    },
}

/// What spoiled a frame: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched(u16);

impl Touched {
    /// Nothing.
    pub const NONE: Touched = Touched(0);
    /// The chip put out zeros.
    pub const ZEROS: Touched = Touched(1);
    /// The sync nibble was wrong.
    pub const NIBBLE: Touched = Touched(1 << 1);
    /// The chip put out an old frame.
    pub const FRAME_STUCK: Touched = Touched(1 << 2);
    /// A channel kept its code.
    pub const CHANNEL_STUCK: Touched = Touched(1 << 3);
    /// A channel was at full scale.
    pub const RAIL: Touched = Touched(1 << 4);
    /// An electrode was off.
    pub const ELECTRODE_OFF: Touched = Touched(1 << 5);
    /// The chip had no clock.
    pub const NO_CLOCK: Touched = Touched(1 << 6);
    /// The chip had gone back to its defaults.
    pub const REVERTED: Touched = Touched(1 << 7);
    /// The chip's frame was of another conversion than that of the first chip of the select.
    pub const OUT_OF_STEP: Touched = Touched(1 << 8);
    /// Bits were shifted on the bus, or between the chips.
    pub const SHIFT: Touched = Touched(1 << 9);
    /// The host's input floated.
    pub const FLOAT: Touched = Touched(1 << 10);
    /// The read straddled the update of the output register (RDATAC).
    pub const STRADDLE: Touched = Touched(1 << 11);

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Touched) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn with(self, other: Touched) -> Touched {
        Touched(self.0 | other.0)
    }

    pub(super) const fn with_if(self, so: bool, other: Touched) -> Touched {
        if so { self.with(other) } else { self }
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted. Conversions and reads since the run began, the others since power-up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            const N: usize = [$(stringify!($name)),*].len();

            fn to_array(self) -> [u64; Counts::N] {
                [$(self.$name),*]
            }

            fn from_array(values: [u64; Counts::N]) -> Counts {
                let [$($name),*] = values;
                Counts { $($name),* }
            }
        }
    };
}

counts! {
    /// The index after the last conversion there was.
    n_conversions,
    /// Conversions that the chip behind DRDY made.
    n_made,
    /// Indices that passed while it was down, or converted at another rate.
    n_down,
    /// Frames read through the first select, each conversion and each repetition.
    n_reads,
    /// Conversions of the first select that were made and that nobody read, those after the last read left out.
    n_unread,
    /// Frames read through the first select that had been read before.
    n_repeated,
    /// Transfers.
    n_transfers,
    /// Of those that were read, the frames of the first select that are not as they should be.
    n_touched,
    /// Transfers that failed.
    n_failed,
    /// Faults that struck.
    n_faults,
    /// Edges of DRDY, spurious ones included.
    n_edges,
    /// Edges without a conversion.
    n_edges_spurious,
    /// Edges that made no interrupt.
    n_edges_dropped,
    /// Edges that became one interrupt with the next one.
    n_edges_merged,
    /// Interrupts that became one event with the one before.
    n_edges_coalesced,
    /// Hard interrupts made of them.
    n_interrupts,
    /// Events made of those.
    n_events,
    /// Events that the kernel's full queue dropped.
    n_overflowed,
    /// Times not kept.
    n_violations,
    /// Notes that found no place.
    n_notes_lost,
}

/// The view from outside; cloning shares it. The simulator may be on another thread.
#[derive(Debug, Clone)]
pub struct Truth(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    counts: [AtomicU64; Counts::N],
    notes: ArrayQueue<Note>,
    /// Set by `arm`, taken by the next START.
    arm: AtomicBool,
}

impl Truth {
    pub(super) fn new(notes_max: usize) -> Truth {
        Truth(Arc::new(Shared {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            notes: ArrayQueue::new(notes_max.max(1)),
            arm: AtomicBool::new(false),
        }))
    }

    /// The counters as of the last transfer, wait or pin.
    #[must_use]
    pub fn counts(&self) -> Counts {
        // Relaxed, as in `publish`: every counter stands for itself. Who wants them all of one instant stops the
        // simulator first, which orders everything.
        Counts::from_array(std::array::from_fn(|i| self.0.counts[i].load(Ordering::Relaxed)))
    }

    /// Takes the oldest note.
    #[must_use]
    pub fn take(&self) -> Option<Note> {
        self.0.notes.pop()
    }

    /// Takes all notes there are.
    pub fn notes(&self) -> impl Iterator<Item = Note> + '_ {
        std::iter::from_fn(|| self.take())
    }

    /// The next START begins a run at index 0, and no later one does until this is called again.
    pub fn arm(&self) {
        // Relaxed, as in `take_arm`: the flag carries nothing with it.
        self.0.arm.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_arm(&self) -> bool {
        self.0.arm.swap(false, Ordering::Relaxed)
    }

    pub(super) fn publish(&self, counts: &Counts) {
        for (shared, value) in self.0.counts.iter().zip(counts.to_array()) {
            shared.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn note(&self, counts: &mut Counts, note: Note) {
        // A chip that never hears what it is told makes one with every read: they may not crowd out the rest.
        let may = !matches!(note, Note::Violation { .. }) || self.0.notes.len() < self.0.notes.capacity() / 2;
        if !may || self.0.notes.push(note).is_err() {
            counts.n_notes_lost += 1;
        }
    }
}
