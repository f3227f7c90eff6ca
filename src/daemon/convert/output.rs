//! OUT: written under a name of its own beside the final one, which it gets when all is on the disk. Dropped before that,
//! it is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ConvertError;
use crate::sink::recorder::{exists, rename};

/// Bytes that are written at once.
const PIECE_BYTES: usize = 1 << 20;

/// A file in work.
#[derive(Debug)]
pub(super) struct NewFile {
    path: PathBuf,
    /// Its name in work; `None` once it has the final one.
    work: Option<PathBuf>,
    out: BufWriter<File>,
}

impl NewFile {
    /// A new file for `path`, which must not exist.
    pub(super) fn create(path: &Path) -> Result<NewFile, ConvertError> {
        if exists(path) {
            return Err(ConvertError::Exists { path: path.to_owned() });
        }
        let error = |source| ConvertError::Create { path: path.to_owned(), source };
        for n in 0..100 {
            let mut work = path.as_os_str().to_owned();
            work.push(format!(".{}-{n}.new", std::process::id()));
            let work = PathBuf::from(work);
            match OpenOptions::new().write(true).create_new(true).open(&work) {
                Ok(file) => {
                    let out = BufWriter::with_capacity(PIECE_BYTES, file);
                    return Ok(NewFile { path: path.to_owned(), work: Some(work), out });
                }
                Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(error(source)),
            }
        }
        Err(error(ErrorKind::AlreadyExists.into()))
    }

    /// What it means when writing fails.
    pub(super) fn error(&self, source: io::Error) -> ConvertError {
        ConvertError::Write { path: self.path.clone(), source }
    }

    /// Brings what was written to the disk.
    /// `count` is what comes into its header now that its end is known: where, and what.
    pub(super) fn seal(&mut self, count: Option<(u64, [u8; 8])>) -> Result<(), ConvertError> {
        let mut sealed = self.out.flush();
        if let Some((at, count)) = count {
            sealed = sealed.and_then(|()| self.out.get_ref().write_all_at(&count, at));
        }
        let sealed = sealed.and_then(|()| self.out.get_ref().sync_data());
        sealed.map_err(|source| self.error(source))
    }

    /// Gives the file its final name; it was sealed.
    pub(super) fn publish(&mut self) -> Result<(), ConvertError> {
        let Some(work) = self.work.clone() else { return Ok(()) };
        rename(&work, &self.path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => ConvertError::Exists { path: self.path.clone() },
            _ => self.error(source),
        })?;
        self.work = None;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The data are on the disk; where a folder cannot be synced the name comes there later.
        if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
            tracing::debug!("{} is not synced: {error}", dir.display());
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            // What made it fail is told; a file that cannot be removed either is found by its name.
            drop(fs::remove_file(work));
        }
    }
}
