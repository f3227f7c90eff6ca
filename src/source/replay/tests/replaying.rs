//! What comes out is what the file holds, at the pace and for as long as asked for.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::block::ChannelType;

/// The codes of frames `0..n_frames` of a file made by [`Made`], as they come out in round after round.
fn expected_codes(n_frames: u64, n_frames_of_file: u64, n_channels: usize) -> Vec<i32> {
    (0..n_frames)
        .flat_map(|frame| (0..n_channels).map(move |channel| code(frame % n_frames_of_file, channel)))
        .collect()
}

#[test]
fn every_sample_of_every_format_comes_out_in_its_place() {
    for format in [Format::Bdf, Format::BdfPlusC, Format::Edf, Format::EdfPlusC] {
        for (n_channels, block_frames_max) in [(1, 1), (3, 16), (5, 50), (2, 1000)] {
            let file = on_disk(&Made::new(format, n_channels, 7).bytes());
            let mut replay = replay(&file, MaxOr::Max, false, block_frames_max);
            assert_eq!((replay.pace(), replay.slack(), replay.stream().rate_hz), (Pace::Free, Slack::Forever, 100.0));
            let (heads, codes) = run(&mut replay, usize::MAX / 1000);
            assert_eq!(codes, expected_codes(350, 350, n_channels), "{format:?}, {n_channels} channels");
            let mut next_frame = 0;
            for (index, head) in heads.iter().enumerate() {
                assert_eq!(head.first_frame, next_frame);
                assert_eq!(head.lost, Tally::default());
                let is_last = index + 1 == heads.len();
                assert!(head.n_frames == block_frames_max || (is_last && head.n_frames > 0));
                next_frame = head.next_frame();
            }
            assert_eq!(replay.end(), End { next_frame: 350, lost: Tally::default() });
            let mut block = RawBlock::new(replay.stream(), 0);
            assert_eq!(replay.fill(&mut block, &Stop::default()), Filled::End, "the end stays");
        }
    }
}

#[test]
fn channels_are_as_the_file_names_them() {
    let mut made = Made::new(Format::BdfPlusC, 2, 1);
    made.header.signals[0].label = "EEG Fp1".to_owned();
    let replay = replay(&on_disk(&made.bytes()), MaxOr::Max, false, 10);
    let [first, second] = &replay.stream().channels[..] else { panic!("two channels, annotations are none") };
    assert_eq!((first.name.as_str(), second.name.as_str()), ("EEG Fp1", "EEG 1"));
    assert_eq!((first.kind, first.unit.as_str(), first.physical_max), (ChannelType::Eeg, "uV", 187_500.0));
    assert_eq!((first.digital_min, first.digital_max), (-(1 << 23), (1 << 23) - 1));
    assert_eq!((first.transducer.as_str(), first.prefilter.as_str()), ("AgAgCl electrode", "HP:DC"));
}

#[test]
fn annotations_fall_on_their_frame_to_the_nanosecond() {
    let mut made = Made::new(Format::BdfPlusC, 2, 6);
    // The file's own time begins 0.4 s after its header's.
    made.start_onset_ns = 400_000_000;
    made.annotate(0, 400_000_000, None, "first frame");
    made.annotate(0, 100_000_000, None, "before the first frame");
    made.annotate(1, 1_234_567_891, Some(250_000_000), "between frames");
    made.annotate(4, 409_999_999, None, "written late");
    let file = on_disk(&made.bytes());
    let mut replay = replay(&file, MaxOr::Max, true, 10);
    let arrived = markers_of(&mut replay);
    let (_, codes) = run(&mut replay, 700);
    assert_eq!(codes, expected_codes(700, 300, 2));
    let arrived = arrived.lock().expect("no panic");
    let marker = |frame, offset_ns, duration_ns, text: &str| Marker {
        frame,
        offset_ns,
        duration_ns,
        text: text.to_owned(),
        origin: crate::block::Origin::Replay,
        ..Marker::default()
    };
    for round in 0..2 {
        let first = round * 300;
        let expected = [
            marker(first, 0, None, "first frame"),
            marker(first, -300_000_000, None, "before the first frame"),
            marker(first + 83, 4_567_891, Some(250_000_000), "between frames"),
            marker(first, 9_999_999, None, "written late"),
        ];
        let at = 4 * usize::try_from(round).expect("small");
        assert_eq!(arrived[at..at + 4], expected, "round {round}");
    }
}

