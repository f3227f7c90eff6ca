//! The kernel: its version, whether it may interrupt itself for a real-time thread, its pages.

use serde_json::json;

use super::machine::{Board, Machine};
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;
use crate::rt::preemption_of;

/// The longest wake-up that was published for a Pi 5 with a stock kernel, untuned, under load (Dewit et al., OSPERT
/// 2024; Linux 6.6.21, cyclictest of one hour).
pub(super) const STOCK_US: f64 = 36_802.0;

/// The same with `PREEMPT_RT`.
const REAL_TIME_US: f64 = 124.0;

/// Since then the GPIO character device has its second version, which stamps edges with a sequence number.
const GPIO_V2: (u32, u32) = (5, 10);

/// Before it the SPI of the RP1 had a history of time-outs above 64 bytes (raspberrypi/linux 5696, 5865, 6020, 6280).
const RP1_SETTLED: (u32, u32) = (6, 12);

/// Where a setting of the kernel's command line is to be written.
pub(super) fn command_line_file(machine: &Machine) -> String {
    let files = ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"];
    match files.iter().find(|file| machine.exists(file)) {
        Some(file) => format!("append to the one line of {file}, and reboot"),
        None => "append to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub, and reboot".to_owned(),
    }
}

/// The version.
pub(super) fn version(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "kernel";
    let Some(release) = machine.text("/proc/sys/kernel/osrelease") else {
        return vec![Finding::skipped(CHECK, "/proc is not mounted, so its version is not known")];
    };
    let figures = json!({"release": release});
    let found = format!("Linux {release}");
    let version = numbers(&release);
    let newer = || Remedy::run("sudo apt update && sudo apt full-upgrade && sudo reboot");
    let finding = match &rig.hardware {
        Some(_) if version < GPIO_V2 => {
            let why = "Before 5.10 edges of DRDY cannot be numbered: the source cannot be opened, no frame is read.";
            Finding::fault(CHECK, found, why, newer())
        }
        Some(_) if machine.board() == Board::Pi5 && version < RP1_SETTLED => {
            let why = format!(
                "Until 6.12 transfers of more than 64 bytes on a Pi 5 timed out now and then; the converter is then \
                 set up again, and a second of that costs {}.",
                rig.loss_per_s()
            );
            Finding::warning(CHECK, found, why, newer())
        }
        _ => Finding::fine(CHECK, found, "SPI and the GPIO character device are as the driver needs them."),
    };
    vec![finding.with(figures)]
}

/// `6.12.96+rpt-rpi-2712` as numbers that compare.
fn numbers(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The preemption model.
pub(super) fn preemption(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "preemption";
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace: a late thread loses nothing")];
    }
    let version = machine.text("/proc/sys/kernel/version").unwrap_or_default();
    let model = preemption_of(&version, machine.number("/sys/kernel/realtime") == Some(1));
    if model == Some("PREEMPT_RT") {
        let why = format!(
            "The longest wake-up published for such a kernel on a Pi 5 under load is {}; here {} may pass.",
            time_text(REAL_TIME_US),
            time_text(rig.slack_us)
        );
        return vec![Finding::fine(CHECK, "PREEMPT_RT", why).with(json!({"model": "PREEMPT_RT"}))];
    }
    let model = model.unwrap_or("no preemption");
    // Only root may read it; `none voluntary (full)`.
    let chosen = machine.text("/sys/kernel/debug/sched/preempt").unwrap_or_default();
    let chosen = chosen.split(['(', ')']).nth(1).map_or(String::new(), |mode| format!(", {mode}"));
    let found = format!("{model}{chosen}; not a real-time kernel");
    let why = format!(
        "On a Pi 5 with a stock kernel, untuned and under load, a wake-up took up to {}; that costs {}.",
        time_text(STOCK_US),
        rig.loss(STOCK_US)
    );
    let finding = if rig.frames_lost(STOCK_US) == 0 {
        Finding::fine(CHECK, found, why)
    } else if machine.board() == Board::Other {
        let what = "keep a core free (see isolation), or on Debian install a real-time kernel and reboot";
        Finding::warning(
            CHECK,
            found,
            why,
            Remedy::write(what, "sudo apt install linux-image-rt-$(dpkg --print-architecture)"),
        )
    } else {
        let first = if rig.isolated.contains(&rig.acquire_core) {
            "the core of acquire is kept free already"
        } else {
            "keep a core free (see isolation), which shortens the tail"
        };
        let what = format!(
            "{first}; measure the wake-ups under load, and if they are too late build the kernel with \
             CONFIG_PREEMPT_RT=y, which Linux has since 6.12"
        );
        Finding::warning(CHECK, found, why, Remedy::write(what, rig.measure_for_longer()))
    };
    vec![finding.with(json!({"model": model}))]
}

