//! A bounded queue between two threads, with its policy for when it is full.
//!
//! The policy belongs to the link: sources and sinks cannot see it. Waiting for room is allowed only as long as the
//! source can be kept waiting; waiting for a block is parking, never polling.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use prometheus::{IntCounter, IntGauge};

use crate::block::End;
use crate::metrics::Metrics;
use crate::rt::now_ns;
use crate::source::Slack;

/// How many blocks every link of the road holds. At `block_frames = "auto"` that is 40 ms.
pub const LINK_BLOCKS: usize = 4;

/// A bound for waits that have none of their own: a wake-up lost to a mistake of ours costs a second, not the run.
const RECHECK: Duration = Duration::from_secs(1);

/// What a full link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Waits within the source's slack, then refuses the new block: this consumer alone has a gap there, and what it
    /// was given before stays in order and complete.
    DropNewest,
    /// Displaces the oldest block: the consumer sees the newest signal, and a gap before it.
    DropOldest,
}

/// Rings when there is something in the link.
pub enum Bell {
    /// Unparks the consumer's thread, which names itself with [`Receiver::attach`].
    Thread,
    /// Calls this; for a consumer that waits in a poller.
    Call(Box<dyn Fn() + Send + Sync>),
}

/// For live streams, which displace their oldest block and never make anyone wait.
pub(super) fn no_slack() -> Slack {
    Slack::For(Duration::ZERO)
}

struct Shared<T> {
    queue: ArrayQueue<T>,
    bell: Bell,
    consumer: OnceLock<Thread>,
    producer: OnceLock<Thread>,
    /// Set by the producer before it looks at the queue once more and parks; taken by the consumer after it made
    /// room. `SeqCst` on both sides: either the producer's second look sees the room, or the consumer sees the flag.
    producer_waits: AtomicBool,
    /// Set by a consumer that takes no more (its recording ended on an error); read by the producer, which then
    /// does not wait. `Relaxed`: seeing it one block later costs one wait.
    abandoned: AtomicBool,
    /// Set by the producer after its last push; read by the consumer before the pop that finds the queue empty.
    end: OnceLock<End>,
    overruns: IntCounter,
    depth: IntGauge,
}

/// The producer's end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    when_full: WhenFull,
}

/// The consumer's end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// What a look into the link brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Popped<T> {
    /// The oldest block.
    Block(T),
    /// Nothing yet.
    Empty,
    /// Nothing, and nothing will come.
    Ended(End),
}

/// Makes a link of [`LINK_BLOCKS`] blocks whose metrics carry `name`.
pub fn link<T>(name: &str, when_full: WhenFull, bell: Bell, metrics: &Metrics) -> (Sender<T>, Receiver<T>) {
    metrics.link_capacity.with_label_values(&[name]).set(LINK_BLOCKS as i64);
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(LINK_BLOCKS),
        bell,
        consumer: OnceLock::new(),
        producer: OnceLock::new(),
        producer_waits: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        end: OnceLock::new(),
        overruns: metrics.overruns.with_label_values(&[name]),
        depth: metrics.link_depth.with_label_values(&[name]),
    });
    (Sender { shared: Arc::clone(&shared), when_full }, Receiver { shared })
}

impl<T> Sender<T> {
    /// Names the calling thread as the producer. Called once, before the road starts.
    pub fn attach(&self) {
        self.shared.producer.get_or_init(thread::current);
    }

    /// Passes a block on. When the link is full its policy decides; a lost block is counted, and the consumer finds
    /// the gap by its index. `slack` says how long the source can wait from now on.
    ///
    /// Real time: no allocation, no locks, no logging; waits only within the slack.
    pub fn send(&self, block: T, slack: &dyn Fn() -> Slack) {
        match self.when_full {
            WhenFull::DropNewest => {
                if self.send_within(block, slack).is_err() {
                    self.shared.overruns.inc();
                }
            }
            WhenFull::DropOldest => {
                if self.shared.queue.force_push(block).is_some() {
                    self.shared.overruns.inc();
                }
            }
        }
        self.shared.depth.set(self.shared.queue.len() as i64);
        self.ring();
    }

    fn send_within(&self, block: T, slack: &dyn Fn() -> Slack) -> Result<(), T> {
        let mut block = match self.shared.queue.push(block) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let mut deadline_ns = None;
        loop {
            if self.shared.abandoned.load(Ordering::Relaxed) {
                return Err(block);
            }
            self.shared.producer_waits.store(true, Ordering::SeqCst);
            block = match self.shared.queue.push(block) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let remaining = match slack() {
                Slack::Forever => RECHECK,
                Slack::For(most) => {
                    let now = now_ns();
                    let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
                    let end_ns = *deadline_ns.get_or_insert(now.saturating_add(nanoseconds));
                    Duration::from_nanos(end_ns.saturating_sub(now))
                }
            };
            if remaining.is_zero() {
                return Err(block);
            }
            thread::park_timeout(remaining.min(RECHECK));
        }
    }

