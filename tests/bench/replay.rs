//! The whole daemon as fast as it goes: a recording of 32 channels through high_pass 2 + notch + low_pass 4 to BDF+,
//! with one client of the stream; and what 32 channels x 4 kSPS cost in CPU time and memory at their own pace.
//! `cargo bench --bench replay`; `-- --quick` for fewer runs and a shorter one at its own pace.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::block::{Channel, Head, Stream, Tally};
use biosigd::format::{FileFormat, Values};
use biosigd::sink::recorder::{FileName, FileRecorder, Keep, RecorderPlan, Rotate};
use biosigd::sink::{PackedBlock, RawSink};

const N_CHANNELS: usize = 32;
const RATE_HZ: f64 = 4000.0;
const SECONDS: u64 = 600;

const CHAIN: &str = r#"
[chain.live]
[[chain.live.stage]]
kind = "high_pass"
order = 2
[[chain.live.stage]]
kind = "notch"
[[chain.live.stage]]
kind = "low_pass"
order = 4
[websocket]
streams = ["live"]
[recorder]
min_free_gb = 0
[http]
listen = "127.0.0.1:0"
"#;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (n_runs, paced) = if quick { (2, Duration::from_secs(10)) } else { (5, Duration::from_secs(30)) };
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let recording = make_recording(dir.path());
    let n_samples = SECONDS as f64 * RATE_HZ * N_CHANNELS as f64;
    println!("replay, speed = \"max\": {:.0} million samples, {n_runs} runs", n_samples / 1e6);
    let mut rates = Vec::new();
    for _ in 0..n_runs {
        let source =
            format!("[source]\nkind = \"replay\"\nspeed = \"max\"\nfile = {:?}\n", recording.display().to_string());
        let begin = Instant::now();
        let mut run = Run::start(dir.path(), &format!("{source}{CHAIN}"));
        let peak = run.watch(|_| false);
        assert!(run.daemon.wait().is_ok_and(|status| status.success()), "the daemon failed");
        let rate = n_samples / begin.elapsed().as_secs_f64() / 1e6;
        println!("  {rate:6.1} million samples/s, {:.1} MB resident after a quarter, {:.1} MB at most", peak.0, peak.1);
        rates.push(rate);
        std::fs::remove_dir_all(dir.path().join("recordings")).unwrap_or_else(|error| panic!("{error}"));
    }
    rates.sort_by(f64::total_cmp);
    println!("  median {:.1} million samples/s, start and end of the process included", rates[n_runs / 2]);

    println!("\n32 channels x 4 kSPS of the counter signal at its own pace, {} s, one client", paced.as_secs());
    let begin = Instant::now();
    let mut run = Run::start(dir.path(), &format!("[source]\nkind = \"synthetic\"\nsignal = \"counter\"\n{CHAIN}"));
    let peak = run.watch(|_| begin.elapsed() >= paced);
    let cpu = run.cpu_seconds();
    let elapsed_s = begin.elapsed().as_secs_f64();
    for (thread, seconds) in &cpu {
        println!("  {thread:<14} {:6.2} % of a core", seconds / elapsed_s * 100.0);
    }
    let road: f64 =
        cpu.iter().filter(|(thread, _)| thread != "main" && thread != "http").map(|(_, seconds)| seconds).sum();
    println!("  the road       {:6.2} % of a core; {:.1} MB resident at most", road / elapsed_s * 100.0, peak.1);
    run.stop();
}

/// A recording of `SECONDS`, made by the recorder itself.
fn make_recording(dir: &Path) -> std::path::PathBuf {
    let channels = (1..=N_CHANNELS).map(|i| Channel::microvolts_24_bit(&format!("Ch{i}"), 187_500.0)).collect();
    let stream = Stream { rate_hz: RATE_HZ, channels, block_frames_max: 4000, ratio: 1, delay_s: 0.0 };
    let plan = RecorderPlan {
        dir: dir.join("source"),
        stream,
        n_chips: 0,
        format: FileFormat::Bdf,
        values: Values::Codes,
        file_name: FileName::default(),
        rotate: Rotate::default(),
        keep: Keep::default(),
        min_free_bytes: 0,
        configuration: String::new(),
        source: serde_json::json!({}),
        session: "bench".to_owned(),
        software_version: "bench".to_owned(),
    };
    let mut recorder = FileRecorder::new(plan).unwrap_or_else(|error| panic!("{error}"));
    let mut noise = 1_u32;
    let codes: Vec<u8> = (0..4000 * N_CHANNELS * 3)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_le_bytes()[3]
        })
        .collect();
    let write = |recorder: &mut FileRecorder| {
        recorder.open(&Head::default())?;
        for second in 0..SECONDS {
            let head = Head { first_frame: second * 4000, n_frames: 4000, ..Head::default() };
            recorder.write(&PackedBlock { head, gap: Tally::default(), codes: &codes })?;
        }
        recorder.close(&Tally::default())
    };
    write(&mut recorder).unwrap_or_else(|error| panic!("{error}"));
    recorder.progress().file.unwrap_or_else(|| panic!("a file was written"))
}

/// A running daemon with one client that reads all it is sent.
struct Run {
    daemon: Child,
}

impl Run {
    fn start(dir: &Path, config: &str) -> Run {
        let file = dir.join("bench.toml");
        std::fs::write(&file, config).unwrap_or_else(|error| panic!("{error}"));
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_biosigd"));
        let mut daemon =
            daemon.arg("-c").arg(file).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{error}"));
        let mut lines = BufReader::new(daemon.stderr.take().unwrap_or_else(|| panic!("it is piped"))).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("look at http://").map(|(_, address)| address.trim_end_matches('/').to_owned())
        });
        let address = address.unwrap_or_else(|| panic!("the daemon ended before it said where to look"));
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        thread::spawn(move || {
            let socket = TcpStream::connect(&address).unwrap_or_else(|error| panic!("{error}"));
            let (client, _) = tungstenite::client(format!("ws://{address}/v1/stream"), socket)
                .unwrap_or_else(|error| panic!("{error}"));
            let mut socket = client.get_ref();
            let mut bytes = vec![0; 1 << 20];
            while socket.read(&mut bytes).is_ok_and(|n| n > 0) {}
        });
        Run { daemon }
    }

    /// Watches the resident memory until the daemon ends or `enough`; returns MB early on and at most.
    fn watch(&mut self, enough: impl Fn(&Run) -> bool) -> (f64, f64) {
        let (mut early, mut most, begin) = (0.0, 0.0_f64, Instant::now());
        while !enough(self) && matches!(self.daemon.try_wait(), Ok(None)) {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            let mb = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1e3;
            most = most.max(mb);
            if begin.elapsed() < Duration::from_millis(300) {
                early = mb;
            }
            thread::sleep(Duration::from_millis(20));
        }
        (early, most)
    }

    /// CPU seconds of each thread, by name.
    fn cpu_seconds(&self) -> Vec<(String, f64)> {
        let tick_hz = rustix::param::clock_ticks_per_second() as f64;
        let mut threads = Vec::new();
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.daemon.id())).unwrap_or_else(|error| panic!("{error}"));
        for task in tasks.flatten() {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let Some((before, after)) = stat.rsplit_once(')') else { continue };
            let name = before.split_once('(').map_or("", |(_, name)| name);
            let ticks: f64 =
                after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
            let name = if name == "biosigd" { "main" } else { name };
            threads.push((name.to_owned(), ticks / tick_hz));
        }
        threads
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap_or_else(|error| panic!("{error}"));
        assert!(self.daemon.wait().is_ok_and(|status| status.success()), "the daemon failed");
    }
}
