//! A recording that is replayed as fast as it goes waits for whoever is owed its frames: recorder and process lose none of
//! them, whenever a person starts, stops and rotates. What nobody owes yet holds nothing up.

#[path = "common/mod.rs"]
mod common;
#[path = "recorder/feeder.rs"]
mod feeder;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use biosigd::block::{Head, Tally};
use biosigd::daemon::verify::verify_file;
use biosigd::sink::recorder::FileRecorder;
use biosigd::sink::{PackedBlock, RawSink};
use common::{BOUND, Daemon, Response};
use serde_json::Value;

const N_CHANNELS: usize = 16;
const RATE_HZ: f64 = 1000.0;

/// Seeds of the waits between two orders: each run of the test has the same.
const SEED: u64 = 0x5EED;

/// A minute of the counter, to be replayed.
fn source(dir: &std::path::Path) -> PathBuf {
    let mut recorder = FileRecorder::new(feeder::plan(dir, RATE_HZ, N_CHANNELS)).expect("a plan that fits");
    for block in 0..600_u64 {
        let head = Head { first_frame: block * 100, n_frames: 100, edge_ns: block, ..Head::default() };
        if block == 0 {
            recorder.open(&head).expect("opens");
        }
        let codes = feeder::packed(head.first_frame, 100, N_CHANNELS);
        recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("writes");
    }
    recorder.close(&Tally::default()).expect("closes");
    recorder.progress().file.expect("a file")
}

fn post(address: SocketAddr, order: &str) -> (u16, Value) {
    let mut socket = TcpStream::connect_timeout(&address, BOUND).expect("it listens");
    socket.set_read_timeout(Some(BOUND)).expect("a timeout");
    let request = format!(
        "POST /api/v1/recording/{order} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).expect("taken");
    let response = Response::read(socket);
    (response.code, serde_json::from_str(&response.body).expect("JSON"))
}

#[test]
fn starts_stops_and_rotations_at_random_lose_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = source(dir.path());
    for (more, name) in [("", "without a pre-trigger"), ("pre_s = 1.0\n", "with one")] {
        let config = format!(
            "[source]\nkind = \"replay\"\nfile = \"{}\"\nspeed = \"max\"\nloop = true\n[chain.live]\n\
             [[chain.live.stage]]\nkind = \"high_pass\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [recorder]\nrecord = \"manual\"\nmin_free_gb = 0\nstall_budget_s = 4\n{more}",
            file.display()
        );
        let daemon = Daemon::start_idle(&config);
        let address = daemon.address;
        let mut random = SEED;
        let (mut n_taken, mut expected) = (0, 0);
        for turn in 0..60 {
            // Xorshift: enough to come at any moment of a block, and the same each time.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let order = ["start", "stop", "start", "stop", "rotate"][(random % 5) as usize];
            let (code, answer) = post(address, order);
            assert!(code == 200 || code == 409, "{name}, turn {turn}, {order}: {code} {answer}");
            if order == "stop" && code == 200 {
                n_taken += 1;
                expected += whole(&answer, name);
            }
            std::thread::sleep(std::time::Duration::from_millis(random >> 8 & 15));
        }
        let (code, answer) = post(address, "stop");
        if code == 200 {
            expected += whole(&answer, name);
        }
        assert!(n_taken > 5, "{n_taken} recordings were stopped");
        let status = daemon.status();
        let ledger = &status["ledger"];
        assert_eq!(ledger["recorder"]["expected"], expected, "{name}: {ledger:#}");
        assert_eq!(ledger["recorder"]["delivered"], expected, "{name}: {ledger:#}");
        let lost = ledger["process"]["lost"].as_object().expect("causes");
        assert!(lost.values().all(|n_frames| n_frames == 0), "{name}: {ledger:#}");
        let (ended, dir) = daemon.stop();
        ended.assert_no_panic();
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr());
        let mut n_files = 0;
        for path in common::names_in(&dir.path().join("recordings")) {
            if path.extension().is_some_and(|ending| ending == "bdf") {
                let report = verify_file(&dir.path().join("recordings").join(path), false).expect("opens");
                assert!(report.is_well(), "{name}: {report}");
                n_files += 1;
            }
        }
        assert!(n_files >= n_taken, "{n_files} files of {n_taken} recordings");
    }
}

/// The frames of a recording that was stopped, of which none is lost.
fn whole(answer: &Value, name: &str) -> u64 {
    let ledger = &answer["ledger"];
    let expected = ledger["expected"].as_u64().expect("a number");
    assert_eq!(ledger["delivered"], expected, "{name}: {answer}");
    expected
}

/// A source that has not begun: a stop without a recording, and one that comes before the first frame, are answered.
#[test]
fn a_stop_right_after_the_start_is_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[source]\nkind = \"replay\"\nfile = \"{}\"\nspeed = \"max\"\nloop = true\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [recorder]\nrecord = \"manual\"\nmin_free_gb = 0\n",
        source(dir.path()).display()
    );
    let daemon = Daemon::start_idle(&config);
    let address = daemon.address;
    for _ in 0..20 {
        // The start is asked for and not waited for.
        let (start, stop) = std::thread::scope(|scope| {
            let start = scope.spawn(|| post(address, "start"));
            let stop = post(address, "stop");
            (start.join().expect("an answer"), stop)
        });
        if start.0 == 503 {
            assert_eq!(start.1["error"], "it was asked to end before its first frame");
            assert_eq!((stop.0, &stop.1["file"]), (200, &Value::Null));
            continue;
        }
        assert!(matches!((start.0, stop.0), (200, 200 | 409)), "{start:?} {stop:?}");
        if stop.0 == 409 {
            assert_eq!(stop.1["error"], "no recording is active");
            let (code, answer) = post(address, "stop");
            assert_eq!(code, 200, "{answer}");
        }
    }
    daemon.stop().0.assert_no_panic();
}