#[test]
fn a_gap_of_the_file_is_not_taken_for_one_of_the_replay() {
    let mut made = Made::new(Format::BdfPlusC, 2, 6);
    for text in ["BAD_ACQ_SKIP", "BAD_ACQ_SKIP twice", "BAD_unproven chip 1"] {
        made.annotate(1, 1_000_000_000, Some(250_000_000), text);
    }
    let file = on_disk(&made.bytes());
    let mut replay = replay(&file, MaxOr::Max, false, 10);
    let arrived = markers_of(&mut replay);
    let (_, codes) = run(&mut replay, 300);
    assert_eq!(codes, expected_codes(300, 300, 2), "every frame is delivered");
    let texts: Vec<String> = arrived.lock().expect("no panic").iter().map(|marker| marker.text.clone()).collect();
    assert_eq!(texts, ["BAD_replayed_gap", "BAD_ACQ_SKIP twice", "BAD_unproven chip 1"]);
}

#[test]
fn a_rate_that_is_no_whole_number_keeps_onsets_too() {
    let mut made = Made::new(Format::BdfPlusC, 1, 3);
    (made.header.record_duration_s, made.header.record_duration_text) = (0.15, "0.15".to_owned());
    for step in 0..4 {
        made.annotate(1, 111_111_111 * step + step, None, "x");
    }
    let mut replay = replay(&on_disk(&made.bytes()), MaxOr::Max, false, 10);
    let stream = replay.stream().clone();
    let arrived = markers_of(&mut replay);
    run(&mut replay, usize::MAX / 1000);
    for (step, marker) in arrived.lock().expect("no panic").iter().enumerate() {
        let onset_ns = 111_111_112 * step as i64;
        assert_eq!(stream.duration_ns(marker.frame) + marker.offset_ns, onset_ns);
        assert!(marker.offset_ns >= 0 && marker.offset_ns < stream.duration_ns(1), "{marker:?}");
    }
}

#[test]
fn the_clock_sets_the_pace_by_absolute_instants() {
    let file = on_disk(&Made::new(Format::Bdf, 2, 4).bytes());
    let mut replay = replay(&file, MaxOr::Value(50.0), false, 30);
    assert_eq!((replay.pace(), replay.slack()), (Pace::Clock, Slack::Forever));
    let (heads, codes) = run(&mut replay, usize::MAX / 1000);
    assert_eq!(codes, expected_codes(200, 200, 2));
    for head in heads {
        // 100 Hz, 50 times as fast: 200 us a frame.
        assert_eq!(head.edge_ns, replay.start_ns + head.next_frame() * 200_000);
        assert!(head.edge_utc_ns > 1_600_000_000_000_000_000, "after 2020");
    }
}

#[test]
fn a_frame_that_is_far_away_lets_the_loop_turn() {
    let file = on_disk(&Made::new(Format::Bdf, 2, 4).bytes());
    let mut replay = replay(&file, MaxOr::Value(1e-9), false, 1);
    let mut block = RawBlock::new(replay.stream(), 0);
    replay.start();
    assert_eq!(replay.fill(&mut block, &Stop::default()), Filled::Nothing);
}

#[test]
fn a_stop_hands_over_what_there_is() {
    let stop = Stop::default();
    let file = on_disk(&Made::new(Format::Bdf, 2, 4).bytes());
    let mut free = replay(&file, MaxOr::Max, true, 30);
    let mut block = RawBlock::new(free.stream(), 0);
    free.start();
    assert_eq!(free.fill(&mut block, &stop), Filled::Frames);
    stop.set();
    while free.fill(&mut block, &stop) == Filled::Frames {
        assert!(free.ended, "one block more at most");
    }
    assert_eq!(free.end().next_frame, block.head.next_frame());

    // Nothing has been converted yet at this speed.
    let mut slow = replay(&file, MaxOr::Value(1e-9), false, 30);
    slow.start();
    assert_eq!(slow.fill(&mut block, &stop), Filled::End);
    assert_eq!(slow.end(), End::default());
}

