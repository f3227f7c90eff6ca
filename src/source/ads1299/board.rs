//! A board as the driver sees it, after every check of the configuration: chips, wiring, inputs, and the register
//! values that follow from them.

use super::layout::Layout;
use super::registers::{AFTER_RESET, Registers, address, gain_code, rate_code};
use crate::block::{Channel, ChannelType};

/// What a channel's amplifier is connected to (CHnSET.MUX).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The electrode pins.
    Electrode,
    /// Both ends together: offset and noise of the channel.
    Short,
    /// The chip's test signal.
    Test,
    /// The temperature sensor.
    Temperature,
    /// The supplies.
    Supply,
    /// The bias signal (BIAS_MEAS).
    Bias,
}

impl Input {
    /// The code of CHnSET bits 2 to 0.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Input::Electrode => 0b000,
            Input::Short => 0b001,
            Input::Bias => 0b010,
            Input::Supply => 0b011,
            Input::Temperature => 0b100,
            Input::Test => 0b101,
        }
    }
}

/// One channel of one chip.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSetup {
    /// The label.
    pub name: String,
    /// What is measured.
    pub kind: ChannelType,
    /// The group it belongs to (a cap, a grid); may be empty.
    pub group: String,
    /// 1, 2, 4, 6, 8, 12 or 24.
    pub gain: u32,
    /// What it is connected to.
    pub input: Input,
    /// Off: the slot stays in the frame and reads 0.
    pub power: bool,
    /// Whether its positive input is connected to the pin SRB2.
    pub srb2: bool,
    /// Whether its positive and its negative input are part of the bias sum.
    pub bias: Sides,
    /// Whether lead-off watches its positive and its negative electrode.
    pub lead_off: Sides,
    /// Whether the lead-off currents are exchanged.
    pub lead_off_flip: bool,
}

/// The two inputs of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides {
    /// The positive one.
    pub positive: bool,
    /// The negative one.
    pub negative: bool,
}

impl Sides {
    /// Neither.
    pub const NONE: Sides = Sides { positive: false, negative: false };

    /// Whether one is meant.
    #[must_use]
    pub const fn any(self) -> bool {
        self.positive || self.negative
    }
}

/// How electrodes are watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeadOff {
    /// Direct or alternating current.
    pub mode: LeadOffMode,
    /// The current, nA: 6, 24, 6000 or 24000, each +-20 %.
    pub current_na: u32,
    /// The comparator's threshold, percent of the supply on the positive side: 95, 92.5, 90, 87.5, 85, 80, 75 or 70.
    pub comparator_percent: f64,
    /// What the excitation of this board is times its nominal current; 1 where it was not calibrated, `4/pi` for a square
    /// wave of the nominal amplitude.
    pub calibration: f64,
    /// Resistance between the chip and the electrode, to be taken off.
    pub series_ohms: f64,
}

/// Which current lead-off sends through the electrodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum LeadOffMode {
    /// None.
    #[serde(rename = "off")]
    Off,
    /// Direct current and the comparators: an electrode is on or off.
    #[serde(rename = "dc")]
    Dc,
    /// 7.8125 Hz: impedance.
    #[serde(rename = "ac_7.8hz")]
    Ac7,
    /// 31.25 Hz: impedance.
    #[serde(rename = "ac_31.2hz")]
    Ac31,
    /// A quarter of the rate: impedance above the signal band.
    #[serde(rename = "ac_quarter_rate")]
    AcQuarter,
}

impl LeadOffMode {
    /// The frequency of an alternating current at the nominal clock, Hz.
    #[must_use]
    pub fn frequency_hz(self, rate_hz: f64) -> Option<f64> {
        match self {
            LeadOffMode::Off | LeadOffMode::Dc => None,
            LeadOffMode::Ac7 => Some(7.8125),
            LeadOffMode::Ac31 => Some(31.25),
            LeadOffMode::AcQuarter => Some(rate_hz / 4.0),
        }
    }
}

/// Where the chips' clock comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// A crystal on the board feeds all chips.
    External,
    /// The chip's own oscillator; only for a single chip, two of them drift apart.
    Internal,
    /// The first chip's own oscillator feeds the others.
    FirstChip,
}

/// Who drives the bias electrode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasDrive {
    /// Nobody.
    Off,
    /// This chip, from 0.
    Chip(usize),
    /// Every chip of the chain, because all of them take the same registers; one output is wired.
    All,
}

/// How frames are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// A command for each frame. A late read brings a whole, newer frame, and registers can be read in between.
    Rdata,
    /// Frames flow by themselves. A late read is corrupted, and registers cannot be read.
    Rdatac,
}

/// A board, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// Which chip stands where. Its `gap_bits` is what is tried first where it is to be found out.
    pub layout: Layout,
    /// The don't-care bits between chips of a chain; `None`: found out at start.
    pub gap_bits: Option<usize>,
    /// Frames per second at the nominal clock.
    pub rate_hz: f64,
    /// The SPI clock for frames. Commands go at most at 4 MHz.
    pub spi_clock_hz: u32,
    /// How frames are read.
    pub read_mode: ReadMode,
    /// All channels, chip by chip.
    pub channels: Vec<ChannelSetup>,
    /// The reference voltage.
    pub vref_v: f64,
    /// Whether the chips make it themselves.
    pub internal_reference: bool,
    /// Where the clock comes from.
    pub clock: Clock,
    /// Whether all negative inputs are connected to the pin SRB1.
    pub srb1: bool,
    /// Who drives the bias electrode.
    pub bias_drive: BiasDrive,
    /// How electrodes are watched.
    pub lead_off: LeadOff,
    /// General-purpose pins that are trigger inputs, GPIO1 in bit 0; the others are outputs.
    pub trigger_pins: u8,
    /// General-purpose outputs at high level; the others are low. Every status word echoes them, so that a chip that lost
    /// its registers shows at its next frame.
    pub high_pins: u8,
    /// Whether start-up measures noise and the test signal.
    pub self_test: bool,
}

