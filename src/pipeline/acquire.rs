//! The acquisition thread: takes what the converter made and passes it on. It waits for the converter alone; a
//! consumer that has no room is given up on within the source's slack.

use std::sync::Arc;

use prometheus::IntGauge;

use super::patience::Patience;
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
    patience: Patience,
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
            patience: Patience::new(source.slack(), &stream),
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
        // Before the links end: the recorder closes its file when its link does.
        self.source.finish();
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
        // Asked at each look of a wait for room, once a second at least: while it waits, the loop counts as turning.
        let slack = || {
            self.turned.made();
            self.source.slack()
        };
        // The recorder first: what happens to a block later cannot cost it one sample.
        if let Some(recorder) = &self.recorder {
            recorder.send(Arc::clone(block), &|| self.patience.for_recorder(slack()));
        }
        self.process.send(Arc::clone(block), &|| self.patience.for_process(slack()));
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

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::block::{Channel, End, Stream};
    use crate::pipeline::{Bell, Popped, WhenFull, link};
    use crate::source::{Pace, Slack};

    /// A recording that never ends and can be kept waiting for ever.
    struct Endless {
        stream: Stream,
        next_frame: u64,
    }

    impl Source for Endless {
        fn stream(&self) -> &Stream {
            &self.stream
        }
        fn pace(&self) -> Pace {
            Pace::Free
        }
        fn slack(&self) -> Slack {
            Slack::Forever
        }
        fn start(&mut self) {}
        fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
            if stop.is_set() {
                return Filled::End;
            }
            (block.head.first_frame, block.head.n_frames) = (self.next_frame, 1);
            self.next_frame += 1;
            Filled::Frames
        }
        fn end(&self) -> End {
            End { next_frame: self.next_frame, ..End::default() }
        }
    }

    #[test]
    fn a_loop_that_waits_for_a_consumer_that_hangs_still_turns() {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0)];
        let stream = Stream { rate_hz: 1000.0, channels, block_frames_max: 1, ratio: 1, delay_s: 0.0 };
        let (to_process, hangs) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
        let (stop, turned, progress) =
            (Arc::new(Stop::default()), Arc::new(Progress::default()), Arc::new(Progress::default()));
        let source = Box::new(Endless { stream, next_frame: 0 });
        let progresses = (Arc::clone(&turned), Arc::clone(&progress));
        let acquire = Acquire::new(source, 8, None, to_process, Arc::clone(&stop), progresses, metrics);
        let thread = thread::spawn(move || acquire.run());

        let bound = Instant::now() + Duration::from_secs(30);
        let wait_until = |what: &str, reached: &dyn Fn() -> bool| {
            while !reached() {
                assert!(Instant::now() < bound, "{what}");
                thread::park_timeout(Duration::from_millis(10));
            }
        };
        // The link is full and nobody takes from it: no block goes through any more, and the loop turns all the same.
        let stands = || progress.age() > Some(Duration::from_millis(1500));
        wait_until("the link never filled", &stands);
        wait_until("the loop does not turn", &|| stands() && turned.age() < Some(Duration::from_secs(1)));
        stop.set();
        let mut n_blocks = 0;
        loop {
            match hangs.pop() {
                Popped::Block(_) => n_blocks += 1,
                Popped::Empty => thread::yield_now(),
                Popped::Ended(end) => {
                    assert_eq!(end.next_frame, n_blocks, "nothing was lost while it waited");
                    break;
                }
            }
        }
        thread.join().unwrap();
    }
}
