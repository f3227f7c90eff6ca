//! Recordings that are empty, torn, random or lie, replayed by the real binary: `check` and `run` name the file and
//! the reason and end with the exit code for unusable input; none of them panics, and none leaves a file behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use biosigd::edf::{Format, Header, Signal};
use common::{Ended, dir_with, is_root, names_in, run};

const CONFIG: &str = "[source]\nkind = \"replay\"\nfile = \"in.bdf\"\nspeed = \"max\"\n[recorder]\nmin_free_gb = 0\n\
                      [http]\nlisten = \"127.0.0.1:0\"\n";

/// Two channels of 50 Hz and annotations, four records of a second.
fn header(format: Format) -> Header {
    let (digital_min, digital_max) = format.code_limits();
    let signal = |label: &str, n_samples| Signal {
        label: label.to_owned(),
        transducer: "AgAgCl electrode".to_owned(),
        unit: "uV".to_owned(),
        physical_min: -187_500.0,
        physical_max: 187_500.0,
        digital_min,
        digital_max,
        prefilter: String::new(),
        samples_per_record: n_samples,
    };
    let mut signals = vec![signal("Fp1", 50), signal("Fp2", 50)];
    if format.is_plus() {
        signals.push(signal(format.annotations_label(), 60));
    }
    Header {
        format,
        patient: "X X X X".to_owned(),
        recording: "Startdate 02-MAR-2026 X X X".to_owned(),
        start_date: "02.03.26".to_owned(),
        start_time: "10.11.12".to_owned(),
        n_records: Some(4),
        record_duration_s: 1.0,
        record_duration_text: "1".to_owned(),
        signals,
    }
}

/// A whole file with this header; its codes are all zero.
fn bytes(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&mut bytes).unwrap();
    for record in 0..4 {
        let mut codes = vec![0; header.record_bytes()];
        let time = format!("+{record}\x14\x14\0");
        if header.format.is_plus() {
            let at = codes.len() - 60 * header.bytes_per_sample();
            codes[at..at + time.len()].copy_from_slice(time.as_bytes());
        }
        bytes.extend(codes);
    }
    bytes
}

#[test]
fn a_recording_with_gaps_can_be_recorded_again() {
    let mut recording = bytes(&header(Format::BdfPlusC));
    // After the third record's own time.
    let own = b"+2\x14\x14\0";
    let at = recording.windows(own.len()).rposition(|window| window == own).unwrap() + own.len();
    let gap = b"+1.5\x150.4\x14BAD_ACQ_SKIP\x14\0";
    recording[at..at + gap.len()].copy_from_slice(gap);
    let dir = dir_with(CONFIG.as_bytes());
    fs::write(dir.path().join("in.bdf"), recording).unwrap();
    let ended = run(&["run", "-c", "rig.toml"], dir.path());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    let made =
        names_in(&dir.path().join("recordings")).into_iter().find(|name| name.to_string_lossy().ends_with(".bdf"));
    let made = dir.path().join("recordings").join(made.unwrap());
    let verified = run(&["verify", made.to_str().unwrap()], dir.path());
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr());
    assert!(verified.stdout.contains("0 of them gaps") || !verified.stdout.contains("gaps"), "{}", verified.stdout);
    let written = fs::read(made).unwrap();
    assert!(written.windows(16).any(|window| window == b"BAD_replayed_gap"));
}

/// A whole BDF+C file with some of its header overwritten.
fn with(at: usize, text: &[u8]) -> Vec<u8> {
    let mut bytes = bytes(&header(Format::BdfPlusC));
    bytes[at..at + text.len()].copy_from_slice(text);
    bytes
}

/// What `command` says to a configuration that replays `recording`, and the files it leaves beside the two.
fn replay(command: &str, recording: &[u8]) -> (Ended, Vec<PathBuf>) {
    let dir = dir_with(CONFIG.as_bytes());
    fs::write(dir.path().join("in.bdf"), recording).unwrap();
    let ended = run(&[command, "-c", "rig.toml"], dir.path());
    ended.assert_no_panic();
    let mut names = names_in(dir.path());
    names.retain(|name| name != Path::new("rig.toml") && name != Path::new("in.bdf"));
    (ended, names)
}

