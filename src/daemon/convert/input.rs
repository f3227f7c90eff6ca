//! IN: opened, checked, and read one record after the other.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConvertError;
use super::annotations::Lists;
use crate::edf::{Annotation, EdfError, Header, Signal, TalError, format_ns};
use crate::sink::recorder::read_sidecar;

/// A continuous recording.
#[derive(Debug)]
pub(super) struct Input {
    path: PathBuf,
    file: BufReader<File>,
    header: Header,
    n_records: u64,
    /// Records that were read.
    n_read: u64,
    /// The record read last.
    record: Vec<u8>,
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
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(no_input)?);
        let header = Header::read(&mut file).map_err(|error| match error {
            EdfError::Io(source) => read(source),
            error => unusable(error.to_string()),
        })?;
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
        let n_records = n_records(&header, metadata.len(), &mut notes);
        let mut input = Input {
            path: path.to_owned(),
            // At most RECORD_BYTES_MAX, and only where the file has as much.
            record: vec![0; if n_records > 0 { header.record_bytes() } else { 0 }],
            areas: header
                .signal_ranges()
                .filter(|(signal, _)| signal.is_annotations())
                .map(|(_, range)| range)
                .collect(),
            file,
            header,
            n_records,
            n_read: 0,
            start_ns: 0,
            n_annotations: 0,
            notes,
        };
        if n_records > 0 {
            input.file.read_exact(&mut input.record).map_err(read)?;
            input.start_ns = input.onset_ns().unwrap_or(0);
            input.file.seek(SeekFrom::Start(input.header.header_bytes())).map_err(read)?;
        }
        Ok(input)
    }

    /// What the header says.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Whole records, at most as many as the header says.
    pub(super) fn n_records(&self) -> u64 {
        self.n_records
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

    /// The record read last.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Why OUT cannot hold what is in this file.
    pub(super) fn unusable(&self, why: String) -> ConvertError {
        ConvertError::Unusable { path: self.path.clone(), why }
    }

    /// Adds a line to what is to be said.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Reads the next record and returns its number; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<u64>, ConvertError> {
        if self.n_read == self.n_records {
            return Ok(None);
        }
        let read = self.file.read_exact(&mut self.record);
        read.map_err(|source| ConvertError::Read { path: self.path.clone(), source })?;
        self.n_read += 1;
        Ok(Some(self.n_read - 1))
    }

    /// Gives the annotations of the record read last to `take`, and checks that it begins when it is due. The outer error
    /// is the end of all; the inner one says which bytes are no annotations.
    pub(super) fn annotations(
        &mut self,
        mut take: impl FnMut(Annotation) -> Result<(), ConvertError>,
    ) -> Result<Result<(), TalError>, ConvertError> {
        if let Some(why) = self.onset_ns().and_then(|onset_ns| self.jump(onset_ns)) {
            return Err(self.unusable(why));
        }
        for area in &self.areas {
            for list in Lists::of(&self.record[area.clone()]) {
                match list {
                    Ok((_, annotations)) => {
                        self.n_annotations += annotations.len() as u64;
                        annotations.into_iter().try_for_each(&mut take)?;
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// The onset that the record read last gives itself: the first list of the first area keeps the time (EDF+ 2.2.4).
    fn onset_ns(&self) -> Option<i64> {
        let area = self.areas.first().filter(|_| self.header.format.is_plus())?;
        Lists::of(&self.record[area.clone()]).next()?.ok()?.0
    }

    /// Whether the record read last begins a sample or more beside its time: then the file says +C and is none.
    #[allow(clippy::cast_possible_truncation, reason = "a number of samples has eight digits")]
    fn jump(&self, onset_ns: i64) -> Option<String> {
        let duration_ns = i128::from(self.header.record_duration_ns());
        let data = self.header.signals.iter().filter(|signal| !Signal::is_annotations(signal));
        let n_samples = data.map(|signal| signal.samples_per_record as i128).max()?;
        let index = self.n_read.saturating_sub(1);
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

    /// How many of `n_frames` frames were recorded. The recorder fills the last record up, and its sidecar beside the file
    /// says where the data ends; whatever else it says or is, all frames count.
    pub(super) fn frames_recorded(&self, n_frames: u64) -> u64 {
        #[derive(Deserialize)]
        struct Sidecar {
            state: String,
            frames_written: u64,
        }
        let path = self.path.with_extension("json");
        if !path.is_file() {
            return n_frames;
        }
        let Ok(text) = read_sidecar(&path) else { return n_frames };
        let per_record = n_frames / self.n_records.max(1);
        match serde_json::from_slice::<Sidecar>(&text) {
            Ok(Sidecar { state, frames_written }) if state != "recording" && n_frames > 0 => {
                let within_last = n_frames - per_record < frames_written && frames_written < n_frames;
                if within_last { frames_written } else { n_frames }
            }
            _ => n_frames,
        }
    }
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
