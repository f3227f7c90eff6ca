//! The whole road, in this process, behind a source that has chips: what `tests/` cannot reach, because the binary knows no
//! such source without hardware.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod chips;
mod fake;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::{Message, WebSocket};

use super::load::{self, Loaded};
use super::road::{self, Road};
use super::{Failure, http};
use crate::block::Account;
use crate::source::Signs;

/// The most that anything here may take, on a machine that has much else to do.
const BOUND: Duration = Duration::from_secs(30);

/// What `config` asks for, with the fake source and recordings in `dir`.
fn load(config: &str, dir: &Path) -> Result<Loaded, Failure> {
    let rest = format!("[recorder]\ndir = \"{}\"\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n", dir.display());
    load::build(("fake.toml".to_owned(), format!("{config}{rest}")), None, fake::KINDS, |_| {})
}

/// A daemon without its `main`: every thread of the road, and the port.
struct Daemon {
    road: Road,
    address: SocketAddr,
    signs: Arc<Signs>,
}

impl Daemon {
    fn start(config: &str, dir: &Path) -> Daemon {
        let mut loaded = load(config, dir).unwrap();
        loaded.prove(&AtomicBool::new(false)).unwrap();
        let signs = loaded.source.signs().unwrap();
        let port = http::Port::listen(loaded.settings.listen).unwrap();
        let address = port.address;
        let road = road::start(loaded, port, "test").unwrap_or_else(|failure| panic!("{failure}"));
        Daemon { road, address, signs }
    }

    /// Code and body of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/v1/status").1).unwrap()
    }

    /// Asks for the status until `reached`.
    fn wait_for(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            let status = self.status();
            if reached(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what} did not come about: {status:#}");
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn client(&self, query: &str) -> WebSocket<TcpStream> {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        tungstenite::client(format!("ws://{}/v1/stream?{query}", self.address), socket).unwrap().0
    }

    /// Stops the source and lets the links run empty; the account of every consumer.
    fn stop(mut self) -> Vec<(String, Account)> {
        self.road.stop.set();
        for thread in self.road.threads.drain(..) {
            thread.join().unwrap();
        }
        self.road.http.stop();
        let ledgers = self.road.context.ledgers.iter();
        ledgers.map(|ledger| (ledger.consumer().to_owned(), ledger.account())).collect()
    }
}

/// The next message of a client that is no ping.
fn next(client: &mut WebSocket<TcpStream>) -> Message {
    loop {
        let message = client.read().unwrap();
        if message.is_text() || message.is_binary() {
            return message;
        }
    }
}
