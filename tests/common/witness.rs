//! A client of the stream that keeps its own account of what it is sent.

use std::io::ErrorKind;
use std::net::TcpStream;

use tungstenite::{Error, Message, WebSocket};

use crate::common::Daemon;

/// A client of `/v1/stream` with this query.
pub(crate) fn stream(daemon: &Daemon, query: &str) -> WebSocket<TcpStream> {
    let url = format!("ws://{}/v1/stream{query}", daemon.address);
    tungstenite::client(url, daemon.connect()).unwrap().0
}

/// A block of samples.
pub(crate) struct Block {
    pub(crate) first_frame: u64,
    pub(crate) n_frames: u64,
    /// Frames that are missing before it, as it says.
    pub(crate) missing: u64,
}

impl Block {
    pub(crate) fn of(bytes: &[u8]) -> Block {
        Block {
            first_frame: u64::from_le_bytes(bytes[8..16].try_into().unwrap()),
            n_frames: u16::from_le_bytes(bytes[24..26].try_into().unwrap()).into(),
            missing: u32::from_le_bytes(bytes[28..32].try_into().unwrap()).into(),
        }
    }
}

/// The next message, also when somebody stops the test and lets it go on.
pub(crate) fn next_message(client: &mut WebSocket<TcpStream>) -> Message {
    loop {
        match client.read() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.unwrap(),
        }
    }
}

/// The next block of samples.
pub(crate) fn next_block(client: &mut WebSocket<TcpStream>) -> Block {
    loop {
        if let Message::Binary(bytes) = next_message(client) {
            return Block::of(&bytes);
        }
    }
}

/// A client that keeps up must not notice anything of the others: its frames go on. What the machine cost it, where that stood
/// still for longer than the link to the clients holds, is told to the frame and counted as lost in that link.
pub(crate) struct Witness {
    client: WebSocket<TcpStream>,
    next_frame: u64,
    missing: u64,
}

impl Witness {
    pub(crate) fn of(daemon: &Daemon) -> Witness {
        let mut client = stream(daemon, "?streams=raw");
        let block = next_block(&mut client);
        Witness { client, next_frame: block.first_frame + block.n_frames, missing: 0 }
    }

    /// Reads up to what is converted now.
    pub(crate) fn catch_up(&mut self, daemon: &Daemon) {
        let status = daemon.status();
        while self.next_frame < status["frames"].as_u64().unwrap() {
            let block = next_block(&mut self.client);
            assert_eq!(block.first_frame, self.next_frame + block.missing, "a gap that the witness is not told of");
            self.missing += block.missing;
            self.next_frame = block.first_frame + block.n_frames;
        }
        let in_link = daemon.status()["ledger"]["websocket.raw"]["lost"]["link_full"].as_u64().unwrap();
        assert!(self.missing <= in_link, "{} frames are missing, {in_link} were lost in the link", self.missing);
    }
}
