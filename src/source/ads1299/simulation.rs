//! `[source.simulated]`: what the simulated bench is when `bus = "simulated"`, and how it is wired to fit the board.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::board::{Board, Clock};
use super::fault_keys::FaultKeys;
use super::layout::{Layout, Topology};
use super::registers::Model;
use super::simulated::{self, ChipSetup, Electrode, Planned, Recording, SelectSetup, Setup, Signal, SimulatedWire};
use super::wire::Wire;
use crate::config::{Mistakes, Table};
use crate::source::{SourceError, replay};

/// The longest recording that is taken into memory, samples.
const RECORDING_SAMPLES_MAX: u64 = 1 << 28;

/// What the electrodes see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SignalKey {
    Eeg,
    Sine,
    Noise,
    Counter,
    Recording,
}

/// The keys of the table, without its faults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    signal: SignalKey,
    file: Option<String>,
    freq_hz: f64,
    amplitude_uv: f64,
    seed: u64,
    clock_ppm: f64,
    electrode_ohms: f64,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            signal: SignalKey::Eeg,
            file: None,
            freq_hz: 10.0,
            amplitude_uv: 100.0,
            seed: 1,
            clock_ppm: 50.0,
            electrode_ohms: 5000.0,
        }
    }
}

/// A bench that was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Simulation {
    keys: Keys,
    faults: Vec<Planned>,
}

impl Simulation {
    /// Reads and checks the table of a bench of this `layout`, where it is known.
    pub(super) fn read(mut table: Table<'_>, layout: Option<&Layout>, mistakes: &mut Mistakes) -> Option<Simulation> {
        let before = mistakes.len();
        let faults = table.list("fault", mistakes);
        let faults = faults.iter().filter_map(|table| FaultKeys::read(table, layout, mistakes)).collect();
        let keys: Keys = table.read(mistakes)?;
        let mut range = |key: &str, value: f64, right: bool, must: &str| {
            if !right {
                table.refuse(mistakes, key, format!("{key} = {value} must be {must}"));
            }
        };
        let (ppm, ohms) = (keys.clock_ppm, keys.electrode_ohms);
        range("clock_ppm", ppm, (-25_000.0..=25_000.0).contains(&ppm), "-25000 to 25000");
        range("electrode_ohms", ohms, (0.0..=1e9).contains(&ohms), "0 to 1000000000");
        range("freq_hz", keys.freq_hz, keys.freq_hz > 0.0, "above 0");
        let amplitude_uv = keys.amplitude_uv;
        range("amplitude_uv", amplitude_uv, (0.0..=5e6).contains(&amplitude_uv), "0 to 5000000");
        if (keys.signal == SignalKey::Recording) != keys.file.is_some() {
            table.refuse(mistakes, "file", "file must name the recording with signal = \"recording\", and only then");
        }
        (mistakes.len() == before).then_some(Simulation { keys, faults })
    }

    /// A bench whose every code can be checked.
    #[cfg(test)]
    pub(super) fn counter() -> Simulation {
        Simulation { keys: Keys { signal: SignalKey::Counter, ..Keys::default() }, faults: Vec::new() }
    }

    /// Whether faults were asked for: then nothing is kinder than the hardware.
    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// The bench on the real clock. Relative paths start at `base`.
    ///
    /// # Errors
    /// When the recording that electrodes are to see cannot be read.
    pub(super) fn wire(&self, board: &Board, base: &Path) -> Result<Box<dyn Wire>, SourceError> {
        let signal = match &self.keys.file {
            Some(file) => Signal::Recording(Arc::new(recording(&base.join(file))?)),
            None => self.signal(),
        };
        let setup = Setup { signal, ..self.setup(board) };
        Ok(Box::new(SimulatedWire::new(&setup, simulated::Clock::Real)))
    }

    fn signal(&self) -> Signal {
        let Keys { freq_hz, amplitude_uv, .. } = self.keys;
        match self.keys.signal {
            SignalKey::Eeg => Signal::Eeg,
            SignalKey::Sine => Signal::Sine { freq_hz, amplitude_uv },
            SignalKey::Noise => Signal::Noise { amplitude_uv },
            SignalKey::Counter => Signal::Counter,
            SignalKey::Recording => Signal::Still,
        }
    }

    /// The bench that fits `board`, without a recording.
    pub(super) fn setup(&self, board: &Board) -> Setup {
        let ohms = self.keys.electrode_ohms;
        let electrode = Electrode { ohm_p: ohms, ohm_n: ohms, ..Electrode::default() };
        let chip = |model: &Model| ChipSetup {
            model: match model {
                Model::Ads1299 => simulated::Model::Ads1299,
                Model::Ads1299_6 => simulated::Model::Ads1299Six,
                Model::Ads1299_4 => simulated::Model::Ads1299Four,
            },
            electrodes: [electrode; 8],
            ..ChipSetup::default()
        };
        let selects = board.layout.selects.iter().map(|select| {
            let last = select.first_chip + select.part_bits.len();
            SelectSetup { bus: 0, chips: board.layout.models[select.first_chip..last].iter().map(chip).collect() }
        });
        Setup {
            selects: selects.collect(),
            gap_bits: if board.layout.topology == Topology::Daisy { board.gap_bits.unwrap_or(0) } else { 0 },
            clock: match board.clock {
                Clock::FirstChip => simulated::ClockSource::Chip(0),
                Clock::External | Clock::Internal => simulated::ClockSource::External,
            },
            board: simulated::Board {
                reference_v: board.vref_v,
                external_reference: !board.internal_reference,
                ..simulated::Board::default()
            },
            ppm: self.keys.clock_ppm,
            signal: self.signal(),
            seed: self.keys.seed,
            faults: self.faults.clone(),
            run_by_hand: true,
            ..Setup::default()
        }
    }
}

fn recording(path: &Path) -> Result<Recording, SourceError> {
    let mut opened = replay::Recording::open(path)?;
    let n_samples = opened.n_frames().saturating_mul(opened.stream(1).n_channels() as u64);
    if n_samples > RECORDING_SAMPLES_MAX {
        let why = format!("{n_samples} samples are too many to simulate from memory, at most {RECORDING_SAMPLES_MAX}");
        return Err(SourceError::Unusable { path: path.to_owned(), why });
    }
    let channels = opened.read_all().map_err(|error| SourceError::of_io(path, error))?;
    Ok(Recording { rate_hz: opened.rate_hz(), channels })
}
