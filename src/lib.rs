//! biosigd: an acquisition daemon for biosignals.
//!
//! Modules in the order that samples travel.

pub mod block;
pub mod edf;
pub mod rt;
pub mod sink;
pub mod source;
pub mod stage;
