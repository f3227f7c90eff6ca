//! The recorder's side of the disk: brings the packed ring to the sink, block by block, and holds nothing that the
//! intake needs. It may stall for as long as the ring has room.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ring::Taken;
use super::{Gate, Ledger, Progress, RingReader};
use crate::block::{Cause, End, Follower, Head, Marker, Tally};
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::sink::{PackedBlock, RawSink, SinkError};

/// What the recorder is doing, for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordingStatus {
    /// Whether a recording is active.
    pub active: bool,
    /// The file, or the last one.
    pub file: Option<PathBuf>,
    /// How much signal it holds, in seconds.
    pub seconds: f64,
    /// Why the last recording ended, where it was not asked to.
    pub ended: Option<String>,
}

/// Where the recorder stands between two entries of the ring.
enum Phase {
    /// No recording.
    Idle,
    /// A recording is open.
    Writing(Follower),
    /// The recording ended on an error; what the intake had taken before it knew is lost to `disk`.
    Failed,
}

/// Everything the disk thread owns.
pub struct Disk<S> {
    ring: RingReader,
    ring_s: f64,
    rate_hz: f64,
    sink: S,
    markers: Receiver<Marker>,
    gate: Arc<Gate>,
    ledger: Ledger,
    status: Arc<Mutex<RecordingStatus>>,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    latency: prometheus::Histogram,
    sync_every: Duration,
    next_sync: Instant,
    phase: Phase,
    /// Frames given to the sink in this recording, and how many the sink had delivered when it began.
    given: u64,
    delivered_before: u64,
    delivered_counted: u64,
    bytes_counted: u64,
}

