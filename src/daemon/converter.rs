//! What people are told of a converter with chips while it runs. One look at its source's signs makes the metrics, a part of
//! the status, a complaint of `/healthz` and lines of the log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::metrics::{ConverterLook, ElectrodeLook};
use crate::source::{Signs, Source, SpiErrorKind};

/// A converter's signs, with the names of its channels.
#[derive(Debug)]
pub(super) struct Converter {
    signs: Arc<Signs>,
    channels: Vec<String>,
}

impl Converter {
    /// That of `source`, where it has signs.
    pub(super) fn of(source: &dyn Source) -> Option<Arc<Converter>> {
        let signs = source.signs()?;
        let channels = source.stream().channels.iter().map(|channel| channel.name.clone()).collect();
        Some(Arc::new(Converter { signs, channels }))
    }

    /// How it stands now.
    pub(super) fn look(&self) -> ConverterLook {
        let signs = &self.signs;
        let kinds = SpiErrorKind::ALL.iter().zip(&signs.spi_errors);
        let electrodes = self.channels.iter().zip(&signs.electrodes).map(|(channel, electrode)| ElectrodeLook {
            channel: channel.clone(),
            off: electrode.watched.load(Relaxed).then(|| electrode.off.load(Relaxed)),
            impedance_ohms: electrode.impedance_ohms(),
        });
        ConverterLook {
            spi_errors: kinds.map(|(kind, n_errors)| (kind.name(), n_errors.load(Relaxed))).collect(),
            sync_errors: signs.sync_errors.iter().map(|n_frames| n_frames.load(Relaxed)).collect(),
            n_reinits: signs.n_reinits.load(Relaxed),
            failing: signs.failing.load(Relaxed),
            electrodes: electrodes.filter(|look| look.off.is_some() || look.impedance_ohms.is_some()).collect(),
        }
    }

    /// The same for the status, as `source.signs`. Chips stand in their order.
    pub(super) fn json(&self) -> Value {
        let look = self.look();
        let spi_errors: Map<String, Value> =
            look.spi_errors.iter().map(|(kind, n_errors)| ((*kind).to_owned(), json!(n_errors))).collect();
        let electrodes: Vec<Value> = look.electrodes.iter().map(electrode_json).collect();
        json!({
            "spi_errors": spi_errors,
            "sync_errors": look.sync_errors,
            "reinits": look.n_reinits,
            "failing": look.failing,
            "electrodes": electrodes,
        })
    }

    /// Why it is not well, when it is not.
    pub(super) fn complaint(&self) -> Option<String> {
        self.signs.failing.load(Relaxed).then(|| "the converter is being set up again".to_owned())
    }
}

fn electrode_json(electrode: &ElectrodeLook) -> Value {
    json!({"channel": electrode.channel, "off": electrode.off, "impedance_ohms": electrode.impedance_ohms})
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
            lines.push("the converter fails and is being set up again".to_owned());
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
        let converter =
            Converter { signs: Arc::clone(&signs), channels: ["Fp1", "Fp2", "Cz"].map(str::to_owned).into() };
        signs.electrodes[0].watched.store(true, Relaxed);
        signs.electrodes[0].off.store(true, Relaxed);
        signs.electrodes[2].set_impedance_ohms(4700.0);
        signs.spi_error(SpiErrorKind::Timeout);
        signs.sync_errors[1].store(9, Relaxed);
        let expected = json!({
            "spi_errors": {"io": 0, "timeout": 1, "short": 0},
            "sync_errors": [0, 9],
            "reinits": 0,
            "failing": false,
            "electrodes": [
                {"channel": "Fp1", "off": true, "impedance_ohms": null},
                {"channel": "Cz", "off": null, "impedance_ohms": 4700.0},
            ],
        });
        assert_eq!(converter.json(), expected);
        assert_eq!(converter.complaint(), None);
        signs.failing.store(true, Relaxed);
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
        assert_eq!(told.news(look(true, 0, [2, 9])), ["the converter fails and is being set up again"]);
        assert!(told.news(look(true, 1, [2, 9])).is_empty());
        let again = |n| format!("the converter works again; it was set up again {n} times so far");
        assert_eq!(told.news(look(false, 1, [2, 9])), [again(1)]);
        // Between two looks.
        assert_eq!(told.news(look(false, 2, [2, 9])), [again(2)]);
    }
}
