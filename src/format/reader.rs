//! A recording of any format, read from its first byte to its last, one record at a time.
//!
//! The bytes may be anything. What they say is checked before it is believed, and nothing is allocated beyond what the
//! file has bytes for, but for the image of one record.

use std::io::{self, BufRead, Read};

use super::text::Facts;
use super::{FileFormat, csv_read, raw};
use crate::edf::{EdfError, Header};

/// Why reading ends.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system refused.
    #[error("cannot read it")]
    Io(#[source] io::Error),
    /// The file ends within a record: what a killed recorder leaves.
    #[error("torn: {bytes} bytes after byte {at} are no whole record")]
    Torn {
        /// Where the record begins.
        at: u64,
        /// How many bytes there are of it.
        bytes: u64,
    },
    /// The bytes at this place are not what they should be.
    #[error("byte {at}: {why}")]
    Damaged {
        /// Where.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// The header is no EDF or BDF header, or a damaged one.
    #[error(transparent)]
    Header(EdfError),
}

impl Fault {
    /// A file that ends is torn from where its record begins.
    pub(super) fn torn_from(self, start: u64) -> Fault {
        match self {
            Fault::Torn { at, bytes } => Fault::Torn { at: start, bytes: at - start + bytes },
            other => other,
        }
    }
}

/// Reads exactly `n_bytes` that begin at byte `at` of the file into `bytes`, which is empty.
pub(super) fn fill(input: &mut impl Read, bytes: &mut Vec<u8>, n_bytes: u64, at: u64) -> Result<(), Fault> {
    input.take(n_bytes).read_to_end(bytes).map_err(Fault::Io)?;
    let found = bytes.len() as u64;
    if found < n_bytes { Err(Fault::Torn { at, bytes: found }) } else { Ok(()) }
}

/// How far a CSV or raw file was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) facts: Facts,
    /// The byte after the last whole record.
    pub(super) end: u64,
    pub(super) n_records: u64,
    pub(super) n_frames: u64,
    /// A record was short, so that no frame can follow: its place would be another one.
    pub(super) has_ended: bool,
}

impl Source {
    fn new((facts, end): (Facts, u64)) -> Source {
        Source { facts, end, n_records: 0, n_frames: 0, has_ended: false }
    }

    /// A record of `n_frames` that ends before byte `end` was read.
    pub(super) fn taken(&mut self, n_frames: usize, end: u64) {
        self.has_ended |= n_frames < self.facts.record_frames;
        self.n_records += 1;
        self.n_frames += n_frames as u64;
        self.end = end;
    }
}

/// An open recording.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    format: FileFormat,
    kind: Kind,
    n_records: u64,
    n_frames: u64,
}

#[derive(Debug)]
enum Kind {
    /// The image itself; so many records.
    Plain {
        header: Header,
        n_records: u64,
    },
    Csv(Source),
    Raw(Source),
}

impl<R: BufRead> Reader<R> {
    /// Reads the header of a file of `file_bytes`.
    ///
    /// # Errors
    /// [`Fault`] says where and why.
    pub fn open(mut input: R, file_bytes: u64) -> Result<Reader<R>, Fault> {
        let start = input.fill_buf().map_err(Fault::Io)?;
        let (format, kind) = if start.starts_with(raw::MAGIC) {
            (FileFormat::Raw, Kind::Raw(Source::new(raw::open(&mut input)?)))
        } else if start.starts_with(b"#") {
            (FileFormat::Csv, Kind::Csv(Source::new(csv_read::open(&mut input)?)))
        } else {
            let header = Header::read(&mut input).map_err(|error| match error {
                EdfError::Io(error) => Fault::Io(error),
                error => Fault::Header(error),
            })?;
            let whole = header.records_in(file_bytes);
            let n_records = header.n_records.unwrap_or(whole).min(whole);
            let format = if header.format.is_bdf() { FileFormat::Bdf } else { FileFormat::Edf };
            (format, Kind::Plain { header, n_records })
        };
        Ok(Reader { input, format, kind, n_records: 0, n_frames: 0 })
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// What the header says; of a CSV or raw file, the header of the image.
    #[must_use]
    pub fn header(&self) -> &Header {
        match &self.kind {
            Kind::Plain { header, .. } => header,
            Kind::Csv(source) | Kind::Raw(source) => &source.facts.header,
        }
    }

    /// Reads the next record into `image` (an image of [`Reader::header`]) and returns how many frames it has: fewer than
    /// a whole record where it is a short one, which is then filled up as [`super::pad`] does it. A record whose signals
    /// have several rates counts as one frame. `None` after the last; of a BDF or EDF file those that its header counts and
    /// its length holds.
    ///
    /// # Errors
    /// [`Fault`]; nothing can be read after it.
    pub fn next(&mut self, image: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let n_frames = match &mut self.kind {
            Kind::Plain { n_records, .. } if self.n_records == *n_records => None,
            Kind::Plain { header, .. } => {
                image.resize(header.record_bytes(), 0);
                self.input.read_exact(image).map_err(Fault::Io)?;
                Some(super::record_frames(header).unwrap_or(1))
            }
            Kind::Csv(source) => csv_read::next(source, &mut self.input, image)?,
            Kind::Raw(source) => raw::next(source, &mut self.input, image)?,
        };
        if let Some(n_frames) = n_frames {
            self.n_records += 1;
            self.n_frames += n_frames as u64;
        }
        Ok(n_frames)
    }

    /// Records that were read.
    #[must_use]
    pub fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Their frames.
    #[must_use]
    pub fn n_frames(&self) -> u64 {
        self.n_frames
    }

    /// The byte after the last record that was read.
    #[must_use]
    pub fn end(&self) -> u64 {
        match &self.kind {
            Kind::Plain { header, .. } => header.header_bytes() + self.n_records * header.record_bytes() as u64,
            Kind::Csv(source) | Kind::Raw(source) => source.end,
        }
    }

    /// What it is read from.
    pub fn get_ref(&self) -> &R {
        &self.input
    }

    /// What it was read from, wherever that stands.
    pub fn into_inner(self) -> R {
        self.input
    }
}
