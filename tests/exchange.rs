//! New chains while the processing thread works: whatever `main` does or fails to do, the old ones are dropped by
//! `main`, and the thread neither allocates nor frees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/allocations.rs"]
mod allocations;
#[path = "common/stages.rs"]
mod stages;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use biosigd::block::{Block, End, Head, Pool, RawBlock, Stream, Tally};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{Bell, Chain, From, Ledger, Process, WhenFull, link};
use biosigd::source::Slack;
use biosigd::stage::{Stage, StageError};

const BLOCK_FRAMES: usize = 10;

/// The most that anything here may take.
const BOUND: Duration = Duration::from_secs(30);

/// Tells who drops it.
struct Witness {
    name: u32,
    dropped: Arc<Mutex<Vec<(u32, ThreadId)>>>,
}

impl Stage for Witness {
    fn prepare(&mut self, input: &Stream) -> Result<Stream, StageError> {
        Ok(input.clone())
    }

    fn process(&mut self, _: &mut Block) {}
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.dropped.lock().unwrap().push((self.name, thread::current().id()));
    }
}

/// Turns until `reached`, which nobody rings for.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !reached() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn old_chains_are_never_dropped_by_the_processing_thread() {
    let metrics = Metrics::new("test").unwrap();
    let stream = stages::stream(4, 1000.0, BLOCK_FRAMES);
    let dropped = Arc::new(Mutex::new(Vec::with_capacity(64)));
    let chains = |name| {
        let witness: Box<dyn Stage> = Box::new(Witness { name, dropped: Arc::clone(&dropped) });
        vec![Chain::prepare("live", From::Raw, &stream, vec![("witness".to_owned(), witness)], &metrics).unwrap()]
    };
    let (to_process, from_acquire) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let process = Process::new(&stream, from_acquire, None, chains(0), Arc::default(), &metrics);
    let (exchange, ledger) = (process.exchange(), Ledger::new(&metrics, "process"));
    let (number, numbers): (Sender<u32>, _) = channel();
    let thread = thread::spawn(move || {
        number.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
        process.run();
    });
    let number = numbers.recv_timeout(BOUND).expect("the thread begins");
    to_process.attach();
    let (mut pool, mut n_sent) = (Pool::new(16, || RawBlock::new(&stream, 0)), 0);
    // Sends some blocks and waits until they were processed.
    let mut turns = |n_blocks: u64| {
        for _ in 0..n_blocks {
            let head = Head { first_frame: n_sent * BLOCK_FRAMES as u64, n_frames: BLOCK_FRAMES, ..Head::default() };
            to_process.send(pool.fill(|block| block.head = head).unwrap().0, &|| Slack::Forever);
            n_sent += 1;
        }
        until("the blocks' turn", || ledger.account().delivered == n_sent * BLOCK_FRAMES as u64);
    };
    turns(3);
    let before = allocations::of_thread(number);
    assert!(before > 0, "the thread was not seen when it began: the count is blind");

    // Several reloads in quick succession, and `main` fetches nothing: the first is taken, the second has to wait.
    exchange.offer(chains(1)).unwrap();
    turns(3);
    exchange.offer(chains(2)).expect("the first one was taken");
    turns(50);
    assert!(exchange.offer(chains(3)).is_err(), "there is no room for old ones: the second waits");
    assert_eq!(*dropped.lock().unwrap(), [(3, thread::current().id())], "only the one that was refused, by us");
    // One after the other comes back, and the next goes in.
    drop(exchange.replaced().expect("the old ones wait to be fetched"));
    turns(2);
    exchange.offer(chains(4)).expect("the second was taken");
    turns(3);
    drop(exchange.withdraw().expect("the fourth was not taken: the first ones still wait"));
    drop(exchange.replaced().expect("the first"));
    for name in 5..30 {
        exchange.offer(chains(name)).unwrap();
        // It may have looked for new chains before these were there: with the second block it has looked again.
        turns(2);
        assert_eq!(exchange.replaced().map(|chains| chains.len()), Some(1));
    }
    assert_eq!(allocations::of_thread(number) - before, 0, "`process` called the allocator");
    let all_dropped = dropped.lock().unwrap().clone();
    assert!(all_dropped.iter().all(|(_, by)| *by == thread::current().id()), "{all_dropped:?}");
    assert_eq!(all_dropped.len(), 29, "all but the one that runs: {all_dropped:?}");

    to_process.close(End { next_frame: n_sent * BLOCK_FRAMES as u64, lost: Tally::default() });
    until("its end", || thread.is_finished());
    thread.join().unwrap();
}
