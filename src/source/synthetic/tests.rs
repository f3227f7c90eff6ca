//! Tests of the synthetic source. The clock is real, but no test depends on how fast it goes.

use super::signal::counter_code;
use super::*;
use crate::config::{AutoOr, Document};

fn open(keys: &str, block_frames: usize) -> Box<dyn Source> {
    let mut mistakes = Mistakes::new("test.toml");
    let document = Document::parse("test.toml", keys).unwrap();
    let plan = plan(&document.root(), &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes}");
    let opening = Opening { base: std::path::Path::new("."), block_frames: AutoOr::Value(block_frames) };
    plan.unwrap().open(&opening).unwrap()
}

fn mistakes_of(keys: &str) -> String {
    let mut mistakes = Mistakes::new("test.toml");
    let document = Document::parse("test.toml", keys).unwrap();
    assert!(plan(&document.root(), &mut mistakes).is_none());
    mistakes.to_string()
}

#[test]
fn the_counter_is_what_it_promises() {
    assert_eq!(counter_code(0, 0), -8_388_608);
    assert_eq!(counter_code(1, 3), -8_388_608 + 67);
    assert_eq!(counter_code((1 << 24) / 64, 0), -8_388_608);
    assert_eq!(counter_code((1 << 24) / 64 - 1, 63), 8_388_607);
}

#[test]
fn frames_run_on_and_stop_hands_over_what_there_is() {
    let mut source = open("signal = \"counter\"\nn_channels = 4\nrate_hz = 64000\nfifo_s = 60", 640);
    let mut block = RawBlock::new(source.stream(), 0);
    let stop = Stop::default();
    source.start();
    let mut next_frame = 0;
    for _ in 0..5 {
        assert_eq!(source.fill(&mut block, &stop), Filled::Frames);
        assert_eq!((block.head.first_frame, block.head.n_frames), (next_frame, 640));
        assert_eq!(block.codes()[640 * 4 - 1], counter_code(next_frame + 639, 3));
        next_frame += 640;
    }
    stop.set();
    while source.fill(&mut block, &stop) == Filled::Frames {
        assert!(block.head.n_frames <= 640);
        next_frame += block.head.n_frames as u64;
    }
    assert_eq!(source.end(), End { next_frame, lost: Tally::default() });
}

#[test]
fn what_overflows_the_fifo_is_missed_and_counted() {
    let mut source = open("signal = \"counter\"\nn_channels = 1\nrate_hz = 64000\nfifo_s = 0.0", 64);
    let mut block = RawBlock::new(source.stream(), 0);
    let stop = Stop::default();
    source.start();
    // At 64 kHz a sleep of 20 ms is 1280 conversions, of which a FIFO of one block keeps 64.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(source.fill(&mut block, &stop), Filled::Frames);
    let missed = block.head.lost.get(Cause::Missed);
    assert!(missed >= 1280 - 64, "{missed}");
    assert_eq!(block.head.first_frame, missed);
    assert_eq!(block.codes()[0], counter_code(missed, 0));
}

#[test]
fn every_signal_stays_in_range_and_moves() {
    for signal in ["sine", "eeg", "noise", "counter"] {
        let mut source = open(&format!("signal = \"{signal}\"\nn_channels = 8\nrate_hz = 64000"), 640);
        let mut block = RawBlock::new(source.stream(), 0);
        source.start();
        assert_eq!(source.fill(&mut block, &Stop::default()), Filled::Frames);
        let (min, max) = (block.codes().iter().min().unwrap(), block.codes().iter().max().unwrap());
        assert!(*min >= -8_388_608 && *max <= 8_388_607 && min < max, "{signal}: {min} to {max}");
    }
}

#[test]
fn every_mistake_is_named() {
    let text = mistakes_of("n_channels = 0\nrate_hz = nan\nfifo_s = -1\namplitude_uv = 1e9\nchannels = [\"Fp1\"]");
    for line in [
        "test.toml:1: n_channels = 0 must be 1 to 1024",
        "test.toml:2: rate_hz = NaN must be 1 to 64000",
        "test.toml:3: fifo_s = -1 must be 0 to 60",
        "test.toml:4: amplitude_uv = 1000000000 must be 0 to 187500",
        "test.toml:5: channels names 1 channels, but n_channels = 0: they must be as many",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}
