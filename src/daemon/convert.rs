//! `biosigd convert IN OUT`: a recording in another format, one record in memory at a time.
//!
//! Nothing is rounded, cut or made up on the way. What OUT cannot hold as it is, is refused with the reason, and then no
//! file is left; an OUT that exists is never replaced.
//!
//! ```text
//! IN ──▶ Reader ──▶ image of a record ──▶ RecordWriter ──▶ OUT
//! ```
//!
//! A plain file (no `+`) stays plain: its patient's field is free text, with which readers refuse a `+` file.
//!
//! A BDF or EDF file fills its last record up. Where the sidecar beside IN, or a mark in it, says how many frames were
//! recorded, a CSV or raw OUT has those and no others, and in a BDF or EDF OUT an annotation says which ones are not
//! (`format`, `mark`): on the way back they are left out again.
//!
//! What is deliberately absent: changing rates or ranges, which would change samples; sidecars, whose ledger speaks of the
//! file it was written for.

mod input;
mod output;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use self::input::Input;
use self::output::NewFile;
use crate::edf::Signal;
use crate::format::{self, FileFormat, Values};

/// Why nothing was converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// IN cannot be opened: exit code 66.
    #[error("cannot open {}", path.display())]
    NoInput {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// IN is no recording, or OUT cannot hold what is in it: exit code 65.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// IN was opened, and then the system refused to read it: exit code 74.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// What was to be written is there: exit code 73.
    #[error("{} exists and is not replaced; give OUT another name", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// OUT cannot be made: exit code 73.
    #[error("cannot create {}", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// OUT was made and cannot be written: exit code 74.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A signal came: exit code 74.
    #[error("stopped by a signal; {} was not made", path.display())]
    Stopped {
        /// What was to be made.
        path: PathBuf,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[source] std::io::Error),
}

/// What is to be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// IN.
    pub input: PathBuf,
    /// OUT.
    pub output: PathBuf,
    /// Its format.
    pub target: FileFormat,
    /// What the rows of a CSV file hold.
    pub values: Values,
}

/// Converts, and says to `out` what was read and written. A `stop` that is set ends it within a record.
///
/// # Errors
/// [`ConvertError`], and then neither OUT nor anything else was left. [`ConvertError::Report`] comes after OUT was made.
pub fn convert(request: &Request, stop: &AtomicBool, out: &mut impl Write) -> Result<(), ConvertError> {
    let mut input = Input::open(&request.input)?;
    // Into memory first: a header that is refused must not have made a file.
    let writer = format::writer(request.target, input.header(), input.start_ns(), request.values);
    let mut writer = writer.map_err(|error| input.unusable(error.to_string()))?;
    let mut file = NewFile::create(&request.output)?;
    file.write_all(writer.header()).map_err(|source| file.error(source))?;
    let (mut image, mut n_damaged, mut n_frames) = (Vec::new(), 0_u64, 0_u64);
    let (mut n_filling, mut n_unmarked) = (0_u64, 0_u64);
    let record_frames = format::record_frames(input.header()).unwrap_or(0);
    while let Some(frames) = input.next(&mut image)? {
        // `Relaxed`: the flag orders nothing, it only ends the work.
        if stop.load(Ordering::Relaxed) {
            return Err(ConvertError::Stopped { path: request.output.clone() });
        }
        n_damaged += u64::from(!input.annotations(&image)?);
        if request.target.is_edf() && frames < record_frames {
            let is_marked = format::mark(input.header(), &mut image, frames);
            *if is_marked { &mut n_filling } else { &mut n_unmarked } += (record_frames - frames) as u64;
        }
        let record = writer.record(&image, frames).map_err(|error| input.unusable(error.to_string()))?;
        file.write_all(record).map_err(|source| file.error(source))?;
        n_frames += frames as u64;
    }
    if n_damaged > 0 {
        input.note(format!("damaged: annotations of {n_damaged} records cannot be read; copied byte by byte"));
    }
    if !request.target.is_edf() {
        input.note_left_out();
    }
    let count = writer.count(input.n_records()).map_err(|error| input.unusable(error.to_string()))?;
    file.seal(count)?;
    file.publish()?;
    let mut written = match (request.target, request.values) {
        (FileFormat::Csv, Values::Units) => format!("{n_frames} frames in units"),
        (FileFormat::Csv, Values::Codes) => format!("{n_frames} frames in codes"),
        (FileFormat::Raw, _) => format!("{n_frames} frames, every code as it was"),
        (target, _) => {
            let plus = if input.header().format.is_plus() { "+C" } else { "" };
            let name = target.ending().to_uppercase();
            format!("{name}{plus}, {} records, every code as it was", input.n_records())
        }
    };
    if n_filling > 0 {
        let text = format::FILLING_TEXT;
        written.push_str(&format!("; {n_filling} frames that only fill up the last one are annotated {text}"));
    }
    if n_unmarked > 0 {
        written.push_str(&format!(
            "; {n_unmarked} frames at its end only fill it up, and there is no room to annotate that"
        ));
    }
    let header = input.header();
    let n_signals = header.signals.iter().filter(|signal| !Signal::is_annotations(signal)).count();
    let mut text = format!(
        "{}\n  {}, {n_signals} signals, {} records of {} s, {} annotations\n",
        request.input.display(),
        input.name(),
        input.n_records(),
        header.record_duration_text,
        input.n_annotations()
    );
    for note in input.notes() {
        text.push_str(&format!("  {note}\n"));
    }
    text.push_str(&format!("{}\n  {written}\n", request.output.display()));
    out.write_all(text.as_bytes()).map_err(ConvertError::Report)
}
