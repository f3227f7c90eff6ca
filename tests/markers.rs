//! Markers: each stands on exactly its frame, in the file and in the table of events, with who told of it, how sure it is and
//! the sender's clock; however many come at once, and whatever ends the recorder.

#[path = "recorder/feeder.rs"]
mod feeder;

use std::collections::HashMap;
use std::path::Path;

use biosigd::block::{Cause, Marker, Origin};
use biosigd::daemon::recover::recover;
use biosigd::daemon::verify::verify_file;
use biosigd::sink::RawSink;
use biosigd::sink::recorder::{FileRecorder, Keep, Retainer};
use feeder::Feeder;

const RATE_HZ: f64 = 4000.0;

/// Frames of a block, 10 ms.
const BLOCK_FRAMES: u64 = 40;

/// The rows of the table beside `file`, without their header.
fn rows(file: &Path) -> Vec<Vec<String>> {
    let base = file.with_extension("").display().to_string();
    let text = std::fs::read_to_string(format!("{base}_events.tsv")).expect("a table");
    let mut lines = text.lines();
    let columns = "onset\tduration\tsample\ttrial_type\tvalue\torigin\tuncertainty_ns\tsent_utc_ns";
    assert_eq!(lines.next(), Some(columns));
    let described = std::fs::read_to_string(format!("{base}_events.json")).expect("a description");
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    for column in columns.split('\t').skip(2) {
        assert!(described[column]["Description"].is_string(), "{column} in {described}");
    }
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Everything a marker can say, derived from its number.
fn marker(n: u64, frame: u64) -> Marker {
    let origins = [Origin::Http, Origin::Page, Origin::Trigger, Origin::Source, Origin::Replay];
    Marker {
        frame,
        offset_ns: i64::try_from(n % 250_000).expect("small"),
        duration_ns: (n % 3 == 0).then_some(250_000_000),
        text: format!("marker {n}"),
        origin: origins[usize::try_from(n % 5).expect("small")],
        uncertainty_ns: (n % 2 == 0).then_some(n + 125_000),
        sent_utc_ns: (n % 7 == 0).then_some(1_795_260_605_250_000_000 + n),
    }
}

/// Each of `told` stands in the table exactly once, on its frame, with all that it said.
fn stand_in_the_table(told: &[Marker], rows: &[Vec<String>]) {
    let by_text: HashMap<&str, &Vec<String>> = rows.iter().map(|row| (row[3].as_str(), row)).collect();
    assert_eq!((rows.len(), by_text.len()), (told.len(), told.len()), "each of them once");
    let number = |n: Option<u64>| n.map_or("n/a".to_owned(), |n| n.to_string());
    for marker in told {
        let row = by_text[marker.text.as_str()];
        assert_eq!(row[2], marker.frame.to_string(), "{row:?}");
        let onset_ns = (row[0].parse::<f64>().expect("seconds") * 1e9).round();
        let expected_ns = marker.frame as f64 * 250_000.0 + marker.offset_ns as f64;
        assert!((onset_ns - expected_ns).abs() < 1.0, "{row:?}");
        assert_eq!(row[1], if marker.duration_ns.is_some() { "0.25" } else { "n/a" }, "{row:?}");
        let told = [marker.origin.name().to_owned(), number(marker.uncertainty_ns), number(marker.sent_utc_ns)];
        assert_eq!(row[5..], told, "{row:?}");
    }
}

/// Waits for the table that the recorder's own thread makes.
fn finished(feeder: Feeder) -> std::path::PathBuf {
    // Its end waits for that thread.
    feeder.close(Cause::Disk, 0)
}

#[test]
fn seventy_nine_a_second_and_eight_hundred_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), RATE_HZ, 2, 0);
    let mut told = Vec::new();
    for block in 0..600 {
        let first_frame = block * BLOCK_FRAMES;
        // 79 in 100 blocks, and the burst in the third second.
        let n_more = u64::from(block * 79 / 100 != (block + 1) * 79 / 100) + if block == 250 { 800 } else { 0 };
        for n in 0..n_more {
            let marker = marker(told.len() as u64, first_frame + n % BLOCK_FRAMES);
            feeder.recorder.marker(marker.clone());
            told.push(marker);
        }
        feeder.frames(BLOCK_FRAMES);
    }
    assert_eq!(told.len(), 6 * 79 + 800);
    let file = finished(feeder);
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    stand_in_the_table(&told, &rows(&file));
    assert!(!file.with_extension("part.jsonl").exists(), "what the table has taken up goes");
}

#[test]
fn a_killed_recorder_loses_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), RATE_HZ, 2, 0);
    let mut told = Vec::new();
    for block in 0..250 {
        if block % 5 == 0 {
            let marker = marker(told.len() as u64, block * BLOCK_FRAMES + 3);
            feeder.recorder.marker(marker.clone());
            told.push(marker);
        }
        feeder.frames(BLOCK_FRAMES);
    }
    let file = feeder.recorder.progress().file.expect("a file");
    // As a kill leaves it: nothing is closed, and the record in work with its markers is not in the file. A line is torn.
    std::mem::forget(feeder);
    let work = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(dir.path()).expect("lists") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), work.path().join(entry.file_name())).expect("copies");
    }
    let copy = work.path().join(file.file_name().expect("a name"));
    let journal = copy.with_extension("jsonl");
    let mut lines = std::fs::read(&journal).expect("a journal");
    lines.extend_from_slice(b"{\"frame\": 9999, \"onset");
    std::fs::write(&journal, lines).expect("writes");
    let mut says = Vec::new();
    recover(&[work.path().to_owned()], &mut says).expect("recovers");
    let name = file.file_name().expect("a name").to_string_lossy().replace(".part.bdf", ".bdf");
    stand_in_the_table(&told, &rows(&work.path().join(name)));
    assert!(!journal.exists());
}

