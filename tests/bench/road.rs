//! What the road costs: pool and link per block, and the way from a block's edge to the socket write beside a bare
//! relay of the same shape. `cargo bench --bench road`
//!
//! Road and relay take turns of a few seconds, so that a busy machine slows both. Seconds of waiting are not work:
//! the whole takes about a minute.

#[path = "road/relay.rs"]
mod relay;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use biosigd::block::{Pool, RawBlock};
use biosigd::config::{AutoOr, Document, Mistakes};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{Acquire, Bell, Chain, Fanout, From, LINK_BLOCKS, Popped, Process, Progress, WhenFull, link};
use biosigd::rt::{self, Role, Stop};
use biosigd::sink::websocket::{Feed, FeedKind, Feeds, Hub, HubSettings, Newcomer, Selection, Subscription};
use biosigd::source::{self, Opening, Slack, Source};
use biosigd::stage;

const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(4);

fn main() {
    println!("pool and link, one thread: {:.1} ns a block (median of 15 runs)", pool_and_link_ns());
    let (mut road, mut relayed) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        road.extend(measure_road());
        relayed.extend(relay::measure(TURN));
    }
    println!("\nedge to socket write, 32 channels x 4 kSPS, blocks of 40 frames, one client, microseconds");
    println!("{:<28}{:>8}{:>8}{:>8}{:>9}{:>9}", "", "blocks", "p50", "p90", "p99", "max");
    let road = percentiles("the road (high_pass, notch)", road);
    let relayed = percentiles("the bare relay", relayed);
    println!("ratio road/relay: p50 {:.2}, p99 {:.2}", road.0 / relayed.0, road.1 / relayed.1);
}

