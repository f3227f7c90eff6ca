//! What the road costs: pool and link per block, and the way from a block's edge to the socket write, beside a bare
//! relay of the same shape and beside the pipeline that one writes first. `cargo bench --bench road`
//!
//! The three take turns of a few seconds, so that a busy machine slows them alike. Seconds of waiting are not work:
//! the whole takes a minute and a half, and a third of that with `-- --quick`.

#[path = "road/cost.rs"]
mod cost;
#[path = "road/naive.rs"]
mod naive;
#[path = "road/relay.rs"]
mod relay;
#[path = "../common/stages.rs"]
mod stages;

use std::hint::black_box;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use biosigd::block::{Pool, RawBlock};
use biosigd::config::{AutoOr, Document, Mistakes};
use biosigd::metrics::Metrics;
use biosigd::pipeline::{Acquire, Bell, Chain, Fanout, From, LINK_BLOCKS, Popped, Process, Progress, WhenFull, link};
use biosigd::rt::{self, Stop};
use biosigd::sink::websocket::{Feed, FeedKind, Feeds, Hub, HubSettings, Newcomer, Selection, Subscription};
use biosigd::source::synthetic::counter_code;
use biosigd::source::{self, Opening, Slack, Source};

use cost::Cost;

const N_CHANNELS: usize = 32;
const RATE_HZ: f64 = 4000.0;

/// What the road and the naive pipeline do to each block.
const STAGES: [(&str, &str); 2] = [("high_pass", "order = 2\ncorner_hz = 0.5"), ("notch", "freq_hz = 50.0")];

fn main() {
    let n_turns = if std::env::args().any(|argument| argument == "--quick") { 2 } else { 6 };
    println!("pool and link, one thread: {:.1} ns a block (median of 15 runs)", pool_and_link_ns());
    let (road_filters, naive_filters) = filter_rates();
    let (mut road, mut relayed, mut naive) = (Cost::default(), Cost::default(), Cost::default());
    for _ in 0..n_turns {
        road.add(measure_road);
        relayed.add(|| relay::measure(cost::TURN));
        naive.add(naive::measure);
    }
    println!("\nedge to socket write, 32 channels x 4 kSPS, blocks of 40 frames, one client, microseconds;");
    println!("CPU of all its threads (the client's not counted); allocations after the start; filter throughput");
    println!(
        "{:<28}{:>7}{:>9}{:>9}{:>9}{:>9}{:>8}{:>10}{:>10}",
        "", "blocks", "p50", "p90", "p99", "max", "CPU %", "allocs/s", "Msample/s"
    );
    let road = row("the road (high_pass, notch)", &mut road, Some(road_filters));
    let relayed = row("the bare relay", &mut relayed, None);
    let naive = row("the naive pipeline", &mut naive, Some(naive_filters));
    println!("ratio road/relay: p50 {:.2}, p99 {:.2}", road[0] / relayed[0], road[1] / relayed[1]);
    println!(
        "ratio naive/road: p50 {:.2}, p99 {:.2}, CPU {:.2}, allocations {:.0} to {:.0} a second, filters {:.2} times as slow",
        naive[0] / road[0],
        naive[1] / road[1],
        naive[2] / road[2],
        naive[3],
        road[3],
        road_filters / naive_filters
    );
}

/// Million samples a second through [`STAGES`] on one core: the road's stages with the copy into the chain's block, and
/// the naive filters with the conversion of codes and their fresh vector. Medians of runs taken in turns.
fn filter_rates() -> (f64, f64) {
    const BLOCKS: usize = 1500;
    let stream = stages::stream(N_CHANNELS, RATE_HZ, 40);
    let mut chain = STAGES.map(|(kind, keys)| stages::build(kind, keys));
    for stage in &mut chain {
        stage.prepare(&stream).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut naive = naive::Filters::new();
    let codes: Vec<i32> = (0..40 * N_CHANNELS as u64).map(|i| counter_code(i, 0)).collect();
    let input = stages::block(&stream, 0, &stages::signal(40, N_CHANNELS, RATE_HZ));
    let mut block = biosigd::block::Block::new(&stream, 40 * N_CHANNELS);
    let rate = |start: Instant| (BLOCKS * 40 * N_CHANNELS) as f64 / start.elapsed().as_secs_f64() / 1e6;
    let (mut road, mut naive_rates) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        let start = Instant::now();
        for n in 0..BLOCKS as u64 {
            block.copy(&input);
            block.head.first_frame = n * 40;
            chain.iter_mut().for_each(|stage| stage.process(black_box(&mut block)));
        }
        road.push(rate(start));
        let start = Instant::now();
        for _ in 0..BLOCKS {
            black_box(naive.filter(black_box(&codes)));
        }
        naive_rates.push(rate(start));
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    (median(road), median(naive_rates))
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
    let document = Document::parse("bench", "signal = \"counter\"").unwrap_or_else(|error| panic!("{error}"));
    let kind = source::KINDS.iter().find(|kind| kind.name == "synthetic").unwrap_or_else(|| panic!("it is a kind"));
    let plan = (kind.plan)(&document.root(), &mut mistakes).unwrap_or_else(|| panic!("{mistakes}"));
    let opening = Opening { base: Path::new(""), block_frames: AutoOr::Auto };
    plan.open(&opening).unwrap_or_else(|error| panic!("{error}"))
}

/// The daemon's own parts for one turn; returns each block's latency in nanoseconds.
fn measure_road() -> Vec<u64> {
    let metrics = Arc::new(Metrics::new("bench").unwrap_or_else(|error| panic!("{error}")));
    let source = synthetic();
    let raw = source.stream().clone();
    let (stop, progress) = (Arc::new(Stop::default()), || Arc::new(Progress::default()));
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(4096)));
    let stages = STAGES.map(|(kind, keys)| (kind.to_owned(), stages::build(kind, keys))).into();
    let mut chain =
        Chain::prepare("live", From::Raw, &raw, stages, &metrics).unwrap_or_else(|errors| panic!("{errors:?}"));
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
        cost::spawn("acquire", Some(acquire_core), Some(80), move || acquire.run()),
        cost::spawn("process", Some(process_core), Some(70), move || process.run()),
        cost::spawn("websocket", None, None, move || fanout.run()),
    ];
    cost::watch_turn();
    stop.set();
    for thread in threads {
        thread.join().unwrap_or_else(|_| panic!("a thread of the road panicked"));
    }
    reader.join().unwrap_or_else(|_| panic!("the client panicked"));
    std::mem::take(&mut *latencies.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
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

/// Prints a row; returns median, 99th percentile, CPU and allocations a second.
fn row(name: &str, cost: &mut Cost, filters: Option<f64>) -> [f64; 4] {
    cost.latencies_ns.sort_unstable();
    let latencies_ns = &cost.latencies_ns;
    let at = |part: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let place = ((latencies_ns.len() - 1) as f64 * part) as usize;
        latencies_ns[place] as f64 * 1e-3
    };
    let (cpu, allocations) = (cost.cpu_percent(), cost.allocations_per_s());
    let filters = filters.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    println!(
        "{name:<28}{:>7}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{cpu:>8.2}{allocations:>10.1}{filters:>10}",
        latencies_ns.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    [at(0.5), at(0.99), cpu, allocations]
}