    /// Says that there will be no more, and where the stream ended.
    pub fn close(self, end: End) {
        self.shared.end.get_or_init(|| end);
    }

    fn ring(&self) {
        match &self.shared.bell {
            Bell::Thread => {
                if let Some(consumer) = self.shared.consumer.get() {
                    consumer.unpark();
                }
            }
            Bell::Call(ring) => ring(),
        }
    }
}

impl<T> Drop for Sender<T> {
    /// A producer that died without closing must not leave its consumer waiting.
    fn drop(&mut self) {
        self.shared.end.get_or_init(End::default);
        self.ring();
    }
}

impl<T> Receiver<T> {
    /// Names the calling thread as the consumer. Called once, before the road starts.
    pub fn attach(&self) {
        self.shared.consumer.get_or_init(thread::current);
    }

    /// Takes the oldest block, and wakes a producer that waits for room.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn pop(&self) -> Popped<T> {
        // The end is read before the queue: a block pushed before the end is then always found first.
        let end = self.shared.end.get().copied();
        let popped = self.shared.queue.pop();
        if self.shared.producer_waits.swap(false, Ordering::SeqCst) {
            if let Some(producer) = self.shared.producer.get() {
                producer.unpark();
            }
        }
        match (popped, end) {
            (Some(block), _) => {
                self.shared.depth.set(self.shared.queue.len() as i64);
                Popped::Block(block)
            }
            (None, Some(end)) => Popped::Ended(end),
            (None, None) => Popped::Empty,
        }
    }

    /// Parks until the bell rings, at most a second.
    pub fn wait(&self) {
        thread::park_timeout(RECHECK);
    }

    /// Says that this consumer takes no more: the producer must not wait for it from now on.
    pub fn abandon(&self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
    }
}

impl<T> Drop for Receiver<T> {
    /// A consumer that died must not keep its producer waiting, which a source with endless slack would do for ever.
    fn drop(&mut self) {
        self.abandon();
        if let Some(producer) = self.shared.producer.get() {
            producer.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forever() -> Slack {
        Slack::Forever
    }

    fn none() -> Slack {
        Slack::For(Duration::ZERO)
    }

    #[test]
    fn drop_newest_refuses_exactly_what_does_not_fit() {
        let metrics = Metrics::new("test").unwrap();
        let (sender, receiver) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
        for block in 0..10 {
            sender.send(block, &none);
        }
        assert_eq!(metrics.overruns.with_label_values(&["recorder"]).get(), 6);
        sender.close(End { next_frame: 10, ..End::default() });
        let mut got = Vec::new();
        while let Popped::Block(block) = receiver.pop() {
            got.push(block);
        }
        assert_eq!(got, [0, 1, 2, 3]);
        assert_eq!(receiver.pop(), Popped::Ended(End { next_frame: 10, ..End::default() }));
    }

    #[test]
    fn drop_oldest_keeps_the_newest() {
        let metrics = Metrics::new("test").unwrap();
        let (sender, receiver) = link("websocket.live", WhenFull::DropOldest, Bell::Thread, &metrics);
        for block in 0..10 {
            sender.send(block, &forever);
        }
        assert_eq!(metrics.overruns.with_label_values(&["websocket.live"]).get(), 6);
        assert_eq!(receiver.pop(), Popped::Block(6));
    }

    #[test]
    fn a_recording_waits_for_room_and_loses_nothing() {
        let metrics = Metrics::new("test").unwrap();
        let (sender, receiver) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
        let consumer = thread::spawn(move || {
            receiver.attach();
            let mut got = 0_u64;
            loop {
                match receiver.pop() {
                    Popped::Block(block) => {
                        assert_eq!(block, got);
                        got += 1;
                    }
                    Popped::Empty => receiver.wait(),
                    Popped::Ended(_) => return got,
                }
            }
        });
        sender.attach();
        for block in 0..100_000_u64 {
            sender.send(block, &forever);
        }
        sender.close(End::default());
        assert_eq!(consumer.join().unwrap(), 100_000);
        assert_eq!(metrics.overruns.with_label_values(&["process"]).get(), 0);
    }

    #[test]
    fn nobody_waits_for_a_consumer_that_died() {
        let metrics = Metrics::new("test").unwrap();
        let (sender, receiver) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
        drop(receiver);
        for block in 0..5 {
            sender.send(block, &forever);
        }
        assert_eq!(metrics.overruns.with_label_values(&["process"]).get(), 1);
    }

    #[test]
    fn nobody_waits_for_a_consumer_that_takes_no_more() {
        let metrics = Metrics::new("test").unwrap();
        let (sender, receiver) = link("recorder", WhenFull::DropNewest, Bell::Thread, &metrics);
        receiver.abandon();
        for block in 0..5 {
            sender.send(block, &forever);
        }
        assert_eq!(metrics.overruns.with_label_values(&["recorder"]).get(), 1);
    }
}
