//! What a pipeline costs besides time: CPU seconds and calls of the allocator by the threads that [`spawn`] starts.
#![allow(unsafe_code, reason = "an allocator cannot be written without; house rule 15 allows it under tests/")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::rt::{self, Role};
use rustix::time::{ClockId, clock_gettime};

/// Calls while [`WATCHING`], by threads of a pipeline. `Relaxed`, as the other two: read when those threads have ended.
static CALLS: AtomicU64 = AtomicU64::new(0);
static WATCHING: AtomicBool = AtomicBool::new(false);
static CPU_NS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A constant without a destructor: it can be reached as long as the thread runs.
    if COUNTED.get() && WATCHING.load(Ordering::Relaxed) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: unsafe because the trait promises valid memory; sound because every call is handed to `System` unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: unsafe because `layout` must be valid; sound because our caller promises that.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Not counted: what is given back was asked for.
        // SAFETY: unsafe because `pointer` must come from `alloc`; sound because all of ours come from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as `dealloc`.
        unsafe { System.realloc(pointer, layout, n_bytes) }
    }
}

/// What one or several turns of a pipeline brought.
#[derive(Default)]
pub(crate) struct Cost {
    /// Each block's way from its instant to the end of its socket write.
    pub(crate) latencies_ns: Vec<u64>,
    elapsed_s: f64,
    cpu_s: f64,
    watched_s: f64,
    calls: u64,
}

impl Cost {
    /// Runs `turn`, which calls [`watch_turn`] once, and notes what it cost.
    pub(crate) fn add(&mut self, turn: impl FnOnce() -> Vec<u64>) {
        for counter in [&CPU_NS, &CALLS] {
            counter.store(0, Ordering::Relaxed);
        }
        let begin = Instant::now();
        self.latencies_ns.extend(turn().into_iter().skip(WARM_UP_BLOCKS));
        self.elapsed_s += begin.elapsed().as_secs_f64();
        self.cpu_s += CPU_NS.load(Ordering::Relaxed) as f64 * 1e-9;
        self.calls += CALLS.load(Ordering::Relaxed);
        self.watched_s += WATCHED.as_secs_f64();
    }

    /// Per cent of one core.
    pub(crate) fn cpu_percent(&self) -> f64 {
        self.cpu_s / self.elapsed_s * 100.0
    }

    /// Allocations per second after the start.
    pub(crate) fn allocations_per_s(&self) -> f64 {
        self.calls as f64 / self.watched_s
    }
}

const START: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(3);

/// The first half second of each turn is not counted: fresh threads touch fresh memory, which the daemon locks before it
/// begins.
const WARM_UP_BLOCKS: usize = 50;

/// How long a turn lasts.
pub(crate) const TURN: Duration = Duration::from_secs(4);
const _: () = assert!(START.as_millis() + WATCHED.as_millis() == TURN.as_millis());

/// Sleeps through a turn and has allocations counted once its start is over.
pub(crate) fn watch_turn() {
    thread::sleep(START);
    WATCHING.store(true, Ordering::Relaxed);
    thread::sleep(WATCHED);
    WATCHING.store(false, Ordering::Relaxed);
}

/// Starts a thread as the daemon would, and counts what it costs; what is refused costs all pipelines alike.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    core: Option<usize>,
    priority: Option<i32>,
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        drop(rt::enter(&Role { name, core, priority }));
        COUNTED.set(true);
        let done = work();
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        let cpu_ns = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(cpu.tv_nsec).unwrap_or(0);
        CPU_NS.fetch_add(cpu_ns, Ordering::Relaxed);
        done
    })
}
