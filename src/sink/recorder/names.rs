//! Where the files of a recording stand: `NAME.part.bdf` (or another format's ending) and `NAME.part.json` until it is
//! finished, then `NAME.bdf` and `NAME.json`, with `NAME_channels.tsv` and `NAME_events.tsv` beside them.
//!
//! The order of the end is thought through for a power cut after every step. What the files hold is on the disk before
//! any is renamed. The sidecar gets its name first and the data last, so that whoever sees `NAME.bdf` sees a whole
//! recording with its account. A cut in between leaves `NAME.json` beside `NAME.part.bdf`, which `recover` renames. Then
//! the directory is synced. A file system without an order of its own may bring the second renaming to the disk alone:
//! `NAME.bdf` with `NAME.part.json`, which `recover` renames too. No step replaces a file that is there.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::bids;
use crate::format::FileFormat;
use crate::sink::SinkError;

/// What stands before the ending of a data file in work: readers open it by the last part.
const PART: &str = ".part";

/// A folder and the name of a recording in it, without any ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    dir: PathBuf,
    base: OsString,
    format: FileFormat,
}

impl Names {
    /// The names of the recording whose data file is at `path`, finished or not. `None` where it does not end as one of the
    /// formats.
    #[must_use]
    pub fn of(path: &Path) -> Option<Names> {
        let format = FileFormat::of(path)?;
        let name = path.file_stem()?.as_bytes();
        let base = name.strip_suffix(PART.as_bytes()).unwrap_or(name);
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        (!base.is_empty()).then(|| Names { dir, base: OsStr::from_bytes(base).to_owned(), format })
    }

    /// The format of the data file.
    #[must_use]
    pub fn format(&self) -> FileFormat {
        self.format
    }

    /// Whether a sidecar speaks of the data file of these names: one of another format may lie beside it. Those of the first
    /// versions do not say it, and stand beside BDF.
    #[must_use]
    pub fn are_spoken_of(&self, sidecar: &serde_json::Value) -> bool {
        sidecar["format"].as_str().unwrap_or(FileFormat::Bdf.ending()) == self.format.ending()
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        if self.dir.as_os_str().is_empty() { Path::new(".") } else { &self.dir }
    }

    /// The data file in work.
    #[must_use]
    pub fn part_data(&self) -> PathBuf {
        self.with(&format!("{PART}.{}", self.format.ending()))
    }

    /// The sidecar in work.
    #[must_use]
    pub fn part_sidecar(&self) -> PathBuf {
        self.with(".part.json")
    }

    /// What is known of the markers of a file whose table of events was not made yet.
    #[must_use]
    pub fn part_markers(&self) -> PathBuf {
        self.with(".part.jsonl")
    }

    /// The finished data file.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.with(&format!(".{}", self.format.ending()))
    }

    /// The finished sidecar.
    #[must_use]
    pub fn sidecar(&self) -> PathBuf {
        self.with(".json")
    }

    /// The table of channels.
    #[must_use]
    pub fn channels(&self) -> PathBuf {
        self.table("_channels.tsv")
    }

    /// The table of events.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.table("_events.tsv")
    }

    /// What the table of events says, column by column.
    #[must_use]
    pub fn events_described(&self) -> PathBuf {
        self.table("_events.json")
    }

    /// The finished data file's name without the folder, for people and sidecars.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.base.to_string_lossy(), self.format.ending())
    }

    /// Gives both files their finished names; others (`-2`, `-3` ...) where those are taken. The caller has brought what
    /// they hold to the disk.
    ///
    /// # Errors
    /// When the system refuses; each file then has its name in work or its finished one.
    pub fn finish(&self) -> io::Result<Names> {
        for to in self.candidates() {
            if exists(&to.data()) || (to != *self && exists(&to.part_markers())) {
                continue;
            }
            let (markers, sidecar) = (self.part_markers(), self.part_sidecar());
            let has_sidecar = exists(&sidecar);
            if has_sidecar {
                match rename(&sidecar, &to.sidecar()) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    other => other?,
                }
            } else if to != *self && exists(&to.sidecar()) {
                continue;
            }
            // Before the data: the table of events is made of it by whoever sees those finished.
            let has_markers = to != *self && exists(&markers);
            if has_markers {
                rename(&markers, &to.part_markers())?;
            }
            match rename(&self.part_data(), &to.data()) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && has_sidecar => {
                    if has_markers {
                        rename(&to.part_markers(), &markers)?;
                    }
                    rename(&to.sidecar(), &sidecar)?;
                    continue;
                }
                other => other?,
            }
            File::open(to.dir())?.sync_all()?;
            return Ok(to);
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// These names, then those with a number.
    fn candidates(&self) -> impl Iterator<Item = Names> {
        let numbered = |n| Names { dir: self.dir.clone(), base: bids::numbered(&self.base, n), format: self.format };
        std::iter::once(self.clone()).chain((2..100_000).map(numbered))
    }

    fn with(&self, ending: &str) -> PathBuf {
        let mut name = self.base.clone();
        name.push(ending);
        self.dir.join(name)
    }

    /// BIDS gives the data file `_eeg` or `_emg`, and the tables of the same recording their own word instead.
    fn table(&self, ending: &str) -> PathBuf {
        let cut = |suffix: &str| self.base.to_str().and_then(|base| base.strip_suffix(suffix));
        let mut name = cut("_eeg").or_else(|| cut("_emg")).map_or_else(|| self.base.clone(), OsString::from);
        name.push(OsStr::new(ending));
        self.dir.join(name)
    }
}

