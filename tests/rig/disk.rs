//! A disk that refuses when it is told to: the file that `BIOSIGD_RIG_DISK` names says what fails, and how.
//!
//! `sync 5` makes every fdatasync fail with errno 5 (EIO), `write 30` every pwrite with errno 30 (EROFS), until the file is
//! gone; `sync 5 once` only the next one, as a disk does that could not write some pages: the kernel tells it once and
//! forgets them, and the sync after it succeeds.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The errno with which a call of `kind` is to fail; `None`: it is to be made.
pub(crate) fn fault(kind: &str) -> Option<i32> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os("BIOSIGD_RIG_DISK").map(PathBuf::from)).as_deref()?;
    ordered(file, kind)
}

fn ordered(file: &Path, kind: &str) -> Option<i32> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut words = text.split_whitespace();
    let errno = words.next().filter(|word| *word == kind).and_then(|_| words.next())?.parse().ok()?;
    // Of two threads that read the same order one takes it.
    (words.next() != Some("once") || std::fs::remove_file(file).is_ok()).then_some(errno)
}
