//! Browsers that have logged in. Each holds a random value in a cookie instead of the token itself, so that what a
//! browser keeps is worth nothing elsewhere, and nothing any more when the daemon has been restarted.

use std::time::{Duration, Instant};

use constant_time_eq::constant_time_eq_32;
use rustix::rand::{GetRandomFlags, getrandom};

/// Sessions at a time. One more ends the oldest.
const SESSIONS_MAX: usize = 256;

/// How long a session lasts. The cookie itself goes when the browser is closed.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// 256 bit: nobody guesses one, so that wrong ones need no counting.
type Value = [u8; 32];

/// The open sessions, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<(Value, Instant)>);

impl Sessions {
    /// Opens a session; its value in hexadecimal digits.
    pub(super) fn open(&mut self, now: Instant) -> Result<String, rustix::io::Errno> {
        let mut value = Value::default();
        // Up to 256 bytes come whole (getrandom(2)).
        getrandom(&mut value, GetRandomFlags::empty())?;
        if self.0.len() >= SESSIONS_MAX {
            self.0.remove(0);
        }
        self.0.push((value, now));
        Ok(value.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether `text` is the value of an open session.
    pub(super) fn holds(&self, text: &str, now: Instant) -> bool {
        parse(text).is_some_and(|value| {
            let lasts = |since: Instant| now.saturating_duration_since(since) < LIFETIME;
            self.0.iter().any(|(known, since)| constant_time_eq_32(known, &value) && lasts(*since))
        })
    }

    /// Ends the session of this value.
    pub(super) fn close(&mut self, text: &str) {
        if let Some(value) = parse(text) {
            self.0.retain(|(known, _)| !constant_time_eq_32(known, &value));
        }
    }

    /// Ends all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn parse(text: &str) -> Option<Value> {
    let mut value = Value::default();
    if text.len() != 2 * value.len() || !text.is_ascii() {
        return None;
    }
    for (i, byte) in value.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_known_by_its_value_until_it_ends() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        let one = sessions.open(now).expect("randomness");
        let other = sessions.open(now).expect("randomness");
        assert_ne!(one, other);
        assert!(sessions.holds(&one, now) && sessions.holds(&other, now));
        for wrong in ["", "0", &one[1..], &format!("{one}0"), &"0".repeat(64), &"+1".repeat(32), &"\u{e9}".repeat(32)] {
            assert!(!sessions.holds(wrong, now), "{wrong}");
        }
        assert!(!sessions.holds(&one, now + LIFETIME));
        sessions.close(&one);
        assert!(!sessions.holds(&one, now) && sessions.holds(&other, now));
        sessions.clear();
        assert!(!sessions.holds(&other, now));
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        let values: Vec<String> = (0..=SESSIONS_MAX).map(|_| sessions.open(now).expect("randomness")).collect();
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(!sessions.holds(&values[0], now), "the oldest has gone");
        assert!(values[1..].iter().all(|value| sessions.holds(value, now)));
    }
}
