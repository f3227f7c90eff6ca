//! The JSON texts: `hello`, which says what is coming, and markers.

use serde_json::{Value, json};

use super::{Feed, SUBPROTOCOL, Subscription};
use crate::block::Marker;

/// A stream as `hello` and the status describe it; `channels` chooses some of its channels.
#[must_use]
pub fn describe(feed: &Feed, channels: Option<&[usize]>, first_frame: u64) -> Value {
    let all = &feed.stream.channels;
    let channel = |i: usize| {
        let channel = &all[i];
        let (scale, offset) = match feed.kind {
            super::FeedKind::Codes => (channel.scale(), channel.offset()),
            super::FeedKind::Units => (1.0, 0.0),
        };
        json!({"name": channel.name, "type": channel.kind.name(), "unit": channel.unit, "scale": scale, "offset": offset})
    };
    let channels: Vec<Value> = match channels {
        None => (0..all.len()).map(channel).collect(),
        Some(chosen) => chosen.iter().map(|i| channel(*i)).collect(),
    };
    json!({
        "id": feed.id,
        "name": feed.name,
        "kind": feed.kind.name(),
        "rate_hz": feed.stream.rate_hz,
        "ratio": feed.stream.ratio,
        "delay_s": feed.stream.delay_s,
        "first_frame": first_frame,
        "channels": channels,
    })
}

/// The first text a client gets. `next_frames` holds, for every feed, the index of the first frame that can come.
pub(super) fn hello(session: &Value, feeds: &[Feed], subscription: &Subscription, next_frames: &[u64]) -> String {
    let streams = subscription.selections.iter();
    let streams: Vec<Value> = streams
        .map(|selection| {
            let feed = &feeds[selection.feed];
            describe(feed, selection.channels.as_deref(), next_frames[selection.feed])
        })
        .collect();
    let mut hello = json!({"type": "hello", "protocol": SUBPROTOCOL, "streams": streams});
    if let (Some(hello), Some(session)) = (hello.as_object_mut(), session.as_object()) {
        hello.extend(session.clone());
    }
    hello.to_string()
}

/// An event as a text. Its frame is one of `raw`.
pub(super) fn marker(marker: &Marker) -> String {
    json!({
        "type": "marker",
        "frame": marker.frame,
        "offset_ns": marker.offset_ns,
        "duration_s": marker.duration_ns.map(|duration_ns| duration_ns as f64 * 1e-9),
        "text": marker.text,
    })
    .to_string()
}
