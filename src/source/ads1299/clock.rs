//! The converter's clock as the edges show it: which conversion is the newest at an instant.
//!
//! A frame's index is not counted in edges that arrived but in conversions that the chip's clock had made when the
//! frame was latched. So neither an edge that the kernel merged with another, nor one that it never saw, nor a spurious
//! one can move the index. Edges serve to keep the estimate of period and phase: an interrupt is never early, only
//! late, so the phase follows the earliest of them closely and the late ones slowly. Only where an edge stands so close
//! before the next conversion that it may be late by most of a period, or the estimate be late by a little, the kernel's
//! count of interrupts decides.

/// Conversions over which the period is measured anew: a second at 4 kHz, in which a microsecond of doubt at each end
/// is 2 ppm.
const WINDOW: u64 = 4096;

/// Doubt about the phase, as a part of the period; but at least [`GUARD_NS_MIN`]. The estimate is later than the converter by
/// what interrupts take at the least, and by some of what they vary.
const DOUBT: f64 = 0.06;

/// The least doubt: what a hard interrupt's entry varies by on a quiet machine.
const GUARD_NS_MIN: f64 = 2_000.0;

/// An edge this part of a period before a conversion may be that conversion's, with the estimate late by so much.
const EARLY: f64 = 0.25;

/// How far the period may be off while the converter's clock changes, as a part of it.
const PERIOD_DOUBT: f64 = 1e-4;

/// How fast the memory of an estimate that was late fades: by this part with every edge.
const FADING: f64 = 1.0 / 256.0;

/// Period and phase of the conversions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ConversionClock {
    period_ns: f64,
    /// The instant of conversion `index`, as `base_ns + phase_ns`: a whole part and a small remainder, because an
    /// `f64` of nanoseconds since boot would round.
    base_ns: u64,
    phase_ns: f64,
    index: u64,
    /// By how much the estimate was late lately, nanoseconds: added to the doubt.
    late_ns: f64,
    /// Where the measurement of the period began, in the same form.
    window: (u64, f64, u64),
}

impl ConversionClock {
    /// A clock whose conversion `index` was at `at_ns`.
    #[must_use]
    pub(super) fn new(period_ns: f64, index: u64, at_ns: u64) -> ConversionClock {
        ConversionClock { period_ns, base_ns: at_ns, phase_ns: 0.0, index, late_ns: 0.0, window: (at_ns, 0.0, index) }
    }

