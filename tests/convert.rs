//! `convert`: what comes out is what went in, code by code and annotation by annotation, or it is refused and nothing is left.

mod common;
#[path = "recorder/feeder.rs"]
mod feeder;
#[path = "convert/files.rs"]
mod files;
#[path = "convert/told.rs"]
mod told;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use biosigd::block::Cause;
use biosigd::daemon::convert::{ConvertError, Request, convert};
use biosigd::daemon::recover::recover;
use biosigd::daemon::verify::verify_file;
use biosigd::edf::{Format, Header};
use biosigd::format::{FileFormat, Values};
use common::{names_in, run};
use files::{NARROW, WIDE, bytes, code, contents, header};

/// A folder with `in.bdf`, whatever its format is.
fn folder(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("in.bdf"), bytes).expect("writes");
    dir
}

fn converted(dir: &Path, from: &str, to: &str) -> Result<String, ConvertError> {
    let (input, output) = (dir.join(from), dir.join(to));
    let request = Request { target: FileFormat::of(&output).expect("an ending"), input, output, values: Values::Units };
    let mut out = Vec::new();
    convert(&request, &AtomicBool::new(false), &mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn to_16_bits_and_back_nothing_changes() {
    for (formats, names) in [
        ([Format::BdfPlusC, Format::EdfPlusC], ["a.edf", "b.bdf"]),
        ([Format::EdfPlusC, Format::BdfPlusC], ["a.bdf", "b.edf"]),
        ([Format::Bdf, Format::Edf], ["a.edf", "b.bdf"]),
        ([Format::Edf, Format::Bdf], ["a.bdf", "b.edf"]),
        ([Format::BdfPlusC, Format::BdfPlusC], ["a.bdf", "b.bdf"]),
    ] {
        let written = bytes(&header(formats[0], NARROW));
        let dir = folder(&written);
        let text = converted(dir.path(), "in.bdf", names[0]).expect("converts");
        let there = dir.path().join(names[0]);
        let [n, name] = [if formats[0].is_plus() { "6" } else { "0" }, formats[1].name()];
        let expected = format!(
            "{}\n  {}, 3 signals, 4 records of 0.5 s, {n} annotations\n{}\n  {name}, 4 records, every code as it was\n",
            dir.path().join("in.bdf").display(),
            formats[0].name(),
            there.display()
        );
        assert_eq!(text, expected);
        // By a reader that knows nothing of `convert`.
        let (from, codes, annotations) = contents(&dir.path().join("in.bdf"));
        let (to, codes_there, annotations_there) = contents(&there);
        assert_eq!((to.format, &codes_there, &annotations_there), (formats[1], &codes, &annotations));
        let data = |header: &Header| {
            header.signals.iter().filter(|signal| !signal.is_annotations()).cloned().collect::<Vec<_>>()
        };
        assert_eq!(data(&to), data(&from));
        assert_eq!((&to.patient, &to.recording, to.start()), (&from.patient, &from.recording, from.start()));
        let report = verify_file(&there, false).expect("opens");
        assert!(report.is_well(), "{report}");
        converted(dir.path(), names[0], names[1]).expect("converts");
        assert_eq!(fs::read(dir.path().join(names[1])).expect("reads"), written, "{formats:?}");
    }
}

#[test]
fn to_rows_and_back() {
    for (format, shape) in [(Format::BdfPlusC, WIDE), (Format::EdfPlusC, &NARROW[..2])] {
        let from = header(format, shape);
        let dir = folder(&bytes(&from));
        converted(dir.path(), "in.bdf", "units.csv").expect("converts");
        assert_eq!(run(&["convert", "--codes", "in.bdf", "codes.csv"], dir.path()).code, Some(0));
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("text");
        let (units, codes) = (read("units.csv"), read("codes.csv"));
        let status = if shape.len() == 3 { [",Status [code]", ",Status [code]"] } else { ["", ""] };
        let titles = [
            "frame,time_s,EEG Fp1 [uV],\"Temp, \"\"left\"\" [degC]\"",
            "frame,time_s,EEG Fp1 [code],\"Temp, \"\"left\"\" [code]\"",
        ];
        let rows = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
        };
        let notes: Vec<_> = units.lines().filter(|line| line.starts_with("# annotation ")).collect();
        assert_eq!(notes.len(), 6);
        assert!(
            notes.contains(&r#"# annotation {"area":0,"onset_s":"1.4","duration_s":"0.25","text":"BAD_ACQ_SKIP"}"#),
            "{notes:?}"
        );
        let (units, codes) = (rows(&units), rows(&codes));
        assert_eq!([&units[0], &codes[0]], [0, 1].map(|n| format!("{}{}", titles[n], status[n])).each_ref());
        assert_eq!((units.len(), codes.len()), (201, 201));
        for (frame, (units, codes)) in units.iter().zip(&codes).skip(1).enumerate() {
            let (units, codes): (Vec<_>, Vec<_>) = (units.split(',').collect(), codes.split(',').collect());
            // 100 Hz from 0.4 s on: hundredths, counted as whole numbers.
            let hundredths = frame + 40;
            let time = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let time = time.trim_end_matches('0').trim_end_matches('.');
            assert_eq!([units[0], units[1], codes[0], codes[1]], [&frame.to_string(), time, &frame.to_string(), time]);
            for (index, signal) in from.signals.iter().filter(|signal| !signal.is_annotations()).enumerate() {
                let code = code(signal, frame / 50, frame % 50);
                assert_eq!(codes[2 + index], code.to_string());
                if signal.is_status() {
                    assert_eq!(units[2 + index], code.to_string());
                    continue;
                }
                let [low, high] = [f64::from(signal.digital_min), f64::from(signal.digital_max)];
                let (min, max) = (signal.physical_min, signal.physical_max);
                let value = (f64::from(code) - low) * (max - min) / (high - low) + min;
                assert_eq!(units[2 + index].parse::<f64>().expect("a number").to_bits(), value.to_bits());
                let back = (value - min) * (high - low) / (max - min) + low;
                assert_eq!(back.round(), f64::from(code));
            }
        }
        // Blocks give back what they were made of byte by byte, rows say the same with a list for each text.
        let back = if format.is_bdf() { "back.bdf" } else { "back.edf" };
        converted(dir.path(), "in.bdf", "blocks.raw").expect("converts");
        for name in ["units.csv", "codes.csv", "blocks.raw"] {
            converted(dir.path(), name, back).expect("converts");
            assert!(name != "blocks.raw" || fs::read(dir.path().join(back)).expect("reads") == bytes(&from));
            let (there, here) = (contents(&dir.path().join(back)), contents(&dir.path().join("in.bdf")));
            assert_eq!((there.1, there.2), (here.1, here.2), "{name}");
            fs::remove_file(dir.path().join(back)).expect("removes");
        }
    }
}

#[test]
fn a_recording_of_ours_beside_its_own_tables() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = feeder::Feeder::new(dir.path(), 100.0, 3, 0);
    feeder.frames(111);
    feeder.gap(Cause::Missed, 30);
    feeder.marker(45, 1_000_000, None, "a marker");
    feeder.frames(89);
    let file = feeder.close(Cause::Disk, 0);
    recover(std::slice::from_ref(&file), &mut Vec::new()).expect("has its tables");
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let csv = file.with_extension("csv");
    let before = names_in(dir.path());
    let text = converted(dir.path(), &name(&file), &name(&csv)).expect("converts");
    assert!(text.contains("70 frames that fill up the last record, as the sidecar says, are not in it"), "{text}");
    assert_eq!(names_in(dir.path()).len(), before.len() + 1, "no table");
    let text = fs::read_to_string(&csv).expect("reads");
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 1 + 230);
    let report = verify_file(&csv, false).expect("opens");
    assert!(report.is_well(), "its sidecar speaks of the file it was made of: {report}");
    let ended = run(&["convert", &name(&file), "x.edf"], dir.path());
    let expected = format!(
        "biosigd: {}: signal 0, `ch0`, has codes from -8388608 to 8388607, wider than the 16 bits of EDF, -32768 to 32767, and so \
         are 2 others; .bdf, .csv and .raw hold them",
        name(&file)
    );
    assert_eq!((ended.code, ended.stderr()), (Some(65), expected));
    // Away from its sidecar the file says itself which frames were recorded.
    let filling =
        "3 records, every code as it was; 70 frames that only fill up the last one are annotated BAD_FILLING\n";
    let text = converted(dir.path(), &name(&file), "copy.bdf").expect("converts");
    assert!(text.ends_with(filling), "{text}");
    let report = verify_file(&dir.path().join("copy.bdf"), true).expect("opens");
    assert!(
        report.is_well() && report.to_string().contains("70 frames only fill up the last record: 230 were recorded")
    );
    let text = converted(dir.path(), "copy.bdf", "copy.csv").expect("converts");
    assert!(text.contains("70 frames that fill up the last record, as the annotation says, are not in it"), "{text}");
    assert!(fs::read(dir.path().join("copy.csv")).expect("reads") == fs::read(&csv).expect("reads"));
    // And a copy of the copy says it once.
    let text = converted(dir.path(), "copy.bdf", "again.bdf").expect("converts");
    assert!(text.ends_with(filling), "{text}");
    assert!(
        fs::read(dir.path().join("again.bdf")).expect("reads") == fs::read(dir.path().join("copy.bdf")).expect("reads")
    );
}

