//! `verify`: what is whole passes, what is damaged is named.

#[path = "recorder/feeder.rs"]
mod feeder;
#[path = "common/recordings.rs"]
mod recordings;

use std::fs;
use std::path::{Path, PathBuf};

use biosigd::block::Cause;
use biosigd::daemon::verify::{VerifyError, verify, verify_file};
use biosigd::sink::RawSink;
use feeder::Feeder;

/// 4 channels at 100 Hz, frames 500 to 999 with two gaps and two markers: 5 records and a padded one.
fn recording(dir: &Path) -> PathBuf {
    let mut feeder = Feeder::new(dir, 100.0, 4, 500);
    feeder.frames(33);
    feeder.gap(Cause::Missed, 10);
    feeder.marker(520, 0, None, "one");
    feeder.frames(200);
    feeder.gap(Cause::LinkFull, 150);
    feeder.frames(127);
    feeder.marker(999, 123, Some(1_000_000), "two");
    feeder.close(Cause::Disk, 5)
}

/// Header, then records of 4 * 100 * 3 + 1536 bytes.
const HEADER_BYTES: usize = 256 * 6;
const RECORD_BYTES: usize = 2736;

#[test]
fn what_is_whole_passes_and_is_described() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = recording(dir.path());
    let mut out = Vec::new();
    verify(std::slice::from_ref(&file), true, &mut out).expect("well");
    let expected = format!(
        "{}\n  BDF+C, 4 signals at 100 Hz, 6 records of 1 s, 6 s\n  5 annotations, 3 of them gaps, 165 frames\n  every code is \
         the counter's\n  sidecar: complete, frames from 500\n  ledger: 525 expected, 360 delivered, 165 lost (disk 5, \
         link_full 150, missed 10)\n  SHA-256 {}, as the sidecar has it\n  well\n",
        file.display(),
        feeder::sidecar(&file)["sha256"].as_str().expect("known")
    );
    assert_eq!(String::from_utf8(out).expect("text"), expected);
}

/// Damages the data file with `change`, and returns the first finding.
fn after(change: impl Fn(&mut Vec<u8>)) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let file = recording(dir.path());
    let mut bytes = fs::read(&file).expect("reads");
    change(&mut bytes);
    fs::write(&file, bytes).expect("writes");
    verify_file(&file, true).expect("opens").damage_found().first().cloned().unwrap_or_default()
}

/// Replaces `from` by `to` in the sidecar, and returns all findings.
fn with_sidecar(from: &str, to: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = recording(dir.path());
    let path = file.with_extension("json");
    let text = fs::read_to_string(&path).expect("reads");
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(&path, text.replacen(from, to, 1)).expect("writes");
    verify_file(&file, true).expect("opens").damage_found().to_vec()
}

#[test]
fn a_damaged_file_is_named_with_the_place() {
    let record = |index: usize| HEADER_BYTES + index * RECORD_BYTES;
    assert_eq!(after(|_| {}), "");
    assert_eq!(
        // Frame 2 of channel 1 in record 1.
        after(|bytes| bytes[record(1) + 300 + 6] ^= 1),
        "frame 102 of the file (602 of the source), channel 1: expected -8350079, found -8350080"
    );
    assert_eq!(
        // In the first gap, which repeats frame 32.
        after(|bytes| bytes[record(0) + 35 * 3] ^= 1),
        "frame 35 of the file (535 of the source), channel 0: expected -8354560, found -8354559"
    );
    assert_eq!(
        // Padding repeats frame 519, the last that was given.
        after(|bytes| bytes[record(5) + 99 * 3] ^= 1),
        "frame 599 of the file (1099 of the source), channel 0: expected -8323392, found -8323391"
    );
    assert_eq!(
        after(|bytes| bytes.truncate(record(6) - 10)),
        "the header counts 6 records, which end at byte 17952; the file ends at byte 17942, 10 bytes are missing"
    );
    assert_eq!(
        after(|bytes| bytes.extend_from_slice(&[0; 77])),
        "torn tail: 77 bytes follow the last of 6 records, which ends at byte 17952"
    );
    assert_eq!(
        after(|bytes| bytes[236] = b'5'),
        "torn tail: 2736 bytes follow the last of 5 records, which ends at byte 15216"
    );
    assert_eq!(
        // `+2` of the third record's first list.
        after(|bytes| bytes[record(2) + 1200 + 1] = b'7'),
        "record 2: the time-keeping annotation says 7 s, 2 s is due"
    );
    assert_eq!(
        after(|bytes| bytes[record(2) + 1200] = b'x'),
        "record 2: byte 0 of the annotation area: a list must begin with + or -"
    );
    assert_eq!(after(|bytes| bytes[record(2) + 1200..record(3)].fill(0)), "record 2: no time-keeping annotation");
    assert_eq!(
        after(|bytes| bytes[252] = b'x'),
        "byte 252, number of signals: `x` is not a number such as 1, -0.5 or 250.25"
    );
    assert_eq!(
        after(|bytes| bytes.truncate(100)),
        "the file ends at byte 100 within the header, which should have 256 bytes"
    );
    assert_eq!(after(Vec::clear), "the file ends at byte 0 within the header, which should have 256 bytes");
}