/// A new pair of files in `dir`, data and sidecar, in work, called `base` or with a number; never one that exists, nor one
/// whose finished name is taken. The data file is locked, so that `recover` leaves it alone for as long as this process lives.
pub(super) fn create(dir: &Path, base: &str, format: FileFormat) -> Result<(Names, [File; 2]), SinkError> {
    let io = |path: &Path, source| SinkError::Io { what: "cannot create", path: path.to_owned(), source };
    let create = |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(path);
    for names in (Names { dir: dir.to_owned(), base: base.into(), format }).candidates() {
        let taken = [
            names.data(),
            names.sidecar(),
            names.channels(),
            names.events(),
            names.events_described(),
            names.part_markers(),
        ];
        if taken.iter().any(|path| exists(path)) {
            continue;
        }
        let (data_path, sidecar_path) = (names.part_data(), names.part_sidecar());
        let data = match create(&data_path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(io(&data_path, error)),
        };
        // Waits for a `recover` that is just looking at the empty file.
        if let Err(error) = flock(&data, FlockOperation::LockExclusive) {
            tracing::warn!("cannot lock {}: {error}; do not recover this folder while it runs", data_path.display());
        }
        // That one may have taken it for what a killed recorder left, and removed it.
        if data.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
            continue;
        }
        match create(&sidecar_path) {
            Ok(sidecar) => return Ok((names, [data, sidecar])),
            Err(error) => {
                remove(&data_path);
                if error.kind() != ErrorKind::AlreadyExists {
                    return Err(io(&sidecar_path, error));
                }
            }
        }
    }
    Err(SinkError::Format("every name is taken".to_owned()))
}

/// Locks a data file for this process; the kernel lets go when the process ends, however it ends.
///
/// # Errors
/// [`ErrorKind::WouldBlock`] when another one holds it; others where the file system has no locks.
pub(super) fn lock(data: &File) -> io::Result<()> {
    // A child that was forked and does not run its own program yet holds what its parent has let go.
    for _ in 0..10 {
        match flock(data, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(10)),
            other => return Ok(other?),
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

/// Renames without replacing.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where there is such a file, others as the system has them.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that does not know the flag: nearly as good, since names are ours alone.
        Err(Errno::INVAL | Errno::NOSYS) if exists(to) => Err(ErrorKind::AlreadyExists.into()),
        Err(Errno::INVAL | Errno::NOSYS) => std::fs::rename(from, to),
        other => Ok(other?),
    }
}

/// Whether anything has this name, a link to nowhere included.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Removes a file that was made a moment ago.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("lists").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_are_found_by_either_ending() {
        for path in ["d/a.b.bdf", "d/a.b.part.bdf"] {
            let names = Names::of(Path::new(path)).expect("ends in .bdf");
            assert_eq!((names.data(), names.part_data()), ("d/a.b.bdf".into(), "d/a.b.part.bdf".into()));
            assert_eq!((names.sidecar(), names.part_sidecar()), ("d/a.b.json".into(), "d/a.b.part.json".into()));
            assert_eq!(names.events(), Path::new("d/a.b_events.tsv"));
        }
        let bids = Names::of(Path::new("sub-1_task-x_eeg.bdf")).expect("ends in .bdf");
        assert_eq!((bids.channels(), bids.dir()), ("sub-1_task-x_channels.tsv".into(), Path::new(".")));
        assert_eq!(
            ["a.txt", ".bdf", ".part.bdf", "a.json"].map(|path| Names::of(Path::new(path))),
            [None, None, None, None]
        );
    }

    #[test]
    fn an_existing_file_of_any_kind_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let taken = ["a.bdf", "a-2.json", "a-3.part.json", "a-4_events.tsv"];
        taken.iter().for_each(|name| std::fs::write(dir.path().join(name), name).expect("writes"));
        let (names, _files) = create(dir.path(), "a", FileFormat::Bdf).expect("creates");
        assert_eq!(names.part_data(), dir.path().join("a-5.part.bdf"));
        assert_eq!(listing(dir.path()).len(), 6);
        for name in taken {
            assert_eq!(std::fs::read_to_string(dir.path().join(name)).expect("reads"), name);
        }
    }

    #[test]
    fn a_finished_name_that_was_taken_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        let (names, _files) = create(dir.path(), "a", FileFormat::Bdf).expect("creates");
        std::fs::write(dir.path().join("a.bdf"), "mine").expect("writes");
        std::fs::write(dir.path().join("a-2.json"), "mine").expect("writes");
        assert_eq!(names.finish().expect("renames").data(), dir.path().join("a-3.bdf"));
        assert_eq!(listing(dir.path()), ["a-2.json", "a-3.bdf", "a-3.json", "a.bdf"]);
    }

    #[test]
    fn a_recording_in_work_is_locked() {
        let dir = tempfile::tempdir().expect("a folder");
        let (names, files) = create(dir.path(), "a", FileFormat::Bdf).expect("creates");
        let other = File::open(names.part_data()).expect("opens");
        assert_eq!(lock(&other).expect_err("held").kind(), ErrorKind::WouldBlock);
        drop(files);
        lock(&other).expect("free");
    }
}
