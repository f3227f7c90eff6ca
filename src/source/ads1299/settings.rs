//! From the keys of a file to a checked [`Board`]: every value in its range, and no two that contradict each other.

use super::board::{Board, COMPARATOR_PERCENT, CURRENTS_NA, Clock, LeadOffMode, SKIN_NA_MAX};
use super::budget::Budget;
use super::bus::{rp1_clock_hz, rp1_request_hz};
use super::describe::board;
use super::keys::{BiasDriveKey, Bus, ChannelKeys, ChannelTables, Keys, LeadOffKeys, Reference};
use super::layout::Topology;
use super::registers::{GAINS, RATES_HZ, Registers, name, rate_code};
use super::wiring;
use crate::config::{AutoOr, Mistakes, Table};

/// The most chips of a source.
pub(super) const CHIPS_MAX: usize = 8;

/// The fastest SPI clock of the chips at 3.3 V (SBAS499C, "Timing Requirements", tSCLK).
const CLOCK_HZ_MAX: u32 = 20_000_000;

/// What a table says, checked: the board, and what is below the driver.
pub(super) struct Checked {
    pub(super) board: Board,
    pub(super) keys: Keys,
    pub(super) selects: Vec<(u8, u8)>,
}

/// Reads the table, without `[source.simulated]`, and notes every mistake.
pub(super) fn read(table: &mut Table<'_>, mistakes: &mut Mistakes) -> Option<Checked> {
    let before = mistakes.len();
    let lead_off_table = table.section("lead_off", mistakes);
    let channel_tables = table.named("channel", mistakes);
    let keys: Option<Keys> = table.read(mistakes);
    let lead_off: Option<LeadOffKeys> = lead_off_table.read(mistakes);
    let keys = keys?;
    let mut check = Check { table, mistakes };
    let selects = check.wiring(&keys);
    let n_channels = keys.n_chips.clamp(1, CHIPS_MAX) * keys.model().n_channels();
    let tables = check.channel_tables(&channel_tables, n_channels);
    check.values(&keys);
    for (key, text) in wiring::mistakes(&keys, &selects) {
        check.must(false, key, text);
    }
    let lead_off = lead_off?;
    lead_off.check(&lead_off_table, check.mistakes);
    let board = board(&keys, &lead_off, &tables, selects.len());
    check.names(&keys, &board);
    if check.mistakes.len() == before {
        // These look at values together: they would only repeat what is wrong with one.
        check.bias(&keys, &board);
        check.budget(&keys, &board);
    }
    if check.mistakes.len() == before {
        check.shared_din(&board);
    }
    (mistakes.len() == before).then_some(Checked { board, keys, selects })
}

/// The table that is checked, and where its mistakes go.
struct Check<'t, 'd> {
    table: &'t Table<'d>,
    mistakes: &'t mut Mistakes,
}

impl Check<'_, '_> {
    fn must(&mut self, right: bool, key: &str, text: impl std::fmt::Display) {
        if !right {
            self.table.refuse(self.mistakes, key, text);
        }
    }

    /// Chip selects: as many as the topology needs, each written `BUS.SELECT`, none twice.
    fn wiring(&mut self, keys: &Keys) -> Vec<(u8, u8)> {
        let n_chips = keys.n_chips;
        self.must(
            (1..=CHIPS_MAX).contains(&n_chips),
            "n_chips",
            format_args!("n_chips = {n_chips} must be 1 to {CHIPS_MAX}"),
        );
        let n_chips = n_chips.clamp(1, CHIPS_MAX);
        let written = keys.spi.clone().unwrap_or_else(|| match keys.topology {
            Topology::Daisy => vec!["0.0".to_owned()],
            Topology::Cascade => (0..n_chips).map(|select| format!("0.{select}")).collect(),
        });
        let mut selects = Vec::new();
        for text in &written {
            let parts = text.split_once('.').and_then(|(bus, select)| Some((bus.parse().ok()?, select.parse().ok()?)));
            match parts {
                Some(place) if selects.contains(&place) => {
                    self.must(false, "spi", format_args!("spi: \"{text}\" stands twice, each row or chip has its own"));
                }
                Some(place) => selects.push(place),
                None => self.must(false, "spi", format_args!("spi: \"{text}\" must be BUS.SELECT, such as \"0.0\"")),
            }
        }
        let n_selects = written.len();
        match keys.topology {
            Topology::Cascade => self.must(
                n_selects == n_chips,
                "spi",
                format_args!("spi names {n_selects} chip selects, but a cascade of {n_chips} chips needs one for each"),
            ),
            Topology::Daisy => self.must(
                n_selects > 0 && n_chips % n_selects == 0,
                "spi",
                format_args!("spi names {n_selects} rows, but {n_chips} chips cannot be spread evenly over them"),
            ),
        }
        let mut buses: Vec<u8> = selects.iter().map(|(bus, _)| *bus).collect();
        buses.sort_unstable();
        buses.dedup();
        self.must(buses.len() <= 2, "spi", "spi: at most two buses, which are read one after the other");
        if selects.is_empty() { vec![(0, 0)] } else { selects }
    }

