//! What a machine or a person may do to the running daemon: a second SIGTERM, a client that comes a thousand times,
//! cores and priorities that do not exist, output that nobody reads, no `/proc`, a port in use, a directory that is none. It runs and records, or says why not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{BOUND, CONFIG, Daemon, dir_with, names_in, run};
use rustix::process::{Pid, Signal, kill_process};
use tungstenite::WebSocket;

fn stream(daemon: &Daemon, query: &str) -> WebSocket<TcpStream> {
    tungstenite::client(format!("ws://{}/v1/stream{query}", daemon.address), daemon.connect()).unwrap().0
}

/// Waits for `reached`; looks again and again, because nobody rings when another process gets somewhere.
fn comes<T>(what: &str, mut reached: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = reached() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn a_second_sigterm_ends_the_drain() {
    let mut daemon = Daemon::start("");
    // A client that takes nothing holds the drain up once the kernel's buffers and its own are full.
    let mute = stream(&daemon, "?streams=raw");
    daemon.wait_for("a client that takes nothing", |status| {
        status["ledger"]["websocket.raw"]["lost"]["client_slow"].as_u64() > Some(0)
    });
    daemon.signal(Signal::TERM);
    daemon.line_with("stopping: the links run empty");
    daemon.signal(Signal::TERM);
    daemon.line_with("asked to stop a second time");
    let (ended, dir) = daemon.ends();
    drop(mute);
    ended.assert_no_panic();
    for (name, expected, delivered, lost) in ended.ledgers() {
        assert_eq!(expected, delivered + lost, "{name} in\n{}", ended.stderr());
    }
    assert_eq!(ended.ledgers().len(), 4, "{}", ended.stderr());
    assert_eq!(ended.code, Some(74), "{}", ended.stderr());
    assert!(ended.stderr().contains("before it was asked to stop a second time"), "{}", ended.stderr());
    verifies(dir.path());
}

#[test]
fn a_client_that_comes_a_thousand_times() {
    let daemon = Daemon::start("");
    let n_files = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = n_files();
    for turn in 0..1000 {
        let mut client = stream(&daemon, ["?streams=raw", "?streams=live", ""][turn % 3]);
        // Some wait for the greeting, some say goodbye, most just go.
        if turn % 4 == 0 {
            client.read().unwrap();
        }
        if turn % 10 == 0 {
            client.close(None).unwrap();
        }
    }
    daemon.wait_for("all of them gone", |status| status["clients"].as_u64() == Some(0));
    comes("as few open files as before", || (n_files() <= before + 2).then_some(()));
    daemon.assert_well();
    daemon.stop_well();
}

/// A core that the machine does not have is a mistake of the file, also above 1023, where the C library's mask ends;
/// so is a priority that the kernel does not have.
#[test]
fn cores_and_priorities_that_do_not_exist() {
    for (section, wrong) in [
        ("acquire", "core = 1024"),
        ("process", "core = 65536"),
        ("acquire", "core = 1023"),
        ("acquire", "priority = 0"),
        ("process", "priority = 100"),
    ] {
        let dir = dir_with(format!("[http]\nlisten = \"127.0.0.1:0\"\n[{section}]\n{wrong}\n").as_bytes());
        for command in [&["check", "-c", "rig.toml"][..], &["-c", "rig.toml"]] {
            let ended = run(command, dir.path());
            ended.assert_no_panic();
            assert_eq!(ended.code, Some(78), "{wrong}: {}", ended.stderr());
            assert!(ended.stderr().contains(wrong), "{}", ended.stderr());
        }
        assert!(!dir.path().join("recordings").exists(), "something was started");
    }
}

/// A daemon whose output is as `shell` makes it; records, is stopped, ends well, and left a file that verifies.
fn records_under(shell: &str, output: impl FnOnce(&mut Command)) {
    let dir = dir_with(CONFIG.as_bytes());
    let mut command = Command::new("sh");
    command.args(["-c", shell]).arg(env!("CARGO_BIN_EXE_biosigd")).current_dir(dir.path()).stdin(Stdio::null());
    command.env_remove("STATE_DIRECTORY").env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    output(&mut command);
    let mut child = Killed(command.spawn().unwrap());
    let recordings = dir.path().join("recordings");
    // 8 channels, 3 bytes, 1 kHz: a record is some 24 KB.
    comes("a recorded second", || {
        assert!(matches!(child.0.try_wait(), Ok(None)), "`{shell}` ended");
        let file =
            std::fs::read_dir(&recordings).ok()?.flatten().find(|file| file.path().extension().unwrap() == "bdf")?;
        (file.metadata().ok()?.len() > 20_000).then_some(())
    });
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    let status = comes("its end", || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "`{shell}`");
    verifies(dir.path());
}

/// Ended already where the test went well.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn verifies(dir: &Path) {
    for file in std::fs::read_dir(dir.join("recordings")).unwrap().flatten().map(|file| file.path()) {
        if file.extension().is_some_and(|end| end == "bdf") {
            let ended = run(&["verify", "--counter", file.to_str().unwrap()], dir);
            assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr());
        }
    }
}

#[test]
fn output_that_is_closed() {
    records_under("exec \"$0\" -c rig.toml >&- 2>&- <&-", |_| {});
}

#[test]
fn output_that_nobody_reads() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    records_under("exec \"$0\" -c rig.toml 2>&1", |command| {
        command.stdout(writer);
    });
}

#[test]
fn output_on_a_full_disk() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    records_under("exec \"$0\" -c rig.toml", |command| {
        command.stdout(full()).stderr(full());
    });
}

#[test]
fn without_proc() {
    let may = Command::new("unshare").args(["-m", "sh", "-c", "umount -l /proc"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: taking /proc away needs root and unshare(1)");
        return;
    }
    records_under("exec unshare -m sh -c 'umount -l /proc && exec \"$0\" -c rig.toml' \"$0\"", |_| {});
    // How much memory there is, is known without it.
    let much = CONFIG.replace("n_channels = 8", "n_channels = 1024").replace("rate_hz = 1000", "rate_hz = 16000");
    let dir = dir_with(much.replace("stall_budget_s = 5", "stall_budget_s = 3600").as_bytes());
    let check = "umount -l /proc && exec \"$0\" check -c rig.toml";
    let refused = Command::new("unshare")
        .args(["-m", "sh", "-c", check, env!("CARGO_BIN_EXE_biosigd")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(78) && why.contains("is more than half of this machine's memory"), "{why}");
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let dir = dir_with(CONFIG.replace("127.0.0.1:0", &address.to_string()).as_bytes());
    let ended = run(&["run", "-c", "rig.toml"], dir.path());
    let expected = format!("biosigd: cannot listen on {address}: Address already in use (os error 98)");
    assert_eq!((ended.code, ended.stderr()), (Some(69), expected));
    assert_eq!(names_in(dir.path()), [PathBuf::from("rig.toml")], "nothing was started");
}

#[test]
fn a_directory_that_cannot_be_written() {
    // Below a regular file not even root can make one.
    let dir = dir_with(CONFIG.replace("[recorder]", "[recorder]\ndir = \"rig.toml/recordings\"").as_bytes());
    let ended = run(&["run", "-c", "rig.toml"], dir.path());
    let taken = dir.path().canonicalize().unwrap().join("rig.toml/recordings");
    let expected = format!(
        "biosigd: nothing can be recorded: cannot create the directory {}: Not a directory (os error 20)",
        taken.display()
    );
    assert_eq!((ended.code, ended.lines.last()), (Some(73), Some(&expected)));
    assert_eq!(names_in(dir.path()), [PathBuf::from("rig.toml")], "nothing was started");
}
