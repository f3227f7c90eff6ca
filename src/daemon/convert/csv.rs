//! Records to rows: one per frame, with its number, its time and a value of each signal; gaps and markers in a table beside
//! it, in the shape of the recorder's.
//!
//! A value in units is `(code - digital_min) * (physical_max - physical_min) / (digital_max - digital_min) + physical_min`
//! (EDF specification), in `f64`, as the shortest decimal that reads back as the same number.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::input::Input;
use super::output::NewFile;
use super::{ConvertError, Values};
use crate::edf::{Header, Signal, decode};
use crate::sink::recorder::Events;

/// Writes the rows and the table of events; says what was written.
pub(super) fn write(input: &mut Input, values: Values, path: &Path, stop: &AtomicBool) -> Result<String, ConvertError> {
    let record_frames = record_frames(input.header()).map_err(|why| input.unusable(why))?;
    let columns = columns(input.header(), values).map_err(|why| input.unusable(why))?;
    let all_frames = input.n_records() * record_frames;
    let n_frames = input.frames_recorded(all_frames);
    if n_frames < all_frames {
        let n_filled = all_frames - n_frames;
        input.note(format!("{n_filled} frames that fill up the last record, as the sidecar says, are not in it"));
    }
    let clock = Clock::new(input.header().record_duration_ns(), record_frames, input.start_ns());
    let mut file = NewFile::create(path)?;
    let mut table = NewFile::beside(&events_path(path))?;
    let rate_hz = record_frames as f64 / input.header().record_duration_s;
    let events = Events::new(&mut table, rate_hz, input.start_ns());
    let mut events = events.map_err(|source| table.error(source))?;
    title(&mut file, &columns).map_err(|source| file.error(source))?;
    while let Some(index) = input.next()? {
        let taken = input
            .annotations(|annotation| events.push(&mut table, annotation).map_err(|source| table.error(source)))?;
        if let Err(error) = taken {
            return Err(input.unusable(format!(
                "record {index}, {error}; the table of events would lack what follows. .bdf and .edf are copied byte by byte"
            )));
        }
        let first = index * record_frames;
        for frame in first..(first + record_frames).min(n_frames) {
            // `Relaxed`: the flag orders nothing, it only ends the work.
            if stop.load(Ordering::Relaxed) {
                return Err(ConvertError::Stopped { path: path.to_owned() });
            }
            row(&mut file, frame, &clock, frame - first, input, &columns).map_err(|source| file.error(source))?;
        }
    }
    events.finish(&mut table).map_err(|source| table.error(source))?;
    file.seal()?;
    table.seal()?;
    // The table first, so that whoever sees OUT sees both.
    let is_new = table.publish()?;
    if let Err(error) = file.publish() {
        if is_new {
            drop(std::fs::remove_file(table.path()));
        }
        return Err(error);
    }
    let what = match values {
        Values::Codes => "codes",
        Values::Units => "units",
    };
    Ok(format!("{n_frames} frames in {what}; gaps and markers: {}", table.path().display()))
}

/// `OUT_events.tsv` of `OUT.csv`.
fn events_path(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("_events.tsv");
    path.with_file_name(name)
}

/// Frames per record, where the signals have one rate.
fn record_frames(header: &Header) -> Result<u64, String> {
    let mut signals = header.signals.iter().filter(|signal| !signal.is_annotations());
    let first = signals.next().ok_or("holds annotations and no signals, there are no rows; .bdf and .edf hold it")?;
    match signals.find(|signal| signal.samples_per_record != first.samples_per_record) {
        Some(other) => Err(format!(
            "a row of CSV is a frame, so the signals must have one rate: `{}` has {} samples per record, `{}` has {}; .bdf and \
             .edf hold them",
            first.label, first.samples_per_record, other.label, other.samples_per_record
        )),
        None => Ok(first.samples_per_record as u64),
    }
}

/// One signal.
struct Column {
    title: String,
    /// Where its samples stand within a record.
    range: Range<usize>,
    /// `digital_min`, the width of both ranges, `physical_min`; `None` where the code is written.
    scale: Option<[f64; 4]>,
}

fn columns(header: &Header, values: Values) -> Result<Vec<Column>, String> {
    let column = |(signal, range): (&Signal, Range<usize>)| {
        let scale = (values == Values::Units && !signal.is_status()).then(|| scale(signal)).transpose()?;
        let unit = if values == Values::Codes { "code" } else { &signal.unit };
        let title = if unit.is_empty() { signal.label.clone() } else { format!("{} [{unit}]", signal.label) };
        Ok(Column { title: cell(&title), range, scale })
    };
    header.signal_ranges().filter(|(signal, _)| !signal.is_annotations()).map(column).collect()
}

