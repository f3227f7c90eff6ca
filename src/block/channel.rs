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
    /// The sensor, for the recording's header (EDF "transducer type"); may be empty.
    pub transducer: String,
    /// Filters before the converter, for the recording's header (EDF "prefiltering"); may be empty.
    pub prefilter: String,
}

impl Channel {
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
        matches!(self.unit.as_str(), "V" | "mV" | "uV" | "µV" | "nV")
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
}
