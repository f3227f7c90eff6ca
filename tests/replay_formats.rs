//! The replay source gives the same of a recording in each format: every code, the time of each block, every annotation on
//! its frame.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "recorder/feeder.rs"]
mod feeder;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use biosigd::block::{Cause, Marker, RawBlock, Stream};
use biosigd::config::MaxOr;
use biosigd::daemon::convert::{Request, convert};
use biosigd::format::{FILLING_TEXT, FileFormat, Values};
use biosigd::rt::Stop;
use biosigd::source::replay::{Recording, Replay, Settings};
use biosigd::source::{Filled, Source};
use feeder::Feeder;

/// What came of a replay.
#[derive(Debug, PartialEq)]
struct Replayed {
    stream: Stream,
    codes: Vec<i32>,
    /// First frame of each block.
    blocks: Vec<u64>,
    markers: Vec<Marker>,
}

fn replayed(file: &Path) -> Replayed {
    let settings = Settings { file: file.to_owned(), speed: MaxOr::Max, looped: false };
    let mut replay = Replay::new(Recording::open(file).unwrap(), &settings, 64).unwrap();
    let stream = replay.stream().clone();
    let markers = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&markers);
    replay.connect(Box::new(move |marker| taken.lock().unwrap().push(marker)));
    replay.start();
    let (mut block, stop) = (RawBlock::new(&stream, 0), Stop::default());
    let (mut codes, mut blocks) = (Vec::new(), Vec::new());
    loop {
        match replay.fill(&mut block, &stop) {
            Filled::Frames => {
                blocks.push(block.head.first_frame);
                codes.extend_from_slice(block.codes());
            }
            Filled::Nothing => {}
            Filled::End => break,
        }
    }
    drop(replay);
    let markers = std::mem::take(&mut *markers.lock().unwrap());
    Replayed { stream, codes, blocks, markers }
}

#[test]
fn each_format_is_replayed_as_the_recording_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut feeder = Feeder::new(dir.path(), 100.0, 3, 0);
    feeder.frames(7);
    feeder.marker(3, 4_000_000, Some(2_000_000_000), "a \u{b5}, \"#1\"");
    feeder.frames(300);
    feeder.gap(Cause::Missed, 30);
    feeder.frames(111);
    feeder.marker(420, 0, None, "late");
    let file = feeder.close(Cause::Disk, 0);
    let source = replayed(&file);
    assert_eq!((source.codes.len(), source.markers.len()), (500 * 3, 3));
    for (name, values) in [("a.csv", Values::Codes), ("b.csv", Values::Units), ("c.raw", Values::Codes)] {
        let output = dir.path().join(name);
        let target = FileFormat::of(&output).unwrap();
        let request = Request { input: file.clone(), output: output.clone(), target, values };
        convert(&request, &AtomicBool::new(false), &mut Vec::new()).unwrap();
        let there = replayed(&output);
        assert_eq!(there.stream, source.stream, "{name}");
        // Without what fills the last record up.
        assert_eq!(there.codes, source.codes[..448 * 3], "{name}");
        assert_eq!(there.blocks, source.blocks[..there.blocks.len()], "{name}");
        assert_eq!(there.markers, source.markers, "{name}");
        // Back in records the same frames come, and the mark of what only fills up.
        let back = dir.path().join(format!("{name}.bdf"));
        let request = Request { input: output, output: back.clone(), target: FileFormat::Bdf, values };
        convert(&request, &AtomicBool::new(false), &mut Vec::new()).unwrap();
        let mut back = replayed(&back);
        let mark = back.markers.iter().position(|marker| marker.text == FILLING_TEXT).unwrap();
        assert_eq!(back.markers.remove(mark).frame, 448, "{name}");
        assert_eq!(back, source, "{name}");
    }
}
