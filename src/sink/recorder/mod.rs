//! The lossless recorder: BDF+C, EDF+C, CSV or raw files (`format`), each with its JSON sidecar.
//!
//! Codes go to the file exactly as they were converted. Blocks are frame-major and the file is channel-major, so one
//! record (1 s) is put together in memory and written whole; the number of records in the header and, with every sync,
//! the sidecar follow. A process that is killed at any moment therefore loses the record in work and nothing else,
//! and the file it leaves opens everywhere.
//!
//! A recording goes on in another file by time, by size, on request and after a long gap; where frames stand is decided by
//! their count alone, never by a clock. Files are called `NAME.part.bdf` until they are finished (`names` has the order of
//! the end); what a killed recorder or a power cut leaves, `repair` makes whole. What takes long after the end, and what is
//! removed because it is old, is done by a thread of its own (`finisher`).
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

mod bids;
mod clock;
mod companions;
mod describe;
mod events;
mod file;
mod finisher;
mod header;
mod journal;
mod ledger;
mod names;
mod opening;
mod pending;
mod plan;
mod record;
mod recording;
mod repair;
mod retain;
mod scan;
mod sidecar;
mod status;
mod template;
mod unaccounted;

use std::collections::VecDeque;
use std::path::PathBuf;

pub use bids::folders;
pub use companions::{Summing, complete};
pub use finisher::lowest_priority;
pub use names::Names;
pub(crate) use names::{exists, rename};
pub(crate) use pending::GAP_TEXT;
pub use plan::{ANNOTATION_SAMPLES, RECORD_BYTES_MAX, RecordPlan, record_plan};
pub use repair::{RepairError, Repaired, repair};
pub use retain::{Keep, Retainer};
pub(crate) use sidecar::read as read_sidecar;
pub use template::FileName;

use self::file::Space;
use self::finisher::Finisher;
use self::ledger::reconcile;
use self::opening::Opening;
use self::recording::Recording;
use self::sidecar::Neighbour;
use super::{PackedBlock, Progress, RawSink, SinkError};
use crate::block::{Head, Marker, Stream, Tally};
use crate::format::{FileFormat, Values};

/// What all recordings of one run have in common.
#[derive(Debug, Clone)]
pub struct RecorderPlan {
    /// Where the files go; made with the first recording where it is missing.
    pub dir: PathBuf,
    /// `raw`.
    pub stream: Stream,
    /// Chips that put a status word into every frame.
    pub n_chips: usize,
    /// The format of the files.
    pub format: FileFormat,
    /// What a row holds, where that is CSV.
    pub values: Values,
    /// What the files are called.
    pub file_name: FileName,
    /// When another file begins.
    pub rotate: Rotate,
    /// How much is kept of what is finished.
    pub keep: Keep,
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

/// When a recording goes on in another file; 0: never for this reason.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rotate {
    /// After this many seconds of signal, to the nearest record.
    pub every_s: f64,
    /// Before a file becomes larger than this; a file holds at least one record.
    pub bytes: u64,
    /// Where a gap is longer than this; the gap is then in no file.
    pub gap_s: f64,
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
/// As [`FileRecorder::new`].
pub fn check(stream: &Stream, n_chips: usize, format: FileFormat) -> Result<(), SinkError> {
    shape(stream, n_chips, format).map(drop)
}

fn shape(stream: &Stream, n_chips: usize, format: FileFormat) -> Result<RecordPlan, SinkError> {
    header::check(stream, n_chips, format)?;
    record_plan(stream.rate_hz, stream.n_channels() + n_chips).map_err(SinkError::Format)
}

/// Writes recordings, one at a time.
#[derive(Debug)]
pub struct FileRecorder {
    plan: RecorderPlan,
    shape: RecordPlan,
    about: About,
    /// Whether the file is to end at the next record boundary.
    active: Option<Recording>,
    /// What the active recording is about, and how many files it has.
    active_about: About,
    part: u64,
    /// Markers that came while no recording was open: the next one may begin before them.
    early: VecDeque<Marker>,
    /// The recordings before the active one.
    finished: Progress,
    /// Does what follows the end of a file.
    finisher: Finisher,
}

/// Markers that are kept while no recording is open; the oldest go first.
const EARLY_MAX: usize = 4096;

impl FileRecorder {
    /// A recorder for `plan.stream`. Touches no file.
    ///
    /// # Errors
    /// [`SinkError::Format`] when the stream does not fit BDF: more than 24 bits, a rate that no record holds in whole
    /// frames, a range without width, more than 9998 signals.
    pub fn new(plan: RecorderPlan) -> Result<FileRecorder, SinkError> {
        let shape = shape(&plan.stream, plan.n_chips, plan.format)?;
        header::warn(&plan.stream, plan.n_chips, &shape);
        let finisher = Finisher::new(plan.dir.clone(), plan.keep);
        Ok(FileRecorder {
            finisher,
            plan,
            shape,
            about: About::default(),
            active: None,
            active_about: About::default(),
            part: 0,
            early: VecDeque::new(),
            finished: Progress::default(),
        })
    }

    /// Closes the account of the active recording.
    fn retire(&mut self) {
        self.finished = Progress { markers_waiting: 0, ..self.progress() };
        // Its lock is let go before another thread looks at it.
        if let Some(names) = self.active.take().map(|recording| recording.names().clone()) {
            self.finisher.finished(&names);
        }
    }

    /// Looks at the free space, which must be above the limit before a file is made.
    fn space(&mut self) -> Result<Space, SinkError> {
        let min_free_bytes = self.plan.min_free_bytes;
        let mut space = Space { dir: self.plan.dir.clone(), min_free_bytes, free_bytes: 0 };
        let looked = space.look();
        self.finished.free_bytes = space.free_bytes;
        looked.map(|()| space)
    }

