//! What `/api/v1/recordings` gives.

use std::io::{Read, Write};
use std::time::Instant;

use crate::common::{BOUND, Daemon};

/// Head and body of the answer. At most four are given at once, and one is over when its reader has noticed that: until there is
/// a place, it is asked for again, as the answer says.
pub(crate) fn fetched(daemon: &Daemon, method: &str, path: &str) -> Vec<u8> {
    let deadline = Instant::now() + BOUND;
    loop {
        let (mut socket, mut bytes) = (daemon.connect(), Vec::new());
        write!(socket, "{method} {path} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).expect("taken");
        socket.read_to_end(&mut bytes).expect("all of it");
        if !bytes.starts_with(b"HTTP/1.1 503 ") || Instant::now() > deadline {
            return bytes;
        }
    }
}
