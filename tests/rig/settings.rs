//! What `rig.toml` says, the file that `BIOSIGD_RIG` names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// The machine, the board on its header, and what goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// A directory that the rig makes: what a listing of `/dev` shows.
    pub(crate) dev: PathBuf,
    /// Where the truth is written at the end.
    pub(crate) truth: PathBuf,
    /// The SPI devices with something on their select, as `BUS.SELECT`, in the order of the board's selects.
    pub(crate) spi: Vec<String>,
    /// GPIO chips: the names of their devices and their labels. The board hangs on the first one.
    pub(crate) chips: Vec<(String, String)>,
    /// Lines of each chip.
    pub(crate) n_lines: u32,
    /// Lines of the first chip; left out: not wired.
    pub(crate) drdy_line: Option<u32>,
    pub(crate) start_line: Option<u32>,
    pub(crate) reset_line: Option<u32>,
    pub(crate) power_down_line: Option<u32>,
    /// Whether a transfer takes the time that its bits need on the wire.
    pub(crate) wire_time: bool,
    /// Other files that the program is to find: path and text.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) board: Board,
    pub(crate) faults: Faults,
}

/// What hangs on the wires.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Board {
    pub(crate) kind: Kind,
    /// Of `loopback`: the generator's.
    pub(crate) rate_hz: f64,
    // The others: of `ads1299`.
    pub(crate) n_chips: usize,
    pub(crate) topology: Topology,
    pub(crate) gap_bits: usize,
    /// How far the chips' clock is off.
    pub(crate) clock_ppm: f64,
    /// Whether the chips have a clock at all, and supplies.
    pub(crate) clocked: bool,
    pub(crate) powered: bool,
    /// What MISO reads while no chip drives it.
    pub(crate) float: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Simulated chips with the counter as their signal.
    Ads1299,
    /// MISO is wired to MOSI, and a generator to DRDY that runs while START is high.
    Loopback,
}

/// How the chips share the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topology {
    Daisy,
    Cascade,
}

/// What goes wrong between the board and the program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// Each so-manieth edge of DRDY meets the one before it in the interrupt controller's latch: no trace of it but
    /// time. 0: never, here and below.
    pub(crate) latch_every: u64,
    /// Each so-manieth edge's event merges with the next one's: the hard interrupt counts it, the event does not.
    pub(crate) coalesce_every: u64,
    /// A line on which an edge comes with each so-manieth edge of DRDY.
    pub(crate) crosstalk: Option<(u32, u64)>,
    /// Each so-manieth transfer fails with `spi_errno`; those before `spi_fail_from` do not.
    pub(crate) spi_fail_every: u64,
    pub(crate) spi_fail_from: u64,
    /// `EIO` when left out.
    pub(crate) spi_errno: Option<i32>,
    /// Devices that may not be opened.
    pub(crate) denied: Vec<String>,
    /// Lines that somebody else has: number and consumer.
    pub(crate) busy: Vec<(u32, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            dev: PathBuf::new(),
            truth: PathBuf::new(),
            spi: vec!["0.0".to_owned()],
            chips: vec![
                ("gpiochip11".to_owned(), "pinctrl-rp1".to_owned()),
                ("gpiochip10".to_owned(), "gpio-brcmstb@107d508500".to_owned()),
            ],
            n_lines: 54,
            drdy_line: Some(17),
            start_line: Some(22),
            reset_line: Some(27),
            power_down_line: None,
            wire_time: true,
            files: BTreeMap::new(),
            board: Board::default(),
            faults: Faults::default(),
        }
    }
}

impl Default for Board {
    fn default() -> Board {
        Board {
            kind: Kind::Ads1299,
            rate_hz: 4000.0,
            n_chips: 4,
            topology: Topology::Daisy,
            gap_bits: 0,
            clock_ppm: 50.0,
            clocked: true,
            powered: true,
            float: 0xFF,
        }
    }
}

impl Settings {
    /// Reads the file that the environment names; `None` where it names none.
    pub(crate) fn read() -> Option<Result<Settings, String>> {
        let path = PathBuf::from(std::env::var_os("BIOSIGD_RIG")?);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
        Some(text.and_then(|text| toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))))
    }
}
