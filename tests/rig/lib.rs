//! The test rig: a library that is preloaded into an unmodified program, stands in for the kernel below
//! `/dev/spidev*` and `/dev/gpiochip*`, and connects both to a board that runs on the real clock.
//!
//! ```sh
//! cargo build --example rig
//! BIOSIGD_RIG=rig.toml LD_PRELOAD=target/debug/examples/librig.so target/debug/biosigd run -c bench.toml
//! ```
//!
//! `settings.rs` has what `rig.toml` may say. When the program ends the rig writes what it knows, the truth to compare
//! with, into the file that `truth` names (`truth.rs`).
//!
//! What is real: the file descriptors, the 48-byte events read from a pipe, poll on it, time. What is not: programs
//! that are linked statically or make their system calls themselves (rustix does) are not reached, which is enough for
//! rppal and gpiocdev-uapi, whose calls go through the C library; version 1 of the GPIO interface; stat(2) and access(2)
//! of devices; a second opening of the same board by another process.

mod board;
mod calls;
mod converters;
mod disk;
mod fields;
mod gpio;
mod kernel;
mod loopback;
mod request;
mod settings;
mod spi;
mod truth;
