//! The fault menu: what can go wrong with chips, bus, DRDY, clock and host, and when it shall.

/// A fault and when it strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Planned {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Before anything else.
    PowerUp,
    /// Just before this conversion of the run is complete, which is the first to suffer.
    Conversion(u64),
    /// Before any conversion of the run, with this probability each.
    Chance(f64),
}

/// Chips, counted through all selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// This one.
    Chip(usize),
}

impl Which {
    pub(super) fn has(self, chip: usize) -> bool {
        matches!(self, Which::All) || self == Which::Chip(chip)
    }
}

/// One side of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// INxP.
    P,
    /// INxN.
    N,
}

/// What goes wrong. `n` is for how many conversions, by time; `u64::MAX` is for ever. A fault that strikes again while
/// it lasts lasts until the later end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The chip's register ID reads `id` from now on.
    WrongId {
        /// The chip.
        chip: usize,
        /// What it reads.
        id: u8,
    },
    /// A power glitch: all registers to their values after reset, RDATAC, 250 SPS where START is high.
    Revert {
        /// Whom.
        chips: Which,
    },
    /// The supply dips: a power-on reset, in which the chip hears nothing for 128 ms and puts zeros out.
    BrownOut {
        /// Whom.
        chips: Which,
    },
    /// No fault: the board drives other levels into the chip's GPIO pins from now on.
    Gpio {
        /// The chip.
        chip: usize,
        /// Bit 0 is GPIO1.
        levels: u8,
    },
    /// The next `n_writes` to one register have no effect.
    WritesDropped {
        /// The chip.
        chip: usize,
        /// The register.
        address: u8,
        /// How many.
        n_writes: u32,
    },
    /// The next `n_commands` SDATAC have no effect.
    SdatacIgnored {
        /// The chip.
        chip: usize,
        /// How many.
        n_commands: u32,
    },
    /// The chip's DOUT stays low: its registers and frames read 0.
    Zeros {
        /// The chip.
        chip: usize,
        /// For how long.
        n: u64,
    },
    /// The sync nibble reads 1000.
    NibbleBad {
        /// The chip.
        chip: usize,
        /// For how long.
        n: u64,
    },
    /// The chip puts out the same frame again and again.
    FrameStuck {
        /// The chip.
        chip: usize,
        /// For how long.
        n: u64,
    },
    /// One channel keeps its code.
    ChannelStuck {
        /// The chip.
        chip: usize,
        /// The channel of the chip, from 0.
        channel: usize,
        /// For how long.
        n: u64,
    },
    /// One channel is at full scale.
    Rail {
        /// The chip.
        chip: usize,
        /// The channel of the chip, from 0.
        channel: usize,
        /// At -FS instead of +FS.
        negative: bool,
        /// For how long.
        n: u64,
    },
    /// Its output wire stands still behind the status word: channels read a code that is nobody's.
    Constant {
        /// The chip.
        chip: usize,
        /// The first channel of the chip that does, from 0.
        from_channel: usize,
        /// The code.
        code: i32,
        /// For how long.
        n: u64,
    },
    /// An electrode comes off.
    ElectrodeOff {
        /// The chip.
        chip: usize,
        /// The channel of the chip, from 0.
        channel: usize,
        /// Which electrode.
        side: Side,
        /// For how long.
        n: u64,
    },
    /// The chip has no master clock; when it comes back the filter settles anew.
    NoClock {
        /// Whom.
        chips: Which,
        /// For how long.
        n: u64,
    },
    /// The master clock is off by so much more.
    ClockOff {
        /// By how much.
        ppm: f64,
        /// For how long; `u64::MAX` makes it a step.
        n: u64,
    },
    /// So many undefined bits between the chips of a chain.
    GapBits {
        /// 0 or 1.
        bits: usize,
        /// For how long.
        n: u64,
    },
    /// SCLK edges too many: everything read through the select has moved to the left.
    BitShift {
        /// The select.
        select: usize,
        /// By how many bits.
        bits: usize,
        /// For how long.
        n: u64,
    },
    /// No chip drives the host's input: it reads `level` throughout.
    Float {
        /// The select.
        select: usize,
        /// What every byte reads.
        level: u8,
        /// For how long.
        n: u64,
    },
    /// The next transfers fail with this `errno`, and nothing is clocked.
    TransferFails {
        /// 5 is EIO.
        errno: i32,
        /// How many.
        n_transfers: u32,
    },
    /// The next transfers time out, and nothing is clocked.
    TransferTimesOut {
        /// How many.
        n_transfers: u32,
    },
    /// The next transfers say that half of their bytes came; nothing is clocked.
    TransferShort {
        /// How many.
        n_transfers: u32,
    },
    /// The next edges make no interrupt.
    EdgesDropped {
        /// How many.
        n_edges: u32,
    },
    /// The kernel's thread does not run during the next edges: their interrupts are counted, and one event comes at
    /// the last of them.
    EdgesCoalesced {
        /// How many become one.
        n_edges: u32,
    },
    /// Interrupts are off during the next edges: one interrupt and one event come at the last of them.
    EdgesMerged {
        /// How many become one.
        n_edges: u32,
    },
    /// An edge without a conversion, half a period before the next one.
    EdgeSpurious,
    /// Edges are seen late, by at most so much, evenly spread.
    EdgeJitter {
        /// At most.
        jitter_ns: u64,
        /// For how long.
        n: u64,
    },
    /// The next rise of the START pin bounces: it is there for good only after so much.
    StartBounces {
        /// How long it bounces.
        for_us: u32,
    },
    /// The host's thread sleeps on after the next edge that it waits for.
    WakeLate {
        /// For how long, in microseconds.
        us: u32,
    },
}

impl Fault {
    /// For how many conversions it lasts; 0 for those that are over at once or count something else.
    pub(super) fn lasts(self) -> u64 {
        match self {
            Fault::Zeros { n, .. }
            | Fault::NibbleBad { n, .. }
            | Fault::FrameStuck { n, .. }
            | Fault::ChannelStuck { n, .. }
            | Fault::Rail { n, .. }
            | Fault::Constant { n, .. }
            | Fault::ElectrodeOff { n, .. }
            | Fault::NoClock { n, .. }
            | Fault::ClockOff { n, .. }
            | Fault::GapBits { n, .. }
            | Fault::BitShift { n, .. }
            | Fault::Float { n, .. }
            | Fault::EdgeJitter { n, .. } => n,
            _ => 0,
        }
    }

    /// Whether it is done to what a transfer reads, and not to what is converted.
    pub(super) fn is_of_wires(self) -> bool {
        matches!(self, Fault::GapBits { .. } | Fault::BitShift { .. } | Fault::Float { .. })
    }

    /// Whether the host may have to bring chips up again because of it, so that a START that follows does not begin
    /// a run.
    pub(super) fn disturbs(self) -> bool {
        !matches!(self, Fault::ElectrodeOff { .. } | Fault::Rail { .. } | Fault::Gpio { .. })
    }
}
