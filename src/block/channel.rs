//! One channel: its name, kind and unit, and the line that turns a code into a physical value.

/// What a channel measures, in the words of BIDS (`*_channels.tsv`, column `type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelType {
    /// Electroencephalogram.
    Eeg,
    /// Electro-oculogram.
    Eog,
    /// Electrocardiogram.
    Ecg,
    /// Electromyogram.
    Emg,
    /// Anything else.
    Misc,
}

impl ChannelType {
    /// The upper-case BIDS name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChannelType::Eeg => "EEG",
            ChannelType::Eog => "EOG",
            ChannelType::Ecg => "ECG",
            ChannelType::Emg => "EMG",
            ChannelType::Misc => "MISC",
        }
    }
}

/// One channel of a stream. `physical = (code - digital_min) * scale + physical_min`, as in EDF, where
/// `scale = (physical_max - physical_min) / (digital_max - digital_min)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The label, at most 16 ASCII characters when it is to be recorded (EDF specification, "label").
    pub name: String,
    /// What is measured.
    pub kind: ChannelType,
    /// The unit of the physical range: `uV` for voltages, else the channel's own.
    pub unit: String,
    /// The physical value of `digital_min`, in `unit`.
    pub physical_min: f64,
    /// The physical value of `digital_max`, in `unit`.
    pub physical_max: f64,
    /// The smallest code.
    pub digital_min: i32,
    /// The largest code.
    pub digital_max: i32,
    /// The sensor, for the recording's header (EDF "transducer type"); may be empty. [`Channel::SIMULATED`] where there is
    /// none.
    pub transducer: String,
    /// Filters before the converter, for the recording's header (EDF "prefiltering"); may be empty.
    pub prefilter: String,
}

impl Channel {
    /// The transducer of a channel that nothing was measured with. It stands in the header of every recording, and comes
    /// back with a replay of it.
    pub const SIMULATED: &'static str = "simulated";

    /// Whether its samples were made up, here or in the recording that they come from.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.transducer == Channel::SIMULATED
    }

    /// The same channel, marked as simulated.
    #[must_use]
    pub fn simulated(mut self) -> Channel {
        Channel::SIMULATED.clone_into(&mut self.transducer);
        self
    }

    /// A voltage channel of the whole 24-bit range that spans `-range_uv..=range_uv` microvolts.
    #[must_use]
    pub fn microvolts_24_bit(name: &str, range_uv: f64) -> Channel {
        Channel {
            name: name.to_owned(),
            kind: ChannelType::Eeg,
            unit: "uV".to_owned(),
            physical_min: -range_uv,
            physical_max: range_uv,
            digital_min: -(1 << 23),
            digital_max: (1 << 23) - 1,
            transducer: String::new(),
            prefilter: String::new(),
        }
    }

    /// Physical units per code.
    #[must_use]
    pub fn scale(&self) -> f64 {
        (self.physical_max - self.physical_min) / (f64::from(self.digital_max) - f64::from(self.digital_min))
    }

    /// The physical value of code 0, so that `physical = code * scale + offset`.
    #[must_use]
    pub fn offset(&self) -> f64 {
        self.physical_min - f64::from(self.digital_min) * self.scale()
    }

    /// Whether the unit is a voltage; stages made for voltages leave other channels alone.
    #[must_use]
    pub fn is_voltage(&self) -> bool {
        self.microvolts_per_unit().is_some()
    }

    /// The channel as stages see it: in microvolts where its unit is a voltage, else unchanged. The codes stay the
    /// same, so a recording keeps the unit of its source.
    #[must_use]
    pub fn in_microvolts(&self) -> Channel {
        let mut channel = self.clone();
        if let Some(microvolts) = self.microvolts_per_unit() {
            channel.physical_min *= microvolts;
            channel.physical_max *= microvolts;
            "uV".clone_into(&mut channel.unit);
        }
        channel
    }

    fn microvolts_per_unit(&self) -> Option<f64> {
        match self.unit.as_str() {
            "V" => Some(1e6),
            "mV" => Some(1e3),
            "uV" | "\u{b5}V" => Some(1.0),
            "nV" => Some(1e-3),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_ranges_meet() {
        let channel = Channel::microvolts_24_bit("Fp1", 187_500.0);
        let physical = |code: i32| f64::from(code) * channel.scale() + channel.offset();
        // Two roundings of f64 at 2e5: far below one code, which is 0.022 uV.
        assert!((physical(channel.digital_min) - channel.physical_min).abs() < 1e-9);
        assert!((physical(channel.digital_max) - channel.physical_max).abs() < 1e-9);
    }

    #[test]
    fn stages_see_microvolts() {
        let mut channel = Channel::microvolts_24_bit("Fp1", 2.5);
        "mV".clone_into(&mut channel.unit);
        let seen = channel.in_microvolts();
        assert_eq!((seen.unit.as_str(), seen.physical_max), ("uV", 2500.0));
        "degC".clone_into(&mut channel.unit);
        assert_eq!(channel.in_microvolts(), channel);
    }
}
