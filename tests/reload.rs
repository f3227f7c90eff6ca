//! SIGHUP against the real daemon: stages change while it records, and the recorder notices nothing; a bad file
//! changes nothing; what needs a restart is named.

mod common;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use common::{BOUND, Daemon, Ended};
use rustix::process::Signal;
use serde_json::Value;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

const RELOADS: usize = 100;

/// The counter at 32 channels x 4 kSPS through a chain of `stages`, with more sections after it. What the converter forgives is
/// what a test waits for: a machine that stands still for seconds costs nothing.
fn config(stages: &str, more: &str) -> String {
    format!(
        "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nfifo_s = 30\n[chain.live]\n{stages}\n[chain.copy]\nfrom = \"live\"\n\
         [recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n{more}"
    )
}

/// One of many lists of stages, some of which change the rate.
fn stages(n: usize) -> String {
    let stage = |keys: &str| format!("[[chain.live.stage]]\n{keys}\n");
    let mut text = String::new();
    if n % 2 == 0 {
        text += &stage("kind = \"high_pass\"\norder = 3");
    }
    if n % 3 == 0 {
        text += &stage(&format!("kind = \"decimate\"\nfactor = {}", 2 + n % 7));
    }
    if n % 5 != 0 {
        text += &stage("kind = \"gain\"\nfactor = 2.0");
    }
    text
}

/// What a client of all streams was told and sent.
#[derive(Debug, Default)]
struct Heard {
    hellos: usize,
    /// How often this machine was too busy for it, so that it was told to come back later; it did.
    given_up: usize,
    rates_hz: Vec<f64>,
    frames: u64,
}

/// Reads all streams until the daemon closes; every block fits the hello before it.
fn listen(daemon: &Daemon) -> thread::JoinHandle<Heard> {
    let address = daemon.address;
    let connect = move || {
        let socket = TcpStream::connect_timeout(&address, BOUND).ok()?;
        socket.set_read_timeout(Some(BOUND)).ok()?;
        Some(tungstenite::client(format!("ws://{address}/v1/stream"), socket).ok()?.0)
    };
    let mut client = connect().expect("a seat is free");
    thread::spawn(move || {
        let (mut heard, mut next) = (Heard::default(), [None::<u64>; 3]);
        loop {
            let message = match client.read() {
                Ok(message) => message,
                // Somebody stopped the test and let it go on.
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            match message {
                Message::Text(text) => {
                    let hello: Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(
                        (hello["type"].as_str(), hello["streams"].as_array().map(Vec::len)),
                        (Some("hello"), Some(3))
                    );
                    heard.hellos += 1;
                    heard.rates_hz.push(hello["streams"][1]["rate_hz"].as_f64().expect("a rate"));
                    // A stream whose rate changed counts anew.
                    next = [next[0], None, None];
                }
                Message::Binary(bytes) => {
                    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
                    let half =
                        |at: usize| u64::from(u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes")));
                    let missing = u64::from(u32::from_le_bytes(bytes[28..32].try_into().expect("four bytes")));
                    let (stream, first, n_frames) = (usize::from(bytes[6]), word(8), half(24));
                    assert_eq!(bytes.len() as u64, 32 + n_frames * half(26) * 4, "a whole message");
                    if let Some(next) = next[stream] {
                        assert_eq!(first, next + missing, "stream {stream}: the index runs on");
                    }
                    next[stream] = Some(first + n_frames);
                    heard.frames += n_frames;
                }
                Message::Close(Some(why)) if why.code == CloseCode::Again => {
                    heard.given_up += 1;
                    let Some(again) = connect() else { break };
                    (client, next) = (again, [None; 3]);
                }
                _ => {}
            }
        }
        heard
    })
}

/// Stops the daemon; nothing may be lost by recorder and process, every ledger adds up, the file is whole.
fn stop_and_verify(daemon: Daemon) -> Ended {
    let (ended, dir) = daemon.stop();
    ended.assert_no_panic();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
    for (name, expected, delivered, lost) in ended.ledgers() {
        assert_eq!(expected, delivered + lost, "{name} in\n{}", ended.stderr());
        assert!(lost == 0 || name.starts_with("websocket"), "{name} in\n{}", ended.stderr());
    }
    let files = std::fs::read_dir(dir.path().join("recordings")).expect("it recorded").flatten();
    let file = files.map(|file| file.path()).find(|file| file.extension().is_some_and(|end| end == "bdf"));
    let verify =
        Command::new(env!("CARGO_BIN_EXE_biosigd")).args(["verify", "--counter"]).arg(file.expect("a file")).output();
    let verify = verify.expect("it runs");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
    ended
}

/// One reload of a series, and the line that must come of it.
fn random_reload(rng: &mut Xorshift, last: &mut usize) -> (Vec<u8>, String) {
    let n = 1 + rng.below(200);
    // A limit of another size each time, above the clients of the test.
    let more = |n: usize| format!("[websocket]\nclients_max = {}\n", 8 + n);
    let bad = |config: String| (config.into_bytes(), "nothing was changed".to_owned());
    match rng.below(8) {
        0 => bad(config("[[chain.live.stage]]\nkind = \"notsh\"", "")),
        1 => bad(config("[[chain.live.stage]]\nkind = \"low_pass\"\ncorner_hz = 2500", &more(n))),
        2 => (vec![0xFF; n], "nothing was changed".to_owned()),
        3 => (format!("# {n}\n{}", config(&stages(*last), &more(*last))).into_bytes(), "nothing changed".to_owned()),
        _ => {
            let line = if n == *last { "nothing changed" } else { "reloaded; changed: " };
            *last = n;
            (config(&stages(n), &more(n)).into_bytes(), line.to_owned())
        }
    }
}

/// Numbers that are the same for the same seed (Marsaglia, "Xorshift RNGs", 2003).
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }
}

