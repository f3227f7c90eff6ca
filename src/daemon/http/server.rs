//! The `http` thread: accepts, and serves every connection as far as its socket allows.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::Errno;

use super::Context;
use super::answer::Answer;
use super::connection::{Connection, Outcome, greet};
use super::files;
use crate::daemon::Failure;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST: usize = 2;

/// Connections at a time. One more displaces the silent one that has waited longest.
const CONNECTIONS_MAX: usize = 512;

/// Deadlines are looked at this often.
const LOOK: Duration = Duration::from_millis(500);

/// Connections that are accepted in one turn. Clients that come again as fast as they are answered would otherwise keep the
/// thread from seeing that the ones before have gone, until there seem to be too many.
const ACCEPTS_MAX: usize = 64;

/// The running server.
pub(in crate::daemon) struct Server {
    thread: Option<JoinHandle<()>>,
    /// Set by `main` before it rings the waker, read by the thread after it woke; `SeqCst`, once per run.
    stopped: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

/// The port, taken but not yet answered at: whoever comes early waits in the kernel's queue.
pub(in crate::daemon) struct Port {
    listener: TcpListener,
    /// Where it is; tells the number where port 0 was asked for.
    pub(in crate::daemon) address: SocketAddr,
}

impl Port {
    /// Listens at `address`.
    pub(in crate::daemon) fn listen(address: SocketAddr) -> Result<Port, Failure> {
        let failure = |source| Failure::Port { address: address.to_string(), source };
        let listener = TcpListener::bind(address).map_err(failure)?;
        let address = listener.local_addr().map_err(failure)?;
        Ok(Port { listener, address })
    }
}

impl Server {
    /// Begins to answer at `port`.
    pub(in crate::daemon) fn start(context: Arc<Context>, port: Port) -> Result<Server, Failure> {
        let mut listener = port.listener;
        let system = |source| Failure::System { what: "the http thread cannot be made", source };
        let poll = Poll::new().map_err(system)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(system)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(system)?);
        if let Some(control) = &context.control {
            let waker = Arc::clone(&waker);
            // One that fails leaves the thread to its next look.
            control.ring_with(Box::new(move || drop(waker.wake())));
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            poll,
            listener,
            connections: HashMap::new(),
            next_token: FIRST,
            accept_again: false,
            accept_soon: false,
            context,
            stopped: Arc::clone(&stopped),
        };
        let thread = thread::Builder::new().name("http".to_owned()).stack_size(256 * 1024);
        let thread = thread.spawn(move || worker.run()).map_err(system)?;
        Ok(Server { thread: Some(thread), stopped, waker })
    }

    /// Ends the thread.
    pub(in crate::daemon) fn stop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A waker that fails leaves the thread to its next look, half a second later.
        drop(self.waker.wake());
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                tracing::error!("the http thread panicked");
            }
        }
    }
}

struct Worker {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    /// A connection could not be accepted, for want of descriptors as a rule. The poller tells of those who wait only
    /// once, so they are asked for at each look.
    accept_again: bool,
    /// More may wait than were accepted in the last turn.
    accept_soon: bool,
    context: Arc<Context>,
    stopped: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.stopped.load(Ordering::SeqCst) {
            let most = if std::mem::take(&mut self.accept_soon) { Duration::ZERO } else { LOOK };
            let goes_on = most.is_zero();
            if let Err(error) = self.poll.poll(&mut events, Some(most)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!("the http poller fails: {error}");
                    thread::park_timeout(LOOK);
                }
                self.accept_soon = goes_on;
                continue;
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.serve_waiting(),
                    token => self.serve(token),
                }
            }
            self.expire();
            self.serve_waiting();
            if self.accept_again || goes_on {
                self.accept();
            }
        }
    }

    /// Looks at those who wait for the recorder: it does not know which one it answered.
    fn serve_waiting(&mut self) {
        let waiting = self.connections.iter().filter(|(_, connection)| connection.waits());
        for token in waiting.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.serve(token);
        }
    }

    /// Ends the connections whose time is up.
    fn expire(&mut self) {
        let now = Instant::now();
        let due = self.connections.iter().filter(|(_, connection)| connection.deadline <= now);
        for token in due.map(|(token, _)| *token).collect::<Vec<_>>() {
            if self.connections.get_mut(&token).is_some_and(Connection::expire) {
                self.serve(token);
            } else {
                self.connections.remove(&token);
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    self.accept_again = false;
                    if self.connections.len() >= CONNECTIONS_MAX {
                        self.displace();
                    }
                    // Answers are small and final: nothing is gained by holding them back.
                    drop(socket.set_nodelay(true));
                    self.watch(Connection::new(socket));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accept_again = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors: a silent connection makes room, as where there are too many; without one
                    // the next look tries again.
                    let out = matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE));
                    if out && self.displace_silent() {
                        continue;
                    }
                    if !self.accept_again {
                        tracing::warn!("connections cannot be accepted for now: {error}");
                    }
                    self.accept_again = true;
                    return;
                }
            }
        }
        self.accept_soon = true;
    }

    /// Drops the silent connection that has waited longest; where all have asked, the one that is due first.
    fn displace(&mut self) {
        if !self.displace_silent() {
            let due = self.connections.iter().min_by_key(|(_, connection)| connection.deadline);
            if let Some(token) = due.map(|(token, _)| *token) {
                self.connections.remove(&token);
            }
        }
    }

    /// Drops the silent connection that has waited longest; false where there is none.
    fn displace_silent(&mut self) -> bool {
        let silent = self.connections.iter().filter(|(_, connection)| connection.is_silent());
        let oldest = silent.min_by_key(|(_, connection)| connection.deadline).map(|(token, _)| *token);
        oldest.is_some_and(|token| self.connections.remove(&token).is_some())
    }

    fn watch(&mut self, mut connection: Connection) {
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self.poll.registry().register(&mut connection.socket, token, interest) {
            Ok(()) => {
                self.connections.insert(token, connection);
                self.serve(token);
            }
            Err(error) => tracing::warn!("a connection cannot be watched: {error}"),
        }
    }

    fn serve(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.serve(&self.context) {
            Outcome::Stays => {}
            Outcome::Yields => {
                // Registered anew, a socket that is ready is reported again.
                let interest = Interest::READABLE | Interest::WRITABLE;
                if let Err(error) = self.poll.registry().reregister(&mut connection.socket, token, interest) {
                    tracing::warn!("a connection cannot be watched: {error}");
                    self.connections.remove(&token);
                }
            }
            Outcome::Over => drop(self.connections.remove(&token)),
            Outcome::Away(wanted) => {
                let Some(connection) = self.hand_over(token) else { return };
                if let Err((socket, answer)) = files::serve(connection.socket, wanted, &self.context) {
                    self.watch(Connection::answering(socket, answer.into_bytes(false)));
                }
            }
            Outcome::Upgrades(upgrade) => {
                let Some(connection) = self.hand_over(token) else { return };
                if let Err(socket) = greet(connection.socket, upgrade, &self.context) {
                    let why = format!("there are {} clients, the most allowed", self.context.door.clients_max());
                    let answer = Answer::refuse("503 Service Unavailable", &why).into_bytes(false);
                    self.watch(Connection::answering(socket, answer));
                }
            }
        }
    }

    /// Lets go of a connection that goes elsewhere.
    fn hand_over(&mut self, token: Token) -> Option<Connection> {
        let mut connection = self.connections.remove(&token)?;
        match self.poll.registry().deregister(&mut connection.socket) {
            Ok(()) => Some(connection),
            Err(error) => {
                tracing::warn!("a client cannot be handed over: {error}");
                None
            }
        }
    }
}
