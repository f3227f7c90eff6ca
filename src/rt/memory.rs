//! Locked memory: a page fault on the acquisition thread is a wait for the disk.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};

use super::Refused;

/// Locks the memory of this process; called when everything has been allocated.
///
/// Future allocations are locked as well only where `RLIMIT_MEMLOCK` is unlimited: under a small limit the kernel
/// would refuse a later allocation, and the process would abort (mlock(2), "`MCL_FUTURE`").
///
/// # Errors
/// The refusal with its remedy; the daemon runs on without.
pub fn lock_memory() -> Result<(), Refused> {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let flags = if unlimited { MlockAllFlags::CURRENT | MlockAllFlags::FUTURE } else { MlockAllFlags::CURRENT };
    mlockall(flags).map_err(|error| Refused {
        what: "locking memory".to_owned(),
        why: error.to_string(),
        remedy: "allow it: LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`",
    })
}

/// The machine's memory in bytes, without what the kernel keeps for itself (sysinfo(2)).
#[must_use]
pub fn installed_memory_bytes() -> u64 {
    let about = rustix::system::sysinfo();
    // `c_ulong` is half as wide on 32 bits.
    #[allow(clippy::useless_conversion, reason = "not there")]
    u64::from(about.totalram).saturating_mul(u64::from(about.mem_unit))
}
