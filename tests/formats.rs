//! The same promises for every format: what was given stands in the file, a killed recorder loses a record at most, damage
//! is told, and each goes into each of the others and comes back.

#[path = "recorder/feeder.rs"]
mod feeder;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use biosigd::block::{Cause, Channel, ChipStatus};
use biosigd::daemon::convert::{Request, convert};
use biosigd::daemon::recover::recover;
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Annotation, Signal, decode, parse_tals};
use biosigd::format::{FILLING_TEXT, Fault, FileFormat, Reader, Values};
use biosigd::sink::RawSink;
use biosigd::sink::recorder::{Names, RecorderPlan, Rotate, check, complete};
use feeder::Feeder;

/// Every format, CSV both ways; EDF cannot hold 24 bits and is filled with what it can.
const ROWS: [(FileFormat, Values); 5] = [
    (FileFormat::Bdf, Values::Codes),
    (FileFormat::Edf, Values::Codes),
    (FileFormat::Csv, Values::Codes),
    (FileFormat::Csv, Values::Units),
    (FileFormat::Raw, Values::Codes),
];

fn plan(dir: &Path, (format, values): (FileFormat, Values), n_channels: usize, n_chips: usize) -> RecorderPlan {
    let plan = feeder::plan(dir, 100.0, n_channels);
    let mut plan = RecorderPlan { format, values, n_chips, ..plan };
    if format == FileFormat::Edf {
        plan.n_chips = 0;
        plan.stream.channels.iter_mut().for_each(narrow);
    }
    plan
}

/// Sixteen bits; of the counter's 24 the feeder gives the lower ones.
fn narrow(channel: &mut Channel) {
    (channel.digital_min, channel.digital_max) = (-32_768, 32_767);
    (channel.physical_min, channel.physical_max) = (-3276.8, 3276.7);
}

/// What a file holds: the codes of each signal, as far as they are data, and its annotations.
#[derive(Debug, PartialEq)]
struct Contents {
    signals: Vec<Signal>,
    codes: Vec<Vec<i32>>,
    annotations: Vec<Annotation>,
}

fn read(path: &Path) -> Result<Contents, Fault> {
    let file = File::open(path).expect("opens");
    let n_bytes = file.metadata().expect("a size").len();
    let mut reader = Reader::open(BufReader::new(file), n_bytes)?;
    assert_eq!(Some(reader.format()), FileFormat::of(path));
    let header = reader.header().clone();
    let mut signals = header.signals.clone();
    signals.retain(|signal| !signal.is_annotations());
    let (mut codes, mut annotations) = (vec![Vec::new(); signals.len()], Vec::new());
    let mut image = Vec::new();
    while let Some(n_frames) = reader.next(&mut image)? {
        let mut n_signal = 0;
        for (signal, range) in header.signal_ranges() {
            if signal.is_annotations() {
                parse_tals(&image[range], &mut annotations).expect("lists");
                continue;
            }
            let codes: &mut Vec<i32> = &mut codes[n_signal];
            let start = codes.len();
            codes.resize(start + n_frames, 0);
            decode(header.bytes_per_sample(), &image[range], &mut codes[start..]);
            n_signal += 1;
        }
    }
    Ok(Contents { signals, codes, annotations })
}

/// A recording with gaps, markers and an end in the middle of a record.
fn record(plan: RecorderPlan) -> PathBuf {
    let mut feeder = Feeder::with(plan, 1000);
    feeder.frames(7);
    feeder.marker(1003, 500, Some(2_000_000_000), "stimulus \u{b5}, \"#1\"");
    feeder.frames(300);
    feeder.gap(Cause::Missed, 3);
    feeder.frames(1);
    feeder.gap(Cause::RingFull, 777);
    feeder.frames(111);
    feeder.marker(2100, 0, None, "\t\u{1f9e0}");
    feeder.close(Cause::Disk, 9)
}

fn assert_well(file: &Path, counter: bool) {
    let report = verify_file(file, counter).expect("opens");
    assert!(report.is_well(), "{}\n{report}", file.display());
}

