//! What the disk's side does with one entry of the ring, and with the disk's answers to it.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::RecordingStatus;
use super::recording::{Fate, Recording};
use super::trouble::Resume;
use crate::block::{Cause, End, Head, Marker, Tally};
use crate::metrics::Metrics;
use crate::pipeline::control::{Final, Request, Ticket, Verdict};
use crate::pipeline::{Gate, Ledger, Progress};
use crate::rt::now_ns;
use crate::sink::{About, PackedBlock, RawSink, SinkError};

/// A recording that begins with the next block.
pub(super) struct Opening {
    pub(super) about: About,
    /// Whoever asked for it.
    pub(super) ticket: Option<Ticket>,
    /// The intake owes its frames already, since the first one.
    pub(super) owed: bool,
}

/// Everything of the disk's side but the ring, so that blocks can be read where they lie.
pub(super) struct Desk<S> {
    pub(super) sinks: Vec<S>,
    /// The sink in use.
    pub(super) at: usize,
    pub(super) orders: Receiver<Request>,
    pub(super) gate: Arc<Gate>,
    pub(super) opening: Option<Opening>,
    pub(super) recording: Option<Recording>,
    pub(super) resume: Option<Resume>,
    /// The recording before.
    pub(super) last: Final,
    markers: Receiver<Marker>,
    pub(super) ledger: Ledger,
    status: Arc<Mutex<RecordingStatus>>,
    progress: Arc<Progress>,
    pub(super) metrics: Arc<Metrics>,
    latency: prometheus::Histogram,
    rate_hz: f64,
    sync_every: Duration,
    next_sync: Instant,
    pub(super) retry_every: Duration,
    /// Whether the ring keeps blocks while no recording is active.
    pub(super) keeps_before: bool,
    /// The gate has turned, and the intake was not woken yet.
    gate_turned: bool,
    /// Of all sinks and recordings, as far as the metrics know.
    pub(super) delivered: u64,
    bytes: u64,
    /// As the status has it.
    markers_waiting: usize,
    /// The longest that the disk took for one thing.
    write_max_s: f64,
}

impl<S: RawSink> Desk<S> {
    pub(super) fn new(
        sinks: Vec<S>,
        (at_once, keeps_before): (bool, bool),
        (markers, orders): (Receiver<Marker>, Receiver<Request>),
        (gate, ledger): (Arc<Gate>, Ledger),
        (status, progress, metrics): (Arc<Mutex<RecordingStatus>>, Arc<Progress>, Arc<Metrics>),
        (rate_hz, sync_every, retry_every): (f64, Duration, Duration),
    ) -> Desk<S> {
        let mut desk = Desk {
            sinks,
            at: 0,
            orders,
            gate,
            opening: at_once.then(|| Opening { about: About::default(), ticket: None, owed: true }),
            recording: None,
            resume: None,
            last: Final::default(),
            markers,
            ledger,
            status,
            progress,
            latency: metrics.block_latency.with_label_values(&["recorder"]),
            metrics,
            rate_hz,
            sync_every,
            next_sync: Instant::now() + sync_every,
            retry_every,
            keeps_before,
            gate_turned: false,
            delivered: 0,
            bytes: 0,
            markers_waiting: 0,
            write_max_s: 0.0,
        };
        if !at_once {
            desk.sinks[desk.at].look();
        }
        desk.show_free_space();
        desk.want(at_once);
        desk
    }

    pub(super) fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    pub(super) fn is_to_begin(&self) -> bool {
        self.opening.is_some()
    }

