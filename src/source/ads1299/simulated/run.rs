//! Which index a conversion has. Indices count conversions since the run began; across a break in which chips did not
//! convert they go on by elapsed time, as the index of a sample must.
//!
//! A START begins a run at index 0 when no chip converts at that instant and
//! - there was no run yet, or the conversion period is not the run's; or
//! - the host stopped the chips and nothing else happened to them: no reset by pin, command or power, and no fault
//!   struck since the last START.
//!
//! The other STARTs are what a re-initialisation looks like: the index goes on, by elapsed time over the period at
//! the true clock, rounded. [`super::Truth::arm`] settles it by hand: the next START begins a run whatever was before,
//! and no later one does. A CONFIG1 write while chips convert (START tied high) counts as a START.

/// The index of conversions.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    period_ticks: u32,
    /// The latest conversion of the run: when, and its index.
    anchor_ns: u64,
    anchor_index: u64,
    /// What looks like a re-initialisation happened since the last START.
    disturbed: bool,
    /// The host says by hand where runs begin.
    by_hand: bool,
    armed: bool,
}

/// What a START did to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    /// The index of the first conversion.
    pub(super) index: u64,
    /// A run began with it.
    pub(super) begins: bool,
}

impl Run {
    pub(super) fn new(by_hand: bool) -> Run {
        Run { by_hand, ..Run::default() }
    }

    /// The next START begins a run, and none after it.
    pub(super) fn arm(&mut self) {
        self.by_hand = true;
        self.armed = true;
    }

    /// Whether there is a run, so that indices mean something.
    pub(super) fn has_begun(&self) -> bool {
        self.period_ticks != 0
    }

    /// Chips were reset or a fault struck them.
    pub(super) fn disturb(&mut self) {
        self.disturbed = true;
    }

    /// tCLK between two conversions of the run; 0 before the first one.
    pub(super) fn period_ticks(&self) -> u32 {
        self.period_ticks
    }

    /// A chip starts and will have its first conversion at `first_ns`; `others_run` when another chip converts already.
    /// `tick_q32` is the true tCLK in 2^-32 ns.
    pub(super) fn start(&mut self, first_ns: u64, period_ticks: u32, tick_q32: u64, others_run: bool) -> First {
        let fresh = self.period_ticks == 0 || period_ticks != self.period_ticks || !self.disturbed;
        let begins = !others_run && if self.by_hand { self.armed } else { fresh };
        if begins {
            *self = Run { period_ticks, anchor_ns: first_ns, by_hand: self.by_hand, ..Run::default() };
            return First { index: 0, begins: true };
        }
        self.disturbed = false;
        let index = self.index_at(first_ns, tick_q32);
        if others_run {
            return First { index, begins: false };
        }
        // Chips that start one after the other agree on the index, because the second one finds this anchor.
        let index = index.max(self.anchor_index + 1);
        self.made(first_ns, index);
        First { index, begins: false }
    }

    /// The index that a conversion at `at_ns` has by time, with a tCLK of `tick_q32`.
    pub(super) fn index_at(&self, at_ns: u64, tick_q32: u64) -> u64 {
        let period_q32 = u128::from(u64::from(self.period_ticks.max(1)) * tick_q32).max(1);
        let periods = |ns: u64| u64::try_from((((u128::from(ns)) << 32) + period_q32 / 2) / period_q32).unwrap_or(0);
        if at_ns >= self.anchor_ns {
            self.anchor_index + periods(at_ns - self.anchor_ns)
        } else {
            self.anchor_index.saturating_sub(periods(self.anchor_ns - at_ns))
        }
    }

    /// A conversion of the run was made.
    pub(super) fn made(&mut self, at_ns: u64, index: u64) {
        self.anchor_ns = at_ns;
        self.anchor_index = index;
    }
}
