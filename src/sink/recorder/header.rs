//! What the header of a recording says about a stream, and what had to be changed so that it can say it.
//!
//! A header has 16 ASCII characters for a label, 8 for a unit and 8 for each end of a range. What does not fit is
//! bent, never refused, because the samples stay exact: other characters become `_` (a micro sign `u`), long labels
//! are cut, and equal ones get `-2`, `-3` ... at the end. The sidecar keeps every channel as the source has it, and
//! one log line names the ones that were bent. Refused is what would make the samples wrong: codes beyond 24 bits, a
//! range without width, more signals than the header can count.

use std::collections::HashSet;

use jiff::civil::DateTime;

use super::plan::{ANNOTATION_SAMPLES, RecordPlan};
use super::{RecorderPlan, status};
use crate::block::{Channel, Stream};
use crate::edf::{Format, Header, SIGNALS_MAX, Signal, nearest_in};
use crate::format::FileFormat;
use crate::sink::SinkError;

/// EDFlib opens no file with more signals; one of ours is the annotations.
const EDFLIB_SIGNALS_MAX: usize = 640;

const FORMAT: Format = Format::BdfPlusC;

/// The header of a recording of `stream` that began at `start`, local time. `subject` goes into the patient's code.
pub(super) fn header(plan: &RecorderPlan, record: &RecordPlan, start: DateTime, subject: &str) -> Header {
    let mut header = Header {
        format: FORMAT,
        patient: subfields([subject, "", "", ""]),
        recording: String::new(),
        start_date: String::new(),
        start_time: String::new(),
        n_records: None,
        record_duration_s: record.duration_text.parse().unwrap_or(1.0),
        record_duration_text: record.duration_text.clone(),
        signals: signals(&plan.stream, plan.n_chips, record),
    };
    let startdate = header.set_start(start);
    header.recording = format!("{startdate} {}", subfields(["", "", &equipment(plan)]));
    header.recording.truncate(80);
    header
}

/// The source and the software, such as `ads1299_biosigd_0.1.0`. A simulated one says so before all else, because what
/// comes last may be cut off.
fn equipment(plan: &RecorderPlan) -> String {
    let simulated = if plan.stream.is_simulated() { "simulated_" } else { "" };
    let kind = plan.source["kind"].as_str().map_or(String::new(), |kind| format!("{kind}_"));
    format!("{simulated}{kind}biosigd_{}", plan.software_version)
}

/// Subfields of the EDF+ header: spaces within become `_`, an unknown one is `X`; 80 characters together.
fn subfields<const N: usize>(texts: [&str; N]) -> String {
    let texts = texts.map(|text| match ascii(text, 40).replace(' ', "_") {
        empty if empty.is_empty() => "X".to_owned(),
        text => text,
    });
    texts.join(" ")
}

/// Whether a stream from `n_chips` chips can be recorded at all.
pub(super) fn check(stream: &Stream, n_chips: usize, format: FileFormat) -> Result<(), SinkError> {
    let refused = |what| Err(SinkError::Format(what));
    let n_channels = stream.n_channels();
    // One signal of the file is the annotations.
    let n_channels_max = (SIGNALS_MAX - 1).saturating_sub(n_chips);
    if n_channels == 0 || n_channels > n_channels_max {
        return refused(format!("{n_channels} channels: a BDF file holds 1 to {n_channels_max}"));
    }
    if format == FileFormat::Edf && n_chips > 0 {
        return refused(
            "the status words of a converter's chips have 24 bits and EDF 16; format = \"bdf\", \"csv\" or \"raw\" in \
             [recorder] holds them"
                .to_owned(),
        );
    }
    for channel in &stream.channels {
        let (name, low, high) = (&channel.name, channel.digital_min, channel.digital_max);
        let (limit_low, limit_high) = FORMAT.code_limits();
        let (edf_low, edf_high) = Format::EdfPlusC.code_limits();
        if format == FileFormat::Edf && (low < edf_low || high > edf_high) {
            return refused(format!(
                "channel {name}: codes from {low} to {high} are wider than the 16 bits of EDF, {edf_low} to {edf_high}; \
                 format = \"bdf\", \"csv\" or \"raw\" in [recorder] holds them"
            ));
        }
        if low < limit_low || high > limit_high {
            return refused(format!(
                "channel {name}: codes from {low} to {high} are wider than the 24 bits of BDF, {limit_low} to {limit_high}"
            ));
        }
        if low >= high {
            return refused(format!("channel {name}: digital_max = {high} must be above digital_min = {low}"));
        }
        let ends = [channel.physical_min, channel.physical_max].map(|end| nearest_in(8, end));
        if ends[0].is_none() || ends[1].is_none() || ends[0] == ends[1] {
            return refused(format!(
                "channel {name}: physical_min = {} and physical_max = {} must differ within 8 characters",
                channel.physical_min, channel.physical_max
            ));
        }
    }
    Ok(())
}

