//! Square waves made by dividing the chip's clock, as they come out of its digital filter: the test signal and the AC
//! lead-off current.

/// A square wave of amplitude 1 that changes its sign every `half_ticks` tCLK of the chip's divider, after a sinc3
/// filter that converts every `period_ticks`: each step takes three conversions.
#[allow(clippy::cast_precision_loss, reason = "a few thousand ticks")]
pub(super) fn square(ticks: u64, half_ticks: u64, period_ticks: u32) -> f64 {
    let (half, period) = (half_ticks.max(1), u64::from(period_ticks.max(1)));
    let mut sign = if ticks / half % 2 == 0 { 1.0 } else { -1.0 };
    let mut out = sign;
    let mut age = ticks % half;
    // What the latest steps still lack of their height; at fDR/4 two of them overlap.
    while age < 3 * period {
        out -= 2.0 * sign * (1.0 - step(age as f64 / period as f64));
        sign = -sign;
        age += half;
    }
    out
}

/// The response of a sinc3 filter to a step that came `x` conversions ago, 0 to 3: the integral of a quadratic spline.
fn step(x: f64) -> f64 {
    if x < 1.0 {
        x * x * x / 6.0
    } else if x < 2.0 {
        (((9.0 - 2.0 * x) * x - 9.0) * x + 3.0) / 6.0
    } else {
        let left = 3.0 - x;
        1.0 - left * left * left / 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_rises_from_0_to_1_without_a_jump() {
        for (x, y) in [(0.0, 0.0), (1.0, 1.0 / 6.0), (1.5, 0.5), (2.0, 5.0 / 6.0), (3.0, 1.0)] {
            assert!((step(x) - y).abs() < 1e-12, "{x}");
            assert!((step(x - 1e-9) - step(x + 1e-9)).abs() < 1e-8, "{x}");
        }
    }

    #[test]
    fn a_quarter_of_the_rate_keeps_what_the_filter_leaves_of_it() {
        // The fundamental of a square wave is 4 / pi; sinc3 leaves 0.730 of it, and what is aliased onto it of the
        // third and fifth harmonics is 1.2 % and 0.2 % of that.
        let value = |k: u64| square(k * 512 + 9, 1024, 512);
        let (mut cosine, mut sine) = (0.0, 0.0);
        for k in 0..4 {
            let phase = std::f64::consts::FRAC_PI_2 * k as f64;
            cosine += value(100 + k) * phase.cos() / 2.0;
            sine += value(100 + k) * phase.sin() / 2.0;
        }
        let peak = f64::hypot(cosine, sine);
        assert!((peak - 4.0 / std::f64::consts::PI * 0.730).abs() < 0.014, "{peak}");
    }
}
