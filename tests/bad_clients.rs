//! Clients that misbehave, against the real daemon: each gets a clear answer, and nothing else is disturbed. After
//! every one of them the daemon is well, the recorder has lost nothing, and at the end all ledgers add up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/witness.rs"]
mod witness;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{BOUND, Daemon};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};
use witness::{Block, Witness, next_block, next_message, stream};

/// Reads until the daemon says goodbye, and why; no more messages than a well client would see in the bound.
fn goodbye(client: &mut WebSocket<TcpStream>) -> (CloseCode, String) {
    let deadline = Instant::now() + BOUND;
    while Instant::now() < deadline {
        if let Message::Close(close) = next_message(client) {
            let close = close.unwrap();
            return (close.code, close.reason.to_string());
        }
    }
    panic!("no goodbye within {BOUND:?}");
}

/// The opening handshake by hand, for what a WebSocket library would not send.
fn upgraded(daemon: &Daemon) -> TcpStream {
    let mut socket = daemon.connect();
    let head = format!(
        "GET /v1/stream?streams=live HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        daemon.address
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    socket
}

#[test]
fn requests_that_cannot_be_answered() {
    let daemon = Daemon::start("");
    let host = daemon.address;
    let head = |line: &str, headers: &str| daemon.ask(&format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let names = "there is no such page; there are /, /metrics, /healthz, /api/v1/status, /api/v1/recordings and \
                 /v1/stream (WebSocket); POST takes /api/v1/recording/start, stop and rotate, and /api/v1/markers\n";
    for (response, code, body) in [
        (head("POST /healthz", "Content-Length: 3\r\n"), 405, "only GET and HEAD are known here\n"),
        (head("DELETE /", ""), 405, "only GET and HEAD are known here\n"),
        (head("GET /nothing", ""), 404, names),
        (head("GET /../../etc/passwd", ""), 404, names),
        (head("GET /v1/stream", ""), 426, "this path is a WebSocket, version 13\n"),
        (head("GET /v1/stream", &upgrade.replace("13", "8")), 426, "this path is a WebSocket, version 13\n"),
        (
            head("GET /v1/stream", &format!("{upgrade}Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
            400,
            "there must be one Sec-WebSocket-Key, of 16 bytes in base64\n",
        ),
        (head("HEAD /v1/stream", ""), 426, ""),
        (
            daemon.ask(&format!("GET /v1/stream HTTP/1.0\r\nHost: {host}\r\n{upgrade}\r\n")),
            426,
            "this path is a WebSocket, version 13\n",
        ),
        (head("GET /v1/stream?rates=250", upgrade), 400, "unknown parameter `rates`; known: streams, channels\n"),
        (head("GET /v1/stream?streams=lve", upgrade), 400, "no stream is called `lve`; known: raw, live\n"),
        (head("GET /v1/stream?channels=0-8", upgrade), 400, "channels: `0-8` is not within stream `raw`, 0-7\n"),
        (
            head("GET /v1/stream", &format!("{upgrade}Sec-WebSocket-Protocol: biosigd.v9\r\n")),
            400,
            "this stream speaks biosigd.v1, not biosigd.v9\n",
        ),
        (
            head("GET /v1/stream", &format!("{upgrade}Origin: http://evil.example\r\n")),
            403,
            "a page of another origin may not read this\n",
        ),
        (
            head("GET /metrics", "Origin: http://évil.example\r\n"),
            400,
            "Host and Origin may stand once, in plain ASCII\n",
        ),
        (head("GET /metrics", "Host: evil.example\r\n"), 400, "Host and Origin may stand once, in plain ASCII\n"),
        (head("GET /metrics", "Origin: null\r\n"), 403, "a page of another origin may not read this\n"),
        (
            daemon.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            421,
            "this server is not `evil.example`; add it to http.hosts if it should be\n",
        ),
        (daemon.ask("GET / HTTP/1.1\r\n\r\n"), 400, "the request has no Host\n"),
        (daemon.ask("hello, is anybody there?\r\n\r\n"), 400, "this is not an HTTP request\n"),
        (daemon.ask("GET / HTTP/9.9\r\n\r\n"), 400, "this is not an HTTP request\n"),
        (daemon.ask("\u{0}\u{1}\u{2}\u{fffd}\r\n\r\n"), 400, "this is not an HTTP request\n"),
        (head("GET /", &"X: y\r\n".repeat(65)), 431, "there are more than 64 headers\n"),
    ] {
        assert_eq!((response.code, response.body.as_str()), (code, body), "{}", response.head);
        let has = |header: &str| response.head.contains(header);
        assert_eq!(has("Allow: GET, HEAD"), code == 405, "{}", response.head);
        let upgrade_required = "Upgrade: websocket\r\nSec-WebSocket-Version: 13";
        assert_eq!(has(upgrade_required), code == 426, "{}", response.head);
    }
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn a_head_without_end() {
    let daemon = Daemon::start("");
    let mut witness = Witness::of(&daemon);
    // 16 MB of it: the answer comes after 16 KiB, and what follows is taken so that the answer can be read.
    let mut socket = daemon.connect();
    let mut writer = socket.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let line =
            b"X-Filler: and on and on and on it goes, as if there were no end to what one can say here\r\n".repeat(100);
        writer.write_all(b"GET / HTTP/1.1\r\n")?;
        (0..(16 << 20) / line.len()).try_for_each(|_| writer.write_all(&line))
    });
    let mut answer = String::new();
    // The daemon's side ends with the answer; a reset afterwards, when it has heard enough, is its right.
    drop(socket.read_to_string(&mut answer));
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthere are more than 64 headers\n"), "{answer}");
    drop(socket.shutdown(Shutdown::Both));
    drop(sender.join().unwrap());
    // One line without end.
    let long = daemon.ask(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(16 << 10)));
    assert_eq!((long.code, long.body.as_str()), (431, "the head is longer than 16 KiB\n"));
    witness.catch_up(&daemon);
    daemon.assert_well();
    daemon.stop_well();
}

/// Sends for two seconds and until others were served three times meanwhile, or until the daemon has had enough.
fn floods(daemon: &Daemon, sockets: Vec<TcpStream>, what: &'static [u8]) {
    let mut witness = Witness::of(daemon);
    let enough = Arc::new(AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(2);
    let senders: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            let enough = Arc::clone(&enough);
            thread::spawn(move || {
                let many = what.repeat((64 << 10) / what.len() + 1);
                while !enough.load(Ordering::Relaxed) && socket.write_all(&many).is_ok() {}
            })
        })
        .collect();
    let mut n_served = 0;
    while n_served < 3 || (Instant::now() < until && !senders.iter().all(thread::JoinHandle::is_finished)) {
        // An answer within the bound; what it says is looked at when they are silent.
        assert_eq!(daemon.get("/metrics").code, 200);
        witness.catch_up(daemon);
        n_served += 1;
    }
    enough.store(true, Ordering::Relaxed);
    // Whoever is stuck in a write gives up after the bound.
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    daemon.is_well();
}

#[test]
fn clients_that_talk_without_end() {
    let daemon = Daemon::start("");
    // One connection with four senders, so that the daemon never finds it empty.
    let socket = daemon.connect();
    floods(&daemon, (0..4).map(|_| socket.try_clone().unwrap()).collect(), b"GET / HTTP/1.1\r\nX: y\r\n");
    drop(socket);
    // An empty text, masked: allowed, and nothing that anyone would wait for.
    floods(&daemon, (0..2).map(|_| upgraded(&daemon)).collect(), b"\x81\x80\x01\x02\x03\x04");
    // Pings, each of which wants an answer that nobody reads.
    floods(&daemon, (0..2).map(|_| upgraded(&daemon)).collect(), b"\x89\x84\x01\x02\x03\x04ping");
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn one_byte_a_second_and_silence() {
    let daemon = Daemon::start("");
    let began = Instant::now();
    let mut slow = daemon.connect();
    let silent: Vec<TcpStream> = (0..200).map(|_| daemon.connect()).collect();
    daemon.assert_well();
    let mut writer = slow.try_clone().unwrap();
    let sender = thread::spawn(move || {
        for byte in b"GET /healthz HTTP/1.1\r\nX: a head that is never whole" {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(1)); // the misbehaviour itself
        }
    });
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe head was not whole within 5 s\n"), "{answer}");
    assert!(began.elapsed() >= Duration::from_secs(5), "after {:?}", began.elapsed());
    daemon.assert_well();
    for mut socket in silent {
        // Its read gives up after the bound, which is an error.
        assert_eq!(socket.read(&mut [0; 64]).unwrap(), 0, "closed without a word");
    }
    slow.shutdown(Shutdown::Both).unwrap();
    daemon.assert_well();
    daemon.stop_well();
    sender.join().unwrap();
}

#[test]
fn frames_that_are_too_long_or_wrong() {
    let daemon = Daemon::start("");
    let mut witness = Witness::of(&daemon);
    let mut long = stream(&daemon, "?streams=live");
    next_block(&mut long);
    // The daemon takes the rest of it unread; a write that it no longer takes would show as an error here.
    long.send(Message::text("x".repeat(1 << 20))).unwrap();
    let expected = (CloseCode::Size, "messages to this server are at most 16 KiB".to_owned());
    assert_eq!(goodbye(&mut long), expected);
    assert!(matches!(long.read(), Err(Error::ConnectionClosed | Error::Protocol(_) | Error::Io(_))));
    drop(long);

    let wrong = (CloseCode::Protocol, "not a WebSocket frame");
    let not_utf_8 = (CloseCode::Invalid, "texts must be UTF-8");
    for (sent, goodbye_expected) in [
        (b"\x81\x02hi".as_slice(), wrong),                    // not masked
        (b"\xF1\x80\x01\x02\x03\x04", wrong),                 // reserved bits
        (b"\x83\x80\x01\x02\x03\x04", wrong),                 // an opcode that is none
        (b"\x09\x80\x01\x02\x03\x04", wrong),                 // a ping in pieces
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", wrong),        // not a frame at all
        (b"\x81\x81\x00\x00\x00\x00\xFF", not_utf_8),         // a text
        (b"\x88\x83\x00\x00\x00\x00\x03\xE8\xFF", not_utf_8), // a reason
    ] {
        let mut socket = upgraded(&daemon);
        socket.write_all(sent).unwrap();
        let config = None;
        let mut client = WebSocket::from_raw_socket(socket, tungstenite::protocol::Role::Client, config);
        let (code, reason) = goodbye(&mut client);
        assert_eq!((code, reason.as_str()), goodbye_expected, "{sent:?}");
    }
    // All of their seats are free again, as soon as they have gone.
    daemon.wait_for("one client, the witness", |status| status["clients"] == 1);
    witness.catch_up(&daemon);
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn talk_after_a_goodbye() {
    let daemon = Daemon::start("");
    let mut socket = upgraded(&daemon);
    socket.write_all(b"\x88\x82\x00\x00\x00\x00\x03\xE8").unwrap();
    // None of it is read as a message, and all of it is taken: a reset would take the answer with it.
    socket.write_all(&b"\x81\x80\x01\x02\x03\x04".repeat(100_000)).unwrap();
    let mut client = WebSocket::from_raw_socket(socket, tungstenite::protocol::Role::Client, None);
    assert_eq!(goodbye(&mut client).0, CloseCode::Normal);
    // It keeps its own end open, and its seat for no more than a moment.
    daemon.wait_for("a free seat", |status| status["clients"] == 0);
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn clients_that_vanish() {
    let daemon = Daemon::start("");
    let mut witness = Witness::of(&daemon);
    for _ in 0..20 {
        let mut client = stream(&daemon, "");
        next_block(&mut client);
        // Closing with a lingering time of zero sends a reset instead of an end.
        rustix::net::sockopt::set_socket_linger(client.get_ref(), Some(Duration::ZERO)).unwrap();
    }
    for _ in 0..20 {
        let socket = daemon.connect();
        rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
    }
    for _ in 0..5 {
        drop(upgraded(&daemon));
    }
    daemon.wait_for("one client, the witness", |status| status["clients"] == 1);
    witness.catch_up(&daemon);
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn more_clients_than_seats() {
    let daemon = Daemon::start("[websocket]\nclients_max = 2\n");
    let mut first = stream(&daemon, "");
    let _second = stream(&daemon, "");
    let url = format!("ws://{}/v1/stream", daemon.address);
    let refused = tungstenite::client(url, daemon.connect()).unwrap_err().to_string();
    assert_eq!(refused, "HTTP error: 503 Service Unavailable");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let why = daemon.ask(&format!("GET /v1/stream HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n", daemon.address));
    assert_eq!((why.code, why.body.as_str()), (503, "there are 2 clients, the most allowed\n"));
    // A seat given back is a seat for the next.
    first.close(None).unwrap();
    while first.read().is_ok() {}
    drop(first);
    let deadline = Instant::now() + BOUND;
    let mut third = loop {
        let url = format!("ws://{}/v1/stream", daemon.address);
        if let Ok((client, _)) = tungstenite::client(url, daemon.connect()) {
            break client;
        }
        assert!(Instant::now() < deadline, "the seat is not given back");
    };
    next_block(&mut third);
    daemon.assert_well();
    daemon.stop_well();
}

#[test]
fn a_daemon_that_stops_says_goodbye() {
    let daemon = Daemon::start("");
    let mut client = stream(&daemon, "?streams=raw");
    let Block { first_frame, n_frames, .. } = next_block(&mut client);
    let reader = thread::spawn(move || {
        let (mut next_frame, mut got) = (first_frame + n_frames, n_frames);
        loop {
            match next_message(&mut client) {
                Message::Binary(bytes) => {
                    let block = Block::of(&bytes);
                    assert_eq!(block.first_frame, next_frame + block.missing);
                    next_frame = block.first_frame + block.n_frames;
                    got += block.n_frames;
                }
                Message::Close(close) => return (next_frame, got, close.unwrap().code),
                _ => {}
            }
        }
    });
    let ended = daemon.stop_well();
    let (next_frame, got, code) = reader.join().unwrap();
    assert_eq!(code, CloseCode::Away);
    let ledger = |name: &str| ended.ledgers().into_iter().find(|ledger| ledger.0 == name).unwrap();
    let ((_, end, ..), (_, _, delivered, lost)) = (ledger("recorder"), ledger("websocket.raw"));
    assert_eq!(got, delivered, "it got what the ledger says");
    assert!(next_frame <= end && end - next_frame <= lost, "it got up to {next_frame} of {end}, {lost} lost");
}
