//! What can be wrong with the hardware, as a person at the bench reads it: what was found, what was expected, what to
//! look at. Small and without text of its own, so that it can leave the real-time thread.

use super::registers::{Model, name};
use super::wire::WireError;

/// Why start-up, or setting up again, failed. Chips and channels count from 0 here and from 1 in the text.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// A wire refused.
    #[error("chip {}: {error}; {}", chip + 1, of_wire(*error))]
    Wire {
        /// The chip spoken to.
        chip: usize,
        /// What was refused.
        error: WireError,
    },
    /// No chip, or another one, answers.
    #[error("chip {}: its ID register reads {id:#04X}, expected {:#04X} ({}) in the lower five bits: {}",
        chip + 1, wanted.id_bits(), wanted.name(), of_id(*id))]
    Id {
        /// The chip.
        chip: usize,
        /// What was read last.
        id: u8,
        /// What it should be.
        wanted: Model,
    },
    /// A register does not hold what was written.
    #[error("chip {}: register {} reads {read:#04X} after {wrote:#04X} was written, three times over: look at DIN, at the \
        supply, and at what else is on this bus", chip + 1, name(*address))]
    Register {
        /// The chip.
        chip: usize,
        /// Its address.
        address: usize,
        /// What was written.
        wrote: u8,
        /// What came back.
        read: u8,
    },
    /// DRDY does not fall.
    #[error(
        "DRDY gave {n_edges} edges and then none for a tenth of a second: look at drdy_line (is it the GPIO that DRDY is \
        wired to?), at START (low, and no command reached the chip?) and at the chips' clock (CLKSEL)"
    )]
    NoEdges {
        /// Edges that came.
        n_edges: usize,
    },
    /// DRDY falls at another rate.
    #[error("DRDY falls {rate_hz:.1} times a second, expected {nominal_hz} within {:.1} %: {}", tolerance * 100.0,
        of_rate(*rate_hz, *nominal_hz))]
    Rate {
        /// As measured.
        rate_hz: f64,
        /// As configured.
        nominal_hz: f64,
        /// How far it may be off, as a part of it.
        tolerance: f64,
    },
    /// A chip's status word is not where it should be.
    #[error("chip {}: its part of the frame began with {first_byte:#04X} in {n_bad} of 100 frames, expected 0xC. (the sync \
        nibble), at every SPI clock from {clock_hz} down to {slowest_hz} Hz: {}", chip + 1, of_byte(*chip, *first_byte))]
    NoSync {
        /// The first chip that failed.
        chip: usize,
        /// The last wrong byte.
        first_byte: u8,
        /// Wrong frames.
        n_bad: usize,
        /// The clock that was asked for.
        clock_hz: u32,
        /// The slowest that was tried.
        slowest_hz: u32,
    },
    /// The sync nibble was right, what comes back of GPIO was not.
    #[error("chip {}: its GPIO pins read {read:#03X} in {n_bad} of 100 frames, but {wrote:#03X} is driven out (`high_pins`): its \
        registers were not written, or the board drives a pin against it; look at what is wired to GPIO1 to GPIO4", chip + 1)]
    Echo {
        /// The first chip that failed.
        chip: usize,
        /// The last wrong echo; bit 0 is GPIO1.
        read: u8,
        /// What it should be.
        wrote: u8,
        /// Wrong frames.
        n_bad: usize,
    },
    /// The thread was late.
    #[error(
        "the thread was late: {n_late} of {n_frames} reads ended after the next conversion, which tears a frame that flows by \
        itself, so nothing can be said of the wires: look at what else runs on its core (biosigd doctor), or write \
        read_mode = \"rdata\", where a late read brings a whole frame"
    )]
    Late {
        /// Reads that came too late.
        n_late: usize,
        /// All of them.
        n_frames: usize,
    },
    /// A chip stands behind the last one.
    #[error(
        "there are more chips than n_chips = {n_chips}: behind the last one of a chip select another status word begins"
    )]
    MoreChips {
        /// As configured.
        n_chips: usize,
    },
    /// Two chips give the same.
    #[error(
        "chips {} and {} gave the same codes in every one of 100 frames: it is one chip that is read twice; look at the chip selects, \
        each must reach a chip of its own, and in a row at the wires from DOUT to DAISY_IN", chip + 1, other + 1
    )]
    Twins {
        /// The one.
        chip: usize,
        /// The other.
        other: usize,
    },
    /// More noise, or less, than a chip with shorted inputs has.
    #[error("chip {}, channel {}: {rms_uv:.2} uV rms and {mean_uv:.1} uV mean with shorted inputs, expected 0.3 to 3 times \
        {expected_uv:.2} uV and a mean below 300 uV: {}", chip + 1, channel + 1,
        if *rms_uv == 0.0 { "a value that never moves is not measured; look at the chip's clock and its reference" }
        else { "look at the reference (VREFP, its capacitor), at the supply and at noise on it" })]
    Noise {
        /// The chip.
        chip: usize,
        /// The channel of the chip.
        channel: usize,
        /// As measured.
        rms_uv: f64,
        /// The mean.
        mean_uv: f64,
        /// By the datasheet.
        expected_uv: f64,
    },
    /// The test signal is not what the chip should make.
    #[error("chip {}, channel {}: the test signal is {}, expected +-{expected_uv:.0} uV within 5 %: the \
        channel's gain is wrong, or its signal is; look at the chip's supply, and at its other channels",
        chip + 1, channel + 1, of_amplitude(*amplitude_uv))]
    TestSignal {
        /// The chip.
        chip: usize,
        /// The channel of the chip.
        channel: usize,
        /// As measured.
        amplitude_uv: f64,
        /// As configured.
        expected_uv: f64,
    },
    /// The test signal does not turn when it should.
    #[error("chip {}, channel {}: the test signal turns {}, expected every {expected:.0} samples (2^20 cycles of the clock) \
        within a quarter: {}", chip + 1, channel + 1, every(*samples), of_turns(*chip))]
    TestPeriod {
        /// The chip.
        chip: usize,
        /// The channel of the chip.
        channel: usize,
        /// The distance of two turns that is farthest off; `None` where it does not turn twice.
        samples: Option<f64>,
        /// By the clock.
        expected: f64,
    },
    /// Voltages that do not depend on the reference are not what they can be.
    #[error("chip {}: by vref_v it measures {} as the middle of the analogue supply (expected 2.37 to 2.63 V, or 0 V between \
        two supplies), {} as DVDD (1.8 to 3.6 V) and a temperature of {} (0 to 70 C): where all are off by one factor, the \
        reference is not vref_v, look at `reference` and at VREFP; else look at that supply", chip + 1,
        some(*middle_v, " V"), some(*dvdd_v, " V"), some(*temperature_c, " C"))]
    Voltages {
        /// The chip.
        chip: usize,
        /// Half of AVDD and AVSS; `None` where no channel that is on can measure it, as below.
        middle_v: Option<f64>,
        /// The digital supply.
        dvdd_v: Option<f64>,
        /// Of the chip.
        temperature_c: Option<f64>,
    },
}

