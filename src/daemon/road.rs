//! Puts the road together: links, threads, and the order in which they begin.

use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use super::backlog::Backlog;
use super::converter::Converter;
use super::events::Events;
use super::http::{self, Context, Health};
use super::load::Loaded;
use super::room::Room;
use super::{Failure, recorder, sizes};
use crate::block::Stream;
use crate::config::AutoOr;
use crate::pipeline::{self as line, Bell, Ledger, Progress, RecordingStatus, WhenFull};
use crate::rt::{self, Refused, Role, Stop};
use crate::sink::LiveBlock;
use crate::sink::websocket::{Feed, FeedKind, Feeds, Hub, HubSettings};
use crate::source::{Fate, Pace, Slack, Source};

/// Stack of a thread. Locked memory counts all of it, and no thread here recurses.
const STACK_BYTES: usize = 512 * 1024;

/// A running road.
pub(super) struct Road {
    pub(super) context: Arc<Context>,
    pub(super) raw: Stream,
    /// The threads whose loops turn as long as the daemon lives, and when they last did.
    pub(super) loops: Vec<(&'static str, Arc<Progress>)>,
    pub(super) stop: Arc<Stop>,
    /// In the order in which they end.
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) http: http::Server,
    pub(super) refused: Vec<Refused>,
    /// Rings when a thread has ended.
    pub(super) ended: UnixStream,
    pub(super) bell: UnixStream,
    /// Where chains are exchanged, and the thread that does it.
    pub(super) exchange: Arc<line::Exchange>,
    pub(super) process: thread::Thread,
    pub(super) fate: Fate,
}

/// One thread that is to begin with all others.
struct Starter {
    gate: Arc<Barrier>,
    refused: mpsc::Sender<Vec<Refused>>,
    bell: UnixStream,
    threads: Vec<JoinHandle<()>>,
}

impl Starter {
    /// Makes a thread, which takes its role at once and its work when the gate opens.
    fn spawn(&mut self, role: Role, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
        let (gate, refused) = (Arc::clone(&self.gate), self.refused.clone());
        let bell =
            self.bell.try_clone().map_err(|source| Failure::System { what: "no file descriptor is left", source })?;
        let thread = thread::Builder::new().name(role.name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            // Rings when dropped, also when the thread panics.
            let _bell = RingsWhenDropped(bell);
            // The other end waits for every thread's report before it opens the gate.
            drop(refused.send(rt::enter(&role)));
            drop(refused);
            gate.wait();
            work();
        });
        self.threads.push(thread.map_err(|source| Failure::System { what: "no thread can be made", source })?);
        Ok(())
    }
}

impl Starter {
    /// The thread that was made last.
    fn last_thread(&self) -> Result<thread::Thread, Failure> {
        let thread = self.threads.last().map(|thread| thread.thread().clone());
        thread.ok_or_else(|| Failure::Internal("no thread was made".to_owned()))
    }
}

struct RingsWhenDropped(UnixStream);

impl Drop for RingsWhenDropped {
    fn drop(&mut self) {
        // `main` looks at its threads every second in any case.
        drop(std::io::Write::write(&mut &self.0, &[0]));
    }
}

