//! Decimal numbers as text, without rounding on the way: eight-character header fields, and times in nanoseconds.

const DECIMALS: usize = 9;
const NS_PER_S: i64 = 1_000_000_000;

/// Seconds as decimal text (`12`, `+0.25`, `-3.000000001`, `.5`) to nanoseconds, exact up to nine decimals and
/// rounded half away from zero beyond them. `None` when it is no such number or longer than 292 years.
#[must_use]
pub fn parse_ns(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let mut ns = 0_i64;
    for byte in whole.bytes() {
        ns = ns.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
    }
    let mut fraction_ns = 0_i64;
    for place in 0..DECIMALS {
        let digit = fraction.as_bytes().get(place).map_or(0, |byte| i64::from(byte - b'0'));
        fraction_ns = fraction_ns * 10 + digit;
    }
    let round_up = i64::from(fraction.as_bytes().get(DECIMALS).is_some_and(|byte| *byte >= b'5'));
    let ns = ns.checked_mul(NS_PER_S)?.checked_add(fraction_ns + round_up)?;
    Some(if negative { -ns } else { ns })
}

/// Nanoseconds as seconds in decimal text, exact, without trailing zeros: the inverse of [`parse_ns`].
#[must_use]
pub fn format_ns(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let magnitude = ns.unsigned_abs();
    let (whole, fraction) = (magnitude / NS_PER_S.unsigned_abs(), magnitude % NS_PER_S.unsigned_abs());
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// A number of a header field: sign, digits, point, exponent; nothing that only `f64` understands (`inf`, `nan`).
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(allowed) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The shortest decimal text that stands for exactly this `f64`, when it fits into `width` characters.
#[must_use]
pub fn exact_in(width: usize, number: f64) -> Option<String> {
    // Adding zero turns -0 into 0.
    let text = format!("{}", number + 0.0);
    (number.is_finite() && text.len() <= width).then_some(text)
}

/// The decimal text of at most `width` characters that is nearest to `number`; `None` when even its whole part does
/// not fit.
#[must_use]
pub fn nearest_in(width: usize, number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    if let Some(text) = exact_in(width, number) {
        return Some(text);
    }
    (0..width).rev().map(|decimals| format!("{number:.decimals$}")).find(|text| text.len() <= width).and_then(|text| {
        let rounded = parse_number(&text)?;
        exact_in(width, rounded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_and_nanoseconds() {
        for (text, ns) in [
            ("+0", 0),
            ("12", 12 * NS_PER_S),
            ("-0.5", -NS_PER_S / 2),
            ("+1.000000001", NS_PER_S + 1),
            ("0.1234567894", 123_456_789),
            ("0.1234567895", 123_456_790),
            ("0.99999999999", NS_PER_S),
            (".25", NS_PER_S / 4),
            ("3.", 3 * NS_PER_S),
        ] {
            assert_eq!(parse_ns(text), Some(ns), "{text}");
        }
        for text in ["", "+", "-", ".", "1e3", "1,5", "--1", "+-1", "9999999999", "1.5.2", "\u{661}"] {
            assert_eq!(parse_ns(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_in_eight_characters() {
        for (number, text) in [(-187_500.0, "-187500"), (0.1, "0.1"), (-0.0, "0"), (8_388_607.0, "8388607")] {
            assert_eq!(exact_in(8, number).as_deref(), Some(text));
        }
        assert_eq!(exact_in(8, -187_499.978), None);
        assert_eq!(exact_in(8, f64::NAN), None);
        assert_eq!(nearest_in(8, -187_499.978).as_deref(), Some("-187500"));
        assert_eq!(nearest_in(8, 1.0 / 3.0).as_deref(), Some("0.333333"));
        assert_eq!(nearest_in(8, 99_999_999.9), None);
        assert_eq!(nearest_in(8, f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn nanoseconds_and_back(ns in any::<i64>()) {
            prop_assume!(ns != i64::MIN);
            prop_assert_eq!(parse_ns(&format_ns(ns)), Some(ns));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = (parse_ns(&text), parse_number(&text));
        }
    }
}
