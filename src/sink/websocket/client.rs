//! One client: its socket, its bounded buffer, and what it was sent. Whatever it does or does not do, only it loses.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::door::Seat;
use super::{Subscription, wire};
use crate::block::{Account, Cause, Tally};

/// A client whose buffer was never empty for this long is told to come back later.
const SLOW: Duration = Duration::from_secs(10);
/// How long it then has to take the news.
const GOODBYE: Duration = Duration::from_secs(30);
/// How long a client that said goodbye is listened to after the answer: closing at once, with something of it unread,
/// would reset the connection and take the answer with it (RFC 6455, section 7.1.1).
const LINGER: Duration = Duration::from_secs(2);
/// A client is asked for a sign of life this often, and dropped after three of them without any.
const PING: Duration = Duration::from_secs(20);
/// Reads in one turn: a client that talks without end would otherwise have the thread for itself.
const READS_MAX: usize = 32;

/// A message that waits for its turn.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// What is coming; never dropped, or nothing after it could be understood.
    Hello(String),
    /// An event.
    Marker(String),
    /// A block of a stream.
    Block(OutgoingBlock),
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Outgoing::Hello(text) | Outgoing::Marker(text) => text.len(),
            Outgoing::Block(block) => block.bytes.len(),
        }
    }
}

/// A block that waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct OutgoingBlock {
    pub(super) stream: usize,
    /// Counted over all epochs of the stream.
    pub(super) first_frame: u64,
    pub(super) n_frames: u64,
    pub(super) edge_ns: u64,
    /// Frames missing before it for a client that got everything else; what `bytes` says.
    pub(super) missing: u64,
    pub(super) bytes: Bytes,
}

/// What the hub's books need to know of a client's doings.
pub(super) struct Books<'a> {
    pub(super) accounts: &'a mut [Account],
    pub(super) sent_bytes: &'a mut u64,
    pub(super) dropped_messages: &'a mut u64,
    /// Called with the stream and the edge of each block that was handed to the kernel.
    pub(super) handed_over: &'a dyn Fn(usize, u64),
    /// Most bytes that wait for one client.
    pub(super) buffer_bytes_max: usize,
}

enum State {
    Open,
    /// A close frame is on its way; the socket is dropped at this time, whatever happens.
    Closing(Instant),
}

pub(super) struct Client {
    socket: WebSocket<TcpStream>,
    pub(super) subscription: Subscription,
    /// The index after the last frame handed over, by stream; `None` before the first.
    sent_to: Vec<Option<u64>>,
    /// Whether a block of the stream was ever offered: gaps before the first one are not this client's.
    following: Vec<bool>,
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    in_flight: Option<Outgoing>,
    behind_since: Option<Instant>,
    heard: Instant,
    asked: Instant,
    /// It broke the protocol or said goodbye: what it says from now on is thrown away, so that it can take the answer.
    deaf: bool,
    state: State,
    _seat: Seat,
}

/// The client is gone.
pub(super) struct Gone;

impl Client {
    pub(super) fn new(
        socket: TcpStream,
        early: Vec<u8>,
        subscription: Subscription,
        n_streams: usize,
        seat: Seat,
    ) -> Client {
        // Messages of clients are short; a longer one closes with 1009.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_message_size(Some(16 * 1024))
            .max_frame_size(Some(16 * 1024));
        let now = Instant::now();
        Client {
            socket: WebSocket::from_partially_read(socket, early, Role::Server, Some(config)),
            subscription,
            sent_to: vec![None; n_streams],
            following: vec![false; n_streams],
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            in_flight: None,
            behind_since: None,
            heard: now,
            asked: now,
            deaf: false,
            state: State::Open,
            _seat: seat,
        }
    }

    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// Offers a block with the gap before it; the oldest block makes room where the buffer is full.
    pub(super) fn offer(&mut self, block: OutgoingBlock, gap: &Tally, books: &mut Books<'_>) {
        if let State::Closing(_) = self.state {
            return;
        }
        let account = &mut books.accounts[block.stream];
        if std::mem::replace(&mut self.following[block.stream], true) {
            account.add_gap(gap);
        }
        account.expected += block.n_frames;
        self.waiting_bytes += block.bytes.len();
        self.waiting.push_back(Outgoing::Block(block));
        self.make_room(books);
    }

    /// The stream ended after a gap.
    pub(super) fn ended(&mut self, stream: usize, gap: &Tally, books: &mut Books<'_>) {
        if self.following[stream] {
            books.accounts[stream].add_gap(gap);
        }
    }

    /// Puts a text into the buffer.
    pub(super) fn say(&mut self, text: Outgoing, books: &mut Books<'_>) {
        if let State::Open = self.state {
            self.waiting_bytes += text.len();
            self.waiting.push_back(text);
            self.make_room(books);
        }
    }

    /// Drops the oldest messages until the buffer keeps its bound. The newest stays, however small the buffer: a
    /// client that keeps up is never refused.
    fn make_room(&mut self, books: &mut Books<'_>) {
        while self.waiting_bytes > books.buffer_bytes_max && self.waiting.len() > 1 && self.drop_oldest(books) {}
    }

    /// Drops the oldest message that may be dropped; false when there is none.
    fn drop_oldest(&mut self, books: &mut Books<'_>) -> bool {
        let place = self.waiting.iter().position(|message| !matches!(message, Outgoing::Hello(_)));
        let Some(message) = place.and_then(|place| self.waiting.remove(place)) else { return false };
        self.waiting_bytes -= message.len();
        if let Outgoing::Block(block) = message {
            books.accounts[block.stream].lost.add(Cause::ClientSlow, block.n_frames);
        }
        *books.dropped_messages += 1;
        true
    }

