//! What people are told of a converter with chips while it runs. One look at its source's signs makes the metrics, a part of
//! the status, a complaint of `/healthz` and lines of the log.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::metrics::{ConverterLook, ElectrodeLook};
use crate::rt::now_ns;
use crate::source::{ChipFault, EdgeKind, Signs, Source, SpiErrorKind};

/// A converter's signs, with the names of its channels.
#[derive(Debug)]
pub(super) struct Converter {
    signs: Arc<Signs>,
    channels: Vec<String>,
    /// The rate that it should have.
    nominal_hz: f64,
}

impl Converter {
    /// That of `source`, where it has signs.
    pub(super) fn of(source: &dyn Source) -> Option<Arc<Converter>> {
        let signs = source.signs()?;
        let stream = source.stream();
        let channels = stream.channels.iter().map(|channel| channel.name.clone()).collect();
        Some(Arc::new(Converter { signs, channels, nominal_hz: stream.rate_hz }))
    }

    /// How it stands now.
    pub(super) fn look(&self) -> ConverterLook {
        let signs = &self.signs;
        let kinds = SpiErrorKind::ALL.iter().zip(&signs.spi_errors);
        let electrodes = self.channels.iter().zip(&signs.electrodes).map(|(channel, electrode)| ElectrodeLook {
            channel: channel.clone(),
            off: electrode.watched.load(Relaxed).then(|| electrode.off.load(Relaxed)),
            sides: electrode.sides.each_ref().map(|side| side.watched.load(Relaxed).then(|| side.off.load(Relaxed))),
            impedance_ohms: electrode.impedance_ohms(),
        });
        let edges = EdgeKind::ALL.iter().zip(&signs.edges);
        let n = |n_frames: &AtomicU64| n_frames.load(Relaxed);
        let since_s = |at_ns: u64| now_ns().saturating_sub(at_ns) as f64 * 1e-9;
        let read_ns = signs.registers_read_ns.load(Relaxed);
        let skew_ns = signs.start_skew_ns.load(Relaxed);
        ConverterLook {
            edges: edges.map(|(kind, n_edges)| (kind.name(), n_edges.load(Relaxed))).collect(),
            registers_read_s_ago: (read_ns > 0).then(|| since_s(read_ns)),
            start_skew_us: (skew_ns > 0).then_some(skew_ns as f64 / 1e3),
            rate: signs.rate_hz().map(|rate_hz| (rate_hz, (rate_hz / self.nominal_hz - 1.0) * 1e6)),
            spi_errors: kinds.map(|(kind, n_errors)| (kind.name(), n_errors.load(Relaxed))).collect(),
            sync_errors: signs.sync_errors.iter().map(n).collect(),
            suspect_frames: signs.suspect_frames.iter().map(n).collect(),
            stuck_frames: self.channels.iter().cloned().zip(signs.stuck_frames.iter().map(n)).collect(),
            n_reinits: signs.n_reinits.load(Relaxed),
            n_reinits_failed: signs.n_reinits_failed.load(Relaxed),
            chip_faults: self.chip_faults(),
            silent: signs.silent.load(Relaxed),
            failing: signs.failing.load(Relaxed),
            electrodes: electrodes.filter(|look| look.off.is_some() || look.impedance_ohms.is_some()).collect(),
        }
    }

