//! One port for people and programs: the live page, the metrics, the state, and the way into the stream.
//!
//! One thread in one poller reads all heads at once, each within its deadline, so that two hundred silent
//! connections hold up nobody. No connection is kept alive.

mod access;
mod answer;
mod body;
mod connection;
mod failures;
mod guard;
mod health;
mod login;
mod page;
mod routes;
mod server;
mod sessions;
mod status;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::converter::Converter;
use crate::metrics::Metrics;
use crate::pipeline::{Ledger, RecordingStatus};
use crate::sink::websocket::{Door, Feeds};

pub(super) use access::Access;
pub(super) use health::Health;
pub(super) use server::{Port, Server};

/// What answers are made of.
pub(super) struct Context {
    pub(super) metrics: Arc<Metrics>,
    /// One per consumer, in the order of the road.
    pub(super) ledgers: Vec<Ledger>,
    pub(super) feeds: Feeds,
    pub(super) door: Door,
    pub(super) recording: Arc<Mutex<RecordingStatus>>,
    /// `session`, `version` and `source`.
    pub(super) about: Value,
    /// Whether a recording should be active while the daemon runs.
    pub(super) recorder_wanted: bool,
    pub(super) health: Health,
    /// The converter's signs, where the source has some.
    pub(super) converter: Option<Arc<Converter>>,
    /// Set by `main` when it begins to stop, read by this thread; `Relaxed`, it changes one word of the status.
    pub(super) draining: AtomicBool,
    /// Names that requests may be addressed to, besides this machine's own.
    pub(super) hosts: Vec<String>,
    pub(super) access: Access,
}

impl Context {
    pub(super) fn recording_status(&self) -> RecordingStatus {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
