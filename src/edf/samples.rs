//! Bytes of a data record to codes, and back.

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

/// Encodes `codes` as little-endian two's complement samples of `bytes_per_sample` (2 or 3) bytes; stops when either
/// side ends.
///
/// # Errors
/// The index of the first code that so few bytes cannot hold; what stands before it has been written.
pub fn encode(bytes_per_sample: usize, codes: &[i32], bytes: &mut [u8]) -> Result<(), usize> {
    let spare_bits = 32 - 8 * bytes_per_sample;
    for (index, (code, sample)) in codes.iter().zip(bytes.chunks_exact_mut(bytes_per_sample)).enumerate() {
        // A code fits when the bits that are left out say no more than its sign.
        if (code << spare_bits) >> spare_bits != *code {
            return Err(index);
        }
        sample.copy_from_slice(&code.to_le_bytes()[..bytes_per_sample]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_does_not_fit_is_named() {
        for (width, low, high) in [(2, -(1 << 15), (1 << 15) - 1), (3, -(1 << 23), (1 << 23) - 1)] {
            let codes = [0, -1, 1, low, high];
            let mut bytes = vec![0; codes.len() * width];
            assert_eq!(encode(width, &codes, &mut bytes), Ok(()));
            let mut read = [7; 5];
            decode(width, &bytes, &mut read);
            assert_eq!(read, codes);
            assert_eq!(encode(width, &[0, high + 1], &mut bytes), Err(1));
            assert_eq!(encode(width, &[low - 1], &mut bytes), Err(0));
        }
    }

    #[test]
    fn both_widths_keep_the_sign() {
        let mut codes = [0; 3];
        decode(2, &[0x01, 0x00, 0xFF, 0xFF, 0x00, 0x80], &mut codes);
        assert_eq!(codes, [1, -1, -32768]);
        decode(3, &[0x01, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x80], &mut codes);
        assert_eq!(codes, [1, -1, -(1 << 23)]);
    }
}
