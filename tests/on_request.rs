//! Recordings that begin and end at any moment, over a stream that loses frames on every way: intake, disk's side and
//! whoever asks run as threads, and afterwards every frame is counted once, in one recording or in none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::block::{Account, Cause, Channel, End, Head, Marker, Pool, RawBlock, Stream, Tally};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{
    Bell, Control, Disk, DiskParts, Final, Gate, Intake, Ledger, Order, Progress, RecordingStatus, Verdict, WhenFull,
    control, link, ring,
};
use biosigd::rt::now_ns;
use biosigd::sink::{About, PackedBlock, Progress as SinkProgress, RawSink, SinkError};
use biosigd::source::Slack;

const BLOCK_FRAMES: usize = 10;
const BOUND: Duration = Duration::from_secs(60);

fn stream() -> Stream {
    let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0)];
    Stream { rate_hz: 1000.0, channels, block_frames_max: BLOCK_FRAMES, ratio: 1, delay_s: 0.0 }
}

/// What the paper should do at its next call.
#[derive(Default)]
struct Orders {
    stalls_for: Duration,
    refuses: bool,
    is_low: bool,
}

/// Checks that each recording is a run of frames with every gap told, and that no frame comes twice.
#[derive(Default)]
struct Paper {
    orders: Arc<Mutex<Orders>>,
    next_frame: u64,
    is_open: bool,
    delivered: u64,
}

impl Paper {
    fn obey(&self) -> Result<(), SinkError> {
        let mut orders = self.orders.lock().unwrap();
        let stalls_for = std::mem::take(&mut orders.stalls_for);
        let refuses = orders.refuses;
        drop(orders);
        thread::sleep(stalls_for);
        if refuses { Err(SinkError::Format("the paper is gone".to_owned())) } else { Ok(()) }
    }

    fn look_at_space(&self) -> Result<(), SinkError> {
        let is_low = self.orders.lock().unwrap().is_low;
        // A tenth more than a limit of 0 is there on every disk.
        let low = SinkError::DiskLow { path: "/".into(), free_bytes: 0, limit_bytes: 0 };
        if is_low { Err(low) } else { Ok(()) }
    }
}

impl RawSink for Paper {
    fn open(&mut self, first: &Head) -> Result<(), SinkError> {
        self.obey()?;
        self.look_at_space()?;
        assert!(!self.is_open && first.first_frame >= self.next_frame, "{first:?} after {}", self.next_frame);
        (self.is_open, self.next_frame) = (true, first.first_frame);
        Ok(())
    }
    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        if let Err(error) = self.obey() {
            self.is_open = false;
            return Err(error);
        }
        assert!(self.is_open);
        assert_eq!(block.head.first_frame, self.next_frame + block.gap.total(), "every gap is told, with its length");
        self.next_frame = block.head.next_frame();
        self.delivered += block.head.n_frames as u64;
        Ok(())
    }
    fn rotate(&mut self) {}
    fn describe_next(&mut self, _: About) {}
    fn marker(&mut self, _: Marker) {}
    fn sync(&mut self) -> Result<(), SinkError> {
        self.look_at_space()
    }
    fn close(&mut self, gap_at_end: &Tally) -> Result<(), SinkError> {
        self.is_open = false;
        self.next_frame += gap_at_end.total();
        Ok(())
    }
    fn progress(&self) -> SinkProgress {
        SinkProgress {
            frames_delivered: self.delivered,
            file: self.is_open.then(|| "paper".into()),
            ..SinkProgress::default()
        }
    }
}

