//! One chain on the processing thread: its stages, its slabs, and the stream that comes out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Sender;
use super::link::no_slack;
use crate::block::{Block, Cause, Channel, End, Flags, Head, Pool, RawBlock, Stream, Tally};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::sink::{Epoch, LiveBlock, Samples};
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
    slab_bytes: usize,
    slabs_free: IntGauge,
    faults: IntCounter,
    out: Option<Sender<LiveBlock>>,
    epoch: Epoch,
    latest: Option<Arc<Block>>,
    /// Lost before the chains, as of the last turn: in frames of `raw`, and of this stream as it was at the time.
    lost_raw: Tally,
    lost_before: Tally,
    /// Lost in this chain or in one it reads from, in frames of this stream.
    lost: Tally,
    /// The last turn's block was lost, so that the stages have missed something.
    missed: bool,
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
    /// The place in the list of each stage that does not fit, and why; stages after it are tried without it.
    pub fn prepare(
        name: &str,
        from: From,
        input: &Stream,
        stages: Vec<(String, Box<dyn Stage>)>,
        metrics: &Metrics,
    ) -> Result<Chain, Vec<(usize, StageError)>> {
        let mut input = input.clone();
        if from == From::Raw {
            input.channels = input.channels.iter().map(Channel::in_microvolts).collect();
        }
        let mut stream = input.clone();
        let mut samples_max = stream.block_frames_max * stream.n_channels();
        let mut slots = Vec::with_capacity(stages.len());
        let mut errors = Vec::new();
        for (i, (kind, mut stage)) in stages.into_iter().enumerate() {
            let output = match stage.prepare(&stream) {
                Ok(output) => output,
                Err(error) => {
                    errors.push((i, error));
                    continue;
                }
            };
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
        if !errors.is_empty() {
            return Err(errors);
        }
        metrics.pool_slabs.with_label_values(&[name]).set(CHAIN_SLABS as i64);
        Ok(Chain {
            name: name.to_owned(),
            from,
            slots,
            scale: input.channels.iter().map(Channel::scale).collect(),
            offset: input.channels.iter().map(Channel::offset).collect(),
            slab_bytes: samples_max * size_of::<f32>(),
            pool: Pool::new(CHAIN_SLABS, || Block::new(&stream, samples_max)),
            slabs_free: metrics.pool_slabs_free.with_label_values(&[name]),
            faults: metrics.stage_faults.clone(),
            stream,
            out: None,
            epoch: Epoch::default(),
            latest: None,
            lost_raw: Tally::default(),
            lost_before: Tally::default(),
            lost: Tally::default(),
            missed: false,
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

    /// Bytes of one of its slabs, which hold a block at its largest on the way through the stages.
    #[must_use]
    pub fn slab_bytes(&self) -> usize {
        self.slab_bytes
    }

    /// Sends what comes out to live clients as well.
    pub fn send_to(&mut self, out: Sender<LiveBlock>) {
        self.out = Some(out);
    }

    /// Numbers the chain of a reload; it takes the place of the one with the same name.
    pub fn set_generation(&mut self, generation: u32) {
        self.epoch.generation = generation;
    }

    /// Takes the place of `old` between two blocks: its way out, its account and its place in the stream. `raw` says
    /// where the processing thread stands.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take_over(&mut self, old: &mut Chain, raw: &End) {
        old.count_before(&raw.lost, raw.next_frame);
        self.out = old.out.take();
        (self.lost_raw, self.lost_before, self.lost) = (raw.lost, old.lost_before, old.lost);
        let end = old.index(raw.next_frame).wrapping_add(old.epoch.shift);
        self.epoch.shift = end.wrapping_sub(self.index(raw.next_frame));
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
        self.count_before(&raw.lost, raw.first_frame);
        let flags = if self.missed { raw.flags.with(Flags::GAP) } else { raw.flags };
        let Some(parent) = parent else { return self.lose(Cause::StageFault, raw) };
        let (slots, scale, offset) = (&mut self.slots, &self.scale, &self.offset);
        let (faults, name) = (&self.faults, &self.name);
        let filled = self.pool.fill(|block| {
            block.head.flags = match parent {
                Parent::Raw(codes) => {
                    block.convert(codes, scale, offset);
                    flags
                }
                // A slower stream carries the flags of turns in which it had no frame to the next one that has.
                Parent::Chain(other) => {
                    block.copy(other);
                    flags.with(other.head.flags)
                }
            };
            slots.iter_mut().all(|slot| slot.run(block, flags.has(Flags::GAP), name, faults))
        });
        match filled {
            None => self.lose(Cause::PoolEmpty, raw),
            Some((_, false)) => self.lose(Cause::StageFault, raw),
            Some((block, true)) => {
                self.missed = false;
                if let Some(out) = &self.out {
                    let head = Head { lost: self.lost_in_all(), ..block.head };
                    if head.n_frames > 0 {
                        let epoch = self.epoch;
                        out.send(LiveBlock { head, epoch, samples: Samples::Units(Arc::clone(&block)) }, &no_slack);
                    }
                }
                self.latest = Some(block);
            }
        }
        self.slabs_free.set(self.pool.n_free() as i64);
    }

    /// Says downstream that there will be no more.
    pub(super) fn close(mut self, end: &End) {
        self.count_before(&end.lost, end.next_frame);
        if let Some(out) = self.out.take() {
            let next_frame = self.index(end.next_frame).wrapping_add(self.epoch.shift);
            out.close(End { next_frame, lost: self.lost_in_all() });
        }
    }

    /// The first frame of this stream that stands at `raw_frame` or after it.
    fn index(&self, raw_frame: u64) -> u64 {
        raw_frame.div_ceil(u64::from(self.stream.ratio))
    }

    /// Takes note of what `raw` had lost before `raw_frame`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn count_before(&mut self, lost_raw: &Tally, raw_frame: u64) {
        let gap = lost_raw.since(&self.lost_raw);
        self.lost_before.merge(&gap.in_frames_of(u64::from(self.stream.ratio), raw_frame));
        self.lost_raw = *lost_raw;
    }

    fn lost_in_all(&self) -> Tally {
        let mut lost = self.lost_before;
        lost.merge(&self.lost);
        lost
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn lose(&mut self, cause: Cause, raw: &Head) {
        self.lost.add(cause, self.index(raw.next_frame()) - self.index(raw.first_frame));
        self.missed = true;
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("name", &self.name).field("stream", &self.stream).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Channel, Follower};
    use crate::pipeline::{Bell, Popped, WhenFull, link};
    use crate::stage::Decimate;

    /// Panics in its fourth block.
    struct Faulty(u32);

    impl Stage for Faulty {
        fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
            Ok(input.clone())
        }

        fn process(&mut self, _: &mut Block) {
            self.0 += 1;
            assert_ne!(self.0, 4, "a mistake of its author");
        }
    }

    #[test]
    fn the_frames_of_a_slower_stream_are_all_delivered_or_lost_for_the_right_cause() {
        let metrics = Metrics::new("test").unwrap();
        let channels = vec![Channel::microvolts_24_bit("a", 1000.0)];
        let input = Stream { rate_hz: 1000.0, channels, block_frames_max: 40, ratio: 1, delay_s: 0.0 };
        let decimate: Decimate = toml::from_str("factor = 8").unwrap();
        let stages: Vec<(String, Box<dyn Stage>)> =
            vec![("decimate".into(), Box::new(decimate)), ("faulty".into(), Box::new(Faulty(0)))];
        let mut chain = Chain::prepare("slow", From::Raw, &input, stages, &metrics).unwrap();
        let (sender, receiver) = link("websocket.slow", WhenFull::DropOldest, Bell::Thread, &metrics);
        chain.send_to(sender);

        let (mut follower, mut delivered) = (Follower::default(), 0);
        let mut head = Head::default();
        // Frames missed before each block, and its length: some blocks bring no frame, some gaps cost none.
        for (missed, n_frames) in [(0, 10), (21, 4), (3, 3), (0, 40), (2, 1), (100, 7), (0, 40)] {
            head.lost.add(Cause::Missed, missed);
            head.first_frame = head.next_frame() + missed;
            head.n_frames = n_frames;
            let mut raw = RawBlock::new(&input, 0);
            raw.head = head;
            chain.run(Some(Parent::Raw(&raw)), &head);
            while let Popped::Block(block) = receiver.pop() {
                assert_eq!(follower.arrived(&block.head, Cause::ClientSlow).get(Cause::ClientSlow), 0);
                delivered += block.head.n_frames as u64;
            }
        }
        // Five frames at the end, of which none would have been kept but 232.
        head.lost.add(Cause::Spi, 5);
        chain.close(&End { next_frame: head.next_frame() + 5, lost: head.lost });
        let Popped::Ended(end) = receiver.pop() else { panic!("the chain is closed") };
        follower.ended(&end, Cause::ClientSlow);

        assert_eq!(end.next_frame, (10 + 25 + 6 + 40 + 3 + 107 + 40 + 5_u64).div_ceil(8));
        assert_eq!(delivered + follower.lost().total(), end.next_frame);
        assert_eq!(follower.lost().get(Cause::ClientSlow), 0);
        // The fourth block was 41..81: frames 48, 56, 64, 72 and 80 of `raw`.
        assert_eq!(follower.lost().get(Cause::StageFault), 5);
        assert_eq!(follower.lost().get(Cause::Spi), 1);
    }

    #[test]
    fn flags_reach_every_stream_also_one_made_of_a_slower_one() {
        let metrics = Metrics::new("test").unwrap();
        let channels = vec![Channel::microvolts_24_bit("a", 1000.0)];
        let input = Stream { rate_hz: 1000.0, channels, block_frames_max: 10, ratio: 1, delay_s: 0.0 };
        let decimate: Decimate = toml::from_str("factor = 25").unwrap();
        let stages: Vec<(String, Box<dyn Stage>)> = vec![("decimate".into(), Box::new(decimate))];
        let mut slow = Chain::prepare("slow", From::Raw, &input, stages, &metrics).unwrap();
        let mut copy = Chain::prepare("copy", From::Chain(0), slow.stream(), Vec::new(), &metrics).unwrap();
        let mut seen = Vec::new();
        for turn in 0..6 {
            let flags = if turn == 1 { Flags::SUSPECT.with(Flags::LEAD_OFF) } else { Flags::default() };
            let mut raw = RawBlock::new(&input, 0);
            raw.head = Head { first_frame: turn * 10, n_frames: 10, flags, ..Head::default() };
            slow.run(Some(Parent::Raw(&raw)), &raw.head);
            copy.run(slow.latest().map(Parent::Chain), &raw.head);
            let heads = [&slow, &copy].map(|chain| chain.latest().unwrap().head);
            seen.push(heads.map(|head| (head.n_frames, head.flags.0)));
        }
        // Frames 0, 25 and 50 of `raw` are passed on; the flags of 10..20 stand at the next frame there is, and once.
        let none = [(0, 10); 2];
        assert_eq!(seen, [[(1, 0); 2], none, [(1, 10); 2], [(0, 0); 2], [(0, 0); 2], [(1, 0); 2]]);
    }
}