/// Builds everything and starts it; requests are answered at `port`.
pub(super) fn start(loaded: Loaded, port: http::Port, session: &str) -> Result<Road, Failure> {
    let source_about = loaded.about_source();
    let Loaded { settings, metrics, raw, n_chips, recordings, fallback, mut source, mut chains, .. } = loaded;
    let (stop, recording) = (Arc::new(Stop::default()), Arc::new(Mutex::new(RecordingStatus::default())));
    let progress = || Arc::new(Progress::default());
    let (acquire_turn, acquire_progress, process_progress) = (progress(), progress(), progress());
    let (intake_turn, disk_progress) = (progress(), progress());
    let (bell, ended) = UnixStream::pair().map_err(|source| Failure::System { what: "no socket pair", source })?;
    for end in [&bell, &ended] {
        end.set_nonblocking(true).map_err(|source| Failure::System { what: "a socket stays blocking", source })?;
    }

    let converter = Converter::of(&*source);
    if let Some(converter) = converter.clone() {
        let watched = metrics.watch_converter(move || converter.look());
        watched.map_err(|error| Failure::Internal(error.to_string()))?;
    }

    // The live stream: the hub, and one link for each stream that clients can ask for.
    let feeds = feeds(&loaded.streams, &raw, &chains);
    let about = json!({"session": session, "version": env!("CARGO_PKG_VERSION"), "source": source_about});
    let latencies: Vec<prometheus::Histogram> = feeds
        .iter()
        .map(|feed| metrics.block_latency.with_label_values(&[&format!("websocket.{}", feed.name)]))
        .collect();
    let shared_feeds = Feeds::new(feeds.clone());
    let hub = Hub::new(HubSettings {
        feeds: shared_feeds.clone(),
        session: about.clone(),
        clients_max: settings.websocket.clients_max,
        buffer_bytes_max: settings.websocket.client_buffer_kib * 1024,
        handed_over: Box::new(move |stream, edge_ns| {
            latencies[stream].observe(rt::now_ns().saturating_sub(edge_ns) as f64 * 1e-9);
        }),
    })
    .map_err(|source| Failure::System { what: "no poller can be made", source })?;
    let door = hub.door();
    let mut live_links = Vec::new();
    let mut raw_out = None;
    for feed in &feeds {
        let ring = door.clone();
        let name = format!("websocket.{}", feed.name);
        let bell = Bell::Call(Box::new(move || ring.ring()));
        let (sender, receiver) = line::link::<LiveBlock>(&name, WhenFull::DropOldest, bell, &metrics);
        live_links.push((feed.name.clone(), receiver));
        match chains.iter_mut().find(|chain| chain.name() == feed.name) {
            Some(chain) => chain.send_to(sender),
            None => raw_out = Some(sender),
        }
    }

    // The roles. Only a clock or a converter justifies real-time priority: two busy FIFO threads starve a small machine.
    let paced = source.pace() == Pace::Clock;
    let fixed = |core: AutoOr<usize>| match core {
        AutoOr::Auto => None,
        AutoOr::Value(core) => Some(core),
    };
    let cores = rt::choose_cores(&loaded.cores, fixed(settings.acquire.core), fixed(settings.process.core));
    let role =
        |name, core: Option<usize>, priority: Option<i32>| Role { name, core, priority: priority.filter(|_| paced) };

    let dirs: Vec<&std::path::Path> = std::iter::once(recordings.as_path()).chain(fallback.as_deref()).collect();
    let sinks = recorder::sinks(&loaded.text, &settings, (&raw, n_chips), &dirs, &about, session)?;
    let (events, markers) = Events::new(door.clone(), settings.records());
    let events = Arc::new(events);
    let n_threads = 3 + if settings.records() { 2 } else { 0 };
    let (refused, reports) = mpsc::channel();
    let gate = Arc::new(Barrier::new(n_threads + 1));
    let ring_bell =
        bell.try_clone().map_err(|source| Failure::System { what: "no file descriptor is left", source })?;
    let mut starter = Starter { gate, refused, bell: ring_bell, threads: Vec::new() };

    let (to_process, from_acquire) = line::link("process", WhenFull::DropNewest, Bell::Thread, &metrics);
    let process_ledger = Ledger::new(&metrics, "process");
    let mut ledgers = vec![process_ledger];
    let mut loops = vec![("acquire", Arc::clone(&acquire_turn))];
    let mut to_recorder = None;
    let mut control = None;
    if let Some(markers) = markers {
        let recorder = recorder::build(
            sinks,
            &settings,
            (&raw, n_chips),
            source.slack(),
            markers,
            (Arc::clone(&intake_turn), Arc::clone(&disk_progress)),
            Arc::clone(&recording),
            &metrics,
        );
        let (intake, disk) = (recorder.intake, recorder.disk);
        to_recorder = Some(recorder.link);
        loops.push(("record-intake", Arc::clone(&intake_turn)));
        starter
            .spawn(role("record-intake", None, Some((settings.process.priority - 10).max(1))), move || intake.run())?;
        ledgers.push(recorder.ledger);
        starter.spawn(role("record-disk", None, None), move || disk.run())?;
        recorder.control.attach(starter.last_thread()?);
        events.attach(starter.last_thread()?);
        control = Some(recorder.control);
    }
    ledgers.extend(feeds.iter().map(|feed| Ledger::new(&metrics, &format!("websocket.{}", feed.name))));

    let process = line::Process::new(&raw, from_acquire, raw_out, chains, Arc::clone(&process_progress), &metrics);
    let (exchange, edges) = (process.exchange(), process.edges());
    starter.spawn(role("process", Some(cores.1), Some(settings.process.priority)), move || process.run())?;
    let process = starter.last_thread()?;
    let fanout = line::Fanout::new(live_links, hub, Arc::clone(&metrics));
    starter.spawn(role("websocket", None, None), move || fanout.run())?;
    let from_source = Arc::clone(&events);
    source.connect(Box::new(move |marker| from_source.send(marker)));
    let (fate, slack) = (source.fate(), source.slack());
    let block_s = raw.block_frames_max as f64 / raw.rate_hz;
    let acquire = line::Acquire::new(
        source,
        sizes::RAW_SLABS,
        to_recorder,
        to_process,
        Arc::clone(&stop),
        (Arc::clone(&acquire_turn), Arc::clone(&acquire_progress)),
        Arc::clone(&metrics),
    );
    starter.spawn(role("acquire", Some(cores.0), Some(settings.acquire.priority)), move || acquire.run())?;

    // A recording that is read ahead waits when the ring is full: its backlog is no bad sign.
    let warns = settings.records() && slack != Slack::Forever;
    let backlog = to_option(warns, Arc::new(Backlog::new(&metrics, settings.recorder.stall_budget_s)));
    let spelling = (settings.recorder.format, settings.recorder.csv_values);
    let bytes_per_s = sizes::bytes_per_s(&raw, n_chips, spelling);
    let room = Room::new(&metrics, bytes_per_s, raw.rate_hz, settings.recorder.min_free_gb);
    let health = Health::new(
        block_s,
        acquire_progress,
        process_progress,
        to_option(settings.records(), disk_progress),
        &converter,
        &backlog,
    );
    let context = Arc::new(Context {
        metrics,
        ledgers,
        feeds: shared_feeds,
        door,
        recording: Arc::clone(&recording),
        about,
        control,
        events,
        edges,
        is_paced: paced,
        recordings: dirs.iter().map(|dir| dir.to_path_buf()).collect(),
        readers: Arc::default(),
        stop_most: Duration::from_secs_f64(settings.recorder.stall_budget_s) + super::run::DRAIN_GRACE,
        health,
        backlog,
        room: to_option(settings.records(), room),
        converter,
        draining: std::sync::atomic::AtomicBool::new(false),
        hosts: settings.http.hosts.clone(),
        access: http::Access::new(settings.token.map(|found| found.token)),
    });
    let http = http::Server::start(Arc::clone(&context), port)?;
    let mut refused: Vec<Refused> = (0..n_threads).flat_map(|_| reports.recv().unwrap_or_default()).collect();
    // Everything is allocated: now it can be locked.
    if paced {
        refused.extend(rt::lock_memory().err());
    }
    if settings.daemon.strict {
        if let Some(first) = refused.first() {
            // Nothing has begun: the process ends with its threads at the gate.
            return Err(Failure::Strict(first.clone()));
        }
    }
    starter.gate.wait();
    Ok(Road {
        context,
        raw,
        loops,
        stop,
        threads: starter.threads,
        http,
        refused,
        ended,
        bell,
        exchange,
        process,
        fate,
    })
}

fn to_option<T>(there: bool, value: T) -> Option<T> {
    there.then_some(value)
}

pub(super) fn feeds(streams: &[String], raw: &Stream, chains: &[line::Chain]) -> Vec<Feed> {
    let mut feeds = Vec::new();
    for name in streams {
        let place = chains.iter().position(|chain| chain.name() == name);
        // The id is the stream's place among all, so that it stays when the list is shortened.
        let id = u8::try_from(place.map_or(0, |place| place + 1)).unwrap_or(u8::MAX);
        let (kind, stream) = match place {
            Some(place) => (FeedKind::Units, chains[place].stream().clone()),
            None => (FeedKind::Codes, raw.clone()),
        };
        feeds.push(Feed { id, name: name.clone(), kind, stream });
    }
    feeds
}

/// How long a source can be kept waiting, for people.
pub(super) fn slack_text(source: &dyn Source) -> String {
    match source.slack() {
        Slack::Forever => "can be kept waiting for ever".to_owned(),
        Slack::For(Duration::ZERO) => "cannot be kept waiting".to_owned(),
        Slack::For(time) => format!("can be kept waiting for {:.3} s", time.as_secs_f64()),
    }
}
