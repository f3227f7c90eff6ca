//! SPI: do the bytes of a frame fit between two edges of DRDY, and does spidev take them in one piece?

use serde_json::json;

use super::machine::Machine;
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;
use crate::source::ads1299::bus::{BUFSIZ_MIN, rp1_clock_hz};
use crate::source::ads1299::frame_time::FrameTime;

/// What of the period should be left for waking up, or a measurement has to show that less will do.
const SLACK_SHARE: f64 = 0.25;

/// A round clock at which the bits alone take half the period, on the RP1 too; up to the 20 MHz that an ADS1299 takes.
fn clock_that_fits_hz(time: &FrameTime) -> Option<u32> {
    let enough_hz = time.n_bytes as f64 * 16e6 / time.period_us;
    (1..=200).map(|n| n * 100_000).find(|hz| f64::from(rp1_clock_hz(*hz)) >= enough_hz)
}

/// The sum of the time that a frame takes.
pub(super) fn clock(_: &Machine, rig: &Rig) -> Vec<Finding> {
    let (Some(hardware), Some(budget)) = (&rig.hardware, &rig.budget) else { return Vec::new() };
    let mut found = format!("{budget}; {} left for waking up", time_text(budget.slack_us()));
    if budget.clock_hz.abs_diff(hardware.spi_clock_hz) > 1 {
        let asked_mhz = f64::from(hardware.spi_clock_hz) / 1e6;
        found += &format!(" ({asked_mhz:.3} MHz were asked for, which is no step of the controller)");
    }
    let why = format!(
        "What is not read when the next frame comes is lost: a wake-up that is 10 ms late costs {}.",
        rig.loss(10_000.0)
    );
    let remedy = match clock_that_fits_hz(budget) {
        Some(hz) if hz > budget.clock_hz + 1 => Remedy::write(
            "in [source] a faster clock, if the wires carry it; else a lower rate, or fewer chips",
            format!("spi_clock_hz = {hz}"),
        ),
        _ => Remedy::new("a lower rate, fewer chips, or a daisy chain instead of a transfer for each chip"),
    };
    let figures = json!({
        "bytes": budget.n_bytes,
        "transfers": budget.n_transfers,
        "clock_hz": budget.clock_hz,
        "wire_us": budget.wire_us,
        "kernel_us_estimated": budget.kernel_us,
        "keep_out_us": budget.keep_out_us,
        "period_us": budget.period_us,
        "slack_us": budget.slack_us(),
    });
    let finding = if budget.wire_us + budget.keep_out_us > budget.period_us {
        let every = "The bits alone take longer than a frame: at least every second frame is lost.";
        Finding::fault("spi clock", found, every, remedy)
    } else if budget.left_us() < SLACK_SHARE * budget.period_us {
        Finding::warning("spi clock", found, why, remedy)
    } else {
        Finding::fine("spi clock", found, why)
    };
    vec![finding.with(figures)]
}

/// Whether spidev takes a transfer in one piece.
pub(super) fn bufsiz(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "spidev bufsiz";
    if rig.hardware.is_none() {
        return Vec::new();
    }
    let needed = BUFSIZ_MIN;
    let why = "spidev refuses a longer transfer, and biosigd to start where the longest would not fit.";
    let Some(bufsiz) = machine.number("/sys/module/spidev/parameters/bufsiz") else {
        return vec![Finding::skipped(CHECK, "the module spidev is not loaded, so its limit is not known")];
    };
    let found = format!("{bufsiz} bytes; the longest transfer needs {needed}");
    let figures = json!({"bufsiz": bufsiz, "needed": needed});
    let finding = if usize::try_from(bufsiz).is_ok_and(|bytes| bytes >= needed) {
        Finding::fine(CHECK, found, why)
    } else {
        let file = super::kernel::command_line_file(machine);
        Finding::fault(CHECK, found, why, Remedy::write(file, "spidev.bufsiz=65536"))
    };
    vec![finding.with(figures)]
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake, hardware};
    use super::super::report::Level;
    use super::*;
    use crate::source::Hardware;

    #[test]
    fn a_chain_of_four_at_4_khz_fits() {
        let findings = clock(&Fake::pi5().machine(), &fake::ads1299());
        assert_eq!(findings[0].level, Level::Fine);
        assert_eq!(
            findings[0].found,
            "109 bytes at 8.333 MHz 104.6 us + 1 transfer by DMA about 50.0 us + 2.0 us before the next edge = 156.6 \
             of 250.0 us; 93.4 us left for waking up"
        );
        assert_eq!(
            findings[0].why,
            "What is not read when the next frame comes is lost: a wake-up that is 10 ms late costs 40 frames of 32 \
             channels."
        );
    }

    #[test]
    fn four_selects_at_4_khz_are_a_warning_and_a_slow_clock_a_fault() {
        let four = Hardware { spi: vec![(0, 0), (0, 1), (1, 0), (1, 1)], bytes_per_frame: 112, ..hardware() };
        let findings = clock(&Fake::pi5().machine(), &fake::with(four));
        assert_eq!(findings[0].level, Level::Warning, "{}", findings[0].found);
        assert!(findings[0].found.contains("4 transfers byte by byte about 239.2 us"), "{}", findings[0].found);
        let slow = Hardware { spi_clock_hz: 3_000_000, ..hardware() };
        let findings = clock(&Fake::pi5().machine(), &fake::with(slow));
        assert_eq!(findings[0].level, Level::Fault);
        assert!(findings[0].found.contains("at 2.941 MHz 296.5 us"), "{}", findings[0].found);
        assert!(
            findings[0]
                .found
                .ends_with("0.0 us left for waking up (3.000 MHz were asked for, which is no step of the controller)")
        );
        let remedy = findings[0].remedy.clone().expect("one");
        assert_eq!(remedy.line.as_deref(), Some("spi_clock_hz = 7200000"));
        // 16 kHz: no clock helps.
        let fast = Hardware { rate_hz: 16_000.0, spi_clock_hz: 20_000_000, ..hardware() };
        let findings = clock(&Fake::pi5().machine(), &fake::with(fast));
        assert_eq!(findings[0].level, Level::Warning);
        assert_eq!(findings[0].remedy.clone().expect("one").line, None);
    }

    #[test]
    fn bufsiz_below_a_transfer_is_a_fault() {
        let fake = Fake::pi5();
        assert_eq!(bufsiz(&fake.machine(), &fake::ads1299())[0].found, "4096 bytes; the longest transfer needs 256");
        // What the driver refuses.
        fake.file("sys/module/spidev/parameters/bufsiz", "255");
        let finding = &bufsiz(&fake.machine(), &fake::ads1299())[0];
        assert_eq!(
            (finding.level, finding.found.as_str()),
            (Level::Fault, "255 bytes; the longest transfer needs 256")
        );
        assert!(finding.why.contains("refuses"), "{}", finding.why);
        let empty = Fake::empty();
        assert_eq!(bufsiz(&empty.machine(), &fake::ads1299())[0].level, Level::Skipped);
        assert!(bufsiz(&fake.machine(), &fake::synthetic()).is_empty());
    }
}
