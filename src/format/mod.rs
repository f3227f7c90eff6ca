//! The formats of a recording: BDF and EDF, CSV for tables and text, raw for programs. Pure: bytes and numbers, no paths,
//! no clocks, no daemon. The recorder and `convert` write with [`RecordWriter`]; `verify`, `recover`, `convert` and the
//! replay source read with [`Reader`], which knows a format by what is in the file.
//!
//! All four say the same thing, the data records of EDF (`edf`): channel-major samples and an area of annotations. That is
//! the **image** of a record. `bdf` and `edf` are the image itself; `csv` and `raw` are two other spellings of it, with the
//! header's fields as JSON, so that whatever one holds goes into each of the others and comes back.
//!
//! ```text
//! image ──▶ RecordWriter ──▶ bytes of the file ──▶ Reader ──▶ image
//! ```
//!
//! | | `bdf`, `edf` | `csv` | `raw` |
//! |---|---|---|---|
//! | number of records | in the header, rewritten with each | counted by reading | counted by reading |
//! | last record | filled up | as long as it is | as long as it is |
//! | one byte changed | seen in header and time-keeping | CRC32 per record | CRC32 per block |
//!
//! What is deliberately absent: compression, and any format whose specification is not in this folder or in `edf`.

mod csv;
mod csv_read;
mod filling;
mod image;
mod plain;
mod raw;
mod reader;
mod table;
mod text;

use std::fmt;
use std::path::Path;

pub use filling::{FILLING_TEXT, mark, marked, unmark};
pub use image::{pad, record_frames};
pub use reader::{Fault, Reader};

use crate::edf::Header;

/// A format, called by the ending of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// BDF or BDF+C: 24 bits.
    #[default]
    Bdf,
    /// EDF or EDF+C: 16 bits.
    Edf,
    /// One row per frame.
    Csv,
    /// Blocks of little-endian `i32`, each with its CRC32.
    Raw,
}

impl FileFormat {
    /// All, in the order of the documentation.
    pub const ALL: [FileFormat; 4] = [FileFormat::Bdf, FileFormat::Edf, FileFormat::Csv, FileFormat::Raw];

    /// The ending of a finished file, without the dot: the name in configuration and sidecar, too.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            FileFormat::Bdf => "bdf",
            FileFormat::Edf => "edf",
            FileFormat::Csv => "csv",
            FileFormat::Raw => "raw",
        }
    }

    /// The format that the ending of a name stands for.
    #[must_use]
    pub fn of(path: &Path) -> Option<FileFormat> {
        let ending = path.extension()?;
        FileFormat::ALL.into_iter().find(|format| ending == format.ending())
    }

    /// Whether the header counts the records, and the last one is filled up to its whole length.
    #[must_use]
    pub const fn is_edf(self) -> bool {
        matches!(self, FileFormat::Bdf | FileFormat::Edf)
    }
}

/// What a row of a CSV file holds for each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// The code.
    #[default]
    Codes,
    /// The value in the signal's unit, as the shortest decimal that reads back as the same `f64`. Status words, which
    /// are bits and no measurement, stay codes.
    Units,
}

/// Why a format cannot hold something as it is: the reason, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

/// Spells the records of one file. It keeps no file: what it returns is to be appended, in order.
pub trait RecordWriter: fmt::Debug + Send {
    /// The bytes before the first record.
    fn header(&self) -> &[u8];

    /// The bytes of the next record, whose first `n_frames` frames are the data and whose rest fills it up.
    ///
    /// # Errors
    /// [`FormatError`] when the format cannot hold a code or an annotation of it.
    fn record<'a>(&'a mut self, image: &'a [u8], n_frames: usize) -> Result<&'a [u8], FormatError>;

    /// What is to be written where in the header once the file has `n_records`; `None`: nothing is ever rewritten.
    ///
    /// # Errors
    /// [`FormatError`] when the header cannot count as many.
    fn count(&self, n_records: u64) -> Result<Option<(u64, [u8; 8])>, FormatError>;

    /// A record has no more bytes.
    fn record_bytes_max(&self) -> u64;
}

/// The writer of a file of `format` for records with the image of `header`. `first_onset_ns` is when the first record
/// begins, from the header's start; `values` is for CSV.
///
/// # Errors
/// [`FormatError`] when the format cannot hold what `header` speaks of.
pub fn writer(
    format: FileFormat,
    header: &Header,
    first_onset_ns: i64,
    values: Values,
) -> Result<Box<dyn RecordWriter>, FormatError> {
    Ok(match format {
        FileFormat::Bdf => Box::new(plain::Writer::new(header, true)?),
        FileFormat::Edf => Box::new(plain::Writer::new(header, false)?),
        FileFormat::Csv => Box::new(csv::Writer::new(header, first_onset_ns, values)?),
        FileFormat::Raw => Box::new(raw::Writer::new(header, first_onset_ns)?),
    })
}
