//! A register-accurate model of ADS1299 chains (SBAS499C) and of what the kernel makes of their DRDY, to stand in for
//! the hardware below the driver. It is written from the datasheet's behaviour and shares no table with the driver, so
//! that a mistake made once shows.
//!
//! [`Chain`] is the bench without a clock: it is told what time it is. [`SimulatedWire`] puts it behind the driver's
//! trait, on a virtual clock or the real one, and [`Truth`] says what really happened.
//!
//! ```
//! use biosigd::source::ads1299::simulated::{Setup, Signal, SimulatedWire};
//! use biosigd::source::ads1299::wire::{Shape, Wire};
//!
//! let setup = Setup { signal: Signal::Counter, ..Setup::four_chip_daisy() };
//! let mut wire = SimulatedWire::on_virtual_clock(&setup);
//! let truth = wire.truth();
//! let mut rx = [0; 3];
//! let shape = Shape { select: 0, clock_hz: 2_000_000, hold_us: 3 };
//! wire.transfer(shape, &[0x11], &mut rx[..1])?; // SDATAC
//! wire.transfer(shape, &[0x20, 0x00, 0x00], &mut rx)?; // RREG ID
//! assert_eq!((rx[2], truth.counts().n_transfers), (0x3E, 2));
//! # Ok::<(), biosigd::source::ads1299::wire::WireError>(())
//! ```

mod chain;
mod chip;
mod converter;
mod decoder;
mod edges;
mod effects;
mod faults;
mod front;
mod lead_off;
mod noise;
mod pins;
mod reads;
mod registers;
mod run;
mod script;
mod setup;
mod shift;
mod signal;
mod square;
mod transfer;
mod truth;
mod wire;

pub use chain::Chain;
pub use faults::{Fault, Planned, Side, When, Which};
pub use setup::{
    Board, ChainReadback, ChipSetup, ClockSource, Electrode, HostDelays, Model, Pins, RdatacTakes, SelectSetup, Setup,
};
pub use signal::{Recording, Signal};
pub use truth::{Counts, Note, Touched, Truth, Violation};
pub use wire::{Clock, SimulatedWire};

#[cfg(test)]
mod tests;