fn refused(recording: &[u8], reason: &str) {
    for command in ["check", "run"] {
        let (ended, left) = replay(command, recording);
        let expected = format!("biosigd: the source cannot be opened: in.bdf: {reason}");
        assert_eq!((ended.stderr(), ended.stdout.as_str()), (expected, ""));
        assert_eq!(ended.code, Some(65), "{reason}");
        assert!(left.is_empty(), "nothing was started, yet there are {left:?}");
    }
}

#[test]
fn no_recording_at_all() {
    refused(b"", "the file ends at byte 0 within the header, which should have 256 bytes");
    let version = "byte 0, version: neither EDF (`0` and seven spaces) nor BDF (255 and `BIOSEMI`)";
    refused(b"\x7FELF", "the file ends at byte 4 within the header, which should have 256 bytes");
    refused(&[b'x'; 5000], version);
    let mut seed = 7_u32;
    let random: Vec<u8> = (0..1 << 20)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .collect();
    refused(&random, version);
    // Behind a version that is right the noise is found out by its first field.
    let with_version = [b"0       ".as_slice(), &random].concat();
    refused(&with_version, "byte 252, number of signals: byte 0x87 is not printable ASCII, only 32 to 126 are allowed");
}

#[test]
fn truncated() {
    let good = bytes(&header(Format::BdfPlusC));
    refused(&good[..255], "the file ends at byte 255 within the header, which should have 256 bytes");
    refused(&good[..700], "the file ends at byte 700 within the header, which should have 1024 bytes");
    refused(&good[..1024], "holds no whole data record");
    refused(&good[..1024 + 479], "holds no whole data record");
}

#[test]
fn lies_about_records_and_signals() {
    refused(&with(236, b"0       "), "holds no whole data record");
    refused(
        &with(236, b"-2      "),
        "byte 236, number of data records: `-2` must be a whole number, or -1 while the recording runs",
    );
    refused(&with(252, b"0   "), "byte 252, number of signals: `0` must be a whole number from 1 to 9999");
    refused(&with(252, b"-3  "), "byte 252, number of signals: `-3` must be a whole number from 1 to 9999");
    refused(
        &with(252, b"9999"),
        "byte 184, number of bytes in the header: `1024` must be 256 * (number of signals + 1) = 2560000",
    );
    refused(
        &with(184, b"512     "),
        "byte 184, number of bytes in the header: `512` must be 256 * (number of signals + 1) = 1024",
    );
    // Samples per record stand behind 216 bytes for each of the three signals.
    refused(
        &with(256 + 216 * 3, b"99999999"),
        "data records of 300000327 bytes (sum of samples per record), the most that is read is 67108864",
    );
    refused(
        &with(256 + 216 * 3, b"0       "),
        "byte 904, samples per data record of signal 0: `0` must be a whole number from 1 to 99999999",
    );
}

#[test]
fn durations_that_are_none() {
    let field = "byte 244, duration of a data record";
    refused(&with(244, b"0       "), &format!("{field}: `0` must be above 0 seconds"));
    refused(&with(244, b"-1      "), &format!("{field}: `-1` must be above 0 seconds"));
    refused(&with(244, b"nan     "), &format!("{field}: `nan` is not a number such as 1, -0.5 or 250.25"));
    refused(&with(244, b"1e-12   "), "records of 1e-12 s are shorter than a nanosecond");
    refused(&with(244, b"1e300   "), "records of 1e300 s are longer than a day");
}

#[test]
fn signals_that_make_no_frames() {
    let mut two_rates = header(Format::Edf);
    two_rates.signals[1].samples_per_record = 25;
    refused(&bytes(&two_rates), "signals must have one rate: `Fp1` has 50 samples per record, `Fp2` has 25");
    let mut annotations_only = header(Format::BdfPlusC);
    annotations_only.signals.drain(..2);
    refused(&bytes(&annotations_only), "holds annotations and no signals, there is nothing to replay");
    for format in [Format::EdfPlusD, Format::BdfPlusD] {
        let reason = format!("{} is discontinuous and cannot be replayed, only +C files can", format.name());
        refused(&bytes(&header(format)), &reason);
    }
}

