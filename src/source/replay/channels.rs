//! A signal of a file as a channel of the stream: the same label, the same line from codes to values.

use crate::block::{Channel, ChannelType};
use crate::edf::Signal;

/// The channel of `signal`, its unit and ranges exactly as the file has them: a new recording must say the same.
pub(super) fn channel(signal: &Signal) -> Channel {
    let mut channel = Channel {
        name: signal.label.clone(),
        kind: ChannelType::Misc,
        unit: signal.unit.clone(),
        physical_min: signal.physical_min,
        physical_max: signal.physical_max,
        digital_min: signal.digital_min,
        digital_max: signal.digital_max,
        transducer: signal.transducer.clone(),
        prefilter: signal.prefilter.clone(),
    };
    channel.kind = kind(&signal.label, channel.is_voltage());
    channel
}

/// The type by the first word of the label (EDF+ specification 2.1.3, "standard texts"). A label of a single word
/// that is no type names an electrode, if it is a voltage.
fn kind(label: &str, is_voltage: bool) -> ChannelType {
    let mut words = label.split_whitespace();
    let (first, second) = (words.next().unwrap_or(""), words.next());
    let known = [ChannelType::Eeg, ChannelType::Eog, ChannelType::Ecg, ChannelType::Emg];
    match known.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(first)) {
        Some(kind) => kind,
        None if is_voltage && second.is_none() => ChannelType::Eeg,
        None => ChannelType::Misc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(label: &str, unit: &str, physical_max: f64) -> Signal {
        Signal {
            label: label.to_owned(),
            transducer: "AgAgCl electrode".to_owned(),
            unit: unit.to_owned(),
            physical_min: -physical_max,
            physical_max,
            digital_min: -32768,
            digital_max: 32767,
            prefilter: "HP:0.1Hz".to_owned(),
            samples_per_record: 1,
        }
    }

    #[test]
    fn the_type_comes_from_the_first_word() {
        for (label, unit, kind) in [
            ("EEG Fp1", "uV", ChannelType::Eeg),
            ("Fp1", "uV", ChannelType::Eeg),
            ("EOG", "mV", ChannelType::Eog),
            ("ECG II", "mV", ChannelType::Ecg),
            ("emg Tib L", "uV", ChannelType::Emg),
            ("Temp rectal", "degC", ChannelType::Misc),
            ("Resp chest", "uV", ChannelType::Misc),
            ("Status", "Boolean", ChannelType::Misc),
            ("", "", ChannelType::Misc),
        ] {
            let channel = channel(&signal(label, unit, 1.0));
            assert_eq!((channel.name.as_str(), channel.kind), (label, kind));
        }
    }

    #[test]
    fn units_and_ranges_stay_as_they_are() {
        for (value, unit) in [(3.27675, "mV"), (187_500.0, "uV"), (40.5, "degC")] {
            let channel = channel(&signal("Fp1", unit, value));
            assert_eq!((channel.unit.as_str(), channel.physical_max), (unit, value));
        }
    }
}
