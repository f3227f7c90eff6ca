//! A sidecar that says what cannot be.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use biosigd::edf::{Format, Header, Signal};
use biosigd::sink::recorder::{Names, complete};

/// It counts more records than any file has, and nothing in this one can tell that they are not there: no annotations.
#[test]
fn a_sidecar_with_too_many_records_keeps_nobody_busy() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.bdf");
    let signal = Signal {
        label: "a".to_owned(),
        transducer: String::new(),
        unit: "uV".to_owned(),
        physical_min: -1.0,
        physical_max: 1.0,
        digital_min: -8_388_608,
        digital_max: 8_388_607,
        prefilter: String::new(),
        samples_per_record: 4,
    };
    let header = Header {
        format: Format::Bdf,
        patient: "X".to_owned(),
        recording: "X".to_owned(),
        start_date: "01.01.26".to_owned(),
        start_time: "00.00.00".to_owned(),
        n_records: Some(1),
        record_duration_s: 1.0,
        record_duration_text: "1".to_owned(),
        signals: vec![signal],
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes).expect("a header");
    bytes.extend([0; 12]);
    fs::write(&path, &bytes).expect("writes");
    let sidecar = serde_json::json!({"state": "complete", "records": u64::MAX, "ledger": {"recorder": {}}});
    fs::write(path.with_extension("json"), sidecar.to_string()).expect("writes");
    let names = Names::of(&path).expect("a name");
    let (done, waited) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(complete(&names, &AtomicBool::new(false)).map_err(|error| error.to_string())));
    // The sum has no place in a sidecar that is not laid out as ours; the tables are there before it.
    waited.recv_timeout(Duration::from_secs(60)).expect("it ends").expect_err("no page to put the sum into");
    assert_eq!(fs::read_to_string(dir.path().join("a_events.tsv")).expect("a table").lines().count(), 1);
}