/// Takes a slab, shares it, sends it through a link, takes it out, lets it go.
fn pool_and_link_ns() -> f64 {
    const BLOCKS: u32 = 1_000_000;
    let metrics = Metrics::new("bench").unwrap_or_else(|error| panic!("{error}"));
    let stream = synthetic().stream().clone();
    let mut runs: Vec<f64> = (0..15)
        .map(|_| {
            let mut pool = Pool::new(LINK_BLOCKS + 2, || RawBlock::new(&stream, 0));
            let (sender, receiver) = link("bench", WhenFull::DropNewest, Bell::Thread, &metrics);
            let start = Instant::now();
            for n in 0..u64::from(BLOCKS) {
                let Some((block, ())) = pool.fill(|block| block.head.first_frame = n) else {
                    panic!("no slab is free")
                };
                sender.send(block, &|| Slack::Forever);
                assert!(matches!(receiver.pop(), Popped::Block(block) if block.head.first_frame == n));
            }
            start.elapsed().as_nanos() as f64 / f64::from(BLOCKS)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn synthetic() -> Box<dyn Source> {
    let mut mistakes = Mistakes::new("bench");
    let document = Document::parse("bench", "signal = \"eeg\"").unwrap_or_else(|error| panic!("{error}"));
    let kind = source::KINDS.iter().find(|kind| kind.name == "synthetic").unwrap_or_else(|| panic!("it is a kind"));
    let plan = (kind.plan)(&document.root(), &mut mistakes).unwrap_or_else(|| panic!("{mistakes}"));
    let opening = Opening { base: Path::new(""), block_frames: AutoOr::Auto };
    plan.open(&opening).unwrap_or_else(|error| panic!("{error}"))
}

fn stages() -> Vec<(String, Box<dyn stage::Stage>)> {
    let mut mistakes = Mistakes::new("bench");
    let stages = ["high_pass", "notch"].map(|name| {
        let document = Document::parse("bench", "").unwrap_or_else(|error| panic!("{error}"));
        let kind = stage::KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("it is a kind"));
        let built = (kind.build)(&document.root(), &mut mistakes).unwrap_or_else(|| panic!("{name} has defaults"));
        (name.to_owned(), built)
    });
    stages.into()
}

/// The daemon's own parts for one turn; returns each block's latency in nanoseconds.
fn measure_road() -> Vec<u64> {
    let metrics = Arc::new(Metrics::new("bench").unwrap_or_else(|error| panic!("{error}")));
    let source = synthetic();
    let raw = source.stream().clone();
    let (stop, progress) = (Arc::new(Stop::default()), || Arc::new(Progress::default()));
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(4096)));
    let mut chain =
        Chain::prepare("live", From::Raw, &raw, stages(), &metrics).unwrap_or_else(|errors| panic!("{errors:?}"));
    let feed = Feed { id: 1, name: "live".to_owned(), kind: FeedKind::Units, stream: chain.stream().clone() };
    let noted = Arc::clone(&latencies);
    let hub = Hub::new(HubSettings {
        feeds: Feeds::new(vec![feed]),
        session: serde_json::json!({}),
        clients_max: 1,
        buffer_bytes_max: 1 << 20,
        handed_over: Box::new(move |_, edge_ns| {
            let latency_ns = rt::now_ns().saturating_sub(edge_ns);
            noted.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(latency_ns);
        }),
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let (door, bell) = (hub.door(), hub.door());
    let bell = Bell::Call(Box::new(move || bell.ring()));
    let (to_clients, from_process) = link("websocket.live", WhenFull::DropOldest, bell, &metrics);
    chain.send_to(to_clients);
    let (to_process, from_acquire) = link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let process = Process::new(&raw, from_acquire, None, vec![chain], progress(), &metrics);
    let acquire =
        Acquire::new(source, 16, None, to_process, Arc::clone(&stop), (progress(), progress()), Arc::clone(&metrics));
    let fanout = Fanout::new(vec![("live".to_owned(), from_process)], hub, Arc::clone(&metrics));

    let (client, server) = socket_pair();
    let seat = door.seat().unwrap_or_else(|| panic!("the first client has a seat"));
    let subscription = Subscription { selections: vec![Selection { feed: 0, channels: None }] };
    door.admit(Newcomer { socket: server, early: Vec::new(), subscription, seat });
    let reader = drain(client);
    let (acquire_core, process_core) = rt::choose_cores(&rt::Cores::of_this_machine(), None, None);
    let threads = [
        spawn("acquire", Some(acquire_core), Some(80), move || acquire.run()),
        spawn("process", Some(process_core), Some(70), move || process.run()),
        spawn("websocket", None, None, move || fanout.run()),
    ];
    thread::sleep(TURN);
    stop.set();
    for thread in threads {
        thread.join().unwrap_or_else(|_| panic!("a thread of the road panicked"));
    }
    reader.join().unwrap_or_else(|_| panic!("the client panicked"));
    std::mem::take(&mut *latencies.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// Starts a thread as the daemon would; what is refused costs the road and the relay alike.
fn spawn(
    name: &'static str,
    core: Option<usize>,
    priority: Option<i32>,
    work: impl FnOnce() + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        drop(rt::enter(&Role { name, core, priority }));
        work();
    })
}

/// Two connected sockets on loopback, the server's one non-blocking.
fn socket_pair() -> (TcpStream, TcpStream) {
    let pair = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        server.set_nonblocking(true)?;
        Ok::<_, std::io::Error>((client, server))
    };
    pair().unwrap_or_else(|error| panic!("loopback: {error}"))
}

/// A client that reads everything and looks at nothing.
fn drain(mut socket: TcpStream) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while socket.read(&mut bytes).is_ok_and(|n| n > 0) {}
    })
}

/// Prints a row; returns the median and the 99th percentile in microseconds.
fn percentiles(name: &str, mut latencies_ns: Vec<u64>) -> (f64, f64) {
    latencies_ns.sort_unstable();
    let at = |part: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = ((latencies_ns.len() - 1) as f64 * part) as usize;
        latencies_ns[place] as f64 * 1e-3
    };
    println!("{name:<28}{:>8}{:>8.1}{:>8.1}{:>9.1}{:>9.1}", latencies_ns.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    (at(0.5), at(0.99))
}
