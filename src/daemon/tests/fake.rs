//! A converter of two chips with two channels each, at 1 kHz on the machine's clock, that does the same in every second of
//! its life. The signal is the counter.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::block::{Cause, Channel, ChipStatus, End, Flags, Head, Marker, RawBlock, Stream, Tally};
use crate::config::{Mistakes, Table};
use crate::rt::{Stop, now_ns, utc_now_ns};
use crate::source::synthetic::counter_code;
use crate::source::{Filled, Kind, MarkerOut, Opening, Pace, Plan, Signs, Slack, Source, SourceError};

pub(super) const RATE_HZ: u64 = 1000;
pub(super) const N_CHANNELS: usize = 4;
pub(super) const N_CHIPS: usize = 2;

/// Of every second: frames that are lost and why, the span in which an electrode of the first chip is off, the span in
/// which the second chip's status word is wrong, and the frame at which GPIO1 rises.
pub(super) const SPI: std::ops::Range<u64> = 200..205;
pub(super) const REINIT: std::ops::Range<u64> = 300..370;
pub(super) const LEAD_OFF: std::ops::Range<u64> = 450..555;
pub(super) const SUSPECT: std::ops::Range<u64> = 701..704;
pub(super) const TRIGGER: u64 = 800;
pub(super) const TRIGGER_TEXT: &str = "GPIO1 rises";

/// The status word of a frame that is not lost.
pub(super) fn word(frame: u64, chip: usize) -> ChipStatus {
    let at = frame % RATE_HZ;
    let gpio = u8::from(chip == 0 && at >= TRIGGER);
    let off = u8::from(chip == 0 && LEAD_OFF.contains(&at)) << 1;
    let word = ChipStatus::of(off, 0, gpio);
    if chip == 1 && SUSPECT.contains(&at) { word.with(ChipStatus::SUSPECT) } else { word }
}

/// The cause for which a frame is lost, if it is.
pub(super) fn lost(frame: u64) -> Option<Cause> {
    let at = frame % RATE_HZ;
    match () {
        () if SPI.contains(&at) => Some(Cause::Spi),
        () if REINIT.contains(&at) => Some(Cause::Reinit),
        () => None,
    }
}

/// The flags of a block of these frames.
pub(super) fn flags(frames: std::ops::Range<u64>) -> Flags {
    frames.fold(Flags::default(), |flags, frame| {
        let flags = if LEAD_OFF.contains(&(frame % RATE_HZ)) { flags.with(Flags::LEAD_OFF) } else { flags };
        if SUSPECT.contains(&(frame % RATE_HZ)) { flags.with(Flags::SUSPECT) } else { flags }
    })
}

pub(super) static KINDS: &[Kind] =
    &[Kind { name: "fake", summary: "two chips that are not there", keys: &[], plan }, super::bench::KIND];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whether the converter is there.
    proves: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { proves: true }
    }
}

fn plan(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<Box<dyn Plan>> {
    Some(Box::new(table.read::<Settings>(mistakes)?))
}

impl Plan for Settings {
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError> {
        let channels = (1..=N_CHANNELS).map(|n| Channel::microvolts_24_bit(&format!("E{n}"), 187_500.0)).collect();
        let block_frames_max = opening.block_frames(RATE_HZ as f64, Pace::Clock);
        let signs = Arc::new(Signs::new(N_CHIPS, N_CHANNELS));
        signs.electrodes[1].watched.store(true, Relaxed);
        signs.electrodes[3].set_impedance_ohms(5100.0);
        Ok(Box::new(Fake {
            stream: Stream { rate_hz: RATE_HZ as f64, channels, block_frames_max, ratio: 1, delay_s: 0.0 },
            signs,
            proves: self.proves,
            triggers: None,
            start_ns: 0,
            next_frame: 0,
            lost: Tally::default(),
            ended: false,
        }))
    }
}

struct Fake {
    stream: Stream,
    signs: Arc<Signs>,
    proves: bool,
    /// To the thread that tells of triggers: telling may wait, and the acquisition thread may not.
    triggers: Option<SyncSender<u64>>,
    start_ns: u64,
    next_frame: u64,
    lost: Tally,
    ended: bool,
}

impl Fake {
    /// When the conversion of the frame before `next_frame` is complete.
    fn edge_ns(&self, next_frame: u64) -> u64 {
        self.start_ns + next_frame * (1_000_000_000 / RATE_HZ)
    }
}

impl Source for Fake {
    fn stream(&self) -> &Stream {
        &self.stream
    }
    fn n_chips(&self) -> usize {
        N_CHIPS
    }
    fn pace(&self) -> Pace {
        Pace::Clock
    }
    fn slack(&self) -> Slack {
        Slack::For(Duration::from_secs(20))
    }
    fn prove(&mut self, _: &AtomicBool) -> Result<Value, SourceError> {
        if !self.proves {
            return Err(SourceError::Converter("chip 2: register ID reads 0x00, 0x3E is due; look at MISO".to_owned()));
        }
        Ok(json!({"group_delay_s": 0.001_5, "chips": [{"id": 62}, {"id": 62}]}))
    }
    fn signs(&self) -> Option<Arc<Signs>> {
        Some(Arc::clone(&self.signs))
    }
    fn connect(&mut self, mut markers: MarkerOut) {
        let (triggers, triggered) = sync_channel(64);
        self.triggers = Some(triggers);
        thread::spawn(move || {
            for frame in triggered {
                markers(Marker { frame, text: TRIGGER_TEXT.to_owned(), ..Marker::default() });
            }
        });
    }
    fn start(&mut self) {
        self.start_ns = now_ns();
    }
    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
        if self.ended {
            return Filled::End;
        }
        while let Some(cause) = lost(self.next_frame) {
            self.lost.add(cause, 1);
            self.next_frame += 1;
        }
        let first_frame = self.next_frame;
        let n_frames_max = block.frames_max() as u64;
        let end = (first_frame..first_frame + n_frames_max).find(|frame| lost(*frame).is_some());
        let next_frame = end.unwrap_or(first_frame + n_frames_max);
        self.ended = !stop.wait_until(self.edge_ns(next_frame));
        let n_frames = usize::try_from(next_frame - first_frame).unwrap();
        for (i, frame) in (first_frame..next_frame).enumerate() {
            for channel in 0..N_CHANNELS {
                block.slab_mut()[i * N_CHANNELS + channel] = counter_code(frame, channel);
            }
            for chip in 0..N_CHIPS {
                block.status_mut()[i * N_CHIPS + chip] = word(frame, chip).0;
            }
            if word(frame, 1).has(ChipStatus::SUSPECT) {
                self.signs.sync_errors[1].fetch_add(1, Relaxed);
            }
            if let (true, Some(triggers)) = (frame % RATE_HZ == TRIGGER, &self.triggers) {
                triggers.try_send(frame).unwrap();
            }
        }
        self.signs.electrodes[1].off.store(flags(first_frame..next_frame).has(Flags::LEAD_OFF), Relaxed);
        let edge_ns = self.edge_ns(next_frame);
        let edge_utc_ns = utc_now_ns();
        let flags = flags(first_frame..next_frame);
        block.head = Head { first_frame, n_frames, edge_ns, edge_utc_ns, lost: self.lost, flags };
        self.next_frame = next_frame;
        Filled::Frames
    }
    fn end(&self) -> End {
        End { next_frame: self.next_frame, lost: self.lost }
    }
}
