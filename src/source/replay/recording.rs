//! A recording on the disk: opened, checked, and read one record after the other. All that can be refused is
//! refused when it is opened; after that only the disk can fail.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::channels::channel;
use crate::block::Stream;
use crate::edf::{Annotation, Header, Lists, decode};
use crate::format::{Fault, Reader};
use crate::source::SourceError;

/// A recording that can be replayed: continuous, and all of its signals at one rate.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    reader: Reader<BufReader<File>>,
    header: Header,
    n_records: u64,
    n_frames: u64,
    frames_per_record: usize,
    /// Where each channel's samples stand within a record.
    channels: Vec<Range<usize>>,
    /// Where annotations stand within a record.
    annotations: Vec<Range<usize>>,
    /// The record read last, and how many frames it has.
    record: Vec<u8>,
    record_frames: usize,
    /// The samples of one channel within a piece, on their way into frames.
    column: Vec<i32>,
    /// The onset that the first record gives itself: what the file counts as time 0 of its frames.
    start_onset_ns: i64,
}

impl Recording {
    /// Opens the file and checks all that its header says.
    ///
    /// Logs one line when the file holds another number of records than its header says, or a torn one at the end:
    /// whole records are replayed, at most as many as the header says.
    ///
    /// # Errors
    /// [`SourceError`] with the reason: the file cannot be read, is no EDF or BDF, is discontinuous (`+D`), has
    /// signals of different rates or none at all, or holds no whole record.
    pub fn open(path: &Path) -> Result<Recording, SourceError> {
        let io = |error: io::Error| SourceError::of_io(path, error);
        let unusable = |why: String| SourceError::Unusable { path: path.to_owned(), why };
        // Asked before it is opened: opening a named pipe would wait for a writer.
        let metadata = fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(unusable("is not a regular file".to_owned()));
        }
        let file = File::open(path).map_err(io)?;
        let fault = |fault| match fault {
            Fault::Io(error) => io(error),
            fault => unusable(fault.to_string()),
        };
        let mut reader = Reader::open(BufReader::with_capacity(1 << 16, file), metadata.len()).map_err(fault)?;
        let header = reader.header().clone();
        let frames_per_record = frames_per_record(&header).map_err(unusable)?;
        let (n_records, n_frames) = if reader.format().is_edf() {
            let n_records = n_records(path, &header, metadata.len()).map_err(unusable)?;
            (n_records, n_records * frames_per_record as u64)
        } else {
            count(path, &mut reader).map_err(fault)?
        };
        if n_frames == 0 {
            return Err(unusable("holds no frame".to_owned()));
        }
        let ranges = |of_annotations: bool| {
            let of_kind = header.signal_ranges().filter(|(signal, _)| signal.is_annotations() == of_annotations);
            of_kind.map(|(_, range)| range).collect()
        };
        let mut recording = Recording {
            path: path.to_owned(),
            channels: ranges(false),
            annotations: if header.format.is_plus() { ranges(true) } else { Vec::new() },
            record: Vec::new(),
            record_frames: 0,
            column: Vec::new(),
            start_onset_ns: 0,
            reader,
            header,
            n_records,
            n_frames,
            frames_per_record,
        };
        recording.rewind().and_then(|()| recording.read_record()).map_err(io)?;
        recording.start_onset_ns = recording.own_onset_ns().unwrap_or(0);
        recording.rewind().map_err(io)?;
        Ok(recording)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the header says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Frames per second.
    #[must_use]
    pub fn rate_hz(&self) -> f64 {
        self.frames_per_record as f64 / self.header.record_duration_s
    }

    /// Frames in the whole recording.
    #[must_use]
    pub fn n_frames(&self) -> u64 {
        self.n_frames
    }

    /// The stream of its codes, in blocks of at most `block_frames_max` frames.
    #[must_use]
    pub fn stream(&self, block_frames_max: usize) -> Stream {
        let signals = self.header.signals.iter().filter(|signal| !signal.is_annotations());
        Stream {
            rate_hz: self.rate_hz(),
            channels: signals.map(channel).collect(),
            block_frames_max: block_frames_max.max(1),
            ratio: 1,
            delay_s: 0.0,
        }
    }

