//! Counts what a thread allocates. A test file that includes this runs all of itself under it.
#![allow(unsafe_code, reason = "an allocator cannot be written without; house rule 15 allows it under tests/")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static N_ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread has asked for memory or given some back while `work` ran.
pub(crate) fn during(work: impl FnOnce()) -> u64 {
    let before = N_ALLOCATIONS.get();
    work();
    N_ALLOCATIONS.get() - before
}

fn count() {
    // A constant without a destructor: it can be reached as long as the thread runs.
    N_ALLOCATIONS.set(N_ALLOCATIONS.get() + 1);
}

// SAFETY: unsafe because the trait promises valid memory; sound because every call is handed to `System` unchanged,
// and the counter is a plain thread-local that allocates nothing.
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
