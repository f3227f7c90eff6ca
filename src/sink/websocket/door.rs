//! Where upgraded connections come in: the only thing that the HTTP side and other threads see of the live stream.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    waker: Arc<Waker>,
    seats: Arc<Seats>,
}

/// How many clients there are and can be.
#[derive(Debug)]
struct Seats {
    /// Taken by the HTTP side, given back by the hub's thread. `SeqCst`: it is touched once per connection, and the
    /// limit must hold whatever the order.
    taken: AtomicUsize,
    max: usize,
}

/// The right to be one of `clients_max`; given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Markers that wait for the hub; older ones are displaced.
const MARKERS_MAX: usize = 256;

impl Door {
    pub(super) fn new(waker: Waker, clients_max: usize) -> Door {
        Door {
            newcomers: Arc::new(ArrayQueue::new(clients_max.max(1))),
            markers: Arc::new(ArrayQueue::new(MARKERS_MAX)),
            waker: Arc::new(waker),
            seats: Arc::new(Seats { taken: AtomicUsize::new(0), max: clients_max }),
        }
    }

    /// A seat, while there is one.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        let seats = &self.seats;
        seats
            .taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < seats.max).then_some(taken + 1))
            .is_ok()
            .then(|| Seat(Arc::clone(seats)))
    }

    /// How many clients there can be.
    #[must_use]
    pub fn clients_max(&self) -> usize {
        self.seats.max
    }

    /// Hands a client over. There is room: the queue has a place for every seat.
    pub fn admit(&self, newcomer: Newcomer) {
        drop(self.newcomers.push(newcomer));
        self.ring();
    }

    /// Passes an event on to all clients; the oldest waiting one is displaced when there are too many.
    pub fn marker(&self, marker: Marker) {
        drop(self.markers.force_push(marker));
        self.ring();
    }

    /// Wakes the hub's thread.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn ring(&self) {
        // The write to an eventfd can only be refused when its count is at its end, and then the hub is awake.
        drop(self.waker.wake());
    }

    pub(super) fn next_newcomer(&self) -> Option<Newcomer> {
        self.newcomers.pop()
    }

    pub(super) fn next_marker(&self) -> Option<Marker> {
        self.markers.pop()
    }
}
