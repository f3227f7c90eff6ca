//! Control pins, reset and power.

use super::chain::Chain;
use super::truth::Violation;
use crate::source::ads1299::wire::Pin;

/// tCLK of the power-on reset (tPOR).
pub(super) const POWER_ON_TICKS: u32 = 1 << 18;
/// tCLK that a chip needs after RESET.
const RESET_TICKS: u32 = 18;
/// tCLK that RESET must be low at least.
const RESET_PULSE_TICKS: u32 = 2;

impl Chain {
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
                let steady_ns = if high { at_ns + self.effects.take_bounce() } else { at_ns };
                for chip in 0..self.chips.len() {
                    self.update(chip, steady_ns, 0, true);
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
            } else if at_ns < state.power_on_until_ns {
                self.violation(chip, at_ns, Violation::ResetEarly);
                continue;
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
                self.power_on(chip, at_ns);
            } else {
                self.run.disturb();
                self.update(chip, at_ns, 0, false);
            }
        }
    }

    /// The supply of a chip comes up: it hears nothing until its power-on reset is over, and wants a RESET after that.
    pub(super) fn power_on(&mut self, chip: usize, at_ns: u64) {
        let state = &mut self.chips[chip];
        state.power_on_until_ns = at_ns + state.converter.clocks_ns(POWER_ON_TICKS);
        state.busy_until_ns = state.power_on_until_ns;
        self.reset(chip, at_ns);
        self.chips[chip].unreset = true;
    }

    /// A chip returns to its defaults: RESET by pin or command, power.
    pub(super) fn reset(&mut self, chip: usize, at_ns: u64) {
        self.run.disturb();
        let state = &mut self.chips[chip];
        state.reset(at_ns);
        (state.reverted, state.unreset) = (false, false);
        let ready_ns = at_ns + state.converter.clocks_ns(RESET_TICKS);
        // A reset does not shorten the one of power-up.
        let ready_ns = state.busy_until_ns.max(ready_ns);
        state.busy_until_ns = ready_ns;
        self.set_repeats(chip);
        self.distribute_clock(at_ns);
        self.update(chip, ready_ns, 0, false);
    }
}
