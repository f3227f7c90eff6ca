//! The least that a road of this shape can be: a thread that waits for an instant, one futex hop, one waker hop, one
//! socket write of a message of the same size. Same cores, same priorities, same pace.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use biosigd::rt::{self, Stop};
use mio::{Events, Poll, Token, Waker};

/// 40 frames at 4 kHz.
const BLOCK_NS: u64 = 10_000_000;

/// A header and 40 frames of 32 samples, as a WebSocket message: 4 bytes before it.
const MESSAGE_BYTES: usize = 4 + 32 + 40 * 32 * 4;

/// Relays for `turn`; returns each message's latency from its instant to the end of its write, in nanoseconds.
pub(crate) fn measure(turn: Duration) -> Vec<u64> {
    // The instant of the message on its way, 0 for none; the bells order it, `SeqCst` keeps it simple.
    let (first, second) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let mut poll = Poll::new().unwrap_or_else(|error| panic!("{error}"));
    let waker = Waker::new(poll.registry(), Token(0)).unwrap_or_else(|error| panic!("{error}"));
    let (client, mut server) = super::socket_pair();
    let reader = super::drain(client);
    let (from, to) = rt::choose_cores(&rt::Cores::of_this_machine(), None, None);

    let (ended, edge) = (Arc::clone(&over), Arc::clone(&second));
    let writer = super::cost::spawn("writer", None, None, move || {
        let (mut latencies, mut events, message) =
            (Vec::with_capacity(4096), Events::with_capacity(8), vec![0; MESSAGE_BYTES]);
        while !ended.load(Ordering::SeqCst) {
            poll.poll(&mut events, Some(Duration::from_millis(500))).unwrap_or_else(|error| panic!("{error}"));
            let edge_ns = edge.swap(0, Ordering::SeqCst);
            if edge_ns != 0 {
                server.write_all(&message).unwrap_or_else(|error| panic!("{error}"));
                latencies.push(rt::now_ns() - edge_ns);
            }
        }
        latencies
    });
    let (ended, given, taken) = (Arc::clone(&over), Arc::clone(&second), Arc::clone(&first));
    let middle = super::cost::spawn("relay", Some(to), Some(70), move || {
        while !ended.load(Ordering::SeqCst) {
            match taken.swap(0, Ordering::SeqCst) {
                0 => thread::park_timeout(Duration::from_millis(500)),
                edge_ns => {
                    given.store(edge_ns, Ordering::SeqCst);
                    waker.wake().unwrap_or_else(|error| panic!("{error}"));
                }
            }
        }
    });
    let relay = middle.thread().clone();
    let origin = super::cost::spawn("origin", Some(from), Some(80), move || {
        let stop = Stop::default();
        stop.wake_me();
        let start_ns = rt::now_ns();
        let mut edge_ns = start_ns + BLOCK_NS;
        while u128::from(edge_ns - start_ns) < turn.as_nanos() {
            stop.wait_until(edge_ns);
            first.store(edge_ns, Ordering::SeqCst);
            relay.unpark();
            edge_ns += BLOCK_NS;
        }
    });
    super::cost::watch_turn();
    origin.join().unwrap_or_else(|_| panic!("the origin panicked"));
    over.store(true, Ordering::SeqCst);
    middle.join().unwrap_or_else(|_| panic!("the relay panicked"));
    let latencies = writer.join().unwrap_or_else(|_| panic!("the writer panicked"));
    reader.join().unwrap_or_else(|_| panic!("the client panicked"));
    latencies
}
