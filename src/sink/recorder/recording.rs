//! One file of a recording: data and sidecar, from the first frame to the last.

use jiff::tz::TimeZone;

use super::clock::ClockPairs;
use super::file::{self, DataFile, Space};
use super::journal::Journal;
use super::ledger::FileLedger;
use super::names::{self, Names};
use super::opening::Opening;
use super::pending::Pending;
use super::plan::records_max;
use super::record::Record;
use super::sidecar::{Changing, Neighbour, Sidecar};
use super::{describe, header};
use crate::block::{Head, Marker, Stream, Tally};
use crate::edf::TalArea;
use crate::format;
use crate::sink::{PackedBlock, SinkError};

/// A long gap looks at the free space each time it has written this much, because nobody else can meanwhile.
const LOOK_BYTES: u64 = 16 << 20;

/// How many records a file goes on where no other one can be made.
const PUT_OFF_RECORDS: u64 = 60;

/// The header counts as many.
const FORMAT_RECORDS_MAX: u64 = 99_999_999;

/// An open file.
#[derive(Debug)]
pub(super) struct Recording {
    stream: Stream,
    record_duration_ns: i64,
    names: Names,
    data: DataFile,
    sidecar: Sidecar,
    record: Record,
    pending: Pending,
    journal: Journal,
    clock: ClockPairs,
    first_frame: u64,
    /// The index that the next block should start with.
    next_frame: u64,
    /// The account of all that was given, the record in work included.
    taken: FileLedger,
    /// The account of the records that were written to the file.
    written: FileLedger,
    /// The account of those that a sync brought to the disk: what is delivered, and what the sidecar speaks of.
    on_disk: FileLedger,
    /// With this many records another file begins.
    records_max: u64,
    /// Before it has more bytes another file begins; 0: no limit.
    bytes_max: u64,
    /// Whether the last record is filled up.
    is_padded: bool,
    frames_end: Option<u64>,
    space: Space,
    /// Why the recording cannot go on, once that is known.
    ending: Option<String>,
    /// A gap was left unfinished for want of space: later frames would stand at the wrong place.
    broken_off: bool,
}

impl Recording {
    /// Begins the files that [`Opening::create`] made; leaves nothing behind where that fails.
    pub(super) fn open(
        opening: Opening<'_>,
        (names, files): (Names, [std::fs::File; 2]),
    ) -> Result<Recording, SinkError> {
        let utc_ns = opening.utc_ns();
        let Opening { plan, shape, about, first, part, previous, space } = opening;
        let stream = plan.stream.clone();
        let start = file::timestamp(utc_ns).to_zoned(TimeZone::system()).datetime();
        let header = header::header(plan, shape, start, &about.subject);
        let mut constant = describe::describe(plan, about, first.first_frame, utc_ns);
        constant.extend(describe::place(part, previous.as_ref()));
        let writer = format::writer(plan.format, &header, 0, plan.values)
            .map_err(|error| SinkError::Format(error.to_string()))?;
        let before = stream.channels.iter().map(|channel| 0.clamp(channel.digital_min, channel.digital_max));
        let record = Record::new(shape.n_frames, before, plan.n_chips);

        let [data, sidecar] = files;
        let (clock, pending) = (ClockPairs::new(stream.rate_hz), Pending::new(first.first_frame));
        let made = DataFile::new(data, &names.part_data(), writer).and_then(|mut data| {
            let ledger = FileLedger::default();
            let changing = Changing {
                state: "recording",
                n_records: 0,
                ledger: &ledger,
                markers_dropped: 0,
                measured_rate_hz: None,
                rate_hz: stream.rate_hz,
                clock_pairs: clock.pairs(),
                frames_end: None,
                next: None,
            };
            let sidecar = Sidecar::new(sidecar, &names.part_sidecar(), &constant, &changing)?;
            data.sync()?;
            sidecar.sync()?;
            file::sync_dir(names.dir())?;
            Ok((data, sidecar))
        });
        let (data, sidecar) = made.inspect_err(|_| {
            names::remove(&names.part_data());
            names::remove(&names.part_sidecar());
        })?;
        let record_s = shape.n_frames as f64 / stream.rate_hz;
        Ok(Recording {
            record_duration_ns: shape.duration_ns,
            records_max: records_max(&plan.rotate, record_s),
            bytes_max: plan.rotate.bytes,
            is_padded: plan.format.is_edf(),
            journal: Journal::new(names.part_markers()),
            names,
            data,
            sidecar,
            record,
            pending,
            clock,
            first_frame: first.first_frame,
            next_frame: first.first_frame,
            taken: FileLedger::default(),
            written: FileLedger::default(),
            on_disk: FileLedger::default(),
            frames_end: None,
            space,
            ending: None,
            broken_off: false,
            stream,
        })
    }

