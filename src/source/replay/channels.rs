//! A signal of a file as a channel of the stream: the same label, the same line from codes to values.

use crate::block::{Channel, ChannelType};
use crate::edf::Signal;

/// The channel of `signal`. Voltages become microvolts, which is what stages count on; all else stays as it is.
pub(super) fn channel(signal: &Signal) -> Channel {
    let to_microvolts = match signal.unit.as_str() {
        "V" => Some(6),
        "mV" => Some(3),
        "uV" => Some(0),
        "nV" => Some(-3),
        _ => None,
    };
    let physical = |value: f64| to_microvolts.map_or(value, |decimals| shift(value, decimals));
    Channel {
        name: signal.label.clone(),
        kind: kind(&signal.label, to_microvolts.is_some()),
        unit: if to_microvolts.is_some() { "uV".to_owned() } else { signal.unit.clone() },
        physical_min: physical(signal.physical_min),
        physical_max: physical(signal.physical_max),
        digital_min: signal.digital_min,
        digital_max: signal.digital_max,
        transducer: signal.transducer.clone(),
        prefilter: signal.prefilter.clone(),
    }
}

/// `value * 10^decimals`, exact in decimal: a header's `3.27675` mV are 3276.75 uV and not 3276.7499999999995, which
/// would not fit into the eight characters of the next header.
fn shift(value: f64, decimals: i32) -> f64 {
    format!("{value}e{decimals}").parse().unwrap_or(value)
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
    fn voltages_are_microvolts_to_the_last_digit() {
        for (value, unit, microvolts) in
            [(3.27675, "mV", 3276.75), (2.5, "V", 2_500_000.0), (187_500.0, "uV", 187_500.0), (12.8, "nV", 0.0128)]
        {
            let channel = channel(&signal("Fp1", unit, value));
            assert_eq!((channel.unit.as_str(), channel.physical_max), ("uV", microvolts));
            assert_eq!(channel.physical_min, -microvolts);
        }
        let channel = channel(&signal("Temp rectal", "degC", 40.5));
        assert_eq!((channel.unit.as_str(), channel.physical_max), ("degC", 40.5));
    }
}
