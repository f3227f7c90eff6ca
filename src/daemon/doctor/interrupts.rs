//! Interrupts: where those of the converter run, and which others may run on the core of the acquisition thread.

use serde_json::json;

use super::cores::{others, taken};
use super::kernel::command_line_file;
use super::machine::Machine;
use super::report::{Finding, Remedy, count, time_text};
use super::rig::Rig;

/// After an interrupt the kernel may go on with its own work for so long before any thread runs (Linux softirq.c,
/// `MAX_SOFTIRQ_TIME`).
const SOFTIRQ_US: f64 = 2000.0;

/// Others that are named; the rest is counted.
const NAMED_MAX: usize = 4;

/// Words in the last columns of `/proc/interrupts` that belong to the converter: the SPI controllers, the DMA that
/// serves them, the header's pins, and lines that the daemon has requested.
const OF_THE_CONVERTER: [&str; 6] = [".spi", "dw_spi", "dw_axi_dmac", "pinctrl-", "gpio", "biosigd"];

/// One device's interrupt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interrupt {
    number: u32,
    /// How often it came, on all cores.
    n_came: u64,
    /// The columns after the counts: controller, line, who handles it.
    text: String,
}

impl Interrupt {
    fn is_of_the_converter(&self) -> bool {
        OF_THE_CONVERTER.iter().any(|word| self.text.contains(word))
    }

    /// Its last column, the device.
    fn name(&self) -> &str {
        self.text.rsplit(' ').next().unwrap_or_default()
    }
}

/// Reads `/proc/interrupts` (proc(5)): a line for the cores, then `NUMBER: COUNTS.. CONTROLLER .. DEVICE`. What has no
/// number is the processor's own and cannot be moved.
fn parse(text: &str) -> Vec<Interrupt> {
    let n_cores = text.lines().next().map_or(0, |line| line.split_whitespace().count());
    let mut interrupts = Vec::new();
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.strip_suffix(':')?.parse().ok()) else { continue };
        let words: Vec<&str> = words.collect();
        let counts = &words[..words.len().min(n_cores)];
        let n_came = counts.iter().filter_map(|word| word.parse::<u64>().ok()).sum();
        interrupts.push(Interrupt { number, n_came, text: words[counts.len()..].join(" ") });
    }
    interrupts
}

/// The cores on which an interrupt may run: where it does run, if the kernel says so.
fn cores_of(machine: &Machine, interrupt: &Interrupt) -> Option<Vec<usize>> {
    let dir = format!("/proc/irq/{}", interrupt.number);
    let text = ["effective_affinity_list", "smp_affinity_list"]
        .iter()
        .find_map(|name| machine.text(&format!("{dir}/{name}")).filter(|text| !text.is_empty()))?;
    Some(crate::rt::parse_core_list(&text))
}

/// Both questions.
pub(super) fn affinity(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "interrupts";
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace: an interrupt loses nothing")];
    }
    let Some(text) = machine.text("/proc/interrupts") else {
        return vec![Finding::skipped(CHECK, "/proc/interrupts cannot be read")];
    };
    let used: Vec<Interrupt> = parse(&text).into_iter().filter(|interrupt| interrupt.n_came > 0).collect();
    let (own, other): (Vec<Interrupt>, Vec<Interrupt>) =
        used.into_iter().partition(|interrupt| rig.hardware.is_some() && interrupt.is_of_the_converter());
    let mut findings = vec![foreign(machine, rig, &other)];
    if rig.hardware.is_some() {
        findings.push(converter(machine, rig, &own));
    }
    findings
}

/// Interrupts of other devices on the acquisition core.
fn foreign(machine: &Machine, rig: &Rig, interrupts: &[Interrupt]) -> Finding {
    const CHECK: &str = "interrupts";
    let core = rig.acquire_core;
    let there: Vec<&Interrupt> = interrupts
        .iter()
        .filter(|interrupt| cores_of(machine, interrupt).is_some_and(|cores| cores.contains(&core)))
        .collect();
    let names: Vec<&str> = there.iter().take(NAMED_MAX).map(|interrupt| interrupt.name()).collect();
    let figures = json!({
        "core": core,
        "others": there.iter().map(|interrupt| json!([interrupt.number, interrupt.name()])).collect::<Vec<_>>(),
    });
    let why = format!(
        "An interrupt goes before every thread, and what it leaves to do may take {} more: {}.",
        time_text(SOFTIRQ_US),
        rig.loss(SOFTIRQ_US)
    );
    if there.is_empty() {
        let found = format!("of other devices none runs on core {core}, acquire's");
        return Finding::fine(CHECK, found, why).with(figures);
    }
    let more =
        if there.len() > names.len() { format!(" and {} more", there.len() - names.len()) } else { String::new() };
    let found = format!(
        "{} of other devices may run on core {core}, acquire's: {}{more}",
        count(there.len() as u64, "interrupt"),
        names.join(", ")
    );
    let finding = if rig.frames_lost(SOFTIRQ_US) == 0 || rig.n_cores < 2 {
        Finding::fine(CHECK, found, why)
    } else {
        let line = format!("irqaffinity={}", others(rig.n_cores, &taken(rig)));
        Finding::warning(CHECK, found, why, Remedy::write(command_line_file(machine), line))
    };
    finding.with(figures)
}

