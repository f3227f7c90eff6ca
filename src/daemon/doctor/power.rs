//! Power and heat of a Raspberry Pi: a supply that is too weak slows the cores down, and reaches the converter too.

use serde_json::json;

use super::machine::{Board, Machine};
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;

const CHECK: &str = "power, heat";

/// Bits of the firmware's `get_throttled` that hold now, with their names; 16 bits further up the same since the start
/// (Raspberry Pi documentation, `vcgencmd get_throttled`).
const FLAGS: [(u32, &str); 4] =
    [(1 << 0, "undervoltage"), (1 << 1, "clock capped"), (1 << 2, "throttled"), (1 << 3, "soft temperature limit")];

/// How far up the bits stand that remember.
const SINCE_START: u32 = 16;

/// What the firmware says.
pub(super) fn throttling(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    let (flags, alarm) = (flags(machine), alarm(machine));
    if flags.is_none() && alarm.is_none() {
        let reason = match machine.board() {
            Board::Other => "no Raspberry Pi: nobody tells of undervoltage and throttling here",
            _ => "neither get_throttled nor rpi_volt can be read, so undervoltage and throttling are not known",
        };
        return vec![Finding::skipped(CHECK, reason)];
    }
    let bits = flags.unwrap_or(0) | u32::from(alarm == Some(true));
    let named = |shift: u32| -> Vec<&str> {
        FLAGS.iter().filter(|(bit, _)| bits >> shift & bit != 0).map(|(_, name)| *name).collect()
    };
    let (now, before) = (named(0), named(SINCE_START));
    let figures = json!({"get_throttled": flags.map(|bits| format!("{bits:#x}")), "low_voltage_alarm": alarm});
    let why = format!(
        "The firmware lowers the clocks for as long as it lasts, while {} may pass before a frame is lost; and a 5 V \
         rail that sinks takes the converter's supply along, so that frames are recorded that are wrong.",
        time_text(rig.slack_us)
    );
    let remedy = || {
        Remedy::new(
            "the 27 W supply (5.1 V, 5 A), a short thick cable, no other load on the 5 V pins; a cooler where heat is \
             the reason; then start the machine again, which clears the flags",
        )
    };
    let finding = if !now.is_empty() {
        Finding::fault(CHECK, format!("now: {}", now.join(", ")), why, remedy())
    } else if !before.is_empty() {
        Finding::warning(CHECK, format!("since the start of the machine: {}", before.join(", ")), why, remedy())
    } else {
        Finding::fine(CHECK, "no undervoltage and no throttling, neither now nor since the start", why)
    };
    vec![finding.with(figures)]
}

/// The firmware's flags, which its driver shows in the device's folder as a number of base 16.
fn flags(machine: &Machine) -> Option<u32> {
    const DEVICES: &str = "/sys/devices/platform";
    for soc in machine.names(DEVICES, "soc") {
        for firmware in machine.names(&format!("{DEVICES}/{soc}"), "soc") {
            let text = machine.text(&format!("{DEVICES}/{soc}/{firmware}/get_throttled"));
            let bits = text.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
            if bits.is_some() {
                return bits;
            }
        }
    }
    None
}

/// Whether the voltage monitor says that the supply is low at this moment.
fn alarm(machine: &Machine) -> Option<bool> {
    const MONITORS: &str = "/sys/class/hwmon";
    let monitors = machine.names(MONITORS, "hwmon");
    let monitor =
        monitors.iter().find(|name| machine.text(&format!("{MONITORS}/{name}/name")).as_deref() == Some("rpi_volt"))?;
    machine.number(&format!("{MONITORS}/{monitor}/in0_lcrit_alarm")).map(|alarm| alarm != 0)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    const GET_THROTTLED: &str = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled";

    #[test]
    fn flags_of_the_firmware() {
        let fake = Fake::pi5();
        for (bits, level, found) in [
            ("0", Level::Fine, "no undervoltage and no throttling, neither now nor since the start"),
            ("50000", Level::Warning, "since the start of the machine: undervoltage, throttled"),
            ("50005", Level::Fault, "now: undervoltage, throttled"),
            ("0xe0008", Level::Fault, "now: soft temperature limit"),
        ] {
            fake.file(GET_THROTTLED, bits);
            let finding = &throttling(&fake.machine(), &fake::ads1299())[0];
            assert_eq!((finding.level, finding.found.as_str()), (level, found));
        }
    }

    #[test]
    fn the_voltage_monitor_alone_will_do() {
        let fake = Fake::pi5();
        fake.remove(GET_THROTTLED);
        assert_eq!(throttling(&fake.machine(), &fake::ads1299())[0].level, Level::Fine);
        fake.file("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1");
        assert_eq!(throttling(&fake.machine(), &fake::ads1299())[0].found, "now: undervoltage");
    }

    #[test]
    fn elsewhere_nobody_tells() {
        let finding = &throttling(&Fake::empty().machine(), &fake::synthetic())[0];
        assert_eq!(finding.level, Level::Skipped);
        assert!(finding.found.starts_with("no Raspberry Pi"));
    }
}
