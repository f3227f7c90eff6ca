//! The two clocks: monotonic for intervals and deadlines, UTC for people.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: the clock of DRDY edges, never set, never going back.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds since 1970 UTC by the system clock, which may be set at any time.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub fn utc_now_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Before 1970 a Pi without a clock battery has no better idea than 0.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
