//! The register map of the ADS1299 (SBAS499C, "Register Maps"): addresses, reset values, what must be written into
//! reserved bits, and what a read-back can be compared with.

/// Registers of a chip, addresses 00h to 17h.
pub const N_REGISTERS: usize = 0x18;

/// The values of all registers of one chip, by address.
pub type Registers = [u8; N_REGISTERS];

/// Addresses by name.
pub mod address {
    #![allow(missing_docs, reason = "the names are the datasheet's")]
    pub const ID: usize = 0x00;
    pub const CONFIG1: usize = 0x01;
    pub const CONFIG2: usize = 0x02;
    pub const CONFIG3: usize = 0x03;
    pub const LOFF: usize = 0x04;
    /// CH1SET; the other channels follow.
    pub const CH1SET: usize = 0x05;
    pub const BIAS_SENSP: usize = 0x0D;
    pub const BIAS_SENSN: usize = 0x0E;
    pub const LOFF_SENSP: usize = 0x0F;
    pub const LOFF_SENSN: usize = 0x10;
    pub const LOFF_FLIP: usize = 0x11;
    pub const LOFF_STATP: usize = 0x12;
    pub const LOFF_STATN: usize = 0x13;
    pub const GPIO: usize = 0x14;
    pub const MISC1: usize = 0x15;
    pub const MISC2: usize = 0x16;
    pub const CONFIG4: usize = 0x17;
}

use address::{CH1SET, CONFIG1, CONFIG2, CONFIG3, CONFIG4, GPIO, ID, LOFF, LOFF_STATN, LOFF_STATP, MISC1, MISC2};

/// The datasheet's name of the register at `address`.
#[must_use]
pub const fn name(address: usize) -> &'static str {
    const NAMES: [&str; N_REGISTERS] = [
        "ID",
        "CONFIG1",
        "CONFIG2",
        "CONFIG3",
        "LOFF",
        "CH1SET",
        "CH2SET",
        "CH3SET",
        "CH4SET",
        "CH5SET",
        "CH6SET",
        "CH7SET",
        "CH8SET",
        "BIAS_SENSP",
        "BIAS_SENSN",
        "LOFF_SENSP",
        "LOFF_SENSN",
        "LOFF_FLIP",
        "LOFF_STATP",
        "LOFF_STATN",
        "GPIO",
        "MISC1",
        "MISC2",
        "CONFIG4",
    ];
    NAMES[address]
}

/// What the registers hold after a reset. ID is the chip's own, see [`Model::id_bits`].
pub const AFTER_RESET: Registers = [
    0x00, 0x96, 0xC0, 0x60, 0x00, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x0F, 0x00, 0x00, 0x00,
];

/// Bits of the register at `address` that the datasheet fixes, and their value: `value & mask == fixed`.
#[must_use]
pub const fn fixed_bits(address: usize) -> (u8, u8) {
    match address {
        CONFIG1 => (0x98, 0x90),
        CONFIG2 => (0xE8, 0xC0),
        CONFIG3 => (0x60, 0x60),
        LOFF => (0x10, 0x00),
        MISC1 => (0xDF, 0x00),
        MISC2 => (0xFF, 0x00),
        CONFIG4 => (0xF5, 0x00),
        _ => (0x00, 0x00),
    }
}

/// Whether the register can be written.
#[must_use]
pub const fn is_writable(address: usize) -> bool {
    !matches!(address, ID | LOFF_STATP | LOFF_STATN)
}

/// The bits of the register at `address` that a read-back must return as they were `written`, or as the chip has them (ID).
///
/// Left out are the state of the bias amplifier (CONFIG3 bit 0), the lead-off states, and the level of GPIO pins that
/// are inputs.
#[must_use]
pub const fn compared_bits(address: usize, written: u8) -> u8 {
    match address {
        LOFF_STATP | LOFF_STATN => 0x00,
        // The member of the family; its revision may be any.
        ID => 0x1F,
        CONFIG3 => 0xFE,
        // Low nibble: directions, 1 = input. High nibble: levels, known where the pin is an output.
        GPIO => 0x0F | (!written & 0x0F) << 4,
        _ => 0xFF,
    }
}

/// The members of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Eight channels.
    Ads1299,
    /// Six channels.
    Ads1299_6,
    /// Four channels.
    Ads1299_4,
}

impl Model {
    /// The member whose ID register reads `id`; the revision in the upper three bits may be any.
    #[must_use]
    pub const fn of_id(id: u8) -> Option<Model> {
        match id & 0x1F {
            0x1E => Some(Model::Ads1299),
            0x1D => Some(Model::Ads1299_6),
            0x1C => Some(Model::Ads1299_4),
            _ => None,
        }
    }