/// One warning for each kind of thing that the file cannot say as the source does.
pub(super) fn warn(stream: &Stream, n_chips: usize, record: &RecordPlan) {
    let n_signals = stream.n_channels() + n_chips + 1;
    if n_signals > EDFLIB_SIGNALS_MAX {
        tracing::warn!(
            "recording {n_signals} signals: EDFlib (and pyEDFlib, EDFbrowser) opens at most {EDFLIB_SIGNALS_MAX}; \
             MNE has no such limit"
        );
    }
    let bent: Vec<_> = stream
        .channels
        .iter()
        .zip(signals(stream, n_chips, record))
        .filter(|(channel, signal)| channel.name != signal.label || channel.unit.replace('\u{b5}', "u") != signal.unit)
        .map(|(channel, signal)| format!("`{}` {} as `{}` {}", channel.name, channel.unit, signal.label, signal.unit))
        .collect();
    if !bent.is_empty() {
        tracing::warn!(
            "labels or units that do not fit the file's header; the sidecar keeps them: {}",
            bent.join(", ")
        );
    }
    let rounded = stream.channels.iter().filter(|channel| {
        [channel.physical_min, channel.physical_max].iter().any(|end| rounded(*end).to_bits() != (end + 0.0).to_bits())
    });
    let names: Vec<_> = rounded.map(|channel| channel.name.as_str()).collect();
    if !names.is_empty() {
        tracing::warn!("physical ranges rounded to 8 characters; the sidecar keeps them: {}", names.join(", "));
    }
}

/// The channels, the status words of the chips, the annotations.
fn signals(stream: &Stream, n_chips: usize, record: &RecordPlan) -> Vec<Signal> {
    let mut taken = HashSet::from([FORMAT.annotations_label().to_owned(), "EDF Annotations".to_owned()]);
    let of_channel = |(index, channel): (usize, &Channel)| Signal {
        label: unique(&channel.name, index, &mut taken),
        transducer: ascii(&channel.transducer, 80),
        unit: ascii(&channel.unit, 8),
        physical_min: rounded(channel.physical_min),
        physical_max: rounded(channel.physical_max),
        digital_min: channel.digital_min,
        digital_max: channel.digital_max,
        prefilter: ascii(&channel.prefilter, 80),
        samples_per_record: record.n_frames,
    };
    let mut signals: Vec<_> = stream.channels.iter().enumerate().map(of_channel).collect();
    for chip in 0..n_chips {
        let signal = status::signal(chip, n_chips, FORMAT, record);
        let label = unique(&signal.label, stream.n_channels() + chip, &mut taken);
        signals.push(Signal { label, ..signal });
    }
    let (digital_min, digital_max) = FORMAT.code_limits();
    signals.push(Signal {
        label: FORMAT.annotations_label().to_owned(),
        transducer: String::new(),
        unit: String::new(),
        physical_min: -1.0,
        physical_max: 1.0,
        digital_min,
        digital_max,
        prefilter: String::new(),
        samples_per_record: ANNOTATION_SAMPLES,
    });
    signals
}

/// A label of at most 16 characters that no other signal has.
fn unique(name: &str, index: usize, taken: &mut HashSet<String>) -> String {
    let mut label = ascii(name, 16);
    if label.is_empty() {
        label = format!("ch{index}");
    }
    let whole = label.clone();
    for n in 2.. {
        if taken.insert(label.clone()) {
            break;
        }
        let suffix = format!("-{n}");
        label = format!("{}{suffix}", &whole[..whole.len().min(16 - suffix.len())]);
    }
    label
}

