//! A recording in several files: no frame is lost or doubled between them, each file's account adds up on its own, and the
//! sidecars name their neighbours.

mod common;
#[path = "recorder/feeder.rs"]
mod feeder;

use std::path::{Path, PathBuf};

use biosigd::block::{Cause, Head, Tally};
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Header, parse_tals};
use biosigd::sink::recorder::{About, FileName, Rotate};
use biosigd::sink::{PackedBlock, RawSink};
use feeder::Feeder;

/// The data files in `dir`, in the order of their first frames.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("lists").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "bdf")).collect();
    files.sort_by_key(|file| feeder::sidecar(file)["first_frame"].as_u64());
    files
}

/// Each file is well, they follow one another without a seam, and their sidecars say so. Returns frames and frames lost
/// between the files.
fn chain_is_whole(files: &[PathBuf]) -> [u64; 2] {
    let sidecars: Vec<_> = files.iter().map(|file| feeder::sidecar(file)).collect();
    let (mut n_frames, mut between) = (0, 0);
    for (index, (file, sidecar)) in files.iter().zip(&sidecars).enumerate() {
        let report = verify_file(file, true).expect("opens");
        assert!(report.is_well(), "{}\n{report}", file.display());
        assert_eq!((sidecar["part"].as_u64(), sidecar["state"].as_str()), (Some(index as u64 + 1), Some("complete")));
        let frames_written = sidecar["frames_written"].as_u64().expect("a number");
        n_frames += frames_written;
        let end = sidecar["first_frame"].as_u64().expect("a number") + frames_written;
        let Some(next) = sidecars.get(index + 1) else {
            assert!(sidecar["next"].is_null());
            continue;
        };
        let gap = sidecar["next"]["gap_frames"].as_u64().expect("a number");
        between += gap;
        assert_eq!(next["first_frame"], end + gap);
        assert_eq!(sidecar["next"]["first_frame"], next["first_frame"]);
        assert_eq!(next["previous"]["first_frame"], sidecar["first_frame"]);
        let name = |file: &Path| file.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(sidecar["next"]["file"], name(&files[index + 1]));
        assert_eq!(next["previous"]["file"], name(file));
    }
    [n_frames, between]
}

#[test]
fn every_second_for_a_minute() {
    let minutes = if std::env::var_os("BIOSIGD_LONG").is_some() { 10 } else { 1 };
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 4000.0, 32);
    plan.rotate = Rotate { every_s: 1.0, ..Rotate::default() };
    let mut feeder = Feeder::with(plan, 123_456);
    // Blocks of 41 frames: none of the 60 boundaries but one is a block's.
    let (mut left, mut bytes) = (minutes * 240_000_u64, 0);
    while left > 0 {
        let n_frames = left.min(41);
        feeder.frames(n_frames);
        left -= n_frames;
        assert!(feeder.recorder.progress().bytes >= bytes, "the sum never goes back");
        bytes = feeder.recorder.progress().bytes;
    }
    feeder.recorder.sync().expect("the last file reaches the disk");
    assert_eq!(feeder.recorder.progress().frames_delivered, minutes * 240_000);
    feeder.close(Cause::Disk, 0);
    let files = files(dir.path());
    assert_eq!(files.len() as u64, minutes * 60, "no empty one at the end");
    assert_eq!(chain_is_whole(&files), [minutes * 240_000, 0]);
}

#[test]
fn by_size_with_gaps_across_the_boundaries() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 100.0, 3);
    // A header of 1280 bytes and three records of 2436; not four.
    plan.rotate = Rotate { bytes: 1280 + 4 * 2436 - 1, ..Rotate::default() };
    let mut feeder = Feeder::with(plan, 5);
    for step in 0..40_u64 {
        feeder.frames(1 + step * 7 % 90);
        feeder.gap(Cause::Missed, step * 13 % 411);
    }
    feeder.frames(1);
    let delivered = feeder.recorder.progress().frames_delivered;
    feeder.close(Cause::Disk, 17);
    let files = files(dir.path());
    let [n_frames, _] = chain_is_whole(&files);
    let gaps: u64 = (0..40).map(|step| step * 13 % 411).sum();
    let given: u64 = (0..40).map(|step| 1 + step * 7 % 90).sum::<u64>() + 1;
    assert_eq!(n_frames, given + gaps + 17);
    assert!(delivered <= given);
    let lost: u64 =
        files.iter().filter_map(|file| feeder::sidecar(file)["ledger"]["recorder"]["lost"]["missed"].as_u64()).sum();
    assert_eq!(lost, gaps);
    for file in &files[..files.len() - 1] {
        assert_eq!(feeder::sidecar(file)["records"], 3);
        assert!(file.metadata().expect("metadata").len() < 1280 + 4 * 2436);
    }
}

