//! SIGKILL at any moment: what it leaves opens, is recovered, verifies code by code, and lacks at most two seconds.
//! `BIOSIGD_KILLS=200` for a long run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};

use common::{Daemon, run};
use rustix::process::Signal;

/// Two channels each; the rates divide the time into records and blocks in different ways.
const RATES_HZ: [f64; 4] = [250.0, 500.0, 1000.0, 512.5];

/// Kills, shared out among the rates.
const N_KILLS: u64 = 20;

/// The one recording in `dir`.
fn recording(dir: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(dir.join("recordings")).unwrap().flatten().map(|file| file.path());
    files.find(|file| file.extension().is_some_and(|end| end == "bdf")).unwrap()
}

/// Records and seconds per record in the header, and records by the file's length (EDF specification, "header record";
/// two signals and the annotations).
fn records(file: &Path) -> (u64, f64, u64) {
    let bytes = std::fs::read(file).unwrap();
    let text = |from: usize, to: usize| std::str::from_utf8(&bytes[from..to]).unwrap().trim();
    let n_signals: usize = text(252, 256).parse().unwrap();
    let samples_at = 256 + n_signals * 216;
    let samples = (0..n_signals).map(|i| text(samples_at + i * 8, samples_at + i * 8 + 8).parse::<usize>().unwrap());
    let record_bytes = samples.sum::<usize>() * 3;
    let whole = (bytes.len() - 256 * (n_signals + 1)) / record_bytes;
    (text(236, 244).parse().unwrap(), text(244, 252).parse().unwrap(), whole as u64)
}

#[test]
fn at_most_two_seconds_are_lost() {
    let n_kills = std::env::var("BIOSIGD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(N_KILLS);
    std::thread::scope(|scope| {
        for (index, rate_hz) in RATES_HZ.into_iter().enumerate() {
            scope.spawn(move || {
                let mut moment = u64::from(std::process::id()) + index as u64;
                for _ in 0..n_kills / RATES_HZ.len() as u64 {
                    // Somewhere in the third to fifth second of the signal, also between two writes (a generator of Knuth's).
                    moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let seconds = 2.0 + (moment >> 32) as f64 / f64::from(u32::MAX) * 2.5;
                    kill_after(rate_hz, seconds);
                }
            });
        }
    });
}

fn kill_after(rate_hz: f64, seconds: f64) {
    let config = format!(
        "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nn_channels = 2\nrate_hz = {rate_hz:?}\n[recorder]\nmin_free_gb = 0\n\
         stall_budget_s = 5\n[http]\nlisten = \"127.0.0.1:0\"\n"
    );
    let daemon = Daemon::start_with(&config);
    let wanted = seconds * rate_hz;
    let status = daemon.wait_for("the moment", |status| status["frames"].as_f64().unwrap() >= wanted);
    let frames = status["frames"].as_f64().unwrap();
    // What waits for a disk or a thread that this machine holds up has not come to the recorder's hands.
    let waiting_s = status["recording"]["backlog"]["seconds"].as_f64().unwrap();
    let delivered = status["ledger"]["recorder"]["delivered"].as_f64().unwrap();
    daemon.signal(Signal::KILL);
    let (ended, dir) = daemon.ends();
    assert_eq!(ended.code, None, "killed\n{}", ended.stderr());
    let file = recording(dir.path());
    let (counted, record_s, whole) = records(&file);
    // A record is appended before it is counted.
    assert!(counted == whole || counted + 1 == whole, "{counted} records counted, {whole} written");
    let missing_s = frames / rate_hz - counted as f64 * record_s;
    println!(
        "killed {:.3} s after the first frame: {missing_s:.3} s are missing, {waiting_s:.3} s waited, {counted} records",
        frames / rate_hz
    );
    assert!(missing_s - waiting_s <= 2.0, "{missing_s} s are missing, of which {waiting_s} s waited for the disk");
    assert!(counted as f64 * record_s * rate_hz + 0.5 >= delivered, "{delivered} frames were told to be on the disk");
    let verifies = |file: &Path| {
        let verify = run(&["verify", "--counter", file.to_str().unwrap()], dir.path());
        assert_eq!(verify.code, Some(0), "{}\n{}", verify.stdout, verify.stderr());
    };
    assert!(file.to_str().unwrap().ends_with(".part.bdf"));
    verifies(&file);
    let recovered = run(&["recover", "recordings"], dir.path());
    assert_eq!(recovered.code, Some(0), "{}\n{}", recovered.stdout, recovered.stderr());
    let file = recording(dir.path());
    assert!(!file.to_str().unwrap().ends_with(".part.bdf"), "{}", recovered.stdout);
    verifies(&file);
    // What was written and not counted is counted now.
    assert_eq!(records(&file).0, whole);
}