    /// Reads all of it, channel by channel, in microvolts where a channel's unit is a voltage, else in its own unit.
    ///
    /// # Errors
    /// When the disk fails.
    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the arithmetic before it is f64")]
    pub fn read_all(&mut self) -> io::Result<Vec<Vec<f32>>> {
        let shown: Vec<_> = self.stream(1).channels.iter().map(crate::block::Channel::in_microvolts).collect();
        let mut samples = vec![Vec::new(); self.n_channels()];
        let mut codes = vec![0; self.frames_per_record * self.n_channels()];
        self.rewind()?;
        for _ in 0..self.n_records {
            self.read_record()?;
            let codes = &mut codes[..self.record_frames * shown.len()];
            self.frames(0, codes);
            for frame in codes.chunks_exact(shown.len()) {
                for ((samples, channel), code) in samples.iter_mut().zip(&shown).zip(frame) {
                    samples.push((f64::from(*code) * channel.scale() + channel.offset()) as f32);
                }
            }
        }
        Ok(samples)
    }

    pub(super) fn n_channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Frames of a whole record.
    pub(super) fn frames_per_record(&self) -> usize {
        self.frames_per_record
    }

    /// Frames of the record read last.
    pub(super) fn record_frames(&self) -> usize {
        self.record_frames
    }

    /// Goes back to the first record.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        let mut file = self.reader.get_ref().get_ref();
        file.seek(SeekFrom::Start(0))?;
        let n_bytes = file.metadata()?.len();
        let file = BufReader::with_capacity(1 << 16, file.try_clone()?);
        self.reader = Reader::open(file, n_bytes).map_err(as_io)?;
        Ok(())
    }

    /// Reads the next record from the disk.
    pub(super) fn read_record(&mut self) -> io::Result<()> {
        match self.reader.next(&mut self.record).map_err(as_io)? {
            Some(n_frames) => self.record_frames = n_frames,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }

    /// Gives the annotations of the record read last to `take`. An area that is damaged is left where the damage begins,
    /// with one log line.
    pub(super) fn read_annotations(&self, mut take: impl FnMut(Annotation)) {
        for range in &self.annotations {
            for list in Lists::of(&self.record[range.clone()]) {
                match list {
                    Ok((_, annotations)) => annotations.into_iter().for_each(&mut take),
                    Err(error) => tracing::warn!("{}: some annotations cannot be read: {error}", self.path.display()),
                }
            }
        }
    }

    /// The onset that the record read last gives itself: the first list of the first area keeps the time (EDF+
    /// specification 2.2.4).
    fn own_onset_ns(&self) -> Option<i64> {
        Lists::of(&self.record[self.annotations.first()?.clone()]).next()?.ok()?.0
    }

    /// The frame on which `onset_ns` of this file falls, and the nanoseconds from that frame to the onset. What
    /// lies before the first frame is put on it, with a negative rest.
    pub(super) fn frame_at(&self, onset_ns: i64) -> (u64, i64) {
        let since_start_ns = onset_ns.saturating_sub(self.start_onset_ns);
        let (per_record, record_ns) = (self.frames_per_record as i128, i128::from(self.header.record_duration_ns()));
        let frame = u64::try_from(i128::from(since_start_ns) * per_record / record_ns).unwrap_or(0);
        // Both ways of the road round to the nearest nanosecond: what is taken off here is what a recorder adds.
        let frame_ns = |frame: u64| nearest_ns(frame as f64 / self.rate_hz());
        let frame = if frame_ns(frame) > since_start_ns { frame.saturating_sub(1) } else { frame };
        (frame, since_start_ns - frame_ns(frame))
    }

    /// Turns the samples of the record read last into frames: those from `first_frame` of the record on, as many as
    /// `codes` has room for (frame-major, whole frames).
    ///
    /// Fast because it is called for a piece of the record, not for all of it: what is read and what is written stay in
    /// the nearest cache while the channels are brought side by side (`feed`, `piece_frames`).
    pub(super) fn frames(&mut self, first_frame: usize, codes: &mut [i32]) {
        let (n_channels, width) = (self.channels.len(), self.header.bytes_per_sample());
        let n_frames = codes.len() / n_channels;
        self.column.resize(n_frames, 0);
        for (index, range) in self.channels.iter().enumerate() {
            let start = range.start + first_frame * width;
            decode(width, &self.record[start..start + n_frames * width], &mut self.column);
            for (frame, code) in codes.chunks_exact_mut(n_channels).zip(&self.column) {
                frame[index] = *code;
            }
        }
    }
}

