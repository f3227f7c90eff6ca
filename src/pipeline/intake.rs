//! The recorder's intake: packs every raw block into the ring and lets its slab go, so that no disk can hold slabs.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::gate::{Gate, is_open_in};
use super::{Ledger, Popped, Progress, Receiver, RingWriter};
use crate::block::{Cause, End, Follower, RawBlock, Tally};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::source::Slack;

/// A bound for the wait for room, where the source can be kept waiting for ever.
const RECHECK: Duration = Duration::from_secs(1);

/// How long after a recording was asked to end the intake waits for the block that holds that instant, beyond two
/// blocks: a converter that has gone silent, or a source without a clock, must not keep the file open.
const END_GRACE_NS: u64 = 500_000_000;

/// Everything the intake thread owns.
pub struct Intake {
    link: Receiver<Arc<RawBlock>>,
    ring: RingWriter,
    gate: Arc<Gate>,
    ledger: Ledger,
    turned: Arc<Progress>,
    /// Set here as well as by the disk's side, which cannot while the disk stalls.
    backlog: prometheus::Gauge,
    /// The most of it, and the same for the metrics; set here alone.
    backlog_max_s: f64,
    backlog_max: prometheus::Gauge,
    slack: Slack,
    stop_on_overflow: bool,
    /// Follows the stream from its first block on, whether it is recorded or not; `None` before it.
    follower: Option<Follower>,
    /// Lost to a full ring since then.
    refused: Tally,
    /// The gate's turn that was counted for.
    turn: u64,
    /// Whether frames are owed to a recording now.
    owes: bool,
    /// The recording ends with the block that holds this instant.
    until_ns: Option<u64>,
    /// The slack was waited out once and the ring is still full: it is not waited for again, or the link would fill.
    waited_out: bool,
}