#[test]
fn on_request_at_the_next_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 2, 0);
    feeder.recorder.rotate();
    feeder.frames(50);
    feeder.recorder.rotate();
    feeder.recorder.rotate();
    feeder.frames(30);
    assert_eq!(files(dir.path()).len(), 1, "the record is not full yet");
    feeder.frames(20);
    assert_eq!(files(dir.path()).len(), 1, "no frame needs another file yet");
    feeder.frames(1);
    assert_eq!(files(dir.path()).len(), 2);
    feeder.frames(99);
    feeder.recorder.rotate();
    feeder.close(Cause::Disk, 0);
    let files = files(dir.path());
    let frames: Vec<_> = files.iter().map(|file| feeder::sidecar(file)["frames_written"].as_u64()).collect();
    // Where nothing was recorded yet there was nothing to end, nor after the last frame.
    assert_eq!(frames, [Some(100), Some(100)]);
    assert_eq!(chain_is_whole(&files), [200, 0]);
    let mut recorder = biosigd::sink::recorder::FileRecorder::new(feeder::plan(dir.path(), 100.0, 2)).expect("fits");
    recorder.rotate();
    assert_eq!(recorder.progress().file, None, "none is active");
}

#[test]
fn a_long_gap_is_in_no_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 100.0, 2);
    plan.rotate = Rotate { gap_s: 3.0, ..Rotate::default() };
    let mut feeder = Feeder::with(plan, 0);
    feeder.frames(130);
    feeder.gap(Cause::Reinit, 300);
    feeder.frames(5);
    feeder.gap(Cause::Reinit, 301);
    feeder.frames(33);
    feeder.close(Cause::Disk, 0);
    let files = files(dir.path());
    assert_eq!(chain_is_whole(&files), [130 + 300 + 5 + 33, 301]);
    let sidecars: Vec<_> = files.iter().map(|file| feeder::sidecar(file)).collect();
    let lost = |index: usize| &sidecars[index]["ledger"]["recorder"]["lost"]["reinit"];
    assert_eq!((lost(0), lost(1)), (&300.into(), &0.into()));
    assert_eq!((&sidecars[1]["first_frame"], &sidecars[1]["previous"]["gap_frames"]), (&736.into(), &301.into()));
}

#[test]
fn markers_stand_in_the_file_of_their_frame() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 100.0, 2);
    plan.rotate = Rotate { every_s: 1.0, ..Rotate::default() };
    let mut feeder = Feeder::with(plan, 0);
    for frame in [0, 99, 100, 199, 250, 299] {
        feeder.marker(frame, 0, None, &frame.to_string());
    }
    feeder.frames(150);
    feeder.marker(40, 0, None, "late");
    feeder.frames(150);
    feeder.close(Cause::Disk, 0);
    let found: Vec<_> = files(dir.path()).iter().map(|file| annotations(file)).collect();
    let expected: [&[(i64, &str)]; 3] =
        [&[(0, "0"), (990, "99")], &[(0, "100"), (990, "199"), (-600, "late")], &[(500, "250"), (990, "299")]];
    assert_eq!(
        found,
        expected.map(|texts| texts.iter().map(|(ms, text)| (*ms, (*text).to_owned())).collect::<Vec<_>>())
    );
}

