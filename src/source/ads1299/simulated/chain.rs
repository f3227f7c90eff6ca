//! The bench as a whole: time goes on, chips convert, DRDY falls, pins are set.

use super::chip::Chip;
use super::converter::NEVER;
use super::edges::Edges;
use super::run::Run;
use super::setup::{ClockSource, Setup};
use super::shift::ShiftLine;
use super::truth::{Counts, Note, Truth, Violation};
use crate::source::ads1299::wire::{Edge, Pin};

/// tCLK of the power-on reset (tPOR).
const POWER_ON_TICKS: u32 = 1 << 18;
/// tCLK that a chip needs after RESET.
const RESET_TICKS: u32 = 18;
/// tCLK before a conversion in which STOP does not stop it any more (tSDSU).
const STOP_TICKS: u32 = 16;
/// tCLK that RESET must be low at least.
const RESET_PULSE_TICKS: u32 = 2;

/// All chips of a bench, without threads and without a clock of its own: whoever drives it says what time it is, in
/// nanoseconds of one clock that never goes back. An instant before the latest one counts as the latest one.
#[derive(Debug)]
pub struct Chain {
    pub(super) setup: Setup,
    pub(super) chips: Vec<Chip>,
    pub(super) ports: Vec<Port>,
    edges: Edges,
    pub(super) run: Run,
    pub(super) truth: Truth,
    pub(super) counts: Counts,
    pub(super) now_ns: u64,
    /// When the next conversion of any chip is due.
    next_ns: u64,
    start_high: bool,
    reset_low_ns: u64,
}

/// One chip select.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) bus: usize,
    pub(super) line: ShiftLine,
    /// Its chips, of all.
    pub(super) chips: std::ops::Range<usize>,
    /// When CS rose.
    pub(super) deselected_ns: u64,
    /// The latest SCLK edge.
    pub(super) clocked_ns: u64,
    /// The index that the next read should latch, and how many conversions were made before it.
    next_read: u64,
    n_made: u64,
    /// The frame that was read last has this index.
    last_read: Option<u64>,
}

impl Chain {
    /// The bench of `setup` with its supplies up, at instant 0.
    #[must_use]
    pub fn new(setup: &Setup) -> Chain {
        let (mut chips, mut ports, mut first_channel) = (Vec::new(), Vec::new(), 0);
        for (i, select) in setup.selects.iter().enumerate() {
            let first = chips.len();
            for (place, chip) in select.chips.iter().enumerate() {
                chips.push(Chip::new(setup, chip, i, place, first_channel));
                first_channel += chip.model.n_channels();
            }
            let lengths: Vec<usize> = select.chips.iter().map(|chip| chip.model.frame_bytes()).collect();
            ports.push(Port {
                bus: select.bus,
                line: ShiftLine::new(&lengths, setup.gap_bits),
                chips: first..chips.len(),
                deselected_ns: 0,
                clocked_ns: 0,
                next_read: 0,
                n_made: 0,
                last_read: None,
            });
        }
        let mut chain = Chain {
            chips,
            ports,
            edges: Edges::new(setup.delays, setup.seed),
            run: Run::new(setup.run_by_hand),
            truth: Truth::new(setup.notes_max),
            counts: Counts::default(),
            now_ns: 0,
            next_ns: NEVER,
            start_high: setup.start_tied_high && !setup.pins.start,
            reset_low_ns: 0,
            setup: setup.clone(),
        };
        for chip in &mut chain.chips {
            let power_on_ns = chip.converter.clocks_ns(POWER_ON_TICKS);
            chip.busy_until_ns = if setup.powered_ns > 0 { setup.powered_ns + power_on_ns } else { 0 };
        }
        chain.distribute_clock(0);
        for chip in 0..chain.chips.len() {
            let ready_ns = chain.chips[chip].busy_until_ns;
            chain.update(chip, ready_ns, 0, false);
            chain.set_repeats(chip);
        }
        chain
    }

