//! Chains of ADS1299 converters (Texas Instruments SBAS499C) over SPI: the driver, the Linux interfaces below it, and
//! a register-accurate simulator that takes their place.

mod about;
pub mod board;
pub mod budget;
mod chain;
mod check;
pub mod bus;
mod clock;
mod control;
pub mod fault;
pub mod frame;
mod impedance;
mod keys;
pub mod layout;
pub mod notes;
mod proof;
mod readback;
mod reader;
pub mod registers;
mod self_test;
mod settings;
pub mod wire;
