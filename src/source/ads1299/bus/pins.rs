//! START, RESET and PWDN as outputs.

use std::fs::File;

use gpiocdev_uapi::v2::{self, LineFlags, LineValues};

use super::chip::{Chip, errno};
use super::settings::Line;
use super::{BusError, LinuxSettings};
use crate::source::ads1299::wire::{Pin, WireError};

/// Those control pins that are wired, in one request.
#[derive(Debug)]
pub(super) struct Pins {
    /// `None` where no pin is wired.
    request: Option<File>,
    /// In the order of the request.
    wired: Vec<Pin>,
}

impl Pins {
    /// Requests them as outputs: START low, RESET and PWDN high, which is a chip at rest.
    pub(super) fn open(chip: &Chip, settings: &LinuxSettings) -> Result<Pins, BusError> {
        let (wired, lines): (Vec<Pin>, Vec<Line>) = control_lines(settings).into_iter().unzip();
        if lines.is_empty() {
            return Ok(Pins { request: None, wired });
        }
        let mut levels = LineValues::default();
        for (i, pin) in wired.iter().enumerate() {
            levels.set(i, *pin != Pin::Start);
        }
        let mut config = v2::LineConfig { flags: LineFlags::OUTPUT, ..v2::LineConfig::default() };
        config.add_values(&levels);
        let request = chip.request(&lines, "biosigd-control", config, 0)?;
        Ok(Pins { request: Some(request), wired })
    }

    /// Whether the pin is wired.
    pub(super) fn has(&self, pin: Pin) -> bool {
        self.wired.contains(&pin)
    }

    /// Sets the pin; `ENXIO` when it is not wired.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn set(&self, pin: Pin, high: bool) -> Result<(), WireError> {
        let place = self.wired.iter().position(|wired| *wired == pin);
        let (Some(request), Some(i)) = (&self.request, place) else {
            return Err(WireError::Gpio(rustix::io::Errno::NXIO.raw_os_error()));
        };
        let mut levels = LineValues::default();
        levels.set(i, high);
        v2::set_line_values(request, &levels).map_err(|error| WireError::Gpio(errno(&error)))
    }

    /// Whether the request still stands: a chip that was unbound takes all its requests with it.
    pub(super) fn are_alive(&self) -> bool {
        let Some(request) = &self.request else { return true };
        let mut levels = LineValues { mask: 1, bits: 0 };
        v2::get_line_values(request, &mut levels).is_ok()
    }
}

/// The control pins that are wired, with their lines.
pub(super) fn control_lines(settings: &LinuxSettings) -> Vec<(Pin, Line)> {
    [
        (Pin::Start, "START", settings.start),
        (Pin::Reset, "RESET", settings.reset),
        (Pin::PowerDown, "PWDN", settings.power_down),
    ]
    .into_iter()
    .filter_map(|(pin, role, number)| Some((pin, Line { number: number?, role })))
    .collect()
}
