//! What a thread asks of the kernel when it begins: a core of its own and a real-time priority.

use std::fmt;
use std::io;

use core_affinity::CoreId;

/// The largest core number that the affinity mask of the C library holds; `core_affinity` aborts beyond it.
pub(super) const CORE_MAX: usize = 1023;

/// What a thread wants to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The thread's name, at most 15 bytes (the kernel's limit, prctl(2) `PR_SET_NAME`).
    pub name: &'static str,
    /// The core to stay on; `None` for any.
    pub core: Option<usize>,
    /// The `SCHED_FIFO` priority, 1 to 99; `None` for normal scheduling.
    pub priority: Option<i32>,
}

/// Something that the system refused, and what would help. The daemon says so once and runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for.
    pub what: String,
    /// The system's reason.
    pub why: String,
    /// What the owner of the machine can do.
    pub remedy: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was refused ({}); {}", self.what, self.why, self.remedy)
    }
}

/// Gives the calling thread its core and its priority; returns what was refused.
#[must_use]
pub fn enter(role: &Role) -> Vec<Refused> {
    let mut refused = Vec::new();
    // The default slack of 50 us would be added to every wait of a thread without real-time priority (prctl(2)).
    if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)) {
        refused.push(Refused {
            what: format!("exact timers for `{}`", role.name),
            why: error.to_string(),
            remedy: "waits may be 50 us late",
        });
    }
    if let Some(core) = role.core {
        if core > CORE_MAX || !core_affinity::set_for_current(CoreId { id: core }) {
            refused.push(Refused {
                what: format!("core {core} for `{}`", role.name),
                why: if core > CORE_MAX { format!("above {CORE_MAX}") } else { io::Error::last_os_error().to_string() },
                remedy: "choose one of /sys/devices/system/cpu/possible that the unit's AllowedCPUs= includes",
            });
        }
    }
    if let Some(priority) = role.priority {
        if let Err(error) = set_fifo(priority) {
            refused.push(Refused {
                what: format!("SCHED_FIFO {priority} for `{}`", role.name),
                why: error.to_string(),
                remedy: "allow it: LimitRTPRIO=90 in the unit, or `ulimit -r 90`",
            });
        }
    }
    refused
}

#[allow(unsafe_code, reason = "rustix and std do not offer sched_setscheduler")]
fn set_fifo(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: unsafe because it is a call into C; sound because pid 0 means the calling thread and the kernel only
    // reads the one structure, which lives until the call returns.
    let result =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
