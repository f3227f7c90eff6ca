//! The keys of `kind = "ads1299"`, as they stand in a file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::board::{Clock, Input, LeadOffMode, ReadMode};
use super::layout::Topology;
use crate::config::{AutoOr, Key};

/// For `biosigd kinds`.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "bus",
        "\"simulated\"",
        "spidev (the Pi's interfaces), or simulated (a register-accurate chain below the driver)",
    ),
    Key::new("n_chips", "4", "chips, 1 to 8"),
    Key::new("model", "\"ads1299\"", "ads1299, ads1299-6, ads1299-4; of all chips"),
    Key::new("topology", "\"daisy\"", "daisy (one chip select for a row of chips) or cascade (one for each chip)"),
    Key::new("spi", "[\"0.0\"]", "BUS.SELECT of each row (daisy) or of each chip (cascade)"),
    Key::new("spi_clock_hz", "8333334", "for frames, at most 20000000; a Pi 5 takes 200 MHz over the next even number"),
    Key::new("read_mode", "\"rdata\"", "rdata (a command for each frame) or rdatac (frames flow by themselves)"),
    Key::new("gap_bits", "\"auto\"", "don't-care bits between chips of a row: auto, 0 or 1"),
    Key::new("rate_hz", "4000", "250, 500, 1000, 2000, 4000, 8000 or 16000"),
    Key::new(
        "clock",
        "\"external\"",
        "external, internal (a single chip) or first_chip (its oscillator feeds the others)",
    ),
    Key::new("vref_v", "4.5", "the reference, in volts"),
    Key::new("reference", "\"internal\"", "internal or external"),
    Key::new("gpio_chip", "\"auto\"", "label or path of the GPIO chip; auto: the Pi's"),
    Key::new("drdy_line", "", "GPIO of DRDY (of the first chip); needed with spidev"),
    Key::new("witness_line", "", "an unused GPIO: asked for together with DRDY it shows edges that the kernel merged"),
    Key::new("start_line", "", "GPIO of START; left out: the command is sent"),
    Key::new("reset_line", "", "GPIO of RESET; left out: the command is sent"),
    Key::new("power_down_line", "", "GPIO of PWDN; left out: tied high on the board"),
    Key::new("channels", "[]", "names, chip by chip; empty: Ch1, Ch2 ..."),
    Key::new("gain", "24", "1, 2, 4, 6, 8, 12 or 24"),
    Key::new("input", "\"electrode\"", "electrode, short, test, temperature, supply or bias"),
    Key::new("type", "\"eeg\"", "eeg, eog, ecg, emg or misc"),
    Key::new("group", "\"\"", "a name for channels that belong together"),
    Key::new("power", "true", "false: the channel is off and reads 0"),
    Key::new("srb1", "false", "all negative inputs at the pin SRB1"),
    Key::new("srb2", "false", "the positive input at the pin SRB2"),
    Key::new("bias_drive", "\"off\"", "off, the number of the chip that drives the bias electrode (from 1), or all"),
    Key::new("bias_inputs", "\"none\"", "which inputs are part of the bias sum: none, positive, negative or both"),
    Key::new("trigger_pins", "[]", "GPIO pins 1 to 4 of the first chip whose edges become markers"),
    Key::new("high_pins", "[]", "GPIO pins 1 to 4 driven high, the others low; every status word must echo them"),
    Key::new("self_test", "false", "at start, measure supplies, noise and the test signal: five seconds more"),
    Key::new("lead_off.mode", "\"off\"", "off, dc, ac_7.8hz, ac_31.2hz or ac_quarter_rate"),
    Key::new("lead_off.current_na", "6", "6, 24, 6000 or 24000; for skin 6 or 24"),
    Key::new("lead_off.comparator_percent", "95", "95, 92.5, 90, 87.5, 85, 80, 75 or 70, of the supply"),
    Key::new("lead_off.inputs", "\"positive\"", "positive, negative or both"),
    Key::new("lead_off.calibration", "1.0", "shown over true impedance, by a known resistor; 1.273 for a square wave"),
    Key::new("lead_off.series_ohms", "2200", "between chip and electrode"),
    Key::new(
        "channel.N.KEY",
        "",
        "for channel N (from 1): name, type, group, gain, input, power, srb2, bias_inputs, lead_off_inputs, lead_off_flip",
    ),
    Key::new(
        "simulated.signal",
        "\"eeg\"",
        "with bus = \"simulated\": eeg, sine, noise, counter (every code is predictable) or recording",
    ),
    Key::new("simulated.file", "", "the recording that electrodes see, BDF or EDF; over and over, at the chips' rate"),
    Key::new("simulated.freq_hz", "10.0", "of the sine"),
    Key::new("simulated.amplitude_uv", "100.0", "of the sine and the noise"),
    Key::new("simulated.seed", "1", "of everything random: the same seed gives the same bytes"),
    Key::new("simulated.clock_ppm", "50.0", "by how much the chips' clock is fast, -25000 to 25000"),
    Key::new("simulated.electrode_ohms", "5000", "every electrode's impedance"),
    Key::new(
        "simulated.fault.what",
        "",
        "what goes wrong, a table [[source.simulated.fault]] each: regs_revert, zeros, nibble_bad, stuck_frame, stuck_channel, rail, \
         constant, electrode_off, no_clock, clock_step, gap_bits, bit_shift, miso_float, spi_error, spi_timeout, short_read, drdy_dropped, \
         drdy_coalesced, drdy_merged, drdy_spurious, drdy_jitter, wake_late, brown_out, wrong_id, write_dropped, sdatac_ignored, \
         start_bounces; or gpio: levels at the chip's pins",
    ),
    Key::new("simulated.fault.at_frame", "", "the conversion at which it begins, from the start of the run"),
    Key::new("simulated.fault.chance", "", "or its chance at each conversion, 0 to 1"),
    Key::new("simulated.fault.at_start", "false", "or before start-up"),
    Key::new("simulated.fault.chip", "1", "the chip, from 1; no_clock and brown_out are of all where it is left out"),
    Key::new("simulated.fault.channel", "1", "the channel of the chip, from 1"),
    Key::new("simulated.fault.select", "1", "the chip select of bit_shift and miso_float, from 1"),
    Key::new("simulated.fault.negative", "false", "rail: the lower end; electrode_off: the negative electrode"),
    Key::new("simulated.fault.code", "0", "constant: what the chip's channels read from `channel` on"),
    Key::new("simulated.fault.frames", "4000", "how long it lasts, in conversions"),
    Key::new("simulated.fault.count", "1", "transfers, edges, writes or commands that are hit"),
    Key::new(
        "simulated.fault.late_us",
        "36802",
        "how late the thread wakes, an edge comes at most, or START is there for good, microseconds",
    ),
    Key::new("simulated.fault.ppm", "0.0", "by how much the clock is off, parts per million"),
    Key::new("simulated.fault.bits", "1", "bits by which a frame is shifted; or don't-care bits between chips, 0 or 1"),
    Key::new(
        "simulated.fault.level",
        "0",
        "what MISO reads while it floats, 0 to 255; levels at the pins, 1 for GPIO1 to 8 for GPIO4 added; what register ID reads",
    ),
    Key::new("simulated.fault.register", "5", "the register that drops writes, 0 to 23; 5 is CH1SET"),
];

