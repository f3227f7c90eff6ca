//! `POST /api/v1/markers`: an event from a person or a program, put on a frame.

use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::recording::{answer, parse, refuse};
use super::{Context, routes::Routed};
use crate::block::{Marker, Origin};
use crate::rt::{now_ns, utc_now_ns};
use crate::sink::recorder::GAP_TEXT;

/// Where markers go.
pub(super) const PATH: &str = "/api/v1/markers";

/// The most bytes of a text: two of them fit one record of a file.
const TEXT_BYTES_MAX: usize = 512;

/// A frame may be this far ahead of the last one, in seconds: whoever counts along may be a little early.
const AHEAD_S: f64 = 60.0;

/// Markers that may wait for room in the file. Its records have room for some fifty each, so those of a flood would
/// otherwise become records of nothing else when the recording ends.
const WAITING_MAX: usize = 4096;

/// The longest that an event may last, in seconds: a week.
const DURATION_S_MAX: f64 = 604_800.0;

/// What a marker may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Body {
    text: String,
    frame: Option<u64>,
    offset_ns: Option<i64>,
    duration_s: Option<f64>,
    sent_utc_ns: Option<u64>,
    origin: From,
}

/// Who says it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    /// A program.
    #[default]
    Http,
    /// A person, on our page.
    Page,
}

/// Puts a marker on its frame.
pub(super) fn post(body: &[u8], context: &Context) -> Routed {
    super::recording::at_once(take(body, context))
}

fn take(body: &[u8], context: &Context) -> Answer {
    let (now_ns, now_utc_ns) = (now_ns(), utc_now_ns());
    let bad = |why: &str| refuse("400 Bad Request", why);
    let body: Body = match parse(body) {
        Ok(body) => body,
        Err(why) => return bad(&why),
    };
    let newest = context.edges.next_frame();
    let frame_ns = context.edges.stream().duration_ns(1);
    if let Err(why) = check(&body, newest, context.edges.stream().rate_hz, frame_ns) {
        return bad(&why);
    }
    let nearest = if body.frame.is_none() { context.edges.nearest(now_ns) } else { None };
    // A source without a clock has no frame for an instant: the newest one is the best there is, give or take nobody knows.
    let (frame, uncertainty_ns) = match (body.frame, nearest) {
        (Some(frame), _) => (frame, None),
        (None, Some(nearest)) if context.is_paced => (nearest.frame, Some(nearest.uncertainty_ns)),
        (None, Some(_)) => (newest.saturating_sub(1), None),
        (None, None) => return refuse("503 Service Unavailable", "there is no frame yet that a marker could stand on"),
    };
    #[allow(clippy::cast_possible_truncation, reason = "a week of nanoseconds at most")]
    let duration_ns = body.duration_s.map(|seconds| (seconds * 1e9).round() as i64);
    let origin = match body.origin {
        From::Http => Origin::Http,
        From::Page => Origin::Page,
    };
    let (offset_ns, sent_utc_ns) = (body.offset_ns.unwrap_or(0), body.sent_utc_ns);
    let marker = Marker { frame, offset_ns, duration_ns, text: body.text, origin, uncertainty_ns, sent_utc_ns };
    if context.recording_status().markers_waiting >= WAITING_MAX || !context.events.offer(&marker) {
        return refuse("503 Service Unavailable", "the marker queue is full: this one was not taken");
    }
    answer(
        "200 OK",
        &json!({
            "frame": frame,
            "offset_ns": marker.offset_ns,
            "uncertainty_ns": uncertainty_ns,
            "received_utc_ns": now_utc_ns,
            "sent_utc_ns": body.sent_utc_ns,
        }),
    )
}

fn check(body: &Body, newest: u64, rate_hz: f64, frame_ns: i64) -> Result<(), String> {
    let n_bytes = body.text.len();
    if !(1..=TEXT_BYTES_MAX).contains(&n_bytes) {
        return Err(format!("text has {n_bytes} bytes; it must have 1 to {TEXT_BYTES_MAX}"));
    }
    if body.text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("text must be without control characters and line ends; a tab may be in it".to_owned());
    }
    if body.text == GAP_TEXT {
        return Err(format!("text = \"{GAP_TEXT}\" is how lost frames are annotated; any other text is right"));
    }
    if let Some(frame) = body.frame.filter(|frame| frame.saturating_sub(newest) as f64 > rate_hz * AHEAD_S) {
        return Err(format!("frame = {frame} is more than {AHEAD_S} s after the newest one, {newest}"));
    }
    match (body.offset_ns, body.frame) {
        (Some(_), None) => return Err("offset_ns counts from the instant of a frame: it needs frame".to_owned()),
        (Some(offset_ns), Some(_)) if !(0..frame_ns).contains(&offset_ns) => {
            return Err(format!("offset_ns = {offset_ns} must be at least 0 and less than one frame, {frame_ns}"));
        }
        _ => {}
    }
    match body.duration_s {
        Some(seconds) if !(0.0..=DURATION_S_MAX).contains(&seconds) => {
            Err(format!("duration_s = {seconds} must be 0 to {DURATION_S_MAX}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_marker_may_say() {
        let said = |body: &str| -> Result<(), String> { check(&parse(body.as_bytes())?, 1000, 1000.0, 1_000_000) };
        for body in [
            "{\"text\": \"a\"}",
            "{\"text\": \"\\ttab and \u{1F9E0}\", \"frame\": 0, \"offset_ns\": 999999, \"duration_s\": 0.5}",
            "{\"text\": \"a\", \"frame\": 61000, \"sent_utc_ns\": 18446744073709551615}",
        ] {
            assert_eq!(said(body), Ok(()), "{body}");
        }
        for (body, why) in [
            ("", "text has 0 bytes; it must have 1 to 512"),
            ("{\"text\": \"\"}", "text has 0 bytes; it must have 1 to 512"),
            ("{\"text\": \"a\\nb\"}", "text must be without control characters and line ends; a tab may be in it"),
            ("{\"text\": \"\\u0014\"}", "text must be without control characters and line ends; a tab may be in it"),
            (
                "{\"text\": \"BAD_ACQ_SKIP\"}",
                "text = \"BAD_ACQ_SKIP\" is how lost frames are annotated; any other text is right",
            ),
            ("{\"text\": \"a\", \"frame\": 61001}", "frame = 61001 is more than 60 s after the newest one, 1000"),
            ("{\"text\": \"a\", \"offset_ns\": 1}", "offset_ns counts from the instant of a frame: it needs frame"),
            (
                "{\"text\": \"a\", \"frame\": 1, \"offset_ns\": 1000000}",
                "offset_ns = 1000000 must be at least 0 and less than one frame, 1000000",
            ),
            ("{\"text\": \"a\", \"duration_s\": -1}", "duration_s = -1 must be 0 to 604800"),
        ] {
            assert_eq!(said(body), Err(why.to_owned()), "{body}");
        }
        let long = format!("{{\"text\": \"{}\"}}", "\u{e9}".repeat(257));
        assert_eq!(said(&long), Err("text has 514 bytes; it must have 1 to 512".to_owned()));
        for body in [
            "{\"text\": 5}",
            "{\"text\": \"a\", \"frame\": -1}",
            "{\"text\": \"a\", \"frame\": 1e3}",
            "{\"txt\": \"a\"}",
        ] {
            assert!(said(body).is_err(), "{body}");
        }
    }
}
