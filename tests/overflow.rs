//! Every link and pool forced to overflow, one thread at a time, so that the counts are exact: what was withheld is
//! counted by cause, the gap stands in the data, and the ledger adds up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use biosigd::block::{Account, Cause, Channel, End, Follower, Head, Marker, Pool, RawBlock, Stream, Tally};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{
    Acquire, Bell, Disk, DiskParts, Fanout, Gate, Intake, LINK_BLOCKS, Ledger, Popped, Process, Progress,
    RecordingStatus, WhenFull, control, link, ring,
};
use biosigd::rt::Stop;
use biosigd::sink::{About, LiveBlock, LiveSink, PackedBlock, Progress as SinkProgress, RawSink, SinkError, Traffic};
use biosigd::source::{Filled, Pace, Slack, Source};

const BLOCK_FRAMES: usize = 10;

fn stream() -> Stream {
    let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0), Channel::microvolts_24_bit("Fp2", 1000.0)];
    Stream { rate_hz: 1000.0, channels, block_frames_max: BLOCK_FRAMES, ratio: 1, delay_s: 0.0 }
}

/// Blocks of ten frames without pause, and a converter that keeps nothing.
struct Script {
    stream: Stream,
    n_blocks: u64,
    made: u64,
}

impl Source for Script {
    fn stream(&self) -> &Stream {
        &self.stream
    }
    fn pace(&self) -> Pace {
        Pace::Clock
    }
    fn slack(&self) -> Slack {
        Slack::For(Duration::ZERO)
    }
    fn start(&mut self) {}
    fn fill(&mut self, block: &mut RawBlock, _: &Stop) -> Filled {
        if self.made == self.n_blocks {
            return Filled::End;
        }
        let first_frame = self.made * BLOCK_FRAMES as u64;
        block.head = Head { first_frame, n_frames: BLOCK_FRAMES, ..Head::default() };
        for (code, value) in block.slab_mut().iter_mut().zip(0..) {
            *code = value;
        }
        self.made += 1;
        Filled::Frames
    }
    fn end(&self) -> End {
        End { next_frame: self.made * BLOCK_FRAMES as u64, lost: Tally::default() }
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("test").unwrap())
}

/// Runs acquisition of `n_blocks` into links that nobody reads meanwhile.
fn acquire(
    n_blocks: u64,
    n_slabs: usize,
    recorder: Option<biosigd::pipeline::Sender<Arc<RawBlock>>>,
    process: biosigd::pipeline::Sender<Arc<RawBlock>>,
    metrics: &Arc<Metrics>,
) {
    let source = Box::new(Script { stream: stream(), n_blocks, made: 0 });
    let progress = || Arc::new(Progress::default());
    let stop = Arc::new(Stop::default());
    Acquire::new(source, n_slabs, recorder, process, stop, (progress(), progress()), Arc::clone(metrics)).run();
}

fn overruns(metrics: &Metrics, link: &str) -> u64 {
    metrics.overruns.with_label_values(&[link]).get()
}

/// An account with nothing lost but `n_frames` to `cause`.
fn account(expected: u64, delivered: u64, cause: Cause, n_frames: u64) -> Account {
    let mut account = Account { expected, delivered, lost: Tally::default() };
    account.lost.add(cause, n_frames);
    account
}

#[test]
fn the_link_to_process() {
    let metrics = metrics();
    let (sender, receiver) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    acquire(100, 16, None, sender, &metrics);
    assert_eq!(overruns(&metrics, "process"), 96);
    Process::new(&stream(), receiver, None, Vec::new(), Arc::new(Progress::default()), &metrics).run();
    let ledger = Ledger::new(&metrics, "process").account();
    assert_eq!(ledger, account(1000, 40, Cause::LinkFull, 960));
    assert_eq!(metrics.frames.get(), 1000);
}

#[test]
fn an_empty_pool() {
    let metrics = metrics();
    let (sender, receiver) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    // Three slabs: the link, which holds four, takes them all, and nobody gives one back.
    acquire(100, 3, None, sender, &metrics);
    assert_eq!(overruns(&metrics, "process"), 0, "the pool ran out before the link did");
    Process::new(&stream(), receiver, None, Vec::new(), Arc::new(Progress::default()), &metrics).run();
    let ledger = Ledger::new(&metrics, "process").account();
    assert_eq!(ledger, account(1000, 30, Cause::PoolEmpty, 970));
}

/// Remembers what it was given; fails at a block of choice.
#[derive(Default)]
struct Paper {
    gaps: Arc<Mutex<Vec<(u64, Tally)>>>,
    given: u64,
    fails_at: Option<u64>,
    end_gap: Arc<Mutex<Option<Tally>>>,
}

