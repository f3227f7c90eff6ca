//! The datasheet's rules (SBAS499C, "SPI Timing", "SPI Command Definitions", "Register Maps"), held against everything
//! the driver says to the chips: what the bench noted, and what a scribe between driver and bench saw. At the end of every
//! run none may be broken, but those that a fault breaks for the driver.

use std::sync::{Arc, Mutex, PoisonError};

use crate::source::ads1299::simulated::{Fault, Note, Setup, SimulatedWire, Truth, Violation, Which};
use crate::source::ads1299::wire::{Edge, Hz, Pin, Shape, Wire, WireError};

/// Four cycles of the slowest clock that the chip allows, 1.5 MHz, would be 2.7 us; boards here have 2.048 MHz.
const FOUR_CLOCKS_NS: u64 = 1_954;

/// After CONFIG3 switched the internal reference on ("Power-Up Sequencing").
const REFERENCE_NS: u64 = 150_000_000;

/// The first DRDY after START at the fastest rate, 521 tCLK, less 4 ("Settling Time").
const FIRST_DRDY_NS: u64 = 252_000;

/// The rules that a fault breaks, although the driver does all it can.
fn excused(setup: &Setup) -> Vec<Violation> {
    let mut violations = Vec::new();
    for planned in &setup.faults {
        if let Fault::BrownOut { .. } = planned.fault {
            // It is read and told to go on like the others until that is found.
            violations.extend([Violation::Busy, Violation::ResetEarly, Violation::Unreset]);
        }
        violations.extend(match planned.fault {
            // The chip streams again, as after power-up, and is read and asked until that is found.
            // So it does when its clock comes back.
            Fault::Revert { .. }
            | Fault::BrownOut { .. }
            | Fault::SdatacIgnored { .. }
            | Fault::NoClock { chips: Which::Chip(_), .. } => Some(Violation::Streaming),
            _ => None,
        });
    }
    if setup.powered_ns > 0 {
        // Nobody can know when the supply is up: it is asked again and again.
        violations.extend([Violation::Busy, Violation::ResetEarly]);
    }
    violations
}

/// Looks at the end, however the run ended.
pub(super) struct Rules {
    truth: Truth,
    excused: Vec<Violation>,
    seen: Vec<Note>,
    scribe: Arc<Mutex<Vec<String>>>,
}

impl Rules {
    /// For a bench; and its wire with a scribe before it, who is held up in the middle of the run's first `hold_ups` STARTs.
    pub(super) fn of(setup: &Setup, wire: SimulatedWire, hold_ups: u32) -> (Rules, Scribe) {
        let broken = Arc::new(Mutex::new(Vec::new()));
        let external = setup.board.external_reference;
        let rules =
            Rules { truth: wire.truth(), excused: excused(setup), seen: Vec::new(), scribe: Arc::clone(&broken) };
        let select = Select { streams: true, reference_ns: external.then_some(0) };
        let selects = vec![select; setup.selects.len()];
        let (start_ns, reset_ns, in_run) = (0, 0, false);
        (rules, Scribe { wire, broken, selects, external, converts: false, start_ns, reset_ns, in_run, hold_ups })
    }

    /// The bench's notes since the last look.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        let notes: Vec<Note> = self.truth.notes().collect();
        self.seen.extend(notes.iter().filter(|note| matches!(note, Note::Violation { .. })));
        notes
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        self.notes();
        if std::thread::panicking() {
            return;
        }
        let excused = &self.excused;
        self.seen.retain(|note| !matches!(note, Note::Violation { violation, .. } if excused.contains(violation)));
        let first = &self.seen[..self.seen.len().min(5)];
        assert_eq!(first, [], "the bench saw rules of the datasheet broken, {} times", self.seen.len());
        let broken = self.scribe.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(broken.is_empty(), "rules of the datasheet were broken:\n{}", broken.join("\n"));
        if excused.is_empty() {
            assert_eq!(self.truth.counts().n_violations, 0, "violations that somebody else took note of");
        }
    }
}

