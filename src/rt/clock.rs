//! The two clocks: monotonic for intervals and deadlines, UTC for people, and whether the latter is right.

use std::io;

use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

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

/// Sleeps until `CLOCK_MONOTONIC` shows `deadline_ns`; comes back at once when it has passed. The deadline is absolute,
/// so that the lateness of one wake-up does not add to the next.
///
/// Real time: no allocation, no locks, no logging; waits for the clock alone.
pub fn sleep_until(deadline_ns: u64) {
    let seconds = i64::try_from(deadline_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let nanoseconds = u32::try_from(deadline_ns % 1_000_000_000).unwrap_or(0);
    let request = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    // A signal ends the sleep early; the request is absolute and stays as it is.
    while clock_nanosleep_absolute(ClockId::Monotonic, &request) == Err(Errno::INTR) {}
}

/// How well the kernel knows UTC (adjtimex(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDiscipline {
    /// Whether a time service keeps the clock right (`STA_UNSYNC` is not set).
    pub synchronised: bool,
    /// The largest error the kernel reckons with, in microseconds; it grows while nobody corrects the clock.
    pub error_max_us: i64,
}

/// Asks the kernel who keeps its clock.
///
/// # Errors
/// Where the call is forbidden, as by `ProtectClock=` in a unit.
#[allow(unsafe_code, reason = "rustix and std do not offer adjtimex")]
pub fn clock_discipline() -> io::Result<ClockDiscipline> {
    // SAFETY: unsafe because the bytes of a structure are made up; sound because it holds integers alone, for which all
    // zeroes are a value, and `modes` = 0 asks to change nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: unsafe because it is a call into C; sound because the kernel writes into the one structure, which is
    // whole and lives until the call returns.
    if unsafe { libc::adjtimex(&raw mut state) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockDiscipline { synchronised: state.status & libc::STA_UNSYNC == 0, error_max_us: state.maxerror })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_after_its_deadline() {
        let deadline_ns = now_ns() + 2_000_000;
        sleep_until(deadline_ns);
        assert!(now_ns() >= deadline_ns);
        sleep_until(0);
    }

    #[test]
    fn the_kernel_says_how_well_it_knows_the_time_or_refuses() {
        match clock_discipline() {
            Ok(discipline) => assert!(discipline.error_max_us >= 0, "{discipline:?}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
