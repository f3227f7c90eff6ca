//! Makes a file whole whose recorder did not finish it: `recover` and the daemon's start.
//!
//! What can be trusted: the sidecar is written after the records that it speaks of were synced, so those are whole whatever
//! happened. After them a killed process leaves whole records and one in work. A power cut leaves any mixture of what was
//! written and zeros; a record is believed when its time-keeping annotation, which comes last in it, is the one that is
//! due, and, where the machine was started anew since, when no whole page of it is zero. Every frame that was cut is said.
//!
//! Each step leaves a file that is no worse than before, and the whole can be done again from any of them: the count of
//! records, then the length, then the sidecar by one renaming, then the names.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::companions::each_annotation;
use super::names::{Names, exists, lock, rename};
use super::pending::GAP_TEXT;
use super::scan::Scan;
use super::sidecar::{Parts, layout};
use super::unaccounted::{appended_without_account, without_account};
use super::{describe, ledger};
use crate::edf::{Header, Lists, Signal, TalArea};

/// The number of records in the header: where, and how long.
pub(super) const COUNT_AT: u64 = 236;
pub(super) const COUNT_BYTES: usize = 8;

/// What eight characters can count.
pub(super) const RECORDS_MAX: u64 = 99_999_999;

/// What a file system loses at once.
const PAGE_BYTES: u64 = 4096;

/// Header bytes that are read: 9999 signals.
const HEADER_BYTES_MAX: u64 = 256 * 10_000;

/// What was done.
#[derive(Debug)]
pub struct Repaired {
    /// Where the file is now.
    pub names: Names,
    /// What is to be said about it, one line each.
    pub lines: Vec<String>,
}

/// Why nothing was done, or not all.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A recorder that lives is writing it.
    #[error("a recorder is writing it")]
    Held,
    /// It is not ours, and nobody asked for it by name.
    #[error("it is none of biosigd's recordings")]
    Foreign,
    /// It cannot be made whole.
    #[error("{0}")]
    Damaged(String),
    /// The system refused.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

pub(super) fn refused(what: &'static str) -> impl FnOnce(io::Error) -> RepairError {
    move |source| RepairError::Io { what, source }
}

/// Makes the file at `path` whole. `is_named`: a person asked for this file, so that one without a sidecar of ours is made to
/// open, too, as far as that takes nothing away from it. `None`: it is finished, or was meanwhile.
///
/// # Errors
/// [`RepairError`]; the file is then no worse than before.
pub fn repair(path: &Path, is_named: bool) -> Result<Option<Repaired>, RepairError> {
    let names =
        Names::of(path).ok_or(RepairError::Damaged("its name does not end in .bdf, .edf, .csv or .raw".to_owned()))?;
    let is_part = path == names.part_data();
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let data = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound && is_part && exists(&names.data()) => return Ok(None),
        opened => opened.map_err(refused("cannot open it"))?,
    };
    lock(&data).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => RepairError::Held,
        _ => RepairError::Io { what: "cannot see whether a recorder is writing it", source: error },
    })?;
    // It was finished between the opening and the lock.
    if !exists(path) {
        return Ok(None);
    }
    let sidecar = sidecar_of(&names, is_part).map_err(refused("cannot rename its sidecar"))?;
    let mut parts = match sidecar.as_deref().map(super::sidecar::read) {
        Some(Ok(text)) => Parts::of(&text),
        // What is none of ours is as good as torn.
        Some(Err(error)) if error.kind() == ErrorKind::InvalidData => Parts::default(),
        Some(Err(error)) => return Err(refused("cannot read its sidecar")(error)),
        None => Parts::default(),
    };
    let file_bytes = data.metadata().map_err(refused("cannot see its size"))?.len();
    if file_bytes == 0 && is_part && sidecar.as_deref().is_none_or(|path| path.metadata().is_ok_and(|of| of.len() == 0))
    {
        return empty(names, sidecar, is_named);
    }
    let constant = parts.constant.take().filter(|constant| constant.get("first_frame").is_some_and(Value::is_u64));
    // A sidecar of the same name may speak of a file of another format.
    let constant = constant.filter(|constant| names.are_spoken_of(&Value::Object(constant.clone())));
    if constant.is_none() && !is_part && !is_named {
        return Err(RepairError::Foreign);
    }
    let scan = match names.format().is_edf() {
        true => None,
        false => Some(Scan::of(&data, names.format())?),
    };
    let header = scan.as_ref().map_or_else(|| header_of(&data), |scan| Ok(scan.header.clone()))?;
    let Some(constant) = constant else {
        let is_ours = is_part && header.recording.contains("biosigd_");
        return match (is_ours || is_named, &scan) {
            (false, _) => Err(RepairError::Foreign),
            (true, Some(scan)) => appended_without_account(&names, &data, scan, is_part),
            (true, None) => without_account(&names, &data, &header, file_bytes, is_part),
        };
    };
    let mut first = parts.first.take().unwrap_or_default();
    let state = first.get("state").and_then(Value::as_str).unwrap_or("recording").to_owned();
    let is_over = state != "recording";
    if is_over && !is_part {
        return Ok(None);
    }
    let spoken = first.get("records").and_then(Value::as_u64).unwrap_or(0);
    let is_same_boot = constant.get("boot_id").is_none_or(|id| *id == json!(describe::boot_id()));
    let mut lines = Vec::new();
    let (n_records, n_frames) = if let Some(scan) = &scan {
        scan.settle(&data, Some(spoken), &mut lines)?;
        (scan.n_records, scan.n_frames)
    } else {
        let n_whole = header.records_in(file_bytes);
        let n_records = believed(&data, &header, spoken.min(n_whole), n_whole, is_same_boot);
        let n_records = n_records.map_err(refused("cannot read it"))?;
        settle(&data, &header, n_records, file_bytes, &mut lines)?;
        (n_records, n_records.saturating_mul(record_frames(&header)))
    };
    let n_counted = if scan.is_some() { n_records } else { n_records.max(1) };
    if !is_over || spoken != n_counted {
        let account = Account { header: &header, data: &data, n_records, n_frames, n_counted, spoken };
        let lost = account.update(&mut first, &constant, is_same_boot).map_err(refused("cannot read it"))?;
        lines.extend(lost);
        let pairs = parts.clock_pairs.take().unwrap_or_else(|| json!([]));
        let path = sidecar.unwrap_or_else(|| names.part_sidecar());
        replace(&path, &layout(&first, &pairs, &constant)).map_err(refused("cannot write its sidecar"))?;
    }
    let names = if is_part { names.finish().map_err(refused("cannot rename it"))? } else { names };
    Ok(Some(Repaired { names, lines }))
}

