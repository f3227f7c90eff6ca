//! Counter frames through the recorder: what stands in the file and its sidecar is what was given.

#[path = "recorder/feeder.rs"]
mod feeder;
#[path = "common/recordings.rs"]
mod recordings;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use biosigd::block::{Cause, Channel, ChannelType, Head, Marker, Tally};
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Annotation, Header, Signal, decode, parse_tals};
use biosigd::sink::recorder::{About, FileRecorder};
use biosigd::sink::{PackedBlock, RawSink};
use feeder::Feeder;

#[test]
fn gaps_markers_and_odd_blocks() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 250.0, 5, 1000);
    feeder.frames(7);
    feeder.marker(1003, 500, Some(2_000_000_000), "stimulus \u{b5}");
    feeder.frames(300);
    feeder.gap(Cause::Missed, 3);
    feeder.frames(1);
    feeder.gap(Cause::RingFull, 777);
    feeder.frames(111);
    let file = feeder.close(Cause::Disk, 9);
    assert_well(&file);
    let (_, _, annotations) = read(&file);
    let marker = annotations.iter().find(|annotation| annotation.text == "stimulus \u{b5}").expect("the marker");
    assert_eq!((marker.onset_ns, marker.duration_ns), (12_000_500, Some(2_000_000_000)));
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["state"], "complete");
    assert_eq!(sidecar["first_frame"], 1000);
    let ledger = &sidecar["ledger"]["recorder"];
    assert_eq!(ledger["delivered"], 419);
    assert_eq!(ledger["expected"], 419 + 3 + 777 + 9);
    assert_eq!(sidecar["frames_written"], ledger["expected"]);
    assert_eq!(
        (&ledger["lost"]["missed"], &ledger["lost"]["ring_full"], &ledger["lost"]["disk"]),
        (&3.into(), &777.into(), &9.into())
    );
}

/// Everything a reader finds: header, codes by channel, annotations without the gaps.
fn read(file: &Path) -> (Header, Vec<Vec<i32>>, Vec<Annotation>) {
    let mut input = fs::File::open(file).expect("opens");
    let header = Header::read(&mut input).expect("a header");
    let mut record = vec![0; header.record_bytes()];
    let mut codes = vec![Vec::new(); header.signals.len()];
    let mut annotations = Vec::new();
    while input.read_exact(&mut record).is_ok() {
        for ((signal, range), codes) in header.signal_ranges().zip(&mut codes) {
            if signal.is_annotations() {
                parse_tals(&record[range], &mut annotations).expect("lists");
            } else {
                let start = codes.len();
                codes.resize(start + signal.samples_per_record, 0);
                decode(header.bytes_per_sample(), &record[range], &mut codes[start..]);
            }
        }
    }
    codes.retain(|codes| !codes.is_empty());
    (header, codes, annotations)
}

fn assert_well(file: &Path) {
    let report = verify_file(file, true).expect("opens");
    assert!(report.is_well(), "{}\n{report}", file.display());
}

#[test]
fn a_real_recording_comes_out_as_it_went_in() {
    for name in ["eeg32.bdf", "eeg16.edf"] {
        let Some(original) = recordings::real(name) else { continue };
        let (header, codes, annotations) = read(&original);
        let dir = tempfile::tempdir().expect("a folder");
        // A reader written elsewhere (tests/readers/check.py) may want the file.
        let keep = std::env::var_os("BIOSIGD_KEEP_DIR").map(PathBuf::from);
        let mut plan = feeder::plan(keep.as_deref().unwrap_or(dir.path()), 1.0, 1);
        let data = || header.signals.iter().filter(|signal| !signal.is_annotations());
        plan.stream.rate_hz = data().next().expect("some").samples_per_record as f64 / header.record_duration_s;
        plan.stream.channels = data().map(channel).collect();
        let stream = plan.stream.clone();
        let mut recorder = FileRecorder::new(plan).expect("fits");
        recorder.describe_next(About { name: name.to_owned(), ..About::default() });
        recorder.open(&Head::default()).expect("opens");
        for annotation in &annotations {
            let rate_hz = 128 << u32::from(name == "eeg16.edf");
            let frame = annotation.onset_ns.unsigned_abs() * rate_hz / 1_000_000_000;
            let offset_ns = annotation.onset_ns - stream.duration_ns(frame);
            let (duration_ns, text) = (annotation.duration_ns, annotation.text.clone());
            recorder.marker(Marker { frame, offset_ns, duration_ns, text, ..Marker::default() });
        }
        let n_frames = codes[0].len();
        let mut head = Head::default();
        for start in (0..n_frames).step_by(97) {
            let frames = start..n_frames.min(start + 97);
            let frame_codes = |frame| codes.iter().map(move |codes: &Vec<i32>| codes[frame]);
            let packed = feeder::pack(frames.clone().flat_map(frame_codes));
            head.first_frame = start as u64;
            head.n_frames = frames.len();
            recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &packed }).expect("writes");
        }
        recorder.close(&Tally::default()).expect("closes");
        let (written, written_codes, mut written_annotations) = read(&recorder.progress().file.expect("a file"));
        assert_eq!(written_codes, codes);
        written_annotations.sort_by_key(|annotation| annotation.onset_ns);
        assert_eq!(written_annotations, annotations);
        let written = written.signals.iter().filter(|signal| !signal.is_annotations());
        assert_eq!(written.map(channel).collect::<Vec<_>>(), data().map(channel).collect::<Vec<_>>());
    }
}