/// What the scribe knows of the chips behind one select.
#[derive(Debug, Clone, Copy)]
struct Select {
    /// Frames flow by themselves: nothing but SDATAC may be said.
    streams: bool,
    /// When the reference was switched on, if it is.
    reference_ns: Option<u64>,
}

/// A wire that writes down which rules were broken.
pub(super) struct Scribe {
    wire: SimulatedWire,
    broken: Arc<Mutex<Vec<String>>>,
    selects: Vec<Select>,
    external: bool,
    converts: bool,
    start_ns: u64,
    reset_ns: u64,
    /// Whether START is the run's own.
    in_run: bool,
    /// How often that will still be held up.
    hold_ups: u32,
}

/// Seven conversions at 4 kHz, after the four that it takes a chip to settle.
const HOLD_UP_NS: u64 = 2_750_000;

impl Scribe {
    fn must(&self, right: bool, rule: &str, tx: &[u8]) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if !right && broken.len() < 20 {
            broken.push(format!("{rule}: {:02X?}... at {} ns", &tx[..tx.len().min(26)], self.wire.now_ns()));
        }
    }

    /// Every chip returns to what it is after a reset.
    fn reset(&mut self) {
        let external = self.external;
        for select in &mut self.selects {
            *select = Select { streams: true, reference_ns: external.then_some(0) };
        }
        self.reset_ns = self.wire.now_ns();
    }

    fn starts(&mut self, tx: &[u8]) {
        let now_ns = self.wire.now_ns();
        let settled = self
            .selects
            .iter()
            .all(|select| select.reference_ns.is_some_and(|on| now_ns >= on + if on > 0 { REFERENCE_NS } else { 0 }));
        self.must(settled, "conversions begin before the reference has had its 150 ms", tx);
        self.must(now_ns >= self.start_ns + FOUR_CLOCKS_NS, "START and STOP less than 4 tCLK apart", tx);
        (self.converts, self.start_ns) = (true, now_ns);
    }

    fn stops(&mut self, tx: &[u8]) {
        let now_ns = self.wire.now_ns();
        self.must(now_ns >= self.start_ns + FOUR_CLOCKS_NS, "START and STOP less than 4 tCLK apart", tx);
        (self.converts, self.start_ns) = (false, now_ns);
    }

    fn look(&mut self, shape: Shape, tx: &[u8]) {
        let (first, at) = (tx[0], shape.select);
        let rest_is_zero = tx[1..].iter().all(|byte| *byte == 0);
        let streams = self.selects[at].streams;
        let reads = tx.len() > 3 && (first == 0 || first == 0x12);
        if !reads {
            self.must(shape.clock_hz <= 4_000_000, "bytes of commands come faster than 4 tCLK each", tx);
            self.must(
                u64::from(shape.hold_us) * 1000 >= FOUR_CLOCKS_NS,
                "the select rises within 4 tCLK of a command",
                tx,
            );
            let since_ns = self.wire.now_ns() - self.reset_ns;
            self.must(self.reset_ns == 0 || since_ns >= 18 * FOUR_CLOCKS_NS / 4, "less than 18 tCLK after RESET", tx);
        }
        self.must(first == 0 || first == 0x11 || !streams, "only SDATAC is heard while frames flow by themselves", tx);
        match first {
            0x00 | 0x12 => self.must(rest_is_zero && reads, "DIN is 0 while frames are read", tx),
            0x06 => {
                self.must(!self.converts, "RESET while converting", tx);
                let external = self.external;
                self.selects[at] = Select { streams: true, reference_ns: external.then_some(0) };
                self.reset_ns = self.wire.now_ns();
            }
            0x08 => self.starts(tx),
            0x0A => self.stops(tx),
            // Not within 4 tCLK of DRDY: best while there is none, as before the first one after START.
            0x10 => {
                let settles = self.wire.now_ns() < self.start_ns + FIRST_DRDY_NS;
                self.must(!self.converts || settles, "RDATAC while converting", tx);
                self.selects[at].streams = true;
            }
            0x11 => self.selects[at].streams = false,
            0x20..=0x37 => {
                let n = usize::from(tx[1]) + 1;
                self.must(usize::from(first & 0x1F) + n <= 0x18, "RREG beyond the last register", tx);
                self.must(tx.len() >= 2 + n && tx[2..].iter().all(|byte| *byte == 0), "RREG of other bytes", tx);
            }
            0x40..=0x57 => self.write(at, tx),
            _ => self.must(false, "no such command", tx),
        }
    }

    /// WREG: what may be written where ("Register Maps", reserved bits).
    fn write(&mut self, at: usize, tx: &[u8]) {
        let (first, n) = (usize::from(tx[0] & 0x1F), usize::from(tx[1]) + 1);
        self.must(tx.len() == 2 + n && first + n <= 0x18, "WREG of another length", tx);
        self.must(!self.converts, "WREG while converting: the filter would start again", tx);
        for (address, value) in (first..).zip(&tx[2..]) {
            let (mask, fixed) = match address {
                0x01 => (0x98, 0x90),
                0x02 => (0xE8, 0xC0),
                // BIAS_STAT is read-only; it is written as 0.
                0x03 => (0x61, 0x60),
                0x04 => (0x10, 0x00),
                0x15 => (0xDF, 0x00),
                0x16 => (0xFF, 0x00),
                0x17 => (0xF5, 0x00),
                _ => (0x00, 0x00),
            };
            self.must(value & mask == fixed, "a reserved bit", tx);
            self.must(!matches!(address, 0x00 | 0x12 | 0x13), "a read-only register is written", tx);
            self.must(address != 0x01 || value & 0x07 != 0x07, "CONFIG1.DR = 111, do not use", tx);
            self.must(address != 0x02 || value & 0x03 != 0x02, "CONFIG2.CAL_FREQ = 10, do not use", tx);
            let is_channel = (0x05..=0x0C).contains(&address);
            self.must(!is_channel || value & 0x70 != 0x70, "CHnSET.GAIN = 111, do not use", tx);
            self.must(
                !is_channel || value & 0x80 == 0 || *value == 0x81,
                "a channel that is off has its inputs shorted",
                tx,
            );
            if address == 0x03 {
                let select = &mut self.selects[at];
                match (value & 0x80 != 0, select.reference_ns) {
                    (true, None) => select.reference_ns = Some(self.wire.now_ns()),
                    (false, Some(on)) if on > 0 => select.reference_ns = None,
                    _ => {}
                }
            }
        }
    }
}

