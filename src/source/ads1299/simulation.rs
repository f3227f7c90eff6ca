//! `[source.simulated]`: what the simulated bench is when `bus = "simulated"`, and how it is wired to fit the board.

use std::path::Path;

use serde::Deserialize;

use super::board::{Board, Clock};
use super::layout::Topology;
use super::registers::Model;
use super::simulated::{self, ChipSetup, SelectSetup, Setup, Signal, SimulatedWire};
use super::wire::Wire;
use crate::config::{Mistakes, Table};
use crate::source::SourceError;

/// What the electrodes see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SignalKey {
    Counter,
}

/// The keys of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Simulation {
    signal: SignalKey,
    seed: u64,
    clock_ppm: f64,
}

impl Default for Simulation {
    fn default() -> Simulation {
        Simulation { signal: SignalKey::Counter, seed: 1, clock_ppm: 50.0 }
    }
}

impl Simulation {
    /// Reads and checks the table.
    pub(super) fn read(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<Simulation> {
        let simulation: Simulation = table.read(mistakes)?;
        let ppm = simulation.clock_ppm;
        if !(-25_000.0..=25_000.0).contains(&ppm) {
            table.refuse(mistakes, "clock_ppm", format!("clock_ppm = {ppm} must be -25000 to 25000"));
            return None;
        }
        Some(simulation)
    }

    /// Whether faults were asked for: then nothing is kinder than the hardware.
    pub(super) fn has_faults(&self) -> bool {
        false
    }

    /// The bench on the real clock.
    #[allow(clippy::unnecessary_wraps, reason = "a recording as the signal can be missing")]
    pub(super) fn wire(&self, board: &Board, _base: &Path) -> Result<Box<dyn Wire>, SourceError> {
        Ok(Box::new(SimulatedWire::new(&self.setup(board), simulated::Clock::Real)))
    }

    /// The bench that fits `board`.
    pub(super) fn setup(&self, board: &Board) -> Setup {
        let chip = |model: &Model| ChipSetup {
            model: match model {
                Model::Ads1299 => simulated::Model::Ads1299,
                Model::Ads1299_6 => simulated::Model::Ads1299Six,
                Model::Ads1299_4 => simulated::Model::Ads1299Four,
            },
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
            ppm: self.clock_ppm,
            signal: match self.signal {
                SignalKey::Counter => Signal::Counter,
            },
            seed: self.seed,
            ..Setup::default()
        }
    }
}
