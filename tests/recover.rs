//! Power cuts, kills between any two steps, torn sidecars, files of others: `recover` makes whole what is ours, says what
//! is lost, and makes nothing worse.

mod common;
#[path = "recorder/feeder.rs"]
mod feeder;

use std::fs;
use std::path::{Path, PathBuf};

use biosigd::block::Cause;
use biosigd::daemon::recover::{RecoverError, recover};
use biosigd::daemon::verify::verify_file;
use biosigd::sink::RawSink;
use feeder::Feeder;

/// 3 channels at 100 Hz: a header of 1280 bytes, records of 2436.
const HEADER_BYTES: usize = 1280;
const RECORD_BYTES: usize = 3 * 300 + 1536;

/// A recording that was not finished: 3 records synced, 2 more and a part of one written, with gaps in both; its data file.
fn unfinished(dir: &Path, boot: &str) -> PathBuf {
    let mut feeder = Feeder::new(dir, 100.0, 3, 40);
    feeder.frames(111);
    feeder.gap(Cause::Missed, 30);
    feeder.marker(45, 0, None, "a\tmarker");
    feeder.frames(190);
    feeder.recorder.sync().expect("syncs");
    feeder.frames(60);
    feeder.gap(Cause::RingFull, 25);
    feeder.marker(500, 0, None, "7");
    feeder.frames(114);
    let file = feeder.recorder.progress().file.expect("a file");
    drop(feeder);
    let sidecar = file.with_extension("json");
    let text = fs::read_to_string(&sidecar).expect("reads");
    let at = text.find("\"boot_id\": \"").expect("a boot") + "\"boot_id\": \"".len();
    if !boot.is_empty() {
        fs::write(&sidecar, format!("{}{boot}{}", &text[..at], &text[at + boot.len()..])).expect("writes");
    }
    file
}

/// A copy of an unfinished recording whose data are `bytes`, in a folder of its own.
fn copy(file: &Path, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let to = dir.path().join(file.file_name().expect("a name"));
    fs::write(&to, bytes).expect("writes");
    fs::copy(file.with_extension("json"), to.with_extension("json")).expect("copies");
    (dir, to)
}

fn finished(file: &Path) -> PathBuf {
    file.with_extension("").with_extension("bdf")
}

fn says(path: &Path) -> String {
    let mut out = Vec::new();
    let result = recover(&[path.to_owned()], &mut out);
    let text = String::from_utf8(out).expect("text");
    assert!(result.is_ok(), "{result:?}\n{text}");
    text
}

/// Recovers the folder: the file is well, holds so many frames, and the second time there is nothing to do.
fn becomes_whole(dir: &Path, file: &Path, n_frames: u64) {
    let text = says(dir);
    let file = finished(file);
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{text}\n{report}");
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["frames_written"], n_frames, "{text}");
    assert!(sidecar["state"].as_str().is_some_and(|state| state.starts_with("recovered: ")), "{sidecar}");
    assert!(sidecar["sha256"].is_string());
    let bytes = fs::read(&file).expect("reads");
    assert_eq!(says(dir), "");
    assert_eq!(says(&file), format!("{}\n  finished: nothing to do\n", file.display()));
    assert_eq!(fs::read(&file).expect("reads"), bytes);
}

#[test]
fn cut_at_any_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "00000000");
    let bytes = fs::read(&file).expect("reads");
    assert_eq!(bytes.len(), HEADER_BYTES + 5 * RECORD_BYTES);
    // What follows the three records that were synced is cut off, or zeros; every byte around a record's end, and others.
    let synced = HEADER_BYTES + 3 * RECORD_BYTES;
    let near = |at: usize| (at - HEADER_BYTES + 2) % RECORD_BYTES < 5;
    for at in (synced..=bytes.len()).filter(|at| near(*at) || at % 101 == 0) {
        let n_records = (at - HEADER_BYTES) / RECORD_BYTES;
        let (dir, copied) = copy(&file, &bytes[..at]);
        becomes_whole(dir.path(), &copied, n_records as u64 * 100);
        for longer in [bytes.len(), bytes.len() + 12_345] {
            let mut zeroed = bytes[..at].to_vec();
            zeroed.resize(longer, 0);
            let (dir, copied) = copy(&file, &zeroed);
            // The annotations end long before the record does: where only zeros were cut off, nothing was.
            let end = HEADER_BYTES + (n_records + 1) * RECORD_BYTES;
            let is_whole = n_records < 5 && bytes[at..end].iter().all(|byte| *byte == 0);
            becomes_whole(dir.path(), &copied, (n_records + usize::from(is_whole)) as u64 * 100);
        }
    }
}

