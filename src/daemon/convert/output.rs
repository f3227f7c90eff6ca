//! OUT: written under a name of its own beside the final one, which it gets when all is on the disk. Dropped before that,
//! it is gone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
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
        NewFile::beside(path)
    }

    /// The same, where [`NewFile::publish`] is to look at what is there.
    pub(super) fn beside(path: &Path) -> Result<NewFile, ConvertError> {
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

    /// The final name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it means when writing fails.
    pub(super) fn error(&self, source: io::Error) -> ConvertError {
        ConvertError::Write { path: self.path.clone(), source }
    }

    /// Brings what was written to the disk.
    pub(super) fn seal(&mut self) -> Result<(), ConvertError> {
        let sealed = self.out.flush().and_then(|()| self.out.get_ref().sync_data());
        sealed.map_err(|source| self.error(source))
    }

    /// Gives the file its final name; it was sealed. Where a file of the same bytes has that name, that one stays and this
    /// one goes. True: the name is new.
    pub(super) fn publish(&mut self) -> Result<bool, ConvertError> {
        let Some(work) = self.work.clone() else { return Ok(false) };
        match rename(&work, &self.path) {
            Ok(()) => {
                self.work = None;
                let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                // The data are on the disk; where a folder cannot be synced the name comes there later.
                if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
                    tracing::debug!("{} is not synced: {error}", dir.display());
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match same(&work, &self.path) {
                true => Ok(false),
                false => Err(ConvertError::Exists { path: self.path.clone() }),
            },
            Err(source) => Err(self.error(source)),
        }
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

/// Whether two files hold the same bytes. One that cannot be read is another.
fn same(one: &Path, other: &Path) -> bool {
    if !other.is_file() {
        return false;
    }
    let bytes = |path: &Path| File::open(path).map(|file| io::BufReader::with_capacity(1 << 16, file).bytes());
    let (Ok(mut one), Ok(mut other)) = (bytes(one), bytes(other)) else { return false };
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Ok(a)), Some(Ok(b))) if a == b => {}
            _ => return false,
        }
    }
}