/// The size of a page: nothing here depends on it, and a reader of figures wants to know it.
pub(super) fn pages(page_bytes: usize) -> Finding {
    let found = format!("{} KiB", page_bytes / 1024);
    let why = "Each is locked into memory as a whole; no size is assumed anywhere.";
    Finding::fine("page size", found, why).with(json!({"bytes": page_bytes}))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(numbers("6.12.96+rpt-rpi-2712"), (6, 12));
        assert_eq!(numbers("6.6.21-v8"), (6, 6));
        assert_eq!(numbers("x"), (0, 0));
    }

    #[test]
    fn an_old_kernel_matters_where_there_is_hardware() {
        let fake = Fake::pi5();
        let level = |release: &str, rig: &Rig| {
            fake.file("proc/sys/kernel/osrelease", release);
            version(&fake.machine(), rig)[0].level
        };
        assert_eq!(level("6.12.96+rpt-rpi-2712", &fake::ads1299()), Level::Fine);
        assert_eq!(level("6.6.21", &fake::ads1299()), Level::Warning);
        assert_eq!(level("5.4.0", &fake::ads1299()), Level::Fault);
        assert_eq!(level("5.4.0", &fake::synthetic()), Level::Fine);
        assert_eq!(version(&Fake::empty().machine(), &fake::ads1299())[0].level, Level::Skipped);
    }

    #[test]
    fn a_stock_kernel_costs_frames_where_nothing_waits_for_it() {
        let fake = Fake::pi5();
        let finding = &preemption(&fake.machine(), &fake::ads1299())[0];
        assert_eq!((finding.level, finding.found.as_str()), (Level::Warning, "PREEMPT; not a real-time kernel"));
        assert_eq!(
            finding.why,
            "On a Pi 5 with a stock kernel, untuned and under load, a wake-up took up to 36.8 ms; that costs 147 \
             frames of 32 channels."
        );
        assert_eq!(preemption(&fake.machine(), &fake::synthetic())[0].level, Level::Fine);
        assert_eq!(preemption(&fake.machine(), &fake::free())[0].level, Level::Skipped);
        fake.file("sys/kernel/realtime", "1");
        assert_eq!(preemption(&fake.machine(), &fake::ads1299())[0].found, "PREEMPT_RT");
        let other = Fake::empty();
        other.file("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.1");
        other.file("sys/kernel/debug/sched/preempt", "none (voluntary) full");
        let finding = &preemption(&other.machine(), &fake::ads1299())[0];
        assert_eq!(finding.found, "PREEMPT_DYNAMIC, voluntary; not a real-time kernel");
        assert!(finding.remedy.as_ref().and_then(|remedy| remedy.line.as_ref()).is_some());
    }

    #[test]
    fn where_the_command_line_is() {
        assert_eq!(
            command_line_file(&Fake::pi5().machine()),
            "append to the one line of /boot/firmware/cmdline.txt, and reboot"
        );
        assert!(command_line_file(&Fake::empty().machine()).contains("/etc/default/grub"));
    }

    #[test]
    fn pages_of_the_stock_kernel_of_a_pi_5() {
        assert_eq!(pages(16_384).found, "16 KiB");
    }
}
