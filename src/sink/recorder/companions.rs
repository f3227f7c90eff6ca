//! What stands beside a finished recording: the tables of channels and events, and the SHA-256 of its data file.
//!
//! The sum is that of the file as `sha256sum` has it, so it begins with the header, whose count of records is only known
//! at the end: it cannot be made on the way. Reading the file back on the disk thread would be a stall as long as the
//! recording is large. So this runs afterwards, on a thread of its own (`finisher`), and fills the sum into the sidecar;
//! where the daemon ends before that is done, `recover` and the next start do it. Reading back has a merit of its own:
//! the sum is of what the disk holds.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, fadvise};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::events::{Events, cell};
use super::journal::Journaled;
use super::names::{Names, exists, lock};
use super::sidecar;
use crate::edf::{Annotation, Header, Lists, Signal};
use crate::format::Reader;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Makes what is missing beside a finished recording of ours; nothing where it is none, or where somebody else is at it.
/// `stop` ends the long part early.
///
/// # Errors
/// When a file cannot be read or written; what is there stays whole.
pub fn complete(names: &Names, stop: &AtomicBool) -> io::Result<()> {
    let data = File::open(names.data())?;
    match lock(&data) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        // Without locks two of them make the same.
        _ => {}
    }
    let Ok(text) = sidecar::read(&names.sidecar()) else { return Ok(()) };
    let Ok(sidecar) = serde_json::from_slice::<Value>(&text) else { return Ok(()) };
    let is_over = !sidecar["ledger"]["recorder"].is_null() && sidecar["state"] != "recording";
    if !is_over || !names.are_spoken_of(&sidecar) {
        return Ok(());
    }
    publish(&names.events_described(), |out| writeln!(out, "{:#}", super::events::described()))?;
    if !exists(&names.channels()) || !exists(&names.events()) {
        let n_bytes = data.metadata()?.len();
        let reader = Reader::open(BufReader::new(&data), n_bytes).map_err(io::Error::other)?;
        let header = reader.header().clone();
        publish(&names.channels(), |out| channels(out, &header, &sidecar))?;
        let journaled = Journaled::read(&names.part_markers())?;
        publish(&names.events(), |out| events(out, &header, &data, &sidecar, journaled))?;
    }
    if exists(&names.part_markers()) {
        std::fs::remove_file(names.part_markers())?;
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

/// `*_events.tsv`: the gaps and markers of the data file with what is known of them, and markers that did not come into it.
fn events(
    out: &mut dyn Write,
    header: &Header,
    data: &File,
    sidecar: &Value,
    mut journaled: Journaled,
) -> io::Result<()> {
    let frames = header.signals.iter().find(|signal| !signal.is_annotations());
    let rate_hz = frames.map_or(0.0, |signal| signal.samples_per_record as f64 / header.record_duration_s);
    let n_records = sidecar["records"].as_u64().unwrap_or(0);
    let mut events = Events::new(out, rate_hz)?;
    each_annotation(header, data, n_records, |_, annotation| {
        let told = journaled.take(&annotation);
        events.push(out, annotation, told)
    })?;
    // Those of later frames stand in the next file, where there is one.
    let next_frame = sidecar["next"]["first_frame"].as_u64().unwrap_or(u64::MAX);
    journaled.rest(next_frame).try_for_each(|(annotation, told)| events.push(out, annotation, Some(told)))?;
    events.finish(out)
}

/// Reads the annotations of the first `n_records`, with the number of their record; of no more records than there are,
/// whatever a sidecar says.
pub(super) fn each_annotation(
    header: &Header,
    data: &File,
    n_records: u64,
    mut take: impl FnMut(u64, Annotation) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = data;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = Reader::open(BufReader::new(data), data.metadata()?.len()).map_err(io::Error::other)?;
    if !reader.format().is_edf() {
        let mut image = Vec::new();
        for index in 0..n_records {
            let Ok(Some(_)) = reader.next(&mut image) else { break };
            for (_, range) in header.signal_ranges().filter(|(signal, _)| Signal::is_annotations(signal)) {
                annotations_of(&image[range]).try_for_each(|annotation| take(index, annotation))?;
            }
        }
        return Ok(());
    }
    // Where every record has its place, only its annotations are read.
    let areas: Vec<_> = header.signal_ranges().filter(|(signal, _)| Signal::is_annotations(signal)).collect();
    for index in 0..n_records.min(header.records_in(data.metadata()?.len())) {
        let at = header.header_bytes() + index * header.record_bytes() as u64;
        for (_, range) in &areas {
            let mut bytes = vec![0; range.len()];
            data.read_exact_at(&mut bytes, at + range.start as u64)?;
            annotations_of(&bytes).try_for_each(|annotation| take(index, annotation))?;
        }
    }
    Ok(())
}

/// The annotations of one area. What is damaged is `verify`'s to tell; what stands before the damage counts.
fn annotations_of(area: &[u8]) -> impl Iterator<Item = Annotation> {
    Lists::of(area).map_while(Result::ok).flat_map(|(_, annotations)| annotations)
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
