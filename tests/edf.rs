//! Headers: round trips, real recordings by foreign writers, and input that lies.

#[path = "common/recordings.rs"]
mod recordings;

use std::fs::File;
use std::path::PathBuf;

use biosigd::edf::{Annotation, EdfError, Format, Header, Signal, parse_tals};
use proptest::prelude::*;

fn signal(label: &str, samples_per_record: usize) -> Signal {
    Signal {
        label: label.to_owned(),
        transducer: "AgAgCl electrode".to_owned(),
        unit: "uV".to_owned(),
        physical_min: -187_500.0,
        physical_max: 187_500.0,
        digital_min: -(1 << 23),
        digital_max: (1 << 23) - 1,
        prefilter: "HP:DC".to_owned(),
        samples_per_record,
    }
}

fn header() -> Header {
    Header {
        format: Format::BdfPlusC,
        patient: "X X X X".to_owned(),
        recording: "Startdate 21-NOV-2026 X X biosigd".to_owned(),
        start_date: "21.11.26".to_owned(),
        start_time: "11.30.05".to_owned(),
        n_records: Some(7),
        record_duration_s: 0.5,
        record_duration_text: "0.5".to_owned(),
        signals: vec![signal("Fp1", 2000), signal("Fp2", 2000), signal("BDF Annotations", 512)],
    }
}

fn bytes_of(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&mut bytes).expect("writes");
    bytes
}

#[test]
fn a_header_comes_back_as_it_was_written() {
    let written = header();
    let bytes = bytes_of(&written);
    assert_eq!(bytes.len() as u64, written.header_bytes());
    assert_eq!(&bytes[..8], b"\xFFBIOSEMI");
    assert_eq!(&bytes[192..197], b"BDF+C");
    assert_eq!(&bytes[236..256], b"7       0.5     3   ");
    let read = Header::read(&mut &bytes[..]).expect("reads");
    assert_eq!(read, written);
    assert_eq!(read.record_bytes(), (2000 + 2000 + 512) * 3);
    assert_eq!(read.records_in(1024 + 13536 * 3 + 1), 3);
    assert_eq!(read.record_duration_ns(), 500_000_000);
}

