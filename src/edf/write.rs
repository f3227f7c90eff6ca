//! A header to bytes. What does not fit exactly is refused, never rounded: a wrong scale would go unnoticed.

use std::io::Write;

use super::decimal::parse_number;
use super::{EdfError, Header, Place, Signal, exact_in};

/// One field of the part of the header that belongs to signals: its name, its width, its text.
type SignalField = (&'static str, usize, fn(&Signal) -> Result<String, String>);

/// In the order of the file.
const SIGNAL_FIELDS: [SignalField; 10] = [
    ("label", 16, |signal| Ok(signal.label.clone())),
    ("transducer type", 80, |signal| Ok(signal.transducer.clone())),
    ("physical dimension", 8, |signal| Ok(signal.unit.clone())),
    ("physical minimum", 8, |signal| number(signal.physical_min)),
    ("physical maximum", 8, |signal| number(signal.physical_max)),
    ("digital minimum", 8, |signal| Ok(signal.digital_min.to_string())),
    ("digital maximum", 8, |signal| Ok(signal.digital_max.to_string())),
    ("prefiltering", 80, |signal| Ok(signal.prefilter.clone())),
    ("samples per data record", 8, |signal| Ok(signal.samples_per_record.to_string())),
    ("reserved", 32, |_| Ok(String::new())),
];

impl Header {
    /// Writes the header, `header_bytes()` long.
    ///
    /// # Errors
    /// [`EdfError::DoesNotFit`] and [`EdfError::NotAscii`] name the field whose value cannot be written as it is;
    /// [`EdfError::Io`] when `output` refuses. In the first two cases nothing was written.
    pub fn write(&self, output: &mut impl Write) -> Result<(), EdfError> {
        let mut bytes = self.format.version().to_vec();
        let n_records = self.n_records.map_or("-1".to_owned(), |n| n.to_string());
        let duration_is_exact = parse_number(&self.record_duration_text) == Some(self.record_duration_s);
        let duration = if duration_is_exact { Ok(self.record_duration_text.clone()) } else { Err(self.duration()) };
        for (field, width, text) in [
            ("patient identification", 80, Ok(self.patient.clone())),
            ("recording identification", 80, Ok(self.recording.clone())),
            ("start date", 8, Ok(self.start_date.clone())),
            ("start time", 8, Ok(self.start_time.clone())),
            ("number of bytes in the header", 8, Ok(self.header_bytes().to_string())),
            ("reserved", 44, Ok(self.format.reserved().to_owned())),
            ("number of data records", 8, Ok(n_records)),
            ("duration of a data record", 8, duration),
            ("number of signals", 4, Ok(self.signals.len().to_string())),
        ] {
            put(&mut bytes, width, text, Place { field, signal: None, at: 0 })?;
        }
        for (field, width, text) in SIGNAL_FIELDS {
            for (index, signal) in self.signals.iter().enumerate() {
                put(&mut bytes, width, text(signal), Place { field, signal: Some(index), at: 0 })?;
            }
        }
        output.write_all(&bytes).map_err(EdfError::Io)
    }

    /// Both durations, where they disagree.
    fn duration(&self) -> String {
        format!("{} for {} s", self.record_duration_text, self.record_duration_s)
    }
}

/// The text of a number, or, when eight characters do not hold it exactly, what was to be written.
fn number(value: f64) -> Result<String, String> {
    exact_in(8, value).ok_or_else(|| value.to_string())
}

/// Appends a field, padded with spaces; its place is where `bytes` ends.
fn put(bytes: &mut Vec<u8>, width: usize, text: Result<String, String>, place: Place) -> Result<(), EdfError> {
    let place = Place { at: bytes.len(), ..place };
    let text = text.map_err(|text| EdfError::DoesNotFit { place, text, width })?;
    if let Some(offset) = text.bytes().position(|byte| !(32..=126).contains(&byte)) {
        let place = Place { at: place.at + offset, ..place };
        return Err(EdfError::NotAscii { place, byte: text.as_bytes()[offset] });
    }
    if text.len() > width {
        return Err(EdfError::DoesNotFit { place, text, width });
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(place.at + width, b' ');
    Ok(())
}