#[test]
fn what_was_given_stands_in_each() {
    for row in ROWS {
        let dir = tempfile::tempdir().expect("a folder");
        let plan = plan(dir.path(), row, 3, 2);
        let (n_chips, is_wide) = (plan.n_chips, row.0 != FileFormat::Edf);
        let file = record(plan);
        assert_well(&file, is_wide);
        let sidecar = feeder::sidecar(&file);
        assert_eq!((sidecar["format"].as_str(), sidecar["state"].as_str()), (Some(row.0.ending()), Some("complete")));
        let n_frames = 419 + 3 + 777 + 9;
        assert_eq!(sidecar["frames_written"], n_frames);
        let contents = read(&file).expect("reads");
        let mut annotations = contents.annotations;
        annotations.sort_by_key(|annotation| annotation.onset_ns);
        let texts: Vec<_> = annotations.iter().map(|annotation| annotation.text.as_str()).collect();
        let gap = "BAD_ACQ_SKIP";
        assert_eq!(texts, ["stimulus \u{b5}, \"#1\"", gap, gap, "\t\u{1f9e0}", gap], "{row:?}");
        assert_eq!((annotations[0].onset_ns, annotations[0].duration_ns), (30_000_500, Some(2_000_000_000)));
        assert_eq!((annotations[1].onset_ns, annotations[1].duration_ns), (3_070_000_000, Some(30_000_000)));
        for (channel, codes) in contents.codes[..3].iter().enumerate() {
            let is_padded = row.0.is_edf();
            assert_eq!(codes.len(), if is_padded { 1300 } else { n_frames });
            for (index, code) in codes.iter().enumerate() {
                // Gaps and padding repeat what was there before.
                let from = match index {
                    307..=309 => 306,
                    311..=1087 => 310,
                    1199.. => 1198,
                    _ => index,
                };
                let due = feeder::counter(1000 + from as u64, channel as u64);
                assert_eq!(*code, if is_wide { due } else { feeder::low_16(due) }, "{row:?}: frame {index}");
            }
        }
        for (chip, words) in contents.codes[3..].iter().enumerate() {
            assert_eq!(words[6], feeder::word(1006, chip as u64), "{row:?}");
            assert_eq!(words[308] & 0x10_0000, i32::try_from(ChipStatus::SUSPECT.0).expect("a bit"), "{row:?}");
        }
        assert_eq!(contents.codes.len(), 3 + n_chips);
    }
}

fn converted(input: &Path, output: PathBuf, values: Values) -> PathBuf {
    let target = FileFormat::of(&output).expect("an ending");
    let request = Request { input: input.to_owned(), output: output.clone(), target, values };
    let mut out = Vec::new();
    convert(&request, &AtomicBool::new(false), &mut out).unwrap_or_else(|error| panic!("{output:?}: {error}"));
    output
}

#[test]
fn each_goes_into_each_and_comes_back() {
    for narrowed in [false, true] {
        let rows = || ROWS.into_iter().filter(|row| narrowed || row.0 != FileFormat::Edf);
        for from in rows() {
            let dir = tempfile::tempdir().expect("a folder");
            let mut plan = plan(dir.path(), from, 2, usize::from(!narrowed));
            if narrowed {
                plan.stream.channels.iter_mut().for_each(narrow);
            }
            let file = record(plan);
            let bytes = fs::read(&file).expect("reads");
            let is_units = |row: (FileFormat, Values)| if row.1 == Values::Units { "units" } else { "codes" };
            for to in rows() {
                let name = format!("{}.{}", is_units(to), to.0.ending());
                let there = converted(&file, dir.path().join(format!("there-{name}")), to.1);
                assert_well(&there, false);
                let [found, due] = [&there, &file].map(|path| recorded(read(path).expect("reads")));
                assert_eq!((found.annotations, found.codes), (due.annotations, due.codes), "{from:?} {to:?}");
                let back = converted(&there, dir.path().join(format!("back-{name}.{}", from.0.ending())), from.1);
                assert_well(&back, false);
                // Records of BDF and EDF are filled up, and say so; the header's image of EDF is another one.
                if from.0.is_edf() || (from.0 == FileFormat::Edf) != (to.0 == FileFormat::Edf) {
                    let [back, file] = [&back, &file].map(|path| recorded(read(path).expect("reads")));
                    assert_eq!(back, file, "{from:?} {to:?}");
                } else {
                    assert!(fs::read(&back).expect("reads") == bytes, "{from:?} {to:?}");
                }
            }
        }
    }
}

/// What was recorded of it: the recording of [`record`] without what fills its last record up.
fn recorded(mut contents: Contents) -> Contents {
    let n_filling = contents.annotations.iter().filter(|annotation| annotation.text == FILLING_TEXT).count();
    assert!(n_filling <= 1 && contents.codes.iter().all(|codes| [1208, 1300].contains(&codes.len())));
    contents.codes.iter_mut().for_each(|codes| codes.truncate(1208));
    contents.annotations.retain(|annotation| annotation.text != FILLING_TEXT);
    contents
}

