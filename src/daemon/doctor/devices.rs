//! The device nodes of the source: are they there, and may the daemon open them? They are looked at, not opened.

use super::machine::{Board, Machine, Node};
use super::report::{Finding, Remedy};
use super::rig::Rig;

/// The rules that give the nodes to the groups `spi` and `gpio` (`systemd/60-biosigd.rules`).
const UDEV_FILE: &str = "/etc/udev/rules.d/60-biosigd.rules";

/// `/dev/spidevBUS.SELECT` and `/dev/gpiochip*`.
pub(super) fn nodes(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    let Some(hardware) = &rig.hardware else {
        return vec![Finding::skipped(
            "devices",
            format!("the source `{}`, as configured, needs no SPI and no GPIO", rig.source_kind),
        )];
    };
    let all_lost = format!("No transfer, no frame: {} are lost every second.", rig.loss_per_s());
    let mut findings = Vec::new();
    for (bus, select) in &hardware.spi {
        let path = format!("/dev/spidev{bus}.{select}");
        findings.push(match machine.node(&path) {
            None => missing(machine, &path, (*bus, *select), &all_lost),
            Some(node) => permission("spidev", machine, &path, &node, ("spidev", "spi"), &all_lost),
        });
    }
    // Which of them is the header's only `gpio` can tell; udev's rules are the same for all.
    if let Some(name) = machine.names("/dev", "gpiochip").first() {
        let path = format!("/dev/{name}");
        let node = machine.node(&path);
        findings.extend(node.map(|node| permission("gpio", machine, &path, &node, ("gpio", "gpio"), &all_lost)));
    }
    findings
}

fn missing(machine: &Machine, path: &str, (bus, select): (u8, u8), why: &str) -> Finding {
    let there: Vec<String> = machine.names("/dev", "spidev").iter().map(|name| format!("/dev/{name}")).collect();
    let there = if there.is_empty() { "no spidev at all".to_owned() } else { there.join(", ") };
    let found = format!("{path} is not there; there is {there}");
    Finding::fault("spidev", found, why, overlay(machine, bus, select))
}

/// How a bus is switched on (Raspberry Pi, `overlays/README`; `hardware.md` 4.1 of the design).
fn overlay(machine: &Machine, bus: u8, select: u8) -> Remedy {
    if machine.exists(&format!("/sys/bus/spi/devices/spi{bus}.{select}")) {
        return Remedy::run("sudo modprobe spidev");
    }
    let n_selects = select + 1;
    let line = match (machine.board(), bus) {
        (Board::Other, _) => {
            return Remedy::new("a node with compatible = \"spidev\" for this bus in the machine's device tree");
        }
        (_, 0) if n_selects <= 2 => "dtparam=spi=on".to_owned(),
        (_, 1) if n_selects <= 3 => format!("dtoverlay=spi1-{n_selects}cs"),
        (Board::Pi5, 2 | 3 | 5) if n_selects <= 2 => format!("dtoverlay=spi{bus}-{n_selects}cs-pi5"),
        (Board::Pi5, 0..=3 | 5) => {
            return Remedy::new(format!(
                "so many chip selects need an overlay of your own, with cs-gpios and a node spidev@{select}; a daisy \
                 chain needs one select"
            ));
        }
        _ => return Remedy::new("the header has spi0, spi1, spi2, spi3 and spi5 on a Pi 5: configure one of them"),
    };
    let file =
        if machine.exists("/boot/firmware/config.txt") { "/boot/firmware/config.txt" } else { "/boot/config.txt" };
    Remedy::write(format!("append to {file}, and reboot"), line)
}

/// `udev`: the subsystem and the group that should own the node.
fn permission(
    check: &'static str,
    machine: &Machine,
    path: &str,
    node: &Node,
    udev: (&str, &str),
    why: &str,
) -> Finding {
    let (who, found) = (&machine.who, format!("{path} is {}:{} {:04o}", node.owner, node.group, node.mode));
    let account = if who.is_service { "the service's account " } else { "" };
    if node.open {
        return Finding::fine(check, format!("{found}; {account}{} may open it", who.name), why);
    }
    let (subsystem, group) = udev;
    let group_may = node.mode & 0o060 == 0o060 && node.gid != 0;
    let remedy = if group_may && who.is_service {
        let run = format!("{}; sudo systemctl restart biosigd", join(&who.name, &node.group));
        Remedy::run(run)
    } else if group_may {
        Remedy::write("run, and log in again", join(&who.name, &node.group))
    } else {
        Remedy::write(
            format!("write into {UDEV_FILE}, and reboot"),
            format!("SUBSYSTEM==\"{subsystem}\", GROUP=\"{group}\", MODE=\"0660\""),
        )
    };
    Finding::fault(check, format!("{found}; {account}{} may not read and write it", who.name), why, remedy)
}