    /// The time between two conversions, nanoseconds.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub(super) fn period_ns(&self) -> f64 {
        self.period_ns
    }

    /// Periods since the conversion that the clock stands at.
    fn periods_until(&self, at_ns: u64) -> f64 {
        let whole = signed(at_ns.wrapping_sub(self.base_ns));
        (whole - self.phase_ns) / self.period_ns
    }

    /// The doubt about the phase, in periods.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    pub(super) fn guard(&self) -> f64 {
        DOUBT.max(GUARD_NS_MIN.max(self.late_ns) / self.period_ns).min(EARLY)
    }

    /// The newest conversion at `at_ns` if the phase were earlier by `periods` than estimated (negative: later).
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "2^63 conversions are 18 million years at 16 kHz")]
    pub(super) fn newest_at(&self, at_ns: u64, periods: f64) -> u64 {
        let conversions = (self.periods_until(at_ns) + periods).floor() as i64;
        self.index.saturating_add_signed(conversions)
    }

    /// When conversion `index` is or was, nanoseconds.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "nanoseconds in range")]
    pub(super) fn instant_ns(&self, index: u64) -> u64 {
        let periods = signed(index.wrapping_sub(self.index));
        self.base_ns.wrapping_add_signed((self.phase_ns + periods * self.period_ns).round() as i64)
    }

    /// Takes an edge in that was stamped at `at_ns`, `n_interrupts` after the one before; answers the conversion that it
    /// announces.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn edge(&mut self, at_ns: u64, n_interrupts: u64) -> u64 {
        let index = self.announced(at_ns, n_interrupts);
        if index < self.index {
            // From before the clock was set: it says nothing.
            return index;
        }
        let passed = (index - self.index) as f64;
        let late_ns = (self.periods_until(at_ns) - passed) * self.period_ns;
        self.phase_ns += passed * self.period_ns;
        self.index = index;
        // Early: the estimate was late, follow. Late: an interrupt that waited, or drift; follow a little.
        self.phase_ns += if late_ns < 0.0 { late_ns * 0.5 } else { late_ns.min(self.period_ns / 8.0) / 16.0 };
        self.late_ns = (self.late_ns * (1.0 - FADING)).max(-late_ns);
        self.fold();
        if self.index - self.window.2 >= WINDOW {
            self.measure();
        }
        index
    }

    /// The conversion of an edge. Where time and the count of interrupts agree, theirs; after many conversions the estimate of
    /// the period leaves more room, to both sides. Else what time says, and the count only where time is in doubt.
    fn announced(&self, at_ns: u64, n_interrupts: u64) -> u64 {
        let periods = self.periods_until(at_ns);
        let drift = periods.abs() * PERIOD_DOUBT;
        if (periods - n_interrupts as f64).abs() < (EARLY + drift).min(0.5) {
            return self.index + n_interrupts;
        }
        let guard = (self.guard() + drift).min(0.5);
        let (late, early) = (self.newest_at(at_ns, guard), self.newest_at(at_ns, guard.max(EARLY)));
        if late != early && self.index + n_interrupts != early { late } else { early }
    }

    /// Moves whole nanoseconds from the remainder into the base.
    #[allow(clippy::cast_possible_truncation, reason = "nanoseconds in range")]
    fn fold(&mut self) {
        let whole = self.phase_ns.floor();
        self.base_ns = self.base_ns.wrapping_add_signed(whole as i64);
        self.phase_ns -= whole;
    }

    fn measure(&mut self) {
        let (base_ns, phase_ns, index) = self.window;
        let passed_ns = signed(self.base_ns.wrapping_sub(base_ns)) + self.phase_ns - phase_ns;
        let measured_ns = passed_ns / (self.index - index) as f64;
        // A quarter at a time, because the converter's clock drifts with temperature, over minutes. What is far beyond
        // the doubt of a measurement is a step: it is taken as it is.
        let difference_ns = measured_ns - self.period_ns;
        let stepped = difference_ns.abs() > 1e-4 * self.period_ns;
        self.period_ns += if stepped { difference_ns } else { difference_ns / 4.0 };
        self.window = (self.base_ns, self.phase_ns, self.index);
    }

    /// Sets the clock on after conversions that nobody followed: the next edge, at `at_ns`, is the conversion that
    /// elapsed time and the measured period say, to the nearest. Answers it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of conversions")]
    pub(super) fn resume(&mut self, at_ns: u64) -> u64 {
        let passed = self.periods_until(at_ns).round().max(1.0) as u64;
        *self = ConversionClock::new(self.period_ns, self.index + passed, at_ns);
        self.index
    }
}