/// A process that is killed tears the last record; a power cut also leaves zeros where what was not synced should be.
#[test]
fn a_recorder_killed_at_any_byte_loses_one_record_at_most() {
    for row in ROWS {
        let dir = tempfile::tempdir().expect("a folder");
        let mut feeder = Feeder::with(plan(dir.path(), row, 2, 0), 0);
        feeder.frames(230);
        feeder.marker(210, 0, None, "near the end");
        feeder.recorder.sync().expect("syncs");
        feeder.gap(Cause::Disk, 40);
        feeder.frames(260);
        let file = feeder.recorder.progress().file.expect("open");
        let (bytes, sidecar) = (fs::read(&file).expect("reads"), feeder::sidecar(&file));
        // The bytes of the header, then of each record.
        let whole = read(&file).expect("reads");
        assert_eq!(whole.codes[0].len(), 500);
        let ends = record_ends(&bytes, &file);
        let boot = sidecar["boot_id"].as_str().expect("a boot");
        let text = fs::read_to_string(file.with_extension("json")).expect("reads");
        let other_boot = text.replace(boot, &"0".repeat(boot.len()));
        let recovers = |data: &[u8], sidecar: Option<&str>, n_records: usize, what: &str| {
            let there = tempfile::tempdir().expect("a folder");
            let path = there.path().join(file.file_name().expect("a name"));
            fs::write(&path, data).expect("writes");
            sidecar.map_or(Ok(()), |text| fs::write(path.with_extension("json"), text)).expect("writes");
            let mut out = Vec::new();
            recover(std::slice::from_ref(&path), &mut out).unwrap_or_else(|error| panic!("{row:?}, {what}: {error}"));
            let recovered = Names::of(&path).expect("an ending").data();
            assert_well(&recovered, row.0 != FileFormat::Edf);
            let found = read(&recovered).expect("reads");
            let n_frames = if row.0.is_edf() { n_records.max(1) * 100 } else { n_records * 100 };
            for (found, whole) in found.codes.iter().zip(&whole.codes) {
                assert_eq!(found.len(), n_frames, "{row:?}, {what}");
                assert_eq!(found[..n_records * 100], whole[..n_records * 100], "{row:?}, {what}");
            }
            recover(&[there.path().to_owned()], &mut out).expect("again");
        };
        for cut in (ends[0]..=bytes.len()).step_by(211).chain(ends.iter().copied()) {
            let n_records = ends.iter().filter(|end| **end <= cut).count() - 1;
            recovers(&bytes[..cut], Some(&text), n_records, &format!("cut at {cut}"));
            // Two records were synced. What was cut off may have been zeros: then all of it is still there.
            for longer in [bytes.len(), bytes.len() + 12_345] {
                let mut zeroed = bytes[..cut].to_vec();
                zeroed.resize(longer, 0);
                let n_records = ends.iter().filter(|end| zeroed.starts_with(&bytes[..**end])).count() - 1;
                let what = format!("zeros from {cut} to {longer}");
                if cut >= ends[2] {
                    recovers(&zeroed, Some(&other_boot), n_records, &what);
                }
                recovers(&zeroed, None, n_records, &what);
            }
        }
    }
}

/// Where the header ends, and each record.
fn record_ends(bytes: &[u8], path: &Path) -> Vec<usize> {
    let mut reader = Reader::open(bytes, bytes.len() as u64).unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
    let (mut ends, mut image) = (vec![usize::try_from(reader.end()).expect("small")], Vec::new());
    while reader.next(&mut image).expect("reads").is_some() {
        ends.push(usize::try_from(reader.end()).expect("small"));
    }
    ends
}

#[test]
fn one_byte_that_changed_is_told() {
    for row in ROWS {
        let dir = tempfile::tempdir().expect("a folder");
        let file = record(plan(dir.path(), row, 2, 0));
        complete(&Names::of(&file).expect("an ending"), &AtomicBool::new(false)).expect("sums up");
        assert_well(&file, false);
        let bytes = fs::read(&file).expect("reads");
        let sidecar = file.with_extension("json");
        let kept = fs::read(&sidecar).expect("reads");
        let first_record = record_ends(&bytes, &file)[0];
        for at in (0..bytes.len()).step_by(311) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x11;
            fs::write(&file, &changed).expect("writes");
            let report = verify_file(&file, false).expect("opens");
            assert!(!report.is_well(), "{row:?}: byte {at}\n{report}");
            // Where each record has its own sum, no sidecar is needed, and nobody replays or converts it.
            if !row.0.is_edf() && (at >= first_record || row.0 == FileFormat::Raw) {
                fs::remove_file(&sidecar).expect("removes");
                let report = verify_file(&file, false).expect("opens");
                assert!(!report.is_well(), "{row:?}: byte {at} without a sidecar\n{report}");
                assert!(read_any(&changed).is_err(), "{row:?}: byte {at}");
                fs::write(&sidecar, &kept).expect("writes");
            }
        }
    }
}