    fn chip_faults(&self) -> Vec<Option<&'static str>> {
        self.signs.chip_faults.iter().map(|fault| ChipFault::of(fault.load(Relaxed)).map(ChipFault::text)).collect()
    }

    /// The same for the status, as `source.signs`. Chips and channels stand in their order.
    pub(super) fn json(&self) -> Value {
        let look = self.look();
        let by_kind = |counts: &[(&'static str, u64)]| -> Map<String, Value> {
            counts.iter().map(|(kind, n)| ((*kind).to_owned(), json!(n))).collect()
        };
        let electrodes: Vec<Value> = look.electrodes.iter().map(electrode_json).collect();
        json!({
            "spi_errors": by_kind(&look.spi_errors),
            "sync_errors": look.sync_errors,
            "suspect_frames": look.suspect_frames,
            "stuck_frames": look.stuck_frames.iter().map(|(_, n_frames)| *n_frames).collect::<Vec<u64>>(),
            "edges": by_kind(&look.edges),
            "rate_hz": look.rate.map(|(rate_hz, _)| rate_hz),
            "rate_ppm": look.rate.map(|(_, ppm)| ppm),
            "registers_read_s_ago": look.registers_read_s_ago,
            "start_skew_us": look.start_skew_us,
            "reinits": look.n_reinits,
            "reinit_failures": look.n_reinits_failed,
            "failing": look.failing,
            "chip_faults": look.chip_faults,
            "electrodes": electrodes,
        })
    }

    /// Why it is not well, when it is not.
    pub(super) fn complaint(&self) -> Option<String> {
        let signs = &self.signs;
        signs.failing.load(Relaxed).then(|| failure(&self.chip_faults(), signs.silent.load(Relaxed)))
    }
}

