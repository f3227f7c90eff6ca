//! A folder as BIDS wants it (Brain Imaging Data Structure 1.11): data below `sub-X/[ses-Y/]eeg`, and at the top who made
//! it and of whom it is. Nothing that is there is replaced; a subject that the table of participants lacks gets a row.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::sink::SinkError;

/// What is recorded, as the last folder and the end of a name say it.
const KINDS: [&str; 2] = ["eeg", "emg"];

/// A table of participants is not longer than this.
const PARTICIPANTS_BYTES_MAX: u64 = 4 << 20;

/// What the table of participants begins with.
const PARTICIPANTS: &str = "participant_id\n";

const README: &str = "# Recordings made by biosigd\n\n\
    Each `*_eeg.bdf` (or `*_emg.bdf`) holds the 24-bit codes as they were converted, before every filter. The JSON file beside it\n\
    holds the keys of BIDS, the whole configuration of the acquisition, the measured rate, pairs of clock readings and the account\n\
    of every frame: expected = delivered + lost, by cause. Where frames were lost they are filled with each channel's last code,\n\
    annotated `BAD_ACQ_SKIP`, and stand in `*_events.tsv`. `biosigd verify` checks files and accounts.\n\n\
    Say here what was measured, of whom, and how.\n";

/// A name that ends as BIDS wants it: what stands before `_eeg` or `_emg`, and that.
fn split(base: &str) -> Option<(&str, &str)> {
    KINDS.iter().find_map(|kind| {
        let stem = base.strip_suffix(kind)?.strip_suffix('_')?;
        base.starts_with("sub-").then(|| (stem, &base[stem.len()..]))
    })
}

/// `base`, which is taken, with the number `n`, 2 and up: BIDS counts recordings in `run-`, which must stay before the end.
pub(super) fn numbered(base: &OsStr, n: u32) -> OsString {
    let Some((stem, end)) = base.to_str().and_then(split) else {
        let mut name = base.to_owned();
        name.push(format!("-{n}"));
        return name;
    };
    let run = stem.rsplit_once("_run-").and_then(|(before, run)| Some((before, run.parse::<u32>().ok()?)));
    let (before, run) = run.map_or((stem, n), |(before, run)| (before, run.saturating_add(n - 1)));
    format!("{before}_run-{run}{end}").into()
}

/// Whether folders in a template are those of BIDS.
///
/// # Errors
/// A sentence that says what would be.
pub(super) fn check_folders(template: &str) -> Result<(), String> {
    let parts: Vec<&str> = template.split('/').collect();
    let (entities, kind, name) = match parts.as_slice() {
        [_] => return Ok(()),
        [subject, kind, name] => ((*subject).to_owned(), kind, name),
        [subject, session, kind, name] if session.starts_with("ses-") => (format!("{subject}_{session}"), kind, name),
        _ => (String::new(), &"", &""),
    };
    let rest = name.strip_prefix(&format!("{entities}_task-"));
    let is_right = entities.starts_with("sub-")
        && KINDS.contains(kind)
        && rest.is_some_and(|rest| rest.ends_with(&format!("_{kind}")));
    let example = "sub-{subject}/eeg/sub-{subject}_task-{name}_run-{part}_eeg";
    is_right.then_some(()).ok_or_else(|| format!("folders are those of BIDS, such as {example:?}"))
}

/// `dir` and the folders below it in which recordings may be, as BIDS calls them. No links.
///
/// # Errors
/// Where `dir` itself cannot be listed.
pub fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let below = |dir: &Path, is_one: &dyn Fn(&str) -> bool| -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let is_named = entry.file_name().to_str().is_some_and(is_one);
            if is_named && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    let mut found = vec![dir.to_owned()];
    let is_kind = |name: &str| KINDS.contains(&name);
    for subject in below(dir, &|name| name.starts_with("sub-"))? {
        // One that somebody removes meanwhile holds nothing.
        let sessions = below(&subject, &|name| name.starts_with("ses-")).unwrap_or_default();
        for folder in std::iter::once(subject).chain(sessions) {
            found.extend(below(&folder, &is_kind).unwrap_or_default());
        }
    }
    Ok(found)
}

