//! The gates of the house rules as tests: who may import whom, how long a file may be, what the real-time path may
//! not hold, what every example file must pass. The source is read as text, without comments and literals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use source::{File, Use, files, root};

/// What each folder of `src/` may import of ours (design, section 7). `edf`, the file format, is pure, and `format`, which
/// knows all four of them; the source, the recorder, `verify` and `convert` share them.
const IMPORTS: &[(&str, &[&str])] = &[
    ("block", &[]),
    ("config", &[]),
    ("edf", &[]),
    ("format", &["block", "edf"]),
    ("rt", &[]),
    ("metrics", &[]),
    ("source", &["block", "config", "rt", "edf", "format"]),
    ("stage", &["block", "config"]),
    ("sink", &["block", "config", "rt", "edf", "format"]),
    ("pipeline", &["block", "rt", "metrics", "source", "stage", "sink"]),
    ("daemon", &["block", "config", "edf", "format", "rt", "metrics", "source", "stage", "sink", "pipeline"]),
];

/// Of these folders `pipeline` knows the items that `mod.rs` holds, and nothing below.
const ONLY_TRAITS: [&str; 3] = ["source", "stage", "sink"];

fn import_mistakes(file: &File) -> Vec<String> {
    let Some(folder) = file.folder() else { return Vec::new() };
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{}: src/{folder}/ is not in the table of imports", file.path)];
    };
    let mut mistakes = Vec::new();
    for Use { line, path } in file.uses() {
        let Some(first) = path.first() else { continue };
        if *first == folder {
            continue;
        }
        let deep = folder == "pipeline"
            && ONLY_TRAITS.contains(&first.as_str())
            && !path.get(1).is_some_and(|item| item.starts_with(char::is_uppercase));
        if !allowed.contains(&first.as_str()) || deep {
            mistakes.push(format!("{}:{line}: src/{folder}/ may not import crate::{}", file.path, path.join("::")));
        }
    }
    mistakes
}

#[test]
fn imports_go_one_way() {
    let mistakes: Vec<String> = files("src").iter().flat_map(import_mistakes).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let folders: BTreeSet<String> = files("src").iter().filter_map(File::folder).collect();
    let known: BTreeSet<String> = IMPORTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, known, "the table lists the folders there are");
}

#[test]
fn the_import_gate_sees_what_it_should() {
    for (path, text, n_mistakes) in [
        ("src/block/pool.rs", "use super::Head;\nuse std::sync::Arc;", 0),
        ("src/block/pool.rs", "use crate::rt::Stop;", 1),
        ("src/block/pool.rs", "// use crate::rt::Stop;\nconst A: &str = \"crate::rt\";", 0),
        ("src/block/pool.rs", "use super::super::rt::Stop;", 1),
        ("src/stage/x.rs", "use crate::{block::{Block, Head}, config::Key, metrics::Metrics};", 1),
        ("src/stage/x.rs", "fn f() { crate::metrics::f() }", 1),
        ("src/stage/x.rs", "mod tests { use super::super::check; }", 0),
        ("src/pipeline/x.rs", "use crate::sink::{LiveSink, RawSink};\nuse crate::source::Source;", 0),
        ("src/pipeline/x.rs", "use crate::sink::{LiveSink, recorder::FileRecorder};", 1),
        ("src/pipeline/x.rs", "use crate::source::synthetic::counter_code;", 1),
        ("src/pipeline/x.rs", "use crate::config::Key;", 1),
        ("src/util/x.rs", "", 1),
    ] {
        let mistakes = import_mistakes(&File::new(path, text));
        assert_eq!(mistakes.len(), n_mistakes, "{path}: {text}: {mistakes:?}");
    }
}

#[test]
fn no_file_is_long() {
    const LINES_MAX: usize = 400;
    for folder in ["src", "tests"] {
        let mut lengths: Vec<(usize, String)> =
            files(folder).iter().map(|file| (file.text.lines().count(), file.path.clone())).collect();
        lengths.sort();
        println!("{folder}: {} files, the median has {} lines", lengths.len(), lengths[lengths.len() / 2].0);
        let long: Vec<_> = lengths.iter().filter(|(n_lines, _)| *n_lines > LINES_MAX).collect();
        assert!(long.is_empty(), "more than {LINES_MAX} lines: {long:?}");
    }
}

