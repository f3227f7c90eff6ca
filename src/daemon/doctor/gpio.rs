//! The GPIO chip of the header, found by its label because its number moves from kernel to kernel, and the lines that
//! the converter needs of it. Nothing is requested: only what the kernel tells about chips and lines is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use gpiocdev_uapi::v2;
use serde_json::json;

use super::machine::Machine;
use super::report::{Finding, Remedy};
use super::rig::Rig;
use crate::source::Hardware;
use crate::source::ads1299::bus::HEADER_LABELS;

const CHECK: &str = "gpio chip";

/// A GPIO character device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chip {
    /// Its name in `/dev`.
    pub(super) name: String,
    /// What it tells, or why it does not.
    pub(super) told: Result<Told, String>,
}

/// What the kernel tells of a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) label: String,
    pub(super) n_lines: u32,
    /// Of the lines that were asked about those in use, and by whom.
    pub(super) in_use: BTreeMap<u32, String>,
}

/// Asks every chip of this machine, and about the lines that `hardware` needs.
pub(super) fn list(machine: &Machine, hardware: &Hardware) -> Vec<Chip> {
    let wanted: Vec<u32> = lines(hardware).collect();
    let names = machine.names("/dev", "gpiochip");
    names.into_iter().map(|name| Chip { told: ask(&name, &wanted).map_err(|error| error.to_string()), name }).collect()
}

fn ask(name: &str, wanted: &[u32]) -> Result<Told, Box<dyn std::error::Error>> {
    let device = File::open(Path::new("/dev").join(name))?;
    let info = v2::get_chip_info(&device)?;
    let mut in_use = BTreeMap::new();
    for line in wanted.iter().copied().filter(|line| *line < info.num_lines) {
        let line_info = v2::get_line_info(&device, line)?;
        if line_info.flags.contains(v2::LineFlags::USED) {
            in_use.insert(line, String::from(&line_info.consumer));
        }
    }
    Ok(Told { label: String::from(&info.label), n_lines: info.num_lines, in_use })
}

fn lines(hardware: &Hardware) -> impl Iterator<Item = u32> {
    hardware.drdy_line.into_iter().chain(hardware.control_lines.iter().copied())
}

/// Whether the chip is there and its lines are free.
pub(super) fn chip(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    let Some(hardware) = &rig.hardware else { return Vec::new() };
    let no_drdy = format!(
        "Without the edges of DRDY nobody knows when a frame is there: all are lost, {} every second.",
        rig.loss_per_s()
    );
    let Some((chip, told)) = machine.chips.iter().find_map(|chip| Some((chip, wanted(hardware, chip)?))) else {
        return vec![missing(machine, hardware, no_drdy)];
    };
    let figures = json!({"device": format!("/dev/{}", chip.name), "label": told.label, "lines": told.n_lines});
    let whole = format!("/dev/{} is {} with {} lines", chip.name, told.label, told.n_lines);
    if let Some(line) = lines(hardware).find(|line| *line >= told.n_lines) {
        let remedy = Remedy::new("in [source] a line is the GPIO's number (BCM), not that of the header's pin");
        return vec![Finding::fault(CHECK, format!("{whole}; it has no line {line}"), no_drdy, remedy).with(figures)];
    }
    let mut findings: Vec<Finding> = told
        .in_use
        .iter()
        .map(|(line, consumer)| {
            let what = if hardware.drdy_line == Some(*line) { "DRDY" } else { "of the same source" };
            let found = format!("{whole}; line {line} ({what}) is in use by `{consumer}`");
            let why = "A line has one owner: the source cannot be opened, and no frame is read.".to_owned();
            let remedy = "end the program that has it, or take the overlay out of config.txt that claims it, or use \
                          another line; to see all lines and owners, run";
            Finding::fault(CHECK, found, why, Remedy::write(remedy, "gpioinfo"))
        })
        .collect();
    if findings.is_empty() {
        let drdy = hardware.drdy_line.map_or(String::new(), |line| format!("; line {line} (DRDY) is free"));
        findings.push(Finding::fine(CHECK, format!("{whole}{drdy}"), no_drdy));
    }
    findings.into_iter().map(|finding| finding.with(figures.clone())).collect()
}

/// What the chip tells, if it is the one that is configured, else one behind the header.
fn wanted<'c>(hardware: &Hardware, chip: &'c Chip) -> Option<&'c Told> {
    let told = chip.told.as_ref().ok()?;
    let is_wanted = match &hardware.gpio_chip {
        Some(name) => *name == chip.name || *name == told.label || name.strip_prefix("/dev/") == Some(&chip.name),
        None => HEADER_LABELS.contains(&told.label.as_str()),
    };
    is_wanted.then_some(told)
}

