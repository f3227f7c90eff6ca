//! The whole daemon at 32 channels x 4 kSPS, with clients that come and go and reloads that change stages, limits or
//! nothing: after its start the three real-time
//! threads do not allocate, nor free. Counted by a global allocator, by thread.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/allocations.rs"]
mod allocations;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The threads that must not, by the names the kernel has.
const REAL_TIME: [&str; 3] = ["acquire", "process", "record-intake"];

/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(10);

/// The most that its start may take, on a machine that has much else to do.
const BOUND: Duration = Duration::from_secs(60);

/// The kernel's numbers of the threads called as in `REAL_TIME`.
fn real_time_threads() -> Vec<(String, u32)> {
    let mut threads = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
        if REAL_TIME.contains(&name.as_str()) {
            threads.push((name, task.file_name().to_str().unwrap().parse().unwrap()));
        }
    }
    threads
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(BOUND)).ok()?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// Asks the recorder for something, which it may refuse.
fn post(port: u16, order: &str) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    write!(socket, "POST /api/v1/recording/{order} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{order}: {answer}");
}

/// One client that takes a few messages and leaves, politely or not.
fn visit(port: u16, turn: usize) {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let url = format!("ws://127.0.0.1:{port}/v1/stream?streams={}", ["raw", "live", "live,raw"][turn % 3]);
    let (mut client, _) = tungstenite::client(url, socket).unwrap();
    for _ in 0..3 + turn % 7 {
        client.read().unwrap();
    }
    if turn % 2 == 0 {
        client.close(None).unwrap();
        while client.read().is_ok() {}
    }
}

#[test]
fn real_time_threads_do_not_allocate() {
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny.bdf");
    watch("kind = \"synthetic\"", 4000, 5);
    watch("kind = \"ads1299\"", 4000, 5);
    // One after the other: the threads of two daemons have the same names.
    watch(&format!("kind = \"replay\"\nfile = \"{recording}\"\nloop = true"), 0, 1);
}

/// Runs a daemon with this `[source]` while clients come and go.
fn watch(source: &str, frames_min: u64, clients_min: usize) {
    let dir = tempfile::tempdir().unwrap();
    // Free now; nothing else asks for it before the daemon does.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = dir.path().join("no-allocation.toml");
    let text = format!(
        r#"
        [source]
        {source}
        [[chain.live.stage]]
        kind = "high_pass"
        [[chain.live.stage]]
        kind = "notch"
        harmonics = 3
        [[chain.slow.stage]]
        kind = "decimate"
        factor = 4
        [chain.copy]
        from = "live"
        [recorder]
        min_free_gb = 0
        pre_s = 0.5
        [http]
        listen = "127.0.0.1:{port}"
        "#
    );
    std::fs::write(&config, &text).unwrap();
    let reload = |turn: usize| {
        let factor = 2 + turn % 3;
        let limits = format!("[websocket]\nclients_max = {}\n", 8 + turn);
        // Every fifth is a file that changes nothing.
        let bad = if turn % 5 == 0 { "[chain" } else { "" };
        let text = text.replace("factor = 4", &format!("factor = {factor}"));
        std::fs::write(&config, format!("{text}{limits}{bad}")).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    };
    let ratio = || {
        let status: serde_json::Value = serde_json::from_str(&get(port, "/api/v1/status").unwrap()).unwrap();
        let streams = status["streams"].as_array().unwrap().clone();
        streams.iter().find(|stream| stream["name"] == "slow").unwrap()["ratio"].as_u64().unwrap()
    };
    let arguments = ["biosigd", "run", "-c", config.to_str().unwrap()].map(std::ffi::OsString::from);
    let daemon = std::thread::spawn(move || biosigd::daemon::cli::main(arguments.into_iter()));
    let start = Instant::now();
    while get(port, "/healthz").is_none() || real_time_threads().len() < REAL_TIME.len() {
        assert!(!daemon.is_finished() && start.elapsed() < BOUND, "the daemon does not start");
        std::thread::yield_now();
    }
    // The first block of each thread is part of the start.
    while get(port, "/metrics").is_none_or(|text| text.contains("delivered_frames_total{consumer=\"recorder\"} 0\n")) {
        assert!(start.elapsed() < BOUND, "nothing is recorded");
    }
    let threads = real_time_threads();
    assert_eq!(threads.len(), REAL_TIME.len(), "{threads:?}");
    let before: Vec<u64> = threads.iter().map(|(_, id)| allocations::of_thread(*id)).collect();
    let (watch, mut turn) = (Instant::now(), 0);
    let mut ratios = std::collections::BTreeSet::from([ratio()]);
    while watch.elapsed() < WATCHED || ratios.len() < 3 {
        assert!(watch.elapsed() < 10 * WATCHED, "reloads do nothing: {ratios:?}");
        reload(turn);
        visit(port, turn);
        ratios.insert(ratio());
        // The intake begins and ends to owe frames.
        post(port, if turn % 2 == 0 { "stop" } else { "start" });
        get(port, "/metrics").unwrap();
        turn += 1;
    }
    let after: Vec<u64> = threads.iter().map(|(_, id)| allocations::of_thread(*id)).collect();
    let status = get(port, "/api/v1/status").unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
    daemon.join().unwrap();
    println!("{turn} clients came and went, with as many reloads; the ratios of `slow` were {ratios:?}");
    for ((name, _), (before, after)) in threads.iter().zip(before.iter().zip(&after)) {
        assert!(*before > 0, "{name} was not seen when it began: the count is blind");
        assert_eq!(after - before, 0, "{name} called the allocator");
    }
    assert!(turn > clients_min, "clients came and went");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["ledger"]["process"]["delivered"].as_u64().unwrap() > frames_min, "{status}");
}
