//! Bytes to a header. The bytes may be anything: whatever they say is checked before it is believed.

use std::io::Read;

use super::decimal::parse_number;
use super::{EdfError, Format, Header, Place, RECORD_BYTES_MAX, SIGNALS_MAX, Signal};

/// The fixed part and, for each signal, its part of the rest.
const PART_BYTES: usize = 256;

impl Header {
    /// Reads a header from the start of a file and leaves `input` at the first data record.
    ///
    /// A micro sign in a unit (latin-1 or UTF-8), common in the wild, is read as `u`; other bytes outside printable
    /// ASCII are refused.
    ///
    /// # Errors
    /// [`EdfError`] says which byte, field and signal is wrong and what would be right.
    pub fn read(input: &mut impl Read) -> Result<Header, EdfError> {
        let mut bytes = Vec::new();
        fill(input, &mut bytes, PART_BYTES)?;
        let fields = Fields { bytes: &bytes };
        let mut version = [0; 8];
        version.copy_from_slice(&bytes[..8]);
        let reserved = String::from_utf8_lossy(&bytes[192..236]).into_owned();
        let format = Format::of(&version, &reserved).ok_or(EdfError::NotEdf)?;
        let must_signals = format!("a whole number from 1 to {SIGNALS_MAX}");
        let n_signals = fields.whole(252, 4, "number of signals", None, 1..=SIGNALS_MAX as i64, &must_signals)?;
        let n_signals = usize::try_from(n_signals).unwrap_or(SIGNALS_MAX);
        let header_bytes = PART_BYTES * (n_signals + 1);
        let must_bytes = format!("256 * (number of signals + 1) = {header_bytes}");
        let allowed = header_bytes as i64..=header_bytes as i64;
        fields.whole(184, 8, "number of bytes in the header", None, allowed, &must_bytes)?;
        // Only now is more memory asked for, and no more than the file has bytes.
        fill(input, &mut bytes, header_bytes)?;
        parse(&bytes, format, n_signals)
    }
}

/// Reads until `bytes` holds `expected`.
fn fill(input: &mut impl Read, bytes: &mut Vec<u8>, expected: usize) -> Result<(), EdfError> {
    let missing = (expected - bytes.len()) as u64;
    input.by_ref().take(missing).read_to_end(bytes).map_err(EdfError::Io)?;
    if bytes.len() < expected {
        return Err(EdfError::Truncated { found: bytes.len(), expected });
    }
    Ok(())
}

fn parse(bytes: &[u8], format: Format, n_signals: usize) -> Result<Header, EdfError> {
    let fields = Fields { bytes };
    let n_records = fields.whole(
        236,
        8,
        "number of data records",
        None,
        -1..=99_999_999,
        "a whole number, or -1 while the recording runs",
    )?;
    let signals =
        (0..n_signals).map(|index| signal(&fields, format, n_signals, index)).collect::<Result<Vec<_>, _>>()?;
    let (record_duration_text, record_duration_s) = fields.number(244, 8, "duration of a data record", None)?;
    // EDF+ (2.1.3): zero where a file has annotations and nothing else.
    let zero_is_right = signals.iter().all(Signal::is_annotations);
    if !(record_duration_s > 0.0 || (record_duration_s == 0.0 && zero_is_right)) {
        let place = Place { field: "duration of a data record", signal: None, at: 244 };
        return Err(EdfError::OutOfRange { place, text: record_duration_text, must: "above 0 seconds".to_owned() });
    }
    let header = Header {
        format,
        patient: fields.text(8, 80, "patient identification", None)?,
        recording: fields.text(88, 80, "recording identification", None)?,
        start_date: fields.text(168, 8, "start date", None)?,
        start_time: fields.text(176, 8, "start time", None)?,
        n_records: u64::try_from(n_records).ok(),
        record_duration_s,
        record_duration_text,
        signals,
    };
    let record_bytes = header.record_bytes() as u64;
    if record_bytes > RECORD_BYTES_MAX {
        return Err(EdfError::RecordTooLarge { bytes: record_bytes, max: RECORD_BYTES_MAX });
    }
    Ok(header)
}

