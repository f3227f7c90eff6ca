//! Random numbers, the same for the same seed (xorshift64*, Vigna 2016), and how much noise a chip has.

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

    /// Of mean 0 and standard deviation 1, within 3.46.
    ///
    /// Fast because it adds the four quarters of one random word, each evenly spread: near enough to a Gaussian, whose
    /// peak-to-peak the datasheet gives as 7 times the rms too. Box and Muller's formula would cost a logarithm and a
    /// sine for each of 32 channels.
    pub(super) fn gaussian(&mut self) -> f64 {
        const MEAN: i32 = 2 * 65_535;
        /// Of four even spreads over 65536 values: 65536 / sqrt(3).
        const DEVIATION: f64 = 37_837.227;
        let word = self.next().to_be_bytes();
        let sum: i32 = word.chunks_exact(2).map(|two| i32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
        f64::from(sum - MEAN) / DEVIATION
    }
}

/// Input-referred noise in microvolts rms with shorted inputs (SBAS499C, table "Input-Referred Noise"), by CONFIG1.DR
/// and CHnSET.GAIN.
const RMS_UV: [[f64; 7]; 7] = [
    [21.70, 10.85, 5.60, 3.87, 3.05, 2.27, 1.66],
    [6.93, 3.65, 1.98, 1.31, 1.11, 0.92, 0.80],
    [4.33, 2.28, 1.24, 0.93, 0.79, 0.65, 0.56],
    [3.06, 1.61, 0.88, 0.66, 0.56, 0.46, 0.40],
    [2.17, 1.14, 0.62, 0.46, 0.39, 0.32, 0.28],
    [1.53, 0.81, 0.44, 0.33, 0.28, 0.23, 0.20],
    [1.08, 0.57, 0.31, 0.23, 0.20, 0.16, 0.14],
];

/// The noise of a channel, in microvolts rms.
pub(super) fn rms_uv(dr: usize, gain_code: usize) -> f64 {
    RMS_UV[dr.min(6)][gain_code.min(6)]
}