    /// How many frames are missing before `block`; an error where it cannot follow.
    pub(super) fn jump(&self, block: &PackedBlock<'_>) -> Result<u64, SinkError> {
        let head = &block.head;
        let is_whole = block.codes.len() == head.n_frames * self.record.frame_bytes();
        head.first_frame.checked_sub(self.next_frame).filter(|_| is_whole).ok_or_else(|| {
            SinkError::Format(format!(
                "a block of {} frames in {} bytes at frame {} does not follow frame {}",
                head.n_frames,
                block.codes.len(),
                head.first_frame,
                self.next_frame
            ))
        })
    }

    /// The frame that comes next.
    pub(super) fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Frames until another file begins.
    pub(super) fn frames_left(&self) -> u64 {
        let mut n_records = self.records_max.saturating_sub(self.data.n_records());
        if self.bytes_max > 0 {
            let by_size = self.bytes_max.saturating_sub(self.data.n_bytes()) / self.data.record_bytes_max().max(1);
            // A file holds at least one record, and goes on with the one in work.
            let in_work = u64::from(self.data.n_records() == 0 || self.record.n_filled() > 0);
            n_records = n_records.min(by_size.max(in_work));
        }
        n_records.saturating_mul(self.record.n_frames() as u64).saturating_sub(self.record.n_filled() as u64)
    }

    /// Ends the file at the next record boundary; one without a frame has its first record before it.
    pub(super) fn rotate(&mut self) {
        self.records_max = (self.data.n_records() + u64::from(self.record.n_filled() > 0)).max(1);
    }

    /// Another file cannot begin now: it is tried again after a while.
    pub(super) fn put_off(&mut self) {
        self.records_max = (self.data.n_records() + PUT_OFF_RECORDS).max(self.records_max).min(FORMAT_RECORDS_MAX);
        if self.bytes_max > 0 {
            let bytes = PUT_OFF_RECORDS.saturating_mul(self.data.record_bytes_max());
            self.bytes_max = self.bytes_max.max(self.data.n_bytes().saturating_add(bytes));
        }
    }

