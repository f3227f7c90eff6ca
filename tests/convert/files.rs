//! Small recordings whose every code is known, and a reader that knows nothing of `convert`.

use std::fs;
use std::path::Path;

use biosigd::edf::{Annotation, Format, Header, Signal, decode, encode, parse_tals};

/// Records in every file.
const N_RECORDS: usize = 4;

/// Samples of each signal in a record, and the range of its codes.
pub(crate) type Shape<'a> = &'a [(usize, i32, i32)];

/// Signals with different units, an annotations signal of 120 samples where the format has one.
pub(crate) fn header(format: Format, shape: Shape<'_>) -> Header {
    let signal = |index: usize, n_samples: usize, digital_min: i32, digital_max: i32| Signal {
        label: ["EEG Fp1", "Temp, \"left\"", "Status"]
            .get(index)
            .map_or(format!("ch{index}"), |label| (*label).to_owned()),
        transducer: format!("sensor {index}"),
        unit: ["uV", "degC", "Boolean"].get(index).map_or(String::new(), |unit| (*unit).to_owned()),
        physical_min: [-187_500.0, 20.25][usize::from(index == 1)],
        physical_max: [187_500.1, 43.7][usize::from(index == 1)],
        digital_min,
        digital_max,
        prefilter: "HP:0.1Hz".to_owned(),
        samples_per_record: n_samples,
    };
    let mut signals: Vec<_> = shape
        .iter()
        .enumerate()
        .map(|(index, (n_samples, low, high))| signal(index, *n_samples, *low, *high))
        .collect();
    let (low, high) = format.code_limits();
    if format.is_plus() {
        let label = format.annotations_label().to_owned();
        let empty = String::new;
        let annotations =
            Signal { label, transducer: empty(), unit: empty(), prefilter: empty(), ..signal(9, 120, low, high) };
        signals.push(Signal { physical_min: -1.0, physical_max: 1.0, ..annotations });
    }
    Header {
        format,
        patient: "X-7 F 02-AUG-1951 X".to_owned(),
        recording: "Startdate 02-MAR-2026 X X rig".to_owned(),
        start_date: "02.03.26".to_owned(),
        start_time: "10.11.12".to_owned(),
        n_records: Some(N_RECORDS as u64),
        record_duration_s: 0.5,
        record_duration_text: "0.5".to_owned(),
        signals,
    }
}

/// A code within its range, different from its neighbours'; both ends come.
pub(crate) fn code(signal: &Signal, record: usize, sample: usize) -> i32 {
    let span = i64::from(signal.digital_max) - i64::from(signal.digital_min) + 1;
    let step = match sample {
        0 => 0,
        1 => span - 1,
        _ => i64::try_from(record * 7919 + sample * 104_729).expect("small") % span,
    };
    i32::try_from(i64::from(signal.digital_min) + step).expect("a code")
}

/// What each record's area holds behind its own time; the header's start is 0.4 s before the first frame.
const LISTS: [&str; N_RECORDS] = [
    "+0.41\x14first\x14\0+0.1\x1425\x14\0",
    "+1.9\x14placed early\x14second\x14\0",
    "+1.4\x150.25\x14BAD_ACQ_SKIP\x14\0",
    "\0+2.3\x14Impedanz \u{3a9}\x14\0",
];

/// A whole file.
pub(crate) fn bytes(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.write(&mut bytes).expect("writes");
    for (record, lists) in LISTS.iter().enumerate() {
        let mut data = vec![0; header.record_bytes()];
        for (signal, range) in header.signal_ranges() {
            if signal.is_annotations() {
                let text = format!("+{}\x14\x14\0{lists}", 0.4 + 0.5 * record as f64);
                data[range.start..range.start + text.len()].copy_from_slice(text.as_bytes());
                continue;
            }
            let codes: Vec<_> = (0..signal.samples_per_record).map(|sample| code(signal, record, sample)).collect();
            encode(header.bytes_per_sample(), &codes, &mut data[range]).expect("fits");
        }
        bytes.extend(data);
    }
    bytes
}

/// The codes of every signal and the annotations of a file, read without `convert`.
pub(crate) fn contents(path: &Path) -> (Header, Vec<Vec<i32>>, Vec<Annotation>) {
    let bytes = fs::read(path).expect("reads");
    let header = Header::read(&mut &bytes[..]).expect("a header");
    let (mut codes, mut annotations) = (vec![Vec::new(); header.signals.len()], Vec::new());
    let records = bytes[256 * (header.signals.len() + 1)..].chunks_exact(header.record_bytes());
    for record in records {
        for (index, (signal, range)) in header.signal_ranges().enumerate() {
            if signal.is_annotations() {
                parse_tals(&record[range], &mut annotations).expect("lists");
            } else {
                let mut samples = vec![0; signal.samples_per_record];
                decode(header.bytes_per_sample(), &record[range], &mut samples);
                codes[index].extend(samples);
            }
        }
    }
    (header, codes, annotations)
}

/// Codes that 16 bits hold, and two rates.
pub(crate) const NARROW: Shape<'static> = &[(50, -32_768, 32_767), (50, -5, 2000), (10, -32_768, 32_767)];
/// Codes that only 24 bits hold, at one rate.
pub(crate) const WIDE: Shape<'static> =
    &[(50, -(1 << 23), (1 << 23) - 1), (50, -5, 2000), (50, -(1 << 23), (1 << 23) - 1)];
