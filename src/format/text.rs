//! The header of a CSV or raw file as JSON: the fields of an EDF header, and what a program needs that knows no EDF.

use serde::{Deserialize, Serialize};

use super::{Values, image};
use crate::edf::{Format, Header, SIGNALS_MAX, Signal, format_ns, parse_ns};

/// The version of both formats; another one is refused.
const VERSION: u32 = 1;

/// A record's image and its frames may be larger in BDF and EDF; here a header that lies must not cost more.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// The JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    format: String,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    values: Option<Values>,
    /// For whoever reads it; worked out from the two below.
    rate_hz: f64,
    record_frames: usize,
    record_duration_s: String,
    first_onset_s: String,
    start_date: String,
    start_time: String,
    patient: String,
    recording: String,
    image: String,
    signals: Vec<TextSignal>,
}

/// A signal of it.
#[derive(Debug, Serialize, Deserialize)]
struct TextSignal {
    kind: String,
    label: String,
    unit: String,
    physical_min: f64,
    physical_max: f64,
    digital_min: i32,
    digital_max: i32,
    transducer: String,
    prefilter: String,
    samples_per_record: usize,
}

/// What such a header says.
#[derive(Debug)]
pub(super) struct Facts {
    /// Of the image.
    pub(super) header: Header,
    /// Frames of a whole record.
    pub(super) record_frames: usize,
    /// When the first one begins.
    pub(super) first_onset_ns: i64,
    /// Of CSV.
    pub(super) values: Values,
}

/// The variants that an image may have.
const IMAGES: [Format; 4] = [Format::BdfPlusC, Format::Bdf, Format::EdfPlusC, Format::Edf];

/// The header as JSON; `format` is `csv` or `raw`.
pub(super) fn write(
    format: &str,
    header: &Header,
    first_onset_ns: i64,
    values: Option<Values>,
) -> Result<String, String> {
    let record_frames = image::record_frames(header)?;
    if header.is_discontinuous() {
        return Err(format!("{} is discontinuous; .csv and .raw have one time axis", header.format.name()));
    }
    let signals = header.signals.iter().map(|signal| TextSignal {
        kind: kind(signal).to_owned(),
        label: signal.label.clone(),
        unit: signal.unit.clone(),
        physical_min: signal.physical_min,
        physical_max: signal.physical_max,
        digital_min: signal.digital_min,
        digital_max: signal.digital_max,
        transducer: signal.transducer.clone(),
        prefilter: signal.prefilter.clone(),
        samples_per_record: signal.samples_per_record,
    });
    let text = Text {
        format: format!("biosigd {format}"),
        version: VERSION,
        values,
        rate_hz: record_frames as f64 / header.record_duration_s,
        record_frames,
        record_duration_s: header.record_duration_text.clone(),
        first_onset_s: format_ns(first_onset_ns),
        start_date: header.start_date.clone(),
        start_time: header.start_time.clone(),
        patient: header.patient.clone(),
        recording: header.recording.clone(),
        image: header.format.name().to_owned(),
        signals: signals.collect(),
    };
    let facts = facts(&text)?;
    debug_assert_eq!(Header { n_records: None, ..header.clone() }, facts.header);
    serde_json::to_string_pretty(&text).map_err(|error| error.to_string())
}

/// Reads it, and believes nothing of it unseen.
pub(super) fn read(format: &str, json: &str) -> Result<Facts, String> {
    let text: Text = serde_json::from_str(json).map_err(|error| format!("the header is no JSON of ours: {error}"))?;
    if text.format != format!("biosigd {format}") || text.version != VERSION {
        return Err(format!(
            "the header says `{}`, version {}; this program reads `biosigd {format}`, version {VERSION}",
            text.format, text.version
        ));
    }
    facts(&text)
}

fn kind(signal: &Signal) -> &'static str {
    match signal {
        _ if signal.is_annotations() => "annotations",
        _ if signal.is_status() => "status",
        _ => "channel",
    }
}

/// A line end in a label would be one in the titles of a CSV file, and the rows after it nobody's.
fn printable(what: &str, text: &str) -> Result<(), String> {
    match text.contains(char::is_control) {
        true => {
            Err(format!("the {what} `{}` has characters that cannot be printed; none are right", text.escape_debug()))
        }
        false => Ok(()),
    }
}

fn facts(text: &Text) -> Result<Facts, String> {
    let image = IMAGES.into_iter().find(|format| format.name() == text.image);
    let image = image.ok_or_else(|| format!("the header's image is `{}`, no continuous BDF or EDF", text.image))?;
    let (low, high) = image.code_limits();
    let n_signals = text.signals.len();
    if n_signals == 0 || n_signals > SIGNALS_MAX {
        return Err(format!("the header has {n_signals} signals, 1 to {SIGNALS_MAX} are right"));
    }
    let signals = text.signals.iter().map(|signal| {
        let TextSignal { label, physical_min, physical_max, digital_min, digital_max, .. } = signal;
        let texts = [("label", label), ("unit", &signal.unit), ("transducer", &signal.transducer)];
        texts
            .into_iter()
            .chain([("prefilter", &signal.prefilter)])
            .try_for_each(|(what, text)| printable(what, text))?;
        let signal = Signal {
            label: label.clone(),
            transducer: signal.transducer.clone(),
            unit: signal.unit.clone(),
            physical_min: *physical_min,
            physical_max: *physical_max,
            digital_min: *digital_min,
            digital_max: *digital_max,
            prefilter: signal.prefilter.clone(),
            samples_per_record: signal.samples_per_record,
        };
        let is_in_range = low <= *digital_min && digital_min < digital_max && *digital_max <= high;
        if !signal.is_annotations() && (!is_in_range || physical_min == physical_max) {
            return Err(format!("the ranges of signal `{label}` have no width, or more than {} holds", image.name()));
        }
        Ok(signal)
    });
    printable("patient", &text.patient)?;
    printable("recording", &text.recording)?;
    let duration_ns = parse_ns(&text.record_duration_s).filter(|ns| *ns > 0);
    let duration_s = text.record_duration_s.parse::<f64>().ok().filter(|_| duration_ns.is_some());
    let header = Header {
        format: image,
        patient: text.patient.clone(),
        recording: text.recording.clone(),
        start_date: text.start_date.clone(),
        start_time: text.start_time.clone(),
        n_records: None,
        record_duration_s: duration_s
            .ok_or_else(|| format!("records of `{}` s are no length of time", text.record_duration_s))?,
        record_duration_text: text.record_duration_s.clone(),
        signals: signals.collect::<Result<_, _>>()?,
    };
    let n_samples = header.signals.iter().fold(0_usize, |sum, signal| sum.saturating_add(signal.samples_per_record));
    let record_bytes = (n_samples as u64).saturating_mul(header.bytes_per_sample() as u64);
    if record_bytes > RECORD_BYTES_MAX {
        return Err(format!(
            "records of {record_bytes} bytes are longer than {RECORD_BYTES_MAX}; .bdf and .edf hold them"
        ));
    }
    let record_frames = image::record_frames(&header)?;
    if record_frames == 0 {
        return Err("the header's records have no frames".to_owned());
    }
    let first_onset_ns = parse_ns(&text.first_onset_s);
    let first_onset_ns =
        first_onset_ns.ok_or_else(|| format!("the header's first onset `{}` is no time", text.first_onset_s))?;
    Ok(Facts { header, record_frames, first_onset_ns, values: text.values.unwrap_or_default() })
}