/// A recorder was killed while it made its two files: there is nothing in them. It makes the sidecar after it has locked the
/// data, and looks whether they are still there, so that none is removed under it. A data file alone may be anybody's.
fn empty(names: Names, sidecar: Option<PathBuf>, is_named: bool) -> Result<Option<Repaired>, RepairError> {
    let Some(sidecar) = sidecar else {
        let error = RepairError::Damaged("it is empty: nothing was recorded".to_owned());
        return if is_named { Err(error) } else { Ok(None) };
    };
    let removed = std::fs::remove_file(names.part_data()).and_then(|()| std::fs::remove_file(sidecar));
    removed.map_err(refused("cannot remove it, which is empty"))?;
    let lines = vec!["removed: data and sidecar were empty, nothing was recorded".to_owned()];
    Ok(Some(Repaired { names, lines }))
}

/// The sidecar of a data file, under the name that belongs to it: a power cut may have come between the two renamings.
fn sidecar_of(names: &Names, is_part: bool) -> io::Result<Option<PathBuf>> {
    let (due, other) =
        if is_part { (names.part_sidecar(), names.sidecar()) } else { (names.sidecar(), names.part_sidecar()) };
    if exists(&due) {
        return Ok(Some(due));
    }
    // The other one's data file may be there: then it belongs to that.
    let others_data = if is_part { names.data() } else { names.part_data() };
    if !exists(&other) || exists(&others_data) {
        return Ok(None);
    }
    rename(&other, &due)?;
    Ok(Some(due))
}

/// The header, also where its count of records is torn: the length of the file says more.
fn header_of(data: &File) -> Result<Header, RepairError> {
    let n_bytes = data.metadata().map_err(refused("cannot see its size"))?.len().min(HEADER_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(n_bytes).unwrap_or(0)];
    data.read_exact_at(&mut bytes, 0).map_err(refused("cannot read it"))?;
    Header::read(&mut bytes.as_slice()).or_else(|error| {
        let at = usize::try_from(COUNT_AT).unwrap_or(0);
        if let Some(count) = bytes.get_mut(at..at + COUNT_BYTES) {
            count.copy_from_slice(b"-1      ");
        }
        Header::read(&mut bytes.as_slice()).map_err(|_| RepairError::Damaged(error.to_string()))
    })
}

