//! Where upgraded connections come in: the only thing that the HTTP side and other threads see of the live stream.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use mio::Waker;

use super::Subscription;
use crate::block::Marker;

/// A client that has been greeted with 101 and waits to be taken in.
#[derive(Debug)]
pub struct Newcomer {
    /// Its socket.
    pub socket: TcpStream,
    /// Bytes that came after the request's head.
    pub early: Vec<u8>,
    /// What it wants.
    pub subscription: Subscription,
    /// Its seat.
    pub seat: Seat,
}

/// The way in, for other threads. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Door {
    newcomers: Arc<ArrayQueue<Newcomer>>,
    markers: Arc<ArrayQueue<Marker>>,
    /// Counted by whoever passes events on, read by the hub; `Relaxed`, it is a count by itself.
    markers_displaced: Arc<AtomicU64>,
    waker: Arc<Waker>,
    seats: Arc<Seats>,
    /// Most bytes that wait for one client. Written by `main`, read by the hub; `Relaxed`, it is a limit by itself.
    buffer_bytes_max: Arc<AtomicUsize>,
}

/// How many clients there are and can be.
#[derive(Debug)]
struct Seats {
    /// Taken by the HTTP side, given back by the hub's thread. `SeqCst`: it is touched once per connection, and the
    /// limit must hold whatever the order.
    taken: AtomicUsize,
    /// Written by `main` at a reload, read by the HTTP side; `SeqCst` as `taken`.
    max: AtomicUsize,
}

/// The right to be one of `clients_max`; given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The most that `clients_max` can be: a place for each in the queue of newcomers.
pub const CLIENTS_MAX: usize = 1024;

/// Markers that wait for the hub; older ones are displaced.
const MARKERS_MAX: usize = 256;

impl Door {
    pub(super) fn new(waker: Waker, clients_max: usize, buffer_bytes_max: usize) -> Door {
        Door {
            newcomers: Arc::new(ArrayQueue::new(CLIENTS_MAX)),
            markers: Arc::new(ArrayQueue::new(MARKERS_MAX)),
            markers_displaced: Arc::default(),
            waker: Arc::new(waker),
            seats: Arc::new(Seats { taken: AtomicUsize::new(0), max: AtomicUsize::new(clients_max) }),
            buffer_bytes_max: Arc::new(AtomicUsize::new(buffer_bytes_max)),
        }
    }

    /// A seat, while there is one.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        let seats = &self.seats;
        seats
            .taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < seats.max.load(Ordering::SeqCst)).then_some(taken + 1)
            })
            .is_ok()
            .then(|| Seat(Arc::clone(seats)))
    }

    /// How many clients there can be.
    #[must_use]
    pub fn clients_max(&self) -> usize {
        self.seats.max.load(Ordering::SeqCst)
    }

    /// Changes the limits. Clients that are there stay, also when they are more than allowed now.
    pub fn set_limits(&self, clients_max: usize, buffer_bytes_max: usize) {
        self.seats.max.store(clients_max, Ordering::SeqCst);
        self.buffer_bytes_max.store(buffer_bytes_max, Ordering::Relaxed);
    }

    pub(super) fn buffer_bytes_max(&self) -> usize {
        self.buffer_bytes_max.load(Ordering::Relaxed)
    }

    /// Hands a client over. There is room: the queue has a place for every seat.
    pub fn admit(&self, newcomer: Newcomer) {
        drop(self.newcomers.push(newcomer));
        self.ring();
    }

    /// Passes an event on to all clients; the oldest waiting one is displaced when there are too many.
    pub fn marker(&self, marker: Marker) {
        if self.markers.force_push(marker).is_some() {
            self.markers_displaced.fetch_add(1, Ordering::Relaxed);
        }
        self.ring();
    }

    /// Whether one more event displaces none.
    #[must_use]
    pub fn has_room_for_markers(&self) -> bool {
        !self.markers.is_full()
    }

    /// Wakes the hub's thread.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn ring(&self) {
        // The write to an eventfd can only be refused when its count is at its end, and then the hub is awake.
        drop(self.waker.wake());
    }

    /// Events that made room for newer ones before the hub took them.
    pub(super) fn markers_displaced(&self) -> u64 {
        self.markers_displaced.load(Ordering::Relaxed)
    }

    pub(super) fn next_newcomer(&self) -> Option<Newcomer> {
        self.newcomers.pop()
    }

    pub(super) fn next_marker(&self) -> Option<Marker> {
        self.markers.pop()
    }
}
