//! Recordings made by the codec, replayed; and files that are no recordings.

mod bad_files;
mod replaying;

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::block::Marker;
use crate::edf::{Annotation, Format, Header, Signal, TalArea};
use crate::source::Source;

/// A file to be made: `n_records` of `frames_per_record` frames whose codes are [`code`].
struct Made {
    header: Header,
    frames_per_record: usize,
    n_records: usize,
    /// Onset of the first record.
    start_onset_ns: i64,
    /// The record that an annotation is written in, and the annotation.
    annotations: Vec<(usize, Annotation)>,
}

/// Tells every sample of a file from its neighbours, and fits 16 bits.
fn code(frame: u64, channel: usize) -> i32 {
    i32::try_from((frame * 7 + channel as u64 * 1000) % 60_000).expect("small") - 30_000
}

fn signal(format: Format, label: &str, samples_per_record: usize) -> Signal {
    let (digital_min, digital_max) = format.code_limits();
    Signal {
        label: label.to_owned(),
        transducer: "AgAgCl electrode".to_owned(),
        unit: if label.ends_with("Annotations") { String::new() } else { "uV".to_owned() },
        physical_min: -187_500.0,
        physical_max: 187_500.0,
        digital_min,
        digital_max,
        prefilter: "HP:DC".to_owned(),
        samples_per_record,
    }
}

impl Made {
    /// Records of half a second at 100 Hz.
    fn new(format: Format, n_channels: usize, n_records: usize) -> Made {
        let frames_per_record = 50;
        let labels = (0..n_channels).map(|index| format!("EEG {index}"));
        let mut signals: Vec<_> = labels.map(|label| signal(format, &label, frames_per_record)).collect();
        if format.is_plus() {
            // In the middle, so that channels lie on both sides of it.
            signals.insert(n_channels / 2, signal(format, format.annotations_label(), 60));
        }
        let header = Header {
            format,
            patient: "X X X X".to_owned(),
            recording: "Startdate X X X X".to_owned(),
            start_date: "01.02.26".to_owned(),
            start_time: "03.04.05".to_owned(),
            n_records: Some(n_records as u64),
            record_duration_s: 0.5,
            record_duration_text: "0.5".to_owned(),
            signals,
        };
        Made { header, frames_per_record, n_records, start_onset_ns: 0, annotations: Vec::new() }
    }

    fn annotate(&mut self, record: usize, onset_ns: i64, duration_ns: Option<i64>, text: &str) {
        self.annotations.push((record, Annotation { onset_ns, duration_ns, text: text.to_owned() }));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.header.write(&mut bytes).expect("a header that fits");
        let width = self.header.bytes_per_sample();
        for record in 0..self.n_records {
            let mut channel = 0;
            for signal in &self.header.signals {
                if signal.is_annotations() {
                    let mut area = vec![0; signal.samples_per_record * width];
                    let onset_ns = self.start_onset_ns + self.header.record_duration_ns() * record as i64;
                    let mut tals = TalArea::new(&mut area, onset_ns);
                    for (_, annotation) in self.annotations.iter().filter(|(at, _)| *at == record) {
                        assert!(tals.push(annotation), "the area is large enough");
                    }
                    bytes.extend(area);
                    continue;
                }
                for frame in 0..signal.samples_per_record {
                    let code = code((record * self.frames_per_record + frame) as u64, channel);
                    bytes.extend(&code.to_le_bytes()[..width]);
                }
                channel += 1;
            }
        }
        bytes
    }
}

/// A file in a directory of its own.
struct OnDisk {
    _dir: TempDir,
    path: PathBuf,
}

fn on_disk(bytes: &[u8]) -> OnDisk {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.bdf");
    fs::write(&path, bytes).expect("written");
    OnDisk { _dir: dir, path }
}

fn replay(file: &OnDisk, speed: MaxOr<f64>, looped: bool, block_frames_max: usize) -> Replay {
    let settings = Settings { file: file.path.clone(), speed, looped };
    let recording = Recording::open(&settings.file).expect("a recording");
    Replay::new(recording, &settings, block_frames_max).expect("a thread")
}

/// Connects markers, and returns where they arrive.
fn markers_of(replay: &mut Replay) -> Arc<Mutex<Vec<Marker>>> {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&arrived);
    replay.connect(Box::new(move |marker| to.lock().expect("no panic").push(marker)));
    arrived
}

/// Fills blocks until the end, or until `n_frames_max` have come: their heads and all codes.
fn run(replay: &mut Replay, n_frames_max: usize) -> (Vec<Head>, Vec<i32>) {
    let stop = Stop::default();
    let mut block = RawBlock::new(replay.stream(), replay.n_chips());
    let (mut heads, mut codes) = (Vec::new(), Vec::new());
    replay.start();
    while codes.len() < n_frames_max * replay.stream().n_channels() {
        match replay.fill(&mut block, &stop) {
            Filled::Frames => {
                heads.push(block.head);
                codes.extend_from_slice(block.codes());
            }
            Filled::Nothing => {}
            Filled::End => break,
        }
    }
    (heads, codes)
}
