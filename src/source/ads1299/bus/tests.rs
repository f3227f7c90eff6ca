//! What can be said without a device; the rest runs in the rig (`tests/rig/`).

use std::io;
use std::path::PathBuf;

use super::*;

fn settings() -> LinuxSettings {
    LinuxSettings {
        selects: vec![(0, 0)],
        chip: ChipChoice::Auto,
        drdy: 17,
        witness: Some(4),
        start: Some(22),
        reset: Some(27),
        power_down: None,
    }
}

#[test]
fn a_chip_is_named_by_auto_a_path_or_a_label() {
    assert_eq!(ChipChoice::of("auto"), ChipChoice::Auto);
    assert_eq!(ChipChoice::of("/dev/gpiochip4"), ChipChoice::Path("/dev/gpiochip4".into()));
    assert_eq!(ChipChoice::of("pinctrl-rp1"), ChipChoice::Label("pinctrl-rp1".to_owned()));
}

#[test]
fn one_line_for_two_uses_is_refused_before_anything_is_opened() {
    let error = open(&LinuxSettings { witness: Some(17), ..settings() }).expect_err("one line twice");
    assert_eq!(error.to_string(), "GPIO 17 (witness) is also DRDY: each needs a GPIO of its own");
    let error = open(&LinuxSettings { start: Some(4), ..settings() }).expect_err("one line twice");
    assert_eq!(error.to_string(), "GPIO 4 (START) is also witness: each needs a GPIO of its own");
}

#[test]
fn every_refusal_names_its_remedy() {
    let missing = |bus, select| BusError::NoSpiDevice { bus, select, seen: Vec::new() };
    let busy =
        |consumer: &str| BusError::LineBusy { line: Line { number: 8, role: "DRDY" }, consumer: consumer.to_owned() };
    let denied = |owner: Option<&str>| BusError::Permission {
        path: "/dev/gpiochip0".into(),
        group: "gpio",
        owner: owner.map(str::to_owned),
    };
    let seen = || {
        vec![
            SeenChip { path: "/dev/gpiochip10".into(), label: Ok("gpio-brcmstb@107d508500".to_owned()) },
            SeenChip { path: "/dev/gpiochip11".into(), label: Err(io::ErrorKind::PermissionDenied) },
        ]
    };
    let table = [
        (
            missing(0, 0),
            "/dev/spidev0.0 is not there: enable SPI with dtparam=spi=on in /boot/firmware/config.txt and restart",
        ),
        (
            missing(1, 2),
            "/dev/spidev1.2 is not there: enable SPI with dtoverlay=spi1-3cs in /boot/firmware/config.txt and restart",
        ),
        (
            missing(3, 0),
            "/dev/spidev3.0 is not there: enable SPI with dtoverlay=spi3-1cs-pi5 in /boot/firmware/config.txt and restart",
        ),
        (
            BusError::NoSpiDevice {
                bus: 0,
                select: 2,
                seen: ["/dev/spidev0.0", "/dev/spidev0.1"].map(PathBuf::from).into(),
            },
            "/dev/spidev0.2 is not there: bus 0 has a chip select 2 only with a device-tree overlay made for it (there are \
             /dev/spidev0.0, /dev/spidev0.1)",
        ),
        (
            missing(4, 0),
            "/dev/spidev4.0 is not there: the header of a Pi 5 has the buses 0, 1, 2, 3 and 5, and no bus 4",
        ),
        (
            BusError::NoSuchSelect { bus: 7, select: 0 },
            "select `7.0`: buses go from 0 to 6 and chip selects from 0 to 15",
        ),
        (
            denied(None),
            "/dev/gpiochip0: permission denied: biosigd's account is not in group `gpio`: `sudo usermod -aG gpio ACCOUNT` \
             and log in again, or for the service SupplementaryGroups=gpio",
        ),
        (
            denied(Some("dialout")),
            "/dev/gpiochip0: permission denied: biosigd's account is not in group `dialout`: `sudo usermod -aG dialout \
             ACCOUNT` and log in again, or for the service SupplementaryGroups=dialout",
        ),
        (
            denied(Some("root")),
            "/dev/gpiochip0: permission denied: it belongs to root alone; on Pi OS a udev rule gives it to group `gpio` \
             (/usr/lib/udev/rules.d/99-com.rules)",
        ),
        (
            BusError::NoChipWithLabel { wanted: ["a", "b"].map(str::to_owned).into(), seen: seen() },
            "no GPIO chip has the label `a` or `b`; seen: /dev/gpiochip10 (gpio-brcmstb@107d508500), /dev/gpiochip11 \
             (permission denied); name one of these as `gpio_chip`",
        ),
        (
            BusError::NoSuchChip { path: "/dev/gpiochip4".into(), seen: Vec::new() },
            "/dev/gpiochip4 is not there; known: no GPIO chip at all",
        ),
        (
            BusError::NoSuchLine {
                line: Line { number: 60, role: "RESET" },
                chip: "/dev/gpiochip0".into(),
                label: "pinctrl-rp1".to_owned(),
                n_lines: 54,
            },
            "GPIO 60 (RESET): /dev/gpiochip0 (pinctrl-rp1) has the lines 0 to 53",
        ),
        (
            busy("spi0 CS0"),
            "GPIO 8 (DRDY) is taken by `spi0 CS0`: it is a chip select; choose another GPIO, or an SPI overlay that leaves \
             it alone",
        ),
        (
            busy("biosigd-drdy"),
            "GPIO 8 (DRDY) is taken by `biosigd-drdy`: another biosigd runs; stop that one, or choose another GPIO",
        ),
        (
            busy(""),
            "GPIO 8 (DRDY) is taken by somebody who left no name: stop that program, remove its overlay from \
             /boot/firmware/config.txt, or choose another GPIO",
        ),
        (
            BusError::Bufsiz { bufsiz: 128, needed: 256 },
            "spidev takes at most 128 bytes per transfer and 256 are needed: remove `spidev.bufsiz` from \
             /boot/firmware/cmdline.txt, or set it to 4096 or more, and restart",
        ),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}