/// Nothing was made, and this is why.
fn refused(bytes: &[u8], out: &str, code: i32, message: &str) {
    let dir = folder(bytes);
    let ended = run(&["convert", "in.bdf", out], dir.path());
    assert_eq!((ended.code, ended.stderr()), (Some(code), format!("biosigd: {message}")));
    assert_eq!(names_in(dir.path()), [Path::new("in.bdf")], "{message}");
}

#[test]
fn what_the_target_cannot_hold_is_refused() {
    let plus = header(Format::BdfPlusC, NARROW);
    let discontinuous = "in.bdf: BDF+D is discontinuous: what it leaves out has no place in a file of another format. Only +C \
                         files can be converted; split it where it leaves something out";
    refused(&bytes(&header(Format::BdfPlusD, NARROW)), "x.edf", 65, discontinuous);
    refused(
        &bytes(&plus),
        "x.csv",
        65,
        "in.bdf: csv and raw hold frames, so the signals must have one rate: `EEG Fp1` has 50 samples per record, `Status` has \
         10; .bdf and .edf hold them",
    );
    // The last code of the second signal in the third record, which its header does not allow either.
    let mut wide = bytes(&plus);
    let at = usize::try_from(plus.header_bytes()).expect("small") + 2 * plus.record_bytes() + 99 * 3;
    wide[at..at + 3].copy_from_slice(&[0x00, 0x80, 0x00]);
    refused(
        &wide,
        "x.edf",
        65,
        "in.bdf: record 2, sample 49 of signal 1, `Temp, \"left\"`: the code 32768 is outside of the header's range, -5 to 2000, \
         and wider than the 16 bits of EDF; .bdf, .csv and .raw hold it",
    );
    let replaced = |old: &[u8], new: &[u8]| {
        let mut bytes = bytes(&header(Format::BdfPlusC, WIDE));
        let at = bytes.windows(old.len()).position(|window| window == old).expect("is there");
        bytes[at..at + old.len()].copy_from_slice(new);
        bytes
    };
    let jump = "in.bdf: record 2 says that it begins at 1.9 s, 1.4 s is due: the file says BDF+C and leaves something out. Split \
                it there; only files without a hole can be converted";
    let late = replaced(b"+1.4\x14\x14", b"+1.9\x14\x14");
    refused(&late, "x.bdf", 65, jump);
    refused(&late, "x.csv", 65, jump);
    let torn = replaced(b"+1.9\x14placed", b"-x.9\x14placed");
    refused(
        &torn,
        "x.csv",
        65,
        "in.bdf: record 1, byte 7 of the annotation area: the onset is not a decimal number of seconds; .bdf, .edf \
         and .raw copy it byte by byte",
    );
    let dir = folder(&torn);
    let text = converted(dir.path(), "in.bdf", "x.bdf").expect("converts");
    assert!(text.contains("  damaged: annotations of 1 records cannot be read; copied byte by byte\n"), "{text}");
    assert_eq!(fs::read(dir.path().join("x.bdf")).expect("reads"), torn);
    refused(
        b"no header",
        "x.csv",
        65,
        "in.bdf: the file ends at byte 9 within the header, which should have 256 bytes",
    );
    let huge = replaced(b"-187500 ", b"-1e306  ");
    refused(
        &huge,
        "x.csv",
        65,
        "in.bdf: `EEG Fp1` goes from -1e306 to 1.875001e5, more than an f64 can scale; --codes writes its codes",
    );
    let empty = header(Format::EdfPlusC, &[]);
    let none = "in.bdf: holds annotations and no signals, there are no frames; .bdf and .edf hold it";
    refused(&bytes(&empty), "x.csv", 65, none);
}

