//! What the sidecar says of the file, and whether file and sidecar agree.

use std::io::{BufRead, ErrorKind};
use std::path::Path;

use serde_json::Value;

use super::Report;
use super::pass::Pass;
use crate::format::{FileFormat, Reader};
use crate::sink::recorder::{Names, read_sidecar};

/// The numbers of a sidecar.
#[derive(Debug)]
pub(super) struct Account {
    state: String,
    pub(super) records: u64,
    pub(super) frames_written: u64,
    pub(super) first_frame: u64,
    expected: u64,
    delivered: u64,
    lost: Vec<(String, u64)>,
    pub(super) not_annotated: u64,
    /// Of the finished file, once it is known.
    pub(super) sha256: Option<String>,
    /// The run of the daemon, and the file's place in its recording.
    pub(super) session: Option<String>,
    pub(super) part: Option<u64>,
    /// The next file of the recording: its name, its first frame, and frames that are in neither.
    pub(super) next: Option<(String, u64, u64)>,
}

impl Account {
    /// Reads the sidecar, if there is one and it is ours.
    pub(super) fn read(data: &Path, format: FileFormat, report: &mut Report) -> Option<Account> {
        let path = data.with_extension("json");
        let text = match read_sidecar(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                report.note("no sidecar: nobody says what should be in the file".to_owned());
                return None;
            }
            Err(error) => {
                report.damage(format!("cannot read the sidecar {}: {error}", path.display()));
                return None;
            }
            Ok(text) => text,
        };
        let sidecar: Value = match serde_json::from_slice(&text) {
            Ok(sidecar) => sidecar,
            Err(error) => {
                report.damage(format!("the sidecar {} is no JSON: {error}", path.display()));
                return None;
            }
        };
        // Any BIDS recording has a sidecar; only ours has a ledger.
        if sidecar.get("ledger").is_none() && sidecar.get("frames_written").is_none() {
            report.note("the sidecar has no ledger: it is not one of biosigd's".to_owned());
            return None;
        }
        // One of the same name that was recorded in another format, and this one was converted from it.
        if Names::of(data).is_some_and(|names| names.format() == format && !names.are_spoken_of(&sidecar)) {
            report.note("the sidecar speaks of a file of another format".to_owned());
            return None;
        }
        match Account::of(&sidecar) {
            Ok(account) => Some(account),
            Err(pointer) => {
                report.damage(format!("the sidecar has no whole number at `{pointer}`"));
                None
            }
        }
    }

    /// The numbers, or where one is missing.
    fn of(sidecar: &Value) -> Result<Account, String> {
        let number = |pointer: &str| sidecar.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| pointer.to_owned());
        let causes = sidecar.pointer("/ledger/recorder/lost").and_then(Value::as_object);
        let causes = causes.ok_or("/ledger/recorder/lost")?;
        let lost = causes.keys().map(|cause| Ok((cause.clone(), number(&format!("/ledger/recorder/lost/{cause}"))?)));
        let text = |key: &str| sidecar.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let next = sidecar.get("next").filter(|next| !next.is_null()).map(|next| {
            let file = next["file"].as_str().ok_or("/next/file")?.to_owned();
            Ok::<_, String>((file, number("/next/first_frame")?, number("/next/gap_frames")?))
        });
        Ok(Account {
            sha256: text("sha256"),
            session: text("session"),
            part: sidecar.get("part").and_then(Value::as_u64),
            next: next.transpose()?,
            state: sidecar.get("state").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
            records: number("/records")?,
            frames_written: number("/frames_written")?,
            first_frame: number("/first_frame")?,
            expected: number("/ledger/recorder/expected")?,
            delivered: number("/ledger/recorder/delivered")?,
            lost: lost.collect::<Result<_, String>>()?,
            not_annotated: number("/gap_frames_not_annotated")?,
        })
    }

    /// Whether the recorder never said that it finished.
    pub(super) fn is_running(&self) -> bool {
        self.state == "recording"
    }

    fn lost_total(&self) -> u64 {
        self.lost.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Compares the sidecar with itself and with what `pass` found in the file.
    pub(super) fn check(&self, reader: &Reader<impl BufRead>, pass: &Pass<'_>, report: &mut Report) {
        let n_records = reader.n_records();
        let (frames, lost) = (self.frames_written, self.lost_total());
        let causes: Vec<_> =
            self.lost.iter().filter(|(_, n)| *n > 0).map(|(cause, n)| format!("{cause} {n}")).collect();
        let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) };
        report.note(format!("sidecar: {}, frames from {}", self.state, self.first_frame));
        report.note(format!("ledger: {} expected, {} delivered, {lost} lost{causes}", self.expected, self.delivered));
        if frames != self.expected {
            report.damage(format!("frames_written = {frames} must equal expected = {}", self.expected));
        }
        if self.delivered.checked_add(lost) != Some(self.expected) {
            report.damage(format!(
                "expected = {} must equal delivered = {} plus lost = {lost}",
                self.expected, self.delivered
            ));
        }
        let record_frames = pass.record_frames();
        if self.is_running() {
            if self.records > n_records {
                report.damage(format!("the sidecar speaks of {} records, the file has {n_records}", self.records));
            }
            if self.records.checked_mul(record_frames) != Some(frames) {
                report.damage(format!(
                    "frames_written = {frames} must equal {} records of {record_frames} frames while recording",
                    self.records
                ));
            }
        } else {
            if self.records != n_records {
                report.damage(format!("the sidecar speaks of {} records, the file has {n_records}", self.records));
            }
            if !reader.format().is_edf() && reader.n_frames() != frames {
                report.damage(format!(
                    "frames_written = {frames} must equal the {} frames of the file",
                    reader.n_frames()
                ));
            }
            if n_records.saturating_mul(record_frames) < frames {
                report.damage(format!(
                    "frames_written = {frames} is more than {n_records} records of {record_frames} frames hold"
                ));
            }
            // Records after the last frame exist for annotations only.
            let n_needed = pass.last_annotated_record().max(frames.div_ceil(record_frames.max(1)));
            let n_needed = n_needed.max(u64::from(reader.format().is_edf()));
            if n_records > n_needed {
                report.damage(format!(
                    "frames_written = {frames} and the annotations fill {n_needed} records, the file has {n_records}"
                ));
            }
        }
        let annotated = pass.gap_frames();
        if annotated.checked_add(self.not_annotated) != Some(lost) {
            report.damage(format!(
                "lost = {lost} must equal the {annotated} frames annotated BAD_ACQ_SKIP plus gap_frames_not_annotated = {}",
                self.not_annotated
            ));
        }
    }
}