    /// Hands over as much as the kernel takes.
    pub(super) fn pump(&mut self, books: &mut Books<'_>) -> Result<(), Gone> {
        loop {
            match self.socket.flush() {
                Ok(()) => {}
                // Everything was written, the answer to its goodbye last.
                Err(Error::ConnectionClosed) => self.part(),
                Err(error) if would_block(&error) => {
                    self.behind_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(_) => return Err(Gone),
            }
            if let Some(Outgoing::Block(block)) = self.in_flight.take() {
                books.accounts[block.stream].delivered += block.n_frames;
                *books.sent_bytes += block.bytes.len() as u64;
                (books.handed_over)(block.stream, block.edge_ns);
            }
            if let State::Closing(_) = self.state {
                // Nothing follows a close frame; what waits is lost when the client is buried. One that cannot answer
                // it, or does not care to, sees the end of the connection.
                if self.socket.get_ref().shutdown(Shutdown::Write).is_err() {
                    return Err(Gone);
                }
                return Ok(());
            }
            let Some(next) = self.waiting.pop_front() else {
                self.behind_since = None;
                return Ok(());
            };
            self.send(next)?;
        }
    }

    fn send(&mut self, next: Outgoing) -> Result<(), Gone> {
        self.waiting_bytes -= next.len();
        let message = match &next {
            Outgoing::Hello(text) | Outgoing::Marker(text) => Message::text(text.clone()),
            Outgoing::Block(block) => {
                let sent_to = self.sent_to[block.stream].replace(block.first_frame + block.n_frames);
                let missing = sent_to.map_or(0, |sent_to| block.first_frame - sent_to);
                let bytes = if missing == block.missing {
                    block.bytes.clone()
                } else {
                    wire::with_missing(&block.bytes, missing)
                };
                Message::Binary(bytes)
            }
        };
        self.in_flight = Some(next);
        match self.socket.write(message) {
            Ok(()) => Ok(()),
            // It is in the socket's own buffer: the next flush goes on with it.
            Err(error) if would_block(&error) => Ok(()),
            Err(_) => Err(Gone),
        }
    }

    /// Reads whatever the client says: answers to pings and its goodbye. Other messages mean nothing here. True when
    /// there may be more, which has to wait until others had their turn.
    pub(super) fn listen(&mut self) -> Result<bool, Gone> {
        for _ in 0..READS_MAX {
            if self.deaf {
                match self.socket.get_mut().read(&mut [0; 4096]) {
                    Ok(0) => return Err(Gone),
                    Ok(_) => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    Err(_) => return Err(Gone),
                }
            }
            match self.socket.read() {
                Ok(_) => self.heard = Instant::now(),
                Err(error) if would_block(&error) => return Ok(false),
                Err(Error::ConnectionClosed) => self.part(),
                Err(Error::Capacity(_)) => {
                    self.deaf = true;
                    self.close(CloseCode::Size, "messages to this server are at most 16 KiB");
                }
                Err(Error::Utf8(_)) => {
                    self.deaf = true;
                    self.close(CloseCode::Invalid, "texts must be UTF-8");
                }
                Err(Error::Protocol(_)) => {
                    self.deaf = true;
                    self.close(CloseCode::Protocol, "not a WebSocket frame");
                }
                Err(_) => return Err(Gone),
            }
        }
        Ok(true)
    }

    /// What time alone decides: asks for a sign of life, tells a slow client, drops one whose time is up.
    pub(super) fn look(&mut self, now: Instant, books: &mut Books<'_>) -> Result<(), Gone> {
        match self.state {
            State::Closing(until) => return if now >= until { Err(Gone) } else { Ok(()) },
            State::Open => {}
        }
        if self.behind_since.is_some_and(|since| now.duration_since(since) >= SLOW) {
            self.abandon_waiting(books);
            self.close(CloseCode::Again, "too slow: the buffer was never empty for 10 s");
            return Ok(());
        }
        if now.duration_since(self.heard) >= 3 * PING {
            return Err(Gone);
        }
        if now.duration_since(self.asked) >= PING {
            self.asked = now;
            // Where the buffer of the socket is full the client is behind, and will be told so.
            drop(self.socket.write(Message::Ping(Bytes::new())));
        }
        Ok(())
    }

    /// Sends a close frame after what is in flight; the client has half a minute to take it.
    pub(super) fn close(&mut self, code: CloseCode, reason: &'static str) {
        if let State::Closing(_) = self.state {
            return;
        }
        self.state = State::Closing(Instant::now() + GOODBYE);
        // An error here shows again at the next flush, which ends the client.
        drop(self.socket.close(Some(CloseFrame { code, reason: reason.into() })));
    }

    /// It said goodbye and was answered; nothing that it says now matters.
    fn part(&mut self) {
        self.deaf = true;
        if let State::Open = self.state {
            self.state = State::Closing(Instant::now() + LINGER);
        }
    }

    /// Whether everything offered was handed over.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }

    /// What waits will never be sent.
    pub(super) fn abandon_waiting(&mut self, books: &mut Books<'_>) {
        while self.drop_oldest(books) {}
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// The client is gone: what was queued or half sent is lost to it.
    pub(super) fn bury(&mut self, books: &mut Books<'_>) {
        self.abandon_waiting(books);
        if let Some(Outgoing::Block(block)) = self.in_flight.take() {
            books.accounts[block.stream].lost.add(Cause::ClientSlow, block.n_frames);
        }
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}
