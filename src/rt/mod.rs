//! What Linux must be asked for: cores, priorities, locked memory, clocks. The only folder with `unsafe`.

mod clock;
mod cores;
mod kernel;
mod memory;
mod stop;
mod thread;

pub use clock::{ClockDiscipline, clock_discipline, now_ns, sleep_until, utc_now_ns};
pub use cores::{Cores, choose_cores, parse_core_list};
pub use kernel::{Kernel, kernel, preemption_of};
pub use memory::{installed_memory_bytes, lock_memory};
pub use stop::Stop;
pub use thread::{Refused, Role, enter};