    /// What the bench knows it did.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.truth.clone()
    }

    /// The latest instant.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Time goes on to `to_ns`, and with it whatever the chips do by themselves.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn advance(&mut self, to_ns: u64) {
        self.run_to(to_ns);
        self.truth.publish(&self.counts);
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn run_to(&mut self, to_ns: u64) {
        while self.next_ns <= to_ns {
            let at_ns = self.next_ns;
            self.now_ns = self.now_ns.max(at_ns);
            for chip in 0..self.chips.len() {
                if self.chips[chip].converter.next_ns() == at_ns {
                    self.convert(chip, at_ns);
                }
            }
            self.schedule();
        }
        self.now_ns = self.now_ns.max(to_ns);
    }

    /// When something will happen next if nobody does anything: a conversion, or an event that the host can read;
    /// `u64::MAX` for never.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        self.next_ns.min(self.edges.ready_ns().unwrap_or(NEVER))
    }

    /// When the next conversion is complete, `u64::MAX` for never.
    #[must_use]
    pub fn next_conversion_ns(&self) -> u64 {
        self.next_ns
    }

    /// Takes the oldest event of DRDY that the kernel has made by `now_ns`, to which time goes on.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn take_edge(&mut self, now_ns: u64) -> Option<Edge> {
        self.advance(now_ns);
        self.edges.take(now_ns)
    }

    /// Time goes on to `to_ns` while the kernel's thread stands still: all edges in between become one event.
    pub fn advance_blind(&mut self, to_ns: u64) {
        self.edges.hold_thread(true);
        self.advance(to_ns);
        self.edges.hold_thread(false);
    }

    /// Whether DRDY is low, as of the latest instant.
    #[must_use]
    pub fn drdy_is_low(&self) -> bool {
        let Some(chip) = self.setup.drdy_of.and_then(|chip| self.chips.get(chip)) else { return false };
        let bus = self.ports[chip.select].bus;
        let clocked = self.ports.iter().filter(|port| port.bus == bus).any(|port| port.clocked_ns > chip.fell_ns);
        let rises_ns = chip.converter.next_ns().saturating_sub(chip.converter.clocks_ns(4));
        chip.is_alive() && chip.fell_ns > 0 && !clocked && self.now_ns < rises_ns
    }

    /// A control pin takes a level at `at_ns`. Pins that are not wired do not move.
    pub fn set_pin(&mut self, at_ns: u64, pin: Pin, high: bool) {
        self.run_to(at_ns);
        let at_ns = self.now_ns;
        match pin {
            Pin::Start if self.setup.pins.start => {
                if high && !self.start_high {
                    self.chips.iter_mut().for_each(|chip| chip.done = false);
                }
                self.start_high = high;
                for chip in 0..self.chips.len() {
                    self.update(chip, at_ns, 0, true);
                }
            }
            Pin::Reset if self.setup.pins.reset => self.set_reset(at_ns, high),
            Pin::PowerDown if self.setup.pins.power_down => self.set_power(at_ns, high),
            _ => {}
        }
        self.truth.publish(&self.counts);
    }

    fn set_reset(&mut self, at_ns: u64, high: bool) {
        for chip in 0..self.chips.len() {
            let state = &mut self.chips[chip];
            if state.held != high {
                continue;
            }
            state.held = !high;
            let long_ns = state.converter.clocks_ns(RESET_PULSE_TICKS);
            if !high {
                self.reset_low_ns = at_ns;
            } else if at_ns - self.reset_low_ns >= long_ns {
                self.reset(chip, at_ns);
                continue;
            } else {
                self.violation(chip, at_ns, Violation::ResetPulse);
            }
            self.update(chip, at_ns, 0, false);
        }
    }

    fn set_power(&mut self, at_ns: u64, high: bool) {
        for chip in 0..self.chips.len() {
            let state = &mut self.chips[chip];
            if state.powered == high {
                continue;
            }
            state.powered = high;
            self.ports[state.select].line.clear();
            if high {
                self.reset(chip, at_ns);
                let state = &mut self.chips[chip];
                state.busy_until_ns = at_ns + state.converter.clocks_ns(POWER_ON_TICKS);
            } else {
                self.run.disturb();
                self.update(chip, at_ns, 0, false);
            }
        }
    }

    /// A chip returns to its defaults: RESET by pin or command, power.
    pub(super) fn reset(&mut self, chip: usize, at_ns: u64) {
        self.run.disturb();
        let state = &mut self.chips[chip];
        state.reset(at_ns);
        let ready_ns = at_ns + state.converter.clocks_ns(RESET_TICKS);
        state.busy_until_ns = ready_ns;
        self.set_repeats(chip);
        self.distribute_clock(at_ns);
        self.update(chip, ready_ns, 0, false);
    }

    /// Tells the line which chip repeats its frame instead of passing on what its neighbour sends.
    pub(super) fn set_repeats(&mut self, chip: usize) {
        let port = &mut self.ports[self.chips[chip].select];
        let repeats = self.chips[port.chips.clone()].iter().position(|chip| chip.registers.repeats());
        port.line.set_repeats(repeats);
    }

    /// Gives every chip the master clock or takes it away.
    pub(super) fn distribute_clock(&mut self, at_ns: u64) {
        for chip in 0..self.chips.len() {
            let driven = match self.setup.clock {
                ClockSource::Chip(master) if master != chip => {
                    self.chips.get(master).is_some_and(|chip| chip.registers.drives_clock() && chip.powered)
                }
                _ => true,
            };
            let clocked = driven && self.setup.chips().nth(chip).is_some_and(|chip| chip.clocked);
            if self.chips[chip].clocked != clocked {
                self.chips[chip].clocked = clocked;
                self.update(chip, at_ns, 0, false);
            }
        }
    }

    /// Starts or stops the conversions of a chip by what its pins, commands and modes say. `by_host` when the host
    /// asked for it, which may begin a run.
    pub(super) fn update(&mut self, chip: usize, at_ns: u64, wait_ticks: u32, by_host: bool) {
        let state = &mut self.chips[chip];
        let wanted = (self.start_high || state.commanded) && !state.standby && !state.done && state.is_alive();
        if wanted && (!state.converter.is_running() || state.stopping) {
            state.stopping = false;
            self.start(chip, at_ns, wait_ticks, by_host);
        } else if !wanted && state.converter.is_running() {
            let soon_ns = state.converter.clocks_ns(STOP_TICKS);
            if state.is_alive() && state.converter.next_ns().saturating_sub(at_ns) < soon_ns {
                state.stopping = true;
            } else {
                state.converter.stop();
            }
        }
        self.schedule();
    }

    /// A chip settles from `at_ns` on and then converts.
    pub(super) fn start(&mut self, chip: usize, at_ns: u64, wait_ticks: u32, by_host: bool) {
        self.chips[chip].converter.stop();
        let others_run = self.chips.iter().any(|chip| chip.converter.is_running());
        let state = &mut self.chips[chip];
        state.converter.start(at_ns, state.registers.period_ticks(), wait_ticks);
        state.front.retune(&state.registers, at_ns);
        let (first_ns, tick_q32) = (state.converter.next_ns(), state.converter.tick_q32());
        if !by_host {
            state.next_index = self.run.index_at(first_ns, tick_q32);
            self.schedule();
            return;
        }
        if self.truth.take_arm() {
            self.run.arm();
        }
        let first = self.run.start(first_ns, state.converter.period_ticks(), tick_q32, others_run);
        state.next_index = first.index;
        if first.begins {
            self.begin_run(first_ns);
        } else if self.run.has_begun() && state.n_made > 0 && first.index > state.index + 1 {
            let note = Note::Down { chip, first: state.index + 1, n: first.index - state.index - 1 };
            self.truth.note(&mut self.counts, note);
        }
        self.schedule();
    }

    fn begin_run(&mut self, first_ns: u64) {
        for chip in &mut self.chips {
            chip.n_made = 0;
        }
        for port in &mut self.ports {
            (port.next_read, port.n_made, port.last_read) = (0, 0, None);
        }
        self.counts =
            Counts { n_conversions: 0, n_made: 0, n_down: 0, n_reads: 0, n_unread: 0, n_repeated: 0, ..self.counts };
        self.truth.note(&mut self.counts, Note::RunBegan { first_ns });
    }

    fn schedule(&mut self) {
        self.next_ns = self.chips.iter().map(|chip| chip.converter.next_ns()).min().unwrap_or(NEVER);
    }

    /// A conversion is complete: the frame is made, DRDY falls.
    fn convert(&mut self, chip: usize, at_ns: u64) {
        let state = &mut self.chips[chip];
        let index = if state.converter.period_ticks() == self.run.period_ticks() {
            let index = state.next_index;
            state.next_index += 1;
            self.run.made(at_ns, index);
            index
        } else {
            self.run.index_at(at_ns, state.converter.tick_q32())
        };
        state.converter.step();
        state.fell_ns = at_ns;
        state.convert(index, at_ns);
        if state.registers.single_shot() || state.stopping {
            state.done = state.registers.single_shot();
            state.stopping = false;
            state.converter.stop();
        }
        if state.continuous {
            self.ports[state.select].line.load(state.place, state.out());
        }
        if self.setup.drdy_of.unwrap_or(0) == chip {
            self.counts.n_made += 1;
            self.counts.n_conversions = index + 1;
            self.counts.n_down = (index + 1).saturating_sub(self.counts.n_made);
        }
        if self.setup.drdy_of == Some(chip) {
            self.edges.edge(at_ns, &mut self.counts);
        }
    }

    /// The host reads the frame of the latest conversion of `select`.
    pub(super) fn count_read(&mut self, select: usize) {
        let port = &mut self.ports[select];
        let Some(chip) = self.chips.get(port.chips.start).filter(|chip| chip.n_made > 0) else { return };
        if !self.run.has_begun() {
            return;
        }
        let (index, repeated) = (chip.index, port.last_read == Some(chip.index));
        let n_unread = if repeated { 0 } else { (chip.n_made - port.n_made).saturating_sub(1) };
        let note = if repeated {
            Some(Note::Repeated { select, conversion: index })
        } else if index != port.next_read {
            Some(Note::Skipped { select, first: port.next_read, read: index, n_unread })
        } else {
            None
        };
        (port.last_read, port.next_read, port.n_made) = (Some(index), index + 1, chip.n_made);
        if select == 0 {
            self.counts.n_reads += 1;
            self.counts.n_unread += n_unread;
            self.counts.n_repeated += u64::from(repeated);
        }
        if let Some(note) = note {
            self.truth.note(&mut self.counts, note);
        }
    }

    /// The host did not keep a time.
    pub(super) fn violation(&mut self, chip: usize, at_ns: u64, violation: Violation) {
        self.counts.n_violations += 1;
        self.truth.note(&mut self.counts, Note::Violation { chip, at_ns, violation });
    }
}
