//! `biosigd doctor`: the real binary looks at the machine that the tests run on. What it must find there nobody knows;
//! how it tells what it finds is the promise.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{BOUND, Daemon, Ended, dir_with, is_root, names_in, run};
use serde_json::Value;

/// A source that can wait for half a minute, so that a busy machine that runs tests costs it no frame.
const CONFIG: &str = "[source]\nkind = \"synthetic\"\nfifo_s = 30\nn_channels = 8\nrate_hz = 1000\n[recorder]\nmin_free_gb = 0\n[http]\n\
     listen = \"127.0.0.1:0\"\n";

/// Every check there is for a source without hardware, in this order.
const CHECKS: [&str; 16] = [
    "devices",
    "kernel",
    "preemption",
    "isolation",
    "interrupts",
    "core sleep",
    "governor",
    "power, heat",
    "priority",
    "rt throttling",
    "memory lock",
    "page size",
    "clock",
    "free space",
    "write stall",
    "wake-up",
];

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

fn finding<'d>(document: &'d Value, check: &str) -> &'d Value {
    let findings = document["findings"].as_array().expect("a list");
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check} in {document:#}"))
}

#[test]
fn people_read_aligned_lines() {
    let dir = dir_with(CONFIG.as_bytes());
    let ended = run(&["doctor", "-c", "rig.toml", "--seconds", "0.2"], dir.path());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr());
    let mut lines = ended.stdout.lines();
    let title = format!("biosigd {}, configuration: rig.toml, for ", env!("CARGO_PKG_VERSION"));
    assert!(lines.next().is_some_and(|line| line.starts_with(&title)), "{}", ended.stdout);
    assert_eq!(lines.next(), Some("source synthetic, simulated: 8 channels at 1000 Hz, a frame every 1.0 ms;"));
    assert_eq!(lines.next(), Some("a thread may wake 30.0 s late before one is lost"));
    let mut checks = Vec::new();
    for line in lines {
        let command = line.starts_with(&" ".repeat(28));
        assert!(command || line.chars().count() <= 100, "{line}");
        if let Some(level) = ["skipped", "fine", "warning", "fault"].iter().find(|level| line.starts_with(**level)) {
            assert!(line.chars().nth(24) == Some(' ') && line.chars().nth(25) != Some(' '), "{level}: {line}");
            checks.push(line[9..24].trim_end().to_owned());
        }
    }
    assert_eq!(checks, CHECKS);
    assert!(ended.stdout.contains("\n0 faults, "), "{}", ended.stdout);
    assert_eq!(names_in(dir.path()), [Path::new("rig.toml")], "what was written to measure is gone");
}

#[test]
fn scripts_read_one_document() {
    let dir = dir_with(CONFIG.as_bytes());
    let ended = run(&["doctor", "-c", "rig.toml", "--json", "--seconds", "0.2"], dir.path());
    assert_eq!((ended.code, ended.stderr().as_str()), (Some(0), ""));
    let document = document(&ended);
    assert_eq!(document["configuration"], "rig.toml");
    assert_eq!(document["faults"], 0);
    assert_eq!(document["source"]["rate_hz"], 1000.0);
    let findings = document["findings"].as_array().expect("a list");
    let checks: Vec<&str> = findings.iter().filter_map(|finding| finding["check"].as_str()).collect();
    assert_eq!(checks, CHECKS);
    let mut n_warnings = 0;
    for finding in findings {
        let level = finding["level"].as_str().expect("a word");
        assert!(["skipped", "fine", "warning"].contains(&level), "{finding:#}");
        n_warnings += u64::from(level == "warning");
        assert_eq!(finding["remedy"].is_object(), level == "warning", "{finding:#}");
        assert_eq!(finding["why"] == "", level == "skipped", "{finding:#}");
        assert!(finding["found"].as_str().is_some_and(|found| !found.is_empty()), "{finding:#}");
    }
    assert_eq!(document["warnings"], n_warnings);
    assert_eq!(document["verdict"], if n_warnings > 0 { "warning" } else { "fine" });
    let wake_up = &finding(&document, "wake-up")["figures"];
    assert!(wake_up["wake_ups"].as_u64() > Some(0) && wake_up["p50_us"].as_f64() <= wake_up["max_us"].as_f64());
    assert!(finding(&document, "write stall")["figures"]["records"].as_u64() >= Some(3));
    let slack_us = document["source"]["slack_us"].as_f64();
    assert_eq!(wake_up["slack_us"].as_f64(), slack_us);
}

