//! IN: opened, checked, and read one record after the other.

use std::fs::{self, File};
use std::io::BufReader;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConvertError;
use crate::edf::{Header, Lists, Signal, format_ns};
use crate::format::{Fault, FileFormat, Reader, marked, record_frames, unmark};
use crate::sink::recorder::{Names, read_sidecar};

/// A continuous recording.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
    reader: Reader<BufReader<File>>,
    header: Header,
    /// Frames that were recorded, as far as the sidecar or the file says it; the rest fills the last record up.
    n_recorded: u64,
    /// Frames of those records that were left out.
    n_left_out: u64,
    /// Who says so.
    told_by: &'static str,
    /// The first record, until it is taken.
    first: Option<(Vec<u8>, usize)>,
    /// Records and frames that were taken.
    n_taken: u64,
    n_frames: u64,
    /// Where annotations stand within a record.
    areas: Vec<Range<usize>>,
    /// The onset of the first frame.
    start_ns: i64,
    n_annotations: u64,
    notes: Vec<String>,
}

impl Input {
    /// Opens the file and checks what its header says.
    pub(super) fn open(path: &Path) -> Result<Input, ConvertError> {
        let no_input = |source| ConvertError::NoInput { path: path.to_owned(), source };
        let unusable = |why: String| ConvertError::Unusable { path: path.to_owned(), why };
        let read = |source| ConvertError::Read { path: path.to_owned(), source };
        // Asked before it is opened: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path).map_err(no_input)?;
        if !metadata.is_file() {
            return Err(unusable("is not a regular file".to_owned()));
        }
        let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(no_input)?);
        let reader = Reader::open(file, metadata.len()).map_err(|fault| match fault {
            Fault::Io(source) => read(source),
            fault => unusable(fault.to_string()),
        })?;
        let header = reader.header().clone();
        if header.is_discontinuous() {
            return Err(unusable(format!(
                "{} is discontinuous: what it leaves out has no place in a file of another format. Only +C files can be \
                 converted; split it where it leaves something out",
                header.format.name()
            )));
        }
        if header.record_duration_ns() <= 0 && header.signals.iter().any(|signal| !signal.is_annotations()) {
            return Err(unusable(format!(
                "records of {} s are shorter than a nanosecond",
                header.record_duration_text
            )));
        }
        let mut notes = Vec::new();
        let (mut n_recorded, mut told_by) = (None, "sidecar");
        if reader.format().is_edf() {
            let n_records = n_records(&header, metadata.len(), &mut notes);
            n_recorded = frames_recorded(path, &header, n_records);
            if n_recorded.is_none() {
                told_by = "annotation";
                n_recorded = frames_marked(reader.get_ref().get_ref(), &header, n_records).map_err(read)?;
            }
        }
        let mut input = Input {
            path: path.to_owned(),
            areas: header
                .signal_ranges()
                .filter(|(signal, _)| signal.is_annotations())
                .map(|(_, range)| range)
                .collect(),
            reader,
            header,
            n_recorded: n_recorded.unwrap_or(u64::MAX),
            n_left_out: 0,
            told_by,
            first: None,
            n_taken: 0,
            n_frames: 0,
            start_ns: 0,
            n_annotations: 0,
            notes,
        };
        let mut image = Vec::new();
        if let Some(n_frames) = input.read(&mut image)? {
            input.start_ns = input.onset_ns(&image).unwrap_or(0);
            input.first = Some((image, n_frames));
        }
        Ok(input)
    }

    /// What the header says.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The format, for people.
    pub(super) fn name(&self) -> &'static str {
        match self.reader.format() {
            FileFormat::Csv => "CSV",
            FileFormat::Raw => "raw",
            FileFormat::Bdf | FileFormat::Edf => self.header.format.name(),
        }
    }

    /// Records that were taken.
    pub(super) fn n_records(&self) -> u64 {
        self.n_taken
    }

    /// The onset of the first frame, in nanoseconds from the header's start.
    pub(super) fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// Annotations among the records that were read.
    pub(super) fn n_annotations(&self) -> u64 {
        self.n_annotations
    }

    /// What is to be said about the file.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why OUT cannot hold what is in this file.
    pub(super) fn unusable(&self, why: String) -> ConvertError {
        ConvertError::Unusable { path: self.path.clone(), why }
    }

    /// Adds a line to what is to be said.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The next record, and how many of its frames were recorded. `None` after the last.
    pub(super) fn next(&mut self, image: &mut Vec<u8>) -> Result<Option<usize>, ConvertError> {
        let n_frames = match self.first.take() {
            Some((first, n_frames)) => {
                *image = first;
                Some(n_frames)
            }
            None => self.read(image)?,
        };
        let Some(mut n_frames) = n_frames else { return Ok(None) };
        self.n_taken += 1;
        let left = usize::try_from(self.n_recorded.saturating_sub(self.n_frames)).unwrap_or(usize::MAX);
        if left < n_frames {
            self.n_left_out += (n_frames - left) as u64;
            n_frames = left;
            unmark(&self.header, image, n_frames);
        }
        self.n_frames += n_frames as u64;
        Ok(Some(n_frames))
    }

    /// Says how many frames are not in OUT, once all were taken.
    pub(super) fn note_left_out(&mut self) {
        if self.n_left_out > 0 {
            let (n_frames, told_by) = (self.n_left_out, self.told_by);
            self.note(format!("{n_frames} frames that fill up the last record, as the {told_by} says, are not in it"));
        }
    }

    /// Reads a record; a torn one at the end is noted.
    fn read(&mut self, image: &mut Vec<u8>) -> Result<Option<usize>, ConvertError> {
        match self.reader.next(image) {
            Ok(n_frames) => Ok(n_frames),
            Err(Fault::Io(source)) => Err(ConvertError::Read { path: self.path.clone(), source }),
            Err(Fault::Torn { bytes, .. }) => {
                let n_records = self.reader.n_records();
                self.note(format!("{bytes} bytes after the last of {n_records} records are not in it"));
                Ok(None)
            }
            Err(fault) => Err(self.unusable(fault.to_string())),
        }
    }

    /// Counts the annotations of the record taken last, and checks that it begins when it is due. Whether all of them can
    /// be read, and say when the record begins where they should.
    pub(super) fn annotations(&mut self, image: &[u8]) -> Result<bool, ConvertError> {
        let onset_ns = self.onset_ns(image);
        if let Some(why) = onset_ns.and_then(|onset_ns| self.jump(onset_ns)) {
            return Err(self.unusable(why));
        }
        for area in &self.areas {
            for list in Lists::of(&image[area.clone()]) {
                match list {
                    Ok((_, annotations)) => self.n_annotations += annotations.len() as u64,
                    Err(_) => return Ok(false),
                }
            }
        }
        Ok(onset_ns.is_some() || !self.header.format.is_plus() || self.areas.is_empty())
    }

    /// The onset that a record gives itself: the first list of the first area keeps the time (EDF+ 2.2.4).
    fn onset_ns(&self, image: &[u8]) -> Option<i64> {
        let area = self.areas.first().filter(|_| self.header.format.is_plus())?;
        Lists::of(&image[area.clone()]).next()?.ok()?.0
    }

    /// Whether the record taken last begins a sample or more beside its time: then the file says +C and is none.
    #[allow(clippy::cast_possible_truncation, reason = "a number of samples has eight digits")]
    fn jump(&self, onset_ns: i64) -> Option<String> {
        let duration_ns = i128::from(self.header.record_duration_ns());
        let data = self.header.signals.iter().filter(|signal| !Signal::is_annotations(signal));
        let n_samples = data.map(|signal| signal.samples_per_record as i128).max()?;
        let index = self.n_taken.saturating_sub(1);
        let due_ns = i128::from(self.start_ns) + duration_ns * i128::from(index);
        let late_ns = (i128::from(onset_ns) - due_ns).abs();
        (late_ns * n_samples >= duration_ns).then(|| {
            format!(
                "record {index} says that it begins at {} s, {} s is due: the file says {} and leaves something out. Split it \
                 there; only files without a hole can be converted",
                format_ns(onset_ns),
                i64::try_from(due_ns).map_or("more".to_owned(), format_ns),
                self.header.format.name()
            )
        })
    }
}

