//! What the configuration asks of the machine: so many frames a second, and how late a thread may be before one of
//! them is lost. Every check speaks in these numbers.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::machine::{Board, Machine};
use super::report::{count, time_text};
use crate::config::AutoOr;
use crate::daemon::load::Loaded;
use crate::daemon::sizes::{self, Sizes};
use crate::pipeline::LINK_BLOCKS;
use crate::rt::choose_cores;
use crate::source::ads1299::frame_time::FrameTime;
use crate::source::{Hardware, Pace, Slack};

/// Below this a source is so impatient that single interrupts, and clocks that step, count.
const TIGHT_US: f64 = 10_000.0;

/// The configured rig.
#[derive(Debug, Clone)]
pub(super) struct Rig {
    pub(super) configuration: String,
    pub(super) source_kind: &'static str,
    /// Whether the source measures nothing.
    pub(super) simulated: bool,
    pub(super) n_channels: usize,
    pub(super) rate_hz: f64,
    /// Whether a converter or a clock sets the pace, so that a late thread can cost frames.
    pub(super) paced: bool,
    /// How late a wake-up may be before a frame is lost.
    pub(super) slack_us: f64,
    /// What the links between threads bridge.
    pub(super) link_us: f64,
    pub(super) hardware: Option<Hardware>,
    /// The time of one frame on the bus; with hardware only.
    pub(super) budget: Option<FrameTime>,
    pub(super) acquire_core: usize,
    pub(super) process_core: usize,
    pub(super) n_cores: usize,
    pub(super) isolated: Vec<usize>,
    pub(super) allowed: Vec<usize>,
    /// The `SCHED_FIFO` priority of `acquire`.
    pub(super) priority: i32,
    /// What the daemon will allocate in large pieces, in bytes.
    pub(super) memory_bytes: u64,
    /// `None`: the recorder is off.
    pub(super) recording: Option<Recording>,
    /// Where a daemon with this configuration answers, if something answers there.
    pub(super) busy_at: Option<std::net::SocketAddr>,
}

/// What the recorder asks of its disk.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) dir: PathBuf,
    /// How long the disk may stall.
    pub(super) budget_s: f64,
    pub(super) min_free_gb: f64,
    /// One data record, the unit that is written.
    pub(super) record_bytes: u64,
    /// The signal in it.
    pub(super) record_s: f64,
}

impl Rig {
    /// The rig of a configuration that was proved, on `machine`.
    pub(super) fn of(loaded: &Loaded, machine: &Machine) -> Rig {
        let (raw, settings) = (&loaded.raw, &loaded.settings);
        let fixed = |core: AutoOr<usize>| match core {
            AutoOr::Auto => None,
            AutoOr::Value(core) => Some(core),
        };
        let (acquire_core, process_core) =
            choose_cores(&loaded.cores, fixed(settings.acquire.core), fixed(settings.process.core));
        let budget = loaded.hardware.as_ref().map(|hardware| FrameTime::of(hardware, machine.board() == Board::Pi5));
        let (record_bytes, record_s) = sizes::record(raw, loaded.n_chips);
        Rig {
            configuration: loaded.name.clone(),
            source_kind: loaded.source_kind,
            simulated: raw.is_simulated(),
            n_channels: raw.n_channels(),
            rate_hz: raw.rate_hz,
            paced: loaded.source.pace() == Pace::Clock,
            slack_us: budget.as_ref().map_or_else(|| slack_us(loaded.source.slack()), FrameTime::slack_us),
            link_us: (raw.block_frames_max * LINK_BLOCKS) as f64 * 1e6 / raw.rate_hz,
            hardware: loaded.hardware.clone(),
            budget,
            acquire_core,
            process_core,
            n_cores: loaded.cores.possible.len(),
            isolated: loaded.cores.isolated.clone(),
            allowed: loaded.cores.allowed.clone(),
            priority: settings.acquire.priority,
            memory_bytes: Sizes::of(raw, loaded.n_chips, &loaded.chains, settings).total_bytes(),
            recording: settings.records().then(|| Recording {
                dir: loaded.recordings.clone(),
                budget_s: settings.recorder.stall_budget_s,
                min_free_gb: settings.recorder.min_free_gb,
                record_bytes,
                record_s,
            }),
            busy_at: something_answers_at(settings.listen),
        }
    }

    /// Time from one frame to the next.
    pub(super) fn period_us(&self) -> f64 {
        1e6 / self.rate_hz
    }

