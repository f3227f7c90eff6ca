//! When a thread last got somewhere: what `/healthz` and the watchdog judge by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::rt::now_ns;

/// The last time a thread made progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Monotonic nanoseconds, 0 before the first time. Written by the thread, read by `http` and `main`; `Relaxed`,
    /// because it is an age to be compared with seconds and guards no other memory.
    at_ns: AtomicU64,
}

impl Progress {
    /// Progress was made now.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn made(&self) {
        self.at_ns.store(now_ns(), Ordering::Relaxed);
    }

    /// How long ago that was; `None` before the first time.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        match self.at_ns.load(Ordering::Relaxed) {
            0 => None,
            at_ns => Some(Duration::from_nanos(now_ns().saturating_sub(at_ns))),
        }
    }
}
