//! How a consumer learns what it did not get: it follows the frame index, and the running account in each head
//! says why. Links therefore need no bookkeeping of their own, whichever end they drop blocks at.

use super::{Cause, Head, Tally};

/// Where a stream ended: what a closed link tells its consumer instead of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    /// The index after the last frame there ever was, delivered or lost.
    pub next_frame: u64,
    /// All that the stream lost on its way to this link.
    pub lost: Tally,
}

/// Follows one stream for one consumer.
///
/// The gap before a block has two parts. What upstream lost is the growth of [`Head::lost`] since the last block
/// that arrived. What the index jumped by beyond that was lost on the way to this consumer, for the reason that
/// only this consumer knows (`local`: its link was full, its ring was full).
#[derive(Debug, Clone, Default)]
pub struct Follower {
    first_frame: u64,
    next_frame: u64,
    upstream: Tally,
    /// Everything lost so far on the whole way to here: upstream's account plus the local losses.
    lost: Tally,
}

impl Follower {
    /// A consumer that owes frames from `first_frame` on, when upstream's account stood at `upstream`.
    #[must_use]
    pub fn new(first_frame: u64, upstream: Tally) -> Follower {
        Follower { first_frame, next_frame: first_frame, upstream, lost: Tally::default() }
    }

    /// Takes note of a block that arrived and returns the gap before it, by cause.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn arrived(&mut self, head: &Head, local: Cause) -> Tally {
        let gap = self.advance(head.first_frame, &head.lost, local);
        self.next_frame = head.next_frame();
        gap
    }

    /// Takes note of the stream's end and returns the gap before it. A producer that died could not say where it
    /// ended; nothing is owed then beyond what arrived.
    pub fn ended(&mut self, end: &End, local: Cause) -> Tally {
        self.advance(end.next_frame.max(self.next_frame), &end.lost, local)
    }

    /// The index that the next frame should have.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// How many frames went by since the first one, delivered or lost.
    #[must_use]
    pub fn frames_followed(&self) -> u64 {
        self.next_frame - self.first_frame
    }

    /// Everything lost so far on the whole way to this consumer.
    #[must_use]
    pub fn lost(&self) -> Tally {
        self.lost
    }

    fn advance(&mut self, to_frame: u64, upstream: &Tally, local: Cause) -> Tally {
        let mut gap = upstream.since(&self.upstream);
        let jump = to_frame.saturating_sub(self.next_frame);
        gap.add(local, jump.saturating_sub(gap.total()));
        self.upstream = *upstream;
        self.lost.merge(&gap);
        self.next_frame = to_frame;
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(first_frame: u64, n_frames: usize, missed: u64) -> Head {
        let mut head = Head { first_frame, n_frames, ..Head::default() };
        head.lost.add(Cause::Missed, missed);
        head
    }

    #[test]
    fn no_gap_when_nothing_is_missing() {
        let mut follower = Follower::default();
        assert_eq!(follower.arrived(&head(0, 40, 0), Cause::LinkFull).total(), 0);
        assert_eq!(follower.arrived(&head(40, 40, 0), Cause::LinkFull).total(), 0);
    }

    #[test]
    fn upstream_and_local_losses_are_told_apart_even_when_the_block_with_the_gap_was_dropped() {
        let mut follower = Follower::default();
        follower.arrived(&head(0, 40, 0), Cause::LinkFull);
        // Frames 40 to 46 were missed, block 47..87 was dropped on the link, block 87..127 arrives.
        let gap = follower.arrived(&head(87, 40, 7), Cause::LinkFull);
        assert_eq!((gap.get(Cause::Missed), gap.get(Cause::LinkFull)), (7, 40));
        assert_eq!(follower.lost().total(), 47);
    }

    #[test]
    fn what_was_lost_after_the_last_block_comes_with_the_end() {
        let mut follower = Follower::default();
        follower.arrived(&head(0, 40, 0), Cause::LinkFull);
        let mut end = End { next_frame: 90, ..End::default() };
        end.lost.add(Cause::Missed, 10);
        let gap = follower.ended(&end, Cause::LinkFull);
        assert_eq!((gap.get(Cause::Missed), gap.get(Cause::LinkFull)), (10, 40));
        assert_eq!(follower.next_frame(), 90);
    }

    #[test]
    fn one_that_joins_late_owes_nothing_from_before() {
        let mut earlier = Tally::default();
        earlier.add(Cause::Missed, 5);
        let mut follower = Follower::new(1000, earlier);
        assert_eq!(follower.arrived(&head(1000, 40, 5), Cause::LinkFull).total(), 0);
    }
}
