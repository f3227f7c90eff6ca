//! When a chip converts: the divider behind its master clock (SBAS499C, "Data Rate", "START", "Settling Time").

/// An instant that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// tCLK of the nominal 2.048 MHz, in 2^-32 ns: 488.28125 ns without a rest.
const NOMINAL_TICK_Q32: u64 = 15_625 << 32 >> 5;

/// The conversion clock of one chip. Time is kept in 2^-32 ns, so that a simulated day drifts by less than a
/// nanosecond.
#[derive(Debug, Clone)]
pub(super) struct Converter {
    tick_q32: u64,
    period_ticks: u32,
    period_q32: u64,
    next_ns: u64,
    next_fraction: u32,
    /// tCLK of the divider, which began at `zero_ns`, at the next conversion.
    ticks: u64,
    zero_ns: u64,
}

impl Converter {
    pub(super) fn new(ppm: f64) -> Converter {
        let mut converter = Converter {
            tick_q32: NOMINAL_TICK_Q32,
            period_ticks: 0,
            period_q32: 0,
            next_ns: NEVER,
            next_fraction: 0,
            ticks: 0,
            zero_ns: 0,
        };
        converter.set_ppm(0, ppm);
        converter
    }

    /// When the next conversion is complete, [`NEVER`] while the chip does not convert.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    pub(super) fn is_running(&self) -> bool {
        self.next_ns != NEVER
    }

    pub(super) fn period_ticks(&self) -> u32 {
        self.period_ticks
    }

    /// tCLK in 2^-32 ns.
    pub(super) fn tick_q32(&self) -> u64 {
        self.tick_q32
    }

    /// tCLK of the divider at the conversion that was made last.
    pub(super) fn ticks(&self) -> u64 {
        self.ticks.saturating_sub(u64::from(self.period_ticks))
    }

    /// `n` tCLK in nanoseconds, rounded up: no chip is given less than its time.
    pub(super) fn clocks_ns(&self, n: u32) -> u64 {
        (self.tick_q32 * u64::from(n)).div_ceil(1 << 32)
    }

    /// The divider starts again from zero.
    pub(super) fn reset(&mut self, at_ns: u64) {
        self.stop();
        self.zero_ns = at_ns;
    }

    /// Converts from `at_ns` on: the first conversion is complete after tSETTLE = 4 periods + 9 tCLK and `wait_ticks`.
    pub(super) fn start(&mut self, at_ns: u64, period_ticks: u32, wait_ticks: u32) {
        self.period_ticks = period_ticks;
        self.period_q32 = u64::from(period_ticks) * self.tick_q32;
        let settle_ticks = 4 * period_ticks + 9 + wait_ticks;
        let settle_q32 = u64::from(settle_ticks) * self.tick_q32;
        self.next_ns = at_ns + (settle_q32 >> 32);
        self.next_fraction = low_half(settle_q32);
        let since_zero_q32 = u128::from(at_ns - self.zero_ns.min(at_ns)) << 32;
        let before = u64::try_from(since_zero_q32 / u128::from(self.tick_q32)).unwrap_or(u64::MAX);
        self.ticks = before + u64::from(settle_ticks);
    }

    pub(super) fn stop(&mut self) {
        self.next_ns = NEVER;
    }

    /// The conversion that was due is made; the one after it is due now.
    ///
    /// Fast because it adds: a product from the start would need 128 bits on every conversion of every chip.
    pub(super) fn step(&mut self) {
        let fraction = u64::from(self.next_fraction) + u64::from(low_half(self.period_q32));
        self.next_ns += (self.period_q32 >> 32) + (fraction >> 32);
        self.next_fraction = low_half(fraction);
        self.ticks += u64::from(self.period_ticks);
    }

    /// The master clock is off by `ppm` from now on. What is left of the conversion under way takes the new clock.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a clock within 10 % of the nominal one"
    )]
    pub(super) fn set_ppm(&mut self, at_ns: u64, ppm: f64) {
        let before = self.tick_q32 as f64;
        // A clock that is fast by ppm has a period that is shorter by as much; 0 ppm stays exact.
        self.tick_q32 = (NOMINAL_TICK_Q32 as f64 / (1.0 + ppm * 1e-6)).round() as u64;
        self.period_q32 = u64::from(self.period_ticks) * self.tick_q32;
        if self.is_running() {
            let left_ns = self.next_ns.saturating_sub(at_ns) as f64;
            self.next_ns = at_ns.max((at_ns as f64 + left_ns * self.tick_q32 as f64 / before) as u64);
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low_half(q32: u64) -> u32 {
    q32 as u32
}
