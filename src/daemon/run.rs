//! The daemon's life: starts the road, watches it, drains it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use super::backlog::Line;
use super::converter::Told;
use super::load::{Loaded, chosen, load};
use super::reload::Reloader;
use super::road::{self, Road};
use super::systemd::Systemd;
use super::{Failure, http, log, plan};
use crate::block::{Account, Cause};
use crate::pipeline::{Ledger, Order};
use crate::rt::utc_now_ns;

/// How often the supervisor looks while it waits for threads to end: a thread rings just before it has ended.
const LAST_LOOKS: Duration = Duration::from_millis(10);

/// What the drain may take beyond the stall budget.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(10);

/// Losses that are no further apart than this are one episode, with one log line.
const EPISODE: Duration = Duration::from_secs(10);

/// Runs the daemon until a signal or the end of its source.
pub(super) fn run(file: Option<&Path>) -> Result<(), Failure> {
    let file = chosen(file);
    let mut log = None;
    let mut loaded = load(file.as_deref(), |level| log = Some(log::start(level)))?;
    let asked = Asked::register()?;
    let port = http::Port::listen(loaded.settings.listen)?;
    greet(&loaded);
    let proven = loaded.prove(&asked.stop);
    if asked.to_stop() {
        tracing::info!("asked to stop before it began: nothing was read, nothing is recorded");
        return Ok(());
    }
    proven?;
    show_the_way(&loaded, port.address);
    let drain = Duration::from_secs_f64(loaded.settings.recorder.stall_budget_s) + DRAIN_GRACE;
    let session = format!("{:016x}-{}", utc_now_ns(), std::process::id());
    let streams = loaded.streams.clone();
    let mut reloader = Reloader::new(file, &loaded.text, (loaded.raw.clone(), loaded.n_chips), streams, log);
    let road = road::start(loaded, port, &session)?;
    for refused in &road.refused {
        tracing::warn!("{refused}");
    }
    asked.ring_with(&road)?;
    let mut systemd = Systemd::new(road.loops.clone());
    watch(&road, &asked, &mut reloader, &mut systemd);
    drain_road(road, drain, &asked, &mut systemd)
}

/// What signals ask for.
struct Asked {
    /// Set by the signal handler, read by `main`. The handler and this thread are ordered by the bell that the
    /// handler rings after it; `SeqCst` costs nothing once a second.
    stop: Arc<AtomicBool>,
    /// As `stop`; taken back by `main` when it begins to reload, so that a hundred signals are one reload or two.
    reload: Arc<AtomicBool>,
    /// As `reload`: the recording goes on in another file.
    rotate: Arc<AtomicBool>,
}

impl Asked {
    fn register() -> Result<Asked, Failure> {
        let asked = Asked { stop: Arc::default(), reload: Arc::default(), rotate: Arc::default() };
        let flags = [(SIGTERM, &asked.stop), (SIGINT, &asked.stop), (SIGHUP, &asked.reload), (SIGUSR1, &asked.rotate)];
        for (signal, flag) in flags {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|source| Failure::System { what: "a signal cannot be caught", source })?;
        }
        Ok(asked)
    }

    /// Lets every signal wake the supervisor as well.
    fn ring_with(&self, road: &Road) -> Result<(), Failure> {
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
            let bell = road
                .bell
                .try_clone()
                .map_err(|source| Failure::System { what: "no file descriptor is left", source })?;
            signal_hook::low_level::pipe::register(signal, bell)
                .map_err(|source| Failure::System { what: "a signal cannot be caught", source })?;
        }
        Ok(())
    }

    fn to_reload(&self) -> bool {
        self.reload.swap(false, Ordering::SeqCst)
    }

    fn to_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// As [`Asked::to_stop`], taken back, so that the next time is told from this one.
    fn to_stop_anew(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }
}

/// Says what is about to be proven.
fn greet(loaded: &Loaded) {
    let raw = &loaded.raw;
    tracing::info!("biosigd {}, configuration: {}", env!("CARGO_PKG_VERSION"), loaded.name);
    tracing::info!(
        "source {}: {} at {} Hz, blocks of {} frames; it {}",
        plan::source(loaded),
        plan::channels(loaded),
        raw.rate_hz,
        raw.block_frames_max,
        road::slack_text(&*loaded.source)
    );
    if raw.is_simulated() {
        tracing::warn!("the source is simulated: nothing of what is shown and recorded was measured");
    }
}

