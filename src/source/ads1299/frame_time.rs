//! Where the time between two frames goes, the kernel's part of it too: the sum that `check` and `doctor` print.

use std::fmt;

use super::bus::rp1_clock_hz;
use crate::source::Hardware;

/// Up to this many bytes the RP1's FIFO is read byte by byte; beyond, by DMA (Linux spi-dw, FIFO depth 64).
const FIFO_BYTES: usize = 64;

/// One read of an RP1 register over PCIe (Raspberry Pi, linux pull request 6649), for each byte without DMA.
const READ_US: f64 = 1.6;

/// Interrupt and wake-up at the end of a transfer, byte by byte; an estimate from above.
const INTERRUPT_US: f64 = 15.0;

/// Setting up a transfer by DMA, its interrupt and the wake-up; an estimate from above.
const DMA_US: f64 = 50.0;

/// Where the time between two frames goes, in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTime {
    /// From edge to edge.
    pub period_us: f64,
    /// Bytes of all transfers.
    pub n_bytes: usize,
    /// Transfers for one frame.
    pub n_transfers: usize,
    /// What the controller makes of the clock asked for.
    pub clock_hz: u32,
    /// The bits of one frame.
    pub wire_us: f64,
    /// What the kernel adds to all transfers of a frame; an estimate.
    pub kernel_us: f64,
    /// How it moves the bytes; empty where the controller is not known.
    how: &'static str,
    /// Nothing may be read for so long before the next edge.
    pub keep_out_us: f64,
}

impl FrameTime {
    /// The sum for one frame, on the RP1 of a Pi 5 or elsewhere.
    #[must_use]
    pub fn of(hardware: &Hardware, is_rp1: bool) -> FrameTime {
        let n_transfers = hardware.spi.len().max(1);
        let transfer_bytes = hardware.bytes_per_frame.div_ceil(n_transfers);
        let clock_hz = if is_rp1 { rp1_clock_hz(hardware.spi_clock_hz) } else { hardware.spi_clock_hz.max(1) };
        let (how, transfer_us) = match (is_rp1, transfer_bytes > FIFO_BYTES) {
            (true, false) => (" byte by byte", READ_US * transfer_bytes as f64 + INTERRUPT_US),
            (true, true) => (" by DMA", DMA_US),
            (false, _) => ("", DMA_US),
        };
        FrameTime {
            period_us: 1e6 / hardware.rate_hz,
            n_bytes: hardware.bytes_per_frame,
            n_transfers,
            clock_hz,
            wire_us: hardware.bytes_per_frame as f64 * 8e6 / f64::from(clock_hz),
            kernel_us: transfer_us * n_transfers as f64,
            how,
            keep_out_us: hardware.keep_out_us,
        }
    }

    /// How late a thread may wake and still read the frame whole.
    #[must_use]
    pub fn slack_us(&self) -> f64 {
        self.left_us().max(0.0)
    }

    /// The same, negative where nothing is left.
    #[must_use]
    pub fn left_us(&self) -> f64 {
        self.period_us // from edge to edge
            - self.wire_us // the bits of one frame
            - self.kernel_us // what the kernel adds to the transfers
            - self.keep_out_us // before the next edge
    }
}

impl fmt::Display for FrameTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        write!(
            f,
            "{} byte{} at {:.3} MHz {:.1} us + {} transfer{}{} about {:.1} us + {:.1} us before the next edge = {:.1} of {:.1} us",
            self.n_bytes,
            plural(self.n_bytes),
            f64::from(self.clock_hz) / 1e6,
            self.wire_us,
            self.n_transfers,
            plural(self.n_transfers),
            self.how,
            self.kernel_us,
            self.keep_out_us,
            self.period_us - self.left_us(),
            self.period_us
        )
    }
}
