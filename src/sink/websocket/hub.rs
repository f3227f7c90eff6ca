//! All clients in one poller: takes blocks in, gives them out, and never waits for one of them.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::Value;
use tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Books, Client, Gone, Outgoing, OutgoingBlock};
use super::door::{Door, Newcomer};
use super::{Feed, Feeds, hello, wire};
use crate::block::{Account, Tally};
use crate::sink::{LiveBlock, LiveSink, Traffic};

const WAKER: Token = Token(0);

const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The send buffer that the kernel keeps for a client. A small one shows a slow client at once; the default of
/// megabytes would hide seconds.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How often clients are looked at even when nothing happens.
const LOOK: Duration = Duration::from_millis(500);

/// How long the goodbye at the end may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the hub is told at start.
pub struct HubSettings {
    /// The streams, in the order of their numbers.
    pub feeds: Feeds,
    /// `session`, `version` and `source`, as they go into every `hello`.
    pub session: Value,
    /// Most clients at a time.
    pub clients_max: usize,
    /// Most bytes that wait for one client.
    pub buffer_bytes_max: usize,
    /// Called with the stream's number and the block's edge (monotonic ns) when a message was handed to the kernel.
    pub handed_over: Box<dyn Fn(usize, u64) + Send>,
}

/// The clients, and what they are owed.
pub struct Hub {
    poll: Poll,
    events: Events,
    door: Door,
    settings: HubSettings,
    /// The streams as the blocks that come have them; a reload shows here with its first block.
    feeds: Vec<Feed>,
    clients: HashMap<Token, Client>,
    next_token: usize,
    next_frames: Vec<u64>,
    accounts: Vec<Account>,
    sent_bytes: u64,
    dropped_messages: u64,
    next_look: Instant,
}

/// Splits the hub into its clients and the books that they write into.
macro_rules! books {
    ($hub:ident) => {
        Books {
            accounts: &mut $hub.accounts,
            sent_bytes: &mut $hub.sent_bytes,
            dropped_messages: &mut $hub.dropped_messages,
            handed_over: &*$hub.settings.handed_over,
            buffer_bytes_max: $hub.door.buffer_bytes_max(),
        }
    };
}

impl Hub {
    /// Makes the poller and the door.
    ///
    /// # Errors
    /// When the system gives no more pollers.
    pub fn new(settings: HubSettings) -> io::Result<Hub> {
        let poll = Poll::new()?;
        let door = Door::new(Waker::new(poll.registry(), WAKER)?, settings.clients_max, settings.buffer_bytes_max);
        let feeds = settings.feeds.now().to_vec();
        Ok(Hub {
            poll,
            events: Events::with_capacity(256),
            door,
            clients: HashMap::new(),
            next_token: WAKER.0 + 1,
            next_frames: vec![0; feeds.len()],
            accounts: vec![Account::default(); feeds.len()],
            feeds,
            sent_bytes: 0,
            dropped_messages: 0,
            next_look: Instant::now() + LOOK,
            settings,
        })
    }

    /// The way in, for other threads.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    fn take_in(&mut self, newcomer: Newcomer) {
        let Newcomer { socket, early, subscription, seat } = newcomer;
        if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES) {
            tracing::warn!("a client's send buffer keeps its size: {error}");
        }
        let hello = hello::hello(&self.settings.session, &self.feeds, &subscription, &self.next_frames);
        let socket = mio::net::TcpStream::from_std(socket);
        let mut client = Client::new(socket, early, subscription, self.feeds.len(), seat);
        client.say(Outgoing::Hello(hello), &mut books!(self));
        let token = Token(self.next_token);
        self.next_token += 1;
        if let Err(error) = self.poll.registry().register(client.socket_mut(), token, INTEREST) {
            tracing::warn!("a client cannot be watched and is refused: {error}");
            return;
        }
        self.clients.insert(token, client);
        self.serve(token);
    }

    /// Reads from and writes to one client; buries it when it is gone.
    fn serve(&mut self, token: Token) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let mut books = books!(self);
        let outcome = client.listen().and_then(|more| client.pump(&mut books).map(|()| more));
        // Registered anew, a socket that is ready is reported again.
        let again = |client: &mut Client| self.poll.registry().reregister(client.socket_mut(), token, INTEREST);
        let stays = match outcome {
            Ok(more) => !more || again(client).is_ok(),
            Err(Gone) => false,
        };
        if !stays {
            client.bury(&mut books);
            self.clients.remove(&token);
        }
    }

    fn look_at_all(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK;
        let mut books = books!(self);
        self.clients.retain(|_, client| {
            let stays = client.look(now, &mut books).and_then(|()| client.pump(&mut books)).is_ok();
            if !stays {
                client.bury(&mut books);
            }
            stays
        });
    }

    /// Passes on the markers that came since the last time, to everyone.
    fn pass_markers(&mut self) {
        while let Some(marker) = self.door.next_marker() {
            let text = hello::marker(&marker);
            let mut books = books!(self);
            self.clients.retain(|_, client| {
                client.say(Outgoing::Marker(text.clone()), &mut books);
                let stays = client.pump(&mut books).is_ok();
                if !stays {
                    client.bury(&mut books);
                }
                stays
            });
        }
    }

    fn poll(&mut self, timeout: Duration) {
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout)) {
            if error.kind() != io::ErrorKind::Interrupted {
                tracing::error!("the websocket poller fails: {error}");
            }
            return;
        }
        let tokens: Vec<Token> =
            self.events.iter().map(mio::event::Event::token).filter(|token| *token != WAKER).collect();
        for token in tokens {
            self.serve(token);
        }
    }
}

