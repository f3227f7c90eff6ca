//! The lossless recorder: BDF+C files, each with its JSON sidecar.
//!
//! Codes go to the file exactly as they were converted. Blocks are frame-major and the file is channel-major, so one
//! record (1 s) is put together in memory and written whole; the number of records in the header and, with every sync,
//! the sidecar follow. A process that is killed at any moment therefore loses the record in work and nothing else,
//! and the file it leaves opens everywhere.
//!
//! What is lost before it comes here is filled with each channel's last code, annotated `BAD_ACQ_SKIP` and counted in
//! the sidecar, so that frame `n` of the file is frame `first_frame + n` of `raw`, always. The status words of a converter's
//! chips stand in the file as signals after the channels, one per chip; in filled frames they repeat the last word with the
//! suspect bit set, because such a frame was never measured: whoever leaves out suspect frames need not know about gaps,
//! and electrodes and trigger inputs stay as they were last seen. The header has whole seconds;
//! the first frame's exact instant is the sidecar's `first_frame_utc_ns`.
//!
//! What is deliberately absent: starting and stopping, retrying, queues. `record-disk` drives this with blocks from the
//! packed ring, and decides nothing else.

mod clock;
mod describe;
mod file;
mod header;
mod ledger;
mod pending;
mod plan;
mod record;
mod recording;
mod sidecar;
mod status;

use std::collections::VecDeque;
use std::path::PathBuf;

pub use plan::{ANNOTATION_SAMPLES, RECORD_BYTES_MAX, RecordPlan, record_plan};

use self::recording::{Recording, Space};
use super::{PackedBlock, Progress, RawSink, SinkError};
use crate::block::{Head, Marker, Stream, Tally};

/// What all recordings of one run have in common.
#[derive(Debug, Clone)]
pub struct RecorderPlan {
    /// Where the files go; made with the first recording where it is missing.
    pub dir: PathBuf,
    /// `raw`.
    pub stream: Stream,
    /// Chips that put a status word into every frame.
    pub n_chips: usize,
    /// At this much free space, in bytes, a recording ends, and none begins; 0: no limit.
    pub min_free_bytes: u64,
    /// The configuration as text, for the sidecar.
    pub configuration: String,
    /// The source in its own words (kind, proof ...), for the sidecar.
    pub source: serde_json::Value,
    /// The run of the daemon that made the recording.
    pub session: String,
    /// The daemon's version.
    pub software_version: String,
}

/// What a person says about the next recording; all of it may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Goes before the time in the file's name, and into the sidecar as `TaskName`.
    pub name: String,
    /// The subject's code: `X` in the header where it is empty.
    pub subject: String,
    /// Goes into the sidecar.
    pub notes: String,
}

/// Whether a recorder can be made for `stream` from `n_chips` chips, without making one.
///
/// # Errors
/// As [`BdfRecorder::new`].
pub fn check(stream: &Stream, n_chips: usize) -> Result<(), SinkError> {
    shape(stream, n_chips).map(drop)
}

fn shape(stream: &Stream, n_chips: usize) -> Result<RecordPlan, SinkError> {
    header::check(stream, n_chips)?;
    record_plan(stream.rate_hz, stream.n_channels() + n_chips).map_err(SinkError::Format)
}

/// Writes BDF+C recordings, one at a time.
#[derive(Debug)]
pub struct BdfRecorder {
    plan: RecorderPlan,
    shape: RecordPlan,
    about: About,
    active: Option<Recording>,
    /// Markers that came while no recording was open: the next one may begin before them.
    early: VecDeque<Marker>,
    /// The recordings before the active one.
    finished: Progress,
}

/// Markers that are kept while no recording is open; the oldest go first.
const EARLY_MAX: usize = 4096;

impl BdfRecorder {
    /// A recorder for `plan.stream`. Touches no file.
    ///
    /// # Errors
    /// [`SinkError::Format`] when the stream does not fit BDF: more than 24 bits, a rate that no record holds in whole
    /// frames, a range without width, more than 9998 signals.
    pub fn new(plan: RecorderPlan) -> Result<BdfRecorder, SinkError> {
        let shape = shape(&plan.stream, plan.n_chips)?;
        header::warn(&plan.stream, plan.n_chips, &shape);
        Ok(BdfRecorder {
            plan,
            shape,
            about: About::default(),
            active: None,
            early: VecDeque::new(),
            finished: Progress::default(),
        })
    }

    /// What the next recording, and only that one, will be about.
    pub fn describe_next(&mut self, about: About) {
        self.about = about;
    }

    /// Closes the account of the active recording.
    fn retire(&mut self) {
        self.finished = self.progress();
        self.active = None;
    }

    /// Ends the recording where the disk refused. Where a sync finds that space is low, the caller closes it, because the
    /// record in work still fits.
    fn after(&mut self, result: Result<(), SinkError>) -> Result<(), SinkError> {
        let Err(error) = result else { return Ok(()) };
        if !matches!(error, SinkError::DiskLow { .. }) {
            if let Some(recording) = &mut self.active {
                recording.give_up(&error);
            }
            self.retire();
        }
        Err(error)
    }
}

impl RawSink for BdfRecorder {
    fn open(&mut self, first: &Head) -> Result<(), SinkError> {
        if self.active.is_some() {
            return Err(SinkError::Format("a recording is already open".to_owned()));
        }
        let dir = &self.plan.dir;
        std::fs::create_dir_all(dir).map_err(|source| SinkError::Io {
            what: "cannot create",
            path: dir.clone(),
            source,
        })?;
        let mut space = Space { dir: dir.clone(), min_free_bytes: self.plan.min_free_bytes, free_bytes: 0 };
        let looked = space.look();
        self.finished.free_bytes = space.free_bytes;
        looked?;
        let about = std::mem::take(&mut self.about);
        let mut recording = Recording::open(&self.plan, &self.shape, &about, first, space)?;
        self.early.drain(..).for_each(|marker| recording.marker(marker));
        self.active = Some(recording);
        Ok(())
    }

    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        let Some(recording) = &mut self.active else {
            return Err(SinkError::Format("no recording is open".to_owned()));
        };
        let result = recording.write(block);
        if let Err(low @ SinkError::DiskLow { .. }) = result {
            // Space ran low within a long gap; what comes after it can no longer stand at its place.
            self.close(&Tally::default())?;
            return Err(low);
        }
        self.after(result)
    }

    fn marker(&mut self, marker: Marker) {
        if let Some(recording) = &mut self.active {
            return recording.marker(marker);
        }
        // A source that reads ahead tells its events before the block comes that opens the file.
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(marker);
    }

    fn sync(&mut self) -> Result<(), SinkError> {
        let Some(recording) = &mut self.active else { return Ok(()) };
        let result = recording.sync();
        self.after(result)
    }

    fn close(&mut self, gap_at_end: &Tally) -> Result<(), SinkError> {
        let Some(recording) = &mut self.active else { return Ok(()) };
        let result = recording.finish(gap_at_end);
        self.after(result)?;
        self.retire();
        Ok(())
    }

    fn progress(&self) -> Progress {
        let mut progress = self.finished.clone();
        if let Some(recording) = &self.active {
            progress.frames_delivered += recording.on_disk().delivered;
            progress.bytes += recording.data().n_bytes();
            progress.file = Some(recording.data().path().to_owned());
            progress.free_bytes = recording.free_bytes();
        }
        progress
    }
}
