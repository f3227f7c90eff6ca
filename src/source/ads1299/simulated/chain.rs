//! The bench as a whole: time goes on, chips convert, DRDY falls, pins are set.

use super::chip::Chip;
use super::converter::NEVER;
use super::edges::Edges;
use super::effects::{Effects, PortEffects};
use super::pins::POWER_ON_TICKS;
use super::run::{First, Run};
use super::script::Script;
use super::setup::{ClockSource, Setup};
use super::shift::ShiftLine;
use super::signal::Input;
use super::truth::{Counts, Note, Truth, Violation};
use crate::source::ads1299::wire::Edge;

/// tCLK before a conversion in which STOP does not stop it any more (tSDSU).
const STOP_TICKS: u32 = 16;

/// All chips of a bench, without threads and without a clock of its own: whoever drives it says what time it is, in
/// nanoseconds of one clock that never goes back. An instant before the latest one counts as the latest one.
#[derive(Debug)]
pub struct Chain {
    pub(super) setup: Setup,
    pub(super) chips: Vec<Chip>,
    pub(super) ports: Vec<Port>,
    pub(super) edges: Edges,
    pub(super) run: Run,
    pub(super) truth: Truth,
    pub(super) counts: Counts,
    input: Input,
    pub(super) script: Script,
    pub(super) effects: Effects,
    pub(super) now_ns: u64,
    /// When the next conversion of any chip is due, or a fault ends.
    next_ns: u64,
    /// The chip that faults wait for: the one behind DRDY.
    leader: usize,
    pub(super) start_high: bool,
    pub(super) reset_low_ns: u64,
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
    pub(super) next_read: u64,
    pub(super) n_made: u64,
    /// The frame that was read last has this index.
    pub(super) last_read: Option<u64>,
    /// The frame that this transfer reads has this index.
    pub(super) reads: Option<u64>,
    /// It straddles an update.
    pub(super) straddles: bool,
    pub(super) effects: PortEffects,
}

impl Chain {
    /// The bench of `setup` from instant 0 on.
    #[must_use]
    pub fn new(setup: &Setup) -> Chain {
        Chain::new_at(setup, 0)
    }

    /// The bench of `setup` from an instant on.
    #[must_use]
    pub fn new_at(setup: &Setup, at_ns: u64) -> Chain {
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
                reads: None,
                straddles: false,
                effects: PortEffects::default(),
            });
        }
        let mut chain = Chain {
            chips,
            ports,
            edges: Edges::new(setup.delays, setup.seed),
            run: Run::new(setup.run_by_hand),
            truth: Truth::new(setup.notes_max),
            counts: Counts::default(),
            input: Input::new(&setup.signal, first_channel, setup.seed),
            script: Script::new(&setup.faults, setup.seed),
            effects: Effects::new(setup.gap_bits),
            now_ns: at_ns,
            next_ns: NEVER,
            leader: setup.drdy_of.unwrap_or(0),
            start_high: setup.start_tied_high && !setup.pins.start,
            reset_low_ns: 0,
            setup: setup.clone(),
        };
        for chip in &mut chain.chips {
            let power_on_ns = chip.converter.clocks_ns(POWER_ON_TICKS);
            chip.busy_until_ns = at_ns + if setup.powered_ns > 0 { setup.powered_ns + power_on_ns } else { 0 };
            (chip.power_on_until_ns, chip.unreset) = (chip.busy_until_ns, setup.powered_ns > 0);
            chip.powered = !(setup.powered_down && setup.pins.power_down);
            chip.converter.reset(at_ns);
        }
        chain.distribute_clock(at_ns);
        for chip in 0..chain.chips.len() {
            let ready_ns = chain.chips[chip].busy_until_ns;
            chain.update(chip, ready_ns, 0, false);
            chain.set_repeats(chip);
        }
        let at_power_up: Vec<_> = chain.script.at_power_up().collect();
        for (i, planned) in at_power_up {
            chain.strike(i, planned, 0, at_ns);
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
            self.suffer(at_ns);
            for chip in 0..self.chips.len() {
                if self.chips[chip].converter.next_ns() == at_ns {
                    self.convert(chip, at_ns);
                }
            }
            self.schedule();
        }
        self.now_ns = self.now_ns.max(to_ns);
    }

    /// Faults strike and end.
    fn suffer(&mut self, at_ns: u64) {
        if self.effects.next_end_ns <= at_ns {
            self.end_effects(at_ns);
        }
        if self.effects.spurious_ns <= at_ns {
            self.effects.spurious_ns = NEVER;
            self.counts.n_edges_spurious += 1;
            self.edges.edge(at_ns, &mut self.counts);
        }
        let Some(leader) = self.chips.get(self.leader) else { return };
        let index = leader.next_index;
        if self.script.next_index() <= index
            && leader.converter.next_ns() == at_ns
            && leader.converter.period_ticks() == self.run.period_ticks()
        {
            self.strike_all(index, at_ns);
        }
    }

    /// When something will happen next if nobody does anything: a conversion, or an event that the host can read;
    /// `u64::MAX` for never.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        self.next_ns.min(self.edges.ready_ns().unwrap_or(NEVER))
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
            let clocked = driven
                && !self.chips[chip].effects.no_clock
                && self.setup.chips().nth(chip).is_some_and(|chip| chip.clocked);
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
        state.front.retune(&mut state.registers, at_ns);
        let (first_ns, tick_q32) = (state.converter.next_ns(), state.converter.tick_q32());
        if by_host && self.truth.take_arm() {
            self.run.arm();
        }
        let state = &mut self.chips[chip];
        let first = if by_host {
            self.run.start(first_ns, state.converter.period_ticks(), tick_q32, others_run)
        } else {
            First { index: self.run.index_at(first_ns, tick_q32), begins: false }
        };
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
        self.script.begin();
    }

    pub(super) fn schedule(&mut self) {
        let fault_ns = self.effects.next_end_ns.min(self.effects.spurious_ns);
        self.next_ns = self.chips.iter().map(|chip| chip.converter.next_ns()).fold(fault_ns, u64::min);
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
        state.convert(index, at_ns, &mut self.input);
        if state.registers.single_shot() || state.stopping {
            state.done = state.registers.single_shot();
            state.stopping = false;
            state.converter.stop();
        }
        if state.continuous {
            self.load_frame(chip);
        }
        if self.leader == chip {
            self.counts.n_made += 1;
            self.counts.n_conversions = index + 1;
            self.counts.n_down = (index + 1).saturating_sub(self.counts.n_made);
        }
        if self.setup.drdy_of == Some(chip) {
            self.edges.edge(at_ns, &mut self.counts);
        }
    }

    /// The host did not keep a time.
    pub(super) fn violation(&mut self, chip: usize, at_ns: u64, violation: Violation) {
        self.counts.n_violations += 1;
        self.truth.note(&mut self.counts, Note::Violation { chip, at_ns, violation });
    }
}
