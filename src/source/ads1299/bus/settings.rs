//! Which devices and lines the chips are wired to.

use std::fmt;
use std::path::PathBuf;

/// The wiring, as numbers of buses, chip selects and GPIO lines. On a Pi the line numbers are those of the BCM GPIOs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxSettings {
    /// Bus and chip select of each select of the layout: `(0, 1)` is `/dev/spidev0.1`.
    pub selects: Vec<(u8, u8)>,
    /// The GPIO chip that all lines belong to.
    pub chip: ChipChoice,
    /// DRDY.
    pub drdy: u32,
    /// A line that never moves, requested together with DRDY: only a request of two lines counts the hard interrupts
    /// (see [`Edge::n_interrupts`](crate::source::ads1299::wire::Edge::n_interrupts)). `None`: edges that merge before
    /// the kernel's thread ran go unseen by number, and only time tells of them.
    pub witness: Option<u32>,
    /// START, where it is wired.
    pub start: Option<u32>,
    /// RESET, where it is wired.
    pub reset: Option<u32>,
    /// PWDN, where it is wired.
    pub power_down: Option<u32>,
}

/// How the GPIO chip is found. Numbers of `/dev/gpiochip*` differ from kernel to kernel: the header of a Pi 5 has been
/// 4, 0 and 11 to 15.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ChipChoice {
    /// By the labels of the Pi's own chips.
    #[default]
    Auto,
    /// This device.
    Path(PathBuf),
    /// By this label.
    Label(String),
}

impl ChipChoice {
    /// `auto`, a path that starts with `/`, or a label.
    #[must_use]
    pub fn of(text: &str) -> ChipChoice {
        match text {
            "auto" => ChipChoice::Auto,
            path if path.starts_with('/') => ChipChoice::Path(path.into()),
            label => ChipChoice::Label(label.to_owned()),
        }
    }
}

/// A GPIO line and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its number on the chip.
    pub number: u32,
    /// Its use: `DRDY`, `witness`, `START`, `RESET`, `PWDN`.
    pub role: &'static str,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPIO {} ({})", self.number, self.role)
    }
}

impl LinuxSettings {
    /// The lines that edges come from: DRDY first.
    pub(super) fn edge_lines(&self) -> Vec<Line> {
        let witness = self.witness.map(|number| Line { number, role: "witness" });
        std::iter::once(Line { number: self.drdy, role: "DRDY" }).chain(witness).collect()
    }
}
