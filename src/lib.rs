//! biosigd: an acquisition daemon for biosignals.
//!
//! Modules in the order that samples travel.

// The words of the trade, what Linux is asked for, the texts: they import nothing of ours.
pub mod block;
pub mod config;
pub mod edf;
pub mod metrics;
pub mod rt;

// Where samples come from, what is done to them, where they go.
pub mod source;

pub mod stage;

pub mod sink;

// Threads and links; and the daemon that builds, runs and stops them.
pub mod pipeline;

pub mod daemon;
