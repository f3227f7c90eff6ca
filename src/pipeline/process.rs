//! The processing thread: every chain over every block, then to the live streams. A stage that panics is bypassed;
//! a block that a chain cannot give is a gap in that chain alone.

use std::sync::Arc;

use prometheus::IntCounter;

use super::chain::{Chain, From, Parent};
use super::{Ledger, Popped, Progress, Receiver, Sender};
use crate::block::{Cause, End, Flags, Follower, Head, RawBlock, Stream};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::sink::{LiveBlock, Samples};
use crate::source::Slack;

/// Everything the processing thread owns.
pub struct Process {
    raw: Receiver<Arc<RawBlock>>,
    raw_out: Option<Sender<LiveBlock>>,
    /// In an order in which each comes after the one it reads from.
    chains: Vec<Chain>,
    follower: Follower,
    ledger: Ledger,
    latency: prometheus::Histogram,
    progress: Arc<Progress>,
    saturation: Saturation,
}

impl Process {
    /// Gets the thread's work ready. `chains` are in an order in which each comes after the one it reads from.
    #[must_use]
    pub fn new(
        stream: &Stream,
        raw: Receiver<Arc<RawBlock>>,
        raw_out: Option<Sender<LiveBlock>>,
        chains: Vec<Chain>,
        progress: Arc<Progress>,
        metrics: &Metrics,
    ) -> Process {
        Process {
            raw,
            raw_out,
            chains,
            follower: Follower::default(),
            ledger: Ledger::new(metrics, "process"),
            latency: metrics.block_latency.with_label_values(&["process"]),
            progress,
            saturation: Saturation::new(stream, metrics),
        }
    }

    /// Runs until the link ends, then closes the live streams.
    ///
    /// Real time: no allocation, no locks, no logging; waits for its link.
    pub fn run(mut self) {
        self.raw.attach();
        loop {
            match self.raw.pop() {
                Popped::Block(block) => self.block(&block),
                Popped::Empty => self.raw.wait(),
                Popped::Ended(end) => return self.finish(&end),
            }
        }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn block(&mut self, raw: &Arc<RawBlock>) {
        let gap = self.follower.arrived(&raw.head, Cause::LinkFull);
        let n_frames = raw.head.n_frames as u64;
        self.ledger.gap(&gap);
        self.ledger.expect(n_frames);

        let mut head = Head { lost: self.follower.lost(), ..raw.head };
        if gap.total() > 0 {
            head.flags = head.flags.with(Flags::GAP);
        }
        if self.saturation.count(raw.codes()) {
            head.flags = head.flags.with(Flags::SATURATED);
        }
        if let Some(out) = &self.raw_out {
            out.send(LiveBlock { head, samples: Samples::Codes(Arc::clone(raw)) }, &no_slack);
        }
        for i in 0..self.chains.len() {
            let (before, rest) = self.chains.split_at_mut(i);
            let Some(chain) = rest.first_mut() else { break };
            let parent = match chain.from() {
                From::Raw => Some(Parent::Raw(raw)),
                From::Chain(parent) => before.get(parent).and_then(Chain::latest).map(Parent::Chain),
            };
            chain.run(parent, &head);
        }
        self.ledger.deliver(n_frames);
        self.latency.observe(now_ns().saturating_sub(head.edge_ns) as f64 * 1e-9);
        self.progress.made();
    }

    fn finish(mut self, end: &End) {
        let gap = self.follower.ended(end, Cause::LinkFull);
        self.ledger.gap(&gap);
        let end = End { next_frame: end.next_frame, lost: self.follower.lost() };
        if let Some(out) = self.raw_out.take() {
            out.close(end);
        }
        for chain in self.chains {
            chain.close(&end);
        }
    }
}

/// Live streams displace their oldest block and never make anyone wait.
pub(super) fn no_slack() -> Slack {
    Slack::For(std::time::Duration::ZERO)
}

/// Counts, per channel, the frames in which a sample stood at the end of its range.
struct Saturation {
    min: Vec<i32>,
    max: Vec<i32>,
    n_frames: Vec<u32>,
    totals: Vec<IntCounter>,
}

impl Saturation {
    fn new(stream: &Stream, metrics: &Metrics) -> Saturation {
        let channels = &stream.channels;
        Saturation {
            min: channels.iter().map(|channel| channel.digital_min).collect(),
            max: channels.iter().map(|channel| channel.digital_max).collect(),
            n_frames: vec![0; channels.len()],
            totals: channels
                .iter()
                .map(|channel| metrics.saturated_frames.with_label_values(&[&channel.name]))
                .collect(),
        }
    }

    /// Whether any sample of these frames was saturated.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn count(&mut self, codes: &[i32]) -> bool {
        self.n_frames.fill(0);
        for frame in codes.chunks_exact(self.min.len()) {
            let ranges = self.min.iter().zip(&self.max);
            for ((code, (min, max)), n_frames) in frame.iter().zip(ranges).zip(&mut self.n_frames) {
                *n_frames += u32::from(code <= min || code >= max);
            }
        }
        let mut any = false;
        for (n_frames, total) in self.n_frames.iter().zip(&self.totals).filter(|(n_frames, _)| **n_frames > 0) {
            total.inc_by(u64::from(*n_frames));
            any = true;
        }
        any
    }
}
