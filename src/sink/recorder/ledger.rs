//! The account of one file: every frame from the first one on is delivered or lost, by cause.

use crate::block::{Cause, Tally};

/// Frames of one recording. `frames = delivered + lost.total()` at all times, padding not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FileLedger {
    /// Frames since the first one: `frames_written` and `expected` of the sidecar.
    pub(super) frames: u64,
    /// Of those, frames that were given to the recorder.
    pub(super) delivered: u64,
    /// Of those, frames that were filled in.
    pub(super) lost: Tally,
    /// Of those, frames that no annotation in the file speaks of (yet).
    pub(super) not_annotated: u64,
}

impl FileLedger {
    /// Notes frames that were given.
    pub(super) fn deliver(&mut self, n_frames: usize) {
        self.frames += n_frames as u64;
        self.delivered += n_frames as u64;
    }

    /// Notes `n_frames` of a gap, and takes them out of `gap`: causes in their order, because nobody knows which
    /// frame of a gap was lost for which.
    pub(super) fn lose(&mut self, n_frames: usize, gap: &mut Tally) {
        let mut left = n_frames as u64;
        let mut rest = Tally::default();
        for (cause, n) in gap.iter() {
            let now = n.min(left);
            left -= now;
            self.lost.add(cause, now);
            rest.add(cause, n - now);
        }
        *gap = rest;
        self.frames += n_frames as u64;
    }
}

/// The causes of a gap of exactly `n_frames`. The index of the blocks says how long the gap is, the account that
/// came with the block says why; where they disagree the index is right, and what nobody accounted for was lost
/// between the intake and the file.
pub(super) fn reconcile(n_frames: u64, gap: &Tally) -> Tally {
    let mut reconciled = Tally::default();
    let mut left = n_frames;
    for (cause, n) in gap.iter() {
        let n = n.min(left);
        reconciled.add(cause, n);
        left -= n;
    }
    reconciled.add(Cause::RingFull, left);
    reconciled
}

/// The first `most` of frames lost by cause.
pub(super) fn limit(causes: Vec<(String, u64)>, most: u64) -> Vec<(String, u64)> {
    let mut left = most;
    let take = |(cause, n): (String, u64)| {
        let n = n.min(left);
        left -= n;
        (cause, n)
    };
    causes.into_iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_taken_piece_by_piece() {
        let mut gap = Tally::default();
        gap.add(Cause::Missed, 5);
        gap.add(Cause::RingFull, 10);
        let mut ledger = FileLedger::default();
        ledger.deliver(3);
        ledger.lose(7, &mut gap);
        assert_eq!((gap.get(Cause::Missed), gap.get(Cause::RingFull)), (0, 8));
        ledger.lose(8, &mut gap);
        assert_eq!((ledger.frames, ledger.delivered, ledger.lost.total()), (18, 3, 15));
        assert_eq!(ledger.lost.get(Cause::RingFull), 10);
    }

    #[test]
    fn the_index_decides_how_long_a_gap_is() {
        let mut gap = Tally::default();
        gap.add(Cause::Spi, 5);
        assert_eq!(reconcile(3, &gap).get(Cause::Spi), 3);
        let longer = reconcile(9, &gap);
        assert_eq!((longer.get(Cause::Spi), longer.get(Cause::RingFull), longer.total()), (5, 4, 9));
    }
}