/// Overwrites what stands at `at` and reads; the error's text, or `ok`.
fn read_with(at: usize, text: &[u8]) -> String {
    let mut bytes = bytes_of(&header());
    bytes[at..at + text.len()].copy_from_slice(text);
    match Header::read(&mut &bytes[..]) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_header_that_lies_is_refused_with_the_place_and_what_would_be_right() {
    for (at, text, message) in [
        (0, &b"1       "[..], "byte 0, version: neither EDF (`0` and seven spaces) nor BDF (255 and `BIOSEMI`)"),
        (10, b"\xFC", "byte 10, patient identification: byte 0xfc is not printable ASCII, only 32 to 126 are allowed"),
        (
            184,
            b"512     ",
            "byte 184, number of bytes in the header: `512` must be 256 * (number of signals + 1) = 1024",
        ),
        (
            236,
            b"-2      ",
            "byte 236, number of data records: `-2` must be a whole number, or -1 while the recording runs",
        ),
        (236, b"seven   ", "byte 236, number of data records: `seven` is not a number such as 1, -0.5 or 250.25"),
        (244, b"0       ", "byte 244, duration of a data record: `0` must be above 0 seconds"),
        (244, b"-1      ", "byte 244, duration of a data record: `-1` must be above 0 seconds"),
        (244, b"NaN     ", "byte 244, duration of a data record: `NaN` is not a number such as 1, -0.5 or 250.25"),
        (244, b"0,5     ", "byte 244, duration of a data record: `0,5` is not a number such as 1, -0.5 or 250.25"),
        (252, b"0   ", "byte 252, number of signals: `0` must be a whole number from 1 to 9999"),
        (252, b"-3  ", "byte 252, number of signals: `-3` must be a whole number from 1 to 9999"),
        (252, b"4   ", "byte 184, number of bytes in the header: `1024` must be 256 * (number of signals + 1) = 1280"),
        // Three signals: labels at 256, units at 544, physical minima at 568 and maxima at 592.
        (275, b"\xB5", "byte 275, label of signal 1: byte 0xb5 is not printable ASCII, only 32 to 126 are allowed"),
        (
            592,
            b"-187500 ",
            "byte 592, physical maximum of signal 0: `-187500` must be different from the physical minimum",
        ),
        (
            616,
            b"8388607 ",
            "byte 640, digital maximum of signal 0: `8388607` must be above the digital minimum, 8388607",
        ),
        (
            648,
            b"8388608 ",
            "byte 648, digital maximum of signal 1: `8388608` must be a whole number from -8388608 to 8388607",
        ),
        (
            904,
            b"0       ",
            "byte 904, samples per data record of signal 0: `0` must be a whole number from 1 to 99999999",
        ),
        (
            904,
            b"99999999",
            "data records of 300007533 bytes (sum of samples per record), the most that is read is 67108864",
        ),
        (236, b"-1      ", "ok"),
        (544, b"\xB5V", "ok"),
        (544, b"\xC2\xB5V", "ok"),
        (544, b"uV\0\0\0\0\0\0", "ok"),
    ] {
        assert_eq!(read_with(at, text), message);
    }
}

#[test]
fn a_header_that_is_cut_off_is_refused_at_every_length() {
    let bytes = bytes_of(&header());
    for n_bytes in 0..bytes.len() {
        let error = Header::read(&mut &bytes[..n_bytes]).expect_err("cut off");
        assert!(matches!(error, EdfError::Truncated { found, .. } if found == n_bytes), "{n_bytes}: {error}");
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let refused = |change: fn(&mut Header)| {
        let mut header = header();
        change(&mut header);
        let mut bytes = Vec::new();
        let error = header.write(&mut bytes).expect_err("refused");
        assert!(bytes.is_empty());
        error.to_string()
    };
    assert_eq!(
        refused(|header| header.signals[1].physical_min = -187_499.978),
        "byte 576, physical minimum of signal 1: `-187499.978` does not fit exactly into 8 characters"
    );
    assert_eq!(
        refused(|header| header.signals[0].label = "a label that is long".to_owned()),
        "byte 256, label of signal 0: `a label that is long` does not fit exactly into 16 characters"
    );
    assert_eq!(
        refused(|header| header.patient = "J\u{fc}rgen".to_owned()),
        "byte 9, patient identification: byte 0xc3 is not printable ASCII, only 32 to 126 are allowed"
    );
    assert_eq!(
        refused(|header| header.record_duration_s = 1.0),
        "byte 244, duration of a data record: `0.5 for 1 s` does not fit exactly into 8 characters"
    );
}

/// Header and all annotations of a file.
fn read_all(path: &PathBuf) -> (Header, Vec<Annotation>, Vec<i64>) {
    use std::io::Read;
    let mut file = File::open(path).expect("opens");
    let header = Header::read(&mut file).expect("a header");
    let mut record = vec![0; header.record_bytes()];
    let (mut annotations, mut onsets_ns) = (Vec::new(), Vec::new());
    while file.read_exact(&mut record).is_ok() {
        for (signal, range) in header.signal_ranges() {
            if signal.is_annotations() {
                onsets_ns.extend(parse_tals(&record[range], &mut annotations).expect("lists"));
            }
        }
    }
    (header, annotations, onsets_ns)
}

#[test]
fn a_real_bdf() {
    let Some(path) = recordings::real("eeg32.bdf") else { return };
    let (header, annotations, onsets_ns) = read_all(&path);
    assert_eq!((header.format, header.n_records), (Format::BdfPlusC, Some(120)));
    assert_eq!(header.signals.iter().filter(|signal| !signal.is_annotations()).count(), 32);
    assert_eq!((header.signals[0].samples_per_record, header.record_duration_s), (128, 1.0));
    assert_eq!((header.signals[0].physical_min, header.signals[0].unit.as_str()), (-1000.0, "uV"));
    assert_eq!(annotations.len(), 79);
    assert!(annotations.iter().all(|annotation| ["square", "rt"].contains(&annotation.text.as_str())));
    let file_bytes = path.metadata().expect("metadata").len();
    assert_eq!(header.records_in(file_bytes), 120);
    assert_eq!(onsets_ns, (0..120).map(|record| record * 1_000_000_000).collect::<Vec<_>>());
}

#[test]
fn a_real_edf() {
    let Some(path) = recordings::real("eeg16.edf") else { return };
    let (header, annotations, _) = read_all(&path);
    assert_eq!((header.format, annotations.len()), (Format::Edf, 0));
    assert_eq!((header.signals.len(), header.signals[0].label.as_str()), (16, "EEG Fp1"));
    let file_bytes = path.metadata().expect("metadata").len();
    assert_eq!(Some(header.records_in(file_bytes)), header.n_records);
    assert_eq!(header.header_bytes() + header.record_bytes() as u64 * header.records_in(file_bytes), file_bytes);
}

prop_compose! {
    fn any_signal()(
        label in "[!-~]([ -~]{0,14}[!-~])?",
        unit in "([!-~][ -~]{0,6}[!-~])?",
        physical in (-999_999..999_999_i32, 1..999_999_i32),
        digital in (-(1 << 23)..0_i32, 1..1 << 23_i32),
        samples_per_record in 1..5000_usize,
    ) -> Signal {
        let (physical_min, physical_max) = (f64::from(physical.0) / 8.0, f64::from(physical.0 - physical.1));
        Signal {
            unit, physical_min: physical_min.trunc(), physical_max, digital_min: digital.0, digital_max: digital.1,
            ..signal(&label, samples_per_record)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_header_comes_back(signals in proptest::collection::vec(any_signal(), 1..20), n_records in proptest::option::of(0..99_999_999_u64)) {
        let fits = signals.iter().all(|signal| signal.physical_min != signal.physical_max
            && signal.physical_max.to_string().len() <= 8);
        prop_assume!(fits);
        let written = Header { signals, n_records, ..header() };
        let bytes = bytes_of(&written);
        prop_assert_eq!(Header::read(&mut &bytes[..]).expect("reads"), written);
    }

    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        drop(Header::read(&mut &bytes[..]));
    }

    #[test]
    fn a_damaged_header_is_survived(damage in proptest::collection::vec((0..1024_usize, any::<u8>()), 1..30)) {
        let mut bytes = bytes_of(&header());
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        if let Ok(header) = Header::read(&mut &bytes[..]) {
            prop_assert!(header.record_bytes() <= 64 << 20);
            std::hint::black_box((header.start(), header.record_duration_ns(), header.records_in(u64::MAX)));
        }
    }
}