/// A channel that is recorded as the signal it was read from.
fn channel(signal: &Signal) -> Channel {
    Channel {
        name: signal.label.clone(),
        kind: ChannelType::Eeg,
        unit: signal.unit.clone(),
        physical_min: signal.physical_min,
        physical_max: signal.physical_max,
        digital_min: signal.digital_min,
        digital_max: signal.digital_max,
        transducer: signal.transducer.clone(),
        prefilter: signal.prefilter.clone(),
    }
}

/// What a recorder that is killed leaves are its files as they stand: after every step they are copied and verified.
#[test]
fn killed_at_any_moment_file_and_ledger_agree() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 3, 7);
    let file = feeder.recorder.progress().file.expect("open");
    let copies = tempfile::tempdir().expect("a folder");
    let copy = copies.path().join(file.file_name().expect("a name"));
    let check = |step: u64, file: &Path| {
        for extension in ["bdf", "json"] {
            fs::copy(file.with_extension(extension), copy.with_extension(extension)).expect("copies");
        }
        let report = verify_file(&copy, true).expect("opens");
        assert!(report.is_well(), "step {step}\n{report}");
        // In the middle of the next record.
        let mut torn = fs::read(&copy).expect("reads");
        torn.extend_from_slice(&[0; 1000]);
        fs::write(&copy, torn).expect("writes");
        let report = verify_file(&copy, true).expect("opens");
        assert_eq!(report.is_well(), step < 200, "step {step}\n{report}");
    };
    check(0, &file);
    for step in 1..200 {
        match step % 7 {
            0 => feeder.gap(Cause::Missed, step),
            3 => feeder.gap(Cause::RingFull, 3 * step),
            _ => {}
        }
        if step % 5 == 0 {
            feeder.marker(7 + step, 0, None, &"m".repeat(400));
        }
        feeder.frames(1 + step % 61);
        check(step, &file);
        if step % 4 == 0 {
            feeder.recorder.sync().expect("syncs");
            check(step, &file);
        }
    }
    let file = feeder.close(Cause::Disk, 1000);
    check(200, &file);
}

#[test]
fn more_gaps_than_a_record_has_room_for_are_annotated_later() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 1000.0, 2, 0);
    for _ in 0..400 {
        feeder.gap(Cause::Spi, 2);
        feeder.frames(5);
    }
    feeder.recorder.sync().expect("syncs");
    let file = feeder.recorder.progress().file.expect("a file");
    assert_ne!(feeder::sidecar(&file)["gap_frames_not_annotated"], 0);
    assert_well(&file);
    let file = feeder.close(Cause::Disk, 0);
    assert_well(&file);
    let sidecar = feeder::sidecar(&file);
    assert_eq!((&sidecar["gap_frames_not_annotated"], &sidecar["frames_written"]), (&0.into(), &2800.into()));
    assert!(sidecar["records"].as_u64() > Some(3), "{sidecar}");
}

#[test]
fn markers_that_are_left_over_come_in_padded_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 250.0, 1, 100);
    feeder.frames(10);
    feeder.marker(99, 0, None, "before the first frame: belongs to no file");
    for frame in 100..150 {
        feeder.marker(frame, 1, None, &format!("{frame} {}", "x".repeat(300)));
    }
    let file = feeder.close(Cause::Disk, 0);
    assert_well(&file);
    let (header, codes, annotations) = read(&file);
    assert_eq!(annotations.len(), 50);
    assert_eq!((annotations[1].onset_ns, &annotations[1].text[..4]), (4_000_001, "101 "));
    assert_eq!(header.n_records, Some(13));
    assert_eq!(codes[0].len(), 13 * 250);
    assert_eq!(feeder::sidecar(&file)["frames_written"], 10);
}

#[test]
fn markers_told_before_the_file_is_open_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut recorder = FileRecorder::new(feeder::plan(dir.path(), 250.0, 1)).expect("fits");
    for frame in [9, 10, 11] {
        recorder.marker(Marker { frame, text: frame.to_string(), ..Marker::default() });
    }
    recorder.open(&Head { first_frame: 10, ..Head::default() }).expect("opens");
    recorder.close(&Tally::default()).expect("closes");
    let (_, _, annotations) = read(&recorder.progress().file.expect("a file"));
    let texts: Vec<_> = annotations.iter().map(|annotation| annotation.text.as_str()).collect();
    assert_eq!(texts, ["10", "11"], "9 came before the first frame");
}

