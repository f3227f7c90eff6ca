//! What the rig knows of a run, for a test to compare with what the program says.

use std::path::Path;

use serde::Serialize;

/// Counts of the rig's kernel; `board` is what the board itself knows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Truth {
    /// Falling edges of DRDY while somebody had its line.
    pub(crate) edges: u64,
    /// Of these, without a hard interrupt of their own.
    pub(crate) edges_latched: u64,
    /// Of these, with a hard interrupt and without an event.
    pub(crate) edges_coalesced: u64,
    /// Events that the full queue dropped.
    pub(crate) events_overflowed: u64,
    /// Transfers that the program asked for.
    pub(crate) transfers: u64,
    /// Of these, refused by a fault.
    pub(crate) transfers_failed: u64,
    /// Of these, in another mode than the chips understand.
    pub(crate) transfers_in_wrong_mode: u64,
    pub(crate) board: serde_json::Value,
}

impl Truth {
    /// Writes it; says so when that fails, since the program is about to end.
    pub(crate) fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).expect("plain numbers");
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("rig: {}: {error}", path.display());
        }
    }
}
