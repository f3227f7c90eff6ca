//! Files that are no recordings, or lie, or are damaged: each gives its message, and none a panic.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The bytes of a good file with some of its header overwritten.
fn with(at: usize, text: &[u8]) -> Vec<u8> {
    let mut bytes = Made::new(Format::BdfPlusC, 2, 4).bytes();
    bytes[at..at + text.len()].copy_from_slice(text);
    bytes
}

#[test]
fn each_bad_file_gives_its_message() {
    let good = Made::new(Format::BdfPlusC, 2, 4);
    let mut two_rates = Made::new(Format::Edf, 3, 2);
    two_rates.header.signals[2].samples_per_record = 25;
    let mut no_signals = Made::new(Format::BdfPlusC, 0, 2);
    no_signals.header.signals[0].label = "BDF Annotations".to_owned();
    let mut discontinuous = Made::new(Format::EdfPlusC, 1, 2);
    discontinuous.header.format = Format::EdfPlusD;
    let header_bytes = usize::try_from(good.header.header_bytes()).expect("small");
    // Fields of signals begin at 256 + (widths before) * 3 signals; annotations are signal 1.
    for (bytes, reason) in [
        (Vec::new(), "the file ends at byte 0 within the header, which should have 256 bytes"),
        (good.bytes()[..700].to_vec(), "the file ends at byte 700 within the header, which should have 1024 bytes"),
        (good.bytes()[..header_bytes].to_vec(), "holds no whole data record"),
        (good.bytes()[..header_bytes + 479].to_vec(), "holds no whole data record"),
        (with(236, b"0       "), "holds no whole data record"),
        (vec![b'x'; 5000], "byte 0, version: neither EDF (`0` and seven spaces) nor BDF (255 and `BIOSEMI`)"),
        (
            with(252, b"9999"),
            "byte 184, number of bytes in the header: `1024` must be 256 * (number of signals + 1) = 2560000",
        ),
        (with(252, b"0   "), "byte 252, number of signals: `0` must be a whole number from 1 to 9999"),
        (with(244, b"0       "), "byte 244, duration of a data record: `0` must be above 0 seconds"),
        (with(244, b"-1      "), "byte 244, duration of a data record: `-1` must be above 0 seconds"),
        (with(244, b"1e-12   "), "records of 1e-12 s are shorter than a nanosecond"),
        (with(244, b"86401   "), "records of 86401 s are longer than a day"),
        (with(244, b"1e300   "), "records of 1e300 s are longer than a day"),
        (
            with(256 + 120 * 3, b"8388607 "),
            "byte 640, digital maximum of signal 0: `8388607` must be above the digital minimum, 8388607",
        ),
        (
            with(256 + 104 * 3, b"187500  "),
            "byte 592, physical maximum of signal 0: `187500` must be different from the physical minimum",
        ),
        (
            with(256, b"\xE9"),
            "byte 256, label of signal 0: byte 0xe9 is not printable ASCII, only 32 to 126 are allowed",
        ),
        (
            with(256 + 216 * 3, b"99999999"),
            "data records of 300000327 bytes (sum of samples per record), the most that is read is 67108864",
        ),
        (two_rates.bytes(), "signals must have one rate: `EEG 0` has 50 samples per record, `EEG 2` has 25"),
        (no_signals.bytes(), "holds annotations and no signals, there is nothing to replay"),
        (discontinuous.bytes(), "EDF+D is discontinuous and cannot be replayed, only +C files can"),
    ] {
        let file = on_disk(&bytes);
        let error = Recording::open(&file.path).expect_err(reason);
        assert!(matches!(error, SourceError::Unusable { .. }));
        assert_eq!(error.to_string(), format!("{}: {reason}", file.path.display()));
    }
}

#[test]
fn what_is_not_there_or_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("none.bdf");
    let error = Recording::open(&path).expect_err("no file");
    assert!(matches!(error, SourceError::NoInput(_)));
    assert_eq!(error.to_string(), format!("{}: no such file", path.display()));
    let error = Recording::open(Path::new("/dev/null")).expect_err("no file");
    assert_eq!(error.to_string(), "/dev/null: is not a regular file");
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert!(matches!(SourceError::of_io(dir.path(), denied), SourceError::Permission(_)));
}

