//! Memory: a recording that somebody made on purpose costs those who read it its size and 64 MB, not many times its size.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/peak.rs"]
mod peak;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use biosigd::block::RawBlock;
use biosigd::config::MaxOr;
use biosigd::daemon::convert::{Request, convert};
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Format, Header, Signal};
use biosigd::format::{FileFormat, Values};
use biosigd::rt::Stop;
use biosigd::sink::recorder::{Names, complete, repair};
use biosigd::source::replay::{Recording, Replay, Settings};
use biosigd::source::{Filled, Source};

/// Beyond the size of the file.
const HELD_MAX: usize = 64 << 20;

/// The bytes of the annotation area, which held 40 times as much before.
const AREA_BYTES: usize = 15_000_000;

/// A record that is full of the shortest annotations: each takes many times its size in memory.
#[test]
fn lists_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let endless = [&b"+0\x14\x14\0+1\x14a\x14a\x14a\x14a\x14\0"[..], b"+0\x14\x14a\x14a\x14a"];
    for (n, list) in endless.into_iter().enumerate() {
        let path = dir.path().join(format!("lists{n}.bdf"));
        let mut bytes = Vec::new();
        header().write(&mut bytes).unwrap();
        bytes.extend_from_slice(&[0; 3]);
        bytes.extend(list.iter().cycle().take(AREA_BYTES));
        fs::write(&path, &bytes).unwrap();
        let n_bytes = bytes.len();
        drop(bytes);
        let sidecar = r#"{"state": "complete", "records": 1, "first_frame": 0, "ledger": {"recorder": {"lost": {}}}}"#;
        let request = Request {
            input: path.clone(),
            output: dir.path().join(format!("lists{n}.raw")),
            target: FileFormat::Raw,
            values: Values::Codes,
        };
        let measured = [
            ("verify", peak::during(|| drop(verify_file(&path, false))).1),
            ("convert", peak::during(|| drop(convert(&request, &AtomicBool::new(false), &mut std::io::sink()))).1),
            ("replay", peak::during(|| replay(&path)).1),
            ("recover", peak::during(|| drop(repair(&path, true))).1),
            ("companions", {
                fs::write(path.with_extension("json"), sidecar).unwrap();
                // The sum has no place in a sidecar that is not laid out as ours; the tables come before it.
                peak::during(|| drop(complete(&Names::of(&path).unwrap(), &AtomicBool::new(false)))).1
            }),
        ];
        assert!(path.with_file_name(format!("lists{n}_events.tsv")).exists(), "the companions were made");
        for (what, held) in measured {
            println!("{what}: {held} bytes held for a file of {n_bytes}");
            assert!(held <= n_bytes + HELD_MAX, "{what}: {held} bytes for a file of {n_bytes}");
        }
    }
}

fn header() -> Header {
    let signal = Signal {
        label: "BDF Annotations".to_owned(),
        transducer: String::new(),
        unit: String::new(),
        physical_min: -1.0,
        physical_max: 1.0,
        digital_min: -8_388_608,
        digital_max: 8_388_607,
        prefilter: String::new(),
        samples_per_record: AREA_BYTES / 3,
    };
    let frames = Signal { label: "a".to_owned(), samples_per_record: 1, ..signal.clone() };
    Header {
        format: Format::BdfPlusC,
        patient: "X X X X".to_owned(),
        recording: "Startdate X X X X".to_owned(),
        start_date: "01.01.26".to_owned(),
        start_time: "00.00.00".to_owned(),
        n_records: Some(1),
        record_duration_s: 1.0,
        record_duration_text: "1".to_owned(),
        signals: vec![frames, signal],
    }
}

/// As fast as it goes, to the end.
fn replay(path: &Path) {
    let Ok(recording) = Recording::open(path) else { return };
    let settings = Settings { file: path.to_owned(), speed: MaxOr::Max, looped: false };
    let Ok(mut replay) = Replay::new(recording, &settings, 100) else { return };
    let mut block = RawBlock::new(replay.stream(), 0);
    replay.connect(Box::new(drop));
    replay.start();
    let stop = Stop::default();
    while replay.fill(&mut block, &stop) != Filled::End {}
}