impl ProofError {
    /// The chip it is about; `None` where it is about all of them.
    #[must_use]
    pub fn chip(&self) -> Option<usize> {
        match *self {
            ProofError::Wire { chip, .. }
            | ProofError::Id { chip, .. }
            | ProofError::Register { chip, .. }
            | ProofError::NoSync { chip, .. }
            | ProofError::Echo { chip, .. }
            | ProofError::Noise { chip, .. }
            | ProofError::TestSignal { chip, .. }
            | ProofError::TestPeriod { chip, .. }
            | ProofError::Voltages { chip, .. } => Some(chip),
            ProofError::NoEdges { .. }
            | ProofError::Rate { .. }
            | ProofError::Late { .. }
            | ProofError::Twins { .. }
            | ProofError::MoreChips { .. } => None,
        }
    }
}

fn some(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:.2}{unit}"))
}

fn of_amplitude(uv: f64) -> String {
    if uv.is_nan() { "not there: it stays on one side of 0".to_owned() } else { format!("+-{uv:.0} uV") }
}

fn every(samples: Option<f64>) -> String {
    samples.map_or_else(|| "less than twice".to_owned(), |samples| format!("after {samples:.2} samples"))
}

fn of_turns(chip: usize) -> &'static str {
    match chip {
        0 => "look at drdy_line: edges must be those of this chip",
        _ => "this chip's clock is not that of the first one; look at CLK and CLKSEL",
    }
}

fn of_wire(error: WireError) -> &'static str {
    match error {
        WireError::Spi(_) | WireError::Short { .. } => "look at the kernel's log (dmesg) and at the SPI device",
        WireError::SpiTimeout => "a kernel of 2025 or later is needed for transfers of more than 64 bytes (dmesg)",
        WireError::Gpio(_) => "look at the GPIO lines: who else holds them (gpioinfo)?",
    }
}

fn of_id(id: u8) -> &'static str {
    match id {
        0x00 => {
            "nothing drives DOUT: look at power, at the clock (CLKSEL), at RESET and PWDN, and at the chip select; or the chip \
             streams and heard no SDATAC: look at DIN"
        }
        0xFF => "MISO floats high: look at DOUT's wire, at the chip select and at power",
        _ if Model::of_id(id).is_some() => "another member of the family; set `model`",
        _ if matches!(id & 0x1F, 0x10..=0x12) => "an ADS129x, which this driver does not know",
        _ => "bits are wrong: look at the wires' length, at ground between board and Pi, and try a slower clock",
    }
}

fn of_rate(rate_hz: f64, nominal_hz: f64) -> &'static str {
    if (rate_hz / 250.0 - 1.0).abs() < 0.03 && nominal_hz > 300.0 {
        "250 is what a chip does that lost its registers: look at RESET and at the supply"
    } else {
        "look at the clock that feeds CLK (2.048 MHz), at drdy_line, and whether two chips are wired to one line"
    }
}

fn of_byte(chip: usize, byte: u8) -> &'static str {
    match byte {
        0x00 if chip > 0 => {
            "nothing comes from it: fewer chips than n_chips? else look at its clock, and at the wire from its DOUT to the \
             DAISY_IN before it"
        }
        0x00 => "nothing drives DOUT: look at power, clock and chip select",
        0xFF => "MISO floats high: look at DOUT's wire",
        _ => "bits are shifted: look at gap_bits, model and topology, and at the wires' length",
    }
}