#[test]
fn whole_records_of_a_torn_file_are_replayed() {
    // A record of two channels and annotations in BDF: (50 + 60 + 50) * 3 bytes; (header's count, bytes cut off).
    for (said, cut_bytes, n_records) in
        [("-1", 0, 4), ("-1", 1, 3), ("-1", 481, 2), ("9999", 0, 4), ("2", 0, 2), ("4", 100, 3)]
    {
        let mut bytes = with(236, format!("{said:8}").as_bytes());
        bytes.truncate(bytes.len() - cut_bytes);
        let mut replay = replay(&on_disk(&bytes), MaxOr::Max, false, 64);
        let (_, codes) = run(&mut replay, usize::MAX / 1000);
        assert_eq!(codes.len(), n_records * 50 * 2, "{said} records said, {cut_bytes} bytes cut off");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_ends_with_its_last_record() {
    let file = on_disk(&Made::new(Format::BdfPlusC, 2, 4).bytes());
    let mut replay = replay(&file, MaxOr::Max, true, 64);
    // The reader has not begun: it waits for `start`.
    let shorter = fs::read(&file.path).expect("written").len() as u64 - 500;
    fs::File::options().write(true).open(&file.path).and_then(|file| file.set_len(shorter)).expect("shortened");
    let (heads, codes) = run(&mut replay, usize::MAX / 1000);
    assert_eq!((codes.len(), heads.len()), (2 * 50 * 2, 2));
    assert_eq!(replay.end().next_frame, 100);
}

#[test]
fn damaged_annotations_cost_no_frame() {
    let mut bytes = Made::new(Format::BdfPlusC, 2, 4).bytes();
    let area = 1024 + 150..1024 + 150 + 180;
    bytes[area].fill(b'+');
    let mut replay = replay(&on_disk(&bytes), MaxOr::Max, false, 64);
    let arrived = markers_of(&mut replay);
    assert_eq!(run(&mut replay, usize::MAX / 1000).1.len(), 4 * 50 * 2);
    assert_eq!(arrived.lock().expect("no panic").len(), 0);
}

#[test]
fn mistakes_in_the_configuration() {
    use crate::config::Document;
    let text = "[source]\nspeed = 0\nfiel = 'x'\n";
    let document = Document::parse("a.toml", text).expect("TOML");
    let mut mistakes = Mistakes::new("a.toml");
    let table = document.root().section("source", &mut mistakes);
    assert!(plan(&table, &mut mistakes).is_none());
    let expected = "a.toml:2: source: speed = 0 must be above 0, or \"max\"\n\
                    a.toml:3: source: unknown field `fiel`, expected one of `file`, `speed` or `loop`; did you mean `file`?\n\
                    2 mistakes, nothing was started";
    assert_eq!(mistakes.to_string(), expected);

    let mut mistakes = Mistakes::new("a.toml");
    let document = Document::parse("a.toml", "[source]\nspeed = nan").expect("TOML");
    assert!(plan(&document.root().section("source", &mut mistakes), &mut mistakes).is_none());
    let expected = "a.toml:1: source: file = \"\" must name a BDF or EDF recording\n\
                    a.toml:2: source: speed = NaN must be above 0, or \"max\"\n\
                    2 mistakes, nothing was started";
    assert_eq!(mistakes.to_string(), expected);
}

#[test]
fn a_plan_opens_beside_the_configuration_with_the_blocks_asked_for() {
    use crate::config::AutoOr;
    let file = on_disk(&Made::new(Format::Bdf, 1, 1).bytes());
    let base = file.path.parent().expect("in a directory");
    for (speed, block_frames, expected) in
        [(MaxOr::Max, AutoOr::Auto, 400), (MaxOr::Value(2.0), AutoOr::Auto, 1), (MaxOr::Max, AutoOr::Value(7), 7)]
    {
        let settings = Settings { file: "x.bdf".into(), speed, looped: false };
        let source = settings.open(&Opening { base, block_frames }).expect("a recording");
        assert_eq!(source.stream().block_frames_max, expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        start in prop_oneof![Just(b"0       ".to_vec()), Just(b"\xFFBIOSEMI".to_vec()), Just(Vec::new())],
        rest in prop::collection::vec(prop_oneof![Just(b' '), b'0'..=b'9', any::<u8>()], 0..2000),
    ) {
        let file = on_disk(&[start, rest].concat());
        drop(Recording::open(&file.path));
    }

    #[test]
    fn a_good_file_with_any_bytes_in_it_is_refused_or_replayed_to_its_end(
        at in 0_usize..1500,
        bytes in prop::collection::vec(prop_oneof![Just(b' '), b'0'..=b'9', Just(b'-'), any::<u8>()], 1..9),
    ) {
        let file = on_disk(&with(at, &bytes));
        if let Ok(recording) = Recording::open(&file.path) {
            let n_frames = recording.n_frames();
            let mut replay = Replay::new(recording, &Settings { speed: MaxOr::Max, ..Settings::default() }, 64).expect("a thread");
            let (_, codes) = run(&mut replay, usize::MAX / 100_000);
            prop_assert_eq!(codes.len() as u64, n_frames * replay.stream().n_channels() as u64);
        }
    }
}