fn missing(machine: &Machine, hardware: &Hardware, why: String) -> Finding {
    let wanted = hardware.gpio_chip.clone().unwrap_or_else(|| format!("labelled {}", HEADER_LABELS.join(" or ")));
    let there: Vec<String> = machine
        .chips
        .iter()
        .map(|chip| match &chip.told {
            Ok(told) => format!("/dev/{} ({})", chip.name, told.label),
            Err(error) => format!("/dev/{} (cannot be asked: {error})", chip.name),
        })
        .collect();
    let found = if there.is_empty() {
        "there is no /dev/gpiochip at all".to_owned()
    } else {
        format!("no GPIO chip {wanted}; there are {}", there.join(", "))
    };
    let remedy = if machine.chips.iter().any(|chip| chip.told.is_err()) {
        Remedy::new("first let the account open it, as the line `gpio` above says")
    } else if there.is_empty() {
        Remedy::new("a machine with pins, such as a Raspberry Pi 5; elsewhere use a simulated or replayed source")
    } else {
        Remedy::new("name the chip as `gpio_chip` in [source], by its label or device")
    };
    Finding::fault(CHECK, found, why, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake, hardware};
    use super::super::report::Level;
    use super::*;

    fn told(name: &str, label: &str, in_use: &[(u32, &str)]) -> Chip {
        let in_use = in_use.iter().map(|(line, consumer)| (*line, (*consumer).to_owned())).collect();
        Chip { name: name.to_owned(), told: Ok(Told { label: label.to_owned(), n_lines: 54, in_use }) }
    }

    fn found(chips: Vec<Chip>, hardware: Hardware) -> Finding {
        let fake = Fake::pi5();
        let mut machine = fake.machine();
        machine.chips = chips;
        let mut findings = chip(&machine, &fake::with(hardware));
        assert_eq!(findings.len(), 1);
        findings.remove(0)
    }

    #[test]
    fn the_chip_is_found_by_its_label_wherever_it_is() {
        let others = || vec![told("gpiochip10", "gpio-brcmstb@107d508500", &[])];
        for name in ["gpiochip0", "gpiochip4", "gpiochip15"] {
            let finding = found([others(), vec![told(name, "pinctrl-rp1", &[])]].concat(), hardware());
            assert_eq!(finding.level, Level::Fine);
            assert_eq!(finding.found, format!("/dev/{name} is pinctrl-rp1 with 54 lines; line 25 (DRDY) is free"));
        }
        let finding = found(others(), hardware());
        assert_eq!(finding.level, Level::Fault);
        assert_eq!(
            finding.found,
            "no GPIO chip labelled pinctrl-rp1 or pinctrl-bcm2711 or pinctrl-bcm2835; there are /dev/gpiochip10 \
             (gpio-brcmstb@107d508500)"
        );
        assert!(finding.why.ends_with("all are lost, 4000 frames of 32 channels every second."), "{}", finding.why);
        for name in ["gpiochip10", "/dev/gpiochip10", "gpio-brcmstb@107d508500"] {
            let named = Hardware { gpio_chip: Some(name.to_owned()), ..hardware() };
            assert_eq!(found(others(), named).level, Level::Fine, "{name}");
        }
        assert_eq!(found(Vec::new(), hardware()).found, "there is no /dev/gpiochip at all");
    }

    #[test]
    fn a_line_has_one_owner_and_must_exist() {
        let finding = found(vec![told("gpiochip0", "pinctrl-rp1", &[(25, "spi1 CS0")])], hardware());
        assert_eq!(finding.level, Level::Fault);
        assert!(finding.found.ends_with("line 25 (DRDY) is in use by `spi1 CS0`"), "{}", finding.found);
        let finding = found(
            vec![told("gpiochip0", "pinctrl-rp1", &[])],
            Hardware { drdy_line: None, control_lines: vec![54], ..hardware() },
        );
        assert!(finding.found.ends_with("it has no line 54"), "{}", finding.found);
    }

    #[test]
    fn a_chip_that_may_not_be_asked_is_told() {
        let chip = Chip { name: "gpiochip0".to_owned(), told: Err("Permission denied".to_owned()) };
        let finding = found(vec![chip], hardware());
        assert!(finding.found.contains("/dev/gpiochip0 (cannot be asked: Permission denied)"), "{}", finding.found);
        assert!(finding.remedy.expect("one").what.contains("let the account open it"));
    }

    #[test]
    fn this_machine_s_chips_can_be_listed() {
        for chip in list(&Machine::this("rig.toml"), &hardware()) {
            assert!(chip.name.starts_with("gpiochip"));
        }
    }
}
