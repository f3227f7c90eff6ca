//! The driver against the simulated chips, on a clock that only its own waits and transfers move.

mod bad_chip;
mod faults;
mod late_reads;
mod lead_off;
mod mixed;
mod rare_faults;
mod rig;
mod rules;
mod self_test;
mod settings;
mod shown;
mod spans;
mod start_up;
mod together;
mod triggers;
mod undisturbed;
mod wire_fails;