#[test]
fn a_hundred_reloads_cost_no_recorded_frame() {
    // `BIOSIGD_SEED` repeats a run that failed.
    let now = biosigd::rt::utc_now_ns() | 1;
    let seed = std::env::var("BIOSIGD_SEED").map_or(now, |text| text.parse().expect("a number"));
    println!("BIOSIGD_SEED={seed}");
    let (mut rng, mut last) = (Xorshift(seed), 6);
    let mut daemon = Daemon::start_with(&config(&stages(last), "[websocket]\nclients_max = 14\n"));
    let clients = [listen(&daemon), listen(&daemon)];
    for _ in 0..RELOADS {
        let (text, line) = random_reload(&mut rng, &mut last);
        daemon.reload(&text);
        daemon.line_with(&line);
        // Some come on each other's heels, others some blocks later, at any place within one.
        let so_far = daemon.status()["frames"].as_u64();
        let more = rng.below(240) as u64;
        daemon.wait_for("more frames", |status| status["frames"].as_u64() >= so_far.map(|frames| frames + more));
    }
    // Clients hear of the last one with the next block.
    let so_far = daemon.status()["frames"].as_u64();
    daemon.wait_for("two more blocks", |status| status["frames"].as_u64() >= so_far.map(|frames| frames + 80));
    let status = daemon.status();
    let rate_hz = status["streams"][1]["rate_hz"].as_f64();
    let ended = stop_and_verify(daemon);
    for client in clients {
        let heard = client.join().expect("the client found nothing wrong");
        assert!(heard.hellos > RELOADS / 8 || heard.given_up > 0, "{heard:?} in\n{}", ended.stderr());
        assert_eq!(heard.rates_hz.last().copied(), rate_hz, "the last hello is of the last file");
        assert!(heard.rates_hz.iter().any(|rate| *rate < 4000.0), "{heard:?}");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let good = config(&stages(2), "");
    let mut daemon = Daemon::start_with(&good);
    let before = daemon.status();
    for (bad, message) in [
        (config("[[chain.live.stage]]\nkind = \"notsh\"", ""), "no stage is called `notsh`; did you mean `notch`?"),
        (
            config("[[chain.live.stage]]\nkind = \"low_pass\"\ncorner_hz = 2500", ""),
            "corner_hz = 2500 must be below half the rate",
        ),
        ("[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nrate = 1".to_owned(), "unknown field `rate`"),
        ("[chain".to_owned(), ":1: "),
        (good.replace("order = 3", "order = \"steep\""), "order = \"steep\" must be"),
        (good.replace("order = 3", "corner_hz = nan"), "corner_hz = NaN must be"),
        (good.replace("from = \"live\"", "from = \"copy\""), "leads back to this chain"),
        (good.replace("from = \"live\"", "from = \"lve\""), "from = \"lve\" must be raw or a chain"),
        (good.replace("min_free_gb = 0", "stall_budget_s = inf"), "stall_budget_s = inf must be 0.1 to 3600"),
        (config("", "[acquire]\ncore = 1024\n"), "core = 1024"),
        (config("", "[process]\npriority = 100\n"), "priority = 100"),
        (config("", "[websocket]\nstreams = [\"lve\"]\n"), "there is no stream `lve`"),
        (good.replace("127.0.0.1:0", "0.0.0.0:0"), "can be reached from the network"),
        ("x".repeat(2 << 20), "the file is larger than 1 MiB"),
        // Right for the source that runs; a restart would refuse them.
        (
            config("[[chain.live.stage]]\nkind = \"low_pass\"\ncorner_hz = 500", "")
                .replace("\"counter\"", "\"counter\"\nrate_hz = 250"),
            "corner_hz = 500 must be below half the rate, 125",
        ),
        (good.replace("min_free_gb = 0", "min_free_gb = 0\nformat = \"edf\""), "16 bit"),
        (
            good.replace("\"counter\"", "\"counter\"\nn_channels = 1024")
                .replace("min_free_gb = 0", "stall_budget_s = 3600"),
            "is more than half of this machine's memory",
        ),
    ] {
        daemon.reload(bad.as_bytes());
        assert!(daemon.line_with(message).contains("rig.toml:"), "{message}");
        daemon.line_with("nothing was changed");
    }
    daemon.reload(&[0xFF, 0xFE]);
    daemon.line_with("not UTF-8");
    std::fs::remove_file(daemon.dir.path().join("rig.toml")).expect("it was there");
    daemon.signal(Signal::HUP);
    daemon.line_with("rig.toml cannot be read: No such file or directory (os error 2)");
    let next = daemon.line_with(": ");
    assert!(next.ends_with("nothing was changed"), "nothing was found in no file: {next}");
    let fifo = daemon.dir.path().join("rig.toml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    daemon.signal(Signal::HUP);
    daemon.line_with("rig.toml cannot be read: it is a pipe or a device, and has to be a file");
    daemon.line_with("nothing was changed");
    std::fs::remove_file(fifo).expect("it was there");
    std::fs::create_dir(daemon.dir.path().join("rig.toml")).expect("its name is free");
    daemon.signal(Signal::HUP);
    daemon.line_with("rig.toml cannot be read: Is a directory (os error 21)");
    daemon.line_with("nothing was changed");
    assert_eq!(daemon.status()["streams"][1]["rate_hz"], before["streams"][1]["rate_hz"]);
    daemon.assert_well();
    stop_and_verify(daemon);
}

/// Somebody without the right to read; root has every right.
#[test]
fn a_file_that_may_not_be_read_changes_nothing() {
    if common::is_root("a configuration without read permission") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let mut daemon = Daemon::start_with(&config(&stages(2), ""));
    let file = daemon.dir.path().join("rig.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).expect("our own");
    daemon.signal(Signal::HUP);
    daemon.line_with("rig.toml cannot be read: Permission denied (os error 13)");
    daemon.line_with("nothing was changed");
    daemon.assert_well();
    stop_and_verify(daemon);
}

/// What is a mistake for the source that runs may be right for the one that the file asks for.
#[test]
fn a_change_that_fits_another_source_alone_names_what_needs_a_restart() {
    let mut daemon = Daemon::start_with(&config(&stages(2), ""));
    let faster = config("[[chain.live.stage]]\nkind = \"low_pass\"\ncorner_hz = 2500", "");
    let faster = faster.replace("signal = \"counter\"", "signal = \"counter\"\nrate_hz = 8000");
    daemon.reload(faster.as_bytes());
    daemon.line_with("corner_hz = 2500 must be below half the rate");
    let line = daemon.line_with("need a restart: ");
    assert!(line.ends_with("the source that runs; these changes need a restart: source.rate_hz"), "{line}");
    daemon.line_with("nothing was changed");
    daemon.reload(config(&stages(2), "").replace("\"counter\"", "\"counter\"\nrate_hz = 8000").as_bytes());
    daemon.line_with("reloaded; changed: nothing");
    assert!(daemon.line_with("need a restart: ").ends_with(": source.rate_hz"));
    stop_and_verify(daemon);
}

#[test]
fn how_the_file_is_written_changes_nothing() {
    let mut daemon = Daemon::start_with(&config(&stages(2), ""));
    let client = listen(&daemon);
    for written in [
        format!("# The rig in room 3\n{}# end\n", config(&stages(2), "")),
        config(&stages(2), "[log]\n").replace('"', "'").replace(" = ", "="),
        config(
            &stages(2),
            "[log]\nlevel = \"info\"\n[acquire]\nblock_frames = \"auto\"\n[websocket]\nclients_max = 64\n",
        ),
        config(&stages(2), "").replace("2.0", "2").replace("order = 3", "order = 3 # steeper"),
    ] {
        daemon.reload(written.as_bytes());
        let line = daemon.line_with("reloaded; ");
        assert!(line.ends_with("reloaded; nothing changed"), "{line}");
    }
    let so_far = daemon.status()["frames"].as_u64();
    daemon.wait_for("two more blocks", |status| status["frames"].as_u64() >= so_far.map(|frames| frames + 80));
    stop_and_verify(daemon);
    let heard = client.join().expect("the client found nothing wrong");
    assert_eq!(heard.hellos, 1 + heard.given_up, "no chain was built anew");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_changes() {
    let mut daemon = Daemon::start_with(&config("", ""));
    let more = "[websocket]\nclients_max = 0\n[log]\nlevel = \"debug\"\n[acquire]\nblock_frames = 400\n";
    daemon.reload(config(&stages(2), more).replace("127.0.0.1:0", "127.0.0.1:1").as_bytes());
    assert!(daemon.line_with("reloaded; changed: ").contains("chain.live.stage, log.level, websocket.clients_max"));
    assert!(daemon.line_with("need a restart: ").ends_with("acquire.block_frames, http.listen"));
    let url = format!("ws://{}/v1/stream", daemon.address);
    let Err(refused) = tungstenite::client(url, daemon.connect()) else { panic!("no seat is left") };
    assert!(refused.to_string().contains("503"), "{refused}");
    daemon.reload(config(&stages(3), "").replace("[chain.copy]", "[chain.kopie]").as_bytes());
    assert!(daemon.line_with("need a restart: ").ends_with(": chain.copy, chain.kopie, chain.live.stage"));
    // A chain without any key is one too.
    daemon.reload(config(&stages(2), "[chain.bare]\n").as_bytes());
    assert!(daemon.line_with("need a restart: ").ends_with(": chain.bare"));
    stop_and_verify(daemon);
}

#[test]
fn a_storm_of_signals_and_a_stop_in_the_middle_of_it() {
    let daemon = Daemon::start_with(&config("", ""));
    for n in 0..300 {
        daemon.reload(config(&stages(n), "").as_bytes());
    }
    stop_and_verify(daemon);
}
