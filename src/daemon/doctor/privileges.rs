//! What the daemon must be allowed: real-time priority, enough of the core's time, locked memory.

use serde_json::json;

use super::machine::Machine;
use super::report::{Finding, Remedy, time_text};
use super::rig::Rig;
use crate::rt::Refused;

/// Bits of the effective capabilities (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_NICE: u32 = 23;

/// Among threads of normal priority the kernel looks at each tick whose turn it is: 250 a second on Pi OS and Debian.
const BEHIND_OTHERS_US: f64 = 4000.0;

/// A page that was dropped comes back from the disk: the longest stall seen with a Pi's SD card (a recorder of 224
/// channels with fsync).
const SD_STALL_US: f64 = 1_564_000.0;

/// Below this part of each period throttling is tighter than Linux comes with.
const SHARE_MIN: f64 = 0.9;

/// What the daemon takes besides its large allocations: code, stacks, libraries.
const OTHER_MEMORY_BYTES: u64 = 20_000_000;

/// Where a login gets its limits from (limits.conf(5)).
const LIMITS_FILE: &str = "/etc/security/limits.d/biosigd.conf";

/// A limit of this process, from `/proc/self/limits` (proc(5)): the soft one; `u64::MAX` where there is none.
fn limit(machine: &Machine, name: &str) -> Option<u64> {
    let text = machine.text("/proc/self/limits")?;
    let words = text.lines().find_map(|line| line.strip_prefix(name))?;
    match words.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Whether this process has a capability, from `/proc/self/status`.
fn is_capable(machine: &Machine, capability: u32) -> bool {
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> capability & 1 == 1
}

/// Of root's rights those of the service do not follow; its unit has limits of its own.
fn of_root(machine: &Machine) -> &'static str {
    if machine.who.is_service { " (this is root; the service has what its unit says)" } else { "" }
}

fn allow(machine: &Machine, limit: &str) -> Remedy {
    let name = &machine.who.name;
    Remedy::write(format!("write into {LIMITS_FILE}, and log in again"), format!("{name} - {limit}"))
}

/// Whether `SCHED_FIFO` is allowed at the configured priority.
pub(super) fn priority(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "priority";
    if !rig.paced {
        let reason = "nothing sets the source's pace, so its threads run at normal priority";
        return vec![Finding::skipped(CHECK, reason)];
    }
    let Some(limit) = limit(machine, "Max realtime priority") else {
        return vec![Finding::skipped(CHECK, "/proc/self/limits cannot be read")];
    };
    let needed = u64::try_from(rig.priority).unwrap_or(0);
    let capable = is_capable(machine, CAP_SYS_NICE);
    let why = format!(
        "Without it acquire takes turns with every program on its core; one turn of {} costs {}. The links behind it \
         bridge {}.",
        time_text(BEHIND_OTHERS_US),
        rig.loss(BEHIND_OTHERS_US),
        time_text(rig.link_us)
    );
    let figures = json!({"wanted": needed, "limit": limit, "cap_sys_nice": capable});
    let finding = if capable || limit >= needed {
        let by = if capable { "CAP_SYS_NICE".to_owned() } else { format!("RLIMIT_RTPRIO = {limit}") };
        Finding::fine(CHECK, format!("SCHED_FIFO {needed} is allowed by {by}{}", of_root(machine)), why)
    } else {
        let found = format!("SCHED_FIFO {needed} is refused: RLIMIT_RTPRIO = {limit}, and no CAP_SYS_NICE");
        Finding::warning(CHECK, found, why, allow(machine, "rtprio 95"))
    };
    vec![finding.with(figures)]
}

/// How much of a core's time real-time threads get.
pub(super) fn throttling(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "rt throttling";
    const KEY: &str = "kernel.sched_rt_runtime_us";
    if !rig.paced {
        return vec![Finding::skipped(CHECK, "nothing sets the source's pace, so no thread has real-time priority")];
    }
    let Some(runtime_us) = machine.number("/proc/sys/kernel/sched_rt_runtime_us") else {
        return vec![Finding::skipped(CHECK, "this kernel does not throttle real-time threads")];
    };
    let period_us = machine.number("/proc/sys/kernel/sched_rt_period_us").unwrap_or(1_000_000).max(1);
    let figures = json!({"runtime_us": runtime_us, "period_us": period_us});
    let remedy = || {
        let file = "write into /etc/sysctl.d/60-biosigd.conf, and run sudo sysctl --system";
        Remedy::write(file, format!("{KEY} = {}", period_us / 100 * 95))
    };
    if runtime_us < 0 {
        let why = "Threads that wait for each frame use little of their core, and no other thread is kept from it.";
        return vec![Finding::fine(CHECK, "off: real-time threads get all of their core", why).with(figures)];
    }
    let share = runtime_us as f64 / period_us as f64;
    let found =
        format!("{:.0} % of a core for real-time threads, of every {}", share * 100.0, time_text(period_us as f64));
    let stopped_us = (period_us - runtime_us).max(0) as f64;
    let why = format!(
        "Threads that use more are stopped for {}, which costs {}; one that waits for each frame uses a few per cent.",
        time_text(stopped_us),
        rig.loss(stopped_us)
    );
    let finding = if runtime_us == 0 {
        let why = format!("Real-time threads never run: {} are lost every second.", rig.loss_per_s());
        Finding::fault(CHECK, found, why, remedy())
    } else if share < SHARE_MIN {
        Finding::warning(CHECK, found, why, remedy())
    } else {
        Finding::fine(CHECK, found, why)
    };
    vec![finding.with(figures)]
}

