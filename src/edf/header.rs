//! What a header says, as values.

use jiff::civil::{Date, DateTime};

use super::{Format, parse_ns};

/// The number of signals has four characters.
pub const SIGNALS_MAX: usize = 9999;

/// The largest data record that is read: four times what EDFlib takes (15 MiB), so that any file in use passes, and
/// small enough that a header that lies cannot cost the reader its memory.
pub const RECORD_BYTES_MAX: u64 = 64 << 20;

/// What the label of a signal of status words begins with, and its unit: BioSemi's convention for bits that are no
/// measurement. A number may follow.
pub const STATUS_LABEL: &str = "Status";
/// The unit of such a signal.
pub const STATUS_UNIT: &str = "Boolean";

/// The header of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The variant.
    pub format: Format,
    /// Patient identification, at most 80 characters; in the `+` variants `code sex birthdate name`, unknown is `X`.
    pub patient: String,
    /// Recording identification, at most 80 characters; in the `+` variants it starts with `Startdate dd-MMM-yyyy`.
    pub recording: String,
    /// `dd.mm.yy` as written; see [`Header::start`].
    pub start_date: String,
    /// `hh.mm.ss`, local time, as written.
    pub start_time: String,
    /// Data records in the file; `None` is the -1 of a recording that was never finished.
    pub n_records: Option<u64>,
    /// Seconds per data record.
    pub record_duration_s: f64,
    /// The same as the decimal text of at most eight characters that the file holds, which is exact.
    pub record_duration_text: String,
    /// The signals, annotations included, in the order of their samples within a record.
    pub signals: Vec<Signal>,
}

/// One signal of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// At most 16 characters.
    pub label: String,
    /// The sensor, at most 80 characters.
    pub transducer: String,
    /// At most 8 characters.
    pub unit: String,
    /// The physical value of `digital_min`, in `unit`.
    pub physical_min: f64,
    /// The physical value of `digital_max`, in `unit`.
    pub physical_max: f64,
    /// The smallest code.
    pub digital_min: i32,
    /// The largest code.
    pub digital_max: i32,
    /// Filters before the converter, at most 80 characters.
    pub prefilter: String,
    /// Samples of this signal in every data record.
    pub samples_per_record: usize,
}

impl Signal {
    /// Whether its bytes are annotations and not samples.
    #[must_use]
    pub fn is_annotations(&self) -> bool {
        self.label == "EDF Annotations" || self.label == "BDF Annotations"
    }

    /// Whether its samples are status words, bits and no measurement: label `Status`, `Status 1` ..., unit `Boolean`.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.label.starts_with(STATUS_LABEL) && self.unit == STATUS_UNIT
    }

    /// Whether its samples are measurements.
    #[must_use]
    pub fn is_channel(&self) -> bool {
        !self.is_annotations() && !self.is_status()
    }
}

impl Header {
    /// 2 or 3.
    #[must_use]
    pub fn bytes_per_sample(&self) -> usize {
        self.format.bytes_per_sample()
    }

    /// Bytes before the first data record: `256 * (n_signals + 1)`.
    #[must_use]
    pub fn header_bytes(&self) -> u64 {
        256 * (self.signals.len() as u64 + 1)
    }

    /// Bytes of one data record. At most [`RECORD_BYTES_MAX`] in a header that was read.
    #[must_use]
    pub fn record_bytes(&self) -> usize {
        self.signals.iter().map(|signal| signal.samples_per_record).sum::<usize>() * self.bytes_per_sample()
    }

    /// Where the bytes of each signal stand within a data record, in the order of the signals.
    pub fn signal_ranges(&self) -> impl Iterator<Item = (&Signal, std::ops::Range<usize>)> {
        let mut start = 0;
        self.signals.iter().map(move |signal| {
            let range = start..start + signal.samples_per_record * self.format.bytes_per_sample();
            start = range.end;
            (signal, range)
        })
    }

