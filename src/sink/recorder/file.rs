//! The data file: a header, then records that are appended; and the file system it lies on.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::format::{FormatError, RecordWriter};
use crate::sink::SinkError;

/// What a sync that failed was doing: after it nothing that was written since the one before is certain.
pub(super) const CANNOT_SYNC: &str = "cannot sync";

/// An open data file that ends with a whole record.
#[derive(Debug)]
pub(super) struct DataFile {
    file: File,
    path: PathBuf,
    n_records: u64,
    n_bytes: u64,
    /// Of those, what a sync brought to the disk.
    n_on_disk: u64,
    bytes_on_disk: u64,
    writer: Box<dyn RecordWriter>,
}

impl DataFile {
    /// Writes the header of `writer` into the new, empty `file`.
    pub(super) fn new(file: File, path: &Path, writer: Box<dyn RecordWriter>) -> Result<DataFile, SinkError> {
        let n_bytes = writer.header().len() as u64;
        let data = DataFile {
            file,
            path: path.to_owned(),
            n_records: 0,
            n_bytes,
            n_on_disk: 0,
            bytes_on_disk: n_bytes,
            writer,
        };
        data.file.write_all_at(data.writer.header(), 0).map_err(|source| data.io("cannot write", source))?;
        Ok(data)
    }

    /// Records in the file.
    pub(super) fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Records that a sync brought to the disk.
    pub(super) fn n_on_disk(&self) -> u64 {
        self.n_on_disk
    }

    /// Bytes that a sync brought to the disk.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.bytes_on_disk
    }

    /// Bytes in the file.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Bytes that a record has at most.
    pub(super) fn record_bytes_max(&self) -> u64 {
        self.writer.record_bytes_max()
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file has another name now.
    pub(super) fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Appends the record of this image, whose first `n_frames` frames are data; then, where the format counts its records in
    /// the header, says there that it is there: in this order, so that a process that is killed in between leaves a file
    /// whose count is at most too small, which every reader opens.
    pub(super) fn append(&mut self, image: &[u8], n_frames: usize) -> Result<(), SinkError> {
        let path = &self.path;
        let refused = |error: FormatError| SinkError::Format(format!("{}: {error}", path.display()));
        let io = |source| SinkError::Io { what: "cannot write", path: path.clone(), source };
        let count = self.writer.count(self.n_records + 1).map_err(refused)?;
        let record = self.writer.record(image, n_frames).map_err(refused)?;
        self.file.write_all_at(record, self.n_bytes).map_err(io)?;
        if let Some((at, count)) = count {
            self.file.write_all_at(&count, at).map_err(io)?;
        }
        self.n_bytes += record.len() as u64;
        self.n_records += 1;
        Ok(())
    }

    /// Brings everything to the disk, and looks whether the file is still there.
    pub(super) fn sync(&mut self) -> Result<(), SinkError> {
        sync(&self.file, &self.path)?;
        self.n_on_disk = self.n_records;
        self.bytes_on_disk = self.n_bytes;
        Ok(())
    }

    /// Cuts off what a write that failed left behind the last whole record.
    pub(super) fn cut_torn_tail(&self) -> Result<(), SinkError> {
        self.file.set_len(self.n_bytes()).map_err(|source| self.io("cannot shorten", source))
    }

    /// Cuts off what was written since the last sync, of which nobody knows whether it reaches the disk.
    pub(super) fn cut_back(&mut self) -> Result<(), SinkError> {
        (self.n_records, self.n_bytes) = (self.n_on_disk, self.bytes_on_disk);
        let count = self.writer.count(self.n_records).map_err(|error| SinkError::Format(error.to_string()))?;
        if let Some((at, count)) = count {
            self.file.write_all_at(&count, at).map_err(|source| self.io("cannot write", source))?;
        }
        self.cut_torn_tail()?;
        self.sync()
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> SinkError {
        SinkError::Io { what, path: self.path.clone(), source }
    }
}

/// Brings `file` to the disk. One that was deleted meanwhile, with its directory or without, takes everything and keeps
/// nothing, which no write and no sync tells.
pub(super) fn sync(file: &File, path: &Path) -> Result<(), SinkError> {
    let io = |what, source| SinkError::Io { what, path: path.to_owned(), source };
    file.sync_data().map_err(|source| io(CANNOT_SYNC, source))?;
    match file.metadata() {
        Ok(metadata) if metadata.nlink() == 0 => {
            let deleted = std::io::Error::new(ErrorKind::NotFound, "it was deleted while it was being written");
            Err(io(CANNOT_SYNC, deleted))
        }
        Ok(_) => Ok(()),
        Err(source) => Err(io("cannot see", source)),
    }
}

/// Makes new names in `dir` outlast a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SinkError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| SinkError::Io { what: CANNOT_SYNC, path: dir.to_owned(), source })
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
