//! One port for people and programs: the live page, the metrics, the state, and the way into the stream.
//!
//! One thread in one poller reads all heads at once, each within its deadline, so that two hundred silent
//! connections hold up nobody. No connection is kept alive.

mod access;
mod answer;
mod body;
mod connection;
mod failures;
mod files;
mod guard;
mod health;
mod login;
mod markers;
mod page;
mod recording;
mod routes;
mod server;
mod sessions;
mod status;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::backlog::Backlog;
use super::converter::Converter;
use super::events::Events;
use super::room::Room;
use crate::metrics::Metrics;
use crate::pipeline::{Control, Edges, Ledger, RecordingStatus};
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
    /// How the recorder is told what to do; `None`: it is off.
    pub(super) control: Option<Control>,
    /// Where markers go, the frame of an instant, and whether a clock paces frames, so that there is one.
    pub(super) events: Arc<Events>,
    pub(super) edges: Arc<Edges>,
    pub(super) is_paced: bool,
    /// Where recordings are, and how many threads read them now.
    pub(super) recordings: Vec<PathBuf>,
    pub(super) readers: Arc<AtomicUsize>,
    /// How long a client waits at most for what became of it.
    pub(super) stop_most: Duration,
    pub(super) health: Health,
    /// How far behind the disk is; `None`: nothing is recorded, or the source waits for it.
    pub(super) backlog: Option<Arc<Backlog>>,
    /// How long the disk will do; `None`: nothing is recorded.
    pub(super) room: Option<Room>,
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