impl Wire for Scribe {
    fn now_ns(&self) -> u64 {
        self.wire.now_ns()
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.wire.wait_until(at_ns);
    }

    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        self.look(shape, tx);
        self.wire.transfer(shape, tx, rx)
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        self.wire.wait_edge(deadline_ns)
    }

    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        match pin {
            Pin::Start if high && !self.converts => self.starts(&[]),
            Pin::Start if !high && self.converts => self.stops(&[]),
            Pin::Reset if !high => self.reset_ns = self.wire.now_ns(),
            Pin::Reset => {
                let low_ns = self.wire.now_ns() - self.reset_ns;
                self.must(low_ns >= FOUR_CLOCKS_NS / 2, "RESET is low for less than 2 tCLK", &[]);
                self.must(!self.converts, "RESET while START is high", &[]);
                self.reset();
            }
            _ => {}
        }
        self.wire.set_pin(pin, high)?;
        if self.in_run && self.hold_ups > 0 && pin == Pin::Start && high {
            self.hold_ups -= 1;
            self.wire.wait_until(self.wire.now_ns() + HOLD_UP_NS);
        }
        Ok(())
    }

    fn has_pin(&self, pin: Pin) -> bool {
        self.wire.has_pin(pin)
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        self.wire.effective_clock_hz(clock_hz)
    }

    fn run_begins(&mut self) {
        self.in_run = true;
        self.wire.run_begins();
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        self.wire.reopen()
    }
}
