//! The real binary in a directory of its own: short commands, and a daemon that runs until it is told to stop. Every
//! wait has a bound, and waits on a level: a line of the log, a value of the status, the end of a pipe.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The most that anything here may take, on a machine that has much else to do.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    /// Standard error, line by line.
    pub(crate) lines: Vec<String>,
}

impl Ended {
    /// Standard error as one text.
    pub(crate) fn stderr(&self) -> String {
        self.lines.join("\n")
    }

    /// No run of the daemon, however it was treated, panics.
    pub(crate) fn assert_no_panic(&self) {
        let stderr = self.stderr();
        assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    }

    /// Each consumer with what it expected, got and lost, as the daemon's last lines have it.
    pub(crate) fn ledgers(&self) -> Vec<(String, u64, u64, u64)> {
        self.lines.iter().filter_map(|line| ledger(line)).collect()
    }
}

/// Reads `.. websocket.raw: 10 frames expected, 9 delivered, 1 lost (..)`.
fn ledger(line: &str) -> Option<(String, u64, u64, u64)> {
    let (before, after) = line.split_once(" frames expected, ")?;
    let (name, expected) = before.rsplit_once(": ")?;
    let (delivered, after) = after.split_once(" delivered, ")?;
    let (lost, _) = after.split_once(" lost")?;
    let name = name.rsplit(' ').next()?.to_owned();
    Some((name, expected.parse().ok()?, delivered.parse().ok()?, lost.parse().ok()?))
}

