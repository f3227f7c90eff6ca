//! The real recordings, which are no part of this repository.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The recording `name` in the directory that `BIOSIGD_TEST_DATA` names, or beside the clone. `None` where it is not,
/// and a line that also a test which passes shows, so that `tests/run` counts what was left out.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("BIOSIGD_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    drop(writeln!(std::io::stderr(), "\nskipped: no recording at {}", path.display()));
    None
}