#[test]
fn a_ledger_that_does_not_add_up_is_named() {
    assert_eq!(
        with_sidecar("\"frames_written\": 525", "\"frames_written\": 524"),
        [
            "frames_written = 524 must equal expected = 525",
            "lost = 165 must equal the 164 frames annotated BAD_ACQ_SKIP plus gap_frames_not_annotated = 0"
        ]
    );
    assert_eq!(
        with_sidecar("\"delivered\": 360", "\"delivered\": 361"),
        ["expected = 525 must equal delivered = 361 plus lost = 165"]
    );
    assert_eq!(
        with_sidecar("\"missed\": 10", "\"missed\": 11"),
        [
            "expected = 525 must equal delivered = 360 plus lost = 166",
            "lost = 166 must equal the 165 frames annotated BAD_ACQ_SKIP plus gap_frames_not_annotated = 0"
        ]
    );
    assert_eq!(with_sidecar("\"records\": 6", "\"records\": 7"), ["the sidecar speaks of 7 records, the file has 6"]);
    assert_eq!(
        with_sidecar("\"delivered\": 360", "\"delivered\": -1"),
        ["the sidecar has no whole number at `/ledger/recorder/delivered`"]
    );
    assert_eq!(
        with_sidecar("\"first_frame\": 500", "\"first_frame\": 501"),
        ["frame 0 of the file (501 of the source), channel 0: expected -8356544, found -8356608"]
    );
    let no_json = with_sidecar("\"ledger\"", "ledger").remove(0);
    assert!(no_json.contains(".json is no JSON: key must be a string at line "), "{no_json}");
}

#[test]
fn a_sum_that_differs_is_found_where_nothing_else_is() {
    // The patient's code, which no ledger speaks of.
    let found = after(|bytes| bytes[8] = b'Y');
    assert!(found.starts_with("the SHA-256 of the file is ") && found.contains(", the sidecar has "), "{found}");
}

#[test]
fn files_of_one_recording_follow_one_another() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 2, 7);
    feeder.frames(100);
    feeder.recorder.rotate();
    let mut files = Vec::new();
    for _ in 0..2 {
        feeder.frames(1);
        files.push(feeder.recorder.progress().file.expect("a file").with_extension("").with_extension("bdf"));
        feeder.recorder.rotate();
        feeder.frames(99);
    }
    let first = fs::read_dir(dir.path()).expect("lists").flatten().map(|entry| entry.path());
    let first = first
        .filter(|path| path.extension().is_some_and(|end| end == "bdf"))
        .min_by_key(|path| feeder::sidecar(path)["first_frame"].as_u64());
    files.insert(0, first.expect("the first"));
    feeder.close(Cause::Disk, 0);
    let mut out = Vec::new();
    verify(&files, true, &mut out).expect("well");
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("part 2: follows the file before it without a seam\n"), "{text}");
    assert!(text.contains("part 3: follows the file before it without a seam\n"), "{text}");
    let sidecar = files[0].with_extension("json");
    let changed = fs::read_to_string(&sidecar).expect("reads").replace("\"first_frame\": 107", "\"first_frame\": 108");
    fs::write(&sidecar, changed).expect("writes");
    let mut out = Vec::new();
    verify(&files, true, &mut out).expect_err("a seam");
    let text = String::from_utf8(out).expect("text");
    let damage = "DAMAGED: it begins with frame 107; the file before it ends with frame 106 and names 108 as the next";
    assert!(text.contains(damage), "{text}");
}

#[test]
fn gaps_that_nobody_annotated_are_found_with_the_counter() {
    let text = "BAD_ACQ_SKIP";
    let hide = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("annotated");
        bytes[at] = b'G';
    };
    assert_eq!(after(hide), "frame 33 of the file (533 of the source), channel 0: expected -8354496, found -8354560");
}

#[test]
fn without_a_sidecar_a_file_is_checked_as_far_as_it_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = recording(dir.path());
    fs::remove_file(file.with_extension("json")).expect("removes");
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    assert!(report.to_string().contains("no sidecar: nobody says what should be in the file"));
    fs::write(file.with_extension("json"), "{\"TaskName\": \"rest\"}").expect("writes");
    assert!(verify_file(&file, true).expect("opens").is_well());
}

#[test]
fn the_error_says_what_the_exit_code_will_be() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = recording(dir.path());
    let missing = dir.path().join("none.bdf");
    let error = verify(&[missing.clone(), file.clone()], false, &mut Vec::new()).expect_err("missing");
    assert!(matches!(error, VerifyError::NoInput { path, .. } if path == missing));
    fs::write(&file, b"x").expect("writes");
    let error = verify(&[missing, file], false, &mut Vec::new()).expect_err("damaged");
    assert!(matches!(error, VerifyError::Damaged { n_damaged: 1, n_files: 1 }));
}

#[test]
fn foreign_recordings_pass() {
    for name in ["eeg32.bdf", "eeg16.edf"] {
        let Some(path) = recordings::real(name) else { continue };
        let report = verify_file(&path, false).expect("opens");
        assert!(report.is_well(), "{report}");
        let counter = verify_file(&path, true).expect("opens");
        assert!(!counter.is_well(), "{counter}");
    }
}
