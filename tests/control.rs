//! The recorder on request: start, stop, rotate and markers by HTTP, the pre-trigger, and what is refused. The daemon runs
//! as a process; every file is read back code by code, and the ledgers of all files are those of `/metrics`.

#[path = "common/mod.rs"]
mod common;
#[path = "common/fetch.rs"]
mod fetch;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use biosigd::daemon::verify::verify_file;
use common::{BOUND, Daemon, Response, names_in, run};
use fetch::fetched;
use serde_json::{Value, json};

/// The counter at 32 channels and 4 kSPS, recorded on request; it forgives as long as a test waits for anything, so that no
/// frame is lost to a machine that stands still for seconds.
const MANUAL: &str = "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nn_channels = 32\nrate_hz = 4000\nfifo_s = 30\n\
     [http]\nlisten = \"127.0.0.1:0\"\n[recorder]\nrecord = \"manual\"\nmin_free_gb = 0\nstall_budget_s = 5\n";

fn start_daemon(more: &str) -> Daemon {
    Daemon::start_idle(&format!("{MANUAL}{more}"))
}

/// Posts `body` as JSON.
fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    let mut socket = TcpStream::connect_timeout(&address, BOUND).expect("it listens");
    socket.set_read_timeout(Some(BOUND)).expect("a timeout");
    let length = body.len();
    let request = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).expect("taken");
    Response::read(socket)
}

/// The same, which is answered with `code` and JSON.
fn posted(daemon: &Daemon, path: &str, body: &str, code: u16) -> Value {
    let response = post(daemon.address, path, body);
    assert_eq!(response.code, code, "{path} {body}: {}", response.body);
    serde_json::from_str(&response.body).expect("JSON")
}

fn file_of(answer: &Value) -> PathBuf {
    PathBuf::from(answer["file"].as_str().expect("a file"))
}