#[test]
fn a_converter_is_looked_for_and_not_opened() {
    // No machine has this chip select.
    let rig = "[source]\nkind = \"ads1299\"\nbus = \"spidev\"\nspi = [\"6.15\"]\ndrdy_line = 25\n";
    let dir = dir_with(
        CONFIG.replace("[source]\nkind = \"synthetic\"\nfifo_s = 30\nn_channels = 8\nrate_hz = 1000\n", rig).as_bytes(),
    );
    let ended = run(&["doctor", "-c", "rig.toml", "--json", "--seconds", "0.1"], dir.path());
    assert_eq!(ended.code, Some(69), "{}", ended.stderr());
    let document = document(&ended);
    assert_eq!((&document["source"]["kind"], &document["source"]["channels"]), (&"ads1299".into(), &32.into()));
    let spidev = finding(&document, "spidev");
    assert_eq!(spidev["level"], "fault");
    assert!(spidev["found"].as_str().is_some_and(|found| found.starts_with("/dev/spidev6.15 is not there;")));
    assert_eq!(spidev["why"], "No transfer, no frame: 4000 frames of 32 channels are lost every second.");
    // 1 + 4 * 27 bytes, whatever the controller makes of the clock.
    let budget = &finding(&document, "spi clock")["figures"];
    assert_eq!(budget["bytes"], 109);
    assert!(budget["slack_us"].as_f64().is_some_and(|us| (0.0..145.4).contains(&us)), "{budget}");
    assert_eq!(document["source"]["slack_us"], budget["slack_us"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_a_fault() {
    let dir = dir_with(CONFIG.replace("[recorder]", "[recorder]\ndir = \"rig.toml/recordings\"").as_bytes());
    let ended = run(&["doctor", "-c", "rig.toml", "--json", "--seconds", "0.1"], dir.path());
    assert_eq!(ended.code, Some(69), "{}", ended.stderr());
    assert_eq!(ended.stderr(), "biosigd: 1 fault: this machine would lose frames");
    let document = document(&ended);
    assert_eq!(document["verdict"], "fault");
    let recordings = finding(&document, "recordings");
    assert!(recordings["found"].as_str().is_some_and(|found| found.contains("rig.toml/recordings cannot be written")));
    let why = recordings["why"].as_str().expect("a sentence");
    assert!(why.ends_with("1000 frames of 8 channels are lost every second."), "{why}");
    assert!(recordings["remedy"]["do"].as_str().is_some_and(|what| what.contains("`dir` in [recorder]")));

    let ended = run(&["doctor", "-c", "rig.toml", "--seconds", "0.1"], dir.path());
    assert_eq!(ended.code, Some(69));
    assert!(ended.stdout.contains("\nfault    recordings      "), "{}", ended.stdout);
    assert!(ended.stdout.contains("-> name a directory that can be made"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n1 fault, "), "{}", ended.stdout);
}

#[test]
fn a_folder_of_somebody_else_names_the_command() {
    if is_root("a folder without write permission") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let dir = dir_with(CONFIG.as_bytes());
    fs::create_dir(dir.path().join("recordings")).expect("made");
    fs::set_permissions(dir.path().join("recordings"), fs::Permissions::from_mode(0o500)).expect("our own");
    let ended = run(&["doctor", "-c", "rig.toml", "--json", "--seconds", "0.1"], dir.path());
    assert_eq!(ended.code, Some(69));
    let document = document(&ended);
    let line = finding(&document, "recordings")["remedy"]["line"].as_str().expect("a command").to_owned();
    assert!(line.starts_with("sudo install -d -o ") && line.ends_with("/recordings"), "{line}");
}

#[test]
fn a_wrong_configuration_or_command_line_looks_at_nothing() {
    let dir = dir_with(b"[source]\nrate = 1\n");
    let ended = run(&["doctor", "-c", "rig.toml"], dir.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(78), ""));
    assert!(ended.lines[0].starts_with("rig.toml:2: ads1299: unknown field `rate`"), "{}", ended.stderr());
    let ended = run(&["doctor", "-c", "none.toml", "--json"], dir.path());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(66), ""));
    for (arguments, text) in [
        (["doctor", "--seconds", "0"], "--seconds 0 must be 0.1 to 3600"),
        (["doctor", "--seconds", "NaN"], "--seconds NaN must be 0.1 to 3600"),
        (["doctor", "--seconds", "nan"], "--seconds nan must be 0.1 to 3600"),
        (["doctor", "--seconds", "-1"], "--seconds -1 must be 0.1 to 3600"),
        (["doctor", "--seconds", "1e9"], "--seconds 1e9 must be 0.1 to 3600"),
        (["doctor", "--seconds", "inf"], "--seconds inf must be 0.1 to 3600"),
        (["doctor", "--seconds", "3s"], "--seconds 3s must be 0.1 to 3600"),
        (["check", "--json", "-crig.toml"], "`check` takes no --json and no --seconds"),
        (["doctor", "--json", "rig.toml"], "`doctor` takes no FILE and no --counter"),
    ] {
        let ended = run(&arguments, dir.path());
        assert_eq!(ended.code, Some(64), "{arguments:?}");
        assert!(ended.lines[0].contains(text), "{}", ended.stderr());
    }
}

#[test]
fn a_daemon_that_runs_is_left_alone() {
    let daemon = Daemon::start("");
    let port = CONFIG.replace("127.0.0.1:0", &daemon.address.to_string());
    fs::write(daemon.dir.path().join("doctor.toml"), port).expect("written");
    let ended = run(&["doctor", "-c", "doctor.toml", "--json"], daemon.dir.path());
    let document = document(&ended);
    for check in ["write stall", "wake-up"] {
        let finding = finding(&document, check);
        assert_eq!(finding["level"], "skipped");
        assert!(finding["found"].as_str().is_some_and(|found| found.contains(&daemon.address.to_string())));
    }
    daemon.stop_well();
}

#[test]
fn a_signal_leaves_nothing_behind() {
    let dir = dir_with(CONFIG.as_bytes());
    let mut child = Command::new(env!("CARGO_BIN_EXE_biosigd"))
        .args(["doctor", "-c", "rig.toml", "--seconds", "30"])
        .current_dir(dir.path())
        .env_remove("STATE_DIRECTORY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    // Until it writes into the file that has no name any more, in a directory that is gone, or is past that.
    let proc = Path::new("/proc").join(child.id().to_string());
    let deadline = Instant::now() + BOUND;
    let is_gone = || !dir.path().join("recordings").exists();
    while !measures_wake_ups(&proc) && (!writes_a_nameless_file(&proc) || !is_gone()) {
        assert!(Instant::now() < deadline, "it does not measure");
        thread::park_timeout(Duration::from_millis(1));
    }
    child.kill().expect("it runs");
    child.wait().expect("a child of ours");
    assert_eq!(names_in(dir.path()), [Path::new("rig.toml")]);
}

fn writes_a_nameless_file(proc: &Path) -> bool {
    let mut links = fs::read_dir(proc.join("fd")).into_iter().flatten().flatten().map(|fd| fs::read_link(fd.path()));
    links.any(|link| link.is_ok_and(|link| link.display().to_string().ends_with("(deleted)")))
}

fn measures_wake_ups(proc: &Path) -> bool {
    let mut threads = fs::read_dir(proc.join("task")).into_iter().flatten().flatten();
    threads.any(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name == "doctor\n"))
}
