//! The recorder's intake: packs every raw block into the ring and lets its slab go, so that no disk can hold slabs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Ledger, Popped, Progress, Receiver, RingWriter};
use crate::block::{Cause, End, Follower, RawBlock, Tally};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::source::Slack;

/// A bound for the wait for room, where the source can be kept waiting for ever.
const RECHECK: Duration = Duration::from_secs(1);

/// Whether the recorder wants blocks: how the disk's side tells the intake to begin and to end a recording.
#[derive(Debug, Default)]
pub struct Gate {
    /// Written by the disk's side, read by the intake at each block. `Relaxed`: the ring itself orders what was
    /// pushed before the intake saw the change.
    open: AtomicBool,
    /// Set by the intake when the budget was spent and `on_overflow = "stop"`; read by the disk's side when the
    /// recording's end comes out of the ring, which orders it.
    overflowed: AtomicBool,
}

impl Gate {
    /// A gate that is open from the first block on, or closed.
    #[must_use]
    pub fn new(open: bool) -> Gate {
        Gate { open: AtomicBool::new(open), overflowed: AtomicBool::new(false) }
    }

    /// Ends the recording: the intake puts its end into the ring, and owes nothing from there on.
    pub fn shut(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Whether a recording is wanted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the recording ended because the budget was spent.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed)
    }
}

/// Everything the intake thread owns.
pub struct Intake {
    link: Receiver<Arc<RawBlock>>,
    ring: RingWriter,
    gate: Arc<Gate>,
    ledger: Ledger,
    turned: Arc<Progress>,
    /// Set here as well as by the disk's side, which cannot while the disk stalls.
    backlog: prometheus::Gauge,
    slack: Slack,
    stop_on_overflow: bool,
    /// Follows the stream while a recording is active.
    follower: Option<Follower>,
    /// Lost to a full ring since the recording's first frame.
    refused: Tally,
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
            slack,
            stop_on_overflow,
            follower: None,
            refused: Tally::default(),
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
            match self.link.pop() {
                Popped::Block(block) => self.block(&block),
                Popped::Empty => self.link.wait(),
                Popped::Ended(end) => {
                    if let Some(follower) = &mut self.follower {
                        self.ledger.gap(&follower.ended(&end, Cause::LinkFull));
                        self.end_recording();
                    }
                    return;
                }
            }
            self.turned.made();
        }
    }

    /// Real time: no allocation, no locks, no logging; waits for room within the source's slack.
    fn block(&mut self, block: &RawBlock) {
        if !self.gate.is_open() {
            self.end_recording();
            return;
        }
        let head = &block.head;
        let follower = self.follower.get_or_insert_with(|| Follower::new(head.first_frame, head.lost));
        self.ledger.gap(&follower.arrived(head, Cause::LinkFull));
        self.ledger.expect(head.n_frames as u64);
        let mut lost = follower.lost();
        lost.merge(&self.refused);
        let pushed = self.push(block, &lost);
        self.backlog.set(self.ring.backlog_s());
        if !pushed {
            self.ledger.lose(Cause::RingFull, head.n_frames as u64);
            self.refused.add(Cause::RingFull, head.n_frames as u64);
            if self.stop_on_overflow {
                self.gate.overflowed.store(true, Ordering::Relaxed);
                self.gate.shut();
                self.end_recording();
            }
        }
    }

    /// Real time: no allocation, no locks, no logging; waits for room within the source's slack.
    fn push(&mut self, block: &RawBlock, lost: &Tally) -> bool {
        let mut deadline_ns = None;
        loop {
            if self.ring.push(block, lost) {
                self.waited_out = false;
                return true;
            }
            if self.waited_out || !self.gate.is_open() {
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

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn end_recording(&mut self) {
        if let Some(follower) = self.follower.take() {
            let mut lost = follower.lost();
            lost.merge(&self.refused);
            self.ring.end_recording(&End { next_frame: follower.next_frame(), lost });
            self.refused = Tally::default();
        }
        self.link.abandon();
    }
}