/// Onset in milliseconds, and text.
fn annotations(file: &Path) -> Vec<(i64, String)> {
    let bytes = std::fs::read(file).expect("reads");
    let header = Header::read(&mut bytes.as_slice()).expect("a header");
    let mut found = Vec::new();
    let records = &bytes[usize::try_from(header.header_bytes()).expect("small")..];
    for record in records.chunks_exact(header.record_bytes()) {
        for (_, range) in header.signal_ranges().filter(|(signal, _)| signal.is_annotations()) {
            parse_tals(&record[range], &mut found).expect("lists");
        }
    }
    found.into_iter().map(|annotation| (annotation.onset_ns / 1_000_000, annotation.text)).collect()
}

/// Saturday, 21 November 2026, 11:30:05.25 UTC.
const START_UTC_NS: u64 = 1_795_260_605_250_000_000;

#[test]
fn a_clock_that_is_set_moves_no_boundary() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 100.0, 1);
    plan.rotate = Rotate { every_s: 10.0, ..Rotate::default() };
    plan.file_name = FileName::parse("sub-{subject}_task-{name}_run-{part}_eeg").expect("a template");
    let mut recorder = biosigd::sink::recorder::FileRecorder::new(plan).expect("fits");
    let text = "S\n\u{1}\u{1f9e0}".to_owned() + &"x".repeat(10_000);
    recorder.describe_next(About { name: text.clone(), subject: text.clone(), notes: text.clone() });
    for block in 0..50_u64 {
        // An hour back after 12 s, a day forward after 25 s.
        let edge_ns = (block * 100 + 99) * 10_000_000;
        let set_s = [0, -3600, 86_400][usize::from(block >= 12) + usize::from(block >= 25)];
        let edge_utc_ns = (START_UTC_NS + edge_ns).saturating_add_signed(set_s * 1_000_000_000);
        let head = Head { first_frame: block * 100, n_frames: 100, edge_ns, edge_utc_ns, ..Head::default() };
        if block == 0 {
            recorder.open(&head).expect("opens");
        }
        let codes = feeder::packed(head.first_frame, 100, 1);
        recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("writes");
    }
    recorder.close(&Tally::default()).expect("closes");
    let files = files(dir.path());
    assert_eq!(chain_is_whole(&files), [5000, 0]);
    for (index, file) in files.iter().enumerate() {
        let sidecar = feeder::sidecar(file);
        assert_eq!(sidecar["frames_written"], 1000);
        assert_eq!((sidecar["notes"].as_str(), sidecar["subject"].as_str()), (Some(&*text), Some(&*text)));
        let rate_hz = sidecar["measured_rate_hz"].as_f64().expect("measured");
        assert!((rate_hz - 100.0).abs() < 1e-6, "{rate_hz}");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with("sub-Sx") && name.ends_with(&format!("_run-{}_eeg.bdf", index + 1)), "{name}");
    }
}

#[test]
fn keys_out_of_range_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = "[recorder]\nrotate_s = 0.5\nrotate_gb = nan\ngap_file_s = -1\nfile_name = \"{name}/{strat}\"\n";
    std::fs::write(dir.path().join("rig.toml"), config).expect("writes");
    let ended = common::run(&["check", "-c", "rig.toml"], dir.path());
    let expected = "rig.toml:2: recorder: rotate_s = 0.5 must be 1 to 10000000, or 0 for never\n\
        rig.toml:3: recorder: rotate_gb = NaN must be 0.001 to 100000, or 0 for never\n\
        rig.toml:4: recorder: gap_file_s = -1 must be 1 to 10000000, or 0 for never\n\
        rig.toml:5: recorder: file_name = \"{name}/{strat}\": there is no {strat}; known: {start}, {name}, {part}, {subject}\n\
        4 mistakes, nothing was started";
    assert_eq!((ended.code, ended.stderr().as_str()), (Some(78), expected));
    let config = "[recorder]\nrotate_s = 3600\nfile_name = \"{start}_{part}\"\n";
    std::fs::write(dir.path().join("rig.toml"), config).expect("writes");
    let ended = common::run(&["check", "-c", "rig.toml"], dir.path());
    let line = "files       {start}_{part}: another one every 3600 s, after a gap longer than 300 s\n";
    assert!(ended.stdout.contains(line), "{}", ended.stdout);
}