#[test]
fn ranges_and_texts_that_mean_nothing() {
    refused(
        &with(256 + 120 * 3, b"8388607 "),
        "byte 640, digital maximum of signal 0: `8388607` must be above the digital minimum, 8388607",
    );
    refused(
        &with(256 + 104 * 3, b"187500  "),
        "byte 592, physical maximum of signal 0: `187500` must be different from the physical minimum",
    );
    refused(
        &with(256, b"\xE9lectrode"),
        "byte 256, label of signal 0: byte 0xe9 is not printable ASCII, only 32 to 126 are allowed",
    );
    refused(
        &with(8, "M\u{fc}ller".as_bytes()),
        "byte 9, patient identification: byte 0xc3 is not printable ASCII, only 32 to 126 are allowed",
    );
}

#[test]
fn a_file_that_is_not_there_or_may_not_be_read() {
    let dir = dir_with(CONFIG.as_bytes());
    let says = |code: i32, reason: &str| {
        for command in ["check", "run"] {
            let ended = run(&[command, "-c", "rig.toml"], dir.path());
            let expected = format!("biosigd: the source cannot be opened: in.bdf: {reason}");
            assert_eq!((ended.code, ended.stderr()), (Some(code), expected));
        }
    };
    says(66, "no such file");
    fs::create_dir(dir.path().join("in.bdf")).unwrap();
    says(65, "is not a regular file");
    fs::remove_dir(dir.path().join("in.bdf")).unwrap();
    if !is_root("a recording without permission to read it") {
        fs::write(dir.path().join("in.bdf"), bytes(&header(Format::BdfPlusC))).unwrap();
        fs::set_permissions(dir.path().join("in.bdf"), fs::Permissions::from_mode(0o000)).unwrap();
        says(77, "permission denied");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_told_before_a_bad_recording() {
    let dir = dir_with(format!("{CONFIG}[log]\nlevel = 5\n").as_bytes());
    let ended = run(&["check", "-c", "rig.toml"], dir.path());
    let expected = "rig.toml:10: log: level = 5 must be text in quotes\n\
                    1 mistake, nothing was started";
    assert_eq!((ended.code, ended.stderr().as_str()), (Some(78), expected));
}

/// Runs the daemon over `recording` to its end; how many frames it recorded.
fn replayed(recording: &[u8]) -> (u64, Ended) {
    let (ended, _) = replay("run", recording);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    for (name, expected, delivered, lost) in ended.ledgers() {
        assert_eq!((expected, lost), (delivered, 0), "{name} in\n{}", ended.stderr());
    }
    let recorder = ended.ledgers().into_iter().find(|ledger| ledger.0 == "recorder").unwrap();
    (recorder.2, ended)
}

#[test]
fn what_is_whole_of_a_torn_file_is_replayed_and_the_rest_is_named() {
    let good = bytes(&header(Format::BdfPlusC));
    assert_eq!(replayed(&good).0, 200);
    for (recording, n_frames, warning) in [
        (with(236, b"-1      "), 200, None),
        (with(236, b"9999    "), 200, Some("the header says 9999 records, 4 are whole; 0 bytes are ignored")),
        (with(236, b"2       "), 100, Some("960 bytes after the last of 2 records are ignored")),
        (good[..good.len() - 1].to_vec(), 150, Some("the header says 4 records, 3 are whole; 479 bytes are ignored")),
        ([&good, b"xyz".as_slice()].concat(), 200, Some("3 bytes after the last of 4 records are ignored")),
    ] {
        let (n_recorded, ended) = replayed(&recording);
        assert_eq!(n_recorded, n_frames);
        match warning {
            Some(warning) => assert!(ended.stderr().contains(&format!("in.bdf: {warning}")), "{}", ended.stderr()),
            None => assert!(!ended.stderr().contains("ignored"), "{}", ended.stderr()),
        }
    }
}

#[test]
fn annotations_that_make_no_sense_cost_no_frame() {
    for filler in [b'+', 0x14, 0x15, 0xFF, b'9'] {
        let mut torn = bytes(&header(Format::BdfPlusC));
        let area = 1024 + 300..1024 + 300 + 180;
        torn[area].fill(filler);
        assert_eq!(replayed(&torn).0, 200, "filled with {filler:#04x}");
    }
}
