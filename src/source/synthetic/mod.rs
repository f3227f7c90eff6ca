//! A converter that does not exist: any number of channels, any rate, for load tests and for a first look. It behaves
//! as a chip with a FIFO would: a thread that is late catches up within it, beyond it conversions are missed.

mod signal;

use std::time::Duration;

use serde::Deserialize;

use super::{Filled, Kind, Opening, Pace, Plan, Slack, Source, SourceError};
use crate::block::{Cause, Channel, End, Flags, Head, RawBlock, Stream, Tally};
use crate::config::{Key, Mistakes, Table};
use crate::rt::{Stop, now_ns, utc_now_ns};

pub(in crate::source) use signal::Generator;
pub use signal::counter_code;

/// The row of `source::KINDS`.
pub(super) const KIND: Kind = Kind {
    name: "synthetic",
    summary: "a converter that does not exist, of any size: for load tests and a first look",
    keys: &[
        Key::new("signal", "\"eeg\"", "sine, eeg, noise, or counter (every code is predictable)"),
        Key::new("n_channels", "32", "channels, 1 to 1024"),
        Key::new("channels", "[]", "their names, as many as n_channels; empty: Ch1, Ch2 ..."),
        Key::new("rate_hz", "4000", "frames per second, 1 to 64000"),
        Key::new("fifo_s", "1.0", "what the converter can hold while nobody reads it, in seconds, 0 to 60"),
        Key::new("freq_hz", "10.0", "of the sine, above 0 and below half the rate"),
        Key::new("amplitude_uv", "100.0", "of the sine and the noise, in microvolts, 0 to 187500"),
    ],
    plan,
};

/// The physical range of +-4.5 V reference at gain 24, in microvolts (ADS1299 datasheet, "Data Format"): codes of
/// 0.0224 uV.
const RANGE_UV: f64 = 187_500.0;

/// A block may last longer than this; the loop turns all the same, so that it can be seen to be alive.
const TURN_NS: u64 = 1_000_000_000;

/// Which signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Signal {
    Sine,
    Eeg,
    Noise,
    Counter,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    signal: Signal,
    n_channels: Option<usize>,
    channels: Vec<String>,
    rate_hz: f64,
    fifo_s: f64,
    freq_hz: f64,
    amplitude_uv: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            signal: Signal::Eeg,
            n_channels: None,
            channels: Vec::new(),
            rate_hz: 4000.0,
            fifo_s: 1.0,
            freq_hz: 10.0,
            amplitude_uv: 100.0,
        }
    }
}

impl Settings {
    fn n_channels(&self) -> usize {
        self.n_channels.unwrap_or(if self.channels.is_empty() { 32 } else { self.channels.len() })
    }
}