    /// Whether the slack is so short that single interrupts count.
    pub(super) fn is_tight(&self) -> bool {
        self.slack_us < TIGHT_US
    }

    /// Frames that a thread loses which is held up for so long.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
    pub(super) fn frames_lost(&self, late_us: f64) -> u64 {
        if late_us > self.slack_us { 1 + ((late_us - self.slack_us) / self.period_us()) as u64 } else { 0 }
    }

    /// The same in words: `147 frames of 32 channels`.
    pub(super) fn loss(&self, late_us: f64) -> String {
        match self.frames_lost(late_us) {
            0 => format!("no frame, since {} may pass", time_text(self.slack_us)),
            n => format!("{} of {}", count(n, "frame"), count(self.n_channels as u64, "channel")),
        }
    }

    /// What every second costs while no frame can be read.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
    pub(super) fn loss_per_s(&self) -> String {
        let n_frames = self.rate_hz.ceil() as u64;
        format!("{} of {}", count(n_frames, "frame"), count(self.n_channels as u64, "channel"))
    }

    /// The command that measures a minute.
    pub(super) fn measure_for_longer(&self) -> String {
        match self.configuration.as_str() {
            "built-in" => "biosigd doctor --seconds 60".to_owned(),
            file => format!("biosigd doctor -c {file} --seconds 60"),
        }
    }

    /// For `--json`; `null` for a slack without end.
    pub(super) fn to_json(&self) -> Value {
        let slack_us = self.slack_us.is_finite().then_some(self.slack_us);
        json!({
            "kind": self.source_kind,
            "simulated": self.simulated,
            "channels": self.n_channels,
            "rate_hz": self.rate_hz,
            "period_us": self.period_us(),
            "slack_us": slack_us,
        })
    }

    /// What is asked of the machine, in two lines.
    pub(super) fn title(&self) -> String {
        let slack = if self.slack_us.is_infinite() {
            "nothing is lost, however late a thread wakes".to_owned()
        } else {
            format!("a thread may wake {} late before one is lost", time_text(self.slack_us))
        };
        format!(
            "source {}{}: {} at {} Hz, a frame every {};\n{slack}",
            self.source_kind,
            if self.simulated { ", simulated" } else { "" },
            count(self.n_channels as u64, "channel"),
            self.rate_hz,
            time_text(self.period_us())
        )
    }
}

/// For ever where the source waits for its reader.
fn slack_us(slack: Slack) -> f64 {
    match slack {
        Slack::For(time) => time.as_secs_f64() * 1e6,
        Slack::Forever => f64::INFINITY,
    }
}

/// The address, if somebody listens there already: a daemon that acquires is not to be disturbed.
fn something_answers_at(listen: std::net::SocketAddr) -> Option<std::net::SocketAddr> {
    let refused = std::net::TcpListener::bind(listen).err()?;
    (refused.kind() == std::io::ErrorKind::AddrInUse).then_some(listen)
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[test]
    fn what_a_delay_costs() {
        let rig = fake::ads1299();
        assert_eq!(rig.period_us(), 250.0);
        assert!(rig.is_tight());
        let slack_us = rig.slack_us;
        assert_eq!(rig.frames_lost(slack_us), 0);
        assert_eq!(rig.frames_lost(slack_us + 0.1), 1);
        assert_eq!(rig.frames_lost(slack_us + 250.1), 2);
        assert_eq!(rig.loss(36_802.0), "147 frames of 32 channels");
        assert_eq!(rig.loss(1.0), "no frame, since 93.4 us may pass");
        let fifo = fake::synthetic();
        assert!(!fifo.is_tight());
        assert_eq!(fifo.loss(36_802.0), "no frame, since 990.0 ms may pass");
        assert_eq!(Rig { slack_us: f64::INFINITY, ..fifo }.frames_lost(1e12), 0);
    }

    #[test]
    fn the_title_says_what_is_asked() {
        assert_eq!(
            fake::ads1299().title(),
            "source ads1299: 32 channels at 4000 Hz, a frame every 250.0 us;\n\
             a thread may wake 93.4 us late before one is lost"
        );
    }

    #[test]
    fn a_port_that_is_taken_is_somebody_s() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        assert_eq!(something_answers_at(address), Some(address));
        drop(taken);
        assert_eq!(something_answers_at(address), None);
    }
}