    /// The block and the gap before it, in as many files as it takes.
    fn append(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        let head = &block.head;
        let mut left = self.recording()?.jump(block)?;
        let mut causes = reconcile(left, &block.gap);
        let gap_s = left as f64 / self.plan.stream.rate_hz;
        if self.plan.rotate.gap_s > 0.0 && gap_s > self.plan.rotate.gap_s && self.next_file(*head, left)? {
            left = 0;
        }
        while left > 0 {
            let n_frames = left.min(self.file_with_room(head)?.frames_left());
            self.recording()?.gap(n_frames, &mut causes)?;
            left -= n_frames;
        }
        let mut codes = block.codes;
        while !codes.is_empty() {
            let recording = self.file_with_room(head)?;
            codes = recording.frames(codes, recording.frames_left())?;
        }
        self.recording()?.note(head);
        Ok(())
    }

    fn recording(&mut self) -> Result<&mut Recording, SinkError> {
        self.active.as_mut().ok_or_else(|| SinkError::Format("no recording is open".to_owned()))
    }

    /// The file in work, or the next one where that is full. Only now, when it is certain that a frame comes: the last file
    /// of a recording is never an empty one.
    fn file_with_room(&mut self, head: &Head) -> Result<&mut Recording, SinkError> {
        let recording = self.recording()?;
        if recording.frames_left() == 0 {
            // The edge is the block's last one, and the frames between are counted back from it.
            let first_frame = recording.next_frame();
            let n_frames = usize::try_from(head.next_frame() - first_frame).unwrap_or(usize::MAX);
            self.next_file(Head { first_frame, n_frames, ..*head }, 0)?;
        }
        self.recording()
    }

    /// Goes on in another file that begins with `first`, `gap_frames` after the last frame of this one. `false`: none could be
    /// made, and this one goes on, because a file that is too long is better than frames that are in none.
    fn next_file(&mut self, first: Head, gap_frames: u64) -> Result<bool, SinkError> {
        let space = self.space();
        let Some(recording) = &mut self.active else { return Ok(false) };
        let space = space.inspect_err(|error| recording.ends(error))?;
        let first_frame = recording.first_frame();
        let mut opening = Opening {
            plan: &self.plan,
            shape: &self.shape,
            about: &self.active_about,
            first,
            part: self.part + 1,
            previous: None,
            space,
        };
        // The next name first, because the sidecar of this file tells it; then the end of this file, because the sidecar of
        // the next one tells what it is called at last.
        let (names, files) = match opening.create() {
            Ok(created) => created,
            Err(error) => {
                let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
                tracing::error!("no other file can begin, so that the recording goes on in this one: {error}{why}");
                recording.put_off();
                return Ok(false);
            }
        };
        let next = Neighbour { file: names.file_name(), first_frame: first.first_frame, gap_frames };
        let later = recording.finish(&Tally::default(), Some(&next)).inspect_err(|_| {
            names::remove(&names.part_data());
            names::remove(&names.part_sidecar());
        })?;
        opening.previous = Some(Neighbour { file: recording.names().file_name(), first_frame, gap_frames });
        let opened = Recording::open(opening, (names, files));
        self.retire();
        let mut recording = opened?;
        self.part += 1;
        later.into_iter().for_each(|marker| recording.marker(marker));
        tracing::info!("the recording goes on in {}", recording.data().path().display());
        self.active = Some(recording);
        Ok(true)
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

impl RawSink for FileRecorder {
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
        let space = self.space()?;
        self.active_about = std::mem::take(&mut self.about);
        let (plan, shape, about) = (&self.plan, &self.shape, &self.active_about);
        let opening = Opening { plan, shape, about, first: *first, part: 1, previous: None, space };
        let files = opening.create()?;
        let mut recording = Recording::open(opening, files)?;
        self.part = 1;
        // One from before the first frame belongs to no file.
        self.early.retain(|marker| marker.frame >= first.first_frame);
        self.early.drain(..).for_each(|marker| recording.marker(marker));
        self.active = Some(recording);
        Ok(())
    }

    fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        let result = self.append(block);
        if let Err(low @ SinkError::DiskLow { .. }) = result {
            // Space ran low within a long gap, or where another file was due; what comes after cannot stand at its place.
            self.close(&Tally::default())?;
            return Err(low);
        }
        self.after(result)
    }

    fn marker(&mut self, marker: Marker) {
        if let Some(recording) = &mut self.active {
            // One that comes late may stand before the file that was begun meanwhile, never before the recording.
            if self.part > 1 || marker.frame >= recording.first_frame() {
                recording.marker(marker);
            }
            return;
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
        let result = recording.finish(gap_at_end, None).map(drop);
        self.after(result)?;
        self.retire();
        Ok(())
    }

    fn rotate(&mut self) {
        if let Some(recording) = &mut self.active {
            recording.rotate();
        }
    }

    fn describe_next(&mut self, about: About) {
        self.about = about;
    }

    fn look(&mut self) {
        // Too little of it is told when somebody asks for a recording.
        drop(self.space());
    }

    fn progress(&self) -> Progress {
        let mut progress = self.finished.clone();
        if let Some(recording) = &self.active {
            progress.frames_delivered += recording.on_disk().delivered;
            progress.bytes += recording.data().bytes_on_disk();
            progress.file = Some(recording.data().path().to_owned());
            progress.free_bytes = recording.free_bytes();
            progress.markers_waiting = recording.markers_waiting();
        }
        progress
    }
}