/// The binary, with nothing of the environment that would change what it says.
fn command(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_biosigd"));
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["RUST_LOG", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary in `dir` to its end.
pub(crate) fn run(arguments: &[&str], dir: &Path) -> Ended {
    run_as(arguments, dir, |_| {})
}

/// The same, with what `prepare` does to the command.
pub(crate) fn run_as(arguments: &[&str], dir: &Path, prepare: impl FnOnce(&mut Command)) -> Ended {
    let mut command = command(arguments, dir);
    prepare(&mut command);
    Running::spawn(&mut command).end()
}

/// A process with its output on the way in.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stdout: Receiver<String>,
}

impl Running {
    fn spawn(command: &mut Command) -> Running {
        let mut child = command.spawn().expect("the binary runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (line_in, lines) = channel();
        thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                drop(line_in.send(String::from_utf8_lossy(&line).into_owned()));
            }
        });
        let mut out = child.stdout.take().expect("piped");
        let (text_in, stdout) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(out.read_to_end(&mut bytes));
            drop(text_in.send(String::from_utf8_lossy(&bytes).into_owned()));
        });
        Running { child, lines, seen: Vec::new(), stdout }
    }

    /// The next line that `wanted` takes something from.
    fn line<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(error) => panic!("no line with {what} ({error}) after\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Waits for the end.
    fn end(mut self) -> Ended {
        let deadline = Instant::now() + BOUND;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("does not end after\n{}", self.seen.join("\n")),
            }
        }
        // Its standard error is closed: the process is gone, or about to be.
        let stdout = self.stdout.recv_timeout(BOUND).expect("standard output closes with standard error");
        let code = self.child.wait().expect("a child of ours").code();
        Ended { code, stdout, lines: std::mem::take(&mut self.seen) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already where the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A daemon that runs.
pub(crate) struct Daemon {
    running: Running,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// Header lines that every `get` sends.
    headers: String,
    /// Holds its configuration and its recordings.
    pub(crate) dir: TempDir,
}

/// Eight channels at 1 kHz through one chain, recorded beside the configuration, at a port of the system's choice.
/// The converter forgives as long as a test waits for anything: a machine that stands still for seconds costs recorder and
/// process nothing, and what holds them up for good is found by that wait. Blocks of 0.2 s make the links 0.8 s deep, so
/// that it seldom costs a client a frame.
pub(crate) const CONFIG: &str = "[acquire]\nblock_frames = 200\n[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nn_channels = 8\nrate_hz = 1000\n\
     fifo_s = 30\n[chain.live]\n\
     [[chain.live.stage]]\nkind = \"high_pass\"\n[recorder]\nmin_free_gb = 0\nstall_budget_s = 5\n\
     [http]\nlisten = \"127.0.0.1:0\"\n";

impl Daemon {
    /// Starts it with [`CONFIG`] and `more` after it; returns when it listens and frames have been recorded.
    pub(crate) fn start(more: &str) -> Daemon {
        Daemon::start_with(&format!("{CONFIG}{more}"))
    }

    /// Starts it with `config`, which records; returns when it listens and frames have been recorded.
    pub(crate) fn start_with(config: &str) -> Daemon {
        Daemon::start_in(tempfile::tempdir().expect("a directory"), config, "")
    }

    /// The same in a directory that holds files already; `headers` are sent by every `get`.
    pub(crate) fn start_in(dir: TempDir, config: &str, headers: &str) -> Daemon {
        Daemon::start_as(dir, config, headers, |_| {})
    }

    /// The same, with what `prepare` does to the command.
    pub(crate) fn start_as(dir: TempDir, config: &str, headers: &str, prepare: impl FnOnce(&mut Command)) -> Daemon {
        let daemon = Daemon::spawn(dir, config, headers, prepare);
        daemon.wait_for("a recorded frame", |status| status["ledger"]["recorder"]["delivered"].as_u64() > Some(0));
        daemon
    }

    /// Starts it with `config`, which need not record; returns when there are frames.
    pub(crate) fn start_idle(config: &str) -> Daemon {
        Daemon::start_idle_in(tempfile::tempdir().expect("a directory"), config)
    }

    /// The same in a directory that holds files already.
    pub(crate) fn start_idle_in(dir: TempDir, config: &str) -> Daemon {
        let daemon = Daemon::spawn(dir, config, "", |_| {});
        daemon.wait_for("a frame", |status| status["frames"].as_u64() > Some(0));
        daemon
    }

    fn spawn(dir: TempDir, config: &str, headers: &str, prepare: impl FnOnce(&mut Command)) -> Daemon {
        fs::write(dir.path().join("rig.toml"), config).expect("written");
        let mut command = command(&["run", "-c", "rig.toml"], dir.path());
        prepare(&mut command);
        let mut running = Running::spawn(&mut command);
        let address = running.line("its address", |line| {
            let (_, rest) = line.split_once("look at http://")?;
            rest.trim_end_matches('/').parse().ok()
        });
        Daemon { running, address, headers: headers.to_owned(), dir }
    }

    /// Starts one with `config` and stops it as systemd does as soon as its log has `text`; answers how it ended.
    pub(crate) fn stopped_at(config: &str, text: &str) -> (Ended, TempDir) {
        let dir = dir_with(config.as_bytes());
        let mut running = Running::spawn(&mut command(&["run", "-c", "rig.toml"], dir.path()));
        running.line(text, |line| line.contains(text).then_some(()));
        let pid = rustix::process::Pid::from_child(&running.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        (running.end(), dir)
    }

    /// Writes its configuration anew and tells it so.
    pub(crate) fn reload(&self, config: &[u8]) {
        fs::write(self.dir.path().join("rig.toml"), config).expect("written");
        self.signal(rustix::process::Signal::HUP);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.running.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// The next line of its log with `text` in it.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        self.running.line(text, |line| line.contains(text).then(|| line.to_owned()))
    }

    /// A connection that gives up rather than wait for ever.
    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect_timeout(&self.address, BOUND).expect("it listens");
        socket.set_read_timeout(Some(BOUND)).expect("a timeout");
        socket.set_write_timeout(Some(BOUND)).expect("a timeout");
        socket
    }

    /// Sends `head` as it is and reads until the daemon closes.
    pub(crate) fn ask(&self, head: &str) -> Response {
        let mut socket = self.connect();
        socket.write_all(head.as_bytes()).expect("taken");
        Response::read(socket)
    }

    /// A plain GET.
    pub(crate) fn get(&self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{}\r\n", self.address, self.headers))
    }

    /// The status.
    pub(crate) fn status(&self) -> Value {
        let response = self.get("/api/v1/status");
        assert_eq!(response.code, 200, "{}", response.body);
        serde_json::from_str(&response.body).expect("JSON")
    }

    /// Asks for the status until `reached`.
    pub(crate) fn wait_for(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + BOUND;
        loop {
            let status = self.status();
            if reached(&status) {
                return status;
            }
            let (clients, ledger) = (&status["clients"], &status["ledger"]);
            assert!(Instant::now() < deadline, "{what} did not come about: {clients} clients, ledger {ledger:#}");
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// It says that all is well, at once or when the machine lets its threads run again.
    pub(crate) fn is_well(&self) {
        let deadline = Instant::now() + BOUND;
        loop {
            let health = self.get("/healthz");
            if (health.code, health.body.as_str()) == (200, "ok\n") {
                return;
            }
            assert!(health.code == 503 && Instant::now() < deadline, "{} {}", health.code, health.body);
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// All is well, and the recorder goes on and has lost nothing.
    pub(crate) fn assert_well(&self) {
        self.is_well();
        let so_far = recorded(&self.status());
        let status = self.wait_for("another recorded frame", |status| recorded(status) > so_far);
        let lost = status["ledger"]["recorder"]["lost"].as_object().expect("causes");
        assert!(lost.values().all(|n_frames| n_frames.as_u64() == Some(0)), "{status:#}");
    }

    /// Stops it as systemd does and looks at what it leaves: no panic, nothing lost by recorder and process, every
    /// ledger whole, exit code 0.
    pub(crate) fn stop_well(self) -> Ended {
        let (ended, _dir) = self.stop();
        ended.assert_no_panic();
        let ledgers = ended.ledgers();
        assert_eq!(ledgers.len(), 4, "process, recorder and two streams in\n{}", ended.stderr());
        for (name, expected, delivered, lost) in ledgers {
            assert_eq!(expected, delivered + lost, "{name} in\n{}", ended.stderr());
            let must_not_lose = name == "recorder" || name == "process";
            assert!(!must_not_lose || (lost == 0 && expected > 0), "{name} in\n{}", ended.stderr());
        }
        assert_eq!(ended.code, Some(0), "{}", ended.stderr());
        ended
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Waits for an end that was asked for already. Its directory goes when the second value is dropped.
    pub(crate) fn ends(self) -> (Ended, TempDir) {
        (self.running.end(), self.dir)
    }

    /// Stops it as systemd does. Its directory goes when the second value is dropped.
    pub(crate) fn stop(self) -> (Ended, TempDir) {
        self.signal(rustix::process::Signal::TERM);
        (self.running.end(), self.dir)
    }
}

fn recorded(status: &Value) -> u64 {
    status["ledger"]["recorder"]["delivered"].as_u64().expect("a number")
}

/// What came back for a request.
#[derive(Debug)]
pub(crate) struct Response {
    /// 0 when the daemon closed without an answer.
    pub(crate) code: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// Reads an answer to its end.
    pub(crate) fn read(mut socket: TcpStream) -> Response {
        let mut bytes = Vec::new();
        let outcome = socket.read_to_end(&mut bytes);
        drop(socket.shutdown(Shutdown::Both));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        assert!(code != 0 || outcome.is_ok() || bytes.is_empty(), "{outcome:?} after {text}");
        Response { code, head: head.to_owned(), body: body.to_owned() }
    }
}

/// A directory with one file in it, `rig.toml`.
pub(crate) fn dir_with(config: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("rig.toml"), config).expect("written");
    dir
}

/// The names in a directory, sorted.
pub(crate) fn names_in(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").file_name().into()).collect();
    names.sort();
    names
}

/// Whether file permissions mean nothing to this process; says that something is left out because of it.
pub(crate) fn is_root(left_out: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if root {
        println!("left out, because root may read and write everything: {left_out}");
    }
    root
}
