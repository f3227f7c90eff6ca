//! How a chip's status words stand in a file: one signal per chip after the channels, as BioSemi's `Status` stands after
//! BioSemi's channels (24 bits, digital range equal to the physical one, unit `Boolean`), and what the bits mean, in the
//! sidecar.
//!
//! The range is that of all 24 bits, although bit 23 is never set: readers know it from BioSemi's files, and a word of 0,
//! all well, must not stand at an end of its range, where a replay would count it as saturated.

use serde_json::{Map, Value, json};

use super::plan::RecordPlan;
use crate::block::ChipStatus;
use crate::edf::{Format, STATUS_LABEL, STATUS_UNIT, Signal};

/// The bits in brief: 80 characters, and 80 in the field after it.
const TRANSDUCER: &str = "chip status: bits 0-3 GPIO1-4, 4-11 negative, 12-19 positive electrodes off";
const PREFILTER: &str = "bits 20 suspect or filled in, 21 stuck, 22 near an end of the range";

const _: () = assert!(TRANSDUCER.len() <= 80 && PREFILTER.len() <= 80);

/// The signal of chip number `chip` (from 0) of `n_chips`; its label may be taken by a channel.
pub(super) fn signal(chip: usize, n_chips: usize, format: Format, record: &RecordPlan) -> Signal {
    let (digital_min, digital_max) = format.code_limits();
    Signal {
        label: label(chip, n_chips),
        transducer: TRANSDUCER.to_owned(),
        unit: STATUS_UNIT.to_owned(),
        physical_min: f64::from(digital_min),
        physical_max: f64::from(digital_max),
        digital_min,
        digital_max,
        prefilter: PREFILTER.to_owned(),
        samples_per_record: record.n_frames,
    }
}

/// `Status` of a single chip, as MNE knows it for trigger inputs; `Status 1` to `Status n` of several.
fn label(chip: usize, n_chips: usize) -> String {
    if n_chips == 1 { STATUS_LABEL.to_owned() } else { format!("{STATUS_LABEL} {}", chip + 1) }
}

/// The signals as the sidecar lists them, after the channels.
pub(super) fn channels(n_chips: usize) -> impl Iterator<Item = Value> {
    (0..n_chips).map(move |chip| {
        json!({
            "name": label(chip, n_chips),
            // BIDS: "System Triggers". The trigger inputs are bits of this word.
            "type": "TRIG",
            "units": STATUS_UNIT,
            "description": format!("status word of chip {}, see status_words", chip + 1),
        })
    })
}

/// What the bits mean, with the keys that BIDS has for the values of a column.
pub(super) fn describe() -> Value {
    let levels: Map<String, Value> =
        ChipStatus::BITS.iter().map(|(bits, meaning)| ((*bits).to_owned(), json!(meaning))).collect();
    json!({
        "LongName": "Status word of a converter chip",
        "Description": "24 bits per frame. A frame that was lost repeats the word before it with bit 20 set.",
        "Levels": levels,
    })
}
