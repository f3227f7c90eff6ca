//! The part of the sidecar that never changes: what was recorded, from what, with which settings.

use serde_json::{Map, Value, json};

use super::sidecar::Neighbour;
use super::{About, RecorderPlan, status};
use crate::block::{ChannelType, Stream};

/// BIDS keys (1.11, `*_eeg.json` or `*_emg.json`) and ours.
pub(super) fn describe(
    plan: &RecorderPlan,
    about: &About,
    first_frame: u64,
    first_frame_utc_ns: u64,
) -> Map<String, Value> {
    let stream = &plan.stream;
    let task = if about.name.is_empty() { "n/a" } else { &about.name };
    let start = super::file::timestamp(first_frame_utc_ns).to_string();
    let mut members = Map::new();
    for (key, value) in [
        ("TaskName", json!(task)),
        ("SamplingFrequency", json!(stream.rate_hz)),
        ("PowerLineFrequency", json!("n/a")),
        // What is recorded are codes before every filter.
        ("SoftwareFilters", json!("n/a")),
        ("SoftwareVersions", json!(format!("biosigd {}", plan.software_version))),
        ("RecordingType", json!("continuous")),
        ("EEGChannelCount", count(stream, ChannelType::Eeg)),
        ("EOGChannelCount", count(stream, ChannelType::Eog)),
        ("ECGChannelCount", count(stream, ChannelType::Ecg)),
        ("EMGChannelCount", count(stream, ChannelType::Emg)),
        ("MiscChannelCount", count(stream, ChannelType::Misc)),
        ("TriggerChannelCount", json!(plan.n_chips)),
        ("format", json!(plan.format.ending())),
        ("session", json!(plan.session)),
        ("subject", json!(about.subject)),
        ("notes", json!(about.notes)),
        ("first_frame", json!(first_frame)),
        ("first_frame_utc", json!(start)),
        ("first_frame_utc_ns", json!(first_frame_utc_ns)),
        ("channels", channels(stream, plan.n_chips)),
        ("source", plan.source.clone()),
        ("configuration", json!(plan.configuration)),
    ] {
        members.insert(key.to_owned(), value);
    }
    if plan.file_name.is_emg() {
        let scheme = "not known to the recorder; see the notes";
        for (key, value) in
            [("EMGReference", "n/a"), ("EMGPlacementScheme", "Other"), ("EMGPlacementSchemeDescription", scheme)]
        {
            members.insert(key.to_owned(), json!(value));
        }
    } else {
        members.insert("EEGReference".to_owned(), json!("n/a"));
    }
    if plan.n_chips > 0 {
        members.insert("status_words".to_owned(), status::describe());
    }
    members
}

/// Where the file stands in its recording, and on which boot of which machine it was begun: what was written before a power
/// cut is to be trusted less than what a killed process left.
pub(super) fn place(part: u64, previous: Option<&Neighbour>) -> [(String, Value); 3] {
    [
        ("part".to_owned(), json!(part)),
        ("previous".to_owned(), json!(previous.map(Neighbour::json))),
        ("boot_id".to_owned(), json!(boot_id())),
    ]
}

/// The kernel's name for the time since it started; empty where it does not say.
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn count(stream: &Stream, kind: ChannelType) -> Value {
    json!(stream.channels.iter().filter(|channel| channel.kind == kind).count())
}

/// Every channel as the source has it: the file's header has too little room for some names and ranges. Then the status
/// words.
fn channels(stream: &Stream, n_chips: usize) -> Value {
    let of_channel = |channel: &crate::block::Channel| {
        json!({
            "name": channel.name,
            "type": channel.kind.name(),
            "units": channel.unit,
            "physical_min": channel.physical_min,
            "physical_max": channel.physical_max,
            "digital_min": channel.digital_min,
            "digital_max": channel.digital_max,
        })
    };
    Value::Array(stream.channels.iter().map(of_channel).chain(status::channels(n_chips)).collect())
}