/// Says where the page is, and where recordings go: only once the converter has proven itself.
fn show_the_way(loaded: &Loaded, address: SocketAddr) {
    let settings = &loaded.settings;
    tracing::info!("look at http://{address}/");
    if let Some(token) = &settings.token {
        tracing::info!("every request needs the token in {}", token.path.display());
    }
    if settings.records() {
        tracing::info!("recordings go to {}: {}", loaded.recordings.display(), plan::disk(loaded));
    } else {
        tracing::info!("the recorder is off: nothing is kept");
    }
}

/// Returns when the road should be drained: asked to, or a thread has ended.
fn watch(road: &Road, asked: &Asked, reloader: &mut Reloader, systemd: &mut Systemd) {
    let mut episodes: Vec<Episode> = road.context.ledgers.iter().map(Episode::new).collect();
    let mut told = Told::default();
    while !asked.to_stop() && !road.threads.iter().any(std::thread::JoinHandle::is_finished) {
        wait(road, systemd.every());
        if asked.to_reload() && !asked.to_stop() {
            systemd.reloading();
            reloader.reload(road);
            systemd.reloaded();
        }
        if asked.rotate.swap(false, Ordering::SeqCst) {
            // What comes of it is in the log; there is nobody to answer.
            let asked = road.context.control.as_ref().and_then(|control| control.ask(Order::Rotate));
            if asked.is_none() {
                tracing::warn!("SIGUSR1: there is no recorder that could begin another file");
            }
        }
        match road.context.backlog.as_ref().and_then(|backlog| backlog.look()) {
            Some(Line::Info(line)) => tracing::info!("{line}"),
            Some(Line::Warn(line)) => tracing::warn!("{line}"),
            Some(Line::Error(line)) => tracing::error!("{line}"),
            None => {}
        }
        systemd.look(road);
        for (episode, ledger) in episodes.iter_mut().zip(&road.context.ledgers) {
            episode.look(ledger);
        }
        if let Some(converter) = &road.context.converter {
            told.news(converter.look()).iter().for_each(|line| tracing::warn!("{line}"));
        }
    }
}

/// Waits until a thread ends or a signal comes, at most for `most`.
fn wait(road: &Road, most: Duration) {
    let mut fds = [PollFd::new(&road.ended, PollFlags::IN)];
    let most = Timespec::try_from(most).ok();
    // An interrupted wait is a look that comes early; any other error would come at once each time.
    if poll(&mut fds, most.as_ref()).is_err_and(|error| error != rustix::io::Errno::INTR) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut rings = [0; 64];
    drop(std::io::Read::read(&mut &road.ended, &mut rings));
}

/// One consumer's losses, so that a run of them is told once.
struct Episode {
    seen: Account,
    last_loss: Option<Instant>,
}

impl Episode {
    fn new(ledger: &Ledger) -> Episode {
        Episode { seen: ledger.account(), last_loss: None }
    }

    fn look(&mut self, ledger: &Ledger) {
        let account = ledger.account();
        let lost = account.lost.since(&self.seen.lost);
        self.seen = account;
        if lost.total() == 0 {
            return;
        }
        let goes_on = self.last_loss.is_some_and(|at| at.elapsed() < EPISODE);
        self.last_loss = Some(Instant::now());
        if !goes_on {
            tracing::warn!(
                "{} loses frames: {}; {} in all so far",
                ledger.consumer(),
                causes(&lost),
                account.lost.total()
            );
        }
    }
}

fn causes(lost: &crate::block::Tally) -> String {
    let causes: Vec<String> = lost
        .iter()
        .filter(|(_, n_frames)| *n_frames > 0)
        .map(|(cause, n_frames)| format!("{n_frames} {}", cause.name()))
        .collect();
    if causes.is_empty() { "none".to_owned() } else { causes.join(", ") }
}