/// What fails, as far as it is known.
fn failure(chip_faults: &[Option<&'static str>], silent: bool) -> String {
    let chips = (1..).zip(chip_faults).filter_map(|(chip, fault)| Some(format!("chip {chip} fails: {}", (*fault)?)));
    let silent = silent.then(|| "no DRDY edges come".to_owned());
    let known: Vec<String> = chips.chain(silent).collect();
    let goes_on = "the converter is being set up again";
    if known.is_empty() { goes_on.to_owned() } else { format!("{}; {goes_on}", known.join("; ")) }
}

fn electrode_json(electrode: &ElectrodeLook) -> Value {
    let [positive, negative] = electrode.sides;
    json!({
        "channel": electrode.channel,
        "off": electrode.off,
        "positive_off": positive,
        "negative_off": negative,
        "impedance_ohms": electrode.impedance_ohms,
    })
}

/// Wrong status words that are no further apart than this are one episode, with one log line.
const EPISODE: Duration = Duration::from_secs(10);

/// What the log was told of a converter. Frames that a failure costs are told with the ledgers.
#[derive(Debug, Default)]
pub(super) struct Told {
    failing: bool,
    n_reinits: u64,
    sync_errors: Vec<u64>,
    last_sync_error: Option<Instant>,
}

impl Told {
    /// What is new since the last look, in lines for the log.
    pub(super) fn news(&mut self, look: ConverterLook) -> Vec<String> {
        let mut lines = Vec::new();
        if look.failing && !self.failing {
            lines.push(format!("the converter fails: {}", failure(&look.chip_faults, look.silent)));
        } else if !look.failing && (self.failing || look.n_reinits > self.n_reinits) {
            lines.push(format!("the converter works again; it was set up again {} times so far", look.n_reinits));
        }
        let before = self.sync_errors.iter().chain(std::iter::repeat(&0));
        let chips: Vec<String> = (1..)
            .zip(look.sync_errors.iter().zip(before))
            .filter(|(_, (now, before))| now > before)
            .map(|(chip, (now, before))| format!("{} of chip {chip}", now - before))
            .collect();
        if !chips.is_empty() {
            let goes_on = self.last_sync_error.is_some_and(|at| at.elapsed() < EPISODE);
            self.last_sync_error = Some(Instant::now());
            if !goes_on {
                lines.push(format!("status words are wrong, their frames are flagged suspect: {}", chips.join(", ")));
            }
        }
        (self.failing, self.n_reinits, self.sync_errors) = (look.failing, look.n_reinits, look.sync_errors);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_watched_or_measured_is_shown() {
        let signs = Arc::new(Signs::new(2, 3));
        let converter = Converter {
            signs: Arc::clone(&signs),
            channels: ["Fp1", "Fp2", "Cz"].map(str::to_owned).into(),
            nominal_hz: 4000.0,
        };
        signs.electrodes[0].watched.store(true, Relaxed);
        signs.electrodes[0].off.store(true, Relaxed);
        signs.electrodes[0].sides[1].watched.store(true, Relaxed);
        signs.electrodes[0].sides[1].off.store(true, Relaxed);
        signs.edges[EdgeKind::Overflowed as usize].store(3, Relaxed);
        signs.start_skew_ns.store(20_500, Relaxed);
        signs.set_rate_hz(4000.5);
        signs.electrodes[2].set_impedance_ohms(4700.0);
        signs.spi_error(SpiErrorKind::Timeout);
        signs.sync_errors[1].store(9, Relaxed);
        signs.suspect_frames[1].store(12, Relaxed);
        signs.stuck_frames[2].store(1000, Relaxed);
        signs.chip_faults[1].store(ChipFault::Zeros.number(), Relaxed);
        signs.n_reinits_failed.store(4, Relaxed);
        let expected = json!({
            "spi_errors": {"io": 0, "timeout": 1, "short": 0},
            "sync_errors": [0, 9],
            "suspect_frames": [0, 12],
            "stuck_frames": [0, 0, 1000],
            "edges": {"merged": 0, "overflowed": 3, "unseen": 0, "spurious": 0, "discarded": 0},
            "rate_hz": 4000.5,
            "rate_ppm": (4000.5 / 4000.0 - 1.0) * 1e6,
            "registers_read_s_ago": null,
            "start_skew_us": 20.5,
            "reinits": 0,
            "reinit_failures": 4,
            "failing": false,
            "chip_faults": [null, "every bit is 0"],
            "electrodes": [
                {"channel": "Fp1", "off": true, "positive_off": null, "negative_off": true, "impedance_ohms": null},
                {"channel": "Cz", "off": null, "positive_off": null, "negative_off": null, "impedance_ohms": 4700.0},
            ],
        });
        assert_eq!(converter.json(), expected);
        assert_eq!(converter.complaint(), None);
        signs.registers_read_ns.store(now_ns() - 2_000_000_000, Relaxed);
        let ago = converter.look().registers_read_s_ago;
        assert!(ago.is_some_and(|s| s >= 2.0), "{ago:?}");
        signs.failing.store(true, Relaxed);
        let complaint = "chip 2 fails: every bit is 0; the converter is being set up again";
        assert_eq!(converter.complaint().as_deref(), Some(complaint));
        signs.chip_faults[1].store(0, Relaxed);
        signs.silent.store(true, Relaxed);
        assert_eq!(converter.complaint().as_deref(), Some("no DRDY edges come; the converter is being set up again"));
        signs.silent.store(false, Relaxed);
        assert_eq!(converter.complaint().as_deref(), Some("the converter is being set up again"));
    }

    #[test]
    fn an_episode_is_told_once() {
        let mut told = Told::default();
        let look = |failing, n_reinits, sync_errors: [u64; 2]| ConverterLook {
            failing,
            n_reinits,
            sync_errors: sync_errors.into(),
            ..ConverterLook::default()
        };
        assert!(told.news(look(false, 0, [0, 0])).is_empty());
        let wrong = "status words are wrong, their frames are flagged suspect: 3 of chip 2";
        assert_eq!(told.news(look(false, 0, [0, 3])), [wrong]);
        assert!(told.news(look(false, 0, [2, 9])).is_empty(), "the same episode");
        let failed = ["the converter fails: chip 2 fails: status word wrong; the converter is being set up again"];
        let looks = ConverterLook { chip_faults: vec![None, Some("status word wrong")], ..look(true, 0, [2, 9]) };
        assert_eq!(told.news(looks), failed);
        assert!(told.news(look(true, 1, [2, 9])).is_empty());
        let again = |n| format!("the converter works again; it was set up again {n} times so far");
        assert_eq!(told.news(look(false, 1, [2, 9])), [again(1)]);
        // Between two looks.
        assert_eq!(told.news(look(false, 2, [2, 9])), [again(2)]);
    }
}
