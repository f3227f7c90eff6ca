//! What people ask of the recorder while it runs, and how they learn what became of it: orders go to the disk's side in
//! a bounded queue, verdicts come back in a place of their own each, and nobody waits for the other.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use crate::block::{Account, Cause, Tally};
use crate::sink::About;

/// Orders that may wait for a disk that stalls.
const ORDERS_MAX: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Begin a recording.
    Start(About),
    /// End it with the block that holds this monotonic instant.
    Stop {
        /// When it was asked, in nanoseconds.
        asked_ns: u64,
    },
    /// Go on in another file.
    Rotate,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A recording has begun.
    Started {
        /// Its file.
        file: PathBuf,
        /// The index of its first frame.
        first_frame: u64,
    },
    /// The recording has ended, and everything of it is on the disk that will ever be.
    Stopped(Final),
    /// The recording goes on in another file.
    Rotated {
        /// The file that ended.
        ended: PathBuf,
        /// The new one.
        file: PathBuf,
    },
    /// There is a recording already.
    Active {
        /// Its file; `None` while it waits for its first frame or for its disk.
        file: Option<PathBuf>,
    },
    /// There is none.
    NotActive,
    /// Free space is at or below the limit.
    DiskLow {
        /// The sentence with the numbers.
        why: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        why: String,
    },
}

/// The account of one recording, over all of its files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Final {
    /// Its last file.
    pub file: Option<PathBuf>,
    /// The index of its first frame.
    pub first_frame: u64,
    /// Every frame from the first one to the end.
    pub account: Account,
    /// Frames in its files, gaps that were filled in included.
    pub frames_written: u64,
    /// How long it lasted, in seconds of signal.
    pub seconds: f64,
    /// Why it ended where it was not asked to, or had no file for a while.
    pub trouble: Option<String>,
}

impl Final {
    /// An account that adds up: of `expected` frames, `upstream` of which were lost before the disk's side, those that
    /// are not `delivered` are lost to the disk.
    pub(super) fn account(expected: u64, delivered: u64, upstream: Tally) -> Account {
        let mut lost = upstream;
        lost.add(Cause::Disk, expected.saturating_sub(delivered + upstream.total()));
        Account { expected, delivered, lost }
    }
}

/// Rings when a verdict is there.
type Bell = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// Where the verdict on one order will be.
#[derive(Clone)]
pub struct Ticket {
    verdict: Arc<Mutex<Option<Verdict>>>,
    bell: Bell,
}

impl Ticket {
    /// The verdict, once it is there.
    #[must_use]
    pub fn take(&self) -> Option<Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn tell(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        if let Some(ring) = self.bell.get() {
            ring();
        }
    }
}

/// An order on its way.
pub struct Request {
    pub(super) order: Order,
    pub(super) ticket: Ticket,
}

/// The asking side.
pub struct Control {
    orders: SyncSender<Request>,
    disk: OnceLock<Thread>,
    bell: Bell,
}

/// Makes the asking side, and the end that the disk's side reads.
#[must_use]
pub fn control() -> (Control, Receiver<Request>) {
    let (orders, requests) = mpsc::sync_channel(ORDERS_MAX);
    (Control { orders, disk: OnceLock::new(), bell: Bell::default() }, requests)
}

impl Control {
    /// Names the thread of the disk's side, so that an order wakes it.
    pub fn attach(&self, disk: Thread) {
        self.disk.get_or_init(|| disk);
    }

    /// What rings when a verdict is there.
    pub fn ring_with(&self, bell: Box<dyn Fn() + Send + Sync>) {
        self.bell.get_or_init(|| bell);
    }

    /// Passes an order on; `None` where too many wait, or the recorder has ended.
    #[must_use]
    pub fn ask(&self, order: Order) -> Option<Ticket> {
        let ticket = Ticket { verdict: Arc::default(), bell: Arc::clone(&self.bell) };
        self.orders.try_send(Request { order, ticket: ticket.clone() }).ok()?;
        if let Some(disk) = self.disk.get() {
            disk.unpark();
        }
        Some(ticket)
    }
}
