//! One recording: a data file and its sidecar, from the first frame to the last.

use jiff::tz::TimeZone;

use super::clock::ClockPairs;
use super::file::{self, DataFile};
use super::ledger::{FileLedger, reconcile};
use super::pending::Pending;
use super::plan::RecordPlan;
use super::record::Record;
use super::sidecar::{Changing, Sidecar};
use super::{About, RecorderPlan, describe, header};
use crate::block::{Head, Marker, Stream, Tally};
use crate::edf::{Annotation, TalArea};
use crate::sink::{PackedBlock, SinkError};

/// A long gap looks at the free space each time it has written this much, because nobody else can meanwhile.
const LOOK_BYTES: u64 = 16 << 20;

/// An open recording.
#[derive(Debug)]
pub(super) struct Recording {
    stream: Stream,
    record_duration_ns: i64,
    data: DataFile,
    sidecar: Sidecar,
    record: Record,
    pending: Pending,
    clock: ClockPairs,
    first_frame: u64,
    /// The index that the next block should start with.
    next_frame: u64,
    /// The account of all that was given, the record in work included.
    taken: FileLedger,
    /// The account of the records in the file: what the sidecar may speak of.
    on_disk: FileLedger,
    space: Space,
    /// Why the recording cannot go on, once that is known.
    ending: Option<String>,
    /// A gap was left unfinished for want of space: later frames would stand at the wrong place.
    broken_off: bool,
}

/// The limit of free space.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) dir: std::path::PathBuf,
    pub(super) min_free_bytes: u64,
    /// As of the last look.
    pub(super) free_bytes: u64,
}

impl Space {
    /// Looks at the free space; an error when it is at or below the limit (0: no limit).
    pub(super) fn look(&mut self) -> Result<(), SinkError> {
        self.free_bytes = file::free_bytes(&self.dir)?;
        if self.min_free_bytes > 0 && self.free_bytes <= self.min_free_bytes {
            return Err(SinkError::DiskLow {
                path: self.dir.clone(),
                free_bytes: self.free_bytes,
                limit_bytes: self.min_free_bytes,
            });
        }
        Ok(())
    }
}

impl Recording {
    /// Makes both files; leaves nothing behind where that fails.
    pub(super) fn open(
        plan: &RecorderPlan,
        shape: &RecordPlan,
        about: &About,
        first: &Head,
        space: Space,
    ) -> Result<Recording, SinkError> {
        let stream = plan.stream.clone();
        // The head speaks of the block's last edge; the file begins with its first.
        let block_ns = stream.duration_ns((first.n_frames as u64).saturating_sub(1)).unsigned_abs();
        let utc_ns = first.edge_utc_ns.saturating_sub(block_ns);
        let start = file::timestamp(utc_ns).to_zoned(TimeZone::system()).datetime();
        let header = header::header(plan, shape, start, &about.subject);
        let constant = describe::describe(plan, about, first.first_frame, utc_ns);
        let before = stream.channels.iter().map(|channel| 0.clamp(channel.digital_min, channel.digital_max));
        let record = Record::new(shape.n_frames, before, plan.n_chips);

        let [data, sidecar] = file::create_pair(&space.dir, &about.name, utc_ns)?;
        let (data_path, sidecar_path) = (data.1.clone(), sidecar.1.clone());
        let clock = ClockPairs::new(stream.rate_hz);
        let files = DataFile::new(data.0, &data.1, &header).and_then(|data| {
            let (ledger, pending) = (FileLedger::default(), Pending::default());
            let changing = changing("recording", &data, &ledger, &pending, &clock, stream.rate_hz);
            let sidecar = Sidecar::new(sidecar.0, &sidecar.1, &constant, &changing)?;
            data.sync()?;
            sidecar.sync()?;
            file::sync_dir(&space.dir)?;
            Ok((data, sidecar))
        });
        let (data, sidecar) = files.inspect_err(|_| {
            file::remove(&data_path);
            file::remove(&sidecar_path);
        })?;
        Ok(Recording {
            record_duration_ns: shape.duration_ns,
            data,
            sidecar,
            record,
            pending: Pending::default(),
            clock,
            first_frame: first.first_frame,
            next_frame: first.first_frame,
            taken: FileLedger::default(),
            on_disk: FileLedger::default(),
            space,
            ending: None,
            broken_off: false,
            stream,
        })
    }

    /// Appends a block and the gap before it.
    pub(super) fn write(&mut self, block: &PackedBlock<'_>) -> Result<(), SinkError> {
        let frame_bytes = self.record.frame_bytes();
        let head = &block.head;
        let (Some(jump), true) =
            (head.first_frame.checked_sub(self.next_frame), block.codes.len() == head.n_frames * frame_bytes)
        else {
            return Err(SinkError::Format(format!(
                "a block of {} frames in {} bytes at frame {} does not follow frame {}",
                head.n_frames,
                block.codes.len(),
                head.first_frame,
                self.next_frame
            )));
        };
        self.gap(jump, &block.gap)?;
        let mut codes = block.codes;
        while !codes.is_empty() {
            let n_frames = self.record.push(codes);
            self.taken.deliver(n_frames);
            codes = &codes[n_frames * frame_bytes..];
            if self.record.room() == 0 {
                self.complete_record()?;
            }
        }
        self.next_frame = head.next_frame();
        self.clock.note(head);
        Ok(())
    }

