//! Whatever somebody puts there: random damage to small recordings of each format and to their sidecars, through the
//! functions behind `verify`, `convert`, `replay` and `recover`. None may panic, take longer than 30 s, or hold more than
//! the size of the files and 64 MB.
//!
//! The damage is the same each time. `BIOSIGD_FUZZ=1000000` for more of it, shared out among the formats; a failure names
//! its seed, and `BIOSIGD_FUZZ_SEED=SEED` does that one alone. `BIOSIGD_FUZZ_FIRST=125000` begins each format after that
//! many, so that processes can share the work. `tests/fuzz/corpus` was made by
//! `cargo test --test fuzz -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "fuzz/damage.rs"]
mod damage;
#[path = "recorder/feeder.rs"]
mod feeder;
#[path = "common/peak.rs"]
mod peak;
#[path = "common/replayed.rs"]
mod replayed;
#[path = "fuzz/sums.rs"]
mod sums;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use biosigd::block::Cause;
use biosigd::daemon::convert::{Request, convert};
use biosigd::daemon::verify::verify_file;
use biosigd::format::{FileFormat, Values};
use biosigd::sink::RawSink;
use biosigd::sink::recorder::{complete, repair};
use damage::Dice;
use feeder::Feeder;
use peak::BEYOND_MAX;

/// Damages in `cargo test`, all formats together.
const DAMAGES: u64 = 4000;

/// What one damage may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// A recording of the corpus.
struct Case {
    /// `.bdf`, `.part.bdf` ...
    ending: String,
    data: Vec<u8>,
    sidecar: Option<Vec<u8>>,
}

fn corpus_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The corpus by format.
fn corpus() -> Vec<(String, Vec<Case>)> {
    let mut formats = BTreeMap::<String, Vec<Case>>::new();
    let mut paths: Vec<PathBuf> = fs::read_dir(corpus_dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|end| end != "json")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let ending = name[name.find('.').unwrap()..].to_owned();
        let format = path.extension().unwrap().to_str().unwrap().to_owned();
        let (data, sidecar) = (fs::read(&path).unwrap(), fs::read(path.with_extension("json")).ok());
        formats.entry(format).or_default().push(Case { ending, data, sidecar });
    }
    formats.into_iter().collect()
}

/// Else what `made_right` makes would end at the first sum.
#[test]
fn the_sums_of_what_is_whole_are_right() {
    for case in corpus().into_iter().flat_map(|(_, cases)| cases) {
        let mut data = case.data.clone();
        sums::made_right(&mut data);
        assert!(data == case.data, "{}", case.ending);
    }
}

/// Panics of any thread, also of those that the functions begin.
static PANICS: AtomicU64 = AtomicU64::new(0);

#[test]
fn no_damage_makes_a_reader_panic_hang_or_take_memory_without_bound() {
    let setting = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let formats = corpus();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    let watched = watchdog();
    // Not a disk: what is asked here is what the code does, and each damage would wait for some syncs.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
    let n_each = setting("BIOSIGD_FUZZ").unwrap_or(DAMAGES) / formats.len() as u64;
    // Each with its seed.
    let (mut most, mut longest) = ((0, 0), (Duration::ZERO, 0));
    for (index, (format, cases)) in formats.iter().enumerate() {
        let mut done = 0;
        let first = (index as u64) << 48;
        let begin = first + setting("BIOSIGD_FUZZ_FIRST").unwrap_or(0);
        let seeds = match setting("BIOSIGD_FUZZ_SEED") {
            Some(only) if only >> 48 == index as u64 => only..only + 1,
            Some(_) => continue,
            None => begin..begin + n_each,
        };
        for seed in seeds {
            watched.send(Some(seed)).unwrap();
            let (begun, before) = (Instant::now(), PANICS.load(Ordering::Relaxed));
            let run = || {
                catch_unwind(AssertUnwindSafe(|| {
                    damaged(&cases[usize::try_from(seed - first).unwrap() % cases.len()], seed, dir.path())
                }))
            };
            let (file_bytes, held) = peak::during(run);
            longest = longest.max((begun.elapsed(), seed));
            let panics = PANICS.load(Ordering::Relaxed) - before;
            assert!(file_bytes.is_ok() && panics == 0, "{format}: panic, BIOSIGD_FUZZ_SEED={seed}");
            let beyond = held.saturating_sub(file_bytes.unwrap());
            assert!(beyond <= BEYOND_MAX, "{format}: {held} bytes held, BIOSIGD_FUZZ_SEED={seed}");
            most = most.max((beyond, seed));
            done += 1;
        }
        println!("{format}: {done} damages through verify, convert, replay and recover");
    }
    watched.send(None).unwrap();
    println!("at most {} bytes beyond the files' size, BIOSIGD_FUZZ_SEED={}", most.0, most.1);
    println!("at most {:?}, BIOSIGD_FUZZ_SEED={}", longest.0, longest.1);
}