    /// The lower five bits of its ID register.
    #[must_use]
    pub const fn id_bits(self) -> u8 {
        match self {
            Model::Ads1299 => 0x1E,
            Model::Ads1299_6 => 0x1D,
            Model::Ads1299_4 => 0x1C,
        }
    }

    /// Channels of the chip.
    #[must_use]
    pub const fn n_channels(self) -> usize {
        match self {
            Model::Ads1299 => 8,
            Model::Ads1299_6 => 6,
            Model::Ads1299_4 => 4,
        }
    }

    /// Bytes of the chip's part of a frame: 24 bits of status, 24 of each channel.
    #[must_use]
    pub const fn frame_bytes(self) -> usize {
        3 * (1 + self.n_channels())
    }

    /// The name on the package.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Model::Ads1299 => "ADS1299",
            Model::Ads1299_6 => "ADS1299-6",
            Model::Ads1299_4 => "ADS1299-4",
        }
    }

    /// The bits of the register at `address` that exist on this member: absent channels read 0.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "eight channels at most")]
    pub const fn present_bits(self, address: usize) -> u8 {
        let channels = ((1_u16 << self.n_channels()) - 1) as u8;
        match address {
            CH1SET..=0x0C if address - CH1SET >= self.n_channels() => 0x00,
            0x0D..=0x13 => channels,
            _ => 0xFF,
        }
    }
}

/// The code of CONFIG1.DR for a rate in frames per second, at the nominal clock.
#[must_use]
pub fn rate_code(rate_hz: f64) -> Option<u8> {
    RATES_HZ.iter().position(|rate| (f64::from(*rate) - rate_hz).abs() < 1e-9).and_then(|code| u8::try_from(code).ok())
}

/// The rates by their code, at the nominal clock of 2.048 MHz.
pub const RATES_HZ: [u32; 7] = [16_000, 8_000, 4_000, 2_000, 1_000, 500, 250];

/// The gains by the code of CHnSET bits 6 to 4.
pub const GAINS: [u32; 7] = [1, 2, 4, 6, 8, 12, 24];

/// The code of CHnSET.GAIN for a gain.
#[must_use]
pub fn gain_code(gain: u32) -> Option<u8> {
    GAINS.iter().position(|known| *known == gain).and_then(|code| u8::try_from(code).ok())
}

/// The master clock's nominal frequency.
pub const CLOCK_HZ: f64 = 2_048_000.0;

/// Input-referred noise with shorted inputs, uV rms (SBAS499C, "Noise Measurements"): rows by rate code, columns by
/// gain code.
pub const NOISE_UV_RMS: [[f64; 7]; 7] = [
    [21.70, 10.85, 5.60, 3.87, 3.05, 2.27, 1.66],
    [6.93, 3.65, 1.98, 1.31, 1.11, 0.92, 0.80],
    [4.33, 2.28, 1.24, 0.93, 0.79, 0.65, 0.56],
    [3.06, 1.61, 0.88, 0.66, 0.56, 0.46, 0.40],
    [2.17, 1.14, 0.62, 0.46, 0.39, 0.32, 0.28],
    [1.53, 0.81, 0.44, 0.33, 0.28, 0.23, 0.20],
    [1.08, 0.57, 0.31, 0.23, 0.20, 0.16, 0.14],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reset_values_satisfy_the_fixed_bits() {
        for (address, value) in AFTER_RESET.iter().enumerate() {
            let (mask, fixed) = fixed_bits(address);
            assert_eq!(value & mask, fixed, "{}", name(address));
        }
    }

    #[test]
    fn the_family_is_known_by_the_lower_bits_of_its_id() {
        assert_eq!(Model::of_id(0x3E), Some(Model::Ads1299));
        assert_eq!(Model::of_id(0xFE), Some(Model::Ads1299));
        // ADS1298, bus at rest, bus floating.
        for other in [0x92, 0x00, 0xFF, 0x20] {
            assert_eq!(Model::of_id(other), None, "{other:#04X}");
        }
        for model in [Model::Ads1299, Model::Ads1299_6, Model::Ads1299_4] {
            assert_eq!(Model::of_id(model.id_bits()), Some(model));
        }
    }

    #[test]
    fn absent_channels_are_not_compared() {
        assert_eq!(Model::Ads1299_4.present_bits(address::BIAS_SENSP), 0x0F);
        assert_eq!(Model::Ads1299_4.present_bits(CH1SET + 3), 0xFF);
        assert_eq!(Model::Ads1299_4.present_bits(CH1SET + 4), 0x00);
        assert_eq!(compared_bits(GPIO, 0x0F), 0x0F);
        assert_eq!(compared_bits(GPIO, 0x5E), 0x1F);
    }
}