/// Printable ASCII, at most `width` characters, without spaces around.
fn ascii(text: &str, width: usize) -> String {
    let printable = |character| match character {
        ' '..='~' => character,
        '\u{b5}' | '\u{3bc}' => 'u',
        _ => '_',
    };
    text.trim().chars().map(printable).take(width).collect::<String>().trim_end().to_owned()
}

/// The nearest number that eight characters hold; [`check`] has seen that there is one.
fn rounded(end: f64) -> f64 {
    nearest_in(8, end).and_then(|text| text.parse().ok()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::recorder::record_plan;

    fn stream(names: &[&str]) -> Stream {
        let channels = names.iter().map(|name| Channel::microvolts_24_bit(name, 187_500.0)).collect();
        Stream { rate_hz: 250.0, channels, block_frames_max: 25, ratio: 1, delay_s: 0.0 }
    }

    #[test]
    fn labels_are_ascii_short_and_unique() {
        let stream = stream(&[
            "Fp1",
            "Fp1",
            "Fp1",
            "",
            "BDF Annotations",
            "a label of twenty ch",
            "a label of twenty ch",
            "\u{b5}\u{3a9}",
        ]);
        let record = record_plan(250.0, stream.n_channels()).expect("fits");
        let labels: Vec<_> = signals(&stream, 0, &record).into_iter().map(|signal| signal.label).collect();
        let expected = [
            "Fp1",
            "Fp1-2",
            "Fp1-3",
            "ch3",
            "BDF Annotation-2",
            "a label of twent",
            "a label of twe-2",
            "u_",
            "BDF Annotations",
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn status_words_come_after_the_channels_and_take_nobody_s_label() {
        let labels = |names: &[&str], n_chips| -> Vec<String> {
            let stream = stream(names);
            let record = record_plan(250.0, stream.n_channels() + n_chips).expect("fits");
            signals(&stream, n_chips, &record).into_iter().map(|signal| signal.label).collect()
        };
        assert_eq!(labels(&["Fp1"], 1), ["Fp1", "Status", "BDF Annotations"]);
        assert_eq!(labels(&["Fp1"], 3), ["Fp1", "Status 1", "Status 2", "Status 3", "BDF Annotations"]);
        assert_eq!(labels(&["Status", "Fp1"], 1), ["Status", "Fp1", "Status-2", "BDF Annotations"]);
        let names = vec!["Fp1"; 9995];
        assert!(check(&stream(&names), 3, FileFormat::Bdf).is_ok());
        let error = check(&stream(&names), 4, FileFormat::Bdf).expect_err("one too many").to_string();
        assert_eq!(error, "9995 channels: a BDF file holds 1 to 9994");
    }

    #[test]
    fn what_would_make_samples_wrong_is_refused() {
        let refused = |change: fn(&mut Channel)| {
            let mut stream = stream(&["Fp1"]);
            change(&mut stream.channels[0]);
            check(&stream, 0, FileFormat::Bdf).expect_err("refused").to_string()
        };
        assert_eq!(
            refused(|channel| channel.digital_max = 1 << 23),
            "channel Fp1: codes from -8388608 to 8388608 are wider than the 24 bits of BDF, -8388608 to 8388607"
        );
        assert_eq!(
            refused(|channel| channel.digital_min = channel.digital_max),
            "channel Fp1: digital_max = 8388607 must be above digital_min = 8388607"
        );
        assert_eq!(
            refused(|channel| channel.physical_min = channel.physical_max - 1e-6),
            "channel Fp1: physical_min = 187499.999999 and physical_max = 187500 must differ within 8 characters"
        );
        assert!(refused(|channel| channel.physical_max = f64::NAN).contains("physical_max = NaN"));
        assert_eq!(
            check(&stream(&[]), 0, FileFormat::Bdf).expect_err("none").to_string(),
            "0 channels: a BDF file holds 1 to 9998"
        );
        assert!(check(&stream(&["Fp1", "Fp2"]), 0, FileFormat::Bdf).is_ok());
    }
}