/// Where the recording `path` goes, a name in `dir` with or without folders; those and what BIDS wants at the top are made.
///
/// # Errors
/// Where a folder cannot be made; what stands at the top is told in the log, because no recording must fail for it.
pub(super) fn place(dir: &Path, path: &str, software_version: &str) -> Result<(PathBuf, String), SinkError> {
    let Some((folders, base)) = path.rsplit_once('/') else { return Ok((dir.to_owned(), path.to_owned())) };
    let folder = dir.join(folders);
    let io = |source| SinkError::Io { what: "cannot create", path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(io)?;
    // The names of the folders must outlast a power cut as that of the file does.
    folder.ancestors().skip(1).take(folders.split('/').count()).try_for_each(sync).map_err(io)?;
    let subject = folders.split('/').next().unwrap_or(folders);
    if let Err(error) = describe(dir, subject, software_version) {
        tracing::warn!("{} is not described as BIDS wants it: {error}", dir.display());
    }
    Ok((folder, base.to_owned()))
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// What BIDS wants beside the folders of the subjects.
fn describe(dir: &Path, subject: &str, software_version: &str) -> io::Result<()> {
    let name = dir.file_name().map_or("recordings".into(), OsStr::to_string_lossy);
    let made_by = json!([{"Name": "biosigd", "Version": software_version}]);
    let description = json!({"Name": name, "BIDSVersion": "1.11.0", "DatasetType": "raw", "GeneratedBy": made_by});
    make(&dir.join("dataset_description.json"), &format!("{description:#}\n"))?;
    if !["README", "README.md", "README.rst", "README.txt"].iter().any(|name| super::names::exists(&dir.join(name))) {
        make(&dir.join("README.md"), README)?;
    }
    let participants = dir.join("participants.tsv");
    make(&participants, PARTICIPANTS)?;
    add_participant(&participants, subject)
}

/// Makes a file that is not there.
fn make(path: &Path, text: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).and_then(|()| file.sync_all()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Appends a row for a subject that has none; what else a person keeps of participants is `n/a` in it.
fn add_participant(path: &Path, subject: &str) -> io::Result<()> {
    let mut text = String::new();
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    (&mut file).take(PARTICIPANTS_BYTES_MAX).read_to_string(&mut text)?;
    let mut rows = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let columns = rows.next().unwrap_or_default();
    if columns.first() != Some(&"participant_id") || rows.any(|row| row.first() == Some(&subject)) {
        return Ok(());
    }
    let start = if text.ends_with('\n') { "" } else { "\n" };
    let row = format!("{start}{subject}{}\n", "\tn/a".repeat(columns.len() - 1));
    file.write_all(row.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_counts_where_bids_counts() {
        let n = |base: &str, n| numbered(OsStr::new(base), n).into_string().expect("text");
        assert_eq!(n("a", 2), "a-2");
        assert_eq!(n("x_eeg", 2), "x_eeg-2", "none of BIDS");
        assert_eq!(n("sub-1_task-rest_eeg", 3), "sub-1_task-rest_run-3_eeg");
        assert_eq!(n("sub-1_task-rest_run-4_emg", 3), "sub-1_task-rest_run-6_emg");
    }

    #[test]
    fn folders_that_are_not_those_of_bids_are_refused() {
        for right in [
            "{name}",
            "sub-{subject}/eeg/sub-{subject}_task-{name}_run-{part}_eeg",
            "sub-{subject}/ses-2/emg/sub-{subject}_ses-2_task-{name}_run-{part}_emg",
        ] {
            assert_eq!(check_folders(right), Ok(()), "{right}");
        }
        let why = "folders are those of BIDS, such as \"sub-{subject}/eeg/sub-{subject}_task-{name}_run-{part}_eeg\"";
        for wrong in [
            "a/{name}",
            "/{name}",
            "../{name}",
            "sub-1/eeg/sub-2_task-x_eeg",
            "sub-1/eeg/sub-1_task-x_emg",
            "sub-1/meg/sub-1_task-x_meg",
            "sub-1/2/eeg/sub-1_2_task-x_eeg",
            "sub-1/eeg/sub-1_eeg",
            "sub-1/ses-1/eeg/x/sub-1_task-x_eeg",
        ] {
            assert_eq!(check_folders(wrong), Err(why.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn what_a_person_put_there_stays_and_is_added_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writes");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("reads");
        write("README.txt", "mine");
        write("dataset_description.json", "{}");
        write("participants.tsv", "participant_id\tage\nsub-1\t30");
        for path in ["sub-1/eeg/a", "sub-2/eeg/a", "sub-2/ses-1/eeg/a"] {
            let (folder, base) = place(dir.path(), path, "1").expect("makes it");
            assert_eq!((folder.join(&base), base.as_str()), (dir.path().join(path), "a"));
        }
        assert_eq!((read("README.txt"), read("dataset_description.json")), ("mine".into(), "{}".into()));
        assert_eq!(read("participants.tsv"), "participant_id\tage\nsub-1\t30\nsub-2\tn/a\n");
        assert!(!dir.path().join("README.md").exists());
        let found = folders(dir.path()).expect("lists");
        let below = ["", "sub-1/eeg", "sub-2/eeg", "sub-2/ses-1/eeg"];
        assert_eq!(found, below.map(|path| if path.is_empty() { dir.path().into() } else { dir.path().join(path) }));
    }
}
