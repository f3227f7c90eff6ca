//! What is known of a marker beyond what an annotation holds: who told of it, how sure its frame is, and the sender's
//! clock. It is written to `NAME.part.jsonl` as markers arrive, a line each, so that a process that is killed loses none,
//! also of those that waited for room in the file. The table of events takes it up when the file is finished or recovered.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::block::{Marker, Stream};
use crate::edf::{Annotation, annotation_text};

/// A journal is not longer than this: a million markers of the longest texts.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;

/// A marker as the journal has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    frame: u64,
    onset_ns: i64,
    duration_ns: Option<i64>,
    text: String,
    /// Who told of it.
    pub(super) origin: String,
    /// How far the event may be from its frame.
    pub(super) uncertainty_ns: Option<u64>,
    /// The sender's clock when it was sent.
    pub(super) sent_utc_ns: Option<u64>,
}

/// The journal of a file in work.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Made with the first marker.
    file: Option<File>,
    is_synced: bool,
    has_failed: bool,
}

impl Journal {
    /// Touches no file.
    pub(super) fn new(path: PathBuf) -> Journal {
        Journal { path, file: None, is_synced: true, has_failed: false }
    }

    /// Writes a marker down, of a file that begins with `first_frame`. Where the disk refuses, its annotation is all there is.
    pub(super) fn note(&mut self, marker: &Marker, stream: &Stream, first_frame: u64) {
        let told = Told {
            frame: marker.frame,
            onset_ns: onset_ns(marker, stream, first_frame),
            duration_ns: marker.duration_ns.filter(|duration_ns| *duration_ns >= 0),
            text: annotation_text(&marker.text),
            origin: marker.origin.name().to_owned(),
            uncertainty_ns: marker.uncertainty_ns,
            sent_utc_ns: marker.sent_utc_ns,
        };
        let written = serde_json::to_string(&told).map_err(io::Error::from).and_then(|line| self.append(&line));
        self.is_synced = false;
        self.tell(written);
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().append(true).create(true).open(&self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(format!("{line}\n").as_bytes()))
    }

    /// Brings it to the disk, where there is something new.
    pub(super) fn sync(&mut self) {
        if !std::mem::replace(&mut self.is_synced, true) {
            let synced = self.file.as_ref().map_or(Ok(()), File::sync_data);
            self.tell(synced);
        }
    }

    fn tell(&mut self, outcome: io::Result<()>) {
        if let (Err(error), false) = (outcome, self.has_failed) {
            self.has_failed = true;
            tracing::warn!("who told of the markers is not in {}: {error}", self.path.display());
        }
    }
}

/// A journal that was read, from which annotations find their own.
#[derive(Debug, Default)]
pub(super) struct Journaled {
    told: Vec<Option<Told>>,
    /// The last of each is the first that was told.
    by_annotation: HashMap<(i64, Option<i64>, String), Vec<usize>>,
}

impl Journaled {
    /// Reads the journal at `path`; one that is not there is empty. A line that makes no sense was torn and is left out.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn read(path: &Path) -> io::Result<Journaled> {
        let mut journaled = Journaled::default();
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(journaled),
            file => file?,
        };
        for line in BufReader::new(file.take(JOURNAL_BYTES_MAX)).split(b'\n') {
            let Ok(told) = serde_json::from_slice::<Told>(&line?) else { continue };
            let key = (told.onset_ns, told.duration_ns, told.text.clone());
            journaled.by_annotation.entry(key).or_default().push(journaled.told.len());
            journaled.told.push(Some(told));
        }
        journaled.by_annotation.values_mut().for_each(|places| places.reverse());
        Ok(journaled)
    }

    /// Takes out what was told of `annotation`.
    pub(super) fn take(&mut self, annotation: &Annotation) -> Option<Told> {
        let key = (annotation.onset_ns, annotation.duration_ns, annotation.text.clone());
        let place = self.by_annotation.get_mut(&key)?.pop()?;
        self.told.get_mut(place)?.take()
    }

    /// The markers that no annotation spoke of, of frames before `next_frame`: those that did not come to the disk.
    pub(super) fn rest(self, next_frame: u64) -> impl Iterator<Item = (Annotation, Told)> {
        self.told.into_iter().flatten().filter(move |told| told.frame < next_frame).map(|told| {
            let Told { onset_ns, duration_ns, .. } = told;
            (Annotation { onset_ns, duration_ns, text: told.text.clone() }, told)
        })
    }
}

/// The onset of a marker in a file that begins with `first_frame`.
pub(super) fn onset_ns(marker: &Marker, stream: &Stream, first_frame: u64) -> i64 {
    let frame_ns = stream.duration_ns(marker.frame.abs_diff(first_frame));
    let frame_ns = if marker.frame < first_frame { -frame_ns } else { frame_ns };
    frame_ns.saturating_add(marker.offset_ns)
}
