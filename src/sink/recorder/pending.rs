//! What waits to be written as annotations: gaps and markers. Each goes into the first record that is not yet written
//! and has room; later than it happened is legal, because the onset is in the text.

use std::collections::VecDeque;

use crate::block::Stream;
use crate::edf::{Annotation, TalArea};

/// What MNE calls a span that was not acquired; it leaves `BAD` spans out of its analyses.
pub(super) const GAP_TEXT: &str = "BAD_ACQ_SKIP";

/// Markers and gaps that may wait, each. A record holds at least two markers of 512 bytes and some thirty gaps.
const WAITING_MAX: usize = 65_536;

/// Gaps and markers on their way to the file.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// First frame (counted from the file's first one) and length, in frames.
    gaps: VecDeque<(u64, u64)>,
    markers: VecDeque<Annotation>,
    markers_dropped: u64,
    /// Whether a gap was ever turned away.
    gaps_dropped: bool,
    /// Frames of the gaps that were annotated.
    annotated: u64,
    /// The frame after the last gap that was annotated.
    annotated_end: u64,
}

impl Pending {
    /// Adds a gap of `n_frames` at frame `start` of the file. Gaps go before markers, so that what is said about
    /// the data comes to the disk together with the data.
    pub(super) fn gap(&mut self, start: u64, n_frames: u64) {
        if self.gaps.len() < WAITING_MAX {
            self.gaps.push_back((start, n_frames));
        } else if !self.gaps_dropped {
            self.gaps_dropped = true;
            tracing::error!("{WAITING_MAX} gaps wait to be annotated; further ones are only counted");
        }
    }

    /// Adds a marker, or drops it when too many wait.
    pub(super) fn marker(&mut self, marker: Annotation) {
        if self.markers.len() < WAITING_MAX {
            self.markers.push_back(marker);
            return;
        }
        if self.markers_dropped == 0 {
            tracing::error!("{WAITING_MAX} markers wait for room in the file; further ones are dropped");
        }
        self.markers_dropped += 1;
    }

    /// Writes as much as fits, in the order of arrival.
    pub(super) fn write_into(&mut self, area: &mut TalArea<'_>, stream: &Stream) {
        while let Some(&(start, n_frames)) = self.gaps.front() {
            let onset_ns = stream.duration_ns(start);
            let duration_ns = stream.duration_ns(start.saturating_add(n_frames)).saturating_sub(onset_ns);
            let gap = Annotation { onset_ns, duration_ns: Some(duration_ns), text: GAP_TEXT.to_owned() };
            if !area.push(&gap) {
                return;
            }
            self.gaps.pop_front();
            self.annotated += n_frames;
            self.annotated_end = start.saturating_add(n_frames);
        }
        while let Some(marker) = self.markers.front() {
            if !area.push(marker) {
                return;
            }
            self.markers.pop_front();
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.markers.is_empty()
    }

    /// Markers that were dropped.
    pub(super) fn markers_dropped(&self) -> u64 {
        self.markers_dropped
    }

    /// Of the first `n_frames` of the file, those that an annotation in the file calls a gap. Gaps are annotated in
    /// their order, so only the last one can reach beyond.
    pub(super) fn annotated_before(&self, n_frames: u64) -> u64 {
        self.annotated - self.annotated_end.saturating_sub(n_frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Channel;

    #[test]
    fn gaps_go_first_and_the_rest_waits() {
        let channels = vec![Channel::microvolts_24_bit("Fp1", 1.0)];
        let stream = Stream { rate_hz: 1000.0, channels, block_frames_max: 1, ratio: 1, delay_s: 0.0 };
        let mut pending = Pending::default();
        let marker = |n: i64| Annotation { onset_ns: n, duration_ns: None, text: "x".repeat(40) };
        (0..3).for_each(|n| pending.marker(marker(n)));
        pending.gap(500, 250);
        pending.gap(1000, 5000);
        let mut bytes = [0; 140];
        pending.write_into(&mut TalArea::new(&mut bytes, 0), &stream);
        let mut found = Vec::new();
        crate::edf::parse_tals(&bytes, &mut found).expect("lists");
        let texts: Vec<_> = found.iter().map(|annotation| &annotation.text[..3]).collect();
        assert_eq!(texts, ["BAD", "BAD", "xxx"]);
        assert_eq!((found[1].onset_ns, found[1].duration_ns), (1_000_000_000, Some(5_000_000_000)));
        assert!(!pending.is_empty());
        assert_eq!([1100, 6000, 9000].map(|n| pending.annotated_before(n)), [350, 5250, 5250]);
    }

    #[test]
    fn markers_are_bounded() {
        let mut pending = Pending::default();
        for n in 0..WAITING_MAX as i64 + 7 {
            pending.marker(Annotation { onset_ns: n, duration_ns: None, text: String::new() });
        }
        assert_eq!(pending.markers_dropped(), 7);
    }
}
