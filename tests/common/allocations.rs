//! Counts what threads ask of the allocator. A test file that includes this runs all of itself under it.
#![allow(unsafe_code, reason = "an allocator cannot be written without; house rule 15 allows it under tests/")]
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel numbers threads from 1 to below this (`PID_MAX_LIMIT` on 64 bits).
const THREADS_MAX: usize = 1 << 22;

/// Calls by the kernel's number of the thread, one place for each: on a machine where others begin many processes, the numbers
/// of a daemon's short-lived threads come from all over. Untouched pages of it are never there.
static CALLS: [AtomicU32; THREADS_MAX] = [const { AtomicU32::new(0) }; THREADS_MAX];

thread_local! {
    /// Where this thread counts; a constant without a destructor, so that it can be reached as long as the thread runs.
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread has asked for memory or given some back while `work` ran.
pub(crate) fn during(work: impl FnOnce()) -> u64 {
    let calls = || CALLS[own_slot()].load(Ordering::Relaxed);
    let before = calls();
    work();
    u64::from(calls().wrapping_sub(before))
}

/// How often the thread with the kernel's number `thread` has so far.
pub(crate) fn of_thread(thread: u32) -> u64 {
    u64::from(CALLS[thread as usize].load(Ordering::Relaxed))
}

fn own_slot() -> usize {
    if SLOT.get() == usize::MAX {
        SLOT.set(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs() as usize);
    }
    SLOT.get()
}

fn count() {
    CALLS[own_slot()].fetch_add(1, Ordering::Relaxed);
}

// SAFETY: unsafe because the trait promises valid memory; sound because every call is handed to `System` unchanged,
// and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: unsafe because `layout` must be valid; sound because our caller promises that.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: unsafe because `pointer` must come from `alloc`; sound because all of ours come from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as `dealloc`.
        unsafe { System.realloc(pointer, layout, n_bytes) }
    }
}
