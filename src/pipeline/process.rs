//! The processing thread: every chain over every block, then to the live streams. A stage that panics is bypassed;
//! a block that a chain cannot give is a gap in that chain alone.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use prometheus::IntCounter;

use super::chain::{Chain, From, Parent};
use super::link::no_slack;
use super::{Edges, Ledger, Popped, Progress, Receiver, Sender};
use crate::block::{Cause, End, Flags, Follower, Head, RawBlock, Stream};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::sink::{Epoch, LiveBlock, Samples};

/// Where `main` and the processing thread exchange chains: new ones go in, and the old ones come out to be dropped
/// by `main`. One exchange at a time: the next waits until the old chains of the one before were fetched.
#[derive(Debug)]
pub struct Exchange {
    new: ArrayQueue<Vec<Chain>>,
    old: ArrayQueue<Vec<Chain>>,
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange { new: ArrayQueue::new(1), old: ArrayQueue::new(1) }
    }
}

impl Exchange {
    /// Offers new chains, the same names as the old ones in an order in which they can run. They come back when the
    /// last offer was not yet taken.
    ///
    /// # Errors
    /// The chains, when another offer waits.
    pub fn offer(&self, chains: Vec<Chain>) -> Result<(), Vec<Chain>> {
        self.new.push(chains)
    }

    /// The chains that the last offer replaced, when it was taken.
    #[must_use]
    pub fn replaced(&self) -> Option<Vec<Chain>> {
        self.old.pop()
    }

    /// Takes an offer back that nobody took.
    #[must_use]
    pub fn withdraw(&self) -> Option<Vec<Chain>> {
        self.new.pop()
    }

    /// The new chains, once there is room for those that they replace: what finds no room would be dropped here, by the
    /// processing thread, which may not free memory. Only that thread fills `old`, so that the room stays.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn take(&self) -> Option<Vec<Chain>> {
        if self.old.is_full() { None } else { self.new.pop() }
    }
}

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
    exchange: Arc<Exchange>,
    edges: Arc<Edges>,
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
            exchange: Arc::default(),
            edges: Arc::new(Edges::new(stream)),
        }
    }

    /// Where `main` can exchange the chains.
    #[must_use]
    pub fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    /// Which frame belongs to an instant.
    #[must_use]
    pub fn edges(&self) -> Arc<Edges> {
        Arc::clone(&self.edges)
    }

    /// Runs until the link ends, then closes the live streams.
    ///
    /// Real time: no allocation, no locks, no logging; waits for its link.
    pub fn run(mut self) {
        self.raw.attach();
        loop {
            if let Some(chains) = self.exchange.take() {
                self.swap(chains);
            }
            match self.raw.pop() {
                Popped::Block(block) => self.block(&block),
                Popped::Empty => self.raw.wait(),
                Popped::Ended(end) => return self.finish(&end),
            }
        }
    }

    /// Puts new chains in the place of the old ones, between two blocks.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn swap(&mut self, mut chains: Vec<Chain>) {
        let raw = End { next_frame: self.follower.next_frame(), lost: self.follower.lost() };
        for chain in &mut chains {
            if let Some(old) = self.chains.iter_mut().find(|old| old.name() == chain.name()) {
                chain.take_over(old, &raw);
            }
        }
        std::mem::swap(&mut self.chains, &mut chains);
        // There is room, or the new ones had not been taken.
        drop(self.exchange.old.push(chains));
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn block(&mut self, raw: &Arc<RawBlock>) {
        self.edges.note(&raw.head);
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
            let epoch = Epoch::default();
            out.send(LiveBlock { head, epoch, samples: Samples::Codes(Arc::clone(raw)) }, &no_slack);
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
