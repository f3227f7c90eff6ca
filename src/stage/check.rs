//! Range checks with the messages that a person expects: `KEY = VALUE must ..`, both ends named. NaN never passes.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::StageError;

/// The lowest frequency, as a part of the rate, that sections in `f64` still keep to within 1e-5: their
/// coefficients differ from those of 0 Hz by its square.
const LOWEST_OF_RATE: f64 = 1e-6;

/// Whether `value` lies in `range`, its ends included.
///
/// # Errors
/// `KEY = VALUE must be MIN to MAX`
pub fn range<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), StageError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(StageError::new(format!("{key} = {value} must be {} to {}", range.start(), range.end())))
}

/// Whether a filter can work at `hz` where frames come at `rate_hz`.
///
/// # Errors
/// `KEY = VALUE must be below half the rate, 2000` or `.. at least a millionth of the rate, 0.004`
pub fn frequency(key: &str, hz: f64, rate_hz: f64) -> Result<(), StageError> {
    let (lowest_hz, half_hz) = (rate_hz * LOWEST_OF_RATE, rate_hz / 2.0);
    if hz >= half_hz {
        return Err(StageError::new(format!("{key} = {hz} must be below half the rate, {half_hz}")));
    }
    if !(lowest_hz <= hz && hz < half_hz) {
        return Err(StageError::new(format!("{key} = {hz} must be at least a millionth of the rate, {lowest_hz}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_word_for_word() {
        let message = |result: Result<(), StageError>| result.expect_err("must be refused").to_string();
        assert_eq!(
            message(frequency("corner_hz", 2500.0, 4000.0)),
            "corner_hz = 2500 must be below half the rate, 2000"
        );
        assert_eq!(
            message(frequency("corner_hz", f64::NAN, 4000.0)),
            "corner_hz = NaN must be at least a millionth of the rate, 0.004"
        );
        assert_eq!(message(range("order", 9, 1..=8)), "order = 9 must be 1 to 8");
        assert_eq!(message(range("q", f64::NAN, 1.0..=1000.0)), "q = NaN must be 1 to 1000");
    }
}
