//! One connection on its way from the first byte to the answer. It has five seconds for its head and ten for taking
//! the answer, whatever it does.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::answer::Answer;
use super::body::BODY_BYTES_MAX;
use super::files::Wanted;
use super::routes::{HEAD_BYTES_MAX, Routed, route};
use super::{Context, recording};
use crate::pipeline::Ticket;
use crate::sink::websocket::Newcomer;

/// How long a head may take, with the body of one that posts.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long an answer may take to be read.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long a client that still sends is listened to after the answer: closing at once would reset the connection
/// and take the answer with it (RFC 9112, section 9.6).
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Reads and writes in one turn: a client that sends without end would otherwise have the thread for itself.
const STEPS_MAX: usize = 32;

enum State {
    Head(Vec<u8>),
    /// The recorder will answer.
    Waits {
        ticket: Ticket,
        path: &'static str,
    },
    Answer {
        bytes: Vec<u8>,
        sent: usize,
    },
    Linger,
}

/// What becomes of a connection after it was served.
pub(super) enum Outcome {
    /// It waits for its socket.
    Stays,
    /// It could go on at once, but others come first.
    Yields,
    /// It is done with.
    Over,
    /// It goes to a thread of its own.
    Away(Wanted),
    /// It goes to the live stream.
    Upgrades(Upgrade),
}

/// A connection that has asked for the stream.
pub(super) struct Upgrade {
    pub(super) greeting: Vec<u8>,
    pub(super) early: Vec<u8>,
    pub(super) subscription: crate::sink::websocket::Subscription,
}

pub(super) struct Connection {
    pub(super) socket: TcpStream,
    state: State,
    pub(super) deadline: Instant,
}

impl Connection {
    pub(super) fn new(socket: TcpStream) -> Connection {
        Connection { socket, state: State::Head(Vec::new()), deadline: Instant::now() + HEAD_TIME }
    }

    /// Whether it has not yet said what it wants.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Whether it waits for the recorder.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, State::Waits { .. })
    }

    /// Its time is up. True when there is still something to say: that its head took too long, or the recorder.
    pub(super) fn expire(&mut self) -> bool {
        match &self.state {
            State::Head(head) if !head.is_empty() => {
                let bytes =
                    Answer::refuse("408 Request Timeout", "the head was not whole within 5 s").into_bytes(false);
                self.state = State::Answer { bytes, sent: 0 };
                self.deadline = Instant::now() + ANSWER_TIME;
                true
            }
            State::Waits { path, .. } => {
                self.state = State::Answer { bytes: recording::late(path).into_bytes(false), sent: 0 };
                self.deadline = Instant::now() + ANSWER_TIME;
                true
            }
            _ => false,
        }
    }

    /// Goes on as far as the socket allows, and no further than its turn.
    pub(super) fn serve(&mut self, context: &Context) -> Outcome {
        for _ in 0..STEPS_MAX {
            let step = match &mut self.state {
                State::Head(head) => match read_head(&mut self.socket, head, context) {
                    Ok(Routed::Partial) => return Outcome::Over,
                    Ok(Routed::Answer(bytes)) => Ok(Some((State::Answer { bytes, sent: 0 }, ANSWER_TIME))),
                    Ok(Routed::Away(wanted)) => return Outcome::Away(wanted),
                    Ok(Routed::Waits { ticket, path }) => Ok(Some((State::Waits { ticket, path }, context.stop_most))),
                    Ok(Routed::Upgrade { greeting, head_bytes, subscription }) => {
                        return Outcome::Upgrades(Upgrade {
                            greeting,
                            early: head.split_off(head_bytes),
                            subscription,
                        });
                    }
                    Err(error) => Err(error),
                },
                State::Waits { ticket, .. } => {
                    let Some(verdict) = ticket.take() else { return Outcome::Stays };
                    let bytes = recording::verdict(verdict).into_bytes(false);
                    Ok(Some((State::Answer { bytes, sent: 0 }, ANSWER_TIME)))
                }
                State::Answer { bytes, sent } => match self.socket.write(&bytes[*sent..]) {
                    Ok(0) => return Outcome::Over,
                    Ok(n) if *sent + n == bytes.len() => match self.socket.shutdown(Shutdown::Write) {
                        Ok(()) => Ok(Some((State::Linger, LINGER_TIME))),
                        Err(error) => Err(error),
                    },
                    Ok(n) => {
                        *sent += n;
                        Ok(None)
                    }
                    Err(error) => Err(error),
                },
                State::Linger => match self.socket.read(&mut [0; 4096]) {
                    Ok(0) => return Outcome::Over,
                    Ok(_) => Ok(None),
                    Err(error) => Err(error),
                },
            };
            match step {
                Ok(Some((state, time))) => {
                    self.state = state;
                    self.deadline = Instant::now() + time;
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Outcome::Stays,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The client went away: there is nobody to tell.
                Err(_) => return Outcome::Over,
            }
        }
        Outcome::Yields
    }
}

/// Reads until the head, and the body that belongs to it, can be answered. `Partial` means that the client closed before.
fn read_head(socket: &mut TcpStream, head: &mut Vec<u8>, context: &Context) -> io::Result<Routed> {
    let mut some = [0; 2048];
    // A socket without a peer is one that was closed: whom the answer would have counted for is no matter.
    let peer = socket.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |address| address.ip());
    loop {
        let room = (HEAD_BYTES_MAX + BODY_BYTES_MAX - head.len()).min(some.len());
        let n = socket.read(&mut some[..room])?;
        if n == 0 {
            return Ok(Routed::Partial);
        }
        head.extend_from_slice(&some[..n]);
        match route(head, peer, context) {
            Routed::Partial => {}
            routed => return Ok(routed),
        }
    }
}

/// Greets a client of the stream and hands it over; `None` when there is no seat, with the answer that says so.
pub(super) fn greet(socket: TcpStream, upgrade: Upgrade, context: &Context) -> Result<(), TcpStream> {
    let Some(seat) = context.door.seat() else { return Err(socket) };
    let mut socket = std::net::TcpStream::from(socket);
    // A fresh connection has room for some hundred bytes; one that has not is broken.
    if socket.write(&upgrade.greeting).is_ok_and(|n| n == upgrade.greeting.len()) {
        context.door.admit(Newcomer { socket, early: upgrade.early, subscription: upgrade.subscription, seat });
    }
    Ok(())
}

impl Connection {
    /// The connection again, with an answer to send.
    pub(super) fn answering(socket: TcpStream, bytes: Vec<u8>) -> Connection {
        Connection { socket, state: State::Answer { bytes, sent: 0 }, deadline: Instant::now() + ANSWER_TIME }
    }
}
