//! Chains of ADS1299 converters (Texas Instruments SBAS499C) over SPI: the driver, the Linux interfaces below it, and
//! a register-accurate simulator that takes their place.

pub mod board;
pub mod budget;
mod clock;
mod control;
pub mod frame;
mod keys;
pub mod layout;
pub mod registers;
mod settings;
pub mod wire;
