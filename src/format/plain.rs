//! BDF and EDF: the image is the record, but for its width. Codes, ranges and all texts stay; annotations are copied byte by
//! byte into an area that is at least as long.

use std::ops::Range;

use super::{FormatError, RecordWriter};
use crate::edf::{Format, Header, RECORD_BYTES_MAX, Signal, decode, encode};

/// The number of data records stands here in the header.
const COUNT_AT: u64 = 236;

/// What its eight characters can count.
const RECORDS_MAX: u64 = 99_999_999;

/// Samples that are on their way at once.
const PIECE_SAMPLES: usize = 4096;

/// Writes BDF or EDF.
#[derive(Debug)]
pub(super) struct Writer {
    header: Header,
    bytes: Vec<u8>,
    /// Bytes per sample of the image.
    width: usize,
    places: Vec<Place>,
    /// The record where the image has another width.
    record: Vec<u8>,
    n_records: u64,
}

/// Where a signal stands in the image and in the record.
#[derive(Debug)]
struct Place {
    from: Range<usize>,
    to: Range<usize>,
}

impl Writer {
    /// 24 bits where `is_bdf`, else 16.
    pub(super) fn new(from: &Header, is_bdf: bool) -> Result<Writer, FormatError> {
        let header = header(from, is_bdf).map_err(FormatError)?;
        let mut bytes = Vec::new();
        let written = header.write(&mut bytes);
        let name = header.format.name();
        written.map_err(|error| FormatError(format!("its header cannot be written as {name}: {error}")))?;
        let ranges = from.signal_ranges().zip(header.signal_ranges());
        let places = ranges.map(|((_, from), (_, to))| Place { from, to }).collect();
        Ok(Writer { width: from.bytes_per_sample(), places, record: Vec::new(), n_records: 0, bytes, header })
    }
}

impl RecordWriter for Writer {
    fn header(&self) -> &[u8] {
        &self.bytes
    }

    fn record<'a>(&'a mut self, image: &'a [u8], _n_frames: usize) -> Result<&'a [u8], FormatError> {
        self.n_records += 1;
        let to_width = self.header.bytes_per_sample();
        if self.width == to_width {
            return Ok(image);
        }
        self.record.resize(self.header.record_bytes(), 0);
        for (index, (place, signal)) in self.places.iter().zip(&self.header.signals).enumerate() {
            let (from, to) = (&image[place.from.clone()], &mut self.record[place.to.clone()]);
            if signal.is_annotations() {
                // The last record's annotations may have reached further.
                let (copied, rest) = to.split_at_mut(from.len());
                copied.copy_from_slice(from);
                rest.fill(0);
                continue;
            }
            transcode((self.width, from), (to_width, to)).map_err(|(sample, code)| {
                let Signal { label, digital_min, digital_max, .. } = signal;
                FormatError(format!(
                    "record {}, sample {sample} of signal {index}, `{label}`: the code {code} is outside of the header's \
                     range, {digital_min} to {digital_max}, and wider than the 16 bits of EDF; .bdf, .csv and .raw hold it",
                    self.n_records - 1
                ))
            })?;
        }
        Ok(&self.record)
    }

    fn count(&self, n_records: u64) -> Result<Option<(u64, [u8; 8])>, FormatError> {
        if n_records > RECORDS_MAX {
            return Err(FormatError(format!("it is full: {RECORDS_MAX} records")));
        }
        let mut count = [b' '; 8];
        let text = n_records.to_string();
        count[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Some((COUNT_AT, count)))
    }

    fn record_bytes_max(&self) -> u64 {
        self.header.record_bytes() as u64
    }
}

/// The header of the file.
fn header(from: &Header, is_bdf: bool) -> Result<Header, String> {
    let format = match (is_bdf, from.format.is_plus()) {
        (true, true) => Format::BdfPlusC,
        (true, false) => Format::Bdf,
        (false, true) => Format::EdfPlusC,
        (false, false) => Format::Edf,
    };
    let (low, high) = format.code_limits();
    let is_wide = |signal: &Signal| !signal.is_annotations() && (signal.digital_min < low || signal.digital_max > high);
    if let Some(index) = from.signals.iter().position(is_wide) {
        let Signal { label, digital_min, digital_max, .. } = &from.signals[index];
        let n_wide = from.signals.iter().filter(|signal| is_wide(signal)).count();
        let others = match n_wide - 1 {
            0 => String::new(),
            1 => ", and so is another one".to_owned(),
            n_others => format!(", and so are {n_others} others"),
        };
        return Err(format!(
            "signal {index}, `{label}`, has codes from {digital_min} to {digital_max}, wider than the 16 bits of EDF, {low} to \
             {high}{others}; .bdf, .csv and .raw hold them"
        ));
    }
    let signals = from.signals.iter().map(|signal| match signal.is_annotations() {
        true => Signal {
            label: format.annotations_label().to_owned(),
            digital_min: low,
            digital_max: high,
            samples_per_record: (signal.samples_per_record * from.bytes_per_sample())
                .div_ceil(format.bytes_per_sample()),
            ..signal.clone()
        },
        false => signal.clone(),
    });
    let header = Header { format, signals: signals.collect(), ..from.clone() };
    let record_bytes = header.record_bytes() as u64;
    if record_bytes > RECORD_BYTES_MAX {
        return Err(format!(
            "its data records would have {record_bytes} bytes as {}, and {RECORD_BYTES_MAX} is the most that is read back",
            format.name()
        ));
    }
    Ok(header)
}

/// Codes of one width to codes of another; the sample and its code that is too wide.
fn transcode((width, from): (usize, &[u8]), (to_width, to): (usize, &mut [u8])) -> Result<(), (usize, i32)> {
    let mut codes = [0; PIECE_SAMPLES];
    let pieces = from.chunks(PIECE_SAMPLES * width).zip(to.chunks_mut(PIECE_SAMPLES * to_width));
    for (piece, (from, to)) in pieces.enumerate() {
        decode(width, from, &mut codes);
        encode(to_width, &codes[..from.len() / width], to)
            .map_err(|index| (piece * PIECE_SAMPLES + index, codes[index]))?;
    }
    Ok(())
}
