//! How the converter's clock ran against the two clocks of the machine: a bounded list of pairs, and the rate.

use crate::block::Head;

/// Pairs that are kept. When they are full every second one goes and the distance doubles, so that they always span
/// the whole recording.
pub(super) const PAIRS_MAX: usize = 48;

/// The distance of the first pairs.
const FIRST_DISTANCE_S: f64 = 10.0;

/// A frame, the monotonic and the UTC time of its edge in nanoseconds.
pub(super) type Pair = [u64; 3];

/// Pairs since the recording's start.
#[derive(Debug)]
pub(super) struct ClockPairs {
    pairs: Vec<Pair>,
    latest: Option<Pair>,
    distance_frames: u64,
}

impl ClockPairs {
    /// None yet, for a stream of `rate_hz`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate; the cast saturates")]
    pub(super) fn new(rate_hz: f64) -> ClockPairs {
        let distance_frames = (rate_hz * FIRST_DISTANCE_S).ceil() as u64;
        ClockPairs { pairs: Vec::with_capacity(PAIRS_MAX), latest: None, distance_frames: distance_frames.max(1) }
    }

    /// Notes the edge of a block's last frame.
    pub(super) fn note(&mut self, head: &Head) {
        let pair = [head.next_frame().saturating_sub(1), head.edge_ns, head.edge_utc_ns];
        self.latest = Some(pair);
        if self.pairs.last().is_some_and(|last| pair[0] < last[0].saturating_add(self.distance_frames)) {
            return;
        }
        if self.pairs.len() == PAIRS_MAX {
            let mut index = 0;
            self.pairs.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.distance_frames = self.distance_frames.saturating_mul(2);
        }
        self.pairs.push(pair);
    }

    /// The pairs, oldest first.
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Frames per second of the monotonic clock between the first and the latest edge.
    pub(super) fn measured_rate_hz(&self) -> Option<f64> {
        let (first, latest) = (self.pairs.first()?, self.latest?);
        let n_frames = latest[0].checked_sub(first[0])? as f64;
        let seconds = latest[1].checked_sub(first[1])? as f64 * 1e-9;
        (n_frames > 0.0 && seconds > 0.0).then_some(n_frames / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_span_the_recording_and_stay_few() {
        let mut clock = ClockPairs::new(100.0);
        for block in 0..200_000_u64 {
            // 50 ppm slow.
            let edge_ns = (block + 1) * 100_005_000;
            clock.note(&Head { first_frame: block * 10, n_frames: 10, edge_ns, ..Head::default() });
            assert!(clock.pairs().len() <= PAIRS_MAX);
        }
        assert!(clock.pairs().len() >= PAIRS_MAX / 2);
        assert_eq!(clock.pairs()[0][0], 9);
        assert!(clock.pairs().last().expect("some")[0] > 1_900_000);
        let rate_hz = clock.measured_rate_hz().expect("measured");
        assert!((rate_hz - 100.0 / 1.000_05).abs() < 1e-9, "{rate_hz}");
    }
}
