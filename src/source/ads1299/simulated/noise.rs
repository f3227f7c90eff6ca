//! Random numbers, the same for the same seed (xorshift64*, Vigna 2016).

/// A generator.
#[derive(Debug, Clone)]
pub(super) struct Noise(u64);

impl Noise {
    /// Every seed gives another sequence (splitmix64, Vigna 2015, so that neighbouring seeds do not look alike).
    pub(super) fn new(seed: u64) -> Noise {
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        // Of all states only 0 is not allowed.
        Noise((z ^ z >> 31) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Evenly spread from 0 to below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    /// Evenly spread from 0 to below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