/// A fault of a file that was well when it was opened.
fn as_io(fault: Fault) -> io::Error {
    match fault {
        Fault::Io(error) => error,
        Fault::Torn { .. } => io::ErrorKind::UnexpectedEof.into(),
        fault => io::Error::other(fault.to_string()),
    }
}

/// Records and frames of a CSV or raw file, which are known when it has been read. A torn record at the end is left out.
fn count(path: &Path, reader: &mut Reader<BufReader<File>>) -> Result<(u64, u64), Fault> {
    let mut record = Vec::new();
    loop {
        match reader.next(&mut record) {
            Ok(Some(_)) => {}
            Err(Fault::Torn { bytes, .. }) => {
                let n_records = reader.n_records();
                tracing::warn!("{}: {bytes} bytes after the last of {n_records} records are ignored", path.display());
                break;
            }
            Ok(None) => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok((reader.n_records(), reader.n_frames()))
}

/// The longest record that is replayed. Sleep stages come in records of 30 s; a header that says a day or more lies, and
/// times counted in it would overflow.
const RECORD_S_MAX: f64 = 86_400.0;

#[allow(clippy::cast_possible_truncation, reason = "292 years of nanoseconds fit i64; the cast saturates")]
fn nearest_ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// Checks that the signals make frames of one rate; how many of them a record holds.
fn frames_per_record(header: &Header) -> Result<usize, String> {
    if header.is_discontinuous() {
        return Err(format!("{} is discontinuous and cannot be replayed, only +C files can", header.format.name()));
    }
    let mut signals = header.signals.iter().filter(|signal| !signal.is_annotations());
    let first = signals.next().ok_or("holds annotations and no signals, there is nothing to replay")?;
    if let Some(other) = signals.find(|signal| signal.samples_per_record != first.samples_per_record) {
        return Err(format!(
            "signals must have one rate: `{}` has {} samples per record, `{}` has {}",
            first.label, first.samples_per_record, other.label, other.samples_per_record
        ));
    }
    if header.record_duration_ns() <= 0 {
        return Err(format!("records of {} s are shorter than a nanosecond", header.record_duration_text));
    }
    if header.record_duration_s > RECORD_S_MAX {
        return Err(format!("records of {} s are longer than a day", header.record_duration_text));
    }
    Ok(first.samples_per_record)
}

/// How many records to replay of a file of `file_bytes`; says so when that is not what the header says.
fn n_records(path: &Path, header: &Header, file_bytes: u64) -> Result<u64, String> {
    let whole = header.records_in(file_bytes);
    if whole == 0 || header.n_records == Some(0) {
        return Err("holds no whole data record".to_owned());
    }
    let n_records = header.n_records.unwrap_or(whole).min(whole);
    let rest_bytes = file_bytes - header.header_bytes() - n_records * header.record_bytes() as u64;
    let path = path.display();
    match header.n_records {
        Some(said) if said > whole => {
            tracing::warn!("{path}: the header says {said} records, {whole} are whole; {rest_bytes} bytes are ignored");
        }
        _ if rest_bytes > 0 => {
            tracing::warn!("{path}: {rest_bytes} bytes after the last of {n_records} records are ignored");
        }
        _ => {}
    }
    Ok(n_records)
}
