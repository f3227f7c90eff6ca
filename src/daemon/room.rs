//! How long the disk will hold what is recorded, for the status: told before a recording begins as well as while it runs.

use std::sync::Arc;

use crate::metrics::Metrics;

/// What a recording takes, and what it must leave.
#[derive(Debug)]
pub(super) struct Room {
    metrics: Arc<Metrics>,
    bytes_per_s: f64,
    nominal_hz: f64,
    min_free_bytes: f64,
}

impl Room {
    /// For recordings of `bytes_per_s` at the rate `nominal_hz`, which end at `min_free_gb`.
    pub(super) fn new(metrics: &Arc<Metrics>, bytes_per_s: u64, nominal_hz: f64, min_free_gb: f64) -> Room {
        let min_free_bytes = min_free_gb * 1e9;
        Room { metrics: Arc::clone(metrics), bytes_per_s: bytes_per_s as f64, nominal_hz, min_free_bytes }
    }

    /// What an hour takes at the rate that was measured; at the nominal one until there is a measurement.
    pub(super) fn bytes_per_hour(&self) -> f64 {
        let measured_hz = self.metrics.sample_rate.get();
        let pace = if measured_hz > 0.0 { measured_hz / self.nominal_hz } else { 1.0 };
        (self.bytes_per_s * pace * 3600.0).max(1.0)
    }

    /// Hours until a recording ends for want of space; `None` where nobody knows what is free.
    pub(super) fn hours_left(&self) -> Option<f64> {
        let free_bytes = self.metrics.disk_free_bytes.get();
        (free_bytes > 0).then(|| (free_bytes as f64 - self.min_free_bytes).max(0.0) / self.bytes_per_hour())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_follow_the_measured_rate_and_end_at_the_limit() {
        let metrics = Arc::new(Metrics::new("0").expect("metrics"));
        let room = Room::new(&metrics, 1_000_000, 1000.0, 1.0);
        assert_eq!(room.hours_left(), None, "nobody has looked yet");
        metrics.disk_free_bytes.set(1_000_000_000 + 7_200_000_000);
        assert_eq!((room.bytes_per_hour(), room.hours_left()), (3.6e9, Some(2.0)));
        // Replayed as fast as it goes.
        metrics.sample_rate.set(4000.0);
        assert_eq!(room.hours_left(), Some(0.5));
        metrics.disk_free_bytes.set(900_000_000);
        assert_eq!(room.hours_left(), Some(0.0));
    }
}
