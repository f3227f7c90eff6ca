//! The cores that the real-time threads will take: are they kept free, how deep do they sleep, at which clock do they
//! run?

use serde_json::json;

use super::kernel::{STOCK_US, command_line_file};
use super::machine::Machine;
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;

/// A core that leaves its deepest sleep within this part of the slack costs nothing.
const IDLE_SHARE: f64 = 0.1;

/// What nobody asked for: the default of the kernel's latency target (Linux, `PM_QOS_CPU_LATENCY_DEFAULT_VALUE`).
const NO_TARGET_US: i32 = 2_000_000_000;

/// `0,1,3` as the kernel writes it, for cores without `taken`.
pub(super) fn others(n_cores: usize, taken: &[usize]) -> String {
    let others: Vec<String> = (0..n_cores).filter(|core| !taken.contains(core)).map(|core| core.to_string()).collect();
    others.join(",")
}

/// The cores to keep free: both, unless that leaves none for everything else.
pub(super) fn taken(rig: &Rig) -> Vec<usize> {
    let mut taken = if rig.n_cores > 2 { vec![rig.acquire_core, rig.process_core] } else { vec![rig.acquire_core] };
    taken.sort_unstable();
    taken
}

/// Whether the cores are kept free of other work.
pub(super) fn isolation(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "isolation";
    let (acquire, process) = (rig.acquire_core, rig.process_core);
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace, so its threads share the cores")];
    }
    let figures = json!({"acquire_core": acquire, "process_core": process, "isolated": rig.isolated});
    let why = format!(
        "Whatever the kernel does on that core holds acquire up; a stock Pi 5 took up to {}: {}.",
        time_text(STOCK_US),
        rig.loss(STOCK_US)
    );
    let is_isolated = rig.isolated.contains(&acquire);
    let finding = if !is_isolated && !rig.allowed.contains(&acquire) {
        let found = format!("acquire is to run on core {acquire}, which this process may not use ({:?})", rig.allowed);
        let remedy = Remedy::new("another core in [acquire], or a larger AllowedCPUs= in the unit");
        Finding::warning(CHECK, found, why, remedy)
    } else if rig.n_cores < 2 {
        let found = "there is one core for all threads and all programs";
        if rig.frames_lost(STOCK_US) == 0 {
            Finding::fine(CHECK, found, why)
        } else {
            Finding::warning(CHECK, found, why, Remedy::new("a machine with two cores or more"))
        }
    } else if is_isolated {
        let rest = if rig.isolated.contains(&process) { "isolated too" } else { "shared: it has four blocks of time" };
        Finding::fine(CHECK, format!("acquire has core {acquire}, isolated; process core {process}, {rest}"), why)
    } else {
        let found = format!(
            "acquire takes core {acquire}, process core {process}; neither is isolated, everything else runs there too"
        );
        if rig.frames_lost(STOCK_US) == 0 {
            Finding::fine(CHECK, found, why)
        } else {
            let taken = taken(rig);
            let list: Vec<String> = taken.iter().map(ToString::to_string).collect();
            let line =
                format!("isolcpus=domain,managed_irq,{} irqaffinity={}", list.join(","), others(rig.n_cores, &taken));
            Finding::warning(CHECK, found, why, Remedy::write(command_line_file(machine), line))
        }
    };
    vec![finding.with(figures)]
}

/// A state in which a core sleeps.
struct Sleep {
    /// Its folder, `state3`.
    folder: String,
    name: String,
    exit_us: i64,
}

