//! The acquisition thread: takes what the converter made and passes it on. It waits for the converter alone; a
//! consumer that has no room is given up on within the source's slack.

use std::sync::Arc;

use prometheus::IntGauge;

use super::rate::RateMeter;
use super::{Progress, Sender};
use crate::block::{Cause, Pool, RawBlock, Tally};
use crate::metrics::Metrics;
use crate::rt::{Stop, now_ns};
use crate::source::{Filled, Source};

/// Everything the acquisition thread owns.
pub struct Acquire {
    source: Box<dyn Source>,
    pool: Pool<RawBlock>,
    /// Where conversions go while no slab is free: they must be taken from the converter all the same.
    scratch: RawBlock,
    recorder: Option<Sender<Arc<RawBlock>>>,
    process: Sender<Arc<RawBlock>>,
    stop: Arc<Stop>,
    turned: Arc<Progress>,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    slabs_free: IntGauge,
    rate: RateMeter,
    nominal_hz: f64,
    /// Lost here, not in the source: no slab was free.
    lost: Tally,
    frames_counted: u64,
    missed_counted: u64,
}

impl Acquire {
    /// Gets the thread's work ready. `turned` notes every turn of the loop, `progress` every block.
    pub fn new(
        source: Box<dyn Source>,
        n_slabs: usize,
        recorder: Option<Sender<Arc<RawBlock>>>,
        process: Sender<Arc<RawBlock>>,
        stop: Arc<Stop>,
        (turned, progress): (Arc<Progress>, Arc<Progress>),
        metrics: Arc<Metrics>,
    ) -> Acquire {
        let (stream, n_chips) = (source.stream().clone(), source.n_chips());
        metrics.pool_slabs.with_label_values(&["raw"]).set(n_slabs as i64);
        Acquire {
            pool: Pool::new(n_slabs, || RawBlock::new(&stream, n_chips)),
            scratch: RawBlock::new(&stream, n_chips),
            slabs_free: metrics.pool_slabs_free.with_label_values(&["raw"]),
            nominal_hz: stream.rate_hz,
            rate: RateMeter::default(),
            lost: Tally::default(),
            frames_counted: 0,
            missed_counted: 0,
            source,
            recorder,
            process,
            stop,
            turned,
            progress,
            metrics,
        }
    }

    /// Runs until the source ends or is stopped, then closes the links.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the source, and for consumers within its slack.
    pub fn run(mut self) {
        self.stop.wake_me();
        self.process.attach();
        if let Some(recorder) = &self.recorder {
            recorder.attach();
        }
        self.source.start();
        while self.turn() {
            self.turned.made();
        }
        let mut end = self.source.end();
        end.lost.merge(&self.lost);
        self.count(end.next_frame, &end.lost);
        if let Some(recorder) = self.recorder {
            recorder.close(end);
        }
        self.process.close(end);
    }

    /// One block. False when there will be no more.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the source, and for consumers within its slack.
    fn turn(&mut self) -> bool {
        let (source, stop, lost) = (&mut self.source, &self.stop, &self.lost);
        let filled = self.pool.fill(|slab| {
            let filled = source.fill(slab, stop);
            slab.head.lost.merge(lost);
            filled
        });
        match filled {
            Some((block, Filled::Frames)) => self.pass_on(&block),
            Some((_, Filled::Nothing)) => {}
            Some((_, Filled::End)) => return false,
            None => match self.source.fill(&mut self.scratch, &self.stop) {
                Filled::Frames => self.lost.add(Cause::PoolEmpty, self.scratch.head.n_frames as u64),
                Filled::Nothing => {}
                Filled::End => return false,
            },
        }
        true
    }

    /// Real time: no allocation, no locks, no logging; waits for consumers within the source's slack.
    fn pass_on(&mut self, block: &Arc<RawBlock>) {
        let head = &block.head;
        self.metrics.drdy_to_read.observe(now_ns().saturating_sub(head.edge_ns) as f64 * 1e-9);
        let slack = || self.source.slack();
        // The recorder first: what happens to a block later cannot cost it one sample.
        if let Some(recorder) = &self.recorder {
            recorder.send(Arc::clone(block), &slack);
        }
        self.process.send(Arc::clone(block), &slack);
        self.count(head.next_frame(), &head.lost);
        if let Some(rate_hz) = self.rate.note(head.next_frame(), head.edge_ns) {
            self.metrics.sample_rate.set(rate_hz);
            self.metrics.adc_clock.set((rate_hz / self.nominal_hz - 1.0) * 1e6);
        }
        self.slabs_free.set(self.pool.n_free() as i64);
        self.progress.made();
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn count(&mut self, next_frame: u64, lost: &Tally) {
        self.metrics.frames.inc_by(next_frame - self.frames_counted);
        self.frames_counted = next_frame;
        let missed = lost.get(Cause::Missed);
        self.metrics.drdy_missed.inc_by(missed - self.missed_counted);
        self.missed_counted = missed;
    }
}