/// Makes an account a member of a group.
fn join(account: &str, group: &str) -> String {
    format!("sudo usermod -aG {group} {account}")
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake, hardware};
    use super::super::report::Level;
    use super::*;
    use crate::source::Hardware;

    fn line(finding: &Finding) -> String {
        finding.remedy.as_ref().and_then(|remedy| remedy.line.clone()).unwrap_or_default()
    }

    #[test]
    fn a_source_without_hardware_needs_no_nodes() {
        let findings = nodes(&Fake::empty().machine(), &fake::synthetic());
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].level, findings[0].found.as_str()),
            (Level::Skipped, "the source `synthetic`, as configured, needs no SPI and no GPIO")
        );
    }

    #[test]
    fn nodes_of_a_pi_belong_to_their_groups() {
        let fake = Fake::pi5();
        let findings = nodes(&fake.machine(), &fake::ads1299());
        assert_eq!(findings.len(), 2);
        for finding in &findings {
            assert_eq!(finding.level, Level::Fine, "{}", finding.found);
            assert!(finding.found.ends_with(" 0660; lab may open it"), "{}", finding.found);
        }
    }

    #[test]
    fn a_node_of_others_names_the_group_or_the_rule() {
        let fake = Fake::pi5();
        let mut machine = fake.machine();
        machine.who.uid = 4_000_000;
        machine.who.gids.clear();
        let node = Node { mode: 0o660, gid: 989, owner: "root".to_owned(), group: "spi".to_owned(), open: false };
        let finding = permission("spidev", &machine, "/dev/spidev0.0", &node, ("spidev", "spi"), "why");
        assert_eq!(finding.level, Level::Fault);
        assert_eq!(finding.found, "/dev/spidev0.0 is root:spi 0660; lab may not read and write it");
        assert_eq!(line(&finding), "sudo usermod -aG spi lab");
        machine.who.is_service = true;
        let finding = permission("spidev", &machine, "/dev/spidev0.0", &node, ("spidev", "spi"), "why");
        assert!(finding.found.contains("; the service's account lab may not"), "{}", finding.found);
        assert_eq!(line(&finding), "sudo usermod -aG spi lab; sudo systemctl restart biosigd");
        let node = Node { mode: 0o600, gid: 0, group: "root".to_owned(), ..node };
        let finding = permission("gpio", &machine, "/dev/gpiochip0", &node, ("gpio", "gpio"), "why");
        assert_eq!(line(&finding), "SUBSYSTEM==\"gpio\", GROUP=\"gpio\", MODE=\"0660\"");
        // The mode alone decides about files of somebody else.
        assert_eq!(nodes(&machine, &fake::ads1299())[0].level, Level::Fault);
    }

    #[test]
    fn a_bus_that_is_off_is_switched_on_by_its_overlay() {
        let fake = Fake::pi5();
        for (spi, want) in [
            ((0, 1), "dtparam=spi=on"),
            ((1, 0), "dtoverlay=spi1-1cs"),
            ((1, 2), "dtoverlay=spi1-3cs"),
            ((3, 1), "dtoverlay=spi3-2cs-pi5"),
            ((0, 2), ""),
            ((4, 0), ""),
        ] {
            let findings = nodes(&fake.machine(), &fake::with(Hardware { spi: vec![spi], ..hardware() }));
            assert_eq!(findings[0].level, Level::Fault);
            assert_eq!(line(&findings[0]), want, "{spi:?}");
        }
        let findings = nodes(&fake.machine(), &fake::with(Hardware { spi: vec![(1, 0)], ..hardware() }));
        assert_eq!(findings[0].found, "/dev/spidev1.0 is not there; there is /dev/spidev0.0, /dev/spidev10.0");
        assert_eq!(findings[0].why, "No transfer, no frame: 4000 frames of 32 channels are lost every second.");
        let what = findings[0].remedy.clone().expect("one").what;
        assert_eq!(what, "append to /boot/firmware/config.txt, and reboot");
        fake.file("sys/bus/spi/devices/spi1.0/modalias", "spi:spidev");
        let findings = nodes(&fake.machine(), &fake::with(Hardware { spi: vec![(1, 0)], ..hardware() }));
        assert_eq!(line(&findings[0]), "sudo modprobe spidev");
        let empty = Fake::empty();
        let findings = nodes(&empty.machine(), &fake::ads1299());
        assert_eq!(findings[0].found, "/dev/spidev0.0 is not there; there is no spidev at all");
    }
}
