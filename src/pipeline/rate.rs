//! The rate that is, against the rate that should be: frames against the monotonic clock.

/// How far apart in time the two ends of a measurement are at least, in nanoseconds. A wake-up that is 100 us late
/// is then an error of 10 ppm.
const WINDOW_NS: u64 = 10_000_000_000;

/// Measures frames per second over the last 10 to 20 seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct RateMeter {
    older: Option<(u64, u64)>,
    newer: Option<(u64, u64)>,
}

impl RateMeter {
    /// Takes note that `frame` conversions had been made at `edge_ns`, and returns the rate in Hz where it is known.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn note(&mut self, frame: u64, edge_ns: u64) -> Option<f64> {
        let (first_frame, first_ns) = *self.older.get_or_insert((frame, edge_ns));
        let (_, newer_ns) = *self.newer.get_or_insert((frame, edge_ns));
        if edge_ns.saturating_sub(newer_ns) >= WINDOW_NS {
            self.older = self.newer;
            self.newer = Some((frame, edge_ns));
        }
        let elapsed_ns = edge_ns.saturating_sub(first_ns);
        // A tenth of a second is the least that gives three digits.
        (elapsed_ns >= 100_000_000).then(|| (frame - first_frame) as f64 * 1e9 / elapsed_ns as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_shows() {
        let mut meter = RateMeter::default();
        let mut rate_hz = None;
        for second in 0..60_u64 {
            rate_hz = meter.note(second * 4000, second * 1_000_010_000);
        }
        let ppm = (rate_hz.unwrap() / 4000.0 - 1.0) * 1e6;
        assert!((ppm + 10.0).abs() < 0.01, "{ppm}");
    }
}