    /// Whether every block in the ring is owed to the recording that is to begin.
    pub(super) fn owes(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.owed)
    }

    /// When something is to be done that no block brings about.
    pub(super) fn next_look(&self) -> Instant {
        self.resume.as_ref().map_or(self.next_sync, |resume| self.next_sync.min(resume.look_at))
    }

    /// Whether the gate has turned since the last time.
    pub(super) fn takes_gate_turn(&mut self) -> bool {
        std::mem::take(&mut self.gate_turned)
    }

    pub(super) fn shut_gate(&mut self, until_ns: u64) {
        self.gate.shut(until_ns);
        self.gate_turned = true;
    }

    pub(super) fn pass_markers(&mut self) {
        while let Ok(marker) = self.markers.try_recv() {
            self.sinks[self.at].marker(marker);
        }
    }

    /// Begins the recording that was asked for with the block of `head`, which stays in the ring. Where nobody owes its
    /// frames yet, they are owed only once there is a file: a start that fails has cost nothing.
    pub(super) fn open(&mut self, head: &Head) {
        let Some(opening) = self.opening.take() else { return };
        let begun_ns = now_ns();
        let opened = self.open_file(head, &opening.about);
        self.took(begun_ns);
        if let (Err(error), false) = (&opened, opening.owed) {
            return self.refuse(opening, error);
        }
        if !opening.owed {
            self.gate.open(head.first_frame, &head.lost);
            self.gate_turned = true;
        }
        let fate = Fate::InFile { given: 0, delivered_before: self.delivered };
        let mut recording = Recording::new(head, opening.about, fate, self.delivered);
        recording.start = opening.ticket;
        self.recording = Some(recording);
        self.want(true);
        match opened {
            Ok(()) => self.begun(),
            Err(error) => self.fail(&error),
        }
    }

    /// Opens a file in the first directory that takes one; the error is the first one's.
    pub(super) fn open_file(&mut self, head: &Head, about: &About) -> Result<(), SinkError> {
        let mut first_error = None;
        for at in 0..self.sinks.len() {
            self.sinks[at].describe_next(about.clone());
            match self.sinks[at].open(head) {
                Ok(()) => {
                    self.at = at;
                    return Ok(());
                }
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    pub(super) fn begun(&mut self) {
        self.resume = None;
        self.next_sync = Instant::now() + self.sync_every;
        self.metrics.recorder_active.set(1);
        let file = self.sinks[self.at].progress().file;
        if let Some(file) = &file {
            tracing::info!("recording to {}", file.display());
        }
        let Some(recording) = &mut self.recording else { return };
        recording.file.clone_from(&file);
        let (first_frame, ticket) = (recording.first_frame, recording.start.take());
        let shown = file.clone();
        self.tell(|status| {
            *status = RecordingStatus {
                active: true,
                wanted: true,
                file: shown,
                first_frame: Some(first_frame),
                ..RecordingStatus::default()
            };
        });
        // Last: whoever hears of it may ask for the status at once.
        if let (Some(ticket), Some(file)) = (ticket, file) {
            ticket.tell(Verdict::Started { file, first_frame });
        }
    }

    /// One block of the recording.
    pub(super) fn block(&mut self, head: &Head, codes: &[u8]) {
        let Some(recording) = &mut self.recording else { return };
        let n_frames = head.n_frames as u64;
        let mut gap = recording.arrived(head);
        if let Fate::Lost { try_at } = recording.fate {
            // The gap between two files is in neither.
            recording.leave_out(gap.total());
            gap = Tally::default();
            if !recording.is_ending && Instant::now() >= try_at {
                self.try_again(head);
            }
        }
        let Some(recording) = &mut self.recording else { return };
        match &mut recording.fate {
            Fate::Lost { .. } => {
                recording.leave_out(n_frames);
                self.ledger.lose(Cause::Disk, n_frames);
            }
            Fate::InFile { given, .. } => {
                *given += n_frames;
                let begun_ns = now_ns();
                let written = self.sinks[self.at].write(&PackedBlock { head: *head, gap, codes });
                self.took(begun_ns);
                match written {
                    Ok(()) => {
                        self.latency.observe(now_ns().saturating_sub(head.edge_ns) as f64 * 1e-9);
                        self.progress.made();
                    }
                    Err(error) => self.fail(&error),
                }
            }
        }
        self.settle();
    }

    /// Brings the sinks' own counts into the metrics, and a change of the file to those who wait for it.
    pub(super) fn settle(&mut self) {
        let all: Vec<_> = self.sinks.iter().map(RawSink::progress).collect();
        let delivered = all.iter().map(|progress| progress.frames_delivered).sum();
        let bytes = all.iter().map(|progress| progress.bytes).sum();
        self.ledger.deliver(delivered - self.delivered);
        self.metrics.recorder_written_bytes.inc_by(bytes - self.bytes);
        (self.delivered, self.bytes) = (delivered, bytes);
        let markers_waiting = all.iter().map(|progress| progress.markers_waiting).sum();
        if self.markers_waiting != markers_waiting {
            self.markers_waiting = markers_waiting;
            self.tell(|status| status.markers_waiting = markers_waiting);
        }
        let file = all.into_iter().nth(self.at).and_then(|progress| progress.file);
        let Some(recording) = self.recording.as_mut().filter(|it| it.is_in_file() && it.file != file) else { return };
        let ended = std::mem::replace(&mut recording.file, file.clone());
        if let (Some(ended), Some(file)) = (ended, &file) {
            tracing::info!("recording to {}", file.display());
            for ticket in recording.rotate.drain(..) {
                ticket.tell(Verdict::Rotated { ended: ended.clone(), file: file.clone() });
            }
        }
        self.tell(|status| status.file = file);
    }

    /// What the ring holds; it waits for the disk only where a recording is owed it.
    pub(super) fn show_backlog(&self, backlog_s: f64) {
        let waits = self.is_recording() || self.owes();
        self.metrics.recorder_backlog.set(if waits { backlog_s } else { 0.0 });
    }

    /// Notes how long the disk took since `begun_ns`, in seconds.
    fn took(&mut self, begun_ns: u64) -> f64 {
        let took_s = now_ns().saturating_sub(begun_ns) as f64 * 1e-9;
        if took_s > self.write_max_s {
            self.write_max_s = took_s;
            self.metrics.recorder_write_max.set(took_s);
        }
        took_s
    }

    fn show_free_space(&self) {
        let free_bytes = self.sinks.get(self.at).map_or(0, |sink| sink.progress().free_bytes);
        self.metrics.disk_free_bytes.set(i64::try_from(free_bytes).unwrap_or(i64::MAX));
    }

    /// What is due without a block: a sync, or a look whether there is space again.
    pub(super) fn sync_when_due(&mut self) {
        self.resume_when_due();
        if Instant::now() < self.next_sync {
            return;
        }
        self.next_sync = Instant::now() + self.sync_every;
        if let Some(recording) = self.recording.as_ref().filter(|recording| recording.is_in_file()) {
            let seconds = recording.n_frames() as f64 / self.rate_hz;
            let begun_ns = now_ns();
            let outcome = self.sinks[self.at].sync();
            let took_s = self.took(begun_ns);
            self.metrics.recorder_fsync.observe(took_s);
            self.show_free_space();
            // It has another file since it went on in that.
            let file = self.sinks[self.at].progress().file;
            self.tell(|status| (status.seconds, status.file) = (seconds, file));
            match outcome {
                Ok(()) => {}
                // What the intake has taken until it sees this still goes into the file.
                Err(error @ SinkError::DiskLow { .. }) => self.end_for_space(&error),
                Err(error) => self.fail(&error),
            }
        } else if self.recording.is_none() {
            self.sinks[self.at].look();
            self.show_free_space();
        }
        self.settle();
    }

    /// The recording's end came out of the ring.
    pub(super) fn end(&mut self, end: &End) {
        let Some(recording) = &mut self.recording else { return };
        let gap = recording.ended(end);
        if self.gate.take_overflowed() {
            let reason = "the stall budget was spent, and on_overflow is \"stop\"".to_owned();
            tracing::error!("the recording ends: {reason}");
            recording.trouble = Some(reason);
        }
        self.finish(&gap);
    }

    /// Finishes the file and the recording, and tells those who wait.
    fn finish(&mut self, gap: &Tally) {
        self.pass_markers();
        let Some(recording) = &mut self.recording else { return };
        if recording.is_in_file() {
            let begun_ns = now_ns();
            let closed = self.sinks[self.at].close(gap);
            self.took(begun_ns);
            if let Err(error) = closed {
                self.fail(&error);
            }
        } else {
            recording.leave_out(gap.total());
        }
        self.settle();
        self.shut_gate(0);
        self.gate.pack(self.keeps_before);
        let Some(mut recording) = self.recording.take() else { return };
        // Finished, it is called otherwise.
        recording.file = recording.file.and_then(|_| self.sinks[self.at].progress().file);
        self.last = recording.last_word(self.delivered, self.rate_hz);
        self.metrics.recorder_active.set(0);
        let last = self.last.clone();
        self.tell(|status| {
            (status.active, status.seconds) = (false, last.seconds);
            status.file.clone_from(&last.file);
            status.ended.clone_from(&last.trouble);
        });
        let ended = || Verdict::Failed { why: "the recording ended before".to_owned() };
        recording.rotate.drain(..).chain(recording.start.take()).for_each(|ticket| ticket.tell(ended()));
        if let Some(ticket) = recording.stop.take() {
            ticket.tell(Verdict::Stopped(last));
        }
    }

    /// The ring is closed and empty: there will be no end for a recording that the intake never heard of, and what it
    /// owes was counted by nobody.
    pub(super) fn closed(&mut self) {
        if let Some(recording) = &self.recording {
            if !self.gate.was_seen() {
                let lost = recording.lost_upstream();
                self.ledger.gap(&lost);
                self.ledger.expect(recording.n_frames() - lost.total());
            }
            self.finish(&Tally::default());
        }
        self.refuse_orders();
    }

    pub(super) fn want(&self, wanted: bool) {
        self.tell(|status| status.wanted = wanted);
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut RecordingStatus)) {
        // A reader that panicked while it held the lock leaves a status that is still whole.
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