impl Board {
    /// The stream's channels. A code is `vref / (gain * 2^23)` volts (SBAS499C, "Data Format").
    #[must_use]
    pub fn stream_channels(&self) -> Vec<Channel> {
        let channel = |setup: &ChannelSetup| {
            let mut channel = Channel::microvolts_24_bit(&setup.name, self.vref_v * 1e6 / f64::from(setup.gain));
            channel.kind = setup.kind;
            channel
        };
        self.channels.iter().map(channel).collect()
    }

    /// The channels of `chip`, as a range of [`Board::channels`].
    #[must_use]
    pub fn channels_of(&self, chip: usize) -> std::ops::Range<usize> {
        let first: usize = self.layout.models[..chip].iter().map(|model| model.n_channels()).sum();
        first..first + self.layout.models[chip].n_channels()
    }

    /// What every register of `chip` is to hold; read-only ones as after a reset, ID without the revision.
    #[must_use]
    pub fn registers(&self, chip: usize) -> Registers {
        let mut registers = AFTER_RESET;
        registers[address::ID] = self.layout.models[chip].id_bits();
        let daisy = self.layout.selects[self.layout.place(chip).0].part_bits.len() > 1;
        let clock_out = match self.clock {
            Clock::FirstChip => chip == 0 || (daisy && self.layout.place(chip).0 == 0),
            Clock::External | Clock::Internal => false,
        };
        registers[address::CONFIG1] =
            0x90 | u8::from(!daisy) << 6 | u8::from(clock_out) << 5 | rate_code(self.rate_hz).unwrap_or(0b110);
        let channels = &self.channels[self.channels_of(chip)];
        // The test signal is made on the chip only where a channel looks at it.
        let tests = channels.iter().any(|channel| channel.input == Input::Test);
        registers[address::CONFIG2] = 0xC0 | u8::from(tests) << 4;
        let drives_bias = match self.bias_drive {
            BiasDrive::Off => false,
            BiasDrive::Chip(driver) => driver == chip,
            BiasDrive::All => true,
        };
        let measures_bias = channels.iter().any(|channel| channel.input == Input::Bias);
        registers[address::CONFIG3] = 0x60
            | u8::from(self.internal_reference) << 7
            | u8::from(measures_bias) << 4
            | u8::from(drives_bias) << 3
            | u8::from(drives_bias) << 2;
        registers[address::LOFF] = self.lead_off.register();
        for (i, channel) in channels.iter().enumerate() {
            let bit = |on: bool| u8::from(on) << i;
            registers[address::CH1SET + i] = channel_register(channel);
            registers[address::BIAS_SENSP] |= bit(channel.bias.positive);
            registers[address::BIAS_SENSN] |= bit(channel.bias.negative);
            registers[address::LOFF_SENSP] |= bit(channel.lead_off.positive);
            registers[address::LOFF_SENSN] |= bit(channel.lead_off.negative);
            registers[address::LOFF_FLIP] |= bit(channel.lead_off_flip);
        }
        registers[address::GPIO] = (self.high_pins & 0x0F) << 4 | (self.trigger_pins & 0x0F);
        registers[address::MISC1] = u8::from(self.srb1) << 5;
        registers[address::CONFIG4] = u8::from(self.lead_off.mode == LeadOffMode::Dc) << 1;
        registers
    }
}

/// CHnSET. A channel that is off has its inputs shorted as well (SBAS499C, "CHnSET").
fn channel_register(channel: &ChannelSetup) -> u8 {
    if !channel.power {
        return 0x81;
    }
    gain_code(channel.gain).unwrap_or(0) << 4 | u8::from(channel.srb2) << 3 | channel.input.code()
}

/// Comparator thresholds by the code of LOFF.COMP_TH.
pub const COMPARATOR_PERCENT: [f64; 8] = [95.0, 92.5, 90.0, 87.5, 85.0, 80.0, 75.0, 70.0];

/// Lead-off currents by the code of LOFF.ILEAD_OFF, nA.
pub const CURRENTS_NA: [u32; 4] = [6, 24, 6000, 24_000];

/// The most of these that skin should see; the larger ones tell at a bench whether a wire is on.
pub const SKIN_NA_MAX: u32 = 24;

impl LeadOff {
    fn register(&self) -> u8 {
        let code_of = |place: Option<usize>| place.and_then(|code| u8::try_from(code).ok()).unwrap_or(0);
        let threshold = code_of(COMPARATOR_PERCENT.iter().position(|p| (p - self.comparator_percent).abs() < 1e-9));
        let current = code_of(CURRENTS_NA.iter().position(|current| *current == self.current_na));
        let frequency = match self.mode {
            LeadOffMode::Off | LeadOffMode::Dc => 0b00,
            LeadOffMode::Ac7 => 0b01,
            LeadOffMode::Ac31 => 0b10,
            LeadOffMode::AcQuarter => 0b11,
        };
        match self.mode {
            LeadOffMode::Off => 0,
            _ => threshold << 5 | current << 2 | frequency,
        }
    }
}