#[test]
fn a_page_that_never_reached_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 1000.0, 8, 0);
    feeder.frames(2000);
    feeder.recorder.sync().expect("syncs");
    feeder.frames(3000);
    let file = feeder.recorder.progress().file.expect("a file");
    drop(feeder);
    let sidecar = fs::read_to_string(file.with_extension("json")).expect("reads");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads");
    fs::write(file.with_extension("json"), sidecar.replace(boot.trim(), &"0".repeat(boot.trim().len())))
        .expect("writes");
    let mut bytes = fs::read(&file).expect("reads");
    // The record after the next one after the sync, whose annotations came to the disk.
    let page = (256 * 10 + 3 * 25_536_usize).next_multiple_of(4096);
    bytes[page..page + 4096].fill(0);
    let (dir, file) = copy(&file, &bytes);
    becomes_whole(dir.path(), &file, 3000);
}

#[test]
fn what_is_said_and_what_stands_beside_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    let mut bytes = fs::read(&file).expect("reads");
    bytes.extend_from_slice(&[1; 77]);
    fs::write(&file, bytes).expect("writes");
    let after = "after it at most the record in work, 1 s, and what waited in memory are lost";
    let expected = format!(
        "{}\n  recovered: {}\n  77 bytes after the last whole record were removed\n  500 frames from 40, 55 of them lost; {after}\n",
        file.display(),
        finished(&file).display()
    );
    assert_eq!(says(dir.path()), expected);
    let sidecar = feeder::sidecar(&finished(&file));
    assert_eq!(sidecar["state"], format!("recovered: 500 frames from 40; {after}"));
    let ledger = &sidecar["ledger"]["recorder"];
    assert_eq!((&ledger["expected"], &ledger["delivered"]), (&500.into(), &445.into()));
    // The second gap came after the last word of the recorder: the file knows it, and not why.
    assert_eq!((&ledger["lost"]["missed"], &ledger["lost"]["unknown"]), (&30.into(), &25.into()));
    let base = finished(&file).with_extension("").display().to_string();
    let events = fs::read_to_string(format!("{base}_events.tsv")).expect("reads");
    let (told, nobody) = ("http\tn/a\tn/a", "n/a\tn/a\tn/a");
    let rows = format!(
        "onset\tduration\tsample\ttrial_type\tvalue\torigin\tuncertainty_ns\tsent_utc_ns\n\
         0.05\tn/a\t5\ta marker\tn/a\t{told}\n1.11\t0.3\t111\tBAD_ACQ_SKIP\tn/a\t{nobody}\n\
         3.91\t0.25\t391\tBAD_ACQ_SKIP\tn/a\t{nobody}\n4.6\tn/a\t460\t7\t7\t{told}\n"
    );
    assert_eq!(events, rows);
    let channels = fs::read_to_string(format!("{base}_channels.tsv")).expect("reads");
    assert!(
        channels.starts_with("name\ttype\tunits\tsampling_frequency\tdescription\nch0\tEEG\tuV\t100\t"),
        "{channels}"
    );
    assert_eq!(channels.lines().count(), 4);
}

#[test]
fn killed_between_the_steps_of_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 3, 0);
    feeder.frames(530);
    let file = feeder.close(Cause::Disk, 0);
    let whole = fs::read(&file).expect("reads");
    let sidecar = fs::read_to_string(file.with_extension("json")).expect("reads");
    let part = |ending: &str| file.with_extension(format!("part.{ending}"));
    // After the first renaming, and where the disk has the second one alone.
    for [from, to] in [[file.clone(), part("bdf")], [file.with_extension("json"), part("json")]] {
        fs::rename(&from, &to).expect("renames");
        says(dir.path());
        assert_eq!(fs::read(&file).expect("finished"), whole);
        assert_eq!(feeder::sidecar(&file)["state"], "complete");
        assert!(verify_file(&file, true).expect("opens").is_well());
    }
    // After the filled up record, before the last word.
    fs::rename(&file, part("bdf")).expect("renames");
    let running = sidecar.replace("\"complete\"", "\"recording\"");
    assert!(running.contains("\"frames_end\": 530"), "{running}");
    fs::write(part("json"), running).expect("writes");
    fs::remove_file(file.with_extension("json")).expect("removes");
    becomes_whole(dir.path(), &part("bdf"), 530);
    let state = feeder::sidecar(&file)["state"].clone();
    assert_eq!(state, "recovered: 530 frames from 0; nothing after it is missing");
}