fn plan(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<Box<dyn Plan>> {
    let settings: Settings = table.read(mistakes)?;
    let before = mistakes.len();
    let n_channels = settings.n_channels();
    if !(1..=1024).contains(&n_channels) {
        table.refuse(mistakes, "n_channels", format!("n_channels = {n_channels} must be 1 to 1024"));
    }
    let n_names = settings.channels.len();
    if n_names > 0 && n_names != n_channels {
        let text = format!("channels names {n_names} channels, but n_channels = {n_channels}: they must be as many");
        table.refuse(mistakes, "channels", text);
    }
    for (i, name) in settings.channels.iter().enumerate() {
        let plain = name.bytes().all(|byte| (32..=126).contains(&byte)) && !name.trim().is_empty();
        if !plain || name.len() > 16 {
            let text = format!("channels: `{name}` must be 1 to 16 printable ASCII characters, as EDF has it");
            table.refuse(mistakes, "channels", text);
        }
        if settings.channels[..i].contains(name) {
            table.refuse(mistakes, "channels", format!("channels: `{name}` stands twice, names must differ"));
        }
    }
    let mut range = |key: &str, value: f64, right: bool, must: &str| {
        if !right {
            table.refuse(mistakes, key, format!("{key} = {value} must be {must}"));
        }
    };
    let (rate_hz, fifo_s) = (settings.rate_hz, settings.fifo_s);
    range("rate_hz", rate_hz, (1.0..=64_000.0).contains(&rate_hz), "1 to 64000");
    range("fifo_s", fifo_s, (0.0..=60.0).contains(&fifo_s), "0 to 60");
    if settings.signal == Signal::Sine {
        let freq_hz = settings.freq_hz;
        range("freq_hz", freq_hz, 0.0 < freq_hz && freq_hz < rate_hz / 2.0, "above 0 and below half the rate");
    }
    let amplitude_uv = settings.amplitude_uv;
    range("amplitude_uv", amplitude_uv, (0.0..=RANGE_UV).contains(&amplitude_uv), "0 to 187500");
    (mistakes.len() == before).then(|| Box::new(settings) as Box<dyn Plan>)
}

impl Plan for Settings {
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError> {
        let n_channels = self.n_channels();
        let name = |i: usize| self.channels.get(i).cloned().unwrap_or_else(|| format!("Ch{}", i + 1));
        let stream = Stream {
            rate_hz: self.rate_hz,
            channels: (0..n_channels).map(|i| Channel::microvolts_24_bit(&name(i), RANGE_UV).simulated()).collect(),
            block_frames_max: opening.block_frames(self.rate_hz, Pace::Clock),
            ratio: 1,
            delay_s: 0.0,
        };
        let codes_per_uv = 1.0 / stream.channels[0].scale();
        let generator = match self.signal {
            Signal::Counter => Generator::counter(),
            Signal::Sine => Generator::sine(n_channels, self.rate_hz, self.freq_hz, self.amplitude_uv * codes_per_uv),
            Signal::Noise => Generator::noise(n_channels, self.amplitude_uv * codes_per_uv),
            Signal::Eeg => Generator::eeg(n_channels, self.rate_hz, codes_per_uv),
        };
        Ok(Box::new(Synthetic {
            generator,
            ns_per_frame: 1e9 / self.rate_hz,
            fifo_frames: self.fifo_s * self.rate_hz,
            stream,
            start_ns: 0,
            next_frame: 0,
            lost: Tally::default(),
            stopped: false,
        }))
    }
}

/// The source itself.
struct Synthetic {
    stream: Stream,
    generator: Generator,
    ns_per_frame: f64,
    fifo_frames: f64,
    /// The monotonic instant at which conversion began, 0 before that; frame `k` is there one period times `k + 1` later.
    start_ns: u64,
    next_frame: u64,
    lost: Tally,
    stopped: bool,
}

impl Synthetic {
    /// The instant at which `frames` conversions are complete.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "584 years of nanoseconds fit")]
    fn edge_ns(&self, frames: u64) -> u64 {
        // Computed from the start each time: rates that do not divide a second would drift otherwise.
        self.start_ns + (frames as f64 * self.ns_per_frame) as u64
    }

    /// Conversions complete at `now_ns`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the counterpart of edge_ns")]
    fn converted(&self, now_ns: u64) -> u64 {
        (now_ns.saturating_sub(self.start_ns) as f64 / self.ns_per_frame) as u64
    }
}

impl Source for Synthetic {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn pace(&self) -> Pace {
        Pace::Clock
    }

    /// What the FIFO can still take, less the block that is read next.
    fn slack(&self) -> Slack {
        let first_unread_ns = if self.start_ns == 0 { now_ns() } else { self.edge_ns(self.next_frame) };
        let behind_s = now_ns().saturating_sub(first_unread_ns) as f64 * 1e-9;
        let holds_s = (self.fifo_frames - self.stream.block_frames_max as f64) * self.ns_per_frame * 1e-9;
        Slack::For(Duration::from_secs_f64((holds_s - behind_s).max(0.0)))
    }

    fn start(&mut self) {
        self.start_ns = now_ns();
    }

    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
        if self.stopped {
            return Filled::End;
        }
        let most = block.frames_max() as u64;
        // What overflows the FIFO before this thread comes to read is missed, the oldest first.
        let behind = self.converted(now_ns()).saturating_sub(self.next_frame);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 60 s of frames")]
        let holds = (self.fifo_frames as u64).max(most);
        let missed = behind.saturating_sub(holds);
        self.lost.add(Cause::Missed, missed);
        self.next_frame += missed;

        let deadline_ns = self.edge_ns(self.next_frame + most);
        let turn_ns = now_ns() + TURN_NS;
        if deadline_ns > turn_ns && stop.wait_until(turn_ns) {
            return Filled::Nothing;
        }
        let whole = stop.wait_until(deadline_ns);
        self.stopped = !whole;
        let there = self.converted(now_ns()).saturating_sub(self.next_frame);
        let n_frames = if whole { most } else { there.min(most) };
        if n_frames == 0 {
            return Filled::End;
        }
        let edge_ns = self.edge_ns(self.next_frame + n_frames);
        let late_ns = now_ns().saturating_sub(edge_ns);
        block.head = Head {
            first_frame: self.next_frame,
            n_frames: usize::try_from(n_frames).unwrap_or(usize::MAX),
            edge_ns,
            edge_utc_ns: utc_now_ns().saturating_sub(late_ns),
            lost: self.lost,
            flags: Flags::default(),
        };
        let n_samples = block.head.n_frames * self.stream.n_channels();
        self.generator.fill(self.next_frame, self.stream.n_channels(), &mut block.slab_mut()[..n_samples]);
        self.next_frame += n_frames;
        Filled::Frames
    }

    fn end(&self) -> End {
        End { next_frame: self.next_frame, lost: self.lost }
    }
}

#[cfg(test)]
mod tests;
