//! One chain on the processing thread: its stages, its slabs, and the stream that comes out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Sender;
use super::process::no_slack;
use crate::block::{Block, Cause, Channel, End, Flags, Head, Pool, RawBlock, Stream, Tally};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::sink::{LiveBlock, Samples};
use crate::stage::{Stage, StageError};

/// Where a chain's blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Codes of the source, converted to units.
    Raw,
    /// The chain at this place of the list, which comes earlier.
    Chain(usize),
}

/// What a chain is given for one turn.
pub(super) enum Parent<'a> {
    Raw(&'a RawBlock),
    Chain(&'a Arc<Block>),
}

/// One stage in its place.
struct Slot {
    name: String,
    stage: Box<dyn Stage>,
    /// It panicked, and is left out since.
    bypassed: bool,
    /// It changes rate or channels: without it the stream would not be what `hello` says, so that a chain whose
    /// reshaping stage panicked gives nothing more.
    reshapes: bool,
    time: Histogram,
}

/// A list of stages between two streams.
pub struct Chain {
    name: String,
    from: From,
    stream: Stream,
    slots: Vec<Slot>,
    scale: Vec<f64>,
    offset: Vec<f64>,
    pool: Pool<Block>,
    slabs_free: IntGauge,
    faults: IntCounter,
    out: Option<Sender<LiveBlock>>,
    latest: Option<Arc<Block>>,
    /// Lost in this chain or in one it reads from, in frames of this stream.
    lost: Tally,
    next_frame: u64,
}

/// Slabs of a chain, term by term.
pub const CHAIN_SLABS: usize = super::LINK_BLOCKS // the link to the websocket full
    + 1 // in the websocket's hand
    + 1 // the latest, kept for chains that read from this one
    + 1; // being filled

impl Chain {
    /// Prepares `stages` (with their names) for blocks of `input`.
    ///
    /// # Errors
    /// The place in the list of the stage that does not fit, and why.
    pub fn prepare(
        name: &str,
        from: From,
        input: &Stream,
        stages: Vec<(String, Box<dyn Stage>)>,
        metrics: &Metrics,
    ) -> Result<Chain, (usize, StageError)> {
        let mut input = input.clone();
        if from == From::Raw {
            input.channels = input.channels.iter().map(Channel::in_microvolts).collect();
        }
        let mut stream = input.clone();
        let mut samples_max = stream.block_frames_max * stream.n_channels();
        let mut slots = Vec::with_capacity(stages.len());
        for (i, (kind, mut stage)) in stages.into_iter().enumerate() {
            let output = stage.prepare(&stream).map_err(|error| (i, error))?;
            samples_max = samples_max.max(output.block_frames_max * output.n_channels());
            slots.push(Slot {
                reshapes: output.rate_hz != stream.rate_hz || output.channels != stream.channels,
                time: metrics.stage_time.with_label_values(&[name, &kind]),
                bypassed: false,
                name: kind,
                stage,
            });
            stream = output;
        }
        metrics.pool_slabs.with_label_values(&[name]).set(CHAIN_SLABS as i64);
        Ok(Chain {
            name: name.to_owned(),
            from,
            slots,
            scale: input.channels.iter().map(Channel::scale).collect(),
            offset: input.channels.iter().map(Channel::offset).collect(),
            pool: Pool::new(CHAIN_SLABS, || Block::new(&stream, samples_max)),
            slabs_free: metrics.pool_slabs_free.with_label_values(&[name]),
            faults: metrics.stage_faults.clone(),
            stream,
            out: None,
            latest: None,
            lost: Tally::default(),
            next_frame: 0,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What comes out.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends what comes out to live clients as well.
    pub fn send_to(&mut self, out: Sender<LiveBlock>) {
        self.out = Some(out);
    }

    pub(super) fn from(&self) -> From {
        self.from
    }

    /// What came out of the last turn; `None` when it was lost.
    pub(super) fn latest(&self) -> Option<&Arc<Block>> {
        self.latest.as_ref()
    }

    /// One turn: takes the parent's block (`None`: the parent lost it), runs the stages, passes on. `raw` is the
    /// head of the raw block of this turn, with all that the way to here lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging. Exempt, because rare and counted: a stage that
    /// panics.
    pub(super) fn run(&mut self, parent: Option<Parent<'_>>, raw: &Head) {
        self.latest = None;
        let ratio = u64::from(self.stream.ratio);
        let expected_next = raw.next_frame() / ratio;
        let Some(parent) = parent else { return self.lose(Cause::StageFault, raw, expected_next) };
        let (slots, scale, offset) = (&mut self.slots, &self.scale, &self.offset);
        let (faults, name) = (&self.faults, &self.name);
        let filled = self.pool.fill(|block| {
            match parent {
                Parent::Raw(codes) => block.convert(codes, scale, offset),
                Parent::Chain(other) => block.copy(other),
            }
            block.head.flags = raw.flags;
            slots.iter_mut().all(|slot| slot.run(block, raw.flags.has(Flags::GAP), name, faults))
        });
        match filled {
            None => self.lose(Cause::PoolEmpty, raw, expected_next),
            Some((_, false)) => self.lose(Cause::StageFault, raw, expected_next),
            Some((block, true)) => {
                self.next_frame = expected_next;
                if let Some(out) = &self.out {
                    let mut head = Head { lost: scaled(&raw.lost, ratio), ..block.head };
                    head.lost.merge(&self.lost);
                    if head.n_frames > 0 {
                        out.send(LiveBlock { head, samples: Samples::Units(Arc::clone(&block)) }, &no_slack);
                    }
                }
                self.latest = Some(block);
            }
        }
        self.slabs_free.set(self.pool.n_free() as i64);
    }

    /// Says downstream that there will be no more.
    pub(super) fn close(mut self, end: &End) {
        if let Some(out) = self.out.take() {
            let ratio = u64::from(self.stream.ratio);
            let mut lost = scaled(&end.lost, ratio);
            lost.merge(&self.lost);
            out.close(End { next_frame: end.next_frame / ratio, lost });
        }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn lose(&mut self, cause: Cause, raw: &Head, expected_next: u64) {
        let first_frame = raw.first_frame / u64::from(self.stream.ratio);
        self.lost.add(cause, expected_next - first_frame.min(expected_next));
        self.next_frame = expected_next;
    }
}

impl Slot {
    /// Runs the stage over the block. False when the block is lost to this chain.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging. Exempt, because rare and counted: a stage that
    /// panics.
    fn run(&mut self, block: &mut Block, after_gap: bool, chain: &str, faults: &IntCounter) -> bool {
        if self.bypassed {
            return !self.reshapes;
        }
        let start_ns = now_ns();
        let stage = &mut self.stage;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if after_gap {
                stage.reset();
            }
            stage.process(block);
        }));
        self.time.observe(now_ns().saturating_sub(start_ns) as f64 * 1e-9);
        if outcome.is_err() {
            self.bypassed = true;
            faults.inc();
            tracing::error!("chain {chain}: stage `{}` panicked; it is bypassed from now on", self.name);
        }
        outcome.is_ok()
    }
}

/// Frames of `raw` as frames of a stream that has one for `ratio` of them.
fn scaled(lost: &Tally, ratio: u64) -> Tally {
    if ratio == 1 {
        return *lost;
    }
    let mut scaled = Tally::default();
    for (cause, n_frames) in lost.iter() {
        scaled.add(cause, n_frames / ratio);
    }
    scaled
}