/// How long the acquisition core takes to come out of its deepest sleep.
pub(super) fn idle(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "core sleep";
    const DEVICE: &str = "/dev/cpu_dma_latency";
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace: waking late loses nothing")];
    }
    let dir = format!("/sys/devices/system/cpu/cpu{}/cpuidle", rig.acquire_core);
    // A target that some program holds, in microseconds: deeper sleep is not used then. Root alone may read it.
    let held = machine.bytes::<4>(DEVICE).map(i32::from_ne_bytes);
    let target_us = held.unwrap_or(NO_TARGET_US);
    let states: Vec<Sleep> = machine
        .names(&dir, "state")
        .into_iter()
        .filter(|folder| machine.number(&format!("{dir}/{folder}/disable")).unwrap_or(0) == 0)
        .map(|folder| Sleep {
            name: machine.text(&format!("{dir}/{folder}/name")).unwrap_or_default(),
            exit_us: machine.number(&format!("{dir}/{folder}/latency")).unwrap_or(0),
            folder,
        })
        .filter(|state| state.exit_us <= i64::from(target_us))
        .collect();
    let Some(deepest) = states.iter().max_by_key(|state| state.exit_us) else {
        return vec![Finding::skipped(CHECK, format!("the kernel lists no sleep states of core {}", rig.acquire_core))];
    };
    let held = match (held, machine.node(DEVICE)) {
        (Some(NO_TARGET_US), _) => format!("; no program holds {DEVICE}, which would forbid it"),
        (Some(_), _) => format!("; a program holds {DEVICE}"),
        (None, Some(node)) => format!("; whether a program holds {DEVICE} only {} may see", node.owner),
        (None, None) => String::new(),
    };
    let found = format!(
        "core {} sleeps down to {}, from which it wakes within {} us{held}",
        rig.acquire_core, deepest.name, deepest.exit_us
    );
    let why = format!(
        "Each wait for a frame may end in that sleep, and {} is all that may pass before a frame is lost.",
        time_text(rig.slack_us)
    );
    let allowed_us = rig.slack_us * IDLE_SHARE;
    let figures = json!({"core": rig.acquire_core, "state": deepest.name, "exit_us": deepest.exit_us});
    let finding = if deepest.exit_us as f64 <= allowed_us {
        Finding::fine(CHECK, found, why)
    } else {
        let too_deep = states.iter().filter(|state| state.exit_us as f64 > allowed_us);
        let files: Vec<String> = too_deep.map(|state| format!("{dir}/{}/disable", state.folder)).collect();
        let line = format!("echo 1 | sudo tee {}", files.join(" "));
        Finding::warning(CHECK, found, why, Remedy::write("run, again after each start of the machine", line))
    };
    vec![finding.with(figures)]
}