    /// Values that stand for themselves.
    fn values(&mut self, keys: &Keys) {
        let rate_hz = keys.rate_hz;
        let rates: Vec<String> = RATES_HZ.iter().rev().map(u32::to_string).collect();
        self.must(
            rate_code(rate_hz).is_some(),
            "rate_hz",
            format_args!("rate_hz = {rate_hz} must be one of {}", rates.join(", ")),
        );
        let clock_hz = keys.spi_clock_hz;
        self.must(
            (100_000..=CLOCK_HZ_MAX).contains(&clock_hz),
            "spi_clock_hz",
            format_args!("spi_clock_hz = {clock_hz} must be 100000 to {CLOCK_HZ_MAX}, the chip's limit at 3.3 V"),
        );
        if let AutoOr::Value(gap_bits) = keys.gap_bits {
            self.must(gap_bits <= 1, "gap_bits", format_args!("gap_bits = {gap_bits} must be \"auto\", 0 or 1"));
        }
        let vref_v = keys.vref_v;
        self.must(
            (1.0..=5.0).contains(&vref_v),
            "vref_v",
            format_args!("vref_v = {vref_v} must be 1 to 5 volts; the chips' own reference is 4.5"),
        );
        self.must(
            keys.reference == Reference::External || (4.4..=4.6).contains(&vref_v),
            "vref_v",
            format_args!("vref_v = {vref_v} must be near 4.5 with reference = \"internal\""),
        );
        self.gain("gain", keys.gain);
        for (key, pins) in [("trigger_pins", &keys.trigger_pins), ("high_pins", &keys.high_pins)] {
            for pin in pins {
                self.must((1..=4).contains(pin), key, format_args!("{key}: {pin} must be 1 to 4"));
            }
        }
        for pin in keys.high_pins.iter().filter(|pin| keys.trigger_pins.contains(pin)) {
            self.must(false, "high_pins", format_args!("high_pins: {pin} is a trigger input already"));
        }
        self.must(
            keys.clock != Clock::Internal || keys.n_chips == 1,
            "clock",
            format_args!(
                "clock = \"internal\": {} chips on their own oscillators drift apart by up to 1 %; feed them one clock and \
                 write \"external\" or \"first_chip\"",
                keys.n_chips
            ),
        );
        if let (None, Some((key, line))) = (keys.bus, wiring::first_line(keys)) {
            // Whoever wires a board and forgets the bus must not record what was never measured.
            self.must(
                false,
                key,
                format_args!(
                    "{key} = {line} is a GPIO of the Pi, but without `bus` the chips are simulated: write bus = \"spidev\", or bus \
                     = \"simulated\" to try this file without hardware"
                ),
            );
        }
        if keys.bus == Some(Bus::Spidev) {
            self.must(
                keys.drdy_line.is_some(),
                "drdy_line",
                "drdy_line is missing: bus = \"spidev\" needs the GPIO that DRDY is wired to",
            );
        }
    }

    fn gain(&mut self, key: &str, gain: u32) {
        let gains: Vec<String> = GAINS.iter().map(u32::to_string).collect();
        self.must(GAINS.contains(&gain), key, format_args!("{key} = {gain} must be one of {}", gains.join(", ")));
    }

