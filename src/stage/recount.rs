//! A stage that passes on one frame of `factor` changes what its blocks are counted in. This keeps their heads right,
//! so that the ledger of everyone after it still adds up in their own frames.

use crate::block::{Flags, Head, Tally};

/// Turns heads of the input into heads of the output.
///
/// Frame `m` of the output stands at frame `m * factor` of the input, also after a gap: a marker on frame `f` of the
/// input falls on frame `f / factor` of the output, whatever was lost.
#[derive(Debug, Default)]
pub(super) struct Recount {
    factor: u64,
    frame_ns: f64,
    /// The account of losses as of the last head, in frames of the input and of the output.
    lost_in: Tally,
    lost_out: Tally,
    /// Conditions of blocks that brought no frame of the output; the next that does carries them.
    flags: Flags,
}

impl Recount {
    pub(super) fn new(factor: u32, input_rate_hz: f64) -> Recount {
        Recount { factor: u64::from(factor), frame_ns: 1e9 / input_rate_hz, ..Recount::default() }
    }

    /// The head of the output's block, for a block of the input.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, reason = "a block holds few frames, and lasts few nanoseconds")]
    #[allow(clippy::cast_sign_loss, reason = "a duration is not negative")]
    pub(super) fn head(&mut self, input: &Head) -> Head {
        let (first_frame, next_frame) = (self.index(input.first_frame), self.index(input.next_frame()));
        self.flags = self.flags.with(input.flags);
        let gap = input.lost.since(&self.lost_in);
        self.lost_out.merge(&gap.in_frames_of(self.factor, input.first_frame));
        self.lost_in = input.lost;
        let mut output =
            Head { first_frame, n_frames: (next_frame - first_frame) as usize, lost: self.lost_out, ..*input };
        output.flags = self.flags;
        if output.n_frames > 0 {
            self.flags = Flags::default();
            // The edge is that of the last frame: go back to the one that the output's last frame stands at.
            let frames_after = input.next_frame() - 1 - (next_frame - 1) * self.factor;
            let after_ns = (frames_after as f64 * self.frame_ns).round() as u64;
            output.edge_ns = input.edge_ns.saturating_sub(after_ns);
            output.edge_utc_ns = input.edge_utc_ns.saturating_sub(after_ns);
        }
        output
    }

    /// The first frame of the output that stands at `input_frame` or after it.
    fn index(&self, input_frame: u64) -> u64 {
        input_frame.div_ceil(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Cause, Follower};

    #[test]
    fn indices_times_and_losses_are_those_of_the_frames_that_are_passed_on() {
        let mut recount = Recount::new(8, 1000.0);
        let mut follower = Follower::default();
        let mut input = Head { n_frames: 10, edge_ns: 9_000_000, edge_utc_ns: 99_000_000, ..Head::default() };
        let output = recount.head(&input);
        // Of 0..10 the frames 0 and 8 are passed on; 8 is one frame, 1 ms, before the last.
        assert_eq!((output.first_frame, output.n_frames), (0, 2));
        assert_eq!((output.edge_ns, output.edge_utc_ns), (8_000_000, 98_000_000));
        assert_eq!(follower.arrived(&output, Cause::ClientSlow).total(), 0);

        // 10..31 are lost, among them 16 and 24; the rest of 31..35 holds 32.
        input = Head { first_frame: 31, n_frames: 4, edge_ns: 34_000_000, ..input };
        input.lost.add(Cause::Missed, 9);
        input.lost.add(Cause::Spi, 12);
        let output = recount.head(&input);
        assert_eq!((output.first_frame, output.n_frames), (4, 1));
        let gap = follower.arrived(&output, Cause::ClientSlow);
        assert_eq!((gap.get(Cause::Missed), gap.get(Cause::Spi), gap.total()), (1, 1, 2));
    }

    #[test]
    fn flags_of_a_block_without_frames_come_with_the_next() {
        let mut recount = Recount::new(100, 1000.0);
        let head = |first_frame| Head { first_frame, n_frames: 40, ..Head::default() };
        assert_eq!(recount.head(&head(0)).n_frames, 1);
        let suspect = Head { flags: Flags::SUSPECT, ..head(40) };
        assert_eq!(recount.head(&suspect).n_frames, 0);
        let output = recount.head(&head(80));
        assert_eq!((output.first_frame, output.n_frames, output.flags), (1, 1, Flags::SUSPECT));
        assert_eq!(recount.head(&head(120)).flags, Flags::default());
    }
}