fn signal(fields: &Fields<'_>, format: Format, n_signals: usize, index: usize) -> Result<Signal, EdfError> {
    // The header holds one field of all signals, then the next field of all signals: `before` is the width of the
    // fields before this one.
    let at = |before: usize, width: usize| PART_BYTES + before * n_signals + width * index;
    let here = Some(index);
    let label = fields.text(at(0, 16), 16, "label", here)?;
    let (low, high) = format.code_limits();
    let codes = i64::from(low)..=i64::from(high);
    let must = format!("a whole number from {low} to {high}");
    let digital_min = fields.whole(at(120, 8), 8, "digital minimum", here, codes.clone(), &must)?;
    let digital_max = fields.whole(at(128, 8), 8, "digital maximum", here, codes, &must)?;
    let must_samples = "a whole number from 1 to 99999999";
    let n_samples = fields.whole(at(216, 8), 8, "samples per data record", here, 1..=99_999_999, must_samples)?;
    let (_, physical_min) = fields.number(at(104, 8), 8, "physical minimum", here)?;
    let (physical_max_text, physical_max) = fields.number(at(112, 8), 8, "physical maximum", here)?;
    let signal = Signal {
        label,
        transducer: fields.text(at(16, 80), 80, "transducer type", here)?,
        unit: fields.unit(at(96, 8), here)?,
        physical_min,
        physical_max,
        digital_min: i32::try_from(digital_min).unwrap_or(low),
        digital_max: i32::try_from(digital_max).unwrap_or(high),
        prefilter: fields.text(at(136, 80), 80, "prefiltering", here)?,
        samples_per_record: usize::try_from(n_samples).unwrap_or(usize::MAX),
    };
    // Nobody scales annotations, and some writers leave their ranges empty of sense.
    if signal.is_annotations() {
        return Ok(signal);
    }
    if digital_min >= digital_max {
        let place = Place { field: "digital maximum", signal: here, at: at(128, 8) };
        let must = format!("above the digital minimum, {digital_min}");
        return Err(EdfError::OutOfRange { place, text: digital_max.to_string(), must });
    }
    // A range of no width would divide by zero later; a reversed one is legal (EDF, polarity).
    if physical_min == physical_max {
        let place = Place { field: "physical maximum", signal: here, at: at(112, 8) };
        let must = "different from the physical minimum".to_owned();
        return Err(EdfError::OutOfRange { place, text: physical_max_text, must });
    }
    Ok(signal)
}

/// The header's bytes, read field by field. Every range asked for lies within `bytes`.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl Fields<'_> {
    /// Printable ASCII without the padding: spaces, or the NULs that some writers use.
    fn text(&self, at: usize, width: usize, field: &'static str, signal: Option<usize>) -> Result<String, EdfError> {
        printable(&self.bytes[at..at + width], Place { field, signal, at })
    }

    /// A unit, in which a micro sign becomes `u`.
    fn unit(&self, at: usize, signal: Option<usize>) -> Result<String, EdfError> {
        let mut unit = Vec::with_capacity(8);
        for &byte in &self.bytes[at..at + 8] {
            match byte {
                // Latin-1, or the second byte of UTF-8, whose first is 0xC2.
                0xB5 => {
                    if unit.last() == Some(&0xC2) {
                        unit.pop();
                    }
                    unit.push(b'u');
                }
                other => unit.push(other),
            }
        }
        printable(&unit, Place { field: "physical dimension", signal, at })
    }

    fn number(
        &self,
        at: usize,
        width: usize,
        field: &'static str,
        signal: Option<usize>,
    ) -> Result<(String, f64), EdfError> {
        let text = self.text(at, width, field, signal)?;
        let place = Place { field, signal, at };
        match parse_number(&text) {
            Some(number) => Ok((text, number)),
            None => Err(EdfError::NotANumber { place, text }),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "a whole number of at most eight characters fits i64")]
    fn whole(
        &self,
        at: usize,
        width: usize,
        field: &'static str,
        signal: Option<usize>,
        allowed: std::ops::RangeInclusive<i64>,
        must: &str,
    ) -> Result<i64, EdfError> {
        let (text, number) = self.number(at, width, field, signal)?;
        if number.fract() == 0.0 && allowed.contains(&(number as i64)) {
            return Ok(number as i64);
        }
        Err(EdfError::OutOfRange { place: Place { field, signal, at }, text, must: must.to_owned() })
    }
}

fn printable(bytes: &[u8], place: Place) -> Result<String, EdfError> {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    if let Some(offset) = bytes[..end].iter().position(|byte| !(32..=126).contains(byte)) {
        let place = Place { at: place.at + offset, ..place };
        return Err(EdfError::NotAscii { place, byte: bytes[offset] });
    }
    Ok(bytes[..end].iter().map(|byte| char::from(*byte)).collect::<String>().trim_start().to_owned())
}
