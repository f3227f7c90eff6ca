//! The driver of the ADS1299 over simulated chips on a clock of their own, for a second, through the whole road: as fast as it
//! goes, and the same every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::Message;

use super::{BOUND, Daemon};
use crate::block::{End, RawBlock, Stream};
use crate::config::{Document, Mistakes, Table};
use crate::daemon::verify::verify_file;
use crate::edf::{Annotation, Header, parse_tals};
use crate::rt::Stop;
use crate::source::ads1299::board_of;
use crate::source::ads1299::chain::{Ads1299, Patience};
use crate::source::ads1299::simulated::{Fault, Planned, Setup, SimulatedWire, When};
use crate::source::ads1299::wire::Wire;
use crate::source::{Filled, Kind, MarkerOut, Opening, Pace, Plan, Signs, Slack, Source, SourceError};

pub(super) const KIND: Kind = Kind { name: "bench", summary: "simulated chips for a second", keys: &[], plan };

/// Frames, at 4 kHz in blocks of 40.
const N_FRAMES: u64 = 4000;

/// The frames at which GPIO1 of the chip rises: the last one is the last frame of all.
const TRIGGERS: [u64; 3] = [100, 2020, N_FRAMES - 1];

/// Whether the chips may be read: a client is to see it from the first frame on.
static GO: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Bench;

fn plan(_: &Table<'_>, _: &mut Mistakes) -> Option<Box<dyn Plan>> {
    Some(Box::new(Bench))
}

impl Plan for Bench {
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError> {
        let text = "[source]\nkind = \"ads1299\"\nn_chips = 1\nclock = \"internal\"\ntrigger_pins = [1]\n";
        let board = board_of(&Document::parse("bench.toml", text).unwrap(), &mut Mistakes::new("bench.toml")).unwrap();
        let level = |at, levels| Planned { when: When::Conversion(at), fault: Fault::Gpio { chip: 0, levels } };
        let faults = TRIGGERS.into_iter().flat_map(|at| [level(at, 1), level(at + 1, 0)]).collect();
        let wire = SimulatedWire::on_virtual_clock(&Setup { faults, run_by_hand: true, ..Setup::daisy(1) });
        let open = Box::new(move || Ok(Box::new(wire) as Box<dyn Wire>));
        Ok(Box::new(Second(Ads1299::new(board, open, Patience::Forever, opening))))
    }
}

/// A source that ends after [`N_FRAMES`].
struct Second(Ads1299);

impl Source for Second {
    fn stream(&self) -> &Stream {
        self.0.stream()
    }
    fn n_chips(&self) -> usize {
        self.0.n_chips()
    }
    fn pace(&self) -> Pace {
        Pace::Free
    }
    fn slack(&self) -> Slack {
        self.0.slack()
    }
    fn prove(&mut self, stop: &AtomicBool) -> Result<Value, SourceError> {
        self.0.prove(stop)
    }
    fn signs(&self) -> Option<Arc<Signs>> {
        self.0.signs()
    }
    fn connect(&mut self, markers: MarkerOut) {
        // Telling takes its time: who closes the file too early misses the last one.
        let mut markers = markers;
        self.0.connect(Box::new(move |marker| {
            thread::park_timeout(Duration::from_millis(200));
            markers(marker);
        }));
    }
    fn start(&mut self) {
        self.0.start();
    }
    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
        if !GO.load(Ordering::SeqCst) {
            thread::park_timeout(Duration::from_millis(1));
            return Filled::Nothing;
        }
        if self.0.end().next_frame >= N_FRAMES { Filled::End } else { self.0.fill(block, stop) }
    }
    fn finish(&mut self) {
        self.0.finish();
    }
    fn end(&self) -> End {
        self.0.end()
    }
}

#[test]
fn a_trigger_at_the_very_last_frame_is_in_the_recording_and_reaches_clients() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start("[source]\nkind = \"bench\"\n[chain.live]\n", dir.path());
    let mut client = daemon.client("streams=raw");
    GO.store(true, Ordering::SeqCst);
    let mut seen = Vec::new();
    // Until the daemon says goodbye.
    while let Ok(message) = client.read() {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == "marker" {
            seen.push(message["frame"].as_u64().unwrap());
        }
    }
    let deadline = Instant::now() + BOUND;
    while daemon.road.threads.iter().any(|thread| !thread.is_finished()) {
        assert!(Instant::now() < deadline, "the road does not end by itself");
        thread::park_timeout(Duration::from_millis(10));
    }
    let file = dir.path().join(daemon.status()["recording"]["file"].as_str().unwrap());
    drop(daemon.stop());
    assert_eq!(seen, TRIGGERS, "the client's markers");

    let report = verify_file(&file, true).unwrap();
    assert!(report.is_well(), "{report}");
    let onsets: Vec<i64> = annotations(&file).iter().map(|found| found.onset_ns).collect();
    assert_eq!(onsets, TRIGGERS.map(|frame| i64::try_from(frame).unwrap() * 250_000), "the recording's markers");
}

/// All annotations of a recording.
fn annotations(file: &std::path::Path) -> Vec<Annotation> {
    let bytes = std::fs::read(file).unwrap();
    let header = Header::read(&mut bytes.as_slice()).unwrap();
    let mut annotations = Vec::new();
    for record in bytes[usize::try_from(header.header_bytes()).unwrap()..].chunks_exact(header.record_bytes()) {
        for (_, range) in header.signal_ranges().filter(|(signal, _)| signal.is_annotations()) {
            parse_tals(&record[range], &mut annotations).unwrap();
        }
    }
    annotations
}
