//! The acceptance run: the counter signal at 32 channels x 4 kSPS with the recorder on and three clients, of which one
//! never reads. Every frame is in the file with the right code, the two readers have every frame, the third finds
//! close code 1013 when it reads again, and every ledger adds up, in the metrics, the status and the sidecar alike.
//!
//! 20 s of signal, or as many as `BIOSIGD_LEDGER_S` says (`tests/run --long`: 60).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::source::synthetic::counter_code;
use serde_json::Value;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// The most that anything here may take beyond the signal's own time, on a machine that has much else to do.
const BOUND: Duration = Duration::from_secs(120);

const RATE_HZ: u64 = 4000;

type Client = WebSocket<TcpStream>;

fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn connect(address: &str, query: &str) -> Client {
    let socket = TcpStream::connect(address).unwrap();
    // Who waits longer than that waits for nothing.
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let url = format!("ws://{address}/v1/stream?{query}");
    tungstenite::client(url, socket).unwrap().0
}

/// The daemon; it ends with the test, also where that fails.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already where the test went well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the daemon in `dir`; returns it with the address from its log. Its converter forgives half a minute, so that a
/// machine which stands still for seconds costs the recorder nothing.
fn start(dir: &Path) -> (Daemon, String, thread::JoinHandle<String>) {
    let config = dir.join("counter.toml");
    let text = "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nfifo_s = 30\n[chain.live]\n[[chain.live.stage]]\nkind = \"high_pass\"\n\
                [recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(&config, text).unwrap();
    let mut daemon =
        Command::new(env!("CARGO_BIN_EXE_biosigd")).arg("-c").arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the daemon ended before it said where to look").unwrap();
        if let Some((_, rest)) = line.split_once("look at http://") {
            break rest.trim_end_matches('/').to_owned();
        }
    };
    let log = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    (Daemon(daemon), address, log)
}

/// What a reader of `raw` saw.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    wrong: u64,
    /// The index after its last frame.
    next: u64,
}

/// Frames of a message, if it is a block of stream `raw`, the first of all.
fn frames_of_raw(bytes: &[u8]) -> u64 {
    if bytes[6] == 0 { u64::from(u16::from_le_bytes(bytes[24..26].try_into().unwrap())) } else { 0 }
}

/// Reads `raw` until the daemon closes, and checks every code.
fn read_all(mut client: Client) -> Seen {
    let (mut seen, mut next) = (Seen::default(), None);
    loop {
        match client.read() {
            Ok(Message::Binary(bytes)) => {
                let first = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
                let n_channels = usize::from(u16::from_le_bytes(bytes[26..28].try_into().unwrap()));
                let missing = u64::from(u32::from_le_bytes(bytes[28..32].try_into().unwrap()));
                assert_eq!(first, next.unwrap_or(first) + missing, "the header says what is missing");
                let samples = bytes[32..].chunks_exact(4).map(|code| i32::from_le_bytes(code.try_into().unwrap()));
                for (i, code) in samples.enumerate() {
                    let frame = first + (i / n_channels) as u64;
                    seen.wrong += u64::from(code != counter_code(frame, i % n_channels));
                }
                seen.frames += frames_of_raw(&bytes);
                seen.next = first + frames_of_raw(&bytes);
                next = Some(seen.next);
            }
            Ok(_) => {}
            // Somebody stopped the test and let it go on.
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => panic!("nothing comes"),
            Err(_) => return seen,
        }
    }
}