/// Whether memory can be locked: `tried` is the answer to locking that of this command, and the daemon needs more.
pub(super) fn memory_lock(machine: &Machine, rig: &Rig, tried: Result<(), Refused>) -> Finding {
    const CHECK: &str = "memory lock";
    let needed = rig.memory_bytes + OTHER_MEMORY_BYTES;
    let capable = is_capable(machine, CAP_IPC_LOCK);
    let limit = limit(machine, "Max locked memory");
    let why = format!(
        "A page that the kernel dropped must be read back before its thread goes on, and an SD card may stall for {}: \
         {}.",
        time_text(SD_STALL_US),
        rig.loss(SD_STALL_US)
    );
    let figures = json!({"needed_bytes": needed, "limit_bytes": limit, "locked": tried.is_ok()});
    let too_little = !capable && limit.is_some_and(|limit| limit < needed);
    let finding = match tried {
        Err(refused) => {
            Finding::warning(CHECK, format!("refused: {}", refused.why), why, allow(machine, "memlock unlimited"))
        }
        Ok(()) if too_little => {
            let found = format!(
                "this command may lock its memory, but RLIMIT_MEMLOCK = {:.1} MB is less than the daemon's {:.1} MB",
                limit.unwrap_or(0) as f64 / 1e6,
                needed as f64 / 1e6
            );
            Finding::warning(CHECK, found, why, allow(machine, "memlock unlimited"))
        }
        Ok(()) => Finding::fine(CHECK, format!("memory can be locked{}", of_root(machine)), why),
    };
    finding.with(figures)
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
    fn priority_needs_a_limit_or_a_capability() {
        let fake = Fake::pi5();
        let finding = &priority(&fake.machine(), &fake::ads1299())[0];
        assert_eq!(finding.level, Level::Warning);
        assert_eq!(finding.found, "SCHED_FIFO 80 is refused: RLIMIT_RTPRIO = 0, and no CAP_SYS_NICE");
        assert_eq!(
            finding.why,
            "Without it acquire takes turns with every program on its core; one turn of 4.0 ms costs 16 frames of 32 \
             channels. The links behind it bridge 40.0 ms."
        );
        assert_eq!(line(finding), "lab - rtprio 95");
        fake.limits("95", "8388608");
        assert_eq!(
            priority(&fake.machine(), &fake::ads1299())[0].found,
            "SCHED_FIFO 80 is allowed by RLIMIT_RTPRIO = 95"
        );
        fake.limits("0", "8388608");
        fake.file("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
        let mut machine = fake.machine();
        assert_eq!(priority(&machine, &fake::ads1299())[0].found, "SCHED_FIFO 80 is allowed by CAP_SYS_NICE");
        machine.who.is_service = true;
        assert!(priority(&machine, &fake::ads1299())[0].found.ends_with("the service has what its unit says)"));
        assert_eq!(priority(&machine, &fake::free())[0].level, Level::Skipped);
        assert_eq!(priority(&Fake::empty().machine(), &fake::ads1299())[0].level, Level::Skipped);
    }

    #[test]
    fn throttling_stops_what_is_busy() {
        let fake = Fake::pi5();
        let found = |runtime_us: &str| {
            fake.file("proc/sys/kernel/sched_rt_runtime_us", runtime_us);
            throttling(&fake.machine(), &fake::ads1299()).remove(0)
        };
        let finding = found("950000");
        assert_eq!(finding.level, Level::Fine);
        assert_eq!(finding.found, "95 % of a core for real-time threads, of every 1.0 s");
        assert!(finding.why.contains("stopped for 50.0 ms, which costs 200 frames of 32 channels"), "{}", finding.why);
        assert_eq!(found("-1").found, "off: real-time threads get all of their core");
        let finding = found("500000");
        assert_eq!((finding.level, line(&finding)), (Level::Warning, "kernel.sched_rt_runtime_us = 950000".to_owned()));
        assert_eq!(found("0").level, Level::Fault);
        fake.remove("proc/sys/kernel/sched_rt_runtime_us");
        assert_eq!(throttling(&fake.machine(), &fake::ads1299())[0].level, Level::Skipped);
    }

    #[test]
    fn memory_must_be_lockable_as_a_whole() {
        let fake = Fake::pi5();
        let refused = Refused { what: "locking memory".to_owned(), why: "ENOMEM".to_owned(), remedy: "allow it" };
        let finding = memory_lock(&fake.machine(), &fake::ads1299(), Err(refused));
        assert_eq!((finding.level, line(&finding)), (Level::Warning, "lab - memlock unlimited".to_owned()));
        assert!(finding.why.ends_with("stall for 1.6 s: 6256 frames of 32 channels."), "{}", finding.why);
        let finding = memory_lock(&fake.machine(), &fake::ads1299(), Ok(()));
        assert_eq!(
            finding.found,
            "this command may lock its memory, but RLIMIT_MEMLOCK = 8.4 MB is less than the daemon's 60.0 MB"
        );
        fake.limits("0", "unlimited");
        assert_eq!(memory_lock(&fake.machine(), &fake::ads1299(), Ok(())).found, "memory can be locked");
    }
}
