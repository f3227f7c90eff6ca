//! What the daemon tells a service manager, read from the socket that systemd would have given it. tests/systemd/run
//! has a real systemd act on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The most that any message may take, on a machine that has much else to do.
const BOUND: Duration = Duration::from_secs(30);

const QUIET: &str = "[recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// A daemon under a service manager that only listens.
struct Service {
    child: Child,
    socket: UnixDatagram,
    /// What it said, in order, one assignment each.
    said: Vec<String>,
    _dir: TempDir,
}

impl Service {
    fn start(source: &str) -> Service {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rig.toml"), format!("{source}{QUIET}")).unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_biosigd"))
            .args(["run", "-c", "rig.toml"])
            .current_dir(dir.path())
            .env_remove("STATE_DIRECTORY")
            .env_remove("WATCHDOG_PID")
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "1000000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Service { child, socket, said: Vec::new(), _dir: dir }
    }

    /// Listens until it has said something that begins like this, and returns that.
    fn hear(&mut self, wanted: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let n_bytes = match self.socket.recv(&mut bytes) {
                Ok(n_bytes) => n_bytes,
                // Somebody stopped the test and let it go on.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("no `{wanted}` ({error}) after {:#?}", self.said),
            };
            let before = self.said.len();
            self.said.extend(String::from_utf8_lossy(&bytes[..n_bytes]).lines().map(str::to_owned));
            if let Some(found) = self.said[before..].iter().find(|line| line.starts_with(wanted)) {
                return found.clone();
            }
        }
    }

    fn has_said(&self, what: &str) -> bool {
        self.said.iter().any(|line| line == what)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Ended already where the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_is_ready_with_the_first_block_then_lives_reloads_and_stops() {
    let mut service = Service::start("[source]\nkind = \"synthetic\"\nn_channels = 8\nrate_hz = 1000\n");
    service.hear("READY=1");
    assert_eq!(service.hear("STATUS=8 sim"), "STATUS=8 simulated channels at 1000 Hz, 0 clients, recording 0 min");
    for _ in 0..3 {
        service.hear("WATCHDOG=1");
    }
    service.signal(Signal::HUP);
    service.hear("RELOADING=1");
    service.hear("READY=1");
    assert!(!service.has_said("STOPPING=1"));
    service.signal(Signal::TERM);
    service.hear("STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn without_a_frame_it_is_not_ready_but_asks_for_time() {
    // The first block lasts an hour, as it does with a converter that gives nothing.
    let mut service =
        Service::start("[source]\nkind = \"synthetic\"\nn_channels = 1\nrate_hz = 1\n[acquire]\nblock_frames = 4000\n");
    assert_eq!(
        service.hear("STATUS=waits"),
        "STATUS=waits for the first frame of 1 simulated channel at 1 Hz, 0 clients"
    );
    service.signal(Signal::HUP);
    for _ in 0..3 {
        service.hear("EXTEND_TIMEOUT_USEC=");
    }
    assert!(!service.has_said("READY=1"), "{:#?}", service.said);
    service.signal(Signal::TERM);
    service.hear("STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}
