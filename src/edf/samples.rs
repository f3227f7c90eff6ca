//! Bytes of a data record to codes.

/// Decodes little-endian two's complement samples of `bytes_per_sample` (2 or 3) bytes into `codes`; stops when
/// either side ends.
pub fn decode(bytes_per_sample: usize, bytes: &[u8], codes: &mut [i32]) {
    if bytes_per_sample == 2 {
        for (code, sample) in codes.iter_mut().zip(bytes.chunks_exact(2)) {
            *code = i32::from(i16::from_le_bytes([sample[0], sample[1]]));
        }
    } else {
        for (code, sample) in codes.iter_mut().zip(bytes.chunks_exact(3)) {
            // Into the upper three bytes, then an arithmetic shift: that extends the sign.
            *code = i32::from_le_bytes([0, sample[0], sample[1], sample[2]]) >> 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_keep_the_sign() {
        let mut codes = [0; 3];
        decode(2, &[0x01, 0x00, 0xFF, 0xFF, 0x00, 0x80], &mut codes);
        assert_eq!(codes, [1, -1, -32768]);
        decode(3, &[0x01, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x80], &mut codes);
        assert_eq!(codes, [1, -1, -(1 << 23)]);
    }
}
