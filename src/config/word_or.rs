//! Values that are a number or one certain word, such as `block_frames = "auto"` and `speed = "max"`. Written out
//! by hand because serde's `untagged` would lose the place and the reason of a mistake.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// `"auto"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOr<T> {
    /// `"auto"`: biosigd decides.
    #[default]
    Auto,
    /// What was asked for.
    Value(T),
}

impl<'de, T: Number> Deserialize<'de> for AutoOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AutoOr<T>, D::Error> {
        Ok(word_or(deserializer, "auto")?.map_or(AutoOr::Auto, AutoOr::Value))
    }
}

/// `"max"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxOr<T> {
    /// `"max"`: as much as there is.
    Max,
    /// What was asked for.
    Value(T),
}

impl<'de, T: Number> Deserialize<'de> for MaxOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MaxOr<T>, D::Error> {
        Ok(word_or(deserializer, "max")?.map_or(MaxOr::Max, MaxOr::Value))
    }
}

/// A number that may stand beside a word.
pub trait Number: Sized {
    /// What a message calls it.
    const CALLED: &'static str;
    /// The number, if the type has it.
    fn of_integer(value: i64) -> Option<Self>;
    /// The number, if the type has it.
    fn of_float(value: f64) -> Option<Self>;
}

impl Number for f64 {
    const CALLED: &'static str = "a number";

    fn of_integer(value: i64) -> Option<f64> {
        Some(value as f64)
    }

    fn of_float(value: f64) -> Option<f64> {
        Some(value)
    }
}

macro_rules! whole_number {
    ($($type:ty)*) => {$(
        impl Number for $type {
            const CALLED: &'static str = "a whole number";

            fn of_integer(value: i64) -> Option<$type> {
                <$type>::try_from(value).ok()
            }

            fn of_float(_: f64) -> Option<$type> {
                None
            }
        }
    )*};
}

whole_number!(u8 u32 u64 usize i64);

/// The number, or `None` for `word`.
fn word_or<'de, T: Number, D: Deserializer<'de>>(deserializer: D, word: &'static str) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(WordOr { word, number: PhantomData })
}

struct WordOr<T> {
    word: &'static str,
    number: PhantomData<T>,
}

impl<T: Number> Visitor<'_> for WordOr<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" or {}", self.word, T::CALLED)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<T>, E> {
        if value == self.word { Ok(None) } else { Err(E::invalid_value(Unexpected::Str(value), &self)) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T>, E> {
        T::of_integer(value).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<T>, E> {
        T::of_float(value).map(Some).ok_or_else(|| E::invalid_type(Unexpected::Float(value), &self))
    }
}