/// How many frames of a BDF or EDF file were recorded. The recorder fills the last record up, and its sidecar beside the
/// file says where the data ends; `None` where there is none that speaks of this file.
fn frames_recorded(path: &Path, header: &Header, n_records: u64) -> Option<u64> {
    #[derive(Deserialize)]
    struct Sidecar {
        state: String,
        frames_written: u64,
    }
    let n_frames = n_records.saturating_mul(record_frames(header).ok()? as u64);
    let beside = path.with_extension("json");
    let text = beside.is_file().then(|| read_sidecar(&beside).ok())??;
    let sidecar = serde_json::from_slice::<serde_json::Value>(&text).ok()?;
    let is_of_it = Names::of(path).is_some_and(|names| names.are_spoken_of(&sidecar));
    let Sidecar { state, frames_written } = serde_json::from_value(sidecar).ok()?;
    (is_of_it && state != "recording" && frames_written <= n_frames).then_some(frames_written)
}

/// The same as the file says it, where it was converted from one whose last record was short: only records at its end count,
/// each after the first of them filled up from its first frame on.
fn frames_marked(file: &File, header: &Header, n_records: u64) -> std::io::Result<Option<u64>> {
    let area = header.signal_ranges().find(|(signal, _)| signal.is_annotations()).map(|(_, range)| range);
    let (Ok(per_record), Some(range)) = (record_frames(header), area) else { return Ok(None) };
    let mut area = Vec::new();
    for index in (0..n_records).rev() {
        let record = header.header_bytes() + index * header.record_bytes() as u64;
        area.resize(range.len(), 0);
        file.read_exact_at(&mut area, record + range.start as u64)?;
        match marked(header, &area) {
            Some(0) if index > 0 => {}
            Some(n_frames) => return Ok(Some(index * per_record as u64 + n_frames as u64)),
            None if index + 1 == n_records => return Ok(None),
            None => return Ok(Some((index + 1) * per_record as u64)),
        }
    }
    Ok(None)
}

/// How many records are read of a file of `file_bytes`; notes when that is not what the header says.
fn n_records(header: &Header, file_bytes: u64, notes: &mut Vec<String>) -> u64 {
    let whole = header.records_in(file_bytes);
    let n_records = header.n_records.unwrap_or(whole).min(whole);
    let rest_bytes =
        file_bytes.saturating_sub(header.header_bytes()).saturating_sub(n_records * header.record_bytes() as u64);
    match header.n_records {
        Some(said) if said > whole => {
            notes.push(format!(
                "damaged: the header counts {said} records, {whole} are whole; only those were converted"
            ));
        }
        None => notes.push("the number of records is -1: the recorder did not finish the file".to_owned()),
        Some(_) => {}
    }
    if rest_bytes > 0 {
        notes.push(format!("{rest_bytes} bytes after the last of {n_records} records are not in it"));
    }
    n_records
}