#[test]
fn a_recording_without_a_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 3, 9);
    feeder.frames(99);
    let file = feeder.recorder.progress().file.expect("a file");
    let text = says(dir.path());
    assert_eq!(text, format!("{}\n  a recorder is writing it: left alone\n", file.display()));
    drop(feeder);
    becomes_whole(dir.path(), &file, 0);
}

#[test]
fn torn_sidecars() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    let bytes = fs::read(&file).expect("reads");
    // The first page: what is known of the file is counted from the file.
    let (first, copied) = copy(&file, &bytes);
    let mut sidecar = fs::read(copied.with_extension("json")).expect("reads");
    sidecar[200..700].fill(0);
    fs::write(copied.with_extension("json"), &sidecar).expect("writes");
    becomes_whole(first.path(), &copied, 500);
    assert_eq!(feeder::sidecar(&finished(&copied))["ledger"]["recorder"]["lost"]["unknown"], 55);
    // All of it, and none at all: the file is made to open, and what is left of the sidecar is kept.
    for is_there in [true, false] {
        let (dir, copied) = copy(&file, &bytes[..bytes.len() - 1]);
        fs::remove_file(copied.with_extension("json")).expect("removes");
        if is_there {
            fs::write(copied.with_extension("json"), [0; 100]).expect("writes");
        }
        let text = says(dir.path());
        assert!(text.contains("no usable sidecar"), "{text}");
        assert_eq!(copied.with_extension("json.torn").exists(), is_there);
        assert_eq!(fs::read(finished(&copied)).expect("reads").len(), HEADER_BYTES + 4 * RECORD_BYTES);
        assert!(verify_file(&finished(&copied), true).expect("opens").is_well());
    }
    // A count that is torn.
    let mut torn = bytes.clone();
    torn[236..244].copy_from_slice(b"\x00x1\xff    ");
    let (dir, copied) = copy(&file, &torn);
    becomes_whole(dir.path(), &copied, 500);
}

/// Sidecars that are JSON, and none that a recorder wrote.
#[test]
fn sidecars_that_somebody_edited() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    let bytes = fs::read(&file).expect("reads");
    let text = fs::read_to_string(file.with_extension("json")).expect("reads");
    let first_frame = "\"first_frame\": 40";
    assert_eq!(text.matches(first_frame).count(), 1);
    let without = ["\"first\": 40", "\"first_frame\": -4", "\"first_frame\": null", "\"first_frame\": [[]]"];
    let without = without.map(|other| text.replace(first_frame, other));
    // Larger than any of ours in memory, as a list and as maps.
    let many = ["0", "{\"\":0}"].map(|value| format!("{{\"a\":[{}0]}}", format!("{value},").repeat(400_000)));
    for sidecar in without.into_iter().chain(many) {
        let (dir, copied) = copy(&file, &bytes);
        fs::write(copied.with_extension("json"), sidecar).expect("writes");
        let said = says(dir.path());
        assert!(said.contains("no usable sidecar"), "{said}");
        assert!(copied.with_extension("json.torn").exists());
        assert!(verify_file(&finished(&copied), true).expect("opens").is_well());
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let tiny = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny.bdf")).expect("reads");
    let mut open = tiny.clone();
    open[236..244].copy_from_slice(b"-1      ");
    open.extend_from_slice(b"tail");
    for (name, bytes) in [("a.bdf", &tiny), ("b.bdf", &open), ("c.part.bdf", &open), ("e.part.bdf", &Vec::new())] {
        fs::write(dir.path().join(name), bytes).expect("writes");
    }
    fs::write(dir.path().join("b.json"), "{\"TaskName\": \"rest\"}").expect("writes");
    let text = says(dir.path());
    assert_eq!(text.matches("none of biosigd's recordings: left alone").count(), 3, "{text}");
    assert_eq!(fs::read(dir.path().join("b.bdf")).expect("reads"), open);
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 5);
    // By name the count is put right, and not a byte removed.
    let text = says(&dir.path().join("b.bdf"));
    assert!(text.contains("whole records that are there; nothing was removed"), "{text}");
    let now = fs::read(dir.path().join("b.bdf")).expect("reads");
    assert_eq!((now.len(), &now[236..244]), (open.len(), &tiny[236..244]));
    assert_eq!(fs::read_to_string(dir.path().join("b.json")).expect("reads"), "{\"TaskName\": \"rest\"}");
}

#[test]
fn a_finished_name_that_is_taken_is_not_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    fs::write(finished(&file), "mine").expect("writes");
    let text = says(&file);
    let other = format!("{}-2.bdf", finished(&file).with_extension("").display());
    assert!(text.contains(&format!("recovered: {other}\n")), "{text}");
    assert_eq!(fs::read_to_string(finished(&file)).expect("reads"), "mine");
    assert!(verify_file(Path::new(&other), true).expect("opens").is_well());
}

