//! Which kernel runs: what data depend on whose recorder nobody can ask any more.

use std::fs;

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` has it.
    pub release: String,
    /// Whether it interrupts itself for a real-time thread: `PREEMPT_RT`, `PREEMPT_DYNAMIC`, `PREEMPT`, or `none`.
    pub preemption: String,
}

/// The one that runs; `None` where `/proc` is not mounted.
#[must_use]
pub fn kernel() -> Option<Kernel> {
    let text = |path: &str| fs::read_to_string(path).map(|text| text.trim_end().to_owned()).ok();
    let version = text("/proc/sys/kernel/version")?;
    let is_real_time = text("/sys/kernel/realtime").is_some_and(|flag| flag == "1");
    Some(Kernel {
        release: text("/proc/sys/kernel/osrelease")?,
        preemption: preemption_of(&version, is_real_time).unwrap_or("none").to_owned(),
    })
}

/// The preemption model that a kernel's `version` names (`#1 SMP PREEMPT_DYNAMIC ...`); some with `PREEMPT_RT` say so by
/// `/sys/kernel/realtime` alone. `None` where there is none.
#[must_use]
pub fn preemption_of(version: &str, is_real_time: bool) -> Option<&str> {
    const REAL_TIME: &str = "PREEMPT_RT";
    if is_real_time || version.contains(REAL_TIME) {
        return Some(REAL_TIME);
    }
    version.split(' ').find(|word| word.starts_with("PREEMPT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_a_word_of_the_version() {
        for (version, is_real_time, expected) in [
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.9-1 (2025-01-10)", false, Some("PREEMPT_DYNAMIC")),
            ("#1 SMP PREEMPT Debian 1:6.12.25-1+rpt1 (2025-04-30)", false, Some("PREEMPT")),
            ("#1 SMP PREEMPT_RT Debian 6.12.9-1", false, Some("PREEMPT_RT")),
            ("#1 SMP PREEMPT RT 5.15", true, Some("PREEMPT_RT")),
            ("#1 SMP Mon Jan 1", false, None),
        ] {
            assert_eq!(preemption_of(version, is_real_time), expected, "{version}");
        }
    }

    #[test]
    fn the_kernel_that_runs_is_the_one_that_uname_names() {
        let output = std::process::Command::new("uname").arg("-r").output().unwrap();
        assert_eq!(kernel().unwrap().release, String::from_utf8(output.stdout).unwrap().trim_end());
    }
}