/// The files whose code runs on the real-time threads, where no test or start-up code has another claim.
const REAL_TIME_FILES: &[&str] = &[
    "src/pipeline/acquire.rs",
    "src/pipeline/process.rs",
    "src/pipeline/chain.rs",
    "src/pipeline/intake.rs",
    "src/pipeline/link.rs",
    "src/pipeline/ring.rs",
    "src/pipeline/rate.rs",
    "src/pipeline/progress.rs",
    "src/pipeline/ledger.rs",
    "src/block/",
    "src/stage/",
    "src/source/ads1299/simulated/",
    "src/source/synthetic/",
    "src/source/replay/feed.rs",
    "src/source/ads1299/account.rs",
    "src/source/ads1299/chain.rs",
    "src/source/ads1299/check.rs",
    "src/source/ads1299/clock.rs",
    "src/source/ads1299/control.rs",
    "src/source/ads1299/frame.rs",
    "src/source/ads1299/impedance.rs",
    "src/source/ads1299/place.rs",
    "src/source/ads1299/readback.rs",
    "src/source/ads1299/reader.rs",
    "src/source/ads1299/trouble.rs",
];

/// What none of these files may hold, start-up included. Texts are spaces here: `.expect( ` is the one of `Result`, and
/// `ledger.expect(n_frames)` is not.
const NEVER: &[&str] = &[
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "Mutex",
    "RwLock",
    ".unwrap()",
    ".expect( ",
    "sleep(",
    "File",
];

/// What a function marked as real-time may not hold either.
const NEVER_IN_REAL_TIME: &[&str] = &[
    "Vec::new",
    "vec!",
    "with_capacity",
    ".collect",
    ".to_vec()",
    "Box::new",
    "Arc::new",
    "String::",
    "format!",
    ".to_owned()",
    ".to_string()",
    ".push_back(",
    ".extend(",
    ".lock()",
    "tracing::",
    "std::fs",
    "std::io",
];

/// The promises there are, word for word; what a thread may wait for is named.
const PROMISE: &str = "Real time: no allocation, no locks, no waiting, no logging.";
const PROMISE_WAITS: &str = "Real time: no allocation, no locks, no logging; waits ";
const EXEMPT: &str = "Exempt, because rare and counted: a stage that panics.";