/// A wrapped difference as the signed number it stands for.
#[allow(clippy::cast_possible_wrap, reason = "the wrap is the sign")]
fn signed(difference: u64) -> f64 {
    difference as i64 as f64
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants in range")]
mod tests {
    use super::*;

    const PERIOD: f64 = 250_000.0;

    /// True instants of a clock that is `ppm` fast, with latencies that are never negative.
    fn true_ns(index: u64, ppm: f64) -> u64 {
        (1e9 + index as f64 * PERIOD * (1.0 - ppm * 1e-6)) as u64
    }

    fn latency_ns(index: u64) -> u64 {
        // 0 to 8 us, and now and then 100 us.
        if index % 997 == 996 { 100_000 } else { index.wrapping_mul(0x9E37_79B9) % 8000 }
    }

    #[test]
    fn no_edge_is_mistaken_for_another_at_any_drift_of_the_datasheet() {
        for ppm in [-25_000.0, -5000.0, -100.0, 0.0, 100.0, 5000.0, 25_000.0] {
            // Start-up has measured the period to 100 ppm.
            let measured = PERIOD * (1.0 - ppm * 1e-6) * 1.0001;
            let mut clock = ConversionClock::new(measured, 0, true_ns(0, ppm) + latency_ns(0));
            for index in 1..100_000 {
                assert_eq!(clock.edge(true_ns(index, ppm) + latency_ns(index), 1), index, "{ppm} ppm");
            }
            let error_ppm = (clock.period_ns() / (PERIOD * (1.0 - ppm * 1e-6)) - 1.0) * 1e6;
            assert!(error_ppm.abs() < 5.0, "{error_ppm} ppm of error at {ppm} ppm");
        }
    }

    #[test]
    fn lost_edges_do_not_move_the_index_and_spurious_ones_announce_nothing_new() {
        let mut clock = ConversionClock::new(PERIOD, 0, true_ns(0, 0.0));
        for index in 1..10_000 {
            clock.edge(true_ns(index, 0.0) + latency_ns(index), 1);
        }
        // 1.5 s without edges: a disk that stalled an old kernel.
        assert_eq!(clock.edge(true_ns(16_000, 0.0), 1), 16_000);
        assert_eq!(clock.edge(true_ns(16_000, 0.0) + 100_000, 1), 16_000);
        assert_eq!(clock.edge(true_ns(16_001, 0.0), 1), 16_001);
        assert_eq!(clock.newest_at(true_ns(16_005, 0.0) + 240_000, 0.0), 16_005);
        assert!(clock.instant_ns(16_010).abs_diff(true_ns(16_010, 0.0)) < 4000);
    }

    #[test]
    fn after_a_long_sleep_with_a_spurious_edge_in_it_the_nearest_conversion_is_meant() {
        for ppm in [-40.0, -20.0, 0.0, 20.0, 40.0] {
            let mut clock = ConversionClock::new(PERIOD, 0, true_ns(0, 0.0));
            for index in 1..10_000 {
                clock.edge(true_ns(index, 0.0), 1);
            }
            // The converter has drifted while nobody looked.
            let slept_ns = (6250.0 * PERIOD * (1.0 - ppm * 1e-6)) as u64;
            assert_eq!(clock.edge(true_ns(9_999, 0.0) + slept_ns, 6251), 16_249, "{ppm} ppm");
        }
    }

    #[test]
    fn after_edges_that_were_lost_one_that_is_not_late_is_not_taken_for_the_one_before() {
        for lost in [2, 3, 5] {
            let mut clock = ConversionClock::new(PERIOD, 0, true_ns(0, 0.0));
            for index in 1..2000_u64 {
                // Spread over 30 us: the estimate stands some microseconds behind the earliest.
                let spread = index.wrapping_mul(0x9E37_79B9) % 30_000;
                assert_eq!(clock.edge(true_ns(index, 0.0) + spread, 1), index);
            }
            let (late_1, late_2) =
                (clock.edge(true_ns(2000, 0.0) + 30_000, 1), clock.edge(true_ns(2001, 0.0) + 30_000, 1));
            assert_eq!((late_1, late_2), (2000, 2001));
            assert_eq!(clock.edge(true_ns(2002 + lost, 0.0), 1), 2002 + lost, "{lost} lost");
        }
    }

    #[test]
    fn late_interrupts_do_not_move_the_index() {
        let mut clock = ConversionClock::new(PERIOD, 0, true_ns(0, 0.0));
        for index in 1..50_000_u64 {
            // Evenly spread over 45 us for a while, and every 1000th late by 90 % of a period.
            let spread = if (10_000..20_000).contains(&index) { index.wrapping_mul(0x9E37_79B9) % 45_000 } else { 0 };
            let late = if index % 1000 == 999 { 225_000 } else { spread };
            assert_eq!(clock.edge(true_ns(index, 0.0) + late, 1), index);
        }
    }

    #[test]
    fn a_clock_that_steps_is_followed() {
        let mut clock = ConversionClock::new(PERIOD, 0, 1_000_000_000);
        let (mut at, mut period) = (1e9, PERIOD);
        for index in 1..50_000_u64 {
            if index == 20_000 {
                period *= 1.002;
            }
            at += period;
            assert_eq!(clock.edge(at as u64 + latency_ns(index), 1), index);
        }
        assert!((clock.period_ns() / period - 1.0).abs() < 5e-6);
    }

    #[test]
    fn after_a_pause_the_index_is_elapsed_time_by_the_measured_period() {
        let mut clock = ConversionClock::new(PERIOD, 0, 1_000_000_000);
        clock.edge(1_000_250_000, 1);
        assert_eq!(clock.resume(1_000_250_000 + 1_000_100_000), 1 + 4000);
        assert_eq!(clock.edge(1_000_250_000 + 1_000_350_000, 1), 4002);
    }
}
