//! The keys of `[recorder]` that speak of files: what they are called, when another one begins, what is kept.

use std::path::{Path, PathBuf};

use super::settings::Recorder;
use crate::config::{Mistakes, Table};
use crate::sink::recorder::{FileName, Keep, Rotate};

/// Notes what is wrong with them; written so that NaN is refused.
pub(super) fn check(table: &Table<'_>, recorder: &Recorder, mistakes: &mut Mistakes) {
    if let Err(why) = FileName::parse(&recorder.file_name) {
        table.refuse(mistakes, "file_name", format!("file_name = {:?}: {why}", recorder.file_name));
    }
    for (key, value, least, most) in [
        ("rotate_s", recorder.rotate_s, 1.0, 1e7),
        ("rotate_gb", recorder.rotate_gb, 0.001, 100_000.0),
        ("gap_file_s", recorder.gap_file_s, 1.0, 1e7),
        ("keep_days", recorder.keep_days, 0.01, 100_000.0),
        ("keep_gb", recorder.keep_gb, 0.001, 100_000.0),
    ] {
        if !(value == 0.0 || (least <= value && value <= most)) {
            let zero = if key.starts_with("keep") { "for all" } else { "for never" };
            table.refuse(mistakes, key, format!("{key} = {value} must be {least} to {most}, or 0 {zero}"));
        }
    }
}

/// The template, which was checked.
pub(super) fn file_name(recorder: &Recorder) -> FileName {
    FileName::parse(&recorder.file_name).unwrap_or_default()
}

/// When another file begins.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gigabytes in range")]
pub(super) fn rotate(recorder: &Recorder) -> Rotate {
    Rotate { every_s: recorder.rotate_s, bytes: (recorder.rotate_gb * 1e9) as u64, gap_s: recorder.gap_file_s }
}

/// How much is kept.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "gigabytes in range")]
pub(super) fn keep(recorder: &Recorder) -> Keep {
    Keep { days: recorder.keep_days, bytes: (recorder.keep_gb * 1e9) as u64 }
}

/// What is removed, for `check`; `None` where nothing.
pub(super) fn removes(recorder: &Recorder) -> Option<String> {
    let days = (recorder.keep_days > 0.0).then(|| format!("older than {} days", recorder.keep_days));
    let size = (recorder.keep_gb > 0.0).then(|| format!("beyond {} GB", recorder.keep_gb));
    let what: Vec<_> = days.into_iter().chain(size).collect();
    (!what.is_empty())
        .then(|| format!("removes finished recordings of its own {}, the oldest first", what.join(" or ")))
}

/// When another file begins, for `check`; `None` where never.
pub(super) fn when(recorder: &Recorder) -> Option<String> {
    let reasons = [
        (recorder.rotate_s, format!("every {} s", recorder.rotate_s)),
        (recorder.rotate_gb, format!("before {} GB", recorder.rotate_gb)),
        (recorder.gap_file_s, format!("after a gap longer than {} s", recorder.gap_file_s)),
    ];
    let reasons: Vec<_> = reasons.into_iter().filter(|(value, _)| *value > 0.0).map(|(_, text)| text).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// Where recordings go: absolute as it is, else relative to the service's state directory, else as the design says.
pub(super) fn recordings_dir(dir: &Path, config_file: Option<&Path>) -> PathBuf {
    if let Some(state) = std::env::var_os("STATE_DIRECTORY").filter(|state| !state.is_empty()) {
        return Path::new(&state).join(dir);
    }
    match config_file {
        Some(file) if file.starts_with("/etc") => Path::new("/var/lib/biosigd").join(dir),
        Some(file) => file.parent().unwrap_or(Path::new("")).join(dir),
        None => dir.to_owned(),
    }
}
