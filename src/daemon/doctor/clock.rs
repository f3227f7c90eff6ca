//! Does the machine know the time? No frame is lost without, but nobody knows afterwards when they were.

use std::io;

use serde_json::json;

use super::machine::{Board, Machine};
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;
use crate::rt::ClockDiscipline;

/// More than this is no longer the time of a network, and longer than a frame of most rigs by far.
const ERROR_MAX_US: i64 = 1_000_000;

/// What systemd-timesyncd leaves when it has set the clock.
const TIMESYNCD_FILE: &str = "/run/systemd/timesync/synchronized";

/// Whether a time service keeps the clock; `kernel` is what the kernel says of that.
pub(super) fn synchronisation(machine: &Machine, rig: &Rig, kernel: io::Result<ClockDiscipline>) -> Finding {
    const CHECK: &str = "clock";
    let why = format!(
        "No frame is lost, but each recording says at which instant its frames were converted: {} of error are {:.0} \
         frames. The converter's drift is measured against this clock too.",
        time_text(1e6),
        rig.rate_hz
    );
    let timesyncd = machine.exists(TIMESYNCD_FILE);
    let figures = json!({
        "synchronised": kernel.as_ref().ok().map(|kernel| kernel.synchronised),
        "error_max_us": kernel.as_ref().ok().map(|kernel| kernel.error_max_us),
        "timesyncd": timesyncd,
    });
    let error = |kernel: &ClockDiscipline| time_text(kernel.error_max_us as f64);
    let finding = match kernel {
        Ok(kernel) if kernel.synchronised && kernel.error_max_us <= ERROR_MAX_US => {
            Finding::fine(CHECK, format!("synchronised; off by {} at most", error(&kernel)), why)
        }
        Ok(kernel) if kernel.synchronised => {
            let found = format!("synchronised once, and off by up to {} by now", error(&kernel));
            Finding::warning(CHECK, found, why, service(machine))
        }
        // chrony without `rtcsync` does not tell the kernel; timesyncd leaves its file.
        _ if timesyncd => Finding::fine(CHECK, "set by systemd-timesyncd since the start of the machine", why),
        Ok(_) => Finding::warning(
            CHECK,
            "no time service keeps the clock (the kernel says: unsynchronised)",
            why,
            service(machine),
        ),
        Err(error) => {
            Finding::skipped(CHECK, format!("the kernel does not tell whether the clock is synchronised: {error}"))
        }
    };
    finding.with(figures)
}

fn service(machine: &Machine) -> Remedy {
    if machine.exists("/usr/sbin/chronyd") {
        return Remedy::write("make sure that `rtcsync` stands in /etc/chrony/chrony.conf and that servers answer", {
            "sudo systemctl enable --now chrony && chronyc sources"
        });
    }
    let what = match machine.board() {
        Board::Pi5 => "run, with a network or a battery on the clock's connector",
        _ => "run, with a network",
    };
    Remedy::write(what, "sudo timedatectl set-ntp true && timedatectl timesync-status")
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    #[test]
    fn what_the_kernel_says() {
        let fake = Fake::pi5();
        let found = |synchronised, error_max_us| {
            let finding =
                synchronisation(&fake.machine(), &fake::ads1299(), Ok(ClockDiscipline { synchronised, error_max_us }));
            (finding.level, finding.found)
        };
        assert_eq!(found(true, 1500), (Level::Fine, "synchronised; off by 1.5 ms at most".to_owned()));
        assert_eq!(found(true, 16_000_000).0, Level::Warning);
        assert_eq!(found(false, 16_000_000).0, Level::Warning);
        let refused = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(synchronisation(&fake.machine(), &fake::ads1299(), refused()).level, Level::Skipped);
        fake.file(TIMESYNCD_FILE.trim_start_matches('/'), "");
        assert_eq!(found(false, 16_000_000).0, Level::Fine);
        assert_eq!(synchronisation(&fake.machine(), &fake::ads1299(), refused()).level, Level::Fine);
    }

    #[test]
    fn the_remedy_is_that_of_the_service_there_is() {
        let fake = Fake::pi5();
        assert!(service(&fake.machine()).line.is_some_and(|line| line.contains("timedatectl set-ntp true")));
        fake.file("usr/sbin/chronyd", "");
        assert!(service(&fake.machine()).line.is_some_and(|line| line.contains("chronyc")));
    }
}