/// Stops the source, lets the links run empty, finishes files and clients, and tells the final ledgers. After `most`,
/// or when it is asked again, what is not done by then is lost and counted.
fn drain_road(mut road: Road, most: Duration, asked: &Asked, systemd: &mut Systemd) -> Result<(), Failure> {
    // Taken before anyone is told: whoever answers that line with a signal asks a second time. A source that has ended
    // drains without being asked.
    let mut was_asked = asked.to_stop_anew();
    systemd.stopping();
    tracing::info!("stopping: the links run empty, at most {} s", most.as_secs());
    road.context.draining.store(true, Ordering::Relaxed);
    road.stop.set();
    let deadline = Instant::now() + most;
    let mut within = format!("within {} s", most.as_secs());
    while Instant::now() < deadline && !road.threads.iter().all(std::thread::JoinHandle::is_finished) {
        if asked.to_stop_anew() && std::mem::replace(&mut was_asked, true) {
            tracing::warn!("asked to stop a second time: it ends at once");
            "before it was asked to stop a second time".clone_into(&mut within);
            break;
        }
        wait(&road, LAST_LOOKS);
        systemd.beat();
    }
    let mut died = Vec::new();
    let mut stuck = Vec::new();
    for thread in road.threads.drain(..) {
        let name = thread.thread().name().unwrap_or("?").to_owned();
        if !thread.is_finished() {
            stuck.push(name);
        } else if thread.join().is_err() {
            died.push(name);
        }
    }
    road.http.stop();
    let mut unwritten = 0;
    for ledger in &road.context.ledgers {
        let (account, open) = last_account(ledger, road.context.metrics.frames.get(), !stuck.is_empty());
        unwritten += if ledger.consumer() == "recorder" { open } else { 0 };
        tracing::info!(
            "{}: {} frames expected, {} delivered, {} lost ({})",
            ledger.consumer(),
            account.expected,
            account.delivered,
            account.lost.total(),
            causes(&account.lost)
        );
    }
    if !died.is_empty() {
        return Err(Failure::Internal(format!("thread {} panicked", died.join(", "))));
    }
    if !stuck.is_empty() {
        let text = format!("{} did not finish {within}", stuck.join(", "));
        let of_recorder = unwritten > 0 || stuck.iter().any(|name| name.starts_with("record-"));
        return Err(Failure::Unfinished(match of_recorder {
            true => format!("{text}: {unwritten} frames did not reach the disk"),
            false => text,
        }));
    }
    let ended = road.context.recording_status().ended;
    let lost = road.context.ledgers.iter().filter(|ledger| ledger.consumer() == "recorder").map(Ledger::account);
    let lost: u64 = lost.map(|account| account.lost.get(Cause::Disk) + account.lost.get(Cause::RingFull)).sum();
    match (ended, road.fate.why()) {
        (Some(reason), _) if lost > 0 => Err(Failure::Unfinished(format!("{reason}; {lost} frames were not recorded"))),
        (_, Some(why)) => Err(Failure::BrokeOff(why.to_owned())),
        _ => Ok(()),
    }
}

/// A consumer's last account, and how many frames of it were still on their way. What the deadline `cut_off` is lost:
/// `disk` for the recorder, `client_slow` for clients, `link_full` for processing, which counts what its link dropped only with
/// the next block that it takes: it is owed all `acquired` frames. It is lost in this account alone, read once: threads that did
/// not finish go on until the process ends, and what they deliver meanwhile must not count twice.
fn last_account(ledger: &Ledger, acquired: u64, cut_off: bool) -> (Account, u64) {
    let mut account = ledger.account();
    if cut_off && ledger.consumer() == "process" {
        account.expected = account.expected.max(acquired);
    }
    let open = account.expected.saturating_sub(account.delivered + account.lost.total());
    match ledger.consumer() {
        "process" if cut_off => account.lost.add(Cause::LinkFull, open),
        "recorder" if cut_off => account.lost.add(Cause::Disk, open),
        _ if cut_off => account.lost.add(Cause::ClientSlow, open),
        _ => {}
    }
    (account, open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_is_on_its_way_at_the_deadline_is_lost_once() {
        let consumers = [("recorder", Cause::Disk), ("websocket.raw", Cause::ClientSlow), ("process", Cause::LinkFull)];
        for (consumer, cause) in consumers {
            let ledger = Ledger::new(&Metrics::new("0").expect("metrics"), consumer);
            ledger.expect(10);
            ledger.deliver(4);
            let (account, open) = last_account(&ledger, 10, true);
            assert_eq!((account.expected, account.delivered, account.lost.get(cause), open), (10, 4, 6, 6));
            // Its thread did not finish in time, and finishes now.
            ledger.deliver(6);
            let (account, open) = last_account(&ledger, 10, true);
            assert_eq!((account.expected, account.delivered, account.lost.total(), open), (10, 10, 0, 0));
        }
    }

    #[test]
    fn what_a_hanging_process_never_took_is_lost_at_its_link() {
        let ledger = Ledger::new(&Metrics::new("0").expect("metrics"), "process");
        ledger.expect(10);
        ledger.deliver(10);
        let (account, _) = last_account(&ledger, 25, true);
        assert_eq!((account.expected, account.delivered, account.lost.get(Cause::LinkFull)), (25, 10, 15));
        assert_eq!(last_account(&ledger, 25, false).0.expected, 10, "it goes on taking");
    }
}
