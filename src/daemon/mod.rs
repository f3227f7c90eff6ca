//! Builds, starts, runs and stops the road. The only folder that knows all others.

mod backlog;
mod chains;
pub mod cli;
pub mod convert;
mod converter;
mod doctor;
mod events;
mod failure;
mod files;
mod http;
mod kinds;
mod load;
mod log;
mod plan;
mod recorder;
pub mod recover;
mod reload;
mod road;
mod room;
mod run;
mod settings;
mod sizes;
mod systemd;
#[cfg(test)]
mod tests;
mod token;
pub mod verify;

pub use failure::Failure;
