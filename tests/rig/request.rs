//! One request for GPIO lines: its numbers, and the queue that the program reads (Linux `drivers/gpio/gpiolib-cdev.c`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ioctl_fionread, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::fields::put;

/// Bytes of `struct gpio_v2_line_event`.
const EVENT_BYTES: usize = 48;

/// `GPIO_V2_LINE_EVENT_FALLING_EDGE`.
const FALLING: u32 = 2;

/// `GPIO_V2_LINE_FLAG_EDGE_FALLING` and `_OUTPUT`.
const EDGE_FALLING: u64 = 1 << 5;
const OUTPUT: u64 = 1 << 3;

/// A line of a request.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) number: u32,
    pub(crate) flags: u64,
    /// The level that the program drives.
    pub(crate) high: bool,
    /// `line_seqno`.
    n_events: u32,
}

/// A request, behind the descriptor that the program has.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) lines: Vec<Line>,
    pub(crate) consumer: String,
    /// `seqno` of a request with several lines: hard interrupts of all of them.
    n_interrupts: u32,
    /// Events that the queue holds.
    events_max: usize,
    n_overflowed: u64,
    /// A second descriptor of the end that the program reads, to drop the oldest event.
    outlet: OwnedFd,
    inlet: OwnedFd,
}

impl Line {
    pub(crate) fn new(number: u32, flags: u64, high: bool) -> Line {
        Line { number, flags, high, n_events: 0 }
    }

    pub(crate) fn is_output(&self) -> bool {
        self.flags & OUTPUT != 0
    }
}

impl Request {
    /// A new request, and the descriptor for the program.
    pub(crate) fn new(lines: Vec<Line>, consumer: String, events_max: u32) -> io::Result<(Request, OwnedFd)> {
        let (outlet, inlet) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // As the kernel rounds: 16 for each line, at most 16 for each of 64 lines, a power of two.
        let wanted = if events_max == 0 { lines.len() * 16 } else { events_max as usize };
        let events_max = wanted.min(1024).next_power_of_two();
        // The program's own descriptor blocks: the flag belongs to the open file, so a new one is opened.
        let for_program = rustix::fs::open(
            format!("/proc/self/fd/{}", outlet.as_raw_fd()),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let request = Request { lines, consumer, n_interrupts: 0, events_max, n_overflowed: 0, outlet, inlet };
        Ok((request, for_program))
    }

    /// The hard interrupt of a falling edge on `line`, and the thread after it unless `merges`: then the next edge's
    /// interrupt comes before the thread has run, which sees that one's time and numbers alone.
    pub(crate) fn edge(&mut self, line: u32, at_ns: u64, merges: bool) {
        let n_lines = self.lines.len();
        let Some(line) = self.lines.iter_mut().find(|one| one.number == line && one.flags & EDGE_FALLING != 0) else {
            return;
        };
        self.n_interrupts = self.n_interrupts.wrapping_add(1);
        if merges {
            return;
        }
        line.n_events = line.n_events.wrapping_add(1);
        let mut event = [0; EVENT_BYTES];
        put(&mut event, 0, at_ns.to_ne_bytes());
        put(&mut event, 8, FALLING.to_ne_bytes());
        put(&mut event, 12, line.number.to_ne_bytes());
        put(&mut event, 16, if n_lines == 1 { line.n_events } else { self.n_interrupts }.to_ne_bytes());
        put(&mut event, 20, line.n_events.to_ne_bytes());
        self.push(&event);
    }

    fn push(&mut self, event: &[u8; EVENT_BYTES]) {
        let waiting = ioctl_fionread(&self.outlet).unwrap_or(0);
        if waiting >= (self.events_max * EVENT_BYTES) as u64 {
            match read(&self.outlet, &mut [0; EVENT_BYTES]) {
                // The program took everything in between.
                Err(Errno::AGAIN) => {}
                dropped => self.n_overflowed += u64::from(dropped.is_ok()),
            }
        }
        // A pipe takes 85 whole events in each of its 16 pages, more than the queue ever holds.
        write(&self.inlet, event).expect("the pipe has room for the queue");
    }

    /// Events that the queue dropped.
    pub(crate) fn n_overflowed(&self) -> u64 {
        self.n_overflowed
    }
}

/// A descriptor for the program that stands for a device.
pub(crate) fn device() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