fn read_any(bytes: &[u8]) -> Result<(), Fault> {
    let mut reader = Reader::open(bytes, bytes.len() as u64)?;
    let mut image = Vec::new();
    while reader.next(&mut image)?.is_some() {}
    if reader.end() == bytes.len() as u64 { Ok(()) } else { Err(Fault::Torn { at: reader.end(), bytes: 1 }) }
}

#[test]
fn markers_that_have_no_room_spill_into_later_records() {
    for row in ROWS {
        let dir = tempfile::tempdir().expect("a folder");
        let mut feeder = Feeder::with(plan(dir.path(), row, 1, 0), 0);
        for second in 0..5 {
            feeder.frames(100);
            for n in 0..79 {
                feeder.marker(second * 100 + n, 0, None, &format!("marker {n} of second {second}"));
            }
        }
        let file = feeder.close(Cause::Disk, 0);
        assert_well(&file, false);
        let annotations = read(&file).expect("reads").annotations;
        assert_eq!(annotations.len(), 5 * 79, "{row:?}");
        let sidecar = feeder::sidecar(&file);
        assert_eq!((&sidecar["frames_written"], &sidecar["markers_dropped"]), (&500.into(), &0.into()));
    }
}

#[test]
fn rotation_loses_and_doubles_nothing() {
    for row in ROWS {
        // Room for some records of each.
        let bytes = if row.0 == FileFormat::Raw { 7_000 } else { 14_000 };
        for rotate in [Rotate { every_s: 2.0, ..Rotate::default() }, Rotate { bytes, ..Rotate::default() }] {
            let dir = tempfile::tempdir().expect("a folder");
            let mut plan = plan(dir.path(), row, 2, 0);
            plan.rotate = rotate;
            let mut feeder = Feeder::with(plan, 0);
            (0..9).for_each(|_| feeder.frames(101));
            let last = feeder.close(Cause::Disk, 0);
            let mut files: Vec<_> =
                fs::read_dir(dir.path()).expect("lists").map(|entry| entry.expect("one").path()).collect();
            files.retain(|path| FileFormat::of(path) == Some(row.0));
            files.sort_by_key(|path| feeder::sidecar(path)["part"].as_u64());
            assert!(files.len() > 1 && files.contains(&last), "{row:?} {rotate:?}");
            let mut next = 0_usize;
            for file in &files {
                assert_well(file, row.0 != FileFormat::Edf);
                let sidecar = feeder::sidecar(file);
                assert_eq!(sidecar["first_frame"], next, "{row:?}");
                let frames = sidecar["frames_written"].as_u64().expect("a number");
                next += usize::try_from(frames).expect("few");
                if rotate.bytes > 0 {
                    assert!(fs::metadata(file).expect("a size").len() <= rotate.bytes, "{row:?}");
                }
            }
            assert_eq!(next, 909, "{row:?}");
        }
    }
}

#[test]
fn edf_is_refused_where_16_bits_are_too_few() {
    let dir = tempfile::tempdir().expect("a folder");
    let wide = feeder::plan(dir.path(), 100.0, 1);
    assert_eq!(
        check(&wide.stream, 0, FileFormat::Edf).expect_err("wide").to_string(),
        "channel ch0: codes from -8388608 to 8388607 are wider than the 16 bits of EDF, -32768 to 32767; format = \"bdf\", \
         \"csv\" or \"raw\" in [recorder] holds them"
    );
    let narrow = plan(dir.path(), (FileFormat::Edf, Values::Codes), 1, 0);
    assert!(check(&narrow.stream, 0, FileFormat::Edf).is_ok());
    assert_eq!(
        check(&narrow.stream, 1, FileFormat::Edf).expect_err("words").to_string(),
        "the status words of a converter's chips have 24 bits and EDF 16; format = \"bdf\", \"csv\" or \"raw\" in [recorder] \
         holds them"
    );
}
