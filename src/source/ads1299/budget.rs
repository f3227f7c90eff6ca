//! Whether a frame can be clocked out before the next conversion replaces it, as a sum that people can check.

use std::fmt;

use super::board::{Board, ReadMode};
use super::registers::CLOCK_HZ;

/// The last instants of a conversion, in which no read may be under way: 4 cycles of the master clock
/// (SBAS499C, "Data Retrieval", tUPDATE).
pub const KEEP_OUT_NS: f64 = 4.0e9 / CLOCK_HZ;

/// The time of one frame on the wire against the time between two conversions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Bytes of all selects, commands included.
    pub n_bytes: usize,
    /// Transfers for one frame.
    pub n_transfers: usize,
    /// The clock of the controller.
    pub clock_hz: u32,
    /// Frames per second.
    pub rate_hz: f64,
}

impl Budget {
    /// Of `board`, with the clock that the controller makes of its wish.
    #[must_use]
    pub fn of(board: &Board, clock_hz: u32) -> Budget {
        let command = match board.read_mode {
            ReadMode::Rdata => 1,
            ReadMode::Rdatac => 0,
        };
        let n_transfers = board.layout.selects.len();
        Budget {
            n_bytes: board.layout.frame_bytes() + command * n_transfers,
            n_transfers,
            clock_hz,
            rate_hz: board.rate_hz,
        }
    }

    /// Time on the wire, microseconds.
    #[must_use]
    pub fn wire_us(&self) -> f64 {
        self.n_bytes as f64 * 8e6 / f64::from(self.clock_hz)
    }

    /// Time between two conversions, microseconds.
    #[must_use]
    pub fn period_us(&self) -> f64 {
        1e6 / self.rate_hz
    }

    /// What is left for waking up and for the kernel's part of each transfer, microseconds; negative where nothing is.
    #[must_use]
    pub fn slack_us(&self) -> f64 {
        self.period_us() - KEEP_OUT_NS / 1e3 - self.wire_us()
    }

    /// The slowest clock at which nothing would be left, hertz.
    #[must_use]
    pub fn least_clock_hz(&self) -> f64 {
        self.n_bytes as f64 * 8e6 / (self.period_us() - KEEP_OUT_NS / 1e3)
    }

    /// Whether anything is left.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.slack_us() > 0.0
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes of 8 bits at {} Hz take {:.1} us, and {:.2} us before the next conversion nothing may be read: together \
             they must be less than the {:.1} us between two conversions at {} frames per second",
            self.n_bytes,
            self.clock_hz,
            self.wire_us(),
            KEEP_OUT_NS / 1e3,
            self.period_us(),
            self.rate_hz,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_chips_at_4_khz_fit_at_8_mhz_and_not_at_3() {
        let budget = |clock_hz| Budget { n_bytes: 108, n_transfers: 1, clock_hz, rate_hz: 4000.0 };
        // hardware: 864 bits at 8.333 MHz take 103.7 us.
        assert!((budget(8_333_333).wire_us() - 103.68).abs() < 0.01);
        assert!((budget(8_333_333).slack_us() - 144.37).abs() < 0.01);
        assert!(budget(3_490_000).fits() && !budget(3_480_000).fits());
        assert!((budget(3_000_000).least_clock_hz() - 3_483_213.0).abs() < 1.0);
    }
}