impl LiveSink for Hub {
    fn offer(&mut self, stream: usize, block: &LiveBlock, gap: &Tally) {
        self.next_frames[stream] = block.head.next_frame();
        let feed = &self.feeds[stream];
        // Most clients want the same channels: each choice is encoded once, by the first client that has it.
        let mut encoded: Vec<(Option<Vec<usize>>, OutgoingBlock)> = Vec::new();
        let mut books = books!(self);
        self.clients.retain(|_, client| {
            let Some(selection) = client.subscription.selections.iter().find(|selection| selection.feed == stream)
            else {
                return true;
            };
            let outgoing = match encoded.iter().find(|(channels, _)| *channels == selection.channels) {
                Some((_, outgoing)) => outgoing.clone(),
                None => {
                    let missing = gap.total();
                    let outgoing = OutgoingBlock {
                        stream,
                        first_frame: block.first_of_all(),
                        n_frames: block.head.n_frames as u64,
                        edge_ns: block.head.edge_ns,
                        missing,
                        bytes: wire::encode(feed, block, selection.channels.as_deref(), missing),
                    };
                    encoded.push((selection.channels.clone(), outgoing.clone()));
                    outgoing
                }
            };
            client.offer(outgoing, gap, &mut books);
            let stays = client.pump(&mut books).is_ok();
            if !stays {
                client.bury(&mut books);
            }
            stays
        });
    }

    fn reshaped(&mut self, stream: usize, first_frame: u64) {
        self.next_frames[stream] = first_frame;
        let Some(feed) = self.settings.feeds.now().get(stream).cloned() else { return };
        self.feeds[stream] = feed;
        let mut books = books!(self);
        for client in self.clients.values_mut() {
            if client.subscription.selections.iter().any(|selection| selection.feed == stream) {
                let hello = hello::hello(&self.settings.session, &self.feeds, &client.subscription, &self.next_frames);
                client.say(Outgoing::Hello(hello), &mut books);
            }
        }
    }

    fn ended(&mut self, stream: usize, gap: &Tally) {
        let mut books = books!(self);
        for client in self.clients.values_mut() {
            client.ended(stream, gap, &mut books);
        }
    }

    fn wait(&mut self) {
        self.poll(LOOK);
        while let Some(newcomer) = self.door.next_newcomer() {
            self.take_in(newcomer);
        }
        self.pass_markers();
        self.look_at_all();
    }

    fn finish(&mut self) {
        // Those that came with the last block.
        self.pass_markers();
        let deadline = Instant::now() + FAREWELL;
        while !self.clients.is_empty() && Instant::now() < deadline {
            let mut books = books!(self);
            self.clients.retain(|_, client| {
                if client.is_idle() {
                    client.close(CloseCode::Away, "the daemon stops");
                }
                let stays = client.listen().and_then(|_| client.pump(&mut books)).is_ok();
                if !stays {
                    client.bury(&mut books);
                }
                stays
            });
            self.poll(Duration::from_millis(50));
        }
        let mut books = books!(self);
        for (_, mut client) in self.clients.drain() {
            client.bury(&mut books);
        }
    }

    fn account(&self, stream: usize) -> Account {
        self.accounts[stream]
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            clients: self.clients.len(),
            sent_bytes: self.sent_bytes,
            dropped_messages: self.dropped_messages + self.door.markers_displaced(),
        }
    }
}
