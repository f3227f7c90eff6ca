//! What a block says of itself, apart from its samples.

use super::Tally;

/// Conditions of a block, as bits of the stream's header byte 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// Frames are missing before this block.
    pub const GAP: Flags = Flags(1);
    /// A status word was wrong: the samples were delivered, but are not to be trusted.
    pub const SUSPECT: Flags = Flags(2);
    /// A sample stood at the end of its range.
    pub const SATURATED: Flags = Flags(4);
    /// An electrode was off.
    pub const LEAD_OFF: Flags = Flags(8);

    /// These flags and `other`'s.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other`'s bits are set.
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where a block stands in its stream and in time, and what its stream had lost before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Index of the first frame. For `raw` it counts conversions since start, lost ones included.
    pub first_frame: u64,
    /// Frames in the block.
    pub n_frames: usize,
    /// Monotonic time of the last frame's DRDY edge, in nanoseconds. Its samples stand for that time minus the group delay
    /// of the converter's filter.
    pub edge_ns: u64,
    /// The same instant as UTC, nanoseconds since 1970, estimated from the system clock.
    pub edge_utc_ns: u64,
    /// Frames this stream lost since its start and before this block, by cause.
    pub lost: Tally,
    /// Conditions of this block.
    pub flags: Flags,
}

impl Head {
    /// The index after the block's last frame.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.first_frame + self.n_frames as u64
    }
}