/// Ends the process with the seed when one damage takes too long: a thread cannot be ended.
fn watchdog() -> Sender<Option<u64>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut at = None;
        loop {
            match receiver.recv_timeout(TIME_MAX) {
                Ok(Some(seed)) => at = Some(seed),
                Ok(None) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("hangs: BIOSIGD_FUZZ_SEED={at:?}");
                    std::process::abort();
                }
            }
        }
    });
    sender
}

/// Damages `case` and gives it to all who read recordings. The bytes of the files.
fn damaged(case: &Case, seed: u64, dir: &Path) -> usize {
    let mut dice = Dice(seed);
    let mut data = case.data.clone();
    damage::data(&mut data, &mut dice);
    // Else nearly all of it would end at a sum that is wrong.
    if dice.below(2) == 0 {
        sums::made_right(&mut data);
    }
    let sidecar = case.sidecar.clone().map(|mut sidecar| {
        damage::sidecar(&mut sidecar, &mut dice);
        sidecar
    });
    let path = dir.join(format!("a{}", case.ending));
    fs::write(&path, &data).unwrap();
    if let Some(sidecar) = &sidecar {
        fs::write(path.with_extension("json"), sidecar).unwrap();
    }
    let n_bytes = data.len() + sidecar.map_or(0, |sidecar| sidecar.len());
    // Held as well, and none of what is asked about.
    drop(data);

    // What each finds is its own matter, refusals are right; only how it ends counts.
    drop(verify_file(&path, dice.below(2) == 0));
    let target = FileFormat::ALL[dice.below(FileFormat::ALL.len())];
    let values = [Values::Codes, Values::Units][dice.below(2)];
    let request = Request { input: path.clone(), output: dir.join("out"), target, values };
    drop(convert(&request, &AtomicBool::new(false), &mut std::io::sink()));
    replayed::replay(&path);
    if let Ok(Some(repaired)) = repair(&path, dice.below(2) == 0) {
        drop(complete(&repaired.names, &AtomicBool::new(false)));
    }
    for entry in fs::read_dir(dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Twice, because the copies of the test are held as well.
    2 * n_bytes
}

/// Of each format a finished recording with gaps and markers, and one whose recorder was killed.
#[test]
#[ignore = "writes tests/fuzz/corpus anew"]
fn make_the_corpus() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, to) = (dir.path(), corpus_dir());
    fs::create_dir_all(&to).unwrap();
    let feed = |feeder: &mut Feeder, first: u64| {
        feeder.frames(120);
        feeder.gap(Cause::Missed, 70);
        for n in 0..5 {
            feeder.marker(first + 30 * n, 5_000_000, None, &format!("S {n}"));
        }
        feeder.frames(75);
    };
    let copy = |from: &Path, name: &str| {
        fs::copy(from, to.join(name)).unwrap();
        fs::copy(from.with_extension("json"), to.join(name).with_extension("json")).unwrap();
    };
    for format in FileFormat::ALL {
        let ending = format.ending();
        let plan = |folder: &str| {
            let folder = dir.join(folder);
            fs::create_dir(&folder).unwrap();
            let mut plan = feeder::plan(&folder, 50.0, 2);
            plan.format = format;
            // What sixteen bits hold as well.
            for channel in &mut plan.stream.channels {
                (channel.digital_min, channel.digital_max) = (-32_768, 32_767);
            }
            plan
        };
        let mut feeder = Feeder::with(plan(ending), 1 << 17);
        feed(&mut feeder, 1 << 17);
        copy(&feeder.close(Cause::RingFull, 20), &format!("finished-{ending}.{ending}"));
        let mut feeder = Feeder::with(plan(&format!("{ending}-killed")), 0);
        feed(&mut feeder, 0);
        feeder.recorder.sync().unwrap();
        feeder.frames(60);
        copy(&feeder.recorder.progress().file.unwrap(), &format!("killed-{ending}.part.{ending}"));
    }
}
