//! Status words of a converter's chips through the recorder: a signal per chip after the channels, the words as they came,
//! the suspect bit in what is filled in, and readers that leave them alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "recorder/feeder.rs"]
mod feeder;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use biosigd::block::{Cause, ChannelType, ChipStatus};
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Header, Signal, decode};
use biosigd::source::replay::Recording;
use feeder::{Feeder, word};

/// The words of every signal of status words, as they stand in the file.
fn words(file: &Path) -> (Header, Vec<Vec<i32>>) {
    let mut input = fs::File::open(file).unwrap();
    let header = Header::read(&mut input).unwrap();
    let mut words = vec![Vec::new(); header.signals.len()];
    let mut record = vec![0; header.record_bytes()];
    while input.read_exact(&mut record).is_ok() {
        for ((signal, range), words) in header.signal_ranges().zip(&mut words).filter(|((s, _), _)| s.is_status()) {
            let start = words.len();
            words.resize(start + signal.samples_per_record, 0);
            decode(3, &record[range], &mut words[start..]);
        }
    }
    words.retain(|words| !words.is_empty());
    (header, words)
}

/// Frames 100 to 1399 of four channels from `n_chips` chips at 250 Hz: the first frames were lost, and some in the middle.
fn recording(dir: &Path, n_chips: usize) -> PathBuf {
    let mut plan = feeder::plan(dir, 250.0, 4);
    plan.n_chips = n_chips;
    plan.source = serde_json::json!({"kind": "fake", "proof": {"group_delay_s": 0.000_375}});
    let mut feeder = Feeder::with(plan, 100);
    feeder.gap(Cause::Spi, 3);
    feeder.frames(300);
    feeder.marker(200, 0, None, "trigger");
    feeder.gap(Cause::Reinit, 700);
    feeder.frames(290);
    feeder.close(Cause::Missed, 7)
}

const SUSPECT: i32 = 1 << 20;

#[test]
fn words_stand_as_they_came_and_filled_frames_are_suspect() {
    assert_eq!(u32::try_from(SUSPECT), Ok(ChipStatus::SUSPECT.0));
    for n_chips in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let file = recording(dir.path(), n_chips);
        let (header, words) = words(&file);
        assert_eq!(words.len(), n_chips);
        for (chip, words) in (0..).zip(&words) {
            for (frame, found) in (100..).zip(words) {
                let expected = match frame {
                    // Before the first frame nothing is known of pins and electrodes.
                    100..103 => SUSPECT,
                    403..1103 => word(402, chip) | SUSPECT,
                    // The gap at the end, and padding.
                    1393.. => word(1392, chip) | SUSPECT,
                    frame => word(frame, chip),
                };
                assert_eq!(*found, expected, "frame {frame} of chip {chip}");
            }
            assert_eq!(words.len(), 1500);
        }
        let signal = header.signals.iter().find(|signal| signal.is_status()).unwrap();
        assert_eq!(signal.label, if n_chips == 1 { "Status" } else { "Status 1" });
        assert_eq!(
            (signal.unit.as_str(), signal.digital_min, signal.digital_max),
            ("Boolean", -(1 << 23), (1 << 23) - 1)
        );
        assert_eq!((signal.physical_min, signal.physical_max), (-8_388_608.0, 8_388_607.0));
        // Channels first, annotations last.
        let kinds: Vec<bool> = header.signals.iter().map(Signal::is_status).collect();
        assert_eq!(kinds, [vec![false; 4], vec![true; n_chips], vec![false]].concat());
    }
}

#[test]
fn the_sidecar_counts_them_and_says_what_the_bits_mean() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = feeder::sidecar(&recording(dir.path(), 2));
    assert_eq!((&sidecar["EEGChannelCount"], &sidecar["TriggerChannelCount"]), (&4.into(), &2.into()));
    let last = &sidecar["channels"][5];
    assert_eq!((&last["name"], &last["type"], &last["units"]), (&"Status 2".into(), &"TRIG".into(), &"Boolean".into()));
    assert_eq!(sidecar["channels"].as_array().unwrap().len(), 6);
    let levels = sidecar["status_words"]["Levels"].as_object().unwrap();
    assert_eq!(levels.len(), ChipStatus::BITS.len());
    assert!(levels["bit 20"].as_str().unwrap().starts_with("suspect"), "{levels:?}");
    assert_eq!(sidecar["source"]["proof"]["group_delay_s"], 0.000_375);
    assert_eq!(sidecar["ledger"]["recorder"]["lost"]["reinit"], 700);

    let without = feeder::sidecar(&Feeder::new(dir.path(), 250.0, 4, 0).close(Cause::Missed, 1));
    assert_eq!((&without["TriggerChannelCount"], &without["status_words"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn verify_checks_the_counter_in_the_channels_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = recording(dir.path(), 2);
    let report = verify_file(&file, true).unwrap();
    assert!(report.is_well(), "{report}");
    let text = report.to_string();
    assert!(text.contains("BDF+C, 4 signals and 2 of status words at 250 Hz, 6 records"), "{text}");
    assert!(text.contains("every code is the counter's"), "{text}");
    // A channel that is wrong is still found behind them.
    let mut bytes = fs::read(&file).unwrap();
    let header = Header::read(&mut bytes.as_slice()).unwrap();
    let second_record = usize::try_from(header.header_bytes()).unwrap() + header.record_bytes();
    bytes[second_record + 3 * 250 * 3] ^= 1;
    fs::write(&file, bytes).unwrap();
    let damage = verify_file(&file, true).unwrap().damage_found().concat();
    assert!(damage.starts_with("frame 250 of the file (350 of the source), channel 3"), "{damage}");
}

#[test]
fn a_replay_has_them_as_channels_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    let stream = Recording::open(&recording(dir.path(), 2)).unwrap().stream(25);
    let kinds: Vec<_> = stream.channels.iter().map(|channel| (channel.name.as_str(), channel.kind)).collect();
    assert_eq!(
        kinds[3..],
        [("ch3", ChannelType::Eeg), ("Status 1", ChannelType::Misc), ("Status 2", ChannelType::Misc)]
    );
    // Stages made for voltages leave them alone, and no word stands at an end of the range, where it would be saturated.
    let status = &stream.channels[5];
    assert!(!status.is_voltage() && status.digital_min < 0 && status.digital_max == (1 << 23) - 1);
}

#[test]
fn the_readme_says_what_the_bits_mean_as_the_sidecar_does() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for (bits, meaning) in ChipStatus::BITS {
        assert!(readme.contains(&format!("\n| {bits} | {meaning} |\n")), "{bits}");
    }
}

/// For `tests/readers/check.py`, which opens what is here with pyEDFlib and MNE.
#[test]
fn files_for_other_readers() {
    let Some(dir) = std::env::var_os("BIOSIGD_KEEP_DIR").map(PathBuf::from) else { return };
    for n_chips in [1, 4] {
        println!("{}", recording(&dir, n_chips).display());
    }
}
