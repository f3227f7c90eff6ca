//! The data file: a header, then records that are appended; and where files stand and what they are called.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
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

/// A new pair of files in `dir`, data and sidecar, named after `name` and the instant; never one that exists.
pub(super) fn create_pair(dir: &Path, name: &str, utc_ns: u64) -> Result<[(File, PathBuf); 2], SinkError> {
    let io = |what, path: &Path, source| SinkError::Io { what, path: path.to_owned(), source };
    let base = base_name(name, utc_ns);
    for n in 1.. {
        let base = if n == 1 { base.clone() } else { format!("{base}-{n}") };
        let paths = ["bdf", "json"].map(|extension| dir.join(format!("{base}.{extension}")));
        let create = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
        let data = match create(&paths[0]) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(io("cannot create", &paths[0], error)),
        };
        let sidecar = create(&paths[1]).inspect_err(|_| remove(&paths[0]));
        let [data_path, sidecar_path] = paths;
        match sidecar {
            Ok(sidecar) => return Ok([(data, data_path), (sidecar, sidecar_path)]),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("cannot create", &sidecar_path, error)),
        }
    }
    Err(SinkError::Format("every name is taken".to_owned()))
}

/// Removes a file that was made a moment ago.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// Makes new names in `dir` outlast a power cut.
pub(super) fn sync_dir(dir: &Path) -> Result<(), SinkError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| SinkError::Io { what: "cannot sync", path: dir.to_owned(), source })
}

/// Bytes that an unprivileged writer may still take in `dir`'s file system.
pub(super) fn free_bytes(dir: &Path) -> Result<u64, SinkError> {
    match rustix::fs::statvfs(dir) {
        Ok(space) => Ok(space.f_bavail.saturating_mul(space.f_frsize)),
        Err(errno) => {
            Err(SinkError::Io { what: "cannot see the free space of", path: dir.to_owned(), source: errno.into() })
        }
    }
}

/// `NAME_2026-11-21T11-30-05.250Z`: sorts by time, and has no colon, which some file systems refuse.
fn base_name(name: &str, utc_ns: u64) -> String {
    let time = timestamp(utc_ns).to_zoned(TimeZone::UTC).datetime();
    let ms = time.subsec_nanosecond() / 1_000_000;
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()];
    let time = format!("{}T{hour:02}-{minute:02}-{second:02}.{ms:03}Z", time.date());
    // A name comes from a person or a program on the network: it must stay within the folder.
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(100).collect();
    match name.trim_start_matches('.') {
        "" => time,
        name => format!("{name}_{time}"),
    }
}

/// Nanoseconds since 1970 as the calendar's instant; beyond its end (year 9999), its start.
pub(super) fn timestamp(utc_ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(utc_ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_stay_in_the_folder() {
        let utc_ns = 1_795_260_605_250_999_999;
        assert_eq!(base_name("", utc_ns), "2026-11-21T11-30-05.250Z");
        assert_eq!(base_name("rest 1", utc_ns), "rest_1_2026-11-21T11-30-05.250Z");
        assert_eq!(base_name("../../etc/x", utc_ns), "_.._etc_x_2026-11-21T11-30-05.250Z");
    }

    #[test]
    fn an_existing_file_of_either_kind_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let taken = dir.path().join("1970-01-01T00-00-00.000Z.bdf");
        let half_taken = dir.path().join("1970-01-01T00-00-00.000Z-2.json");
        std::fs::write(&taken, "a").expect("writes");
        std::fs::write(&half_taken, "b").expect("writes");
        let [(_, data), (_, sidecar)] = create_pair(dir.path(), "", 0).expect("creates");
        assert_eq!(data, dir.path().join("1970-01-01T00-00-00.000Z-3.bdf"));
        assert_eq!(sidecar, dir.path().join("1970-01-01T00-00-00.000Z-3.json"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 4);
        assert_eq!(std::fs::read(&taken).expect("reads"), b"a");
    }
}
