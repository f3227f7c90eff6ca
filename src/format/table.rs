//! What a row of CSV says: times and values as decimals, and values back to codes.

use std::fmt;

use crate::edf::Signal;

/// Nanoseconds in a second.
const NS_PER_S: i128 = 1_000_000_000;

/// Frames to seconds from the header's start, as the onsets of events are.
#[derive(Debug)]
pub(super) struct Clock {
    record_ns: i128,
    record_frames: i128,
    start_ns: i128,
    places: u32,
}

/// Decimals that a time has at most; 2048 Hz needs 11.
const PLACES_MAX: u32 = 18;

/// Decimals of a time that no decimal is equal to, as at 3 Hz.
const PLACES_ROUNDED: u32 = 12;

impl Clock {
    pub(super) fn new(record_ns: i64, record_frames: u64, start_ns: i64) -> Clock {
        let (record_ns, record_frames) = (i128::from(record_ns), i128::from(record_frames));
        let exact = |places: &u32| 10_i128.pow(*places) * record_ns % (record_frames * NS_PER_S) == 0;
        let places = (9..=PLACES_MAX).find(exact).unwrap_or(PLACES_ROUNDED);
        Clock { record_ns, record_frames, start_ns: i128::from(start_ns), places }
    }

    pub(super) fn at(&self, frame: u64) -> Decimal {
        let divisor = self.record_frames * NS_PER_S;
        let time = self.start_ns * self.record_frames + i128::from(frame) * self.record_ns;
        let one = 10_i128.pow(self.places);
        let (whole, rest) = (time.abs() / divisor, time.abs() % divisor);
        // Nothing is rounded where a decimal is exact.
        let fraction = (rest * one + divisor / 2) / divisor;
        let (whole, fraction) = if fraction == one { (whole + 1, 0) } else { (whole, fraction) };
        Decimal { is_negative: time < 0, whole, fraction, places: self.places }
    }
}

/// A decimal number without trailing zeros.
pub(super) struct Decimal {
    is_negative: bool,
    whole: i128,
    fraction: i128,
    places: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{}", self.whole)?;
        let (mut fraction, mut places) = (self.fraction, self.places as usize);
        if fraction == 0 {
            return Ok(());
        }
        while fraction % 10 == 0 {
            (fraction, places) = (fraction / 10, places - 1);
        }
        write!(f, ".{fraction:0places$}")
    }
}

/// From codes to values: `(code - digital_min) * (physical_max - physical_min) / (digital_max - digital_min) +
/// physical_min` (EDF specification), in `f64`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    digital_min: f64,
    physical: f64,
    digital: f64,
    physical_min: f64,
    limits: (i32, i32),
}

impl Scale {
    /// The line of a signal whose codes lie within `limits`, where each code has a value of its own.
    pub(super) fn of(signal: &Signal, limits: (i32, i32)) -> Result<Scale, String> {
        let Signal { label, physical_min, physical_max, digital_min, digital_max, .. } = signal;
        let (physical, digital) = (physical_max - physical_min, f64::from(*digital_max) - f64::from(*digital_min));
        // Codes beyond the range are at most as far away as three bytes reach.
        if !(physical * f64::from(1 << 25)).is_finite() {
            return Err(format!(
                "`{label}` goes from {physical_min:e} to {physical_max:e}, more than an f64 can scale; --codes writes its codes"
            ));
        }
        let scale =
            Scale { digital_min: f64::from(*digital_min), physical, digital, physical_min: *physical_min, limits };
        let largest =
            [limits.0, limits.1].map(|code| scale.value(code).abs()).into_iter().fold(physical_min.abs(), f64::max);
        // Four roundings, each of half a unit in the last place, must not reach half a step.
        if (physical / digital).abs() < largest * f64::EPSILON * 8.0 {
            return Err(format!(
                "`{label}` goes from {physical_min:e} to {physical_max:e}: neighbouring codes have the same value in an f64; \
                 --codes writes its codes"
            ));
        }
        Ok(scale)
    }

    /// The value of a code.
    pub(super) fn value(&self, code: i32) -> f64 {
        // Adding zero turns -0 into 0.
        (f64::from(code) - self.digital_min) * self.physical / self.digital + self.physical_min + 0.0
    }

    /// The code of a value that [`Scale::value`] made; `None` where no code has it.
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates, and the value is compared")]
    pub(super) fn code(&self, value: f64) -> Option<i32> {
        let near = ((value - self.physical_min) * self.digital / self.physical + self.digital_min).round() as i32;
        let is_it = |code: &i32| self.limits.0 <= *code && *code <= self.limits.1 && self.value(*code) == value;
        [near, near.saturating_add(1), near.saturating_sub(1)].into_iter().find(is_it)
    }
}

/// A value as the shortest decimal that reads back as the same `f64`, in at most 25 characters.
pub(super) struct Shortest(pub(super) f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            0.0 => write!(f, "0"),
            small_or_large if !(1e-5..1e16).contains(&small_or_large) => write!(f, "{:e}", self.0),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// A text as a cell (RFC 4180). Those of a header are printable ASCII. A `#` outside of quotes would begin a comment.
pub(super) fn cell(text: &str) -> String {
    if text.contains([',', '"', '#']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_where_a_decimal_is() {
        for (record_ns, record_frames, start_ns, frame, text) in [
            (1_000_000_000, 4000, 0, 1, "0.00025"),
            (1_000_000_000, 4000, 0, 4000, "1"),
            (1_000_000_000, 2048, 0, 1, "0.00048828125"),
            (1_000_000_000, 2048, 400_000_000, 2049, "1.40048828125"),
            (1_000_000_000, 3, 0, 2, "0.666666666667"),
            (1_000_000_000, 3, 0, 300_000_001, "100000000.333333333333"),
            (30_000_000_000, 1, -500_000_000, 0, "-0.5"),
            (30_000_000_000, 1, -500_000_000, 1, "29.5"),
            (i64::MAX, 7, 0, u64::from(u32::MAX), "5659154463986970965.088890295"),
        ] {
            assert_eq!(Clock::new(record_ns, record_frames, start_ns).at(frame).to_string(), text);
        }
    }

    #[test]
    fn a_label_with_a_comma_is_one_cell() {
        assert_eq!(cell("Fp1 [uV]"), "Fp1 [uV]");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