#[test]
fn the_real_time_path_holds_nothing_that_may_take_long() {
    let mut mistakes = Vec::new();
    let files = files("src");
    for start in REAL_TIME_FILES {
        assert!(files.iter().any(|file| file.path.starts_with(start)), "the list names {start}, which is not there");
    }
    for file in files.iter().filter(|file| REAL_TIME_FILES.iter().any(|start| file.path.starts_with(start))) {
        for word in NEVER {
            mistakes.extend(file.lines_with(word).map(|line| format!("{}:{line}: {word}", file.path)));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn functions_that_promise_real_time_keep_it() {
    let (mut mistakes, mut n_promises) = (Vec::new(), 0);
    for file in files("src") {
        for function in file.promising("Real time:") {
            n_promises += 1;
            let here = format!("{}:{}", file.path, function.line);
            let mut promise = function.promise.as_str();
            let exempt = promise.strip_suffix(EXEMPT).map(str::trim_end);
            promise = exempt.unwrap_or(promise);
            let waits = promise.strip_prefix(PROMISE_WAITS).is_some_and(|what| what.ends_with('.'));
            if promise != PROMISE && !waits {
                mistakes.push(format!("{here}: `{promise}` is not `{PROMISE}` nor `{PROMISE_WAITS}...`"));
            }
            for word in NEVER.iter().chain(NEVER_IN_REAL_TIME) {
                let allowed = exempt.is_some() && *word == "tracing::";
                if function.body.contains(word) && !allowed {
                    mistakes.push(format!("{here}: {word}"));
                }
            }
        }
    }
    assert!(n_promises > 20, "only {n_promises} promises were found");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn unsafe_code_is_in_rt_in_the_counting_allocator_and_in_the_rig_s_calls() {
    for file in files("src").iter().chain(&files("tests")) {
        let counts = file.path.starts_with("tests/") && file.words("global_allocator").next().is_some();
        // What takes the place of C functions cannot be written without; everything else of the rig is.
        let interposes = file.path == "tests/rig/calls.rs";
        let allowed = file.path.starts_with("src/rt/") || counts || interposes;
        let lines: Vec<usize> = file.words("unsafe").collect();
        assert!(allowed || lines.is_empty(), "{}:{lines:?}: unsafe", file.path);
    }
}

#[test]
fn nothing_is_left_for_later_and_words_keep_their_meaning() {
    let mut mistakes = Vec::new();
    for file in files("src") {
        for word in ["TODO", "FIXME", " XX", "todo!", "unimplemented!", "placeholder"] {
            let lines = file.text.lines().zip(1..).filter(|(line, _)| line.contains(word));
            mistakes.extend(lines.map(|(_, line)| format!("{}:{line}: {word}", file.path)));
        }
        for (line, name) in file.named_things() {
            let lower = name.to_ascii_lowercase();
            for word in ["packet", "chunk", "buffer", "message"] {
                if lower.contains(word) {
                    let text = format!("`{name}`: the glossary has block, frame and slab, not {word}");
                    mistakes.push(format!("{}:{line}: {text}", file.path));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn every_file_in_config_and_every_example_in_a_readme_passes_check() {
    let dir = tempfile::tempdir().unwrap();
    let check = |what: &str, file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_biosigd")).arg("check").arg("-c").arg(file).output().unwrap();
        assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut n_files = 0;
    for entry in fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        check(&path.display().to_string(), &path);
        n_files += 1;
    }
    assert!(n_files > 0, "there are examples");
    for page in ["README.md", "src/stage/README.md"] {
        let Ok(text) = fs::read_to_string(root().join(page)) else { continue };
        for (line, block) in source::fenced(&text, "toml") {
            let is_config = block.lines().any(|line| line.starts_with('['));
            if is_config {
                let file = dir.path().join("readme.toml");
                fs::write(&file, block).unwrap();
                check(&format!("{page}:{line}"), &file);
            }
        }
    }
}

/// `1.85.0` as numbers that compare.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[test]
fn every_crate_builds_with_the_oldest_toolchain() {
    const OLDEST: &str = "1.85";
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("rust-version = \"{OLDEST}\"")) && manifest.contains("edition = \"2024\""));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "aarch64-unknown-linux-gnu"])
        .current_dir(root())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            println!("left out, `cargo metadata --offline` says: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        Err(error) => {
            println!("left out, cargo cannot be run: {error}");
            return;
        }
    };
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let used: BTreeSet<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let mut n_declared = 0;
    for package in packages.iter().filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))) {
        let Some(oldest) = package["rust_version"].as_str() else { continue };
        n_declared += 1;
        let (name, limit) = (&package["name"], version(OLDEST));
        assert!(version(oldest)[..2] <= limit[..], "{name} {} needs Rust {oldest}", package["version"]);
    }
    println!("{n_declared} of {} crates declare the toolchain they need", used.len());
    assert!(n_declared > 10, "{n_declared} declared");
}

#[test]
fn the_top_level_holds_what_it_should() {
    let allowed = [
        "src",
        "config",
        "systemd",
        "deploy",
        "tests",
        "README.md",
        "CHANGELOG.md",
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "target",
        "recordings",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong at the top level");
    }
}

#[test]
fn the_map_has_a_row_for_every_cause_of_loss() {
    let map = std::fs::read_to_string("src/lib.rs").expect("the map");
    let rows: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once('`').map(|(name, _)| name)).collect();
    for cause in biosigd::block::Cause::ALL {
        assert_eq!(rows.iter().filter(|row| **row == cause.name()).count(), 1, "{}", cause.name());
    }
}
