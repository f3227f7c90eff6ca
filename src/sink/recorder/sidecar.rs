//! The JSON beside a recording: BIDS keys, configuration, source, clocks and the ledger.
//!
//! It is rewritten in place, in space that was written when the file was opened, so that a full disk can still hold the
//! last word. What changes stands in two pages of 4096 bytes, padded with spaces, each replaced by one write: the
//! kernel looks for a fatal signal only between pages, so a process that is killed leaves each page old or new, never
//! half, and any mixture of old and new pages is valid JSON.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::clock::{PAIRS_MAX, Pair};
use super::file;
use super::ledger::FileLedger;
use crate::sink::SinkError;

/// The unit in which the kernel copies and most file systems write.
const PAGE_BYTES: usize = 4096;

/// The configuration and 9998 channels are in it, and it is smaller still.
const SIDECAR_BYTES_MAX: u64 = 6 << 20;

/// As above, of what its values take in memory: two bytes of JSON can be a value, eight a map. 9998 channels take 16 MB.
const SIDECAR_HELD_MAX: usize = 24 << 20;

/// What a value takes in a list that grows, and what a list and a map take with their first one.
const VALUE_BYTES: usize = 64;
const LIST_BYTES: usize = 128;
const MAP_BYTES: usize = 640;

/// Ours are less deep. Written back, each value stands in a line of its own, behind two spaces for each list around it.
const DEPTH_MAX: usize = 16;

/// The most that a reason may take of the first page, in characters; JSON may make six bytes of one.
const REASON_CHARACTERS_MAX: usize = 300;

const _: () = assert!(
    PAIRS_MAX * "[18446744073709551615,18446744073709551615,18446744073709551615],".len()
        + "\"clock_pairs\": [],\n".len()
        <= PAGE_BYTES
);

/// What changes while a recording runs.
#[derive(Debug)]
pub(super) struct Changing<'a> {
    /// `recording`, `complete` or `ended: reason`.
    pub(super) state: &'a str,
    /// Records in the file.
    pub(super) n_records: u64,
    /// The account of those records.
    pub(super) ledger: &'a FileLedger,
    /// Markers for which there was no room.
    pub(super) markers_dropped: u64,
    /// Frames per second of the monotonic clock.
    pub(super) measured_rate_hz: Option<f64>,
    /// Nominal rate.
    pub(super) rate_hz: f64,
    /// How the clocks ran.
    pub(super) clock_pairs: &'a [Pair],
    /// Where the data ends, once the last record is filled up: its padding looks like frames.
    pub(super) frames_end: Option<u64>,
    /// The file that goes on where this one ends.
    pub(super) next: Option<&'a Neighbour>,
}

/// The file before or after this one in the same recording.
#[derive(Debug, Clone)]
pub(super) struct Neighbour {
    /// Its name when finished.
    pub(super) file: String,
    /// Its first frame.
    pub(super) first_frame: u64,
    /// Frames that were lost between the two and are in neither.
    pub(super) gap_frames: u64,
}

impl Neighbour {
    /// As the sidecar has it.
    pub(super) fn json(&self) -> Value {
        json!({"file": self.file, "first_frame": self.first_frame, "gap_frames": self.gap_frames})
    }
}

/// An open sidecar.
#[derive(Debug)]
pub(super) struct Sidecar {
    file: File,
    path: PathBuf,
}

impl Sidecar {
    /// Writes the whole sidecar into the new, empty `file`: `constant` stays as it is from now on.
    pub(super) fn new(
        file: File,
        path: &Path,
        constant: &Map<String, Value>,
        changing: &Changing<'_>,
    ) -> Result<Sidecar, SinkError> {
        let mut sidecar = Sidecar { file, path: path.to_owned() };
        sidecar.write_at(tail(constant).as_bytes(), 2 * PAGE_BYTES as u64)?;
        sidecar.write(changing)?;
        Ok(sidecar)
    }

    /// Rewrites the two pages that change.
    pub(super) fn write(&mut self, changing: &Changing<'_>) -> Result<(), SinkError> {
        self.write_at(&page(format!("{{\n{}", members(&first_page(changing)))), 0)?;
        self.write_at(&page(pairs(&json!(changing.clock_pairs))), PAGE_BYTES as u64)
    }