#[test]
fn what_a_recorder_left_that_was_killed_while_it_made_its_files() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["a.part.bdf", "a.part.json"] {
        fs::write(dir.path().join(name), "").expect("writes");
    }
    assert!(says(dir.path()).contains("removed: data and sidecar were empty, nothing was recorded"));
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
}

/// Whatever was done to the files, nothing panics, and what is called recovered is well or is said to be damaged by `verify`.
#[test]
fn damaged_at_random() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    let whole = [file.clone(), file.with_extension("json")].map(|path| fs::read(path).expect("reads"));
    let n_damages = if std::env::var_os("BIOSIGD_LONG").is_some() { 10_000 } else { 300 };
    // A generator of Knuth's.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below.max(1)
    };
    for _ in 0..n_damages {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let of = &mut bytes[random(2)];
            let at = random(of.len());
            match random(4) {
                0 => of.truncate(at),
                1 => of.iter_mut().skip(at).take(random(600)).for_each(|byte| *byte = 0),
                2 => of.extend_from_slice(&vec![b'9'; random(5000)]),
                _ => of
                    .iter_mut()
                    .skip(at)
                    .take(1 + random(12))
                    .for_each(|byte| *byte = b"0129-,}{\"\x00\xff "[random(12)]),
            }
        }
        let dir = tempfile::tempdir().expect("a folder");
        let to = dir.path().join("a.part.bdf");
        fs::write(&to, &bytes[0]).expect("writes");
        fs::write(dir.path().join("a.part.json"), &bytes[1]).expect("writes");
        let mut out = Vec::new();
        let first = recover(&[dir.path().to_owned()], &mut out);
        if first.is_ok() {
            for entry in fs::read_dir(dir.path()).expect("lists").flatten() {
                if entry.path().extension().is_some_and(|end| end == "bdf") {
                    drop(verify_file(&entry.path(), false).expect("opens"));
                }
            }
        }
        // Again: whatever it is now, it stays.
        let listing = |dir: &Path| {
            fs::read_dir(dir).expect("lists").flatten().map(|entry| fs::read(entry.path()).ok()).collect::<Vec<_>>()
        };
        let before = listing(dir.path());
        drop(recover(&[dir.path().to_owned()], &mut Vec::new()));
        assert_eq!(listing(dir.path()).len(), before.len(), "{}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn exit_codes() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("x.part.bdf"), "no header").expect("writes");
    fs::write(dir.path().join("x.txt"), "").expect("writes");
    for (path, code) in [("none", 66), ("x.part.bdf", 65), (".", 65), ("x.txt", 65)] {
        let ended = common::run(&["recover", path], dir.path());
        assert_eq!(ended.code, Some(code), "{path}\n{}\n{}", ended.stdout, ended.stderr());
    }
    assert_eq!(common::run(&["recover"], dir.path()).code, Some(64));
    let none = dir.path().join("none");
    assert!(
        matches!(recover(std::slice::from_ref(&none), &mut Vec::new()), Err(RecoverError::NoInput { path, .. }) if path == none)
    );
}

#[test]
fn a_daemon_that_starts_recovers_what_it_finds() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = unfinished(dir.path(), "");
    fs::write(dir.path().join("mine.bdf"), "not a recording").expect("writes");
    let config =
        common::CONFIG.replace("[recorder]", &format!("[recorder]\ndir = {:?}", dir.path().display().to_string()));
    let mut daemon = common::Daemon::start_with(&config);
    let line = daemon.line_with("was not finished");
    assert!(
        line.contains(&format!("{} was not finished; recovered: {}", file.display(), finished(&file).display())),
        "{line}"
    );
    assert!(verify_file(&finished(&file), true).expect("opens").is_well());
    // Its own recording is held by the living, so that nobody takes it away.
    let own = daemon.status()["recording"]["file"].as_str().expect("a file").to_owned();
    assert!(own.ends_with(".part.bdf") && says(dir.path()).contains("a recorder is writing it: left alone"), "{own}");
    let (ended, _config) = daemon.stop();
    ended.assert_no_panic();
    assert!(!ended.stderr().contains("mine.bdf"), "{}", ended.stderr());
    assert!(verify_file(&finished(Path::new(&own)), true).expect("opens").is_well());
    let mine = dir.path().join("mine.bdf");
    assert_eq!(says(dir.path()), format!("{}\n  none of biosigd's recordings: left alone\n", mine.display()));
}
