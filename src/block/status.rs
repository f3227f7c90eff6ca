//! The status word that a chip puts into every frame, in the one form in which stream, recorder and readers see it.

/// One chip's status of one frame, 24 bits, so that a BDF signal holds it as it is (bit 23 stays 0: never negative).
///
/// | bits | hold |
/// |---|---|
/// | 0 to 3 | the general-purpose pins GPIO1 to GPIO4: sample-exact trigger inputs |
/// | 4 to 11 | negative electrodes that are off, one bit for each of the chip's channels (bit 4: channel 1) |
/// | 12 to 19 | positive electrodes that are off, likewise |
/// | 20 | the frame is suspect: its status nibble was wrong, or a check failed |
/// | 21 | a channel of the chip is stuck: the same code for a quarter of a second |
/// | 22 | a channel of the chip is within 5 % of an end of its range |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChipStatus(pub u32);

impl ChipStatus {
    /// The bits as the sidecar of a recording explains them: which, and what it means that they are set.
    pub const BITS: [(&'static str, &'static str); 6] = [
        ("bits 0 to 3", "GPIO1 to GPIO4, trigger inputs: high"),
        ("bits 4 to 11", "negative electrode of the chip's channel 1 to 8: off"),
        ("bits 12 to 19", "positive electrode of the chip's channel 1 to 8: off"),
        ("bit 20", "suspect: the status nibble was wrong or a check failed; or the frame was lost and is filled in"),
        ("bit 21", "a channel of the chip is stuck: the same code for a quarter of a second"),
        ("bit 22", "a channel of the chip is within 5 % of an end of its range"),
    ];
    /// The frame is not to be trusted.
    pub const SUSPECT: ChipStatus = ChipStatus(1 << 20);
    /// A channel repeats the same code.
    pub const STUCK: ChipStatus = ChipStatus(1 << 21);
    /// A channel is near an end of its range.
    pub const SATURATED: ChipStatus = ChipStatus(1 << 22);

    /// The word of these electrodes and pins, without conditions.
    #[must_use]
    pub const fn of(positive_off: u8, negative_off: u8, gpio: u8) -> ChipStatus {
        ChipStatus((positive_off as u32) << 12 | (negative_off as u32) << 4 | (gpio as u32 & 0x0F))
    }

    /// This word with `other`'s bits as well.
    #[must_use]
    pub const fn with(self, other: ChipStatus) -> ChipStatus {
        ChipStatus(self.0 | other.0)
    }

    /// Whether all of `other`'s bits are set.
    #[must_use]
    pub const fn has(self, other: ChipStatus) -> bool {
        self.0 & other.0 == other.0
    }

    /// The general-purpose pins, GPIO1 in bit 0.
    #[must_use]
    pub const fn gpio(self) -> u8 {
        (self.0 & 0x0F) as u8
    }

    /// Negative electrodes that are off.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the eight bits are meant")]
    pub const fn negative_off(self) -> u8 {
        (self.0 >> 4) as u8
    }

    /// Positive electrodes that are off.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the eight bits are meant")]
    pub const fn positive_off(self) -> u8 {
        (self.0 >> 12) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_own_bits() {
        let word = ChipStatus::of(0x85, 0x12, 0x0A).with(ChipStatus::SUSPECT);
        assert_eq!(word.0, 0x10_0000 | 0x85 << 12 | 0x12 << 4 | 0x0A);
        assert_eq!((word.positive_off(), word.negative_off(), word.gpio()), (0x85, 0x12, 0x0A));
        assert!(word.has(ChipStatus::SUSPECT) && !word.has(ChipStatus::STUCK));
    }
}
