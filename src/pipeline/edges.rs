//! Which frame belongs to an instant: what `process` last saw of the converter's clock, for threads that ask now and then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::block::{Head, Stream};

/// How far the converter's rate may be from its nominal one, with room to spare: crystals are within 100 ppm.
const RATE_ERROR: f64 = 200e-6;

/// The last edge that was seen. Each field is written by `process` and read by whoever asks; `Relaxed`, because each is
/// of use by itself: fields of two neighbouring blocks together are as right as those of one.
#[derive(Debug)]
pub struct Edges {
    stream: Stream,
    /// When frame 0 would have had its edge, had the converter always run at its nominal rate from there to the last edge;
    /// modulo 2^64. So one number, which no other can contradict, says where all frames near the last one are.
    zero_ns: AtomicU64,
    /// The last edge.
    edge_ns: AtomicU64,
    /// The index after its frame; 0 before the first.
    next_frame: AtomicU64,
}

/// A frame for an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearest {
    /// The frame whose edge is nearest to the instant.
    pub frame: u64,
    /// How far its edge may be from the instant, in nanoseconds.
    pub uncertainty_ns: u64,
}

impl Edges {
    /// For `raw`, before its first block.
    #[must_use]
    pub fn new(raw: &Stream) -> Edges {
        Edges {
            stream: raw.clone(),
            zero_ns: AtomicU64::new(0),
            edge_ns: AtomicU64::new(0),
            next_frame: AtomicU64::new(0),
        }
    }

    /// Notes a block.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn note(&self, head: &Head) {
        let since_zero_ns = self.stream.duration_ns(head.next_frame().saturating_sub(1)).unsigned_abs();
        self.zero_ns.store(head.edge_ns.wrapping_sub(since_zero_ns), Ordering::Relaxed);
        self.edge_ns.store(head.edge_ns, Ordering::Relaxed);
        self.next_frame.store(head.next_frame(), Ordering::Relaxed);
    }

    /// The index after the last frame that was seen.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.next_frame.load(Ordering::Relaxed)
    }

    /// The stream whose frames these are.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The frame whose edge is nearest to the monotonic instant `at_ns`; `None` before the first frame. Where the
    /// converter has been silent for a second and two blocks, that is the last frame there was.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the casts saturate")]
    pub fn nearest(&self, at_ns: u64) -> Option<Nearest> {
        let last_frame = self.next_frame().checked_sub(1)?;
        let age_ns = at_ns.saturating_sub(self.edge_ns.load(Ordering::Relaxed));
        let block_ns = self.stream.duration_ns(self.stream.block_frames_max as u64).unsigned_abs();
        if age_ns > 1_000_000_000 + 2 * block_ns {
            return Some(Nearest { frame: last_frame, uncertainty_ns: age_ns });
        }
        let since_zero_ns = at_ns.wrapping_sub(self.zero_ns.load(Ordering::Relaxed));
        let frame = (since_zero_ns as f64 * 1e-9 * self.stream.rate_hz).round() as u64;
        let half_ns = 0.5e9 / self.stream.rate_hz;
        Some(Nearest { frame, uncertainty_ns: (half_ns + age_ns as f64 * RATE_ERROR).ceil() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Channel;

    #[test]
    fn the_frame_of_an_instant() {
        let channels = vec![Channel::microvolts_24_bit("Fp1", 1.0)];
        let stream = Stream { rate_hz: 1000.0, channels, block_frames_max: 10, ratio: 1, delay_s: 0.0 };
        let edges = Edges::new(&stream);
        assert_eq!(edges.nearest(5), None);
        // Frame 5009 at 3 s: the converter began before the clock did.
        let head = Head { first_frame: 5000, n_frames: 10, edge_ns: 3_000_000_000, ..Head::default() };
        edges.note(&head);
        for (at_ns, frame, uncertainty_ns) in [
            (3_000_000_000, 5009, 500_000),
            (3_000_400_000, 5009, 500_080),
            (3_000_600_000, 5010, 500_120),
            (3_010_000_000, 5019, 502_000),
            (2_999_000_000, 5008, 500_000),
            (5_000_000_000, 5009, 2_000_000_000),
        ] {
            assert_eq!(edges.nearest(at_ns), Some(Nearest { frame, uncertainty_ns }), "{at_ns}");
        }
    }
}