/// The governor of the two cores' clocks.
pub(super) fn governor(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "governor";
    const UNIT: &str = "biosigd-performance";
    let mut cores = vec![rig.acquire_core, rig.process_core];
    cores.dedup();
    let setting = |core: usize, name: &str| machine.text(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/{name}"));
    let governors: Vec<(usize, String, bool)> = cores
        .into_iter()
        .filter_map(|core| {
            let governor = setting(core, "scaling_governor")?;
            let fixed = setting(core, "scaling_min_freq")
                .is_some_and(|least| setting(core, "scaling_max_freq").is_some_and(|most| most == least));
            let steady = governor == "performance" || fixed;
            Some((core, governor, steady))
        })
        .collect();
    if governors.is_empty() {
        return vec![Finding::skipped(CHECK, "the kernel does not step the clocks of these cores")];
    }
    let list: Vec<String> = governors.iter().map(|(core, governor, _)| format!("core {core}: {governor}")).collect();
    let found = list.join(", ");
    let why = format!(
        "Stepping a clock up takes tens of microseconds, and until then everything takes longer; {} may pass.",
        time_text(rig.slack_us)
    );
    let figures = json!(governors.iter().map(|(core, governor, _)| json!([core, governor])).collect::<Vec<_>>());
    let finding = if !rig.is_tight() || governors.iter().all(|(_, _, steady)| *steady) {
        Finding::fine(CHECK, found, why)
    } else if machine.exists(&format!("/usr/lib/systemd/system/{UNIT}.service")) {
        Finding::warning(CHECK, found, why, Remedy::run(format!("sudo systemctl enable --now {UNIT}")))
    } else {
        let line = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        Finding::warning(CHECK, found, why, Remedy::write("run, again after each start of the machine", line))
    };
    vec![finding.with(json!({"governors": figures}))]
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    fn line(finding: &Finding) -> String {
        finding.remedy.as_ref().and_then(|remedy| remedy.line.clone()).unwrap_or_default()
    }

    #[test]
    fn shared_cores_are_named_with_the_kernel_s_words() {
        let machine = Fake::pi5();
        let machine = machine.machine();
        let finding = &isolation(&machine, &fake::ads1299())[0];
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.found.starts_with("acquire takes core 3, process core 2; neither is isolated"));
        assert!(finding.why.ends_with("up to 36.8 ms: 147 frames of 32 channels."), "{}", finding.why);
        assert_eq!(line(finding), "isolcpus=domain,managed_irq,2,3 irqaffinity=0,1");
        assert_eq!(isolation(&machine, &fake::synthetic())[0].level, Level::Fine);
        assert_eq!(isolation(&machine, &fake::free())[0].level, Level::Skipped);

        let two = Rig { n_cores: 2, acquire_core: 1, process_core: 0, allowed: vec![0, 1], ..fake::ads1299() };
        assert_eq!(line(&isolation(&machine, &two)[0]), "isolcpus=domain,managed_irq,1 irqaffinity=0");
        let one = Rig { n_cores: 1, acquire_core: 0, process_core: 0, ..fake::ads1299() };
        assert_eq!(isolation(&machine, &one)[0].found, "there is one core for all threads and all programs");
        let isolated = Rig { isolated: vec![3], ..fake::ads1299() };
        let finding = &isolation(&machine, &isolated)[0];
        assert_eq!(finding.level, Level::Fine);
        assert!(finding.found.starts_with("acquire has core 3, isolated; process core 2, shared"), "{}", finding.found);
        let forbidden = Rig { allowed: vec![0, 1], ..fake::ads1299() };
        assert!(isolation(&machine, &forbidden)[0].found.contains("which this process may not use ([0, 1])"));
    }

    fn sleeps(fake: &Fake) {
        for (state, name, exit_us) in [(0, "WFI", 1), (1, "C1", 9), (2, "C6", 133)] {
            let dir = format!("sys/devices/system/cpu/cpu3/cpuidle/state{state}");
            fake.file(&format!("{dir}/name"), name);
            fake.file(&format!("{dir}/latency"), &exit_us.to_string());
            fake.file(&format!("{dir}/disable"), "0");
        }
    }

    #[test]
    fn deep_sleep_counts_unless_it_is_forbidden() {
        let fake = Fake::pi5();
        let rig = fake::ads1299();
        let finding = &idle(&fake.machine(), &rig)[0];
        assert_eq!(finding.found, "the kernel lists no sleep states of core 3");
        sleeps(&fake);
        let finding = &idle(&fake.machine(), &rig)[0];
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.found, "core 3 sleeps down to C6, from which it wakes within 133 us");
        let dir = "/sys/devices/system/cpu/cpu3/cpuidle";
        assert_eq!(line(finding), format!("echo 1 | sudo tee {dir}/state2/disable"));
        assert_eq!(idle(&fake.machine(), &fake::synthetic())[0].level, Level::Fine);
        fake.file("sys/devices/system/cpu/cpu3/cpuidle/state2/disable", "1");
        assert_eq!(idle(&fake.machine(), &rig)[0].level, Level::Fine);
        sleeps(&fake);
        fake.bytes("dev/cpu_dma_latency", &NO_TARGET_US.to_ne_bytes());
        let finding = &idle(&fake.machine(), &rig)[0];
        assert!(finding.found.ends_with("no program holds /dev/cpu_dma_latency, which would forbid it"));
        fake.bytes("dev/cpu_dma_latency", &10_i32.to_ne_bytes());
        let finding = &idle(&fake.machine(), &rig)[0];
        assert_eq!(finding.level, Level::Fine);
        assert!(finding.found.ends_with("C1, from which it wakes within 9 us; a program holds /dev/cpu_dma_latency"));
        assert_eq!(idle(&Fake::empty().machine(), &rig)[0].level, Level::Skipped);
    }

    #[test]
    fn governors_that_step_the_clock() {
        let fake = Fake::pi5();
        let rig = fake::ads1299();
        let finding = &governor(&fake.machine(), &rig)[0];
        assert_eq!((finding.level, finding.found.as_str()), (Level::Warning, "core 3: ondemand, core 2: ondemand"));
        assert!(line(finding).starts_with("echo performance | sudo tee"));
        fake.file("usr/lib/systemd/system/biosigd-performance.service", "");
        assert_eq!(line(&governor(&fake.machine(), &rig)[0]), "sudo systemctl enable --now biosigd-performance");
        assert_eq!(governor(&fake.machine(), &fake::synthetic())[0].level, Level::Fine);
        for core in [2, 3] {
            fake.file(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_min_freq"), "2400000");
        }
        assert_eq!(governor(&fake.machine(), &rig)[0].level, Level::Fine);
        assert_eq!(governor(&Fake::empty().machine(), &rig)[0].level, Level::Skipped);
    }
}