impl Intake {
    /// Gets the thread's work ready. `slack` is how long the source can be kept waiting at most.
    #[must_use]
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one thread, each named at the one place that calls this"
    )]
    pub fn new(
        link: Receiver<Arc<RawBlock>>,
        ring: RingWriter,
        gate: Arc<Gate>,
        ledger: Ledger,
        turned: Arc<Progress>,
        metrics: &Metrics,
        slack: Slack,
        stop_on_overflow: bool,
    ) -> Intake {
        Intake {
            link,
            ring,
            gate,
            ledger,
            turned,
            backlog: metrics.recorder_backlog.clone(),
            backlog_max_s: 0.0,
            backlog_max: metrics.recorder_backlog_max.clone(),
            slack,
            stop_on_overflow,
            follower: None,
            refused: Tally::default(),
            turn: 0,
            owes: false,
            until_ns: None,
            waited_out: false,
        }
    }

    /// Runs until the link ends, then closes the ring.
    ///
    /// Real time: no allocation, no locks, no logging; waits for its link, and for room within the source's slack.
    pub fn run(mut self) {
        self.link.attach();
        self.ring.attach();
        loop {
            self.look_at_gate();
            match self.link.pop() {
                Popped::Block(block) => self.block(&block),
                Popped::Empty => {
                    self.end_when_due(0);
                    self.link.wait();
                }
                Popped::Ended(end) => {
                    if let Some(follower) = &mut self.follower {
                        let gap = follower.ended(&end, Cause::LinkFull);
                        if self.owes {
                            self.ledger.gap(&gap);
                        }
                    }
                    self.end_recording();
                    return;
                }
            }
            self.turned.made();
        }
    }

    /// Begins to owe, or learns until when it owes.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn look_at_gate(&mut self) {
        let turn = self.gate.turn();
        if turn == self.turn {
            return;
        }
        // Two turns at once are a begin and its end.
        if !self.owes && (is_open_in(turn) || turn - self.turn >= 2) {
            self.owes = true;
            if let (Some((first_frame, lost_before)), Some(follower)) = (self.gate.begin(), &self.follower) {
                // What is in the ring already, and what was lost between it: counted by nobody yet.
                let lost = self.lost().since(&lost_before);
                let n_frames = follower.next_frame().saturating_sub(first_frame);
                self.ledger.gap(&lost);
                self.ledger.expect(n_frames.saturating_sub(lost.total()));
            }
        }
        if self.owes && !is_open_in(turn) {
            self.until_ns = Some(self.gate.until_ns());
        }
        self.turn = turn;
        self.gate.has_seen(turn);
    }

    /// Real time: no allocation, no locks, no logging; waits for room within the source's slack.
    fn block(&mut self, block: &RawBlock) {
        let head = &block.head;
        let n_frames = head.n_frames as u64;
        let follower = self.follower.get_or_insert_with(|| Follower::new(head.first_frame, head.lost));
        let gap = follower.arrived(head, Cause::LinkFull);
        if self.owes {
            self.ledger.gap(&gap);
            self.ledger.expect(n_frames);
        } else if !self.gate.packs() {
            return;
        }
        let lost = self.lost();
        let pushed = self.push(block, &lost);
        self.show_backlog();
        if !pushed {
            self.refused.add(Cause::RingFull, n_frames);
            if self.owes {
                self.ledger.lose(Cause::RingFull, n_frames);
                if self.stop_on_overflow {
                    self.gate.overflow();
                    self.end_recording();
                }
            }
        }
        self.end_when_due(head.edge_ns);
    }

    /// What the ring keeps while nothing is owed waits for nobody.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn show_backlog(&mut self) {
        let backlog_s = if self.owes { self.ring.backlog_s() } else { 0.0 };
        self.backlog.set(backlog_s);
        if backlog_s > self.backlog_max_s {
            self.backlog_max_s = backlog_s;
            self.backlog_max.set(backlog_s);
        }
    }

    /// All that was lost since the first block, on the way to here and here.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn lost(&self) -> Tally {
        let mut lost = self.follower.as_ref().map_or_else(Tally::default, Follower::lost);
        lost.merge(&self.refused);
        lost
    }

    /// Real time: no allocation, no locks, no logging; waits for room within the source's slack.
    fn push(&mut self, block: &RawBlock, lost: &Tally) -> bool {
        let mut deadline_ns = None;
        loop {
            if self.ring.push(block, lost) {
                self.waited_out = false;
                return true;
            }
            // What is packed and owed to nobody yet may belong to a recording whose file is just being made: a source that
            // reads ahead would fill the ring meanwhile, one that a clock paces has the whole budget for it.
            if self.waited_out || !(self.owes || self.slack == Slack::Forever) {
                return false;
            }
            let remaining = match self.slack {
                Slack::Forever => RECHECK,
                Slack::For(most) => {
                    let now = now_ns();
                    let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
                    Duration::from_nanos(deadline_ns.get_or_insert(now.saturating_add(nanoseconds)).saturating_sub(now))
                }
            };
            if remaining.is_zero() {
                self.waited_out = true;
                return false;
            }
            thread::park_timeout(remaining.min(RECHECK));
            self.turned.made();
        }
    }

    /// Ends a recording that was asked to end once the block with that instant is in the ring, of which `edge_ns` is the
    /// last edge; where none comes, a little later.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn end_when_due(&mut self, edge_ns: u64) {
        let Some(until_ns) = self.until_ns else { return };
        let patience_ns = self.ring.block_ns().saturating_mul(2).saturating_add(END_GRACE_NS);
        if edge_ns >= until_ns || now_ns() >= until_ns.saturating_add(patience_ns) {
            self.end_recording();
        }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn end_recording(&mut self) {
        if std::mem::take(&mut self.owes) {
            let next_frame = self.follower.as_ref().map_or(0, Follower::next_frame);
            self.ring.end_recording(&End { next_frame, lost: self.lost() });
        }
        self.until_ns = None;
    }
}
