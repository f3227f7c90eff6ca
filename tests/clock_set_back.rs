//! The system clock is set back an hour while a recording runs, and the next recordings begin at an instant that had
//! been there before: nothing is ordered by UTC, so no frame is missing, the rate is right, and no file is written over.

#[path = "recorder/feeder.rs"]
mod feeder;

use std::path::{Path, PathBuf};

use biosigd::block::{Head, Tally};
use biosigd::daemon::verify::verify_file;
use biosigd::sink::recorder::FileRecorder;
use biosigd::sink::{PackedBlock, RawSink};

const N_CHANNELS: usize = 2;
const RATE_HZ: f64 = 1000.0;

/// Saturday, 21 November 2026, 11:30:05.25 UTC.
const START_UTC_NS: u64 = 1_795_260_605_250_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Records 30 s of the counter in blocks of 0.1 s, from this UTC on; after 10 s the clock is set back `back_ns`.
fn record(recorder: &mut FileRecorder, utc_ns: u64, back_ns: u64) -> PathBuf {
    for block in 0..300_u64 {
        let edge_ns = (block * 100 + 99) * 1_000_000;
        let mut head = Head { first_frame: block * 100, n_frames: 100, edge_ns, ..Head::default() };
        head.edge_utc_ns = utc_ns + edge_ns - if block < 100 { 0 } else { back_ns };
        if block == 0 {
            recorder.open(&head).expect("opens");
        }
        let codes = feeder::packed(head.first_frame, 100, N_CHANNELS);
        recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("writes");
    }
    recorder.close(&Tally::default()).expect("closes");
    recorder.progress().file.expect("a file")
}

fn is_whole(file: &Path) {
    let report = verify_file(file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    let sidecar = feeder::sidecar(file);
    assert_eq!(sidecar["frames_written"], 30_000);
    let rate_hz = sidecar["measured_rate_hz"].as_f64().expect("measured");
    assert!((rate_hz - RATE_HZ).abs() < 1e-6, "the rate is that of the monotonic clock, not {rate_hz}");
}

#[test]
fn an_hour_back_costs_neither_frames_nor_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut recorder = FileRecorder::new(feeder::plan(dir.path(), RATE_HZ, N_CHANNELS)).expect("a plan that fits");
    let first = record(&mut recorder, START_UTC_NS, HOUR_NS);
    let bytes = std::fs::read(&first).expect("readable");
    // One that begins before the first one did, and one at the very instant of the first.
    let earlier = record(&mut recorder, START_UTC_NS - HOUR_NS, 0);
    let again = record(&mut recorder, START_UTC_NS, 0);
    for file in [&first, &earlier, &again] {
        is_whole(file);
    }
    assert_eq!(std::fs::read(&first).expect("readable"), bytes, "the first one is as it was");
    let names: Vec<_> = [first, earlier, again].iter().map(|file| file.file_name().map(ToOwned::to_owned)).collect();
    let expected = ["2026-11-21T11-30-05.250Z.bdf", "2026-11-21T10-30-05.250Z.bdf", "2026-11-21T11-30-05.250Z-2.bdf"];
    assert_eq!(names, expected.map(|name| Some(name.into())));
}