fn lost(account: &Value) -> u64 {
    account["lost"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

fn count(account: &Value, key: &str) -> u64 {
    account[key].as_u64().unwrap()
}

/// The same ledger out of the metrics' text.
fn in_metrics(metrics: &str, consumer: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("biosigd_{name}_frames_total{{")));
    let mine = lines.filter(|line| line.contains(&format!("consumer=\"{consumer}\"")));
    mine.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Status and metrics tell the same ledger: each number of the metrics lies between those of the status just before and just
/// after. Where nothing changes from one to the other, as it does in a quiet moment, they are equal.
fn tell_the_same(address: &str) {
    let ledger = || serde_json::from_str::<Value>(&get(address, "/api/v1/status")).unwrap()["ledger"].take();
    for _ in 0..100 {
        let before = ledger();
        let metrics = get(address, "/metrics");
        let after = ledger();
        for (consumer, account) in before.as_object().unwrap() {
            for name in ["expected", "delivered", "lost"] {
                let of = |account: &Value| if name == "lost" { lost(account) } else { count(account, name) };
                let told = in_metrics(&metrics, consumer, name);
                assert!((of(account)..=of(&after[consumer])).contains(&told), "{consumer} {name}: {told}, {before:#}");
            }
        }
        if before == after {
            return;
        }
    }
}

/// Looks at the status until `reached`.
fn wait_for(address: &str, what: &str, most: Duration, reached: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + most;
    loop {
        let status: Value = serde_json::from_str(&get(address, "/api/v1/status")).unwrap();
        if reached(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} did not come about: {status:#}");
        thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn every_frame_is_delivered_or_counted() {
    let seconds = std::env::var("BIOSIGD_LEDGER_S").map_or(20, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (mut daemon, address, log) = start(dir.path());
    let readers: Vec<_> = (0..2)
        .map(|_| connect(&address, "streams=raw"))
        .map(|client| thread::spawn(move || read_all(client)))
        .collect();
    let mut sleeper = connect(&address, "streams=raw,live");

    // After 10 s without an empty buffer it is told to come back later, and 30 s later its socket is dropped. That what
    // waited for it is lost shows that the 10 s are over: while its buffer was full each new block cost one, and then
    // nothing is offered to it any more. It reads again as soon as its losses stand still while the readers get a second.
    let of_sleeper = |status: &Value| lost(&status["ledger"]["websocket.raw"]);
    wait_for(&address, "a full buffer", BOUND, |status| of_sleeper(status) > 0);
    let last = std::cell::Cell::new((0, 0));
    wait_for(&address, "the end of its patience", BOUND, |status| {
        let (lost, delivered) = (of_sleeper(status), count(&status["ledger"]["websocket.raw"], "delivered"));
        if last.get().0 != lost {
            last.set((lost, delivered));
        }
        delivered >= last.get().1 + 2 * RATE_HZ
    });

    // The sleeper reads again: what the kernel had, then the reason.
    let mut got_late = 0;
    let deadline = Instant::now() + BOUND;
    let reason = loop {
        assert!(Instant::now() < deadline, "it was never told to come back later");
        match sleeper.read() {
            Ok(Message::Close(frame)) => break frame.unwrap(),
            Ok(Message::Binary(bytes)) => got_late += frames_of_raw(&bytes),
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no close frame came: {error}"),
        }
    };
    assert_eq!(reason.code, CloseCode::Again, "{reason}");
    while !matches!(sleeper.read(), Err(tungstenite::Error::ConnectionClosed)) {}

    let wanted = seconds * RATE_HZ;
    let signal = Duration::from_secs(seconds);
    wait_for(&address, "the signal's length", signal + BOUND, |status| {
        count(&status["ledger"]["recorder"], "delivered") >= wanted
            && count(&status["ledger"]["process"], "delivered") >= wanted
    });
    tell_the_same(&address);
    rustix::process::kill_process(rustix::process::Pid::from_child(&daemon.0), rustix::process::Signal::TERM).unwrap();
    let seen: Vec<Seen> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(daemon.0.wait().unwrap().success());
    let log = log.join().unwrap();
    println!("{log}");

    // The final ledgers, as the log tells them: everything adds up.
    for line in log.lines().filter(|line| line.contains(" frames expected, ")) {
        let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        assert_eq!(numbers[0], numbers[1] + numbers[2], "{line}");
    }
    let ledger = |consumer: &str| {
        let line = log.lines().rev().find(|line| line.contains(&format!(" {consumer}: "))).unwrap();
        line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect::<Vec<u64>>()
    };
    let files = std::fs::read_dir(dir.path().join("recordings")).unwrap().flatten();
    let file = files.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "bdf")).unwrap();
    let sidecar: Value = serde_json::from_str(&std::fs::read_to_string(file.with_extension("json")).unwrap()).unwrap();
    let account = &sidecar["ledger"]["recorder"];
    assert_eq!(ledger("recorder"), [count(account, "expected"), count(account, "delivered"), lost(account)]);
    assert_eq!(sidecar["frames_written"], account["expected"]);
    assert_eq!(lost(account), 0, "the recorder loses nothing: {account}");
    let end = count(account, "delivered");
    assert!(end >= wanted, "{account}");

    // A reader has every frame to the end or, on a machine that is too busy for it, the exact count of what it lost.
    let [expected, delivered, lost_raw] = ledger("websocket.raw")[..3] else { panic!("three numbers") };
    for seen in &seen {
        assert_eq!(seen.wrong, 0, "{seen:?}");
        assert!(seen.next <= end && end - seen.next < lost_raw, "{seen:?} of {end}: {log}");
    }
    let got = got_late + seen.iter().map(|seen| seen.frames).sum::<u64>();
    assert_eq!((got, expected), (delivered, delivered + lost_raw), "{log}");
    assert!(lost_raw > 0, "the sleeper lost: {log}");

    let verify =
        Command::new(env!("CARGO_BIN_EXE_biosigd")).arg("verify").arg("--counter").arg(&file).output().unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}
