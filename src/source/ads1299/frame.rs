//! From the bytes of one conversion to codes and status words. Pure: no wires and no clock, so it is tested with
//! recorded bytes.
//!
//! A chip's part of a frame is a 24-bit status word and 24 bits for each channel, most significant bit first. In a
//! daisy chain the parts follow each other, with `gap_bits` don't-care bits between them: none for the ADS1299 as far
//! as anybody has seen, one for the ADS1298 (SBAS459I, "Daisy-Chain Mode"); the figures of SBAS499C contradict each
//! other, so the number is found out at start.

use crate::block::ChipStatus;

/// The upper nibble of every status word (SBAS499C, "Data Output").
pub const SYNC: u8 = 0xC0;

/// Bytes that `n_bits` need.
#[must_use]
pub const fn bytes_of(n_bits: usize) -> usize {
    n_bits.div_ceil(8)
}

/// A status word as it stands in the frame.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub const fn status(bytes: [u8; 3]) -> ChipStatus {
    let positive_off = bytes[0] << 4 | bytes[1] >> 4;
    let negative_off = bytes[1] << 4 | bytes[2] >> 4;
    ChipStatus::of(positive_off, negative_off, bytes[2] & 0x0F)
}

/// Whether a chip's first byte carries the sync nibble.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub const fn in_sync(first_byte: u8) -> bool {
    first_byte & 0xF0 == SYNC
}

/// A code of 24 bits, two's complement.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub const fn code(bytes: [u8; 3]) -> i32 {
    // Into the upper bytes and back: the shift down repeats the sign.
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8
}

/// Decodes the channels of one chip, whose part of the frame begins at `part[0]`, into `codes`, as many as it has
/// channels.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub fn codes(part: &[u8], codes: &mut [i32]) {
    for (code_out, bytes) in codes.iter_mut().zip(part[3..].chunks_exact(3)) {
        *code_out = code([bytes[0], bytes[1], bytes[2]]);
    }
}

/// Copies `to.len()` bytes that begin at bit `first_bit` of `from`. Bits beyond the end of `from` read 0.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub fn take_bits(from: &[u8], first_bit: usize, to: &mut [u8]) {
    let (first, shift) = (first_bit / 8, first_bit % 8);
    for (i, byte) in to.iter_mut().enumerate() {
        let pair = |at: usize| u16::from(from.get(at).copied().unwrap_or(0));
        *byte = (((pair(first + i) << 8 | pair(first + i + 1)) << shift) >> 8) as u8;
    }
}

/// Where the status word `expected` stands instead, in bits after its place, negative before it; `None` where it is nowhere
/// within a chip's `part_bits`, beyond which other chips' words stand. The nearest place counts. A shift that stays the same
/// tells of clocks lost (after its place) or gained (before it), or of wrong `gap_bits`; one that comes once, of a read that
/// ran into the next conversion. What moved out of the frame is not found: the word of the first chip, before its place.
///
/// Only for people, counters and flags: samples are never moved.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[must_use]
pub fn shift_bits(frame: &[u8], place_bit: usize, part_bits: usize, expected: [u8; 3]) -> Option<i32> {
    let stands_at = |at: usize| {
        let mut found = [0; 3];
        take_bits(frame, at, &mut found);
        at + 24 <= frame.len() * 8 && found == expected
    };
    (1..i32::try_from(part_bits).unwrap_or(0)).flat_map(|shift| [shift, -shift]).find(|shift| {
        isize::try_from(*shift).ok().and_then(|by| place_bit.checked_add_signed(by)).is_some_and(stands_at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_word_of_the_datasheet() {
        // LOFF_STATP 05h, LOFF_STATN 80h, GPIO 2h.
        let word = status([0xC0, 0x58, 0x02]);
        assert_eq!((word.positive_off(), word.negative_off(), word.gpio()), (0x05, 0x80, 0x02));
        assert_eq!(status([0xC0, 0, 0]), ChipStatus::default());
        assert!(in_sync(0xC5) && !in_sync(0xD0) && !in_sync(0x60));
    }

    #[test]
    fn codes_of_the_datasheet() {
        for (bytes, expected) in [
            ([0x00, 0x00, 0x00], 0),
            ([0xFF, 0xFF, 0xFF], -1),
            ([0x7F, 0xFF, 0xFF], (1 << 23) - 1),
            ([0x80, 0x00, 0x00], -(1 << 23)),
            // +1.875 mV at gain 24 with 4.5 V: 0.01 of the range.
            ([0x01, 0x47, 0xAE], 83_886),
        ] {
            assert_eq!(code(bytes), expected, "{bytes:02X?}");
        }
    }

    #[test]
    fn a_shift_is_found_and_bits_are_taken_across_bytes() {
        let mut frame = [0_u8; 27];
        take_bits(&[0xC0, 0x58, 0x02, 0x7F], 0, &mut frame[..4]);
        assert_eq!(&frame[..4], [0xC0, 0x58, 0x02, 0x7F]);
        for shift in [1_usize, 7, 8, 13] {
            let mut shifted = [0_u8; 27];
            let (byte, bit) = (shift / 8, shift % 8);
            for (i, value) in [0xC0_u16, 0x58, 0x02].iter().enumerate() {
                let moved = (value << 8) >> bit;
                shifted[byte + i] |= moved.to_be_bytes()[0];
                shifted[byte + i + 1] |= moved.to_be_bytes()[1];
            }
            let word = [0xC0, 0x58, 0x02];
            assert_eq!(shift_bits(&shifted, 0, 216, word), Some(i32::try_from(shift).unwrap()));
            // The same place seen from behind it.
            assert_eq!(shift_bits(&shifted, 2 * shift, 216, word), Some(-i32::try_from(shift).unwrap()));
            assert_eq!(shift_bits(&shifted, 0, shift, word), None, "beyond the part");
        }
        assert_eq!(shift_bits(&[0; 27], 0, 216, [0xC0, 0x58, 0x02]), None);
    }
}
