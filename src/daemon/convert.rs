//! `biosigd convert IN OUT`: a recording in another format, one record in memory at a time.
//!
//! Nothing is rounded, cut or made up on the way. What OUT cannot hold as it is, is refused with the reason, and then no
//! file is left; an OUT that exists is never replaced.
//!
//! ```text
//! IN ──▶ record ──┬─▶ OUT.bdf, OUT.edf: the codes as they are, annotations byte by byte
//!                 └─▶ OUT.csv: a row per frame      └─▶ OUT_events.tsv: gaps and markers
//! ```
//!
//! A plain file (no `+`) stays plain: its patient's field is free text, with which readers refuse a `+` file.
//!
//! What is deliberately absent: reading CSV, which has no ranges; `.raw`, which the recorder does not write; changing rates
//! or ranges, which would change samples; sidecars, whose ledger speaks of the file it was written for.

mod annotations;
mod csv;
mod edf;
mod input;
mod output;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use self::input::Input;
use crate::edf::Signal;

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

/// What a row of a CSV file holds for each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// The code.
    Codes,
    /// The value in the signal's unit, as the shortest decimal that reads back as the same `f64`. Status words, which
    /// are bits and no measurement, stay codes.
    Units,
}

/// The format of OUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// 24 bits: BDF+C, or BDF where IN is plain.
    Bdf,
    /// 16 bits: EDF+C, or EDF where IN is plain.
    Edf,
    /// One row per frame.
    Csv,
}

impl Target {
    /// The format that the ending of a name stands for.
    #[must_use]
    pub fn of(path: &Path) -> Option<Target> {
        match path.extension()?.to_str()? {
            "bdf" => Some(Target::Bdf),
            "edf" => Some(Target::Edf),
            "csv" => Some(Target::Csv),
            _ => None,
        }
    }
}

/// What is to be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// IN.
    pub input: PathBuf,
    /// OUT.
    pub output: PathBuf,
    /// Its format.
    pub target: Target,
    /// What the rows of a CSV file hold.
    pub values: Values,
}

/// Converts, and says to `out` what was read and written. A `stop` that is set ends it within a record.
///
/// # Errors
/// [`ConvertError`], and then neither OUT nor anything else was left. [`ConvertError::Report`] comes after OUT was made.
pub fn convert(request: &Request, stop: &AtomicBool, out: &mut impl Write) -> Result<(), ConvertError> {
    let mut input = Input::open(&request.input)?;
    let written = match request.target {
        Target::Bdf => edf::write(&mut input, true, &request.output, stop)?,
        Target::Edf => edf::write(&mut input, false, &request.output, stop)?,
        Target::Csv => csv::write(&mut input, request.values, &request.output, stop)?,
    };
    let header = input.header();
    let n_signals = header.signals.iter().filter(|signal| !Signal::is_annotations(signal)).count();
    let mut text = format!(
        "{}\n  {}, {n_signals} signals, {} records of {} s, {} annotations\n",
        request.input.display(),
        header.format.name(),
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