/// Where the converter's own interrupts run.
fn converter(machine: &Machine, rig: &Rig, interrupts: &[Interrupt]) -> Finding {
    const CHECK: &str = "spi, gpio irq";
    let list: Vec<String> = interrupts
        .iter()
        .map(|interrupt| {
            let cores = cores_of(machine, interrupt).unwrap_or_default();
            let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
            format!("{} ({}) on core {}", interrupt.number, interrupt.name(), cores.join(","))
        })
        .collect();
    if list.is_empty() {
        let reason = "no interrupt of SPI or GPIO has come yet; look again while the daemon runs";
        return Finding::skipped(CHECK, reason);
    }
    let why = format!(
        "Every frame takes two of them, one for DRDY and one at the end of the transfer. On acquire's core {} or on an \
         idle one they cost nothing; behind other interrupts each of them waits.",
        rig.acquire_core
    );
    Finding::fine(CHECK, list.join(", "), why).with(json!({"interrupts": list}))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    #[test]
    fn interrupts_of_a_pi_5() {
        let fake = Fake::pi5();
        let interrupts = parse(&fake.machine().text("/proc/interrupts").expect("made up"));
        let eth0 = Interrupt { number: 106, n_came: 90_001, text: "rp1_irq_chip 6 Level eth0".to_owned() };
        assert!(interrupts.contains(&eth0), "{interrupts:?}");
        assert!(interrupts.iter().all(|interrupt| !interrupt.text.contains("Rescheduling")), "{interrupts:?}");
        let own: Vec<u32> = interrupts.iter().filter(|irq| irq.is_of_the_converter()).map(|irq| irq.number).collect();
        assert_eq!(own, [120, 131, 181]);
        assert_eq!(parse(""), []);
        assert_eq!(parse("CPU0\n 7:\n"), [Interrupt { number: 7, n_came: 0, text: String::new() }]);
    }

    #[test]
    fn other_devices_on_acquire_s_core_are_named() {
        let fake = Fake::pi5();
        let rig = fake::ads1299();
        let findings = affinity(&fake.machine(), &rig);
        assert_eq!(findings[0].level, Level::Warning);
        // eth0 may run anywhere; mmc0 runs on core 0, whatever it may.
        assert_eq!(findings[0].found, "1 interrupt of other devices may run on core 3, acquire's: eth0");
        assert!(findings[0].why.ends_with("2.0 ms more: 8 frames of 32 channels."), "{}", findings[0].why);
        let remedy = findings[0].remedy.clone().expect("one");
        assert_eq!(remedy.line.as_deref(), Some("irqaffinity=0,1"));
        assert_eq!(findings[1].level, Level::Fine);
        assert_eq!(
            findings[1].found,
            "120 (dw_axi_dmac_platform) on core 0, 131 (1f00050000.spi) on core 0, 181 (biosigd) on core 0"
        );
        fake.file("proc/irq/106/smp_affinity_list", "0-2\n");
        assert_eq!(affinity(&fake.machine(), &rig)[0].level, Level::Fine);
    }

    #[test]
    fn who_has_time_does_not_mind() {
        let fake = Fake::pi5();
        let findings = affinity(&fake.machine(), &fake::synthetic());
        assert_eq!(findings.len(), 1);
        // Without hardware those of SPI and GPIO are others too; they run on core 0.
        assert_eq!(findings[0].level, Level::Fine);
        assert_eq!(affinity(&fake.machine(), &fake::free())[0].level, Level::Skipped);
        assert_eq!(affinity(&Fake::empty().machine(), &fake::ads1299())[0].level, Level::Skipped);
    }
}