#[test]
fn the_reader_ends_when_nobody_takes_frames_any_more() {
    let mut made = Made::new(Format::BdfPlusC, 2, 4);
    made.annotate(0, 0, None, "x");
    let file = on_disk(&made.bytes());
    let mut replay = replay(&file, MaxOr::Max, true, 30);
    let (alive, ended) = mpsc::channel::<Marker>();
    replay.connect(Box::new(move |marker| drop(alive.send(marker))));
    run(&mut replay, 100);
    drop(replay);
    // The sender lives in the reader's thread; a reader that goes on would fill the time with markers.
    while ended
        .recv_timeout(Duration::from_secs(30))
        .map_err(|error| assert_eq!(error, mpsc::RecvTimeoutError::Disconnected))
        .is_ok()
    {}
}

/// A real recording, or `None` with a word on standard error.
fn real(name: &str) -> Option<OnDisk> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("BIOSIGD_TEST_DATA").map_or_else(beside, PathBuf::from).join(name);
    match fs::read(&path) {
        Ok(bytes) => Some(on_disk(&bytes)),
        Err(_) => {
            // Not `eprintln!`, which a test that passes keeps to itself.
            drop(writeln!(std::io::stderr(), "\nskipped: no recording at {}", path.display()));
            None
        }
    }
}

#[test]
fn recordings_of_other_writers() {
    for (name, width, n_channels, rate_hz, n_frames, n_markers) in
        [("eeg32.bdf", 3, 32, 128.0, 120 * 128, 79), ("eeg16.edf", 2, 16, 256.0, 60 * 256, 0)]
    {
        let Some(file) = real(name) else { continue };
        let mut replay = replay(&file, MaxOr::Max, false, 400);
        let arrived = markers_of(&mut replay);
        let (_, codes) = run(&mut replay, usize::MAX / 1000);
        assert_eq!((replay.stream().n_channels(), replay.stream().rate_hz), (n_channels, rate_hz), "{name}");
        assert_eq!(replay.end().next_frame, n_frames, "{name}");
        assert_eq!(arrived.lock().expect("no panic").len(), n_markers, "{name}");
        if name == "eeg16.edf" {
            assert_eq!(replay.stream().channels[0].name, "EEG Fp1");
        }
        // The same bytes, walked through as the specification says and not as the reader does.
        let bytes = fs::read(&file.path).expect("read a moment ago");
        let recording = Recording::open(&file.path).expect("opened a moment ago");
        let (header, per_record) = (recording.header(), recording.frames_per_record());
        let mut at = usize::try_from(header.header_bytes()).expect("small");
        for record in 0..usize::try_from(n_frames).expect("small") / per_record {
            let mut channel = 0;
            for signal in &header.signals {
                for sample in 0..signal.samples_per_record {
                    if !signal.is_annotations() {
                        let magnitude = (0..width).map(|byte| i64::from(bytes[at + byte]) << (8 * byte)).sum::<i64>();
                        let sign = i64::from(bytes[at + width - 1] >= 0x80) << (8 * width);
                        let code = codes[(record * per_record + sample) * n_channels + channel];
                        assert_eq!(i64::from(code), magnitude - sign, "{name}, record {record}");
                    }
                    at += width;
                }
                channel += usize::from(!signal.is_annotations());
            }
        }
    }
}

/// `cargo test --release replay_throughput -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn replay_throughput() {
    let mut made = Made::new(Format::BdfPlusC, 32, 60);
    made.frames_per_record = 4000;
    (made.header.record_duration_s, made.header.record_duration_text) = (1.0, "1".to_owned());
    for signal in made.header.signals.iter_mut().filter(|signal| !signal.is_annotations()) {
        signal.samples_per_record = 4000;
    }
    let mut replay = replay(&on_disk(&made.bytes()), MaxOr::Max, true, 400);
    let mut block = RawBlock::new(replay.stream(), 0);
    let stop = Stop::default();
    replay.start();
    let started = std::time::Instant::now();
    while replay.end().next_frame < 20_000_000 {
        assert_eq!(replay.fill(&mut block, &stop), Filled::Frames);
    }
    let samples = replay.end().next_frame as f64 * 32.0;
    println!("{:.0} million samples/s", samples * 1e-6 / started.elapsed().as_secs_f64());
}
