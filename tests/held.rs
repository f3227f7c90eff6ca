//! Memory: a recording that somebody made on purpose costs those who read it its size and 64 MB, not many times its size.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "recorder/feeder.rs"]
mod feeder;
#[path = "common/peak.rs"]
mod peak;
#[path = "common/replayed.rs"]
mod replayed;

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use biosigd::daemon::convert::{Request, convert};
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Format, Header, Signal};
use biosigd::format::{FileFormat, Values};
use biosigd::sink::RawSink;
use biosigd::sink::recorder::{Names, complete, repair};
use feeder::Feeder;
use peak::BEYOND_MAX;

/// The bytes of the annotation area, which held 40 times as much before.
const AREA_BYTES: usize = 15_000_000;

/// What is measured is the whole process: one test at a time.
static MEASURING: Mutex<()> = Mutex::new(());

/// A record that is full of the shortest annotations: each takes many times its size in memory.
#[test]
fn lists_without_end() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
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
            ("replay", peak::during(|| replayed::replay(&path)).1),
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
            assert!(held <= n_bytes + BEYOND_MAX, "{what}: {held} bytes for a file of {n_bytes}");
        }
    }
}

/// JSON of which little takes much, in memory or written out again with a line for each value.
#[test]
fn sidecars_that_somebody_made_large() {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let mut feeder = Feeder::new(dir.path(), 100.0, 1, 0);
    feeder.frames(250);
    let file = feeder.recorder.progress().file.unwrap();
    drop(feeder);
    let sidecar = fs::read_to_string(file.with_extension("json")).unwrap();
    let (names, data) = (Names::of(&file).unwrap(), fs::read(&file).unwrap());
    let end = sidecar.trim_end().strip_suffix('}').unwrap().len();
    let nested = |depth: usize| format!("{}{}0{}", "[".repeat(depth), "0,".repeat(350_000), "]".repeat(depth));
    for (what, value) in [
        ("nested 16 deep", nested(16).into_bytes()),
        ("nested 120 deep", nested(120).into_bytes()),
        ("lists", format!("[{}0]", "[0],".repeat(120_000)).into_bytes()),
        ("maps", format!("[{}0]", "{\"\":0},".repeat(30_000)).into_bytes()),
        ("numbers", format!("[{}0]", "0,".repeat(370_000)).into_bytes()),
        ("a text", [b"\"".as_slice(), &[b'a'; 5 << 20], b"\""].concat()),
        ("no UTF-8", [b"\"".as_slice(), &[0xFF; 5 << 20], b"\""].concat()),
    ] {
        let bytes = [sidecar[..end].trim_end().as_bytes(), b", \"a\": ", &value, b"}"].concat();
        fs::write(&file, &data).unwrap();
        fs::write(names.part_sidecar(), &bytes).unwrap();
        let n_bytes = data.len() + bytes.len();
        drop((value, bytes));
        let (repaired, held) = peak::during(|| repair(&file, true));
        println!("{what}: {held} bytes held for files of {n_bytes}");
        assert!(repaired.is_ok_and(|repaired| repaired.is_some()), "{what}");
        assert!(held <= n_bytes + BEYOND_MAX, "{what}: {held} bytes for files of {n_bytes}");
        for entry in fs::read_dir(dir.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
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
