//! Removes old recordings, and only what is surely ours and finished: a data file with its finished name, and beside it a
//! sidecar with our ledger whose state is an end. Never one in work, never anything that a person put there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::names::Names;

/// Files from before this instant (2024) were made by a clock that was not set: nobody knows how old they are.
const CLOCK_UNSET: Duration = Duration::from_secs(1_704_067_200);

/// How much is kept; 0: all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Keep {
    /// Recordings that were finished longer ago go.
    pub days: f64,
    /// The oldest recordings go until the rest takes no more than this, tables and sidecars not counted.
    pub bytes: u64,
}

/// A finished recording.
#[derive(Debug)]
struct Finished {
    names: Names,
    modified: SystemTime,
    bytes: u64,
}

/// Removes from one folder.
#[derive(Debug)]
pub struct Retainer {
    dir: PathBuf,
    keep: Keep,
    /// Whether a data file is ours and finished, as its sidecar said once: that does not change, and a folder of a
    /// month's minutes is not read again every minute.
    ours: HashMap<PathBuf, bool>,
}

impl Retainer {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(dir: PathBuf, keep: Keep) -> Retainer {
        Retainer { dir, keep, ours: HashMap::new() }
    }

    /// Removes what is too old or too much, the oldest first, and tells the log.
    pub fn retain(&mut self) {
        if self.keep == Keep::default() {
            return;
        }
        match self.list() {
            Ok(recordings) => self.remove(recordings, SystemTime::now()),
            Err(error) => tracing::warn!("cannot see what is old in {}: {error}", self.dir.display()),
        }
    }

    fn remove(&mut self, recordings: Vec<Finished>, now: SystemTime) {
        let mut bytes: u64 = recordings.iter().map(|recording| recording.bytes).sum();
        for recording in recordings {
            let age = now.duration_since(recording.modified).unwrap_or_default();
            let is_dated = recording.modified >= SystemTime::UNIX_EPOCH + CLOCK_UNSET;
            let is_old = self.keep.days > 0.0 && is_dated && age.as_secs_f64() > self.keep.days * 86_400.0;
            let is_too_much = self.keep.bytes > 0 && bytes > self.keep.bytes;
            if !is_old && !is_too_much {
                continue;
            }
            let data = recording.names.data();
            let why = if is_old { "keep_days" } else { "keep_gb" };
            if let Err(error) = std::fs::remove_file(&data) {
                if error.kind() == std::io::ErrorKind::NotFound {
                    // Somebody else was faster.
                    bytes -= recording.bytes;
                    continue;
                }
                tracing::warn!("cannot remove {}, which {why} no longer keeps: {error}", data.display());
                continue;
            }
            tracing::info!("removed {}, {} bytes, which {why} no longer keeps", data.display(), recording.bytes);
            let names = &recording.names;
            for path in [names.channels(), names.events(), names.events_described(), names.sidecar()] {
                if let Err(error) = std::fs::remove_file(&path) {
                    if error.kind() != std::io::ErrorKind::NotFound {
                        tracing::warn!("cannot remove {}: {error}", path.display());
                    }
                }
            }
            bytes -= recording.bytes;
            self.ours.remove(&data);
        }
    }

    /// The finished recordings of ours, the oldest first.
    fn list(&mut self) -> std::io::Result<Vec<Finished>> {
        let mut recordings = Vec::new();
        let folders = super::bids::folders(&self.dir)?;
        // A folder of a subject that somebody removes meanwhile holds nothing.
        let entries = folders.iter().flat_map(std::fs::read_dir).flatten();
        for entry in entries {
            let path = entry?.path();
            let Some(names) = Names::of(&path).filter(|names| path != names.part_data()) else { continue };
            // A link is somebody's; what it leads to is not in this folder.
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let ours = *self.ours.entry(path).or_insert_with(|| is_ours(&names));
            if ours && metadata.is_file() {
                recordings.push(Finished { names, modified: metadata.modified()?, bytes: metadata.len() });
            }
        }
        recordings.sort_by_key(|recording: &Finished| (recording.modified, recording.names.data()));
        Ok(recordings)
    }
}

fn is_ours(names: &Names) -> bool {
    let Ok(text) = super::sidecar::read(&names.sidecar()) else { return false };
    let Ok(sidecar) = serde_json::from_slice::<Value>(&text) else { return false };
    let state = sidecar["state"].as_str().unwrap_or_default();
    let is_over = state == "complete" || state.starts_with("ended") || state.starts_with("recovered");
    is_over
        && names.are_spoken_of(&sidecar)
        && sidecar["session"].is_string()
        && sidecar["ledger"]["recorder"]["expected"].is_u64()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn left(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("lists").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Ten bytes each, finished so many days ago.
    fn put(dir: &Path, name: &str, state: &str, days: u64) {
        let data = dir.join(format!("{name}.bdf"));
        std::fs::write(&data, [0; 10]).expect("writes");
        let file = std::fs::File::options().write(true).open(&data).expect("opens");
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400 + 60)).expect("sets");
        let sidecar = serde_json::json!({"session": "s", "state": state, "ledger": {"recorder": {"expected": 1}}});
        std::fs::write(data.with_extension("json"), sidecar.to_string()).expect("writes");
        std::fs::write(dir.join(format!("{name}_events.tsv")), "").expect("writes");
    }

    #[test]
    fn only_finished_recordings_of_ours_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path();
        put(path, "new", "complete", 0);
        put(path, "old", "complete", 3);
        put(path, "older", "ended: the disk is low", 4);
        put(path, "oldest", "recovered: 3 records", 5);
        put(path, "work.part", "recording", 9);
        put(path, "killed", "recording", 9);
        put(path, "undated", "complete", 20_000);
        put(path, "foreign", "complete", 9);
        std::fs::write(path.join("foreign.json"), "{\"TaskName\": \"rest\"}").expect("writes");
        std::fs::write(path.join("alone.bdf"), [0; 100]).expect("writes");
        let others = ["alone.bdf", "foreign.bdf", "foreign.json", "foreign_events.tsv", "killed.bdf", "killed.json"];
        let of = |names: &[&str]| -> Vec<String> {
            let endings = [".bdf", ".json", "_events.tsv"];
            let kept = names.iter().flat_map(|name| endings.map(|ending| format!("{name}{ending}")));
            let mut all: Vec<_> = others.iter().map(|name| (*name).to_owned()).chain(kept).collect();
            all.extend(
                ["killed_events.tsv", "work.part.bdf", "work.part.json", "work.part_events.tsv"].map(String::from),
            );
            all.sort();
            all
        };
        Retainer::new(path.to_owned(), Keep::default()).retain();
        assert_eq!(left(path), of(&["new", "old", "older", "oldest", "undated"]));
        let mut retainer = Retainer::new(path.to_owned(), Keep { days: 3.5, bytes: 0 });
        retainer.retain();
        assert_eq!(left(path), of(&["new", "old", "undated"]), "the clock that was not set says nothing");
        // By size the undated one is the oldest.
        Retainer::new(path.to_owned(), Keep { days: 0.0, bytes: 25 }).retain();
        assert_eq!(left(path), of(&["new", "old"]));
        Retainer::new(path.to_owned(), Keep { days: 0.0, bytes: 1 }).retain();
        assert_eq!(left(path), of(&[]));
    }
}
