//! The row of `source::KINDS`: from a table to a source, and what stands below it.

use std::time::Duration;

use super::board::Board;
use super::budget::{Budget, KEEP_OUT_NS};
use super::bus::{self, BusError, ChipChoice, LinuxSettings};
use super::chain::{Ads1299, OpenWire, Patience};
use super::keys::{Bus, KEYS};
use super::settings::{self, Checked};
use super::simulation::Simulation;
use super::wire::Wire;
use crate::config::{Mistakes, Table};
use crate::source::{Hardware, Kind, Opening, Plan, Source, SourceError};

/// The row.
pub(in crate::source) const KIND: Kind = Kind {
    name: "ads1299",
    summary: "one to eight ADS1299 on the Pi's SPI, or a register-accurate simulation of them",
    keys: KEYS,
    plan,
};

/// How long simulated chips on the real clock can be kept waiting: like a FIFO, unless a fault script says otherwise.
const SIMULATED_FIFO: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Ads1299Plan {
    board: Board,
    below: Below,
}

#[derive(Debug, Clone)]
enum Below {
    Linux(LinuxSettings),
    Simulated(Simulation),
}

fn plan(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<Box<dyn Plan>> {
    let mut table = table.clone();
    let simulated = table.section("simulated", mistakes);
    let checked = settings::read(&mut table, mistakes);
    let simulation = Simulation::read(simulated, mistakes);
    let Checked { board, keys, selects } = checked?;
    let below = match keys.bus {
        Bus::Spidev => Below::Linux(LinuxSettings {
            selects,
            chip: ChipChoice::of(&keys.gpio_chip),
            drdy: keys.drdy_line?,
            witness: keys.witness_line,
            start: keys.start_line,
            reset: keys.reset_line,
            power_down: keys.power_down_line,
        }),
        Bus::Simulated => Below::Simulated(simulation?),
    };
    Some(Box::new(Ads1299Plan { board, below }))
}

impl Plan for Ads1299Plan {
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError> {
        let (patience, open): (Patience, OpenWire) = match &self.below {
            Below::Linux(settings) => {
                let settings = settings.clone();
                let open = move || bus::open(&settings).map(|wire| Box::new(wire) as Box<dyn Wire>).map_err(of_bus);
                (Patience::None, Box::new(open))
            }
            Below::Simulated(simulation) => {
                let patience = if simulation.has_faults() { Patience::None } else { Patience::Fifo(SIMULATED_FIFO) };
                let wire = simulation.wire(&self.board, opening.base)?;
                (patience, Box::new(move || Ok(wire)))
            }
        };
        Ok(Box::new(Ads1299::new(self.board.clone(), open, patience, opening)))
    }

    fn hardware(&self) -> Option<Hardware> {
        let Below::Linux(settings) = &self.below else { return None };
        let further = [settings.witness, settings.start, settings.reset, settings.power_down];
        Some(Hardware {
            spi: settings.selects.clone(),
            gpio_chip: match &settings.chip {
                ChipChoice::Auto => None,
                ChipChoice::Path(path) => Some(path.display().to_string()),
                ChipChoice::Label(label) => Some(label.clone()),
            },
            drdy_line: Some(settings.drdy),
            control_lines: further.into_iter().flatten().collect(),
            spi_clock_hz: self.board.spi_clock_hz,
            bytes_per_frame: Budget::of(&self.board, self.board.spi_clock_hz).n_bytes,
            rate_hz: self.board.rate_hz,
            keep_out_us: KEEP_OUT_NS / 1e3,
        })
    }
}

fn of_bus(error: BusError) -> SourceError {
    match error {
        BusError::Permission { .. } => SourceError::NotAllowed(error.to_string()),
        _ => SourceError::Converter(error.to_string()),
    }
}
