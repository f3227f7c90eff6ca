//! What a source notices of its converter while it runs: counters and states that the acquisition thread writes and
//! whoever shows them reads. Metrics, status and `/healthz` are made from these.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What was wrong with a transfer, the label of `biosigd_spi_errors_total{kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpiErrorKind {
    /// The kernel answered with an error.
    Io,
    /// The controller timed out.
    Timeout,
    /// Fewer bytes came than were asked for.
    Short,
}

impl SpiErrorKind {
    /// Every kind, in the order of its index.
    pub const ALL: [SpiErrorKind; 3] = [SpiErrorKind::Io, SpiErrorKind::Timeout, SpiErrorKind::Short];

    /// The name used in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SpiErrorKind::Io => "io",
            SpiErrorKind::Timeout => "timeout",
            SpiErrorKind::Short => "short",
        }
    }
}

/// How an edge of DRDY departed from one for each conversion, the label of `biosigd_drdy_departures_total{kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// The kernel's thread found it merged with a later one.
    Merged,
    /// The kernel's queue dropped its event.
    Overflowed,
    /// A conversion without any edge.
    Unseen,
    /// An edge without a conversion.
    Spurious,
    /// A frame was read and not used, because it could not be told which of several conversions it held.
    Discarded,
}

impl EdgeKind {
    /// Every kind, in the order of its index.
    pub const ALL: [EdgeKind; 5] =
        [EdgeKind::Merged, EdgeKind::Overflowed, EdgeKind::Unseen, EdgeKind::Spurious, EdgeKind::Discarded];

    /// The name used in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EdgeKind::Merged => "merged",
            EdgeKind::Overflowed => "overflowed",
            EdgeKind::Unseen => "unseen",
            EdgeKind::Spurious => "spurious",
            EdgeKind::Discarded => "discarded",
        }
    }
}

/// What is wrong with a chip that fails, for whoever goes to look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChipFault {
    /// Its sync nibble is wrong, or what its outputs echo.
    StatusWord,
    /// Nothing but zeros comes.
    Zeros,
    /// Nothing but ones comes.
    Ones,
    /// The same frame comes again and again.
    SameFrame,
    /// A register does not hold what was written.
    Register,
    /// It does not give its ID.
    NoAnswer,
    /// Transfers to it fail.
    Transfer,
}

impl ChipFault {
    const ALL: [ChipFault; 7] = [
        ChipFault::StatusWord,
        ChipFault::Zeros,
        ChipFault::Ones,
        ChipFault::SameFrame,
        ChipFault::Register,
        ChipFault::NoAnswer,
        ChipFault::Transfer,
    ];

    /// The fault that [`Signs::chip_faults`] holds as this number; `None` for 0.
    #[must_use]
    pub fn of(number: u8) -> Option<ChipFault> {
        ChipFault::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// As [`Signs::chip_faults`] holds it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// In words, after "chip 2 fails: ".
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            ChipFault::StatusWord => "status word wrong",
            ChipFault::Zeros => "every bit is 0",
            ChipFault::Ones => "every bit is 1",
            ChipFault::SameFrame => "the same frame again and again",
            ChipFault::Register => "a register does not hold what was written",
            ChipFault::NoAnswer => "it does not give its ID",
            ChipFault::Transfer => "transfers fail",
        }
    }
}

/// One electrode.
#[derive(Debug, Default)]
pub struct SideSigns {
    /// Whether it is watched.
    pub watched: AtomicBool,
    /// Whether it is off.
    pub off: AtomicBool,
}

/// The electrodes of one channel.
#[derive(Debug, Default)]
pub struct ElectrodeSigns {
    /// Whether an electrode of the channel is watched at all.
    pub watched: AtomicBool,
    /// Whether one is off.
    pub off: AtomicBool,
    /// The positive one and the negative one.
    pub sides: [SideSigns; 2],
    /// Bits of an `f64`; see [`ElectrodeSigns::impedance_ohms`].
    impedance: AtomicU64,
}

impl ElectrodeSigns {
    /// Sets the impedance that was measured last, in ohms.
    pub fn set_impedance_ohms(&self, ohms: f64) {
        self.impedance.store(ohms.to_bits(), Ordering::Relaxed);
    }