impl RawSink for Paper {
    fn open(&mut self, _: &Head) -> Result<(), SinkError> {
        Ok(())
    }
    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        if self.fails_at.is_some_and(|at| block.head.first_frame >= at) {
            return Err(SinkError::Format("the paper is full".to_owned()));
        }
        self.given += block.head.n_frames as u64;
        self.gaps.lock().unwrap().push((block.head.first_frame, block.gap));
        Ok(())
    }
    fn rotate(&mut self) {}
    fn describe_next(&mut self, _: About) {}
    fn marker(&mut self, _: Marker) {}
    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    fn close(&mut self, gap_at_end: &Tally) -> Result<(), SinkError> {
        *self.end_gap.lock().unwrap() = Some(*gap_at_end);
        Ok(())
    }
    fn progress(&self) -> SinkProgress {
        SinkProgress { frames_delivered: self.given, ..SinkProgress::default() }
    }
}

/// The recorder's threads, run one after the other over `n_blocks`.
fn record(
    n_blocks: u64,
    recorder_runs_late: bool,
    ring_s: f64,
    stop_on_overflow: bool,
    paper: Paper,
) -> (Arc<Metrics>, RecordingStatus) {
    let metrics = metrics();
    let (to_recorder, from_acquire) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
    let (to_process, from_acquire_too) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let (writer, reader) = ring(&stream(), 0, ring_s);
    let ledger = Ledger::new(&metrics, "recorder");
    let gate = Arc::new(Gate::new(true));
    let slack = Slack::For(Duration::ZERO);
    let progress = || Arc::new(Progress::default());
    let intake = Intake::new(
        from_acquire,
        writer,
        Arc::clone(&gate),
        ledger.clone(),
        progress(),
        &metrics,
        slack,
        stop_on_overflow,
    );
    if recorder_runs_late {
        acquire(n_blocks, 16, Some(to_recorder), to_process, &metrics);
    } else {
        // The intake keeps up: blocks are sent by hand, one at a time, each taken before the next is made.
        drop(to_process);
        let intake = std::thread::spawn(move || intake.run());
        to_recorder.attach();
        let mut pool = Pool::new(16, || RawBlock::new(&stream(), 0));
        for n in 0..n_blocks {
            let first_frame = n * BLOCK_FRAMES as u64;
            let head = Head { first_frame, n_frames: BLOCK_FRAMES, ..Head::default() };
            let (block, ()) = pool.fill(|block| block.head = head).unwrap();
            to_recorder.send(block, &|| Slack::Forever);
        }
        to_recorder.close(End { next_frame: n_blocks * BLOCK_FRAMES as u64, lost: Tally::default() });
        intake.join().unwrap();
        return disk(reader, paper, gate, ledger, metrics);
    }
    drop(from_acquire_too);
    intake.run();
    disk(reader, paper, gate, ledger, metrics)
}

fn disk(
    reader: biosigd::pipeline::RingReader,
    paper: Paper,
    gate: Arc<Gate>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
) -> (Arc<Metrics>, RecordingStatus) {
    let status = Arc::new(Mutex::new(RecordingStatus::default()));
    let (_markers, markers_in) = mpsc::sync_channel(1);
    let progress = Arc::new(Progress::default());
    let hour = Duration::from_secs(3600);
    let (_control, orders) = control();
    let parts = DiskParts {
        ring: reader,
        ring_s: 1.0,
        rate_hz: 1000.0,
        sinks: vec![paper],
        at_once: true,
        pre_s: 0.0,
        markers: markers_in,
        orders,
        gate,
        ledger,
        status: Arc::clone(&status),
        progress,
        metrics: Arc::clone(&metrics),
        sync_every: hour,
        retry_every: hour,
    };
    Disk::new(parts).run();
    let status = status.lock().unwrap().clone();
    (metrics, status)
}

#[test]
fn the_link_to_the_recorder() {
    let paper = Paper::default();
    let end_gap = Arc::clone(&paper.end_gap);
    let (metrics, _) = record(100, true, 30.0, false, paper);
    assert_eq!(overruns(&metrics, "recorder"), 96);
    assert_eq!(Ledger::new(&metrics, "recorder").account(), account(1000, 40, Cause::LinkFull, 960));
    let gap = end_gap.lock().unwrap().expect("the recording was closed");
    assert_eq!((gap.get(Cause::LinkFull), gap.total()), (960, 960), "the gap stands at the file's end");
}