#[test]
fn a_file_that_ends_early_is_converted_as_far_as_it_goes() {
    let whole = bytes(&header(Format::BdfPlusC, WIDE));
    for (count, n_bytes, lines) in [
        (
            "4 ",
            whole.len() - 1,
            "damaged: the header counts 4 records, 3 are whole; only those were converted\n  809 bytes after \
                                 the last of 3 records are not in it",
        ),
        ("-1", whole.len(), "the number of records is -1: the recorder did not finish the file"),
        ("3 ", whole.len(), "810 bytes after the last of 3 records are not in it"),
        ("4 ", 256 * 5, "damaged: the header counts 4 records, 0 are whole; only those were converted"),
    ] {
        let mut cut = whole[..n_bytes].to_vec();
        cut[236..238].copy_from_slice(count.as_bytes());
        let dir = folder(&cut);
        for out in ["x.csv", "x.bdf"] {
            let text = converted(dir.path(), "in.bdf", out).expect("converts");
            assert!(text.contains(&format!("annotations\n  {lines}\n{}", dir.path().display())), "{text}");
        }
        let report = verify_file(&dir.path().join("x.bdf"), false).expect("opens");
        assert!(report.is_well(), "{report}");
    }
}

#[test]
fn nothing_that_exists_is_replaced_and_nothing_is_left() {
    let whole = bytes(&header(Format::BdfPlusC, WIDE));
    for (taken, out) in [("x.bdf", "x.bdf"), ("x.csv", "x.csv"), ("x.raw", "x.raw"), ("in.bdf", "in.bdf")] {
        let dir = folder(&whole);
        if taken != "in.bdf" {
            fs::write(dir.path().join(taken), "mine").expect("writes");
        }
        let before = names_in(dir.path());
        let ended = run(&["convert", "in.bdf", out], dir.path());
        let expected = format!("biosigd: {taken} exists and is not replaced; give OUT another name");
        assert_eq!((ended.code, ended.stderr()), (Some(73), expected));
        assert_eq!(names_in(dir.path()), before);
        assert_eq!(fs::read(dir.path().join("in.bdf")).expect("reads"), whole);
        assert!(taken == "in.bdf" || fs::read(dir.path().join(taken)).expect("reads") == b"mine");
    }
    let dir = folder(&whole);
    std::os::unix::fs::symlink("nowhere", dir.path().join("x.csv")).expect("links");
    assert_eq!(run(&["convert", "in.bdf", "x.csv"], dir.path()).code, Some(73), "a link to nowhere is there too");
    for (from, out, code) in
        [("none", "y.csv", 66), (".", "y.csv", 65), ("in.bdf", "none/y.csv", 73), ("in.bdf", "y", 64)]
    {
        let ended = run(&["convert", from, out], dir.path());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr());
    }
    for out in ["y.csv", "y.bdf"] {
        let output = dir.path().join(out);
        let target = FileFormat::of(&output).expect("an ending");
        let request = Request { input: dir.path().join("in.bdf"), output, target, values: Values::Codes };
        let stopped = convert(&request, &AtomicBool::new(true), &mut Vec::new());
        assert!(matches!(stopped, Err(ConvertError::Stopped { .. })), "{stopped:?}");
    }
    assert_eq!(names_in(dir.path()), ["in.bdf", "x.csv"].map(Path::new));
}