    /// Notes a marker; one from before the first frame belongs to no file.
    pub(super) fn marker(&mut self, marker: Marker) {
        let Some(frame) = marker.frame.checked_sub(self.first_frame) else { return };
        let onset_ns = self.stream.duration_ns(frame).saturating_add(marker.offset_ns);
        self.pending.marker(Annotation { onset_ns, duration_ns: marker.duration_ns, text: marker.text });
    }

    /// Brings the completed records and their account to the disk: the records first, so that the account never
    /// speaks of more than there is.
    pub(super) fn sync(&mut self) -> Result<(), SinkError> {
        self.data.sync()?;
        self.write_sidecar("recording")?;
        self.space.look().inspect_err(|error| self.ending = Some(reason(error)))
    }

    /// Appends the gap at the end, completes the last record, writes what is still waiting, and finishes both files.
    pub(super) fn finish(&mut self, gap_at_end: &Tally) -> Result<(), SinkError> {
        match self.gap(gap_at_end.total(), gap_at_end) {
            Ok(()) | Err(SinkError::DiskLow { .. }) => {}
            Err(error) => return Err(error),
        }
        // EDFlib refuses a file without records, so there is one even where there is no frame.
        while self.record.n_filled() > 0 || !self.pending.is_empty() || self.data.n_records() == 0 {
            self.record.repeat(u64::MAX);
            self.complete_record()?;
        }
        self.data.sync()?;
        let state = self.ending.take().map_or_else(|| "complete".to_owned(), |reason| format!("ended: {reason}"));
        self.write_sidecar(&state)
    }

    /// Leaves the files readable after the disk refused: the account ends with the last whole record.
    pub(super) fn give_up(&mut self, error: &SinkError) {
        // Each step matters even where the one before it fails.
        for step in
            [self.data.cut_torn_tail(), self.data.sync(), self.write_sidecar(&format!("ended: {}", reason(error)))]
        {
            if let Err(error) = step {
                tracing::error!("while ending {}: {}", self.data.path().display(), reason(&error));
            }
        }
    }

    /// The account of what stands in the file.
    pub(super) fn on_disk(&self) -> &FileLedger {
        &self.on_disk
    }

    /// The data file.
    pub(super) fn data(&self) -> &DataFile {
        &self.data
    }

    /// Free bytes as of the last look.
    pub(super) fn free_bytes(&self) -> u64 {
        self.space.free_bytes
    }

    /// Fills `n_frames` with each channel's last code (and each chip's last status word, as suspect) and annotates them. A record in the middle of a long gap is
    /// filled only once and then written again and again, at the speed of the disk.
    fn gap(&mut self, n_frames: u64, causes: &Tally) -> Result<(), SinkError> {
        if n_frames == 0 || self.broken_off {
            return Ok(());
        }
        let mut causes = reconcile(n_frames, causes);
        self.pending.gap(self.taken.frames, n_frames);
        let (mut left, mut is_all_gap, mut look_at) = (n_frames, false, self.data.n_bytes() + LOOK_BYTES);
        while left > 0 {
            let room = self.record.room();
            let n_filled = if is_all_gap && left >= room as u64 {
                self.record.keep();
                room
            } else {
                is_all_gap = self.record.n_filled() == 0 && left >= room as u64;
                self.record.repeat(left)
            };
            self.taken.lose(n_filled, &mut causes);
            left -= n_filled as u64;
            if self.record.room() == 0 {
                self.complete_record()?;
                if self.data.n_bytes() >= look_at {
                    look_at += LOOK_BYTES;
                    self.space.look().inspect_err(|error| {
                        self.ending = Some(reason(error));
                        self.broken_off = true;
                    })?;
                }
            }
        }
        Ok(())
    }

    fn complete_record(&mut self) -> Result<(), SinkError> {
        let onset_ns = i64::try_from(self.data.n_records()).unwrap_or(i64::MAX).saturating_mul(self.record_duration_ns);
        let mut area = TalArea::new(self.record.annotations_mut(), onset_ns);
        self.pending.write_into(&mut area, &self.stream);
        self.data.append(self.record.bytes())?;
        self.record.clear();
        self.on_disk = self.taken;
        Ok(())
    }

    fn write_sidecar(&mut self, state: &str) -> Result<(), SinkError> {
        let changing = changing(state, &self.data, &self.on_disk, &self.pending, &self.clock, self.stream.rate_hz);
        self.sidecar.write(&changing)?;
        self.sidecar.sync()
    }
}

fn changing<'a>(
    state: &'a str,
    data: &DataFile,
    ledger: &'a FileLedger,
    pending: &Pending,
    clock: &'a ClockPairs,
    rate_hz: f64,
) -> Changing<'a> {
    Changing {
        state,
        n_records: data.n_records(),
        ledger,
        not_annotated: ledger.lost.total().saturating_sub(pending.annotated_before(ledger.frames)),
        markers_dropped: pending.markers_dropped(),
        measured_rate_hz: clock.measured_rate_hz(),
        rate_hz,
        clock_pairs: clock.pairs(),
    }
}

/// An error and what caused it, in one line.
fn reason(error: &SinkError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