/// The names were taken while it ran: what is known of the markers follows the file to the name that is free.
#[test]
fn a_name_that_is_taken_meanwhile_costs_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), RATE_HZ, 2, 0);
    let told = [marker(0, 7)];
    feeder.recorder.marker(told[0].clone());
    feeder.frames(BLOCK_FRAMES);
    let part = feeder.recorder.progress().file.expect("a file").display().to_string();
    let base = part.trim_end_matches(".part.bdf");
    for ending in [".bdf", "-2.json", "-3.bdf"] {
        std::fs::write(format!("{base}{ending}"), "mine").expect("writes");
    }
    let file = finished(feeder);
    assert_eq!(file, Path::new(&format!("{base}-4.bdf")));
    stand_in_the_table(&told, &rows(&file));
    for ending in [".bdf", "-2.json", "-3.bdf"] {
        assert_eq!(std::fs::read_to_string(format!("{base}{ending}")).expect("reads"), "mine");
    }
}

/// Markers of frames that stand in the next file are in its table, and in no other.
#[test]
fn each_stands_in_the_table_of_its_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), RATE_HZ, 2);
    plan.rotate.every_s = 1.0;
    let mut feeder = Feeder::with(plan, 0);
    for n in 0..30 {
        feeder.recorder.marker(marker(n, n * 400 + 399));
    }
    for _ in 0..300 {
        feeder.frames(BLOCK_FRAMES);
    }
    finished(feeder);
    let mut files: Vec<_> = std::fs::read_dir(dir.path()).expect("lists").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "bdf"));
    let mut n_rows: Vec<_> = files.iter().map(|file| rows(file).len()).collect();
    n_rows.sort_unstable();
    assert_eq!(n_rows, [10, 10, 10]);
}

/// As many as a recording that is not synced to a person's pace can bring: none is lost, and nothing grows without bound.
#[test]
fn a_hundred_thousand() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), RATE_HZ, 2, 0);
    let mut told = Vec::new();
    while told.len() < 100_000 {
        // As those who are refused with 503 do, it waits while 4096 wait.
        while told.len() < 100_000 && feeder.recorder.progress().markers_waiting < 4096 {
            let marker = marker(told.len() as u64, told.len() as u64);
            feeder.recorder.marker(marker.clone());
            told.push(marker);
        }
        feeder.frames(4000);
    }
    let file = finished(feeder);
    assert_eq!(feeder::sidecar(&file)["markers_dropped"], 0);
    stand_in_the_table(&told, &rows(&file));
}

/// `keep_days` looks at when files were written, and a clock that leaps makes none of them old before its time.
#[test]
fn a_clock_that_leaps_removes_nothing_young() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), RATE_HZ, 2);
    plan.keep = Keep { days: 1.0, bytes: 0 };
    let day_ns = 86_400_000_000_000;
    let hour_ns = day_ns / 24;
    let now_ns = 1_795_260_605_250_000_000_u64;
    // Unset, then NTP; set back an hour; forward a day: within one recording each.
    for (n, (before_ns, after_ns)) in
        [(3_000_000_000, now_ns), (now_ns, now_ns - hour_ns), (now_ns, now_ns + day_ns)].into_iter().enumerate()
    {
        let mut recorder = FileRecorder::new(plan.clone()).expect("a plan that fits");
        let head = |block: u64| biosigd::block::Head {
            first_frame: block * BLOCK_FRAMES,
            n_frames: 40,
            edge_ns: (block + 1) * 10_000_000,
            edge_utc_ns: (block + 1) * 10_000_000 + if block < 1500 { before_ns } else { after_ns },
            ..biosigd::block::Head::default()
        };
        recorder.open(&head(0)).expect("opens");
        for block in 0..3000 {
            let codes = feeder::packed(block * BLOCK_FRAMES, BLOCK_FRAMES, 2);
            let gap = biosigd::block::Tally::default();
            recorder.write(&biosigd::sink::PackedBlock { head: head(block), gap, codes: &codes }).expect("writes");
        }
        recorder.close(&biosigd::block::Tally::default()).expect("closes");
        let file = recorder.progress().file.expect("a file");
        let report = verify_file(&file, true).expect("opens");
        assert!(report.is_well(), "{n}: {report}");
        let sidecar = feeder::sidecar(&file);
        assert_eq!(sidecar["frames_written"], 120_000, "no frame moved");
        let rate_hz = sidecar["measured_rate_hz"].as_f64().expect("measured");
        assert!((rate_hz - RATE_HZ).abs() < 1e-6, "the time axis is the monotonic clock's: {rate_hz}");
        let pairs = sidecar["clock_pairs"].as_array().expect("pairs");
        let value = |pair: &serde_json::Value, at: usize| i128::from(pair[at].as_u64().expect("a number"));
        assert!(
            pairs.windows(2).all(|two| value(&two[0], 0) < value(&two[1], 0) && value(&two[0], 1) < value(&two[1], 1))
        );
        let leaps: Vec<i128> = pairs
            .windows(2)
            .map(|two| value(&two[1], 2) - value(&two[0], 2) - (value(&two[1], 1) - value(&two[0], 1)))
            .filter(|leap_ns| *leap_ns != 0)
            .collect();
        assert_eq!(leaps, [i128::from(after_ns) - i128::from(before_ns)], "the pairs show the leap, once");
        drop(recorder);
        Retainer::new(dir.path().to_owned(), plan.keep).retain();
        assert!(file.exists(), "{n}: a young file was removed");
    }
}