/// How many records can be believed, of which the first `n_synced` are.
pub(super) fn believed(
    data: &File,
    header: &Header,
    n_synced: u64,
    n_whole: u64,
    is_same_boot: bool,
) -> io::Result<u64> {
    let record_bytes = header.record_bytes() as u64;
    let mut record = vec![0; if n_synced < n_whole { header.record_bytes() } else { 0 }];
    for index in n_synced..n_whole {
        let at = header.header_bytes() + index * record_bytes;
        data.read_exact_at(&mut record, at)?;
        let area = header.signal_ranges().find(|(signal, _)| signal.is_annotations());
        let Some((_, range)) = area else { return Ok(n_whole) };
        let due_ns = header.record_duration_ns().saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
        // All of them, because what follows the list that keeps the time may be torn.
        let mut lists = Lists::of(&record[range]);
        if lists.next().and_then(Result::ok).and_then(|(onset_ns, _)| onset_ns) != Some(due_ns)
            || lists.any(|list| list.is_err())
        {
            return Ok(index);
        }
        let to_page = usize::try_from(at.next_multiple_of(PAGE_BYTES) - at).unwrap_or(usize::MAX);
        let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        let mut pages = record.get(to_page..).unwrap_or_default().chunks_exact(page_bytes);
        if !is_same_boot && pages.any(|page| page.iter().all(|byte| *byte == 0)) {
            return Ok(index);
        }
    }
    Ok(n_whole)
}

/// Puts count and length right; a file without a record gets one, because EDFlib opens none without.
pub(super) fn settle(
    data: &File,
    header: &Header,
    n_records: u64,
    file_bytes: u64,
    lines: &mut Vec<String>,
) -> Result<(), RepairError> {
    let write = |bytes: &[u8], at| data.write_all_at(bytes, at).map_err(refused("cannot write it"));
    if n_records == 0 {
        write_empty_record(data, header).map_err(refused("cannot write it"))?;
    }
    let count = n_records.max(1);
    if count > RECORDS_MAX {
        return Err(RepairError::Damaged(format!("it holds {count} records, more than a header can count")));
    }
    if header.n_records != Some(count) {
        write(format!("{count:<COUNT_BYTES$}").as_bytes(), COUNT_AT)?;
    }
    let due_bytes = header.header_bytes() + count * header.record_bytes() as u64;
    if file_bytes > due_bytes {
        lines.push(format!("{} bytes after the last whole record were removed", file_bytes - due_bytes));
    }
    data.set_len(due_bytes).and_then(|()| data.sync_all()).map_err(refused("cannot write it"))
}

/// Writes a record in which every code is as near to zero as its range allows. Never held as a whole: a header that lies may
/// speak of a long one.
fn write_empty_record(mut data: &File, header: &Header) -> io::Result<()> {
    const TIME_BYTES: usize = 32;
    data.seek(SeekFrom::Start(header.header_bytes()))?;
    let mut out = BufWriter::with_capacity(1 << 16, data);
    let (width, mut keeps_time) = (header.bytes_per_sample(), true);
    for signal in &header.signals {
        if !signal.is_annotations() {
            let code = 0.clamp(signal.digital_min, signal.digital_max.max(signal.digital_min)).to_le_bytes();
            (0..signal.samples_per_record).try_for_each(|_| out.write_all(&code[..width]))?;
            continue;
        }
        let n_bytes = signal.samples_per_record * width;
        let mut start = vec![0; n_bytes.min(TIME_BYTES)];
        if std::mem::take(&mut keeps_time) {
            drop(TalArea::new(&mut start, 0));
        }
        out.write_all(&start)?;
        io::copy(&mut io::repeat(0).take((n_bytes - start.len()) as u64), &mut out)?;
    }
    out.flush()
}

/// What the account of the file becomes.
struct Account<'a> {
    header: &'a Header,
    data: &'a File,
    n_records: u64,
    /// Frames in them, and records as the file counts them: a BDF or EDF file has at least one.
    n_frames: u64,
    n_counted: u64,
    /// Records of which the sidecar speaks.
    spoken: u64,
}

fn record_frames(header: &Header) -> u64 {
    let data_signal = header.signals.iter().find(|signal| !Signal::is_annotations(signal));
    data_signal.map_or(0, |signal| signal.samples_per_record as u64)
}

