//! Structures of the kernel's interface as the bytes they are. Offsets are written out where they are used, from the
//! headers `linux/gpio.h` and `linux/spi/spidev.h`, so that nothing here is right or wrong together with the crates that
//! the program uses.

use std::ops::Range;

/// The 32-bit number at byte `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(array(bytes, at))
}

/// The 64-bit number at byte `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(array(bytes, at))
}

/// The 16-bit number at byte `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array(bytes, at))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as long as it should be")
}

/// Writes `value` from byte `at` on.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// A text that ends with a zero byte or with its field.
pub(crate) fn text_at(bytes: &[u8], field: Range<usize>) -> String {
    let text = bytes[field].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Writes a text, cut to leave a zero byte at the end.
pub(crate) fn put_text(bytes: &mut [u8], field: Range<usize>, text: &str) {
    let place = &mut bytes[field];
    let n_bytes = text.len().min(place.len() - 1);
    place.fill(0);
    place[..n_bytes].copy_from_slice(&text.as_bytes()[..n_bytes]);
}
