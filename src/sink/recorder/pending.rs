//! What waits to be written as annotations: gaps and markers. Each goes into the first record that is not yet written
//! and has room; later than it happened is legal, because the onset is in the text.

use std::collections::VecDeque;

use super::journal::onset_ns;
use crate::block::{Marker, Stream};
use crate::edf::{Annotation, TalArea};

/// What MNE calls a span that was not acquired; it leaves `BAD` spans out of its analyses.
pub(crate) const GAP_TEXT: &str = "BAD_ACQ_SKIP";

/// Markers and gaps that may wait, each. A record holds at least two markers of 512 bytes and some thirty gaps.
pub(super) const WAITING_MAX: usize = 65_536;

/// Gaps and markers on their way to the file.
#[derive(Debug, Default)]
pub(super) struct Pending {
    first_frame: u64,
    /// First frame (counted from the file's first one) and length, in frames.
    gaps: VecDeque<(u64, u64)>,
    /// Markers of frames that are in the file.
    markers: VecDeque<Marker>,
    /// Markers of frames that are not: another file may begin before those come.
    later: Vec<Marker>,
    markers_dropped: u64,
    /// Whether a gap was ever turned away.
    gaps_dropped: bool,
    /// Frames of the gaps that were annotated.
    annotated: u64,
    /// The frame after the last gap that was annotated.
    annotated_end: u64,
}

impl Pending {
    /// Nothing yet, for a file that begins with `first_frame`.
    pub(super) fn new(first_frame: u64) -> Pending {
        Pending { first_frame, ..Pending::default() }
    }

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
    pub(super) fn marker(&mut self, marker: Marker) {
        if self.markers.len() + self.later.len() < WAITING_MAX {
            self.later.push(marker);
            return;
        }
        if self.markers_dropped == 0 {
            tracing::error!("{WAITING_MAX} markers wait for room in the file; further ones are dropped");
        }
        self.markers_dropped += 1;
    }

    /// Takes out the markers of frames from `next_frame` on: they belong to the next file.
    pub(super) fn take_later(&mut self, next_frame: u64) -> Vec<Marker> {
        self.due(next_frame);
        std::mem::take(&mut self.later)
    }

    /// No file comes after this one: all markers belong to it.
    pub(super) fn release(&mut self) -> Vec<Marker> {
        self.due(u64::MAX);
        Vec::new()
    }

    fn due(&mut self, next_frame: u64) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|marker| marker.frame < next_frame);
        self.later = later;
        self.markers.extend(due);
    }

    /// Writes as much as fits of what happened before `next_frame`, in the order of arrival.
    pub(super) fn write_into(&mut self, area: &mut TalArea<'_>, stream: &Stream, next_frame: u64) {
        self.due(next_frame);
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
            let onset_ns = onset_ns(marker, stream, self.first_frame);
            // In the order of arrival, hence a copy for as long as it takes to write it.
            let (duration_ns, text) = (marker.duration_ns, marker.text.clone());
            if !area.push(&Annotation { onset_ns, duration_ns, text }) {
                return;
            }
            self.markers.pop_front();
        }
    }

    /// Whether nothing waits that could be written now.
    pub(super) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.markers.is_empty()
    }

    /// Markers that wait.
    pub(super) fn markers_waiting(&self) -> usize {
        self.markers.len() + self.later.len()
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
        let marker = |offset_ns| Marker { frame: 0, offset_ns, text: "x".repeat(40), ..Marker::default() };
        (0..3).for_each(|n| pending.marker(marker(n)));
        pending.gap(500, 250);
        pending.gap(1000, 5000);
        let mut bytes = [0; 140];
        pending.write_into(&mut TalArea::new(&mut bytes, 0), &stream, 1000);
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
            pending.marker(Marker { offset_ns: n, ..Marker::default() });
        }
        assert_eq!(pending.markers_dropped(), 7);
    }
}