/// Where the chips are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bus {
    Spidev,
    Simulated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum ModelKey {
    #[serde(rename = "ads1299")]
    Eight,
    #[serde(rename = "ads1299-6")]
    Six,
    #[serde(rename = "ads1299-4")]
    Four,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reference {
    Internal,
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Inputs {
    None,
    Positive,
    Negative,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TypeKey {
    Eeg,
    Eog,
    Ecg,
    Emg,
    Misc,
}

/// The table `[source]`, without the tables below it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    /// Left out, the chips are simulated; but then no key may speak of a Pi's pins.
    pub(super) bus: Option<Bus>,
    pub(super) n_chips: usize,
    pub(super) model: ModelKey,
    pub(super) topology: Topology,
    pub(super) spi: Option<Vec<String>>,
    pub(super) spi_clock_hz: u32,
    pub(super) read_mode: ReadMode,
    pub(super) gap_bits: AutoOr<usize>,
    pub(super) rate_hz: f64,
    pub(super) clock: Clock,
    pub(super) vref_v: f64,
    pub(super) reference: Reference,
    pub(super) gpio_chip: String,
    pub(super) drdy_line: Option<u32>,
    pub(super) witness_line: Option<u32>,
    pub(super) start_line: Option<u32>,
    pub(super) reset_line: Option<u32>,
    pub(super) power_down_line: Option<u32>,
    pub(super) channels: Vec<String>,
    pub(super) gain: u32,
    pub(super) input: Input,
    pub(super) r#type: TypeKey,
    pub(super) group: String,
    pub(super) power: bool,
    pub(super) srb1: bool,
    pub(super) srb2: bool,
    pub(super) bias_drive: BiasDriveKey,
    pub(super) bias_inputs: Inputs,
    pub(super) trigger_pins: Vec<u8>,
    pub(super) high_pins: Vec<u8>,
    pub(super) self_test: bool,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            bus: None,
            n_chips: 4,
            model: ModelKey::Eight,
            topology: Topology::Daisy,
            spi: None,
            // A Pi 5 makes 200 MHz / 24 of it; of one hertz less it makes 200 MHz / 26, 7.69 MHz.
            spi_clock_hz: 8_333_334,
            read_mode: ReadMode::Rdata,
            gap_bits: AutoOr::Auto,
            rate_hz: 4000.0,
            clock: Clock::External,
            vref_v: 4.5,
            reference: Reference::Internal,
            gpio_chip: "auto".to_owned(),
            drdy_line: None,
            witness_line: None,
            start_line: None,
            reset_line: None,
            power_down_line: None,
            channels: Vec::new(),
            gain: 24,
            input: Input::Electrode,
            r#type: TypeKey::Eeg,
            group: String::new(),
            power: true,
            srb1: false,
            srb2: false,
            bias_drive: BiasDriveKey::Off,
            bias_inputs: Inputs::None,
            trigger_pins: Vec::new(),
            high_pins: Vec::new(),
            self_test: false,
        }
    }
}