/// A recorder on three threads: two of its own, and one that feeds it blocks, a tenth of which are missing.
struct Rig {
    control: Arc<Control>,
    orders: Arc<Mutex<Orders>>,
    status: Arc<Mutex<RecordingStatus>>,
    metrics: Arc<Metrics>,
    end: mpsc::Sender<()>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Rig {
    fn start(at_once: bool, pre_s: f64, retry_every: Duration) -> Rig {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let (sender, receiver) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
        // Thirty blocks fit.
        let (writer, reader) = ring(&stream(), 0, 0.3);
        let ledger = Ledger::new(&metrics, "recorder");
        let gate = Arc::new(Gate::new(at_once));
        let progress = || Arc::new(Progress::default());
        let none = Slack::For(Duration::ZERO);
        let intake =
            Intake::new(receiver, writer, Arc::clone(&gate), ledger.clone(), progress(), &metrics, none, false);
        let (control, orders) = control();
        let (_, markers) = mpsc::sync_channel(1);
        let paper = Paper::default();
        let (says, status) = (Arc::clone(&paper.orders), Arc::new(Mutex::new(RecordingStatus::default())));
        let disk = Disk::new(DiskParts {
            ring: reader,
            ring_s: 0.3,
            rate_hz: 1000.0,
            sinks: vec![paper],
            at_once,
            pre_s,
            markers,
            orders,
            gate,
            ledger,
            status: Arc::clone(&status),
            progress: progress(),
            metrics: Arc::clone(&metrics),
            sync_every: Duration::from_millis(10),
            retry_every,
        });
        let disk = thread::spawn(move || disk.run());
        control.attach(disk.thread().clone());
        let intake = thread::spawn(move || intake.run());
        let (end, ends) = mpsc::channel();
        let source = thread::spawn(move || {
            sender.attach();
            let mut pool = Pool::new(16, || RawBlock::new(&stream(), 0));
            let (mut lost, mut first_frame) = (Tally::default(), 0);
            for turn in 1_u64.. {
                if ends.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return sender.close(End { next_frame: first_frame, lost });
                }
                if turn % 10 == 0 {
                    lost.add(Cause::Missed, 7);
                    first_frame += 7;
                }
                let n_frames = 1 + usize::try_from(turn % 10).unwrap();
                let head = Head { first_frame, n_frames, edge_ns: now_ns(), lost, ..Head::default() };
                first_frame = head.next_frame();
                if let Some((block, ())) = pool.fill(|block| block.head = head) {
                    sender.send(block, &|| Slack::Forever);
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        Rig { control: Arc::new(control), orders: says, status, metrics, end, threads: vec![source, intake, disk] }
    }

    fn ask(&self, order: Order) -> Verdict {
        let (ticket, start) = (self.control.ask(order).expect("room"), Instant::now());
        loop {
            if let Some(verdict) = ticket.take() {
                return verdict;
            }
            assert!(start.elapsed() < BOUND, "no verdict");
            thread::sleep(Duration::from_micros(50));
        }
    }

    fn stop(&self) -> Final {
        match self.ask(Order::Stop { asked_ns: now_ns() }) {
            Verdict::Stopped(last) => last,
            verdict => panic!("{verdict:?}"),
        }
    }

    /// Ends the stream; the recorder's ledger.
    fn end(self) -> (Account, RecordingStatus) {
        drop(self.end);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let status = self.status.lock().unwrap().clone();
        (Ledger::new(&self.metrics, "recorder").account(), status)
    }
}

fn add(sum: &mut Account, last: &Final) {
    sum.expected += last.account.expected;
    sum.delivered += last.account.delivered;
    sum.lost.merge(&last.account.lost);
}

#[test]
fn every_frame_of_every_recording_is_counted_once() {
    for pre_s in [0.0, 0.05, 0.15] {
        let rig = Rig::start(false, pre_s, Duration::from_millis(5));
        let mut sum = Account::default();
        for turn in 0..150_u64 {
            let started = rig.ask(Order::Start(About::default()));
            assert!(matches!(started, Verdict::Started { .. }), "{started:?}");
            // Some end at once, some after a stall that is longer than the ring.
            let stalls_for = Duration::from_millis(if turn % 25 == 7 { 120 } else { 0 });
            rig.orders.lock().unwrap().stalls_for = stalls_for;
            thread::sleep(Duration::from_micros(turn * 37 % 3000));
            add(&mut sum, &rig.stop());
            thread::sleep(Duration::from_micros(turn * 53 % 2000));
        }
        let (account, _) = rig.end();
        assert_eq!(account, sum, "pre_s = {pre_s}");
        assert!(account.adds_up() && account.lost.get(Cause::Missed) > 0, "{account:?}");
        assert!(account.lost.get(Cause::RingFull) > 0, "the stalls were too short: {account:?}");
        assert_eq!(account.lost.get(Cause::Disk), 0, "{account:?}");
    }
}

#[test]
fn a_disk_that_comes_and_goes_costs_what_passes_meanwhile() {
    let rig = Rig::start(true, 0.0, Duration::from_millis(5));
    for _ in 0..20 {
        for refuses in [true, false] {
            rig.orders.lock().unwrap().refuses = refuses;
            let start = Instant::now();
            while rig.status.lock().unwrap().active == refuses {
                assert!(start.elapsed() < BOUND, "refuses: {refuses}");
                thread::sleep(Duration::from_micros(100));
            }
            thread::sleep(Duration::from_millis(3));
        }
    }
    let last = rig.stop();
    let (account, status) = rig.end();
    assert_eq!(last.account, account);
    assert!(account.adds_up() && account.lost.get(Cause::Disk) > 0 && account.delivered > 0, "{account:?}");
    assert!(!status.wanted && !status.active, "{status:?}");
}

#[test]
fn a_recording_that_ends_for_want_of_space_loses_nothing_and_begins_anew() {
    let rig = Rig::start(true, 0.0, Duration::from_millis(5));
    for _ in 0..10 {
        for is_low in [false, true] {
            rig.orders.lock().unwrap().is_low = is_low;
            let start = Instant::now();
            while rig.status.lock().unwrap().active == is_low {
                assert!(start.elapsed() < BOUND, "is_low: {is_low}");
                thread::sleep(Duration::from_micros(100));
            }
            let status = rig.status.lock().unwrap().clone();
            assert!(status.wanted && status.ended.is_some() == is_low, "{status:?}");
            thread::sleep(Duration::from_millis(3));
        }
    }
    assert!(matches!(rig.ask(Order::Start(About::default())), Verdict::DiskLow { .. }));
    let (account, _) = rig.end();
    assert!(account.adds_up() && account.delivered > 0, "{account:?}");
    assert_eq!(account.lost.get(Cause::Disk), 0, "what passed meanwhile was owed to nobody: {account:?}");
}

#[test]
fn a_start_that_the_disk_refuses_costs_nothing_and_the_next_one_works() {
    let rig = Rig::start(false, 0.05, Duration::from_millis(5));
    rig.orders.lock().unwrap().refuses = true;
    for _ in 0..10 {
        let refused = rig.ask(Order::Start(About::default()));
        assert_eq!(refused, Verdict::Failed { why: "the paper is gone".to_owned() });
    }
    assert_eq!(rig.ask(Order::Stop { asked_ns: 0 }), Verdict::NotActive);
    rig.orders.lock().unwrap().refuses = false;
    assert!(matches!(rig.ask(Order::Start(About::default())), Verdict::Started { .. }));
    assert!(matches!(rig.ask(Order::Start(About::default())), Verdict::Active { file: Some(_) }));
    let last = rig.stop();
    assert_eq!(rig.ask(Order::Rotate), Verdict::NotActive);
    assert_eq!(rig.end().0, last.account);
}

/// A start that no frame has come for yet is taken back by a stop, instead of beginning after it.
#[test]
fn a_stop_before_the_first_frame_is_obeyed() {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let (writer, reader) = ring(&stream(), 0, 0.3);
    let (control, orders) = control();
    let (_, markers) = mpsc::sync_channel(1);
    let disk = Disk::new(DiskParts {
        ring: reader,
        ring_s: 0.3,
        rate_hz: 1000.0,
        sinks: vec![Paper::default()],
        at_once: false,
        pre_s: 0.0,
        markers,
        orders,
        gate: Arc::new(Gate::new(false)),
        ledger: Ledger::new(&metrics, "recorder"),
        status: Arc::default(),
        progress: Arc::new(Progress::default()),
        metrics,
        sync_every: Duration::from_millis(10),
        retry_every: Duration::from_millis(5),
    });
    let disk = thread::spawn(move || disk.run());
    control.attach(disk.thread().clone());
    let start = control.ask(Order::Start(About::default())).expect("room");
    let stop = control.ask(Order::Stop { asked_ns: now_ns() }).expect("room");
    let begun = Instant::now();
    let verdict = loop {
        if let Some(verdict) = stop.take() {
            break verdict;
        }
        assert!(begun.elapsed() < BOUND, "no verdict");
        thread::sleep(Duration::from_micros(50));
    };
    assert_eq!(verdict, Verdict::Stopped(Final::default()));
    let why = "it was asked to end before its first frame".to_owned();
    assert_eq!(start.take(), Some(Verdict::Failed { why }));
    drop(writer);
    disk.join().unwrap();
}

#[test]
fn a_recording_that_runs_when_the_stream_ends_is_whole() {
    for turn in 0..20 {
        let rig = Rig::start(turn % 2 == 0, 0.05, Duration::from_millis(5));
        if turn % 2 == 1 {
            assert!(matches!(rig.ask(Order::Start(About::default())), Verdict::Started { .. }));
        } else {
            thread::sleep(Duration::from_millis(20 + turn));
        }
        let (account, status) = rig.end();
        assert!(account.adds_up() && account.expected > 0, "{account:?}");
        assert_eq!((status.active, account.lost.get(Cause::Disk)), (false, 0));
    }
}

/// The first block of a stream may come at any moment between two looks into the ring: of the disk's side it is seen or
/// not yet seen, and never taken for none.
#[test]
fn the_first_block_may_come_at_any_moment() {
    for turn in 0..5000_u64 {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let (mut writer, reader) = ring(&stream(), 0, 0.3);
        let ledger = Ledger::new(&metrics, "recorder");
        let (control, orders) = control();
        let (_, markers) = mpsc::sync_channel(1);
        let disk = Disk::new(DiskParts {
            ring: reader,
            ring_s: 0.3,
            rate_hz: 1000.0,
            sinks: vec![Paper::default()],
            at_once: true,
            pre_s: 0.0,
            markers,
            orders,
            gate: Arc::new(Gate::new(true)),
            ledger: ledger.clone(),
            status: Arc::default(),
            progress: Arc::new(Progress::default()),
            metrics,
            // Always due: it looks without a rest.
            sync_every: Duration::ZERO,
            retry_every: Duration::from_millis(5),
        });
        let disk = thread::spawn(move || disk.run());
        control.attach(disk.thread().clone());
        thread::sleep(Duration::from_micros(turn % 100));
        let mut block = RawBlock::new(&stream(), 0);
        block.head.n_frames = BLOCK_FRAMES;
        assert!(writer.push(&block, &Tally::default()));
        ledger.expect(BLOCK_FRAMES as u64);
        writer.end_recording(&End { next_frame: BLOCK_FRAMES as u64, ..End::default() });
        drop(writer);
        disk.join().unwrap();
        let account = ledger.account();
        assert!(account.adds_up() && account.delivered == BLOCK_FRAMES as u64, "turn {turn}: {account:?}");
    }
}