    /// `[source.channel.N]`, N from 1.
    fn channel_tables(&mut self, tables: &[(String, Table<'_>)], n_channels: usize) -> ChannelTables {
        let mut found = ChannelTables::new();
        for (number, table) in tables {
            let Some(keys) = table.read::<ChannelKeys>(self.mistakes) else { continue };
            match number.parse::<usize>() {
                Ok(number) if (1..=n_channels).contains(&number) => {
                    if let Some(gain) = keys.gain {
                        Check { table, mistakes: self.mistakes }.gain("gain", gain);
                    }
                    found.insert(number, keys);
                }
                _ => table.refuse(self.mistakes, "", format_args!("`{number}` must be a channel, 1 to {n_channels}")),
            }
        }
        found
    }

    fn names(&mut self, keys: &Keys, board: &Board) {
        let (n_names, n_channels) = (keys.channels.len(), board.channels.len());
        self.must(
            n_names == 0 || n_names == n_channels,
            "channels",
            format_args!("channels names {n_names} channels, but the chips have {n_channels}: they must be as many"),
        );
        for (i, channel) in board.channels.iter().enumerate() {
            let name = &channel.name;
            let plain = name.bytes().all(|byte| (32..=126).contains(&byte)) && !name.trim().is_empty();
            self.must(
                plain && name.len() <= 16,
                "channels",
                format_args!("channels: `{name}` must be 1 to 16 printable ASCII characters, as EDF has it"),
            );
            let twice = board.channels[..i].iter().any(|other| other.name == *name);
            self.must(!twice, "channels", format_args!("channels: `{name}` stands twice, names must differ"));
        }
    }

    /// One amplifier drives the bias electrode; two would work against each other.
    fn bias(&mut self, keys: &Keys, board: &Board) {
        let in_rows = board.layout.selects.iter().any(|select| select.part_bits.len() > 1);
        match keys.bias_drive {
            BiasDriveKey::Off => {}
            BiasDriveKey::Chip(chip) => {
                let n_chips = board.layout.n_chips();
                self.must(
                    chip <= n_chips,
                    "bias_drive",
                    format_args!("bias_drive = {chip} must be a chip, 1 to {n_chips}"),
                );
                self.must(
                    !in_rows,
                    "bias_drive",
                    format_args!(
                        "bias_drive = {chip}: the chips of a row share DIN, so the bias amplifiers of all of them would be on; \
                         where only one output is wired, write \"all\""
                    ),
                );
            }
            BiasDriveKey::All => self.must(
                in_rows || board.layout.n_chips() == 1,
                "bias_drive",
                "bias_drive = \"all\": several amplifiers would drive one electrode; name the chip that does",
            ),
        }
    }

    /// The chips of a row take every command together: what differs between them cannot be.
    fn shared_din(&mut self, board: &Board) {
        for select in &board.layout.selects {
            let first: Registers = board.registers(select.first_chip);
            for chip in select.first_chip + 1..select.first_chip + select.part_bits.len() {
                let other = board.registers(chip);
                if let Some(address) = (0..first.len()).find(|address| first[*address] != other[*address]) {
                    self.must(
                        false,
                        "channel",
                        format_args!(
                            "chips {} and {} stand in one row and share DIN, so {} cannot be {:#04X} in one and {:#04X} in the \
                             other; give the same channel of each chip the same settings, or wire a chip select for each \
                             (topology = \"cascade\")",
                            select.first_chip + 1,
                            chip + 1,
                            name(address),
                            first[address],
                            other[address]
                        ),
                    );
                    return;
                }
            }
        }
    }

    fn budget(&mut self, keys: &Keys, board: &Board) {
        let budget = Budget::of(board, rp1_clock_hz(board.spi_clock_hz));
        let enough_hz = rp1_request_hz(budget.least_clock_hz());
        let remedy = if enough_hz <= CLOCK_HZ_MAX {
            format!("at least {enough_hz} Hz would be")
        } else {
            "no clock that the chips take is fast enough: a lower rate, or fewer chips to a bus".to_owned()
        };
        self.must(
            rate_code(keys.rate_hz).is_none() || budget.fits(),
            "spi_clock_hz",
            format_args!(
                "spi_clock_hz = {}, of which a Pi 5 makes {} Hz: {budget}; {remedy}",
                keys.spi_clock_hz, budget.clock_hz
            ),
        );
    }
}

impl LeadOffKeys {
    fn check(&self, table: &Table<'_>, mistakes: &mut Mistakes) {
        let mut check = Check { table, mistakes };
        let current = self.current_na;
        check.must(
            CURRENTS_NA.contains(&current),
            "current_na",
            format_args!("current_na = {current} must be one of 6, 24, 6000, 24000"),
        );
        check.must(
            current <= SKIN_NA_MAX || self.mode == LeadOffMode::Dc || self.mode == LeadOffMode::Off,
            "current_na",
            format_args!(
                "current_na = {current} must be 6 or 24 with an alternating current: microamperes are not for skin"
            ),
        );
        let percent = self.comparator_percent;
        let known: Vec<String> = COMPARATOR_PERCENT.iter().map(f64::to_string).collect();
        check.must(
            COMPARATOR_PERCENT.contains(&percent),
            "comparator_percent",
            format_args!("comparator_percent = {percent} must be one of {}", known.join(", ")),
        );
        let calibration = self.calibration;
        check.must(
            (0.1..=10.0).contains(&calibration),
            "calibration",
            format_args!("calibration = {calibration} must be 0.1 to 10"),
        );
        let series = self.series_ohms;
        check.must(
            (0.0..=1e6).contains(&series),
            "series_ohms",
            format_args!("series_ohms = {series} must be 0 to 1000000"),
        );
    }
}