/// The sidecar of a finished file, which is what the counter should be from its first frame to its last.
fn read_back(file: &Path) -> Value {
    let report = verify_file(file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    let sidecar = std::fs::read(file.with_extension("json")).expect("a sidecar");
    let sidecar: Value = serde_json::from_slice(&sidecar).expect("JSON");
    assert_eq!(sidecar["state"], "complete");
    sidecar
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

fn recorder(daemon: &Daemon) -> Value {
    daemon.status()["ledger"]["recorder"].clone()
}

fn wait_for_seconds(daemon: &Daemon, seconds: f64) {
    let frames = number(&daemon.status()["frames"]);
    daemon.wait_for("more frames", |status| number(&status["frames"]) as f64 > frames as f64 + seconds * 4000.0);
}

#[test]
fn starts_and_stops_leave_whole_files_whose_ledgers_are_the_daemon_s() {
    let daemon = start_daemon("");
    wait_for_seconds(&daemon, 0.3);
    assert_eq!(recorder(&daemon)["expected"], 0, "nothing is owed before the first start");
    // Nothing should be recorded, so nothing is missing.
    daemon.is_well();
    let (mut expected, mut end) = (0, 0);
    for n in 0..4 {
        let begun = posted(&daemon, "recording/start", &json!({"name": format!("take {n}")}).to_string(), 200);
        let (file, first_frame) = (file_of(&begun), number(&begun["first_frame"]));
        assert!(first_frame >= end, "no frame is in two files");
        let status = daemon.status()["recording"].clone();
        assert_eq!((&status["active"], &status["first_frame"]), (&json!(true), &json!(first_frame)));
        // From a moment to a second and a bit: in the first record, and behind it.
        wait_for_seconds(&daemon, 0.35 * f64::from(n));
        let before = number(&daemon.status()["frames"]);
        let last = posted(&daemon, "recording/stop", "", 200);
        let frames = number(&last["ledger"]["expected"]);
        assert!(first_frame + frames >= before, "what was acquired before the call is in the file: {last} {before}");
        assert_eq!(last["ledger"]["delivered"], last["ledger"]["expected"], "{last}");
        assert_eq!((&last["frames_written"], &last["trouble"]), (&json!(frames), &Value::Null));
        let sidecar = read_back(&file_of(&last));
        assert_eq!(sidecar["TaskName"], json!(format!("take {n}")));
        assert_eq!(sidecar["first_frame"], json!(first_frame), "{}", file.display());
        assert_eq!(sidecar["ledger"]["recorder"], last["ledger"], "the file says what the answer said");
        expected += frames;
        end = first_frame + frames;
        let ledger = recorder(&daemon);
        assert_eq!((number(&ledger["expected"]), number(&ledger["delivered"])), (expected, expected), "{ledger}");
    }
    let (ended, dir) = daemon.stop();
    ended.assert_no_panic();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    // Of each the data and their sidecar. The tables follow when there is time, or at the next start.
    let names = names_in(&dir.path().join("recordings"));
    let is_table = |name: &&PathBuf| {
        name.extension().is_some_and(|ending| ending == "tsv") || name.to_string_lossy().ends_with("_events.json")
    };
    assert_eq!(names.iter().filter(|name| !is_table(name)).count(), 4 * 2, "{names:?}");
}

#[test]
fn what_is_not_possible_now_is_said() {
    let daemon = start_daemon("");
    assert_eq!(posted(&daemon, "recording/stop", "", 409)["error"], "no recording is active");
    assert_eq!(posted(&daemon, "recording/rotate", "", 409)["error"], "no recording is active");
    let begun = posted(&daemon, "recording/start", "{}", 200);
    let second = posted(&daemon, "recording/start", "{}", 409);
    assert_eq!(second["file"], begun["file"], "{second}");
    posted(&daemon, "recording/stop", "{}", 200);
    posted(&daemon, "recording/stop", "{}", 409);
    let address = daemon.address;
    // Twenty at once: one begins it, the others hear of its file; and one ends it.
    for (path, at_once) in [("recording/start", 200), ("recording/stop", 200)] {
        let codes: Vec<u16> = thread::scope(|scope| {
            let asked: Vec<_> = (0..20).map(|_| scope.spawn(|| post(address, path, "").code)).collect();
            asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        let n = |code| codes.iter().filter(|found| **found == code).count();
        assert_eq!((n(at_once), n(409)), (1, 19), "{path}: {codes:?}");
    }
    daemon.stop().0.assert_no_panic();
}

#[test]
fn the_recorder_that_is_off_says_which_key_would_let_it() {
    let config = MANUAL.replace("manual", "off");
    let daemon = Daemon::start_idle(&config);
    let answer = posted(&daemon, "recording/start", "", 409);
    assert!(answer["error"].as_str().is_some_and(|why| why.contains("record = \"off\"")), "{answer}");
    daemon.stop().0.assert_no_panic();
}

#[test]
fn too_little_space_is_told_with_numbers_and_costs_nothing() {
    let config = MANUAL.replace("min_free_gb = 0", "min_free_gb = 90000");
    let daemon = Daemon::start_idle(&config);
    let answer = posted(&daemon, "recording/start", "", 507);
    assert!(answer["error"].as_str().is_some_and(|why| why.contains("the limit is 90000000000000")), "{answer}");
    assert_eq!(recorder(&daemon)["expected"], 0);
    daemon.is_well();
    daemon.stop().0.assert_no_panic();
}

#[test]
fn a_recording_begins_before_it_was_asked_for() {
    let daemon = start_daemon("pre_s = 1.5\n");
    wait_for_seconds(&daemon, 2.5);
    assert_eq!(recorder(&daemon)["expected"], 0, "what is kept is owed to nobody yet");
    let before = number(&daemon.status()["frames"]);
    let begun = posted(&daemon, "recording/start", "", 200);
    let after = number(&daemon.status()["frames"]);
    let first_frame = number(&begun["first_frame"]);
    // 1.5 s are 6000 frames; a block is 40, and some are on their way.
    assert!(first_frame + 6000 + 400 >= before && first_frame + 6000 <= after, "{first_frame} {before} {after}");
    // A start right after a stop does not bring the same frames again.
    let mut end = first_frame;
    for _ in 0..3 {
        let last = posted(&daemon, "recording/stop", "", 200);
        assert!(number(&last["first_frame"]) >= end, "{last}");
        assert_eq!(last["ledger"]["delivered"], last["ledger"]["expected"], "{last}");
        end = number(&last["first_frame"]) + number(&last["ledger"]["expected"]);
        read_back(&file_of(&last));
        posted(&daemon, "recording/start", "", 200);
    }
    let (ended, _dir) = daemon.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    let recorder = ended.ledgers().into_iter().find(|(name, ..)| name == "recorder").expect("a ledger");
    assert_eq!((recorder.1, recorder.3), (recorder.2, 0), "{recorder:?}");
}

/// Marks this moment: the text, and the frame, which lies between those that were there before and those after. The status
/// knows blocks and the marker the clock, so while the machine holds the blocks up the two may differ: then it is marked again.
fn marked_now(daemon: &Daemon) -> (String, u64) {
    let mut seen = Vec::new();
    for turn in 0..50 {
        wait_for_seconds(daemon, 0.2);
        let (text, before) = (format!("now {turn}"), number(&daemon.status()["frames"]));
        let now = posted(daemon, "markers", &json!({"text": text, "sent_utc_ns": 5}).to_string(), 200);
        wait_for_seconds(daemon, 0.2);
        let after = number(&daemon.status()["frames"]);
        assert_eq!(now["sent_utc_ns"], 5);
        let frame = number(&now["frame"]);
        if (before..=after).contains(&frame) && (125_000..10_000_000).contains(&number(&now["uncertainty_ns"])) {
            return (text, frame);
        }
        seen.push(format!("{before} {now} {after}"));
    }
    panic!("none of these stands where it was put:\n{}", seen.join("\n"));
}

#[test]
fn markers_stand_on_their_frame() {
    let daemon = start_daemon("");
    let begun = posted(&daemon, "recording/start", "", 200);
    let first_frame = number(&begun["first_frame"]);
    let frame = first_frame + 1000;
    let body = json!({"text": "exact", "frame": frame, "offset_ns": 125_000, "duration_s": 0.5});
    let exact = posted(&daemon, "markers", &body.to_string(), 200);
    assert_eq!((&exact["frame"], &exact["uncertainty_ns"]), (&json!(frame), &Value::Null));
    let (text, now_frame) = marked_now(&daemon);
    wait_for_seconds(&daemon, 1.0);
    let last = posted(&daemon, "recording/stop", "", 200);
    read_back(&file_of(&last));
    let onset = |frame: u64| (frame - first_frame) as f64 / 4000.0;
    let bytes = std::fs::read(file_of(&last)).expect("reads");
    // `+0.250125\u{15}0.5\u{14}exact\u{14}`: onset, duration, text (EDF+, section 2.2).
    let tal = |onset: String, rest: &str| format!("+{onset}{rest}").into_bytes();
    let found = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    assert!(found(&tal(format!("{}", 0.250_125), "\u{15}0.5\u{14}exact\u{14}")), "the exact one");
    let now = tal(format!("{}", onset(now_frame)), &format!("\u{14}{text}\u{14}"));
    assert!(found(&now), "{}", onset(now_frame));
    daemon.stop().0.assert_no_panic();
}

#[test]
fn hostile_requests_start_nothing() {
    let daemon = start_daemon("");
    let address = daemon.address;
    let start = format!("POST /api/v1/recording/start HTTP/1.1\r\nHost: {address}\r\n");
    for (request, code) in [
        (format!("{start}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"), 415),
        (format!("{start}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n"), 415),
        (format!("{start}Origin: http://evil.example\r\nContent-Type: application/json\r\n\r\n"), 403),
        (format!("{start}Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n"), 413),
        (format!("{start}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411),
        ("POST /api/v1/recording/start HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 421),
        (format!("GET /api/v1/recording/start HTTP/1.1\r\nHost: {address}\r\n\r\n"), 405),
        (format!("DELETE /api/v1/markers HTTP/1.1\r\nHost: {address}\r\n\r\n"), 405),
    ] {
        let response = daemon.ask(&request);
        assert_eq!(response.code, code, "{request}: {}", response.body);
    }
    for body in [
        "[]",
        "5",
        "{",
        "{\"name\": 1}",
        "{\"name\": null}",
        "{\"nmae\": \"x\"}",
        "{\"name\": \"a\", \"name\": \"b\"}",
        "{\"name\": \"../../etc/passwd\"}",
        "{\"name\": \"a/b\"}",
        "{\"subject\": \"a\\r\\nb\"}",
        "\u{0}",
        "{\"notes\": \"\u{1}\"}",
    ] {
        posted(&daemon, "recording/start", body, 400);
    }
    posted(&daemon, "recording/start", &json!({"subject": "x".repeat(10_000)}).to_string(), 400);
    posted(&daemon, "recording/start", &"[".repeat(60_000), 400);
    // A body that never comes holds up nobody, and begins nothing.
    let mut silent = daemon.connect();
    silent
        .write_all(format!("{start}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n").as_bytes())
        .expect("taken");
    for body in ["", "{}", "{\"text\": \"\"}", "{\"text\": \"a\\u0000\"}", "{\"text\": \"a\", \"frame\": 99999999999}"]
    {
        posted(&daemon, "markers", body, 400);
    }
    assert_eq!(daemon.status()["recording"]["active"], false);
    assert!(
        !daemon.dir.path().join("recordings").exists() || names_in(&daemon.dir.path().join("recordings")).is_empty()
    );
    // What is long, and allowed, is kept.
    let notes = "\u{1F9E0}".repeat(9_000);
    posted(
        &daemon,
        "recording/start",
        &json!({"name": "\u{1F9E0}", "subject": "S 1", "notes": notes}).to_string(),
        200,
    );
    let last = posted(&daemon, "recording/stop", "", 200);
    assert_eq!(read_back(&file_of(&last))["notes"], json!(notes));
    daemon.stop().0.assert_no_panic();
}

#[test]
fn what_was_recorded_is_listed_and_can_be_fetched() {
    let daemon = start_daemon("");
    let text = |method: &str, path: &str| String::from_utf8(fetched(&daemon, method, path)).expect("text");
    let list = || -> Value {
        let answer = text("GET", "/api/v1/recordings");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    };
    assert_eq!(list()["recordings"], json!([]));
    let name = |answer: &Value| file_of(answer).file_name().expect("a name").to_str().expect("text").to_owned();
    posted(&daemon, "recording/start", "{\"name\": \"a\"}", 200);
    wait_for_seconds(&daemon, 0.3);
    let first = posted(&daemon, "recording/stop", "", 200);
    let active = posted(&daemon, "recording/start", "{\"name\": \"b\"}", 200);
    let listed = list()["recordings"].as_array().expect("a list").clone();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!((&listed[0]["state"], &listed[0]["download"]), (&json!("recording"), &Value::Null));
    assert_eq!((&listed[1]["state"], &listed[1]["ledger"]), (&json!("complete"), &first["ledger"]));
    let answer = text("GET", &format!("/api/v1/recordings/{}", name(&active)));
    assert!(answer.starts_with("HTTP/1.1 409 "), "it is being written: {answer}");
    // Byte by byte, also while one who asked for it reads nothing.
    let path = listed[1]["download"].as_str().expect("a path");
    let mut silent = daemon.connect();
    write!(silent, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).expect("taken");
    let bytes = fetched(&daemon, "GET", path);
    let data = std::fs::read(file_of(&first)).expect("reads");
    assert!(bytes.ends_with(&data), "{} bytes for {}", bytes.len(), data.len());
    let head = text("HEAD", path);
    assert!(head.contains(&format!("Content-Length: {}\r\n", data.len())), "{head}");
    assert!(text("GET", &path.replace(".bdf", ".json")).contains("\"frames_written\""));
    std::os::unix::fs::symlink("/etc/passwd", daemon.dir.path().join("recordings/link.bdf")).expect("a link");
    for name in ["link.bdf", "none.bdf", "..%2frig.toml", "../rig.toml", "", "rig.toml", ".x.bdf"] {
        let answer = text("GET", &format!("/api/v1/recordings/{name}"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{name}: {answer}");
    }
    drop(silent);
    daemon.stop().0.assert_no_panic();
}

#[test]
fn a_directory_that_is_gone_is_told_and_the_other_one_is_taken() {
    for fallback in ["", "fallback_dir = \"other\"\n"] {
        let daemon = start_daemon(fallback);
        let recordings = daemon.dir.path().join("recordings");
        std::fs::remove_dir(&recordings).expect("empty");
        std::fs::write(&recordings, "in the way").expect("written");
        if fallback.is_empty() {
            let answer = posted(&daemon, "recording/start", "", 503);
            assert!(answer["error"].as_str().is_some_and(|why| why.contains("cannot create")), "{answer}");
            assert_eq!(recorder(&daemon)["expected"], 0, "a start that failed costs nothing");
            std::fs::remove_file(&recordings).expect("removed");
        }
        let begun = posted(&daemon, "recording/start", "", 200);
        let dir = if fallback.is_empty() { "recordings" } else { "other" };
        assert_eq!(file_of(&begun).parent(), Some(daemon.dir.path().join(dir).as_path()));
        read_back(&file_of(&posted(&daemon, "recording/stop", "", 200)));
        daemon.stop().0.assert_no_panic();
    }
}

#[test]
fn a_burst_of_markers_is_taken_or_refused_and_the_recording_goes_on() {
    let daemon = start_daemon("");
    posted(&daemon, "recording/start", "", 200);
    let address = daemon.address;
    let (taken, refused) = thread::scope(|scope| {
        let burst = || {
            let (mut taken, mut refused) = (0, 0);
            for _ in 0..5000 {
                match post(address, "markers", "{\"text\": \"a marker of a burst\"}").code {
                    200 => taken += 1,
                    503 => refused += 1,
                    code => panic!("{code}"),
                }
            }
            (taken, refused)
        };
        let bursts: Vec<_> = (0..4).map(|_| scope.spawn(burst)).collect();
        bursts.into_iter().map(|burst| burst.join().expect("ends")).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    });
    println!("{taken} markers were taken, {refused} refused");
    assert!(taken > 4000 && refused > 0, "as many as may wait are taken, and no more");
    let last = posted(&daemon, "recording/stop", "", 200);
    let sidecar = read_back(&file_of(&last));
    assert_eq!(last["ledger"]["delivered"], last["ledger"]["expected"], "{last}");
    let bytes = std::fs::read(file_of(&last)).expect("reads");
    let text = b"\x14a marker of a burst\x14";
    let written = bytes.windows(text.len()).filter(|window| *window == text).count() as u64;
    assert_eq!(written + number(&sidecar["markers_dropped"]), taken, "every marker that was taken is told of");
    daemon.stop().0.assert_no_panic();
}

#[test]
fn signals_and_orders_while_it_stops_are_answered() {
    let daemon = start_daemon("");
    posted(&daemon, "recording/start", "", 200);
    wait_for_seconds(&daemon, 0.2);
    let (ended, dir) = daemon.stop();
    ended.assert_no_panic();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    let recordings = dir.path().join("recordings");
    let name =
        names_in(&recordings).into_iter().find(|name| name.extension().is_some_and(|e| e == "bdf")).expect("one");
    read_back(&recordings.join(&name));
    let verified = run(&["verify", "--counter", &recordings.join(&name).display().to_string()], dir.path());
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr());
}
