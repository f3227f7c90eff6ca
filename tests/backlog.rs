//! What people see of a disk before it costs anything: how much waits for it while it stalls, how long it took, and how many
//! hours it will hold.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/mod.rs"]
mod common;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use biosigd::block::{Channel, End, Head, Marker, Pool, RawBlock, Stream, Tally};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{Bell, Disk, DiskParts, Gate, Intake, Ledger, WhenFull, control, link, ring};
use biosigd::sink::{About, PackedBlock, Progress as SinkProgress, RawSink, SinkError};
use biosigd::source::Slack;
use common::Daemon;
use serde_json::Value;

const BLOCK_FRAMES: usize = 10;

fn stream() -> Stream {
    let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0)];
    Stream { rate_hz: 1000.0, channels, block_frames_max: BLOCK_FRAMES, ratio: 1, delay_s: 0.0 }
}

/// Holds the first block until it may go on.
struct Stalls {
    begun: mpsc::Sender<()>,
    go_on: Option<mpsc::Receiver<()>>,
    given: u64,
}

impl RawSink for Stalls {
    fn open(&mut self, _: &Head) -> Result<(), SinkError> {
        Ok(())
    }
    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        if let Some(go_on) = self.go_on.take() {
            self.begun.send(()).unwrap();
            go_on.recv_timeout(Duration::from_secs(60)).expect("it may go on");
        }
        self.given += block.head.n_frames as u64;
        Ok(())
    }
    fn rotate(&mut self) {}
    fn describe_next(&mut self, _: About) {}
    fn marker(&mut self, _: Marker) {}
    fn sync(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    fn close(&mut self, _: &Tally) -> Result<(), SinkError> {
        Ok(())
    }
    fn progress(&self) -> SinkProgress {
        SinkProgress { frames_delivered: self.given, ..SinkProgress::default() }
    }
}

/// While the disk stalls its thread can say nothing: the intake shows the backlog, and afterwards both know how long and
/// how much it was.
#[test]
fn a_disk_that_stalls_is_seen_while_it_does() {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let (to_recorder, from_acquire) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
    let (writer, reader) = ring(&stream(), 0, 0.1);
    let (gate, ledger) = (Arc::new(Gate::new(true)), Ledger::new(&metrics, "recorder"));
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let sink = Stalls { begun, go_on: Some(may_go_on), given: 0 };
    let (_markers, markers) = mpsc::sync_channel(1);
    let (_control, orders) = control();
    let hour = Duration::from_secs(3600);
    let disk = Disk::new(DiskParts {
        ring: reader,
        ring_s: 0.1,
        rate_hz: 1000.0,
        sinks: vec![sink],
        at_once: true,
        pre_s: 0.0,
        markers,
        orders,
        gate: Arc::clone(&gate),
        ledger: ledger.clone(),
        status: Arc::default(),
        progress: Arc::default(),
        metrics: Arc::clone(&metrics),
        sync_every: hour,
        retry_every: hour,
    });
    let disk = std::thread::spawn(move || disk.run());
    let slack = Slack::For(Duration::ZERO);
    let intake = Intake::new(from_acquire, writer, gate, ledger, Arc::default(), &metrics, slack, false);
    let intake = std::thread::spawn(move || intake.run());
    to_recorder.attach();
    let mut pool = Pool::new(16, || RawBlock::new(&stream(), 0));
    let send = |n: u64, pool: &mut Pool<RawBlock>| {
        let head = Head { first_frame: n * BLOCK_FRAMES as u64, n_frames: BLOCK_FRAMES, ..Head::default() };
        to_recorder.send(pool.fill(|block| block.head = head).unwrap().0, &|| Slack::Forever);
    };
    send(0, &mut pool);
    has_begun.recv_timeout(Duration::from_secs(60)).expect("the first block comes to the disk");
    let since = std::time::Instant::now();
    // The ring holds ten blocks; with these it has six or seven, as the one that the disk holds counts or not.
    (1..=6).for_each(|n| send(n, &mut pool));
    while metrics.recorder_backlog.get() < 0.05 {
        assert!(since.elapsed() < Duration::from_secs(60), "{} s are shown", metrics.recorder_backlog.get());
        std::thread::sleep(Duration::from_millis(1));
    }
    let held_s = since.elapsed().as_secs_f64();
    go_on.send(()).unwrap();
    to_recorder.close(End { next_frame: 70, lost: Tally::default() });
    intake.join().unwrap();
    disk.join().unwrap();
    let account = Ledger::new(&metrics, "recorder").account();
    assert_eq!((account.expected, account.delivered), (70, 70), "nothing is lost within the budget");
    let (most_s, longest_s) = (metrics.recorder_backlog_max.get(), metrics.recorder_write_max.get());
    assert!((0.05..0.1).contains(&most_s), "{most_s} s waited at most");
    assert!(longest_s >= held_s, "the disk took {longest_s} s, and was held for {held_s} s");
    assert!(metrics.recorder_backlog.get() < 0.001, "nothing waits at the end");
}

/// Nothing is recorded yet, and the status says for how long it could be.
#[test]
fn hours_are_told_before_a_recording_begins() {
    let config = "[source]\nkind = \"synthetic\"\nn_channels = 32\nrate_hz = 4000\n[http]\nlisten = \"127.0.0.1:0\"\n\
                  [recorder]\nrecord = \"manual\"\nmin_free_gb = 0\nsync_s = 0.1\nstall_budget_s = 7\n";
    let daemon = Daemon::start_idle(config);
    // 32 x 3 bytes at 4 kHz, and 1536 of annotations; as fast as the frames really come, which a busy machine makes uneven.
    let at_pace = |recording: &Value| {
        let pace = recording["bytes_per_hour"].as_f64().map(|bytes| bytes / (3600.0 * 385_536.0));
        recording["hours_left"].as_f64().is_some() && pace.is_some_and(|pace| (0.5..2.0).contains(&pace))
    };
    let status = daemon.wait_for("hours", |status| at_pace(&status["recording"]));
    let recording = &status["recording"];
    assert_eq!((&recording["active"], &recording["backlog"]["level"]), (&false.into(), &"fine".into()), "{recording}");
    assert_eq!(recording["backlog"]["budget_seconds"], 7.0);
    let metrics = daemon.get("/metrics").body;
    let free = metrics.lines().find_map(|line| line.strip_prefix("biosigd_disk_free_bytes ")).expect("a row");
    assert!(free.parse::<f64>().unwrap() > 0.0, "{free}");
    for row in ["recorder_stall_budget_seconds 7", "recorder_backlog_max_seconds 0", "recorder_write_max_seconds 0"] {
        assert!(metrics.contains(&format!("\nbiosigd_{row}\n")), "{row} in\n{metrics}");
    }
    daemon.stop().0.assert_no_panic();
}
