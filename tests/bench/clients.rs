//! 64 clients of the whole daemon at full rate on loopback: 32 channels x 4 kSPS, recorded, each client with `raw` and
//! `live`. Every client checks that its frames follow each other or that the header says how many are missing, and
//! every code of `raw`. `cargo bench --bench clients`, or with `-- --quick`.

#[path = "../common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::source::synthetic::counter_code;
use common::Daemon;
use tungstenite::Message;

const N_CLIENTS: usize = 64;

const CONFIG: &str = "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\n[chain.live]\n[[chain.live.stage]]\nkind = \"high_pass\"\n\
     [[chain.live.stage]]\nkind = \"notch\"\n[recorder]\nmin_free_gb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// What one client saw of one stream.
#[derive(Clone, Copy, Default)]
struct Seen {
    next_frame: Option<u64>,
    frames: u64,
    missing: u64,
}

fn main() {
    let seconds = if std::env::args().any(|argument| argument == "--quick") { 10 } else { 30 };
    let daemon = Daemon::start_with(CONFIG);
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..N_CLIENTS)
        .map(|_| {
            let url = format!("ws://{}/v1/stream?streams=raw,live", daemon.address);
            let (client, _) = tungstenite::client(url, daemon.connect()).unwrap_or_else(|error| panic!("{error}"));
            let over = Arc::clone(&over);
            thread::spawn(move || read(client, &over))
        })
        .collect();
    daemon.wait_for("all clients", |status| status["clients"].as_u64() == Some(N_CLIENTS as u64));
    let (begin, cpu_before) = (Instant::now(), cpu_seconds(daemon.pid()));
    while begin.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(100));
    }
    let cpu = (cpu_seconds(daemon.pid()) - cpu_before) / begin.elapsed().as_secs_f64() * 100.0;
    // Each takes what is on its way to it and says goodbye, so that nothing waits for it any more.
    over.store(true, Ordering::SeqCst);
    let seen: Vec<[Seen; 2]> =
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| panic!("a client failed"))).collect();
    let status = daemon.status();
    let (ended, _dir) = daemon.stop();
    ended.assert_no_panic();
    println!("{N_CLIENTS} clients with raw and live, 32 channels x 4 kSPS, {seconds} s");
    println!("  the daemon          {cpu:.1} % of a core (the clients share the machine's cores with it)");
    for (stream, name) in ["raw", "live"].iter().enumerate() {
        let frames: u64 = seen.iter().map(|seen| seen[stream].frames).sum();
        let missing: u64 = seen.iter().map(|seen| seen[stream].missing).sum();
        let whole = seen.iter().filter(|seen| seen[stream].missing == 0).count();
        println!(
            "  {name:<5} {frames:>11} frames received, {missing} missing and said so; {whole} of {N_CLIENTS} clients miss none"
        );
        assert!(seen.iter().all(|seen| seen[stream].frames > 0), "a client saw nothing of {name}");
    }
    println!("  clients' ledgers    {}, {}", status["ledger"]["websocket.raw"], status["ledger"]["websocket.live"]);
    for (name, expected, delivered, lost) in ended.ledgers() {
        println!("  {name:<19} {expected} expected, {delivered} delivered, {lost} lost");
        assert_eq!(expected, delivered + lost, "{name}");
        assert!(name != "recorder" || lost == 0, "the recorder lost {lost} frames");
    }
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());
}

/// Reads and checks until told to stop.
fn read(mut client: tungstenite::WebSocket<std::net::TcpStream>, over: &AtomicBool) -> [Seen; 2] {
    let mut seen = [Seen::default(); 2];
    while !over.load(Ordering::SeqCst) {
        let Message::Binary(bytes) = client.read().unwrap_or_else(|error| panic!("{error}")) else { continue };
        let number =
            |at: usize, n: usize| bytes[at..at + n].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let (first_frame, n_frames, n_channels) = (number(8, 8), number(24, 2), number(26, 2));
        let is_raw = bytes[5] == 0;
        let stream = &mut seen[usize::from(!is_raw)];
        if let Some(next_frame) = stream.next_frame {
            assert_eq!(first_frame - next_frame, number(28, 4), "what is missing is said exactly");
            stream.missing += first_frame - next_frame;
        }
        stream.next_frame = Some(first_frame + n_frames);
        stream.frames += n_frames;
        if is_raw {
            let codes =
                bytes[32..].chunks_exact(4).map(|code| i32::from_le_bytes([code[0], code[1], code[2], code[3]]));
            let frames = first_frame..first_frame + n_frames;
            let channels = usize::try_from(n_channels).unwrap_or(0);
            let right = frames.flat_map(|frame| (0..channels).map(move |channel| counter_code(frame, channel)));
            assert!(codes.eq(right), "a code of frames {first_frame} and later is wrong");
        }
    }
    seen
}

/// CPU time of all threads of a process (proc(5), `stat`).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>();
    ticks / rustix::param::clock_ticks_per_second() as f64
}
