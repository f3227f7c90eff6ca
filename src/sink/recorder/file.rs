//! The data file: a header, then records that are appended; and the file system it lies on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::edf::Header;
use crate::sink::SinkError;

/// The number of data records stands here in the header.
const COUNT_AT: u64 = 236;

/// An open data file that ends with a whole record.
#[derive(Debug)]
pub(super) struct DataFile {
    file: File,
    path: PathBuf,
    n_records: u64,
    header_bytes: u64,
    record_bytes: u64,
}

impl DataFile {
    /// Writes `header` into the new, empty `file`.
    pub(super) fn new(file: File, path: &Path, header: &Header) -> Result<DataFile, SinkError> {
        let mut bytes = Vec::new();
        header.write(&mut bytes).map_err(|error| SinkError::Format(error.to_string()))?;
        let data = DataFile {
            file,
            path: path.to_owned(),
            n_records: 0,
            header_bytes: header.header_bytes(),
            record_bytes: header.record_bytes() as u64,
        };
        data.file.write_all_at(&bytes, 0).map_err(|source| data.io("cannot write", source))?;
        Ok(data)
    }

    /// Records in the file.
    pub(super) fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Bytes in the file.
    pub(super) fn n_bytes(&self) -> u64 {
        self.header_bytes + self.n_records * self.record_bytes
    }

    /// Bytes of one record.
    pub(super) fn record_bytes(&self) -> u64 {
        self.record_bytes
    }

    /// Bytes before the first record.
    pub(super) fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file has another name now.
    pub(super) fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Appends a record, then says in the header that it is there: in this order, so that a process that is killed
    /// in between leaves a file whose count is at most too small, which every reader opens.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), SinkError> {
        self.file.write_all_at(record, self.n_bytes()).map_err(|source| self.io("cannot write", source))?;
        let count = format!("{:<8}", self.n_records + 1);
        if count.len() > 8 {
            return Err(SinkError::Format(format!("{} is full: 99999999 records", self.path.display())));
        }
        self.file.write_all_at(count.as_bytes(), COUNT_AT).map_err(|source| self.io("cannot write", source))?;
        self.n_records += 1;
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&self) -> Result<(), SinkError> {
        self.file.sync_data().map_err(|source| self.io("cannot sync", source))
    }

    /// Cuts off what a write that failed left behind the last whole record.
    pub(super) fn cut_torn_tail(&self) -> Result<(), SinkError> {
        self.file.set_len(self.n_bytes()).map_err(|source| self.io("cannot shorten", source))
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> SinkError {
        SinkError::Io { what, path: self.path.clone(), source }
    }
}

/// Makes new names in `dir` outlast a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SinkError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| SinkError::Io { what: "cannot sync", path: dir.to_owned(), source })
}

/// The limit of free space.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) dir: PathBuf,
    pub(super) min_free_bytes: u64,
    /// As of the last look.
    pub(super) free_bytes: u64,
}

impl Space {
    /// Looks at the free space; an error when it is at or below the limit (0: no limit).
    pub(super) fn look(&mut self) -> Result<(), SinkError> {
        self.free_bytes = free_bytes(&self.dir)?;
        if self.min_free_bytes > 0 && self.free_bytes <= self.min_free_bytes {
            return Err(SinkError::DiskLow {
                path: self.dir.clone(),
                free_bytes: self.free_bytes,
                limit_bytes: self.min_free_bytes,
            });
        }
        Ok(())
    }
}

/// Bytes that an unprivileged writer may still take in `dir`'s file system.
fn free_bytes(dir: &Path) -> Result<u64, SinkError> {
    match rustix::fs::statvfs(dir) {
        Ok(space) => Ok(space.f_bavail.saturating_mul(space.f_frsize)),
        Err(errno) => {
            Err(SinkError::Io { what: "cannot see the free space of", path: dir.to_owned(), source: errno.into() })
        }
    }
}

/// Nanoseconds since 1970 as the calendar's instant; beyond its end (year 9999), its start.
pub(super) fn timestamp(utc_ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(utc_ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}