#[test]
fn a_gap_of_ten_hours_is_filled() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 10.0, 1, 0);
    feeder.frames(15);
    feeder.gap(Cause::Reinit, 360_000);
    feeder.frames(15);
    let file = feeder.close(Cause::Disk, 0);
    assert_well(&file);
    let (_, _, annotations) = read(&file);
    assert_eq!(annotations[0].duration_ns, Some(36_000_000_000_000));
}

#[test]
fn a_recording_without_a_frame_opens_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = Feeder::new(dir.path(), 250.0, 2, 5).close(Cause::Disk, 0);
    assert_well(&file);
    assert_eq!(read(&file).0.n_records, Some(1));
    assert_eq!(feeder::sidecar(&file)["frames_written"], 0);
}

#[test]
fn the_header_says_when_and_the_sidecar_says_exactly() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = feeder::plan(dir.path(), 4000.0, 2);
    plan.stream.channels[1].name = "Fp1 \u{b5} with a long name".to_owned();
    let mut recorder = FileRecorder::new(plan).expect("fits");
    recorder.describe_next(About { name: "rest".to_owned(), subject: "S 01".to_owned(), notes: "eyes".to_owned() });
    // The head speaks of the last edge of the block.
    let first = Head { n_frames: 41, edge_utc_ns: 1_795_260_605_260_000_000, ..Head::default() };
    recorder.open(&first).expect("opens");
    assert!(recorder.open(&first).is_err(), "one at a time");
    recorder.close(&Tally::default()).expect("closes");
    let file = recorder.progress().file.expect("a file");
    assert_eq!(file.file_name().expect("a name"), "rest_2026-11-21T11-30-05.250Z.bdf");
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["first_frame_utc_ns"], 1_795_260_605_250_000_000_u64);
    assert_eq!((&sidecar["TaskName"], &sidecar["notes"]), (&"rest".into(), &"eyes".into()));
    assert_eq!(sidecar["channels"][1]["name"], "Fp1 \u{b5} with a long name");
    let header = read(&file).0;
    assert_eq!((header.patient.as_str(), header.signals[1].label.as_str()), ("S_01 X X X", "Fp1 u with a lon"));
    let local = jiff::Timestamp::from_second(1_795_260_605).expect("a time").to_zoned(jiff::tz::TimeZone::system());
    assert_eq!(header.start(), Some(local.datetime()));
    // The next recording is not about the same thing.
    recorder.open(&first).expect("opens again");
    let next = recorder.progress().file.expect("a file");
    assert_eq!(next.file_name().expect("a name"), "2026-11-21T11-30-05.250Z.part.bdf");
}

#[test]
fn a_block_that_does_not_follow_ends_the_recording() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 2, 10);
    feeder.frames(250);
    let codes = feeder::packed(0, 5, 2);
    let head = Head { first_frame: 100, n_frames: 5, ..Head::default() };
    let error = feeder.recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes });
    let message = "a block of 5 frames in 30 bytes at frame 100 does not follow frame 260";
    assert_eq!(error.expect_err("refused").to_string(), message);
    let file = feeder.recorder.progress().file.expect("a file");
    assert_eq!(feeder.recorder.progress().frames_delivered, 200);
    assert_eq!(feeder::sidecar(&file)["state"], format!("ended: {message}"));
    assert_well(&file);
    assert_eq!(feeder.try_frames(1).expect_err("closed").to_string(), "no recording is open");
}

/// The figure of the module's throughput; by hand, because a busy machine would fail it:
/// `cargo test --release --test recorder -- --ignored --nocapture throughput`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let folder = std::env::var_os("BIOSIGD_BENCH_DIR").map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    for (rate_hz, n_channels, block_frames, n_blocks) in
        [(4000, 8, 40, 40_000), (4000, 32, 40, 20_000), (4096, 32, 400, 2000), (4000, 1024, 40, 800)]
    {
        let dir = tempfile::tempdir_in(&folder).expect("a folder");
        let mut recorder = FileRecorder::new(feeder::plan(dir.path(), f64::from(rate_hz), n_channels)).expect("fits");
        let codes = feeder::packed(0, block_frames, n_channels);
        let mut head = Head { n_frames: usize::try_from(block_frames).expect("few"), ..Head::default() };
        recorder.open(&head).expect("opens");
        let start = Instant::now();
        for _ in 0..n_blocks {
            recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes }).expect("writes");
            head.first_frame = head.next_frame();
        }
        let seconds = start.elapsed().as_secs_f64();
        recorder.close(&Tally::default()).expect("closes");
        let with_sync = start.elapsed().as_secs_f64();
        let samples = (n_blocks * block_frames * n_channels as u64) as f64 * 1e-6;
        println!(
            "{n_channels} channels at {rate_hz} Hz, blocks of {block_frames}: {:.0} million samples/s written, {:.0} with the last sync",
            samples / seconds,
            samples / with_sync
        );
    }
}
