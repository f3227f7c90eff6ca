//! SIGKILL at any moment, in each format: what it leaves opens, is recovered, verifies code by code, and lacks at most two
//! seconds. `BIOSIGD_KILLS=200` for a long run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "recorder/feeder.rs"]
mod feeder;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use biosigd::block::Cause;
use biosigd::edf::{Signal, decode};
use biosigd::format::{Fault, FileFormat, Reader};
use common::{Daemon, run};
use feeder::Feeder;
use rustix::process::Signal as Kill;

/// Two channels each; the rates divide the time into records and blocks in different ways.
const RATES_HZ: [f64; 4] = [250.0, 500.0, 1000.0, 512.5];

const N_CHANNELS: usize = 2;

/// Kills, shared out among the formats.
const N_KILLS: usize = 20;

/// What EDF is recorded from, in blocks of 250 frames, lasts longer than any of its recordings: a minute and more.
const N_REPLAYED: usize = 240;

/// The one recording of this format in `dir`.
fn recording(dir: &Path, format: FileFormat) -> PathBuf {
    let mut files = std::fs::read_dir(dir.join("recordings")).unwrap().flatten().map(|file| file.path());
    files.find(|file| FileFormat::of(file) == Some(format)).unwrap()
}

/// What is in a file: records that its header counts and that are whole, and the frames of each.
struct Records {
    counted: u64,
    whole: u64,
    record_s: f64,
}

/// Every code of every channel is the counter's, or its lower 16 bits: `verify` knows the counter where it has 24.
fn records(file: &Path) -> Records {
    let n_bytes = file.metadata().unwrap().len();
    let mut reader = Reader::open(BufReader::new(File::open(file).unwrap()), n_bytes).unwrap();
    let header = reader.header().clone();
    let (mut image, mut n_frames) = (Vec::new(), 0);
    loop {
        let n_new = match reader.next(&mut image) {
            Ok(Some(n_new)) => n_new,
            Ok(None) | Err(Fault::Torn { .. }) => break,
            Err(fault) => panic!("{}: {fault}", file.display()),
        };
        let signals = header.signal_ranges().filter(|(signal, _)| Signal::is_channel(signal));
        for (channel, (_, range)) in signals.enumerate() {
            let mut codes = vec![0; n_new];
            decode(header.bytes_per_sample(), &image[range], &mut codes);
            for (frame, code) in (n_frames..).zip(codes) {
                let due = feeder::counter(frame, channel as u64);
                let due = if reader.format() == FileFormat::Edf { feeder::low_16(due) } else { due };
                assert_eq!(code, due, "{}: frame {frame}, channel {channel}", file.display());
            }
        }
        n_frames += n_new as u64;
    }
    let is_edf = reader.format().is_edf();
    Records {
        counted: if is_edf { header.n_records.unwrap() } else { reader.n_records() },
        whole: if is_edf { header.records_in(n_bytes) } else { reader.n_records() },
        record_s: header.record_duration_s,
    }
}

/// A recording of 16 bits at this rate; no other source has as few.
fn sixteen_bits(dir: &Path, rate_hz: f64) -> PathBuf {
    let mut plan = feeder::plan(dir, rate_hz, N_CHANNELS);
    plan.format = FileFormat::Edf;
    for channel in &mut plan.stream.channels {
        (channel.digital_min, channel.digital_max) = (-32_768, 32_767);
    }
    let mut feeder = Feeder::with(plan, 0);
    (0..N_REPLAYED).for_each(|_| feeder.frames(250));
    feeder.close(Cause::Disk, 0)
}

#[test]
fn at_most_two_seconds_are_lost() {
    let n_kills = std::env::var("BIOSIGD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(N_KILLS);
    let sources = tempfile::tempdir().unwrap();
    let sources = RATES_HZ.map(|rate_hz| sixteen_bits(sources.path(), rate_hz));
    std::thread::scope(|scope| {
        for (index, format) in FileFormat::ALL.into_iter().enumerate() {
            let sources = &sources;
            scope.spawn(move || {
                let mut moment = u64::from(std::process::id()) + index as u64;
                for (rate_hz, source) in RATES_HZ.iter().zip(sources).cycle().take(n_kills / FileFormat::ALL.len()) {
                    // Somewhere in the third to fifth second of the signal, also between two writes (a generator of Knuth's).
                    moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let seconds = 2.0 + (moment >> 32) as f64 / f64::from(u32::MAX) * 2.5;
                    kill_after(format, *rate_hz, source, seconds);
                }
            });
        }
    });
}

fn kill_after(format: FileFormat, rate_hz: f64, source: &Path, seconds: f64) {
    let source = match format {
        FileFormat::Edf => format!("kind = \"replay\"\nfile = {:?}", source.display().to_string()),
        _ => format!("kind = \"synthetic\"\nsignal = \"counter\"\nn_channels = {N_CHANNELS}\nrate_hz = {rate_hz:?}"),
    };
    let ending = format.ending();
    let config = format!(
        "[source]\n{source}\n[recorder]\nformat = \"{ending}\"\nmin_free_gb = 0\nstall_budget_s = 5\n[http]\n\
         listen = \"127.0.0.1:0\"\n"
    );
    let daemon = Daemon::start_with(&config);
    let wanted = seconds * rate_hz;
    let status = daemon.wait_for("the moment", |status| status["frames"].as_f64().unwrap() >= wanted);
    let frames = status["frames"].as_f64().unwrap();
    // What waits for a disk or a thread that this machine holds up has not come to the recorder's hands.
    // Of a source that waits for the disk there is no backlog.
    let waiting_s = status["recording"]["backlog"]["seconds"].as_f64().unwrap_or(0.0);
    let delivered = status["ledger"]["recorder"]["delivered"].as_f64().unwrap();
    daemon.signal(Kill::KILL);
    let (ended, dir) = daemon.ends();
    assert_eq!(ended.code, None, "killed\n{}", ended.stderr());
    let file = recording(dir.path(), format);
    let before = records(&file);
    let Records { counted, whole, record_s } = before;
    // A record is appended before it is counted.
    assert!(counted == whole || counted + 1 == whole, "{counted} records counted, {whole} written");
    let missing_s = frames / rate_hz - counted as f64 * record_s;
    let at_s = frames / rate_hz;
    println!(
        "{ending} killed {at_s:.3} s after the first frame: {missing_s:.3} s are missing, {waiting_s:.3} s waited, {counted} records"
    );
    assert!(missing_s - waiting_s <= 2.0, "{missing_s} s are missing, of which {waiting_s} s waited for the disk");
    assert!(counted as f64 * record_s * rate_hz + 0.5 >= delivered, "{delivered} frames were told to be on the disk");
    let verifies = |file: &Path| {
        let counter = if format == FileFormat::Edf { &[][..] } else { &["--counter"] };
        let verify = run(&[&["verify"], counter, &[file.to_str().unwrap()]].concat(), dir.path());
        assert_eq!(verify.code, Some(0), "{}\n{}", verify.stdout, verify.stderr());
    };
    let is_part = |file: &Path| file.to_str().unwrap().ends_with(&format!(".part.{ending}"));
    assert!(is_part(&file));
    verifies(&file);
    let recovered = run(&["recover", "recordings"], dir.path());
    assert_eq!(recovered.code, Some(0), "{}\n{}", recovered.stdout, recovered.stderr());
    let file = recording(dir.path(), format);
    assert!(!is_part(&file), "{}", recovered.stdout);
    verifies(&file);
    // What was written and not counted is counted now.
    assert_eq!(records(&file).counted, whole);
}
