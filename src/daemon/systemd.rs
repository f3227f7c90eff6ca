//! What the service manager is told: ready, how it goes, alive, stopping (sd_notify(3)). Without one, nothing is said.
//!
//! Alive is not the same as well: the watchdog is fed while the loops of `acquire` and `record-intake` turn, frames or
//! not. Frames that do not come, a chain or a disk that stalls are in the status line and in `/healthz`, and no reason
//! to restart: a restart would cost the recording and mend nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::road::Road;
use crate::pipeline::Progress;

/// Every loop turns once a second when nothing comes. One that has not for this long hangs.
const LOOP_SILENCE: Duration = Duration::from_secs(5);

/// How long before the next sign of life the manager's time limits for start and stop may come up.
const EXTEND: NotifyState<'static> = NotifyState::ExtendTimeoutUsec(30_000_000);

/// How often a sign of life is sent where there is no watchdog to ask for it sooner.
const BEAT: Duration = Duration::from_secs(1);

/// The line to the service manager.
pub(super) struct Systemd {
    /// Threads whose loops must turn, with their last turns.
    loops: Vec<(&'static str, Arc<Progress>)>,
    began: Instant,
    phase: Phase,
    every: Duration,
    last_beat: Option<Instant>,
    /// The last status line, so that it is sent when it changes.
    said: String,
    /// The thread that was found hanging, so that it is told once.
    hanging: Option<&'static str>,
    refused: bool,
}

/// How far the service has come; each has its own time limit that a sign of life holds off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Stopping,
}

impl Systemd {
    /// Called when the road starts. `loops` are the threads that must turn.
    pub(super) fn new(loops: Vec<(&'static str, Arc<Progress>)>) -> Systemd {
        // Half of the watchdog's interval, as sd_watchdog_enabled(3) recommends.
        let every = sd_notify::watchdog_enabled().map_or(BEAT, |interval| BEAT.min(interval / 2));
        Systemd {
            loops,
            began: Instant::now(),
            phase: Phase::Starting,
            every,
            last_beat: None,
            said: String::new(),
            hanging: None,
            refused: false,
        }
    }

    /// How long `main` may wait between two calls of [`Systemd::look`].
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Says what is new: ready with the first block, the status line, and a sign of life.
    pub(super) fn look(&mut self, road: &Road) {
        let context = &road.context;
        if self.phase == Phase::Starting && context.health.has_begun() {
            self.ready();
        }
        self.beat();
        let raw = &road.raw;
        let mut text = match self.phase {
            Phase::Starting => "waits for the first frame of ".to_owned(),
            Phase::Ready | Phase::Stopping => String::new(),
        };
        let n_channels = raw.n_channels();
        let simulated = if raw.is_simulated() { "simulated " } else { "" };
        text.push_str(&format!("{n_channels} {simulated}channel{} at {} Hz", plural(n_channels == 1), raw.rate_hz));
        let n_clients = context.metrics.ws_clients.get();
        text.push_str(&format!(", {n_clients} client{}", plural(n_clients == 1)));
        let recording = context.recording_status();
        if recording.active {
            text.push_str(&format!(", recording {:.0} min", (recording.seconds / 60.0).floor()));
        }
        for complaint in context.health.complaints(&recording) {
            text.push_str(&format!("; {complaint}"));
        }
        self.status(&text);
    }

    /// The first block has come.
    fn ready(&mut self) {
        self.phase = Phase::Ready;
        self.tell(&[NotifyState::Ready]);
    }

    /// The configuration is being read again; [`Systemd::reloaded`] says that this is over.
    pub(super) fn reloading(&mut self) {
        // Ready after a reload would be ready before the first block.
        if self.phase != Phase::Ready {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => self.refuse(&error),
        }
    }

    /// The configuration was read again, with whatever result.
    pub(super) fn reloaded(&mut self) {
        if self.phase == Phase::Ready {
            self.tell(&[NotifyState::Ready]);
        }
    }

    /// The road is being drained. The manager's limit for a stop is held off from here on by [`Systemd::beat`]: the
    /// daemon has a deadline of its own, which grows with the stall budget.
    pub(super) fn stopping(&mut self) {
        self.phase = Phase::Stopping;
        self.last_beat = None;
        self.tell(&[NotifyState::Stopping]);
        self.status("stopping: the links run empty");
        self.beat();
    }

    /// Sends a sign of life when one is due and every loop turns. May be called at any rate.
    pub(super) fn beat(&mut self) {
        // Loops end while the road drains; what counts then is this thread, which watches the deadline.
        if self.last_beat.is_some_and(|at| at.elapsed() < self.every)
            || (self.phase != Phase::Stopping && !self.loops_turn())
        {
            return;
        }
        self.last_beat = Some(Instant::now());
        match self.phase {
            Phase::Ready => self.tell(&[NotifyState::Watchdog]),
            Phase::Starting | Phase::Stopping => self.tell(&[NotifyState::Watchdog, EXTEND]),
        }
    }

    /// The line that `systemctl status` shows.
    pub(super) fn status(&mut self, text: &str) {
        if self.said != text {
            text.clone_into(&mut self.said);
            self.tell(&[NotifyState::Status(text)]);
        }
    }

    fn loops_turn(&mut self) -> bool {
        let age = |turned: &Progress| turned.age().unwrap_or(self.began.elapsed());
        let hanging = self.loops.iter().find(|(_, turned)| age(turned) > LOOP_SILENCE).map(|(name, _)| *name);
        if let Some(name) = hanging.filter(|_| self.hanging != hanging) {
            tracing::error!(
                "{name} hangs: it has not turned for {} s, and the watchdog is not fed",
                LOOP_SILENCE.as_secs()
            );
        }
        self.hanging = hanging;
        hanging.is_none()
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            self.refuse(&error);
        }
    }

    /// Says so once.
    fn refuse(&mut self, error: &io::Error) {
        if !self.refused {
            tracing::warn!("the service manager cannot be told how it goes: {error}");
        }
        self.refused = true;
    }
}

fn plural(one: bool) -> &'static str {
    if one { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_not_turned_for_too_long_hangs_until_it_turns_again() {
        let (acquire, intake) = (Arc::new(Progress::default()), Arc::new(Progress::default()));
        let mut systemd = Systemd::new(vec![("acquire", Arc::clone(&acquire)), ("record-intake", Arc::clone(&intake))]);
        assert!(systemd.loops_turn(), "they have just begun");
        systemd.began = Instant::now().checked_sub(LOOP_SILENCE + Duration::from_secs(1)).expect("after boot");
        acquire.made();
        assert!(!systemd.loops_turn());
        assert_eq!(systemd.hanging, Some("record-intake"));
        intake.made();
        assert!(systemd.loops_turn());
        assert_eq!(systemd.hanging, None);
    }
}
