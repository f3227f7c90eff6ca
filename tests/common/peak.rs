//! Counts the bytes that a whole process holds. A test file that includes this runs all of itself under it.
#![allow(unsafe_code, reason = "an allocator cannot be written without; house rule 15 allows it under tests/")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What any reader of recordings may hold beyond the size of the files.
pub(crate) const BEYOND_MAX: usize = 64 << 20;

/// Bytes held now, and the most since the last look. `Relaxed`: nothing else is ordered by them.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Peak;

#[global_allocator]
static ALLOCATOR: Peak = Peak;

/// The most bytes that were held at a time while `work` ran, beyond what was held before it.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let done = work();
    (done, MOST.load(Ordering::Relaxed).saturating_sub(before))
}

fn more(n_bytes: usize) {
    let held = HELD.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

fn less(n_bytes: usize) {
    HELD.fetch_sub(n_bytes, Ordering::Relaxed);
}

// SAFETY: unsafe because the trait promises valid memory; sound because every call is handed to `System` unchanged,
// and counting allocates nothing.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: unsafe because `layout` must be valid; sound because our caller promises that.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: unsafe because `pointer` must come from `alloc`; sound because all of ours come from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        // Both are held while the contents move.
        more(n_bytes);
        less(layout.size());
        // SAFETY: as `dealloc`.
        unsafe { System.realloc(pointer, layout, n_bytes) }
    }
}
