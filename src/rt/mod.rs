//! What Linux must be asked for: cores, priorities, locked memory, clocks. The only folder with `unsafe`.

mod clock;
mod stop;

pub use clock::{now_ns, utc_now_ns};
pub use stop::Stop;
