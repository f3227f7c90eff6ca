//! The simulated bench behind the driver's own trait, on a virtual clock or on the real one.

use std::thread;
use std::time::Duration;

use super::chain::Chain;
use super::setup::{HostDelays, Pins, Setup};
use super::truth::Truth;
use crate::rt::now_ns;
use crate::source::ads1299::wire::{Edge, Hz, Pin, Shape, Wire, WireError};

/// How far simulated time may be behind real time before it jumps: what a converter's FIFO would hold.
const BEHIND_MAX_NS: u64 = 1_000_000_000;

/// The longest sleep at once.
const SLEEP_MAX_NS: u64 = 1_000_000_000;

/// Where the time of a [`SimulatedWire`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// From waits, transfers and delays alone: hours pass in seconds, and the same way every time.
    Virtual,
    /// From `CLOCK_MONOTONIC`. A host that is late catches up, as if the converter had a FIFO, until it is a second
    /// behind; then time jumps, and the conversions in between pass unread behind one late event. Where faults are
    /// planned, this is `RealStrict`.
    Real,
    /// From `CLOCK_MONOTONIC` without mercy, for faults whose cost is to be seen.
    RealStrict,
}

/// The bench as the driver's wires.
#[derive(Debug)]
pub struct SimulatedWire {
    chain: Chain,
    clock: Clock,
    delays: HostDelays,
    pins: Pins,
    /// Simulated time. On the virtual clock it begins at 0, else it is `CLOCK_MONOTONIC` as far as it has come.
    now_ns: u64,
    pub(super) behind_max_ns: u64,
}

impl SimulatedWire {
    /// The bench of `setup`.
    #[must_use]
    pub fn new(setup: &Setup, clock: Clock) -> SimulatedWire {
        let now_ns = if clock == Clock::Virtual { 0 } else { now_ns() };
        let strict = clock == Clock::Real && !setup.faults.is_empty();
        SimulatedWire {
            chain: Chain::new_at(setup, now_ns),
            clock: if strict { Clock::RealStrict } else { clock },
            delays: setup.delays,
            pins: setup.pins,
            now_ns,
            behind_max_ns: BEHIND_MAX_NS,
        }
    }

    /// On the virtual clock.
    #[must_use]
    pub fn on_virtual_clock(setup: &Setup) -> SimulatedWire {
        SimulatedWire::new(setup, Clock::Virtual)
    }

    /// What the bench knows it did.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.chain.truth()
    }

    /// The bench itself.
    pub fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }

    /// Takes over the time that passed outside. A kind clock leaves it to waits to let conversions come, and jumps
    /// when the host is too far behind.
    fn catch_up(&mut self) {
        let real_ns = if self.clock == Clock::Virtual { 0 } else { now_ns() };
        let waits = self.clock == Clock::Real && self.chain.next_ns() != u64::MAX;
        if !waits {
            self.now_ns = self.now_ns.max(real_ns);
        } else if real_ns.saturating_sub(self.now_ns) > self.behind_max_ns {
            self.chain.advance_blind(real_ns);
            self.now_ns = real_ns;
        }
        self.chain.advance(self.now_ns);
    }

    /// Time goes on to `at_ns`; on a real clock the thread sleeps until then.
    fn pass(&mut self, at_ns: u64) {
        if self.clock != Clock::Virtual {
            let mut real_ns = now_ns();
            while real_ns < at_ns {
                // The wake-up may come early, for another reason: hence the loop, whose every turn is bounded.
                thread::park_timeout(Duration::from_nanos((at_ns - real_ns).min(SLEEP_MAX_NS)));
                real_ns = now_ns();
            }
        }
        self.now_ns = self.now_ns.max(at_ns);
        self.chain.advance(self.now_ns);
    }
}

impl Wire for SimulatedWire {
    fn run_begins(&mut self) {
        self.chain.truth().arm();
    }

    fn now_ns(&self) -> u64 {
        match self.clock {
            Clock::Virtual => self.now_ns,
            Clock::RealStrict => self.now_ns.max(now_ns()),
            // Not past a conversion that the host did not wait for yet.
            Clock::Real => self.now_ns.max(now_ns().min(self.chain.next_ns())),
        }
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.catch_up();
        self.pass(at_ns);
    }

    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        self.catch_up();
        let half_ns = self.delays.transfer_ns / 2;
        let (end_ns, outcome) =
            self.chain.transfer(self.now_ns + half_ns, shape.select, shape.clock_hz, shape.hold_us, tx, rx);
        self.now_ns = end_ns + half_ns;
        outcome
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        self.catch_up();
        // On a real clock reading takes the time it takes; only one that is behind is helped on.
        if self.clock == Clock::Virtual || self.now_ns < now_ns() {
            self.now_ns += self.delays.read_ns;
        }
        let mut waited = false;
        loop {
            if let Some(edge) = self.chain.take_edge(self.now_ns) {
                if waited {
                    let stall_ns = self.chain.take_stall();
                    self.pass(self.now_ns + self.delays.wake_ns + stall_ns);
                }
                return Ok(Some(edge));
            }
            if self.now_ns >= deadline_ns {
                return Ok(None);
            }
            waited = true;
            let next_ns = self.chain.next_ns().min(deadline_ns);
            if next_ns == u64::MAX {
                return Ok(None);
            }
            self.pass(next_ns);
        }
    }

    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        self.catch_up();
        self.chain.set_pin(self.now_ns, pin, high);
        self.now_ns += self.delays.read_ns;
        Ok(())
    }

    fn has_pin(&self, pin: Pin) -> bool {
        match pin {
            Pin::Start => self.pins.start,
            Pin::Reset => self.pins.reset,
            Pin::PowerDown => self.pins.power_down,
        }
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        clock_hz
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}