#[test]
fn the_packed_ring() {
    let paper = Paper::default();
    let end_gap = Arc::clone(&paper.end_gap);
    // 0.1 s of ten-frame blocks at 1 kHz: ten blocks fit.
    let (metrics, status) = record(100, false, 0.1, false, paper);
    assert_eq!(overruns(&metrics, "recorder"), 0);
    assert_eq!(Ledger::new(&metrics, "recorder").account(), account(1000, 100, Cause::RingFull, 900));
    assert_eq!(end_gap.lock().unwrap().unwrap().get(Cause::RingFull), 900);
    assert_eq!(status.ended, None, "on_overflow = gap goes on");
}

#[test]
fn the_packed_ring_when_it_must_stop() {
    let (metrics, status) = record(100, false, 0.1, true, Paper::default());
    // The block that found no room is owed and lost; the recording owes nothing after it.
    assert_eq!(Ledger::new(&metrics, "recorder").account(), account(110, 100, Cause::RingFull, 10));
    assert!(status.ended.is_some_and(|why| why.contains("stall budget")));
}

#[test]
fn a_disk_that_refuses() {
    let paper = Paper { fails_at: Some(500), ..Paper::default() };
    let (metrics, status) = record(100, false, 30.0, false, paper);
    assert_eq!(Ledger::new(&metrics, "recorder").account(), account(1000, 500, Cause::Disk, 500));
    assert_eq!((status.active, status.ended.as_deref()), (false, Some("the paper is full")));
    assert_eq!(metrics.recorder_active.get(), 0);
}

/// Delivers everything at once to one imaginary client.
#[derive(Default)]
struct Client {
    account: Account,
    gaps: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl LiveSink for Client {
    fn offer(&mut self, _: usize, block: &LiveBlock, gap: &Tally) {
        self.account.add_gap(gap);
        self.account.expected += block.head.n_frames as u64;
        self.account.delivered += block.head.n_frames as u64;
        self.gaps.lock().unwrap().push((block.head.first_frame, gap.total()));
    }
    fn reshaped(&mut self, _: usize, _: u64) {}
    fn ended(&mut self, _: usize, gap: &Tally) {
        self.account.add_gap(gap);
    }
    fn wait(&mut self) {}
    fn finish(&mut self) {}
    fn account(&self, _: usize) -> Account {
        self.account
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

#[test]
fn the_link_to_the_clients_drops_the_oldest() {
    let metrics = metrics();
    let (to_process, from_acquire) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let (to_clients, from_process) = link("websocket.raw", WhenFull::DropOldest, Bell::Thread, &metrics);
    let process =
        Process::new(&stream(), from_acquire, Some(to_clients), Vec::new(), Arc::new(Progress::default()), &metrics);
    let process = std::thread::spawn(move || process.run());
    to_process.attach();
    let mut pool = Pool::new(64, || RawBlock::new(&stream(), 0));
    for n in 0..20_u64 {
        let head = Head { first_frame: n * 10, n_frames: BLOCK_FRAMES, ..Head::default() };
        let (block, ()) = pool.fill(|block| block.head = head).unwrap();
        to_process.send(block, &|| Slack::Forever);
    }
    to_process.close(End { next_frame: 200, lost: Tally::default() });
    process.join().unwrap();
    assert_eq!(overruns(&metrics, "websocket.raw"), 20 - LINK_BLOCKS as u64);
    let client = Client::default();
    let gaps = Arc::clone(&client.gaps);
    Fanout::new(vec![("raw".to_owned(), from_process)], client, Arc::clone(&metrics)).run();
    assert_eq!(*gaps.lock().unwrap(), [(160, 160), (170, 0), (180, 0), (190, 0)], "the newest four, after the gap");
    assert_eq!(Ledger::new(&metrics, "websocket.raw").account(), account(200, 40, Cause::LinkFull, 160));
}

#[test]
fn a_gap_in_the_middle_stands_where_it_was() {
    let metrics = metrics();
    let (sender, receiver) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let mut pool = Pool::new(16, || RawBlock::new(&stream(), 0));
    let mut send = |n: u64| {
        let head = Head { first_frame: n * 10, n_frames: BLOCK_FRAMES, ..Head::default() };
        let (block, ()) = pool.fill(|block| block.head = head).unwrap();
        sender.send(block, &|| Slack::For(Duration::ZERO));
    };
    (0..6).for_each(&mut send);
    let mut follower = Follower::default();
    let mut seen = Vec::new();
    let mut take = |follower: &mut Follower| {
        while let Popped::Block(block) = receiver.pop() {
            let gap = follower.arrived(&block.head, Cause::LinkFull);
            seen.push((block.head.first_frame, gap.get(Cause::LinkFull)));
        }
    };
    take(&mut follower);
    (6..8).for_each(&mut send);
    take(&mut follower);
    assert_eq!(seen, [(0, 0), (10, 0), (20, 0), (30, 0), (60, 20), (70, 0)]);
    assert_eq!(overruns(&metrics, "process"), 2);
}