    /// What was measured last says nothing of now.
    pub fn forget_impedance(&self) {
        self.impedance.store(0, Ordering::Relaxed);
    }

    /// The impedance that was measured last, in ohms; `None` where none was measured.
    #[must_use]
    pub fn impedance_ohms(&self) -> Option<f64> {
        match self.impedance.load(Ordering::Relaxed) {
            0 => None,
            bits => Some(f64::from_bits(bits)),
        }
    }
}

/// The signs of one source. Written by the acquisition thread alone, read anywhere. `Relaxed` everywhere: each value
/// stands for itself, and orders nothing else.
#[derive(Debug, Default)]
pub struct Signs {
    /// Failed transfers, in the order of [`SpiErrorKind::ALL`].
    pub spi_errors: [AtomicU64; SpiErrorKind::ALL.len()],
    /// Frames whose status word was wrong, by chip.
    pub sync_errors: Vec<AtomicU64>,
    /// Frames that were flagged suspect, for whatever reason, by chip.
    pub suspect_frames: Vec<AtomicU64>,
    /// Frames in which a channel was stuck, by channel of the stream.
    pub stuck_frames: Vec<AtomicU64>,
    /// By channel of the stream.
    pub electrodes: Vec<ElectrodeSigns>,
    /// How often the converter was set up again, with every chip.
    pub n_reinits: AtomicU64,
    /// How often that was tried and a chip, or all of them, did not come back.
    pub n_reinits_failed: AtomicU64,
    /// Whether the converter fails now: it is being set up again, or gives no edges.
    pub failing: AtomicBool,
    /// What is wrong with each chip now, as [`ChipFault::number`]; 0: nothing is known to be.
    pub chip_faults: Vec<AtomicU8>,
    /// Whether no edges come.
    pub silent: AtomicBool,
    /// How edges departed from conversions, in the order of [`EdgeKind::ALL`].
    pub edges: [AtomicU64; EdgeKind::ALL.len()],
    /// When every register that can be read was read back and right the last time, `CLOCK_MONOTONIC` nanoseconds; 0: never.
    pub registers_read_ns: AtomicU64,
    /// How far apart START reached the first and the last chip select, nanoseconds; 0 where all see it at once.
    pub start_skew_ns: AtomicU64,
    /// Bits of an `f64`; see [`Signs::rate_hz`].
    rate: AtomicU64,
}

impl Signs {
    /// For this many chips and channels; nothing noticed yet.
    #[must_use]
    pub fn new(n_chips: usize, n_channels: usize) -> Signs {
        Signs {
            sync_errors: (0..n_chips).map(|_| AtomicU64::new(0)).collect(),
            suspect_frames: (0..n_chips).map(|_| AtomicU64::new(0)).collect(),
            chip_faults: (0..n_chips).map(|_| AtomicU8::new(0)).collect(),
            stuck_frames: (0..n_channels).map(|_| AtomicU64::new(0)).collect(),
            electrodes: (0..n_channels).map(|_| ElectrodeSigns::default()).collect(),
            ..Signs::default()
        }
    }

    /// Sets the running estimate of the converter's rate, in frames per second.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn set_rate_hz(&self, rate_hz: f64) {
        self.rate.store(rate_hz.to_bits(), Ordering::Relaxed);
    }

    /// The converter's rate as it is estimated now; `None` before it was measured.
    #[must_use]
    pub fn rate_hz(&self) -> Option<f64> {
        match self.rate.load(Ordering::Relaxed) {
            0 => None,
            bits => Some(f64::from_bits(bits)),
        }
    }

    /// Says what is wrong with a chip, unless more is known of it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn chip_fails_anew(&self, chip: usize, fault: ChipFault) {
        if self.chip_faults[chip].load(Ordering::Relaxed) == 0 {
            self.chip_fails(chip, fault);
        }
    }

    /// Says what is wrong with a chip.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn chip_fails(&self, chip: usize, fault: ChipFault) {
        self.chip_faults[chip].store(fault.number(), Ordering::Relaxed);
    }

    /// Counts a failed transfer.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn spi_error(&self, kind: SpiErrorKind) {
        self.spi_errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}