    /// Brings it to the disk.
    pub(super) fn sync(&self) -> Result<(), SinkError> {
        file::sync(&self.file, &self.path)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<(), SinkError> {
        self.file.write_all_at(bytes, at).map_err(|source| self.io("cannot write", source))
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> SinkError {
        SinkError::Io { what, path: self.path.clone(), source }
    }
}

/// A whole sidecar of these parts, as bytes one after the other: what `recover` writes in place of a torn one.
pub(super) fn layout(first: &Map<String, Value>, clock_pairs: &Value, constant: &Map<String, Value>) -> [Vec<u8>; 3] {
    let [first, pairs] = [format!("{{\n{}", members(first)), pairs(clock_pairs)].map(page);
    [first, pairs, tail(constant).into_bytes()]
}

/// The parts of a sidecar, each as far as it can be read: a power cut tears what was being written, and never the part
/// that stays.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// What changes.
    pub(super) first: Option<Map<String, Value>>,
    /// How the clocks ran.
    pub(super) clock_pairs: Option<Value>,
    /// What stays.
    pub(super) constant: Option<Map<String, Value>>,
}

impl Parts {
    /// Takes a sidecar of ours apart.
    pub(super) fn of(bytes: &[u8]) -> Parts {
        let object = |text: Option<&[u8]>, end: &str| {
            let text = String::from_utf8_lossy(text?);
            let text = text.trim().trim_start_matches('{').trim_end_matches(end).trim_end();
            map(&format!("{{{text}}}"))
        };
        let mut pairs = object(bytes.get(PAGE_BYTES..2 * PAGE_BYTES), ",");
        // The brace that ends the file is there already.
        let tail = bytes.get(2 * PAGE_BYTES..).map(|tail| format!("{{{}", String::from_utf8_lossy(tail)));
        let constant = tail.and_then(|text| map(&text));
        Parts {
            first: object(bytes.get(..PAGE_BYTES), ","),
            clock_pairs: pairs.as_mut().and_then(|pairs| pairs.remove("clock_pairs")),
            constant,
        }
    }
}

/// A part as an object, where it is no larger and no deeper than one of ours; three bytes can come of one that is no UTF-8.
fn map(text: &str) -> Option<Map<String, Value>> {
    let object: Map<String, Value> =
        (text.len() as u64 <= SIDECAR_BYTES_MAX).then(|| serde_json::from_str(text).ok())??;
    object.values().all(|value| is_within(value, DEPTH_MAX)).then_some(object)
}

/// Whether `value` is nested at most so deep.
fn is_within(value: &Value, depth_max: usize) -> bool {
    let is_below = |value: &Value| depth_max > 0 && is_within(value, depth_max - 1);
    match value {
        Value::Array(values) => values.iter().all(is_below),
        Value::Object(members) => members.values().all(is_below),
        _ => true,
    }
}

/// The bytes of a sidecar; no more than one of ours has, whatever somebody put there. More values than one of ours has are
/// refused as invalid data.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SIDECAR_BYTES_MAX).read_to_end(&mut bytes)?;
    // A value comes after one of these, or is all there is.
    let held = bytes.iter().map(|byte| match byte {
        b'{' => MAP_BYTES,
        b'[' => LIST_BYTES,
        b',' | b':' => VALUE_BYTES,
        _ => 0,
    });
    if held.sum::<usize>() > SIDECAR_HELD_MAX {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "it has more values than a sidecar of ours"));
    }
    Ok(bytes)
}

/// Replaces a member of the first page of the sidecar at `path`, by one write.
pub(super) fn patch(path: &Path, key: &str, value: Value) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut bytes = vec![0; PAGE_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let mut first = Parts::of(&bytes).first.ok_or(ErrorKind::InvalidData)?;
    first.insert(key.to_owned(), value);
    file.write_all_at(&page(format!("{{\n{}", members(&first))), 0)?;
    file.sync_data()
}

fn pairs(clock_pairs: &Value) -> String {
    format!("  \"clock_pairs\": {clock_pairs}")
}