/// Whatever is in the file: no panic, no hang, and either OUT is whole or nothing is there.
#[test]
fn damaged_at_random() {
    let n_damages = if std::env::var_os("BIOSIGD_LONG").is_some() { 10_000 } else { 400 };
    // A generator of Knuth's.
    let mut state = 11_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below.max(1)
    };
    let files = [(Format::BdfPlusC, WIDE), (Format::EdfPlusC, NARROW), (Format::Edf, &NARROW[..2])];
    let files = files.map(|(format, shape)| bytes(&header(format, shape)));
    let (mut n_whole, mut n_refused) = (0, 0);
    for _ in 0..n_damages {
        let mut bytes = files[random(3)].clone();
        for _ in 0..=random(3) {
            // Half of them in the header, where it hurts.
            let n_bytes = if random(2) == 0 { bytes.len().min(1280) } else { bytes.len() };
            let at = random(n_bytes);
            match random(5) {
                0 if random(4) == 0 => bytes.truncate(at),
                1 => bytes.iter_mut().skip(at).take(random(300)).for_each(|byte| *byte = 0x14),
                _ => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1 + random(4))
                    .for_each(|byte| *byte = b"0129-. +e\x14\x15\x00\xff"[random(13)]),
            }
        }
        let dir = folder(&bytes);
        for out in ["x.bdf", "x.edf", "x.csv", "x.raw"] {
            let began = Instant::now();
            let outcome = converted(dir.path(), "in.bdf", out);
            assert!(began.elapsed() < Duration::from_secs(30), "hangs");
            let made = dir.path().join(out);
            match outcome {
                Ok(_) if [".csv", ".raw"].iter().any(|ending| out.ends_with(ending)) => {
                    let report = verify_file(&made, false).expect("opens");
                    assert!(report.damage_found().is_empty() || report.to_string().contains("annotation"), "{report}");
                }
                Ok(_) => {
                    let bytes = fs::read(&made).expect("reads");
                    let header = Header::read(&mut &bytes[..]).expect("a header");
                    assert_eq!(header.n_records, Some(header.records_in(bytes.len() as u64)));
                }
                Err(_) => {
                    n_refused += 1;
                    assert_eq!(names_in(dir.path()), [Path::new("in.bdf")]);
                    continue;
                }
            }
            n_whole += 1;
            fs::remove_file(&made).expect("there");
            assert_eq!(names_in(dir.path()), [Path::new("in.bdf")]);
        }
    }
    assert!(n_whole > n_damages / 4 && n_refused > n_damages / 4, "{n_whole} whole, {n_refused} refused");
}
