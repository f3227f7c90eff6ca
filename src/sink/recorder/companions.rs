//! What stands beside a finished recording: the tables of channels and events, and the SHA-256 of its data file.
//!
//! The sum is that of the file as `sha256sum` has it, so it begins with the header, whose count of records is only known
//! at the end: it cannot be made on the way. Reading the file back on the disk thread would be a stall as long as the
//! recording is large. So this runs afterwards, on a thread of its own (`finisher`), and fills the sum into the sidecar;
//! where the daemon ends before that is done, `recover` and the next start do it. Reading back has a merit of its own:
//! the sum is of what the disk holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::names::{Names, exists, lock};
use super::pending::{GAP_TEXT, WAITING_MAX};
use super::sidecar;
use crate::edf::{Annotation, Header, Signal, format_ns, parse_tals};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Makes what is missing beside a finished recording of ours; nothing where it is none, or where somebody else is at it.
/// `stop` ends the long part early.
///
/// # Errors
/// When a file cannot be read or written; what is there stays whole.
pub fn complete(names: &Names, stop: &AtomicBool) -> io::Result<()> {
    let mut data = File::open(names.data())?;
    match lock(&data) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        // Without locks two of them make the same.
        _ => {}
    }
    let Ok(text) = sidecar::read(&names.sidecar()) else { return Ok(()) };
    let Ok(sidecar) = serde_json::from_slice::<Value>(&text) else { return Ok(()) };
    if sidecar["ledger"]["recorder"].is_null() || sidecar["state"] == "recording" {
        return Ok(());
    }
    if !exists(&names.channels()) || !exists(&names.events()) {
        let header = Header::read(&mut data).map_err(io::Error::other)?;
        publish(&names.channels(), |out| channels(out, &header, &sidecar))?;
        publish(&names.events(), |out| events(out, &header, &data, &sidecar))?;
    }
    if sidecar["sha256"].is_null() {
        if let Some(sum) = sha256(&data, stop)? {
            sidecar::patch(&names.sidecar(), "sha256", json!(sum))?;
        }
    }
    Ok(())
}

/// Writes a file under another name first, so that nobody sees half of it; one that is there is left alone.
fn publish(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if exists(path) {
        return Ok(());
    }
    let mut work = path.as_os_str().to_owned();
    work.push(".new");
    let work = Path::new(&work);
    let made = OpenOptions::new().write(true).create(true).truncate(true).open(work).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.into_inner()?.sync_data()
    });
    let made = made.and_then(|()| super::names::rename(work, path));
    if made.is_err() {
        super::names::remove(work);
    }
    made
}

/// `*_channels.tsv` (BIDS 1.10, EEG): the signals as the data file calls them, in its order.
fn channels(out: &mut dyn Write, header: &Header, sidecar: &Value) -> io::Result<()> {
    writeln!(out, "name\ttype\tunits\tsampling_frequency\tdescription")?;
    let signals = header.signals.iter().filter(|signal| !signal.is_annotations());
    for (index, signal) in signals.enumerate() {
        let channel = &sidecar["channels"][index];
        let kind = channel["type"].as_str().unwrap_or(if signal.is_status() { "TRIG" } else { "MISC" });
        let name = channel["name"].as_str().filter(|name| *name != signal.label);
        let description = channel["description"].as_str().or(name).unwrap_or(&signal.transducer);
        let rate_hz = signal.samples_per_record as f64 / header.record_duration_s;
        let units = if signal.is_status() { "n/a" } else { &signal.unit };
        let [label, units, description] = [&signal.label, units, description].map(cell);
        writeln!(out, "{label}\t{kind}\t{units}\t{rate_hz}\t{description}")?;
    }
    Ok(())
}

/// An event, ordered by its onset, then as the file has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    onset_ns: i64,
    number: u64,
    duration_ns: Option<i64>,
    text: String,
}

