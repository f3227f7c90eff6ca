//! The row of `source::KINDS`: from a table to a source, and what stands below it.

use std::time::Duration;

use super::board::{Board, LeadOff, LeadOffMode, ReadMode, SKIN_NA_MAX};
use super::budget::{Budget, KEEP_OUT_NS};
use super::bus::{self, BusError, ChipChoice, LinuxSettings};
use super::chain::{Ads1299, OpenWire, Patience};
use super::frame_time::FrameTime;
use super::keys::{Bus, KEYS};
use super::layout::Topology;
use super::readback::ReadBack;
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
    let layout = checked.as_ref().map(|checked| &checked.board.layout);
    let simulation = Simulation::read(simulated, layout, mistakes);
    let Checked { board, keys, selects } = checked?;
    let below = match keys.bus.unwrap_or(Bus::Simulated) {
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
        let mut source = Ads1299::new(self.board.clone(), open, patience, opening);
        if matches!(self.below, Below::Simulated(_)) {
            for channel in &mut source.stream.channels {
                *channel = channel.clone().simulated();
            }
        }
        Ok(Box::new(source))
    }

    fn hardware(&self) -> Option<Hardware> {
        matches!(self.below, Below::Linux(_)).then(|| self.needs())
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("chips", self.chips()), ("spi", self.spi())];
        if let Below::Linux(settings) = &self.below {
            let named = |role: &str, line: Option<u32>, without: &str| match line {
                Some(line) => format!("{role} {line}"),
                None => format!("{role} {without}"),
            };
            let pins = [
                named("DRDY", Some(settings.drdy), ""),
                named("witness", settings.witness, "none: edges that the kernel merges are seen by time alone"),
                named("START", settings.start, "by command"),
                named("RESET", settings.reset, "by command"),
                named("PWDN", settings.power_down, "not wired"),
            ];
            lines.push(("gpio", pins.join(", ")));
        }
        lines
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let LeadOff { mode, current_na, .. } = self.board.lead_off;
        if mode == LeadOffMode::Dc && current_na > SKIN_NA_MAX {
            warnings.push(format!(
                "lead_off: current_na = {current_na} is a direct current for a bench; on skin 6 or 24 is right"
            ));
        }
        // What the kernel takes was measured on no Pi yet, so nothing is refused for it.
        let too_many_us = -FrameTime::of(&self.needs(), true).left_us();
        if matches!(self.below, Below::Linux(_)) && too_many_us > 0.0 {
            warnings.push(format!(
                "spi: a frame takes {too_many_us:.1} us more than there are between two conversions, by what the kernel is thought to \
                 take on a Pi 5: conversions would be missed all the time; a lower rate_hz, a faster spi_clock_hz or fewer chip \
                 selects would be right"
            ));
        }
        warnings
    }
}

impl Ads1299Plan {
    /// Which chips, where they are, and what their channels reach.
    fn chips(&self) -> String {
        let layout = &self.board.layout;
        let n_chips = layout.n_chips();
        let how = match (n_chips, layout.topology, layout.selects.len()) {
            (1, ..) => "".to_owned(),
            (_, Topology::Daisy, 1) => " in a daisy chain".to_owned(),
            (_, Topology::Daisy, n) => format!(" in {n} daisy chains"),
            (_, Topology::Cascade, _) => ", each at its own chip select".to_owned(),
        };
        let place = match &self.below {
            Below::Simulated(_) => "simulated".to_owned(),
            Below::Linux(settings) => {
                let nodes = settings.selects.iter().map(|(bus, select)| format!("/dev/spidev{bus}.{select}"));
                nodes.collect::<Vec<_>>().join(", ")
            }
        };
        let mut gains: Vec<u32> = self.board.channels.iter().map(|channel| channel.gain).collect();
        gains.sort_unstable();
        gains.dedup();
        let reach = |gain: &u32| format!("{gain} (+-{} mV)", self.board.vref_v * 1e3 / f64::from(*gain));
        format!(
            "{n_chips} {}{how}: {place}; gain {}",
            layout.models[0].name(),
            gains.iter().map(reach).collect::<Vec<_>>().join(" and ")
        )
    }

    /// What it needs of a machine; of simulated chips, what real ones in their place would.
    fn needs(&self) -> Hardware {
        let mut hardware = Hardware {
            spi: (0..self.board.layout.selects.len()).map(|select| (0, u8::try_from(select).unwrap_or(0))).collect(),
            gpio_chip: None,
            drdy_line: None,
            control_lines: Vec::new(),
            spi_clock_hz: self.board.spi_clock_hz,
            bytes_per_frame: Budget::of(&self.board, self.board.spi_clock_hz).n_bytes,
            rate_hz: self.board.rate_hz,
            keep_out_us: KEEP_OUT_NS / 1e3,
        };
        if let Below::Linux(settings) = &self.below {
            let further = [settings.witness, settings.start, settings.reset, settings.power_down];
            hardware.spi = settings.selects.clone();
            hardware.gpio_chip = match &settings.chip {
                ChipChoice::Auto => None,
                ChipChoice::Path(path) => Some(path.display().to_string()),
                ChipChoice::Label(label) => Some(label.clone()),
            };
            hardware.drdy_line = Some(settings.drdy);
            hardware.control_lines = further.into_iter().flatten().collect();
        }
        hardware
    }

    /// The sum for one frame on a Pi 5, as `doctor` has it.
    fn spi(&self) -> String {
        let time = FrameTime::of(&self.needs(), true);
        let asked_hz = self.board.spi_clock_hz;
        let left = match time.left_us() {
            us if us > 0.0 => format!("{us:.1} us are left for waking up"),
            us => format!("{:.1} us too many: conversions would be missed, if the estimate is right", -us),
        };
        let look_us = ReadBack::TIME_NS as f64 / 1e3;
        let starves = self.board.read_mode == ReadMode::Rdata && time.left_us() < look_us;
        let read_back = if starves {
            format!("; no register is read back in the run, which takes {look_us:.0} us more")
        } else {
            String::new()
        };
        format!("a frame on a Pi 5, which makes {} Hz of {asked_hz}: {time}; {left}{read_back}", time.clock_hz)
    }
}

fn of_bus(error: BusError) -> SourceError {
    match error {
        BusError::Permission { .. } => SourceError::NotAllowed(error.to_string()),
        _ => SourceError::Converter(error.to_string()),
    }
}