impl<S: RawSink> Disk<S> {
    /// Gets the thread's work ready. `ring_s` is what the ring holds, in seconds.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one thread, each named at the one place that calls this"
    )]
    pub fn new(
        (ring, ring_s, rate_hz): (RingReader, f64, f64),
        sink: S,
        markers: Receiver<Marker>,
        gate: Arc<Gate>,
        ledger: Ledger,
        status: Arc<Mutex<RecordingStatus>>,
        progress: Arc<Progress>,
        metrics: Arc<Metrics>,
        sync_every: Duration,
    ) -> Disk<S> {
        metrics.disk_free_bytes.set(i64::try_from(sink.progress().free_bytes).unwrap_or(i64::MAX));
        Disk {
            ring,
            ring_s,
            rate_hz,
            sink,
            markers,
            gate,
            ledger,
            status,
            progress,
            latency: metrics.block_latency.with_label_values(&["recorder"]),
            metrics,
            sync_every,
            next_sync: Instant::now() + sync_every,
            phase: Phase::Idle,
            given: 0,
            delivered_before: 0,
            delivered_counted: 0,
            bytes_counted: 0,
        }
    }

    /// Runs until the ring is closed and empty.
    pub fn run(mut self) {
        self.ring.attach();
        // The codes of one block, out of the ring: the sink is borrowed while they are read.
        loop {
            while let Ok(marker) = self.markers.try_recv() {
                self.sink.marker(marker);
            }
            match self.ring.take() {
                Taken::Block(head, codes) => {
                    let outcome = match &mut self.phase {
                        Phase::Failed => {
                            self.ledger.lose(Cause::Disk, head.n_frames as u64);
                            Ok(())
                        }
                        phase => write(phase, &mut self.sink, &head, codes, &mut self.given),
                    };
                    match outcome {
                        Ok(()) => self.written(&head),
                        Err(error) => self.fail(&error),
                    }
                }
                Taken::RecordingEnded(end) => self.end_recording(&end),
                Taken::Empty => thread::park_timeout(self.next_sync.saturating_duration_since(Instant::now())),
                Taken::Closed => break,
            }
            self.sync_when_due();
        }
    }

    /// A block was given to the sink (or counted as lost).
    fn written(&mut self, head: &Head) {
        if let Phase::Writing(_) = self.phase {
            if self.given == head.n_frames as u64 {
                self.begun();
            }
            self.latency.observe(now_ns().saturating_sub(head.edge_ns) as f64 * 1e-9);
            self.progress.made();
        }
        self.settle();
    }

    fn begun(&mut self) {
        self.delivered_before = self.delivered_counted;
        self.next_sync = Instant::now() + self.sync_every;
        self.metrics.recorder_active.set(1);
        let file = self.sink.progress().file;
        if let Some(file) = &file {
            tracing::info!("recording to {}", file.display());
        }
        self.tell(|status| *status = RecordingStatus { active: true, file, ..RecordingStatus::default() });
    }

    /// Brings the sink's own counts into the metrics.
    fn settle(&mut self) {
        let progress = self.sink.progress();
        self.ledger.deliver(progress.frames_delivered - self.delivered_counted);
        self.delivered_counted = progress.frames_delivered;
        self.metrics.recorder_written_bytes.inc_by(progress.bytes - self.bytes_counted);
        self.bytes_counted = progress.bytes;
        self.metrics.recorder_backlog.set(self.ring.fill() * self.ring_s);
    }

    fn sync_when_due(&mut self) {
        if Instant::now() < self.next_sync {
            return;
        }
        self.next_sync = Instant::now() + self.sync_every;
        if let Phase::Writing(follower) = &self.phase {
            let seconds = follower.frames_followed() as f64 / self.rate_hz;
            let start_ns = now_ns();
            let outcome = self.sink.sync();
            self.metrics.recorder_fsync.observe(now_ns().saturating_sub(start_ns) as f64 * 1e-9);
            self.metrics.disk_free_bytes.set(i64::try_from(self.sink.progress().free_bytes).unwrap_or(i64::MAX));
            let file = self.sink.progress().file;
            self.tell(|status| (status.seconds, status.file) = (seconds, file));
            match outcome {
                Ok(()) => {}
                Err(SinkError::DiskLow { .. }) if !self.gate.is_open() => {}
                Err(error @ SinkError::DiskLow { .. }) => {
                    // What the intake has taken until it sees this still goes into the file.
                    self.gate.shut();
                    tracing::error!("the recording ends: {}", chain(&error));
                    self.tell(|status| status.ended = Some(chain(&error)));
                }
                Err(error) => self.fail(&error),
            }
        }
        self.settle();
    }

    fn end_recording(&mut self, end: &End) {
        if let Phase::Writing(follower) = &mut self.phase {
            let gap = follower.ended(end, Cause::RingFull);
            let seconds = follower.frames_followed() as f64 / self.rate_hz;
            while let Ok(marker) = self.markers.try_recv() {
                self.sink.marker(marker);
            }
            if let Err(error) = self.sink.close(&gap) {
                return self.fail(&error);
            }
            let file = self.sink.progress().file;
            self.tell(|status| (status.seconds, status.file) = (seconds, file));
            if self.gate.overflowed() {
                let reason = "the stall budget was spent, and on_overflow is \"stop\"".to_owned();
                tracing::error!("the recording ends: {reason}");
                self.tell(|status| status.ended = Some(reason));
            }
        }
        self.settle();
        self.idle();
    }

    /// The recording is over: what the sink was given and has not delivered is lost to the disk.
    fn fail(&mut self, error: &SinkError) {
        self.gate.shut();
        self.settle();
        let in_file = self.delivered_counted - self.delivered_before;
        let lost = self.given.saturating_sub(in_file);
        self.ledger.lose(Cause::Disk, lost);
        let reason = chain(error);
        tracing::error!("the recording ends: {reason}; {lost} frames did not reach the disk");
        self.idle();
        self.tell(|status| status.ended = Some(reason));
        self.phase = Phase::Failed;
    }

    fn idle(&mut self) {
        self.phase = Phase::Idle;
        self.given = 0;
        self.metrics.recorder_active.set(0);
        self.tell(|status| status.active = false);
    }

    fn tell(&self, change: impl FnOnce(&mut RecordingStatus)) {
        // A reader that panicked while it held the lock leaves a status that is still whole.
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Gives one block to the sink, and opens a recording with the first.
fn write<S: RawSink>(
    phase: &mut Phase,
    sink: &mut S,
    head: &Head,
    codes: &[u8],
    given: &mut u64,
) -> Result<(), SinkError> {
    if let Phase::Idle = phase {
        *given = head.n_frames as u64;
        sink.open(head)?;
        // The ring's account counts since the recording's first frame: nothing was lost before it.
        *phase = Phase::Writing(Follower::new(head.first_frame, Tally::default()));
        *given = 0;
    }
    if let Phase::Writing(follower) = phase {
        let gap = follower.arrived(head, Cause::RingFull);
        *given += head.n_frames as u64;
        sink.write(&PackedBlock { head: *head, gap, codes })?;
    }
    Ok(())
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
