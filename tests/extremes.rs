//! The ends of what is allowed: many channels, high and low rates, the shortest and the longest blocks, rates that are
//! not whole numbers. Whatever the machine cannot do is lost and counted: the ledgers add up, the file verifies code
//! by code, gaps included.

mod common;

use std::path::PathBuf;
use std::process::Command;

use biosigd::block::{Channel, Head, Stream, Tally};
use biosigd::format::{FileFormat, Values};
use biosigd::sink::recorder::{FileName, FileRecorder, Keep, RecorderPlan, Rotate};
use biosigd::sink::{PackedBlock, RawSink};
use biosigd::source::synthetic::counter_code;
use common::{Daemon, Ended};
use rustix::process::Signal;

/// The counter with `source` keys, through a chain, recorded.
fn config(source: &str, acquire: &str) -> String {
    format!(
        "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\n{source}\n[acquire]\n{acquire}\n[chain.live]\n[[chain.live.stage]]\n\
         kind = \"high_pass\"\ncorner_hz = 0.1\n[recorder]\nmin_free_gb = 0\nstall_budget_s = 2\n[http]\nlisten = \"127.0.0.1:0\"\n"
    )
}

/// Every consumer's account adds up, and the file holds every frame that the recorder was owed.
fn all_adds_up(ended: &Ended, dir: &std::path::Path) {
    ended.assert_no_panic();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    assert!(!ended.ledgers().is_empty(), "{}", ended.stderr());
    for (name, expected, delivered, lost) in ended.ledgers() {
        assert_eq!(expected, delivered + lost, "{name} in\n{}", ended.stderr());
    }
    let verify = Command::new(env!("CARGO_BIN_EXE_biosigd")).args(["verify", "--counter"]).arg(recording(dir)).output();
    let verify = verify.expect("it runs");
    assert!(verify.status.success(), "{}\n{}", String::from_utf8_lossy(&verify.stdout), ended.stderr());
}

/// The one recording in `dir`.
fn recording(dir: &std::path::Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("recordings")).expect("it recorded").flatten().map(|file| file.path());
    let mut files = files.filter(|file| file.extension().is_some_and(|end| end == "bdf"));
    let file = files.next().expect("a recording");
    assert_eq!(files.next(), None, "one recording");
    file
}

/// Runs until `frames` were made, stops, and adds up.
fn run(source: &str, acquire: &str, frames: u64) {
    let daemon = Daemon::start_with(&config(source, acquire));
    daemon.wait_for("the frames", |status| status["frames"].as_u64() >= Some(frames));
    let (ended, dir) = daemon.stop();
    println!("{}", ended.stderr());
    all_adds_up(&ended, dir.path());
}

#[test]
fn a_thousand_channels() {
    run("n_channels = 1024\nrate_hz = 4000", "", 8000);
}

#[test]
fn sixty_four_thousand_frames_a_second() {
    run("n_channels = 8\nrate_hz = 64000", "", 128_000);
}

#[test]
fn one_channel_at_one_frame_a_second() {
    run("n_channels = 1\nrate_hz = 1", "", 2);
}

#[test]
fn blocks_of_one_frame() {
    run("n_channels = 8\nrate_hz = 4000", "block_frames = 1", 8000);
}

#[test]
fn blocks_of_four_thousand_frames() {
    run("n_channels = 8\nrate_hz = 4000", "block_frames = 4000", 8000);
}

#[test]
fn rates_that_are_not_whole_numbers() {
    run("n_channels = 2\nrate_hz = 250.5", "", 600);
    run("n_channels = 2\nrate_hz = 312.5", "", 700);
}

/// Half a second without a thread that reads is more than a FIFO of a tenth of a second holds.
#[test]
fn a_machine_that_stands_still_costs_conversions_and_all_are_counted() {
    let daemon = Daemon::start_with(&config("n_channels = 8\nrate_hz = 4000\nfifo_s = 0.1", ""));
    let missed =
        |status: &serde_json::Value| status["ledger"]["recorder"]["lost"]["missed"].as_u64().expect("a number");
    let before = missed(&daemon.status());
    daemon.signal(Signal::STOP);
    std::thread::sleep(std::time::Duration::from_millis(500));
    daemon.signal(Signal::CONT);
    // 0.4 s of 4000 Hz, less what a block may hold; what another stop of the machine cost is missed too.
    daemon.wait_for("missed conversions", |status| missed(status) >= before + 1200);
    let (ended, dir) = daemon.stop();
    all_adds_up(&ended, dir.path());
}

#[test]
fn a_recording_of_a_thousand_frames() {
    let dir = tempfile::tempdir().expect("a directory");
    let channels = ["Fp1", "Fp2"].map(|name| Channel::microvolts_24_bit(name, 187_500.0));
    let stream = Stream { rate_hz: 250.0, channels: channels.into(), block_frames_max: 1000, ratio: 1, delay_s: 0.0 };
    let mut recorder = FileRecorder::new(RecorderPlan {
        dir: dir.path().join("source"),
        stream,
        n_chips: 0,
        format: FileFormat::Bdf,
        values: Values::Codes,
        file_name: FileName::default(),
        rotate: Rotate::default(),
        keep: Keep::default(),
        min_free_bytes: 0,
        configuration: String::new(),
        source: serde_json::json!({}),
        session: "test".to_owned(),
        software_version: "test".to_owned(),
    })
    .expect("BDF can hold it");
    let codes = (0..1000).flat_map(|frame| (0..2).map(move |channel| counter_code(frame, channel)));
    let codes: Vec<u8> =
        codes.flat_map(|code| [code.to_le_bytes()[0], code.to_le_bytes()[1], code.to_le_bytes()[2]]).collect();
    recorder.open(&Head::default()).expect("a file");
    let head = Head { n_frames: 1000, ..Head::default() };
    recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("written");
    recorder.close(&Tally::default()).expect("closed");
    let source = recorder.progress().file.expect("a file");

    let config = format!(
        "[source]\nkind = \"replay\"\nspeed = \"max\"\nfile = {:?}\n[recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n",
        source.display().to_string()
    );
    std::fs::write(dir.path().join("replay.toml"), config).expect("written");
    let ended = common::run(&["-c", "replay.toml"], dir.path());
    all_adds_up(&ended, dir.path());
    let recorder = ended.ledgers().into_iter().find(|(name, ..)| name == "recorder").expect("its ledger");
    assert_eq!(recorder, ("recorder".to_owned(), 1000, 1000, 0), "{}", ended.stderr());
}
