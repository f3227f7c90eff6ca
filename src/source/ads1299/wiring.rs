//! Which GPIO of a Pi is whose: wires that cannot be as the keys say, found before anything is opened.

use super::keys::Keys;

/// The GPIOs of a Pi's header are 0 to this one.
const HEADER_MAX: u32 = 27;

/// The pins of one SPI controller, where the kernel's own overlays put them.
struct Controller {
    bus: u8,
    /// MOSI, MISO and SCLK, by name where the order is known.
    signals: [(&'static str, u32); 3],
    /// The chip selects, from 0. An overlay with `csN_pin` puts them elsewhere.
    selects: &'static [u32],
}

/// Those of a Pi 5 that reach the header (SPI 4 is a target only, SPI 10 the boot memory's). SPI 0 and 1 are where they were
/// on every Pi.
const CONTROLLERS: [Controller; 5] = [
    Controller { bus: 0, signals: [("MOSI", 10), ("MISO", 9), ("SCLK", 11)], selects: &[8, 7] },
    Controller { bus: 1, signals: [("MOSI", 20), ("MISO", 19), ("SCLK", 21)], selects: &[18, 17, 16] },
    Controller {
        bus: 2,
        signals: [("data or clock", 1), ("data or clock", 2), ("data or clock", 3)],
        selects: &[0, 24],
    },
    Controller {
        bus: 3,
        signals: [("data or clock", 5), ("data or clock", 6), ("data or clock", 7)],
        selects: &[4, 25],
    },
    Controller {
        bus: 5,
        signals: [("data or clock", 13), ("data or clock", 14), ("data or clock", 15)],
        selects: &[12, 26],
    },
];

/// A GPIO that is taken, and what by.
struct Taken {
    gpio: u32,
    by: String,
    bus: u8,
}

/// What is wrong with the wires of `keys`, whose chip selects are `selects`: each with the key at which it stands.
///
/// Pins of buses are known where the lines are those of the Pi itself (`gpio_chip = "auto"`); whoever names another chip, or
/// the Pi's by its label because an overlay moved a select, knows better.
pub(super) fn mistakes(keys: &Keys, selects: &[(u8, u8)]) -> Vec<(&'static str, String)> {
    let mut mistakes = Vec::new();
    let is_of_the_pi = keys.gpio_chip == "auto";
    let buses = if is_of_the_pi { of_buses(selects, &mut mistakes) } else { Vec::new() };
    let mut lines: Vec<(&str, u32)> = Vec::new();
    for (key, line) in lines_of(keys) {
        if is_of_the_pi && line > HEADER_MAX {
            let text = format!(
                "{key} = {line} must be 0 to {HEADER_MAX}, a GPIO of the Pi's header: its number as GPIO, not that of the pin; \
                 lines of another chip need its `gpio_chip`"
            );
            mistakes.push((key, text));
        }
        if let Some((other, _)) = lines.iter().find(|(_, taken)| *taken == line) {
            mistakes.push((key, format!("{key} = {line} is {other} already; each has its own GPIO")));
        }
        if let Some(Taken { by, .. }) = buses.iter().find(|taken| taken.gpio == line) {
            let text = format!("{key} = {line} is {by}, which `spi` uses; it needs a GPIO of its own");
            mistakes.push((key, text));
        }
        lines.push((key, line));
    }
    mistakes
}

/// The keys that name a GPIO, as far as they are written.
fn lines_of(keys: &Keys) -> impl Iterator<Item = (&'static str, u32)> {
    let lines = [
        ("drdy_line", keys.drdy_line),
        ("witness_line", keys.witness_line),
        ("start_line", keys.start_line),
        ("reset_line", keys.reset_line),
        ("power_down_line", keys.power_down_line),
    ];
    lines.into_iter().filter_map(|(key, line)| Some((key, line?)))
}

/// The first of [`lines_of`], for whoever must know whether there is any.
pub(super) fn first_line(keys: &Keys) -> Option<(&'static str, u32)> {
    lines_of(keys).next()
}

/// The GPIOs of the buses and the chip selects that are used; two of them on one GPIO are a mistake.
fn of_buses(selects: &[(u8, u8)], mistakes: &mut Vec<(&'static str, String)>) -> Vec<Taken> {
    let mut all: Vec<Taken> = Vec::new();
    for controller in &CONTROLLERS {
        let bus = controller.bus;
        let used = selects.iter().filter(|(of, _)| *of == bus);
        let pins = used.filter_map(|(_, select)| {
            let gpio = *controller.selects.get(usize::from(*select))?;
            Some(Taken { gpio, by: format!("the chip select of \"{bus}.{select}\""), bus })
        });
        let mut pins: Vec<Taken> = pins.collect();
        if selects.iter().any(|(of, _)| *of == bus) {
            let signals = controller.signals.iter();
            pins.extend(signals.map(|(name, gpio)| Taken { gpio: *gpio, by: format!("{name} of SPI {bus}"), bus }));
        }
        for pin in pins {
            if let Some(other) = all.iter().find(|other| other.gpio == pin.gpio && other.bus != bus) {
                let text = format!(
                    "spi: GPIO {} would be both {} and {}: take another bus or select",
                    pin.gpio, other.by, pin.by
                );
                mistakes.push(("spi", text));
            }
            all.push(pin);
        }
    }
    all
}
