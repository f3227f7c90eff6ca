//! biosigd: an acquisition daemon for biosignals.
//!
//! Modules in the order that samples travel.

pub mod block;
pub mod config;
pub mod rt;
pub mod metrics;
pub mod source;
pub mod stage;
pub mod sink;
pub mod pipeline;