    /// Whole data records in a file of `file_bytes`, whatever the header says about their number.
    #[must_use]
    pub fn records_in(&self, file_bytes: u64) -> u64 {
        file_bytes.saturating_sub(self.header_bytes()) / (self.record_bytes() as u64).max(1)
    }

    /// Whether records may stand apart in time (`+D`).
    #[must_use]
    pub fn is_discontinuous(&self) -> bool {
        self.format.is_discontinuous()
    }

    /// The duration of a record in nanoseconds, exact for every text without an exponent.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates at 292 years")]
    pub fn record_duration_ns(&self) -> i64 {
        parse_ns(&self.record_duration_text).unwrap_or((self.record_duration_s * 1e9).round() as i64)
    }

    /// The local time at which the recording began, to the second: the date of the recording field if it has one
    /// (four digits for the year), else `start_date`, where 85 to 99 is 19xx (EDF+ specification, 2.1.3). `None`
    /// where the fields hold no date, as in files without a patient's traces.
    #[must_use]
    pub fn start(&self) -> Option<DateTime> {
        let [day, month, year] = three_numbers(&self.start_date)?;
        let [hour, minute, second] = three_numbers(&self.start_time)?;
        let year = if year >= 85 { 1900 + year } else { 2000 + year };
        let short = || Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok();
        let date = long_date(&self.recording).or_else(short)?;
        let [hour, minute, second] = [hour, minute, second].map(|part| i8::try_from(part).unwrap_or(i8::MAX));
        let time = jiff::civil::Time::new(hour, minute, second, 0).ok()?;
        Some(date.to_datetime(time))
    }

    /// Writes `start` into `start_date` and `start_time` and returns the `Startdate dd-MMM-yyyy` that the recording
    /// field of a `+` file begins with.
    pub fn set_start(&mut self, start: DateTime) -> String {
        let (day, month, year) = (start.day(), start.month(), start.year());
        self.start_date = format!("{day:02}.{month:02}.{:02}", year.rem_euclid(100));
        self.start_time = format!("{:02}.{:02}.{:02}", start.hour(), start.minute(), start.second());
        let name = usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("JAN");
        format!("Startdate {day:02}-{name}-{year:04}")
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// `dd.mm.yy` or `hh.mm.ss`.
fn three_numbers(text: &str) -> Option<[i16; 3]> {
    let mut parts = text.split('.').map(|part| part.parse::<i16>().ok().filter(|number| (0..100).contains(number)));
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The date of `Startdate dd-MMM-yyyy ...`.
fn long_date(recording: &str) -> Option<Date> {
    let text = recording.strip_prefix("Startdate ")?.split(' ').next()?;
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    Date::new(year.parse().ok()?, i8::try_from(month).ok()?, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_comes_from_the_recording_field_where_it_is() {
        let mut header = Header {
            format: Format::BdfPlusC,
            patient: String::new(),
            recording: String::new(),
            start_date: "02.03.85".to_owned(),
            start_time: "23.59.58".to_owned(),
            n_records: None,
            record_duration_s: 1.0,
            record_duration_text: "1".to_owned(),
            signals: Vec::new(),
        };
        assert_eq!(header.start().expect("a date").to_string(), "1985-03-02T23:59:58");
        header.recording = "Startdate 02-MAR-2085 X X X".to_owned();
        assert_eq!(header.start().expect("a date").to_string(), "2085-03-02T23:59:58");
        header.recording = "Startdate X X X X".to_owned();
        header.start_date = "02.03.84".to_owned();
        let start = header.start().expect("a date");
        assert_eq!(start.to_string(), "2084-03-02T23:59:58");
        assert_eq!(header.set_start(start), "Startdate 02-MAR-2084");
        assert_eq!(header.start(), Some(start));
        for nonsense in ["", "00.00.00", "xx.xx.xx", "1.2", "1.2.3.4", "01.01.-1", "99.99.99"] {
            header.start_date = nonsense.to_owned();
            assert_eq!(header.start(), None, "{nonsense}");
        }
    }
}