/// What stays, to the end of the last page, so that the space is really taken.
fn tail(constant: &Map<String, Value>) -> String {
    let mut tail = members(constant);
    tail.push_str("\n}\n");
    tail.push_str(&" ".repeat(tail.len().next_multiple_of(PAGE_BYTES) - tail.len()));
    tail
}

/// `text`, padded to a page that ends in the comma before the next member.
fn page(text: String) -> Vec<u8> {
    let mut page = text.into_bytes();
    page.resize(PAGE_BYTES - 2, b' ');
    page.extend_from_slice(b",\n");
    page
}

/// The members of the first page. At most some 3 KiB, whatever the numbers are.
fn first_page(changing: &Changing<'_>) -> Map<String, Value> {
    let state: String = changing.state.chars().take(REASON_CHARACTERS_MAX).collect();
    let ledger = changing.ledger;
    let lost: Map<_, _> = ledger.lost.iter().map(|(cause, n)| (cause.name().to_owned(), json!(n))).collect();
    let page = json!({
        "state": state,
        "records": changing.n_records,
        "frames_written": ledger.frames,
        "RecordingDuration": ledger.frames as f64 / changing.rate_hz,
        "measured_rate_hz": changing.measured_rate_hz,
        "gap_frames_not_annotated": changing.ledger.not_annotated,
        "markers_dropped": changing.markers_dropped,
        "frames_end": changing.frames_end,
        "next": changing.next.map(Neighbour::json),
        // Of the finished file; it takes a while, so that it is filled in afterwards.
        "sha256": null,
        "ledger": {"recorder": {"expected": ledger.frames, "delivered": ledger.delivered, "lost": lost}},
    });
    match page {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The members of an object as JSON text, without the braces around them.
fn members(object: &Map<String, Value>) -> String {
    let mut text = serde_json::to_string_pretty(object).unwrap_or_default();
    // In place: it may be long.
    text.truncate(text.len().saturating_sub("\n}".len()));
    drop(text.drain(.."{\n".len().min(text.len())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Cause;

    #[test]
    fn the_longest_first_page_fits_and_is_read_back() {
        let mut ledger = FileLedger { frames: u64::MAX, delivered: u64::MAX, ..FileLedger::default() };
        Cause::ALL.iter().for_each(|cause| ledger.lost.add(*cause, u64::MAX));
        let next = Neighbour { file: "x".repeat(255), first_frame: u64::MAX, gap_frames: u64::MAX };
        let changing = Changing {
            state: &"\u{1}".repeat(1000),
            n_records: u64::MAX,
            ledger: &ledger,
            markers_dropped: u64::MAX,
            measured_rate_hz: Some(-f64::MIN_POSITIVE),
            rate_hz: f64::MIN_POSITIVE,
            clock_pairs: &[[u64::MAX; 3]; PAIRS_MAX],
            frames_end: Some(u64::MAX),
            next: Some(&next),
        };
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        let file = File::create(&path).expect("creates");
        let mut constant = Map::new();
        constant.insert("notes".to_owned(), json!("}\n{\u{0}"));
        Sidecar::new(file, &path, &constant, &changing).expect("writes");
        patch(&path, "sha256", json!("f".repeat(64))).expect("patches");
        let bytes = std::fs::read(&path).expect("reads");
        assert_eq!(bytes.len(), 3 * PAGE_BYTES);
        let whole: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(whole["sha256"].as_str().map(str::len), Some(64));
        let parts = Parts::of(&bytes);
        assert_eq!(parts.constant.as_ref(), Some(&constant));
        assert_eq!(parts.clock_pairs.as_ref().and_then(Value::as_array).map(Vec::len), Some(PAIRS_MAX));
        let first = parts.first.expect("whole");
        assert_eq!(first["next"]["first_frame"], u64::MAX);
        assert_eq!(layout(&first, &whole["clock_pairs"], &constant).concat(), bytes);
        // Torn: what stays is still there.
        let mut torn = bytes;
        torn[100..600].fill(0);
        let parts = Parts::of(&torn);
        assert!(parts.first.is_none() && parts.constant.is_some() && parts.clock_pairs.is_some());
    }
}
