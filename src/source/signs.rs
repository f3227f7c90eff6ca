//! What a source notices of its converter while it runs: counters and states that the acquisition thread writes and
//! whoever shows them reads. Metrics, status and `/healthz` are made from these.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// The electrodes of one channel.
#[derive(Debug, Default)]
pub struct ElectrodeSigns {
    /// Whether an electrode of the channel is watched at all.
    pub watched: AtomicBool,
    /// Whether one is off.
    pub off: AtomicBool,
    /// Bits of an `f64`; see [`ElectrodeSigns::impedance_ohms`].
    impedance: AtomicU64,
}

impl ElectrodeSigns {
    /// Sets the impedance that was measured last, in ohms.
    pub fn set_impedance_ohms(&self, ohms: f64) {
        self.impedance.store(ohms.to_bits(), Ordering::Relaxed);
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
    /// By channel of the stream.
    pub electrodes: Vec<ElectrodeSigns>,
    /// How often the converter was set up again.
    pub n_reinits: AtomicU64,
    /// Whether the converter fails now: it is being set up again, or gives no edges.
    pub failing: AtomicBool,
}

impl Signs {
    /// For this many chips and channels; nothing noticed yet.
    #[must_use]
    pub fn new(n_chips: usize, n_channels: usize) -> Signs {
        Signs {
            sync_errors: (0..n_chips).map(|_| AtomicU64::new(0)).collect(),
            electrodes: (0..n_channels).map(|_| ElectrodeSigns::default()).collect(),
            ..Signs::default()
        }
    }

    /// Counts a failed transfer.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn spi_error(&self, kind: SpiErrorKind) {
        self.spi_errors[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}
