//! The chips' wires on Linux: SPI through spidev and rppal, DRDY and the control pins through the GPIO character device,
//! whose chip is found by its label. rppal's own GPIO would not do: it stops at the first number of `/dev/gpiochip*` that
//! is not there, waits in whole milliseconds, and hides the number that counts hard interrupts.
//!
//! What closes here: a GPIO line that is given back becomes an input, so the control pins of a board float when the daemon
//! ends, unless it has pull-ups on RESET and PWDN and a pull-down on START.

mod chip;
mod clock;
mod drdy;
mod error;
mod pins;
mod settings;
mod spi;
#[cfg(test)]
mod tests;

use rppal::spi::Spi;
use rustix::io::Errno;
use rustix::thread::{ClockId, Timespec, clock_nanosleep_absolute};

pub use self::chip::{HEADER_LABELS, chips_seen};
pub use self::clock::{rp1_clock_hz, rp1_request_hz};
pub use self::error::{BusError, SeenChip};
pub use self::settings::{ChipChoice, Line, LinuxSettings};
pub use self::spi::BUFSIZ_MIN;

use self::chip::Chip;
use self::drdy::Drdy;
use self::pins::Pins;
use super::wire::{Edge, Hz, Pin, Shape, Wire, WireError};
use crate::rt;

/// The wires of a Pi.
#[derive(Debug)]
pub struct LinuxWire {
    settings: LinuxSettings,
    chip: Chip,
    /// By select; empty after a reopening that failed.
    spis: Vec<Spi>,
    /// `None` after a reopening that failed.
    drdy: Option<Drdy>,
    /// What the last one counted, for the next one to go on from.
    counted: drdy::Counts,
    pins: Pins,
}

/// Opens SPI devices and GPIO lines. Nothing is sent to the chips; START goes low, RESET and PWDN high.
///
/// # Errors
/// When one of them is not there, may not be used or is taken; the text has the remedy.
pub fn open(settings: &LinuxSettings) -> Result<LinuxWire, BusError> {
    refuse_line_twice(settings)?;
    let spis = spi::open_all(&settings.selects)?;
    let chip = Chip::find(&settings.chip)?;
    let pins = Pins::open(&chip, settings)?;
    let drdy = Drdy::open(&chip, &settings.edge_lines(), drdy::Counts::default())?;
    Ok(LinuxWire { settings: settings.clone(), chip, spis, drdy: Some(drdy), counted: drdy::Counts::default(), pins })
}

/// The kernel would call it busy, and name ourselves.
fn refuse_line_twice(settings: &LinuxSettings) -> Result<(), BusError> {
    let mut lines = settings.edge_lines();
    lines.extend(pins::control_lines(settings).into_iter().map(|(_, line)| line));
    for (i, line) in lines.iter().enumerate() {
        if let Some(also) = lines[..i].iter().find(|earlier| earlier.number == line.number) {
            return Err(BusError::LineTwice { line: *line, also: also.role });
        }
    }
    Ok(())
}

impl LinuxWire {
    /// The GPIO chip that was found: its device and its label.
    #[must_use]
    pub fn chip(&self) -> SeenChip {
        SeenChip { path: self.chip.path.clone(), label: Ok(self.chip.label.clone()) }
    }

    fn open_again(&mut self) -> Result<(), WireError> {
        let of_spi = |error: BusError| WireError::Spi(error.errno());
        let of_gpio = |error: BusError| WireError::Gpio(error.errno());
        if let Some(drdy) = self.drdy.take() {
            self.counted = drdy.counts();
        }
        self.spis.clear();
        self.spis = spi::open_all(&self.settings.selects).map_err(of_spi)?;
        self.chip = Chip::find(&self.settings.chip).map_err(of_gpio)?;
        // Pins that still can be set are kept: given back they would float.
        if !self.pins.are_alive() {
            self.pins = Pins::open(&self.chip, &self.settings).map_err(of_gpio)?;
        }
        self.drdy = Some(Drdy::open(&self.chip, &self.settings.edge_lines(), self.counted).map_err(of_gpio)?);
        Ok(())
    }
}

impl Wire for LinuxWire {
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn now_ns(&self) -> u64 {
        rt::now_ns()
    }

    /// Real time: no allocation, no locks, no logging; waits for the instant alone.
    fn wait_until(&mut self, at_ns: u64) {
        let at = Timespec {
            tv_sec: i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ns % 1_000_000_000).unwrap_or(0),
        };
        while clock_nanosleep_absolute(ClockId::Monotonic, &at) == Err(Errno::INTR) {}
    }

    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        match self.spis.get(shape.select) {
            Some(spi) => spi::transfer(spi, shape, tx, rx),
            None => Err(WireError::Spi(Errno::NODEV.raw_os_error())),
        }
    }

    /// Real time: no allocation, no locks, no logging; waits for DRDY alone.
    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        match &mut self.drdy {
            Some(drdy) => drdy.wait(deadline_ns),
            None => Err(WireError::Gpio(Errno::NODEV.raw_os_error())),
        }
    }

    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        self.pins.set(pin, high)
    }

    fn has_pin(&self, pin: Pin) -> bool {
        self.pins.has(pin)
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        // Of other machines' controllers nothing is known: what they make of it stays unsaid.
        if self.chip.is_rp1() { clock::rp1_clock_hz(clock_hz) } else { clock_hz }
    }

    /// The counts of edges go on where they were; edges of the time between are in none of them.
    fn reopen(&mut self) -> Result<(), WireError> {
        self.open_again()
    }
}