impl Account<'_> {
    /// Brings `first` up to the records that are there. Frames of gaps that only the file knows of have the cause
    /// `unknown`. Returns what is to be said.
    fn update(
        &self,
        first: &mut Map<String, Value>,
        constant: &Map<String, Value>,
        is_same_boot: bool,
    ) -> io::Result<Vec<String>> {
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let rate_hz = record_frames(self.header) as f64 / self.header.record_duration_s;
        let mut frames = self.n_frames;
        // The last record may be filled up.
        let end = number(first.get("frames_end"));
        frames = end.map_or(frames, |end| frames.min(end));
        let annotated = self.annotated(frames, rate_hz)?;

        let ledger = first.get("ledger").and_then(|ledger| ledger.get("recorder")).cloned().unwrap_or_default();
        let causes: Vec<(String, u64)> = ledger["lost"].as_object().map_or(Vec::new(), |lost| {
            lost.iter().map(|(cause, n)| (cause.clone(), n.as_u64().unwrap_or(0))).collect()
        });
        let known = causes.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
        // Where records are missing that the sidecar speaks of, their gaps are missing, too.
        let lost = if self.n_records < self.spoken { annotated } else { annotated.max(known.min(frames)) };
        let mut causes = ledger::limit(causes, lost);
        let unknown = lost.saturating_sub(known);
        if unknown > 0 {
            causes.push(("unknown".to_owned(), unknown));
        }
        let lost_json: Map<String, Value> = causes.into_iter().map(|(cause, n)| (cause, json!(n))).collect();

        let first_frame = number(constant.get("first_frame")).unwrap_or(0);
        let record_s = &self.header.record_duration_text;
        let missing = self.spoken.saturating_sub(self.n_records);
        let mut at_most = match (missing, end) {
            (0, Some(end)) if end <= frames => "nothing after it is missing".to_owned(),
            (0, _) if is_same_boot => {
                format!("after it at most the record in work, {record_s} s, and what waited in memory are lost")
            }
            (0, _) => format!(
                "after it what was not yet synced, the record in work, {record_s} s, and what waited in memory are lost"
            ),
            (missing, _) => {
                format!("{missing} records of {record_s} s that were there are lost, and what came after them")
            }
        };
        at_most = at_most.chars().take(200).collect();
        first.insert("state".to_owned(), json!(format!("recovered: {frames} frames from {first_frame}; {at_most}")));
        first.insert("records".to_owned(), json!(self.n_counted));
        first.insert("frames_written".to_owned(), json!(frames));
        first.insert("RecordingDuration".to_owned(), json!(frames as f64 / rate_hz));
        first.insert("gap_frames_not_annotated".to_owned(), json!(lost - annotated));
        first.insert("sha256".to_owned(), Value::Null);
        for key in ["measured_rate_hz", "markers_dropped", "frames_end", "next"] {
            let unknown = if key == "markers_dropped" { json!(0) } else { Value::Null };
            first.entry(key).or_insert(unknown);
        }
        let recorder = json!({"expected": frames, "delivered": frames - lost, "lost": lost_json});
        first.insert("ledger".to_owned(), json!({"recorder": recorder}));
        Ok(vec![format!("{frames} frames from {first_frame}, {lost} of them lost; {at_most}")])
    }

    /// Frames before `frames` that annotations call gaps.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
    fn annotated(&self, frames: u64, rate_hz: f64) -> io::Result<u64> {
        let frame_at = |ns: i64| ((ns as f64 * 1e-9 * rate_hz).round() as u64).min(frames);
        let mut annotated = 0_u64;
        each_annotation(self.header, self.data, self.n_records, |_, annotation| {
            if annotation.text == GAP_TEXT {
                let start = (annotation.onset_ns as f64 * 1e-9 * rate_hz).round() as u64;
                let length = (annotation.duration_ns.unwrap_or(0) as f64 * 1e-9 * rate_hz).round() as u64;
                let here = start.saturating_add(length).min(frames) - frame_at(annotation.onset_ns);
                annotated = annotated.saturating_add(here);
            }
            Ok(())
        })?;
        Ok(annotated.min(frames))
    }
}

/// Replaces a file by one renaming; the parts come one after the other.
fn replace(path: &Path, parts: &[Vec<u8>]) -> io::Result<()> {
    let mut work = path.as_os_str().to_owned();
    work.push(".new");
    let work = Path::new(&work);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(work)?;
    parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all())?;
    std::fs::rename(work, path)?;
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}
