//! What the recorder is made of: its files, its ring, and the two threads that `road` starts.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::Failure;
use super::settings::{OnOverflow, Record, Settings};
use crate::block::{Marker, RawBlock, Stream};
use crate::metrics::Metrics;
use crate::pipeline::{self as line, Bell, Control, Ledger, Progress, RecordingStatus, WhenFull};
use crate::sink::SinkError;
use crate::sink::recorder::{FileRecorder, RecorderPlan};
use crate::source::Slack;

/// The time between two tries to open a file after the disk refused.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// Where recordings go, in the order in which directories are tried. Empty: nothing is recorded.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gigabytes in range")]
pub(super) fn sinks(
    text: &str,
    settings: &Settings,
    (raw, n_chips): (&Stream, usize),
    dirs: &[&Path],
    about: &Value,
    session: &str,
) -> Result<Vec<FileRecorder>, Failure> {
    if !settings.records() {
        return Ok(Vec::new());
    }
    let plan = |dir: &Path| RecorderPlan {
        dir: dir.to_owned(),
        stream: raw.clone(),
        n_chips,
        format: settings.recorder.format,
        values: settings.recorder.csv_values,
        file_name: super::files::file_name(&settings.recorder),
        rotate: super::files::rotate(&settings.recorder),
        keep: super::files::keep(&settings.recorder),
        min_free_bytes: (settings.recorder.min_free_gb * 1e9) as u64,
        configuration: text.to_owned(),
        source: about["source"].clone(),
        session: session.to_owned(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let sinks: Result<Vec<_>, _> = dirs.iter().map(|dir| FileRecorder::new(plan(dir))).collect();
    // The second directory may be one that is not there yet.
    dirs.first().map_or(Ok(()), |dir| prove_writable(dir))?;
    dirs.iter().for_each(|dir| super::recover::at_start(dir, super::files::keep(&settings.recorder)));
    sinks.map_err(Failure::Output)
}

/// Makes the directory and a file in it, so that a daemon that started can record. A disk that is full is no mistake of
/// the configuration: the stream runs, and the recorder says what is missing.
fn prove_writable(dir: &Path) -> Result<(), Failure> {
    let probe = dir.join(format!(".biosigd-{}", std::process::id()));
    let proof = std::fs::create_dir_all(dir)
        .map_err(|source| ("cannot create the directory", source))
        .and_then(|()| std::fs::write(&probe, b"").map_err(|source| ("cannot write in", source)))
        .and_then(|()| std::fs::remove_file(&probe).map_err(|source| ("cannot write in", source)));
    match proof {
        Err((_, source)) if source.kind() == std::io::ErrorKind::StorageFull => Ok(()),
        Err((what, source)) => Err(Failure::Output(SinkError::Io { what, path: dir.to_owned(), source })),
        Ok(()) => Ok(()),
    }
}

/// The recorder, ready for its threads.
pub(super) struct Recorder {
    pub(super) link: line::Sender<Arc<RawBlock>>,
    pub(super) intake: line::Intake,
    pub(super) disk: line::Disk<FileRecorder>,
    pub(super) ledger: Ledger,
    pub(super) control: Control,
}

/// Lays out the ring and ties both threads to it.
#[allow(clippy::too_many_arguments, reason = "the parts of two threads, each named at the one place that calls this")]
pub(super) fn build(
    sinks: Vec<FileRecorder>,
    settings: &Settings,
    (raw, n_chips): (&Stream, usize),
    slack: Slack,
    markers: Receiver<Marker>,
    (intake_turn, disk_progress): (Arc<Progress>, Arc<Progress>),
    status: Arc<Mutex<RecordingStatus>>,
    metrics: &Arc<Metrics>,
) -> Recorder {
    let settings = &settings.recorder;
    let (link, receiver) = line::link("recorder", WhenFull::DropNewest, Bell::Thread, metrics);
    let at_once = settings.record == Record::Auto;
    let gate = Arc::new(line::Gate::new(at_once));
    let (writer, ring) = line::ring(raw, n_chips, settings.stall_budget_s);
    let ledger = Ledger::new(metrics, "recorder");
    // A quarter: waiting for the ring must not use up what acquisition may wait for the link.
    let slack = match slack {
        Slack::For(whole) => Slack::For(whole / 4),
        Slack::Forever => Slack::Forever,
    };
    let stop_on_overflow = settings.on_overflow == OnOverflow::Stop;
    let intake = line::Intake::new(
        receiver,
        writer,
        Arc::clone(&gate),
        ledger.clone(),
        intake_turn,
        metrics,
        slack,
        stop_on_overflow,
    );
    let (control, orders) = line::control();
    let disk = line::Disk::new(line::DiskParts {
        ring,
        ring_s: settings.stall_budget_s,
        rate_hz: raw.rate_hz,
        sinks,
        at_once,
        pre_s: settings.pre_s,
        markers,
        orders,
        gate,
        ledger: ledger.clone(),
        status,
        progress: disk_progress,
        metrics: Arc::clone(metrics),
        sync_every: Duration::from_secs_f64(settings.sync_s),
        retry_every: RETRY_EVERY,
    });
    Recorder { link, intake, disk, ledger, control }
}
