//! Chains of ADS1299 converters (Texas Instruments SBAS499C) over SPI: the driver, the Linux interfaces below it, and
//! a register-accurate simulator that takes their place.
//!
//! In the order in which a frame comes to be:
//!
//! | module | holds |
//! |---|---|
//! | `plan`, `keys`, `settings`, `wiring`, `describe` | the table of the configuration, checked |
//! | [`board`], [`layout`], [`registers`], [`budget`], [`frame_time`] | what a board is: chips, wiring, register values, the time on the wire |
//! | [`wire`] | all that the driver knows of the world outside |
//! | [`bus`] | Linux below it: spidev and the GPIO character device |
//! | [`simulated`], `simulation`, `fault_keys` | simulated chips below it |
//! | `control`, `waking`, `proof`, `sync`, `self_test`, `capture`, [`fault`] | commands, and start-up that proves the hardware |
//! | `clock`, `reader` | which conversion is the newest, and frames with their index |
//! | [`frame`], `check`, `readback`, `impedance` | bytes to codes, what is checked of every frame and beside them |
//! | [`chain`], `place`, `account`, `trouble`, `doubt`, [`notes`], `about`, `shown` | the source itself, and what it tells |

mod about;
mod account;
pub mod board;
pub mod budget;
pub mod bus;
mod capture;
pub mod chain;
mod check;
mod clock;
mod control;
mod describe;
mod doubt;
pub mod fault;
mod fault_keys;
pub mod frame;
pub mod frame_time;
mod impedance;
mod keys;
pub mod layout;
pub mod notes;
mod place;
mod plan;
mod proof;
mod readback;
mod reader;
pub mod registers;
mod self_test;
mod settings;
mod shown;
pub mod simulated;
mod simulation;
mod sync;
mod trouble;
mod waking;
pub mod wire;
mod wiring;

pub(super) use plan::KIND;

use crate::config::{Document, Mistakes};

/// The board that the table `[source]` of `document` describes, for tests and benchmarks; `None` when there were
/// `mistakes`.
pub fn board_of(document: &Document<'_>, mistakes: &mut Mistakes) -> Option<board::Board> {
    let mut table = document.root().section("source", mistakes);
    table.choose("source", super::KINDS, |kind| kind.name, None, mistakes)?;
    settings::read(&mut table, mistakes).map(|checked| checked.board)
}

#[cfg(test)]
mod tests;