/// `"off"`, `"all"` or the number of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BiasDriveKey {
    Off,
    All,
    Chip(usize),
}

impl<'de> Deserialize<'de> for BiasDriveKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<BiasDriveKey, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = BiasDriveKey;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"off\", \"all\" or the number of a chip")
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<BiasDriveKey, E> {
                match value {
                    "off" => Ok(BiasDriveKey::Off),
                    "all" => Ok(BiasDriveKey::All),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<BiasDriveKey, E> {
                let chip = usize::try_from(value).ok().filter(|chip| *chip > 0);
                chip.map(BiasDriveKey::Chip)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The table `[source.lead_off]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LeadOffKeys {
    pub(super) mode: LeadOffMode,
    pub(super) current_na: u32,
    pub(super) comparator_percent: f64,
    pub(super) inputs: Inputs,
    pub(super) calibration: f64,
    pub(super) series_ohms: f64,
}

impl Default for LeadOffKeys {
    fn default() -> LeadOffKeys {
        LeadOffKeys {
            mode: LeadOffMode::Off,
            current_na: 6,
            comparator_percent: 95.0,
            inputs: Inputs::Positive,
            calibration: 1.0,
            series_ohms: 2200.0,
        }
    }
}

/// A table `[source.channel.N]`: what differs for one channel.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChannelKeys {
    pub(super) name: Option<String>,
    pub(super) r#type: Option<TypeKey>,
    pub(super) group: Option<String>,
    pub(super) gain: Option<u32>,
    pub(super) input: Option<Input>,
    pub(super) power: Option<bool>,
    pub(super) srb2: Option<bool>,
    pub(super) bias_inputs: Option<Inputs>,
    pub(super) lead_off_inputs: Option<Inputs>,
    pub(super) lead_off_flip: Option<bool>,
}

/// The channels that differ, by number from 1.
pub(super) type ChannelTables = BTreeMap<usize, ChannelKeys>;
