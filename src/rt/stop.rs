//! How the acquisition thread waits for an instant and can still be told to stop.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::now_ns;

/// Tells one thread to stop, and is what that thread waits on.
#[derive(Debug, Default)]
pub struct Stop {
    /// Set by [`Stop::set`], read by the waiting thread. `SeqCst` on both sides: the flag must be visible before
    /// the wake-up that follows it, and it is read a hundred times a second at most.
    stopped: AtomicBool,
    waiter: OnceLock<Thread>,
}

impl Stop {
    /// Names the calling thread as the one to wake. Called once by that thread before it waits.
    pub fn wake_me(&self) {
        // A second thread that calls this is a mistake of ours; the first stays registered.
        self.waiter.get_or_init(thread::current);
    }

    /// Tells the thread to stop and wakes it.
    pub fn set(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(waiter) = self.waiter.get() {
            waiter.unpark();
        }
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until the monotonic instant `deadline_ns`, or until stopped. True: the instant has come.
    ///
    /// The deadline is absolute, so that lateness of one wait does not add to the next one.
    pub fn wait_until(&self, deadline_ns: u64) -> bool {
        loop {
            if self.is_set() {
                return false;
            }
            let now = now_ns();
            if now >= deadline_ns {
                return true;
            }
            thread::park_timeout(Duration::from_nanos(deadline_ns - now));
        }
    }
}