/// `*_events.tsv` (BIDS 1.10): gaps and markers by onset. An annotation waits for at most [`WAITING_MAX`] others of each
/// kind before it is written, so that a heap of twice as many brings them into order, however long the file is.
fn events(out: &mut dyn Write, header: &Header, data: &File, sidecar: &Value) -> io::Result<()> {
    writeln!(out, "onset\tduration\tsample\ttrial_type\tvalue")?;
    let frames = header.signals.iter().find(|signal| !signal.is_annotations());
    let rate_hz = frames.map_or(0.0, |signal| signal.samples_per_record as f64 / header.record_duration_s);
    let n_records = sidecar["records"].as_u64().unwrap_or(0);
    let mut heap = BinaryHeap::new();
    let mut number = 0;
    each_annotation(header, data, n_records, |_, annotation| {
        number += 1;
        let Annotation { onset_ns, duration_ns, text } = annotation;
        heap.push(Reverse(Event { onset_ns, number, duration_ns, text }));
        if heap.len() > 2 * WAITING_MAX {
            heap.pop().map_or(Ok(()), |Reverse(event)| row(out, &event, rate_hz))?;
        }
        Ok(())
    })?;
    while let Some(Reverse(event)) = heap.pop() {
        row(out, &event, rate_hz)?;
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn row(out: &mut dyn Write, event: &Event, rate_hz: f64) -> io::Result<()> {
    let sample = (event.onset_ns as f64 * 1e-9 * rate_hz).round() as i64;
    let duration = event.duration_ns.map_or("n/a".to_owned(), format_ns);
    // A trigger's code is a number; BIDS has a column of its own for it.
    let value = event.text.trim().parse::<i64>().map_or("n/a".to_owned(), |value| value.to_string());
    let kind = if event.text == GAP_TEXT { GAP_TEXT.to_owned() } else { cell(&event.text) };
    writeln!(out, "{}\t{duration}\t{sample}\t{kind}\t{value}", format_ns(event.onset_ns).trim_start_matches('+'))
}

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    if text.is_empty() { "n/a".to_owned() } else { text.to_owned() }
}

/// Reads the annotations of the first `n_records`, with the number of their record.
pub(super) fn each_annotation(
    header: &Header,
    data: &File,
    n_records: u64,
    mut take: impl FnMut(u64, Annotation) -> io::Result<()>,
) -> io::Result<()> {
    let areas: Vec<_> = header.signal_ranges().filter(|(signal, _)| Signal::is_annotations(signal)).collect();
    let mut found = Vec::new();
    for index in 0..n_records {
        let at = header.header_bytes() + index * header.record_bytes() as u64;
        for (_, range) in &areas {
            let mut bytes = vec![0; range.len()];
            data.read_exact_at(&mut bytes, at + range.start as u64)?;
            // What is damaged is `verify`'s to tell; what stands before the damage counts.
            if parse_tals(&bytes, &mut found).is_err() {
                continue;
            }
        }
        found.drain(..).try_for_each(|annotation| take(index, annotation))?;
    }
    Ok(())
}

/// The sum of the whole file; `None` where it was stopped. What was read does not stay in memory, where the next
/// recording's pages are.
fn sha256(data: &File, stop: &AtomicBool) -> io::Result<Option<String>> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        // `Relaxed`: the flag orders nothing, it only ends the work.
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match data.read_at(&mut chunk, at) {
            Ok(0) => return Ok(Some(hex(hasher))),
            Ok(n_bytes) => {
                hasher.update(&chunk[..n_bytes]);
                if let Err(error) = fadvise(data, at, NonZeroU64::new(n_bytes as u64), Advice::DontNeed) {
                    tracing::debug!("what was read stays in memory for a while: {error}");
                }
                at += n_bytes as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Passes bytes on and sums them up, for whoever reads a file to its end anyway.
#[derive(Debug)]
pub struct Summing<R> {
    input: R,
    hasher: Sha256,
}

impl<R: Read> Summing<R> {
    /// Nothing was read yet.
    pub fn new(input: R) -> Summing<R> {
        Summing { input, hasher: Sha256::new() }
    }

    /// Reads what is left, and gives the sum of all.
    ///
    /// # Errors
    /// As the reader's.
    pub fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(hex(self.hasher))
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.input.read(buffer)?;
        self.hasher.update(&buffer[..n_bytes]);
        Ok(n_bytes)
    }
}
