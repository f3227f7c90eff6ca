//! The register file of one chip: values after reset, which bits can be written, what channels an ADS1299-4 or -6
//! lacks (SBAS499C, "Register Maps"). The driver has a table of its own; that the two agree is a test's business.

use super::setup::Model;

/// Registers there are, 00h to 17h.
pub(super) const N_REGISTERS: u8 = 0x18;

pub(super) const ID: u8 = 0x00;
pub(super) const CONFIG1: u8 = 0x01;
pub(super) const CONFIG2: u8 = 0x02;
pub(super) const CONFIG3: u8 = 0x03;
pub(super) const LOFF: u8 = 0x04;
pub(super) const CH1SET: u8 = 0x05;
pub(super) const LOFF_SENSP: u8 = 0x0F;
pub(super) const LOFF_SENSN: u8 = 0x10;
pub(super) const LOFF_FLIP: u8 = 0x11;
pub(super) const LOFF_STATP: u8 = 0x12;
pub(super) const LOFF_STATN: u8 = 0x13;
pub(super) const GPIO: u8 = 0x14;
pub(super) const CONFIG4: u8 = 0x17;

/// Of each register its value after reset and the bits that a write changes. The others are reserved or read-only
/// and keep what they hold after reset.
const ROWS: [(u8, u8); N_REGISTERS as usize] = [
    (0x00, 0x00), // ID, of the chip
    (0x96, 0x67), // CONFIG1: DAISY_EN, CLK_EN, DR
    (0xC0, 0x17), // CONFIG2: INT_CAL, CAL_AMP, CAL_FREQ
    (0x60, 0x9E), // CONFIG3: all but the two fixed ones and BIAS_STAT
    (0x00, 0xEF), // LOFF
    (0x61, 0xFF), // CH1SET
    (0x61, 0xFF),
    (0x61, 0xFF),
    (0x61, 0xFF),
    (0x61, 0xFF),
    (0x61, 0xFF),
    (0x61, 0xFF),
    (0x61, 0xFF), // CH8SET
    (0x00, 0xFF), // BIAS_SENSP
    (0x00, 0xFF), // BIAS_SENSN
    (0x00, 0xFF), // LOFF_SENSP
    (0x00, 0xFF), // LOFF_SENSN
    (0x00, 0xFF), // LOFF_FLIP
    (0x00, 0x00), // LOFF_STATP
    (0x00, 0x00), // LOFF_STATN
    (0x0F, 0xFF), // GPIO
    (0x00, 0x20), // MISC1: SRB1
    (0x00, 0x00), // MISC2
    (0x00, 0x0A), // CONFIG4: SINGLE_SHOT, PD_LOFF_COMP
];

/// The bits of a register that count channels: those of absent channels read 0 and ignore writes.
const PER_CHANNEL: std::ops::RangeInclusive<u8> = 0x0D..=0x13;

/// The registers of one chip and the levels of its four GPIO pins.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    model: Model,
    values: [u8; N_REGISTERS as usize],
    /// What the board drives into the GPIO pins, bit 0 is GPIO1.
    pub(super) gpio_pins: u8,
}

impl Registers {
    /// As after reset; `id` is the whole ID byte.
    pub(super) fn new(model: Model, id: u8, gpio_pins: u8) -> Registers {
        let mut registers = Registers { model, values: [0; N_REGISTERS as usize], gpio_pins };
        registers.values[usize::from(ID)] = id;
        registers.reset();
        registers
    }

    /// Every register but ID to its value after reset.
    pub(super) fn reset(&mut self) {
        for address in 1..N_REGISTERS {
            let present = self.absent_bits(address) != 0xFF;
            self.values[usize::from(address)] = if present { ROWS[usize::from(address)].0 } else { 0 };
        }
    }

    /// Bits of `address` that this model does not have.
    fn absent_bits(&self, address: u8) -> u8 {
        let n_channels = self.model.n_channels();
        let channel = usize::from(address.wrapping_sub(CH1SET));
        if channel < 8 {
            return if channel < n_channels { 0 } else { 0xFF };
        }
        if PER_CHANNEL.contains(&address) && n_channels < 8 { u8::MAX << n_channels } else { 0 }
    }

    /// The value as RREG sees it; 0 past the last register.
    pub(super) fn read(&self, address: u8) -> u8 {
        let Some(value) = self.values.get(usize::from(address)) else { return 0 };
        if address == GPIO { self.gpio() << 4 | value & 0x0F } else { *value }
    }

    /// The register's value as it was set, without looking at pins.
    pub(super) fn get(&self, address: u8) -> u8 {
        self.values[usize::from(address)]
    }

    /// Writes what can be written. The answer is whether the reserved bits of `value` were right.
    pub(super) fn write(&mut self, address: u8, value: u8) -> bool {
        let Some((reset, writable)) = ROWS.get(usize::from(address)) else { return false };
        let absent = self.absent_bits(address);
        if absent == 0xFF || matches!(address, ID | LOFF_STATP | LOFF_STATN) {
            return true;
        }
        self.values[usize::from(address)] = (reset & !writable | value & writable) & !absent;
        // BIAS_STAT is read-only and not reserved: any value may stand there.
        let fixed = !writable & if address == CONFIG3 { 0xFE } else { 0xFF };
        (value ^ reset) & fixed == 0
    }

    /// The comparators' answers, as LOFF_STATP and LOFF_STATN show them.
    pub(super) fn set_lead_off(&mut self, p: u8, n: u8) {
        self.values[usize::from(LOFF_STATP)] = p & !self.absent_bits(LOFF_STATP);
        self.values[usize::from(LOFF_STATN)] = n & !self.absent_bits(LOFF_STATN);
    }

    /// The identity the chip claims from now on.
    pub(super) fn set_id(&mut self, id: u8) {
        self.values[usize::from(ID)] = id;
    }

    /// The four data bits: what outputs were set to, what inputs see.
    pub(super) fn gpio(&self) -> u8 {
        let value = self.get(GPIO);
        let inputs = value & 0x0F;
        (value >> 4) & !inputs | self.gpio_pins & inputs
    }

    /// The three bytes in front of the channels.
    pub(super) fn status_word(&self) -> [u8; 3] {
        let (p, n) = (self.get(LOFF_STATP), self.get(LOFF_STATN));
        [0xC0 | p >> 4, p << 4 | n >> 4, n << 4 | self.gpio()]
    }

    /// tCLK from one conversion to the next: 128 << DR. DR = 111 is "do not use"; the model then keeps 250 SPS.
    pub(super) fn period_ticks(&self) -> u32 {
        128 << (self.get(CONFIG1) & 0x07).min(6)
    }

    /// CONFIG1 bit 6 = 1: multiple read-back, the output repeats its own frame instead of passing DAISY_IN on.
    pub(super) fn repeats(&self) -> bool {
        self.get(CONFIG1) & 0x40 != 0
    }

    /// CONFIG1 bit 5: the chip's oscillator drives its CLK pin.
    pub(super) fn drives_clock(&self) -> bool {
        self.get(CONFIG1) & 0x20 != 0
    }

    /// CONFIG4 bit 3: one conversion for each START.
    pub(super) fn single_shot(&self) -> bool {
        self.get(CONFIG4) & 0x08 != 0
    }

    /// CONFIG3 bit 7: the internal reference is on.
    pub(super) fn reference_on(&self) -> bool {
        self.get(CONFIG3) & 0x80 != 0
    }
}
