//! `biosigd recover`, and the same when the daemon starts: recordings that were not finished become whole.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::sink::recorder::{Keep, Names, RepairError, Retainer, complete, folders, lowest_priority, repair};

/// Why `recover` is not content.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Nothing is at a path: exit code 66.
    #[error("cannot open {}", path.display())]
    NoInput {
        /// Which path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Files cannot be made whole: exit code 65.
    #[error("{n_damaged} of {n_files} files cannot be made whole")]
    Damaged {
        /// How many.
        n_damaged: usize,
        /// Of how many that were looked at.
        n_files: usize,
    },
    /// The system refused to change a file: exit code 73.
    #[error("cannot make {} whole", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: RepairError,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Output(#[source] std::io::Error),
}

/// Makes every file whole, and every unfinished recording in every directory, and says to `out` what was done.
///
/// # Errors
/// After all were looked at: [`RecoverError::Damaged`], else [`RecoverError::Refused`], else [`RecoverError::NoInput`] for
/// the first. [`RecoverError::Output`] at once.
pub fn recover(paths: &[PathBuf], out: &mut impl Write) -> Result<(), RecoverError> {
    let (mut missing, mut refused) = (None, None);
    let (mut n_damaged, mut n_files) = (0, 0);
    for path in paths {
        let (files, is_named) = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => (unfinished(path), false),
            Ok(_) => (Ok(vec![path.clone()]), true),
            Err(error) => (Err(error), true),
        };
        let files = match files {
            Ok(files) => files,
            Err(source) => {
                writeln!(out, "{}\n  cannot open: {source}", path.display()).map_err(RecoverError::Output)?;
                missing.get_or_insert(RecoverError::NoInput { path: path.clone(), source });
                continue;
            }
        };
        for file in files {
            n_files += 1;
            let lines = match one(&file, is_named) {
                Ok(lines) if lines.is_empty() && !is_named => continue,
                Ok(lines) if lines.is_empty() => "  finished: nothing to do\n".to_owned(),
                Ok(lines) => lines.iter().map(|line| format!("  {line}\n")).collect(),
                Err(RepairError::Held) => "  a recorder is writing it: left alone\n".to_owned(),
                Err(RepairError::Foreign) => "  none of biosigd's recordings: left alone\n".to_owned(),
                Err(RepairError::Damaged(why)) => {
                    n_damaged += 1;
                    format!("  DAMAGED: {why}\n")
                }
                Err(source) => {
                    let why = std::error::Error::source(&source).map_or(String::new(), |why| format!(": {why}"));
                    let line = format!("  NOT RECOVERED: {source}{why}\n");
                    refused.get_or_insert(RecoverError::Refused { path: file.clone(), source });
                    line
                }
            };
            write!(out, "{}\n{lines}", file.display()).map_err(RecoverError::Output)?;
        }
    }
    match refused.or(missing) {
        _ if n_damaged > 0 => Err(RecoverError::Damaged { n_damaged, n_files }),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Makes one file whole. No line: it was finished.
fn one(path: &Path, is_named: bool) -> Result<Vec<String>, RepairError> {
    let Some(names) = Names::of(path) else {
        return Err(RepairError::Damaged("its name does not end in .bdf, .edf, .csv or .raw".to_owned()));
    };
    let repaired = repair(path, is_named)?;
    let (names, mut lines) = match repaired {
        Some(repaired) => {
            let data = repaired.names.data();
            let named = data.exists().then(|| format!("recovered: {}", data.display()));
            (repaired.names, named.into_iter().chain(repaired.lines).collect())
        }
        None => (names, Vec::new()),
    };
    // The recording is whole; what stands beside it can be made again.
    if let Err(error) = complete(&names, &AtomicBool::new(false)) {
        if error.kind() != std::io::ErrorKind::NotFound {
            lines.push(format!("its tables or its sum could not be written: {error}"));
        }
    }
    Ok(lines)
}

/// Data files in a folder, finished or not, in the order of their names. Of the folders below, in those of BIDS.
fn unfinished(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folders(dir)?.iter().flat_map(std::fs::read_dir).flatten() {
        let entry = entry?;
        // A link is somebody's.
        if entry.file_type()?.is_file() && Names::of(&entry.path()).is_some() {
            files.push(entry.path());
        }
    }
    // Unfinished ones first: they matter more than a missing sum.
    let is_part = |path: &Path| Names::of(path).is_some_and(|names| path == names.part_data());
    files.sort_by_key(|path| (!is_part(path), path.clone()));
    Ok(files)
}

/// The same for what a daemon finds that starts, on a thread that gives way to all others; then what is no longer kept goes.
/// The folder is listed at once, so that the recordings of this run are not among them.
pub(super) fn at_start(dir: &Path, keep: Keep) {
    let files = match unfinished(dir) {
        Ok(files) => files,
        Err(error) => return tracing::warn!("cannot look for unfinished recordings in {}: {error}", dir.display()),
    };
    let dir = dir.to_owned();
    let work = move || {
        lowest_priority();
        for file in files {
            match one(&file, false) {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => tracing::warn!("{} was not finished; {}", file.display(), lines.join("; ")),
                Err(RepairError::Held | RepairError::Foreign) => {}
                Err(error) => {
                    let why = std::error::Error::source(&error).map_or(String::new(), |why| format!(": {why}"));
                    tracing::error!("{} was not finished and is left as it is: {error}{why}", file.display());
                }
            }
        }
        Retainer::new(dir, keep).retain();
    };
    if let Err(error) = std::thread::Builder::new().name("record-recover".to_owned()).spawn(work) {
        tracing::warn!("no thread to look for unfinished recordings: {error}");
    }
}