    /// Appends the first `n_frames` of `codes`, at most [`Recording::frames_left`]. Returns the codes after them.
    pub(super) fn frames<'a>(&mut self, mut codes: &'a [u8], n_frames: u64) -> Result<&'a [u8], SinkError> {
        let frame_bytes = self.record.frame_bytes();
        let mut left = usize::try_from(n_frames).unwrap_or(usize::MAX);
        while left > 0 && !codes.is_empty() {
            let n_bytes = codes.len().min(left.saturating_mul(frame_bytes));
            let n_frames = self.record.push(&codes[..n_bytes]);
            self.taken.deliver(n_frames);
            self.next_frame += n_frames as u64;
            left -= n_frames;
            codes = &codes[n_frames * frame_bytes..];
            if self.record.room() == 0 {
                self.complete_record()?;
            }
        }
        Ok(codes)
    }

    /// Notes when the edge of a block was.
    pub(super) fn note(&mut self, head: &Head) {
        self.clock.note(head);
    }

    /// Notes a marker. One from before the first frame has a negative onset.
    pub(super) fn marker(&mut self, marker: Marker) {
        self.journal.note(&marker, &self.stream, self.first_frame);
        self.pending.marker(marker);
    }

    /// The first frame.
    pub(super) fn first_frame(&self) -> u64 {
        self.first_frame
    }

    /// Brings the completed records and their account to the disk: the records first, so that the account never
    /// speaks of more than there is.
    pub(super) fn sync(&mut self) -> Result<(), SinkError> {
        self.settle()?;
        self.journal.sync();
        self.write_sidecar("recording", None)?;
        self.space.look().inspect_err(|error| self.ending = Some(reason(error)))
    }

    /// Brings the records to the disk: only then are their frames delivered. A sync that fails tells of pages which the
    /// kernel could not write and has forgotten; the next one would succeed without them.
    fn settle(&mut self) -> Result<(), SinkError> {
        self.data.sync()?;
        self.on_disk = self.written;
        Ok(())
    }

    /// Appends the gap at the end, completes the last record, writes what is still waiting, finishes both files and gives
    /// them their names. With a `next` file, markers of frames that stand in that one are handed over.
    pub(super) fn finish(&mut self, gap_at_end: &Tally, next: Option<&Neighbour>) -> Result<Vec<Marker>, SinkError> {
        match self.gap(gap_at_end.total(), &mut gap_at_end.clone()) {
            Ok(()) | Err(SinkError::DiskLow { .. }) => {}
            Err(error) => return Err(error),
        }
        let later = match next {
            Some(_) => self.pending.take_later(self.next_frame),
            None => self.pending.release(),
        };
        if self.has_more() && self.is_padded {
            // Whoever finds the file with its padding and without its last word must know what is padding.
            self.frames_end = Some(self.taken.frames);
            self.settle()?;
            self.write_sidecar("recording", None)?;
        }
        while self.has_more() {
            if self.is_padded {
                self.record.repeat(u64::MAX);
            }
            self.complete_record()?;
        }
        self.settle()?;
        let state = self.ending.take().map_or_else(|| "complete".to_owned(), |reason| format!("ended: {reason}"));
        self.write_sidecar(&state, next)?;
        self.rename()?;
        Ok(later)
    }

    /// Whether records are due at the end. EDFlib refuses a file without records, so there is one even where there is no frame.
    fn has_more(&self) -> bool {
        self.record.n_filled() > 0 || !self.pending.is_empty() || (self.is_padded && self.data.n_records() == 0)
    }

    fn rename(&mut self) -> Result<(), SinkError> {
        let io = |source| SinkError::Io { what: "cannot rename", path: self.names.part_data(), source };
        self.names = self.names.finish().map_err(io)?;
        self.data.renamed(self.names.data());
        Ok(())
    }

    /// Leaves the files readable after the disk refused: the account ends with the last record that is on the disk for
    /// certain. Of whole records that were only written, a sync decides.
    pub(super) fn give_up(&mut self, error: &SinkError) {
        // Each step matters even where the one before it fails.
        // What was filled up and did not reach the disk is no padding.
        self.frames_end = None;
        let is_certain = !matches!(error, SinkError::Io { what: file::CANNOT_SYNC, .. });
        let settled =
            self.data.cut_torn_tail().and_then(|()| if is_certain { self.settle() } else { self.data.cut_back() });
        let kept = settled.or_else(|error| {
            tracing::error!("while ending {}: {}", self.data.path().display(), reason(&error));
            self.data.cut_back()
        });
        for step in [kept, self.write_sidecar(&format!("ended: {}", reason(error)), None), self.rename()] {
            if let Err(error) = step {
                tracing::error!("while ending {}: {}", self.data.path().display(), reason(&error));
            }
        }
    }

    /// The account of what is on the disk.
    pub(super) fn on_disk(&self) -> &FileLedger {
        &self.on_disk
    }

    /// Its names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Why it will end, for the sidecar.
    pub(super) fn ends(&mut self, error: &SinkError) {
        self.ending = Some(reason(error));
    }

    /// The data file.
    pub(super) fn data(&self) -> &DataFile {
        &self.data
    }

    /// Markers that wait for room.
    pub(super) fn markers_waiting(&self) -> usize {
        self.pending.markers_waiting()
    }

    /// Free bytes as of the last look.
    pub(super) fn free_bytes(&self) -> u64 {
        self.space.free_bytes
    }

    /// Fills `n_frames` with each channel's last code (and each chip's last status word, as suspect) and annotates them. A record in the middle of a long gap is
    /// filled only once and then written again and again, at the speed of the disk.
    /// `causes` are what is left of the whole gap, and lose what is taken here.
    pub(super) fn gap(&mut self, n_frames: u64, causes: &mut Tally) -> Result<(), SinkError> {
        if n_frames == 0 || self.broken_off {
            return Ok(());
        }
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
            self.taken.lose(n_filled, causes);
            self.next_frame += n_filled as u64;
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
        self.pending.write_into(&mut area, &self.stream, self.first_frame + self.taken.frames);
        self.data.append(self.record.bytes(), self.record.n_filled())?;
        self.record.clear();
        let annotated = self.pending.annotated_before(self.taken.frames);
        self.written = FileLedger { not_annotated: self.taken.lost.total().saturating_sub(annotated), ..self.taken };
        Ok(())
    }

    fn write_sidecar(&mut self, state: &str, next: Option<&Neighbour>) -> Result<(), SinkError> {
        let ledger = &self.on_disk;
        self.sidecar.write(&Changing {
            state,
            n_records: self.data.n_on_disk(),
            ledger,
            markers_dropped: self.pending.markers_dropped(),
            measured_rate_hz: self.clock.measured_rate_hz(),
            rate_hz: self.stream.rate_hz,
            clock_pairs: self.clock.pairs(),
            frames_end: self.frames_end,
            next,
        })?;
        self.sidecar.sync()
    }
}

/// An error and what caused it, in one line.
fn reason(error: &SinkError) -> String {
    let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{source}")
}
