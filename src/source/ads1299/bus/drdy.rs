//! DRDY's falling edges as the kernel queues them: when each hard interrupt ran, and two counts that tell which edges
//! never became events.

use std::fs::File;
use std::time::Duration;

use gpiocdev_uapi::v2::{self, LineEdgeEvent, LineFlags};
use rustix::io::Errno;

use super::BusError;
use super::chip::{Chip, errno};
use super::settings::Line;
use crate::rt;
use crate::source::ads1299::wire::{Edge, WireError};

/// Events that the kernel keeps, its upper limit (`GPIO_V2_LINES_MAX * 16`): a quarter of a second at 4 kSPS.
const EVENTS_MAX: u16 = 1024;

/// Words of one event.
const EVENT_WORDS: usize = size_of::<LineEdgeEvent>() / size_of::<u64>();

/// DRDY, requested together with its witness.
#[derive(Debug)]
pub(super) struct Drdy {
    request: File,
    line: u32,
    /// Room for every event that the kernel can keep, so that one read empties its queue.
    events: Box<[u64]>,
    /// Words of `events` that hold events, and how many of these were taken.
    n_words: usize,
    n_taken: usize,
    /// Events of the witness so far: its interrupts count in the request's number too.
    n_witness: u32,
    /// What the requests before this one counted, so that numbers go on over a reopening.
    before: Counts,
    /// The last edge, counted from the first request on.
    last: Counts,
}

/// What an [`Edge`] counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    n_interrupts: u32,
    n_events: u32,
}

impl Drdy {
    /// Requests `lines`, DRDY and where there is one its witness, with falling edges. The pull-up holds the witness,
    /// and a DRDY that nobody drives because the board has no power; a chip that drives it does not notice.
    pub(super) fn open(chip: &Chip, lines: &[Line], before: Counts) -> Result<Drdy, BusError> {
        let flags = LineFlags::INPUT | LineFlags::EDGE_FALLING | LineFlags::BIAS_PULL_UP;
        let config = v2::LineConfig { flags, ..v2::LineConfig::default() };
        let request = chip.request(lines, "biosigd-drdy", config, EVENTS_MAX.into())?;
        Ok(Drdy {
            request,
            line: lines.first().map_or(0, |line| line.number),
            events: vec![0; usize::from(EVENTS_MAX) * EVENT_WORDS].into(),
            n_words: 0,
            n_taken: 0,
            n_witness: 0,
            before,
            last: before,
        })
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        self.last
    }

    /// The oldest edge that was not taken yet; waits until `deadline_ns` for one.
    ///
    /// Real time: no allocation, no locks, no logging; waits for DRDY alone.
    pub(super) fn wait(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        loop {
            if let Some(edge) = self.take() {
                return Ok(Some(edge));
            }
            if !self.poll(deadline_ns)? {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// The next of the events that were read, the witness's own left out.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn take(&mut self) -> Option<Edge> {
        while self.n_taken < self.n_words {
            let event = LineEdgeEvent::from_slice(&self.events[self.n_taken..self.n_words]).ok()?;
            self.n_taken += EVENT_WORDS;
            if event.offset != self.line {
                self.n_witness = event.line_seqno;
                continue;
            }
            // With one line alone the kernel gives both numbers the same value; with two the first one counts hard
            // interrupts of both (Linux `drivers/gpio/gpiolib-cdev.c`, `edge_irq_handler`).
            self.last = Counts {
                n_interrupts: self.before.n_interrupts.wrapping_add(event.seqno.wrapping_sub(self.n_witness)),
                n_events: self.before.n_events.wrapping_add(event.line_seqno),
            };
            let Counts { n_interrupts, n_events } = self.last;
            return Some(Edge { at_ns: event.timestamp_ns, n_interrupts, n_events });
        }
        None
    }

    /// Waits until there is an event; false: `deadline_ns` came first.
    ///
    /// Real time: no allocation, no locks, no logging; waits for DRDY alone.
    fn poll(&mut self, deadline_ns: u64) -> Result<bool, WireError> {
        loop {
            // To the nanosecond; poll(2)'s whole milliseconds would be four samples.
            let left = Duration::from_nanos(deadline_ns.saturating_sub(rt::now_ns()));
            match v2::wait_event(&self.request, left) {
                Ok(come) => return Ok(come),
                Err(error) if errno(&error) == Errno::INTR.raw_os_error() => {}
                Err(error) => return Err(WireError::Gpio(errno(&error))),
            }
        }
    }

    /// Reads all events that the kernel holds. Never called without one, since the read would wait for it.
    ///
    /// Fast because one read empties the queue into memory of ours: after a stall of the thread 1024 events cost one
    /// call of the kernel. Reading event by event, as rppal does, would cost 1024.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn read(&mut self) -> Result<(), WireError> {
        (self.n_taken, self.n_words) = (0, 0);
        match v2::read_event(&self.request, &mut self.events) {
            // The other end is gone: the chip was unbound.
            Ok(0) => Err(WireError::Gpio(Errno::NODEV.raw_os_error())),
            Ok(n_words) => {
                self.n_words = n_words;
                Ok(())
            }
            Err(error) if errno(&error) == Errno::INTR.raw_os_error() => Ok(()),
            Err(error) => Err(WireError::Gpio(errno(&error))),
        }
    }
}
