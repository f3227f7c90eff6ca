//! `GET /api/v1/status`: the state as JSON, from the same counters that `/metrics` shows.

use serde_json::{Map, Value, json};

use super::Context;
use crate::block::{Account, Cause};
use crate::daemon::room::Room;
use crate::sink::websocket::describe;

/// The whole state.
pub(super) fn status(context: &Context) -> Value {
    let recording = context.recording_status();
    let ledger: Map<String, Value> =
        context.ledgers.iter().map(|ledger| (ledger.consumer().to_owned(), account(&ledger.account()))).collect();
    let frames = context.metrics.frames.get();
    let streams: Vec<Value> = context
        .feeds
        .now()
        .iter()
        .map(|feed| describe(feed, None, frames / u64::from(feed.stream.ratio.max(1))))
        .collect();
    json!({
        "state": if context.is_draining() { "draining" } else { "running" },
        "version": context.about["version"],
        "session": context.about["session"],
        "source": source(context),
        "frames": frames,
        "rate_hz": context.metrics.sample_rate.get(),
        "streams": streams,
        "clients": context.metrics.ws_clients.get(),
        "recording": {
            "active": recording.active,
            "wanted": recording.wanted,
            "first_frame": recording.first_frame,
            "file": recording.file.as_ref().map(|file| file.display().to_string()),
            "seconds": recording.seconds,
            "ended": recording.ended,
            "bytes_per_hour": context.room.as_ref().map(Room::bytes_per_hour),
            "hours_left": context.room.as_ref().and_then(Room::hours_left),
            "backlog": context.backlog.as_ref().map(|backlog| backlog.json()),
        },
        "complaints": context.health.complaints(&recording),
        "ledger": ledger,
    })
}

/// What the source said of itself at start, and what it notices of its converter now.
fn source(context: &Context) -> Value {
    let mut source = context.about["source"].clone();
    if let Some(converter) = &context.converter {
        source["signs"] = converter.json();
    }
    source
}

pub(super) fn account(account: &Account) -> Value {
    let lost: Map<String, Value> =
        Cause::ALL.iter().map(|cause| (cause.name().to_owned(), account.lost.get(*cause).into())).collect();
    json!({"expected": account.expected, "delivered": account.delivered, "lost": lost})
}
