//! CSV: one row per frame, with its number, its time and a code or a value of each signal.
//!
//! Lines that begin with `#` are not rows: pandas leaves them out with `comment="#"`. Those at the start are the JSON of the
//! header (`text`), line by line after `# `. The row of titles follows, then the records: a line for each annotation, a row
//! for each frame, and at the end a line with the number of the record, of its frames and the CRC32 of its bytes. A record
//! without that line is a torn one.
//!
//! ```text
//! # {
//! #   "format": "biosigd csv",
//! # ...
//! # }
//! frame,time_s,Fp1 [code],Fp2 [code]
//! # annotation {"area":0,"onset_s":"0.25","duration_s":null,"text":"eyes closed"}
//! 0,0,-1201,88
//! 1,0.00025,-1200,91
//! # record 0: 2 frames, CRC32 1c291ca3
//! ```

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::table::{Clock, Scale, Shortest, cell};
use super::text::{self, Facts};
use super::{FormatError, RecordWriter, Values, image};
use crate::edf::{Annotation, Header, Signal, TalArea, format_ns, parse_tals};

/// Begins the line of an annotation.
pub(super) const ANNOTATION: &str = "# annotation ";

/// Begins the last line of a record, and stands before its CRC32.
pub(super) const RECORD: &str = "# record ";
pub(super) const SUM: &str = ", CRC32 ";

/// An annotation as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) area: usize,
    pub(super) onset_s: String,
    pub(super) duration_s: Option<String>,
    pub(super) text: String,
}

/// The scale of every signal that is written in its unit.
pub(super) fn scales(facts: &Facts) -> Result<Vec<Option<Scale>>, String> {
    let limits = facts.header.format.code_limits();
    let in_units = |signal: &Signal| facts.values == Values::Units && !signal.is_status();
    let signals = facts.header.signals.iter().filter(|signal| !signal.is_annotations());
    signals.map(|signal| in_units(signal).then(|| Scale::of(signal, limits)).transpose()).collect()
}

/// Writes CSV.
#[derive(Debug)]
pub(super) struct Writer {
    facts: Facts,
    bytes: Vec<u8>,
    scales: Vec<Option<Scale>>,
    clock: Clock,
    record: Vec<u8>,
    codes: Vec<i32>,
    quiet: Vec<u8>,
    n_records: u64,
    n_frames: u64,
}

impl Writer {
    pub(super) fn new(header: &Header, first_onset_ns: i64, values: Values) -> Result<Writer, FormatError> {
        let json = text::write("csv", header, first_onset_ns, Some(values)).map_err(FormatError)?;
        let facts = text::read("csv", &json).map_err(FormatError)?;
        let scales = scales(&facts).map_err(FormatError)?;
        let mut text: String = json.lines().map(|line| format!("# {line}\n")).collect();
        text.push_str("frame,time_s");
        for signal in header.signals.iter().filter(|signal| !signal.is_annotations()) {
            let unit = if values == Values::Codes || signal.is_status() { "code" } else { &signal.unit };
            let title = if unit.is_empty() { signal.label.clone() } else { format!("{} [{unit}]", signal.label) };
            text.push(',');
            text.push_str(&cell(&title));
        }
        text.push('\n');
        let clock = Clock::new(header.record_duration_ns(), facts.record_frames as u64, first_onset_ns);
        let (record, codes, quiet) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Writer { bytes: text.into_bytes(), scales, clock, record, codes, quiet, n_records: 0, n_frames: 0, facts })
    }

    /// A line for each annotation; an error where lines cannot say what the area does.
    fn annotations(&mut self, image: &[u8], onset_ns: i64) -> Result<(), String> {
        let header = &self.facts.header;
        for (index, range) in image::areas(header).enumerate() {
            let area = &image[range];
            self.quiet.resize(area.len(), 0);
            image::quiet_area(header, index, onset_ns, &mut self.quiet);
            if area == self.quiet {
                continue;
            }
            let mut annotations = Vec::new();
            let onset = parse_tals(area, &mut annotations).map_err(|error| error.to_string())?;
            rebuild(header, index, onset_ns, &annotations, &mut self.quiet)
                .ok_or("its annotations have no room where they are read back")?;
            let mut again = Vec::new();
            if parse_tals(&self.quiet, &mut again) != Ok(onset) || again != annotations {
                return Err("its annotations say something that a line of text does not".to_owned());
            }
            for Annotation { onset_ns, duration_ns, text } in annotations {
                let duration_s = duration_ns.map(format_ns);
                let line = Line { area: index, onset_s: format_ns(onset_ns), duration_s, text };
                let line = serde_json::to_string(&line).map_err(|error| error.to_string())?;
                self.record.extend_from_slice(ANNOTATION.as_bytes());
                self.record.extend_from_slice(line.as_bytes());
                self.record.push(b'\n');
            }
        }
        Ok(())
    }

    fn rows(&mut self, n_frames: usize) -> std::io::Result<()> {
        let n_signals = self.scales.len();
        let mut digits = itoa::Buffer::new();
        for (frame, codes) in self.codes.chunks_exact(n_signals).take(n_frames).enumerate() {
            let frame = self.n_frames + frame as u64;
            write!(self.record, "{frame},{}", self.clock.at(frame))?;
            for (code, scale) in codes.iter().zip(&self.scales) {
                self.record.push(b',');
                match scale {
                    None => self.record.extend_from_slice(digits.format(*code).as_bytes()),
                    Some(scale) => write!(self.record, "{}", Shortest(scale.value(*code)))?,
                }
            }
            self.record.push(b'\n');
        }
        Ok(())
    }
}