/// The numbers of a signal's line from codes to values, where it has one.
fn scale(signal: &Signal) -> Result<[f64; 4], String> {
    let Signal { label, physical_min, physical_max, digital_min, digital_max, .. } = signal;
    let (physical, digital) = (physical_max - physical_min, f64::from(*digital_max) - f64::from(*digital_min));
    // Codes beyond the range are at most as far away as three bytes reach.
    if !(physical * f64::from(1 << 25)).is_finite() {
        return Err(format!(
            "`{label}` goes from {physical_min:e} to {physical_max:e}, more than an f64 can scale; --codes writes its codes"
        ));
    }
    Ok([f64::from(*digital_min), physical, digital, *physical_min])
}

/// A text as a cell (RFC 4180). Those of a header are printable ASCII.
fn cell(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn title(out: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    write!(out, "frame,time_s")?;
    columns.iter().try_for_each(|column| write!(out, ",{}", column.title))?;
    writeln!(out)
}

/// Writes frame number `frame` of the file, which is number `within` of the record read last.
#[allow(clippy::cast_possible_truncation, reason = "it stands within a record, which is in memory")]
fn row(
    out: &mut impl Write,
    frame: u64,
    clock: &Clock,
    within: u64,
    input: &Input,
    columns: &[Column],
) -> io::Result<()> {
    let width = input.header().bytes_per_sample();
    write!(out, "{frame},{}", clock.at(frame))?;
    for column in columns {
        let start = column.range.start + within as usize * width;
        let mut code = [0];
        decode(width, &input.record()[start..start + width], &mut code);
        match column.scale {
            None => write!(out, ",{}", code[0])?,
            Some([digital_min, physical, digital, physical_min]) => {
                let value = (f64::from(code[0]) - digital_min) * physical / digital + physical_min;
                // Adding zero turns -0 into 0.
                write!(out, ",{}", value + 0.0)?;
            }
        }
    }
    writeln!(out)
}

/// Nanoseconds in a second.
const NS_PER_S: i128 = 1_000_000_000;

/// Frames to seconds from the header's start, as the onsets of events are.
#[derive(Debug)]
struct Clock {
    record_ns: i128,
    record_frames: i128,
    start_ns: i128,
    places: u32,
}

/// Decimals that a time has at most; 2048 Hz needs 11.
const PLACES_MAX: u32 = 18;

/// Decimals of a time that no decimal is equal to, as at 3 Hz.
const PLACES_ROUNDED: u32 = 12;

impl Clock {
    fn new(record_ns: i64, record_frames: u64, start_ns: i64) -> Clock {
        let (record_ns, record_frames) = (i128::from(record_ns), i128::from(record_frames));
        let exact = |places: &u32| 10_i128.pow(*places) * record_ns % (record_frames * NS_PER_S) == 0;
        let places = (9..=PLACES_MAX).find(exact).unwrap_or(PLACES_ROUNDED);
        Clock { record_ns, record_frames, start_ns: i128::from(start_ns), places }
    }

    fn at(&self, frame: u64) -> Decimal {
        let divisor = self.record_frames * NS_PER_S;
        let time = self.start_ns * self.record_frames + i128::from(frame) * self.record_ns;
        let one = 10_i128.pow(self.places);
        let (whole, rest) = (time.abs() / divisor, time.abs() % divisor);
        // Nothing is rounded where a decimal is exact.
        let fraction = (rest * one + divisor / 2) / divisor;
        let (whole, fraction) = if fraction == one { (whole + 1, 0) } else { (whole, fraction) };
        Decimal { is_negative: time < 0, whole, fraction, places: self.places }
    }
}

/// A decimal number without trailing zeros.
struct Decimal {
    is_negative: bool,
    whole: i128,
    fraction: i128,
    places: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{}", self.whole)?;
        let (mut fraction, mut places) = (self.fraction, self.places as usize);
        if fraction == 0 {
            return Ok(());
        }
        while fraction % 10 == 0 {
            (fraction, places) = (fraction / 10, places - 1);
        }
        write!(f, ".{fraction:0places$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_where_a_decimal_is() {
        for (record_ns, record_frames, start_ns, frame, text) in [
            (1_000_000_000, 4000, 0, 1, "0.00025"),
            (1_000_000_000, 4000, 0, 4000, "1"),
            (1_000_000_000, 2048, 0, 1, "0.00048828125"),
            (1_000_000_000, 2048, 400_000_000, 2049, "1.40048828125"),
            (1_000_000_000, 3, 0, 2, "0.666666666667"),
            (1_000_000_000, 3, 0, 300_000_001, "100000000.333333333333"),
            (30_000_000_000, 1, -500_000_000, 0, "-0.5"),
            (30_000_000_000, 1, -500_000_000, 1, "29.5"),
            (i64::MAX, 7, 0, u64::from(u32::MAX), "5659154463986970965.088890295"),
        ] {
            assert_eq!(Clock::new(record_ns, record_frames, start_ns).at(frame).to_string(), text);
        }
    }

    #[test]
    fn a_label_with_a_comma_is_one_cell() {
        assert_eq!(cell("Fp1 [uV]"), "Fp1 [uV]");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