/// The area of number `index` with these annotations; `None` where they have no room.
pub(super) fn rebuild(
    header: &Header,
    index: usize,
    onset_ns: i64,
    annotations: &[Annotation],
    area: &mut [u8],
) -> Option<()> {
    let keeps_time = index == 0 && header.format.is_plus();
    let mut lists = if keeps_time { TalArea::new(area, onset_ns) } else { TalArea::without_time(area) };
    annotations.iter().all(|annotation| lists.push(annotation)).then_some(())
}

impl RecordWriter for Writer {
    fn header(&self) -> &[u8] {
        &self.bytes
    }

    fn record<'a>(&'a mut self, image: &'a [u8], n_frames: usize) -> Result<&'a [u8], FormatError> {
        self.record.clear();
        let index = self.n_records;
        let onset_ns = image::onset_ns(&self.facts.header, self.facts.first_onset_ns, index);
        let refused =
            |why: String| FormatError(format!("record {index}, {why}; .bdf, .edf and .raw copy it byte by byte"));
        self.annotations(image, onset_ns).map_err(refused)?;
        image::frames(&self.facts.header, image, n_frames, &mut self.codes);
        let mut written = self.rows(n_frames);
        written = written.and_then(|()| write!(self.record, "{RECORD}{index}: {n_frames} frames{SUM}"));
        let sum = crc32fast::hash(&self.record);
        written = written.and_then(|()| writeln!(self.record, "{sum:08x}"));
        // Into memory: it cannot fail.
        written.map_err(|error| FormatError(error.to_string()))?;
        self.n_records += 1;
        self.n_frames += n_frames as u64;
        Ok(&self.record)
    }

    fn count(&self, _n_records: u64) -> Result<Option<(u64, [u8; 8])>, FormatError> {
        Ok(None)
    }

    fn record_bytes_max(&self) -> u64 {
        // A frame's number, its time (a sign, 19 digits, a point, 18 digits), two separators.
        const ROW_BYTES: usize = 20 + 39 + 2;
        // A comma, and a code of three bytes or a value.
        let cells: usize = self.scales.iter().map(|scale| if scale.is_none() { 9 } else { 26 }).sum();
        // A list of six bytes is the shortest annotation; its line has 90 more. A byte of text is at most `\u0000`.
        let lists: usize = image::areas(&self.facts.header).map(|area| area.len() * (90 / 6 + 6)).sum();
        const LAST_LINE_BYTES: usize = 80;
        (self.facts.record_frames * (ROW_BYTES + cells) + lists + LAST_LINE_BYTES) as u64
    }
}
