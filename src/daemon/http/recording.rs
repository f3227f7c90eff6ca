//! `POST /api/v1/recording/start`, `/stop` and `/rotate`: from a request to an order, and from a verdict to an answer.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::routes::Routed;
use super::{Context, status};
use crate::pipeline::{Order, Verdict};
use crate::rt::now_ns;
use crate::sink::About;

/// The paths that take an order.
pub(super) const POSTS: [&str; 3] = ["/api/v1/recording/start", "/api/v1/recording/stop", "/api/v1/recording/rotate"];

/// The most characters of a name, and of a subject's code: both stand in fields of 80 characters.
const NAME_MAX: usize = 80;

/// The most characters of notes.
const NOTES_MAX: usize = 20_000;

/// What a start may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Start {
    name: String,
    subject: String,
    notes: String,
}

/// For orders that say nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nothing {}

/// What waits for the disk's side is answered when the verdict is there, or with this when it takes too long.
pub(super) fn late(path: &str) -> Answer {
    let why = match path {
        "/api/v1/recording/start" => "no file is open yet; the recording begins with the next frame that comes",
        "/api/v1/recording/stop" => "still draining: the disk has not taken everything yet",
        _ => "the file has not ended yet; it does at the next record boundary",
    };
    answer("202 Accepted", &json!({"pending": why}))
}

/// Takes an order with this body.
pub(super) fn post(path: &'static str, body: &[u8], context: &Context) -> Routed {
    let order = match order(path, body) {
        Ok(order) => order,
        Err(why) => return at_once(refuse("400 Bad Request", &why)),
    };
    let Some(control) = &context.control else {
        return at_once(refuse(
            "409 Conflict",
            "nothing is recorded: record = \"off\" in [recorder]; \"manual\" or \"auto\" and a restart would let it",
        ));
    };
    match control.ask(order) {
        Some(ticket) => Routed::Waits { ticket, path },
        None => at_once(refuse("503 Service Unavailable", "too many orders wait for the recorder, or it has ended")),
    }
}

fn order(path: &str, body: &[u8]) -> Result<Order, String> {
    // Taken as early as the request is whole: what comes later is not part of the recording.
    let asked_ns = now_ns();
    if path == "/api/v1/recording/start" {
        let start: Start = parse(body)?;
        let short = |what: &str, text: &str, most: usize| match text.chars().count() {
            n if n > most => Err(format!("{what} has {n} characters; {most} are the most")),
            _ => Ok(()),
        };
        short("name", &start.name, NAME_MAX)?;
        short("subject", &start.subject, NAME_MAX)?;
        short("notes", &start.notes, NOTES_MAX)?;
        if start.name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) || start.name.starts_with('.') {
            return Err(
                "name becomes part of a file's name: no slashes, no control characters, no dot first".to_owned()
            );
        }
        if start.subject.chars().any(char::is_control) {
            return Err("subject must be without control characters and line ends".to_owned());
        }
        if start.notes.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err("notes may have line ends and tabs, and no other control characters".to_owned());
        }
        return Ok(Order::Start(About { name: start.name, subject: start.subject, notes: start.notes }));
    }
    let Nothing {} = parse(body)?;
    Ok(if path == "/api/v1/recording/stop" { Order::Stop { asked_ns } } else { Order::Rotate })
}

/// Reads a body; an empty one says nothing.
pub(super) fn parse<'b, T: Default + Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body must be a JSON object, such as {\"name\": \"rest\"}".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is not what this takes: {error}"))
}

/// The answer that a verdict makes.
pub(super) fn verdict(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Started { file, first_frame } => {
            answer("200 OK", &json!({"file": file.display().to_string(), "first_frame": first_frame}))
        }
        Verdict::Stopped(last) => answer(
            "200 OK",
            &json!({
                "file": last.file.map(|file| file.display().to_string()),
                "first_frame": last.first_frame,
                "seconds": last.seconds,
                "frames_written": last.frames_written,
                "ledger": status::account(&last.account),
                "trouble": last.trouble,
            }),
        ),
        Verdict::Rotated { ended, file } => {
            answer("200 OK", &json!({"ended": ended.display().to_string(), "file": file.display().to_string()}))
        }
        Verdict::Active { file } => {
            let file = file.map(|file| file.display().to_string());
            let why = "a recording is active, or begins or ends just now: stop it first";
            answer("409 Conflict", &json!({"error": why, "file": file}))
        }
        Verdict::NotActive => refuse("409 Conflict", "no recording is active"),
        Verdict::DiskLow { why } => refuse("507 Insufficient Storage", &why),
        Verdict::Failed { why } => refuse("503 Service Unavailable", &why),
    }
}

pub(super) fn answer(status: &'static str, body: &Value) -> Answer {
    Answer::ok("application/json", format!("{body}\n").into_bytes()).with_status(status)
}

pub(super) fn refuse(status: &'static str, why: &str) -> Answer {
    answer(status, &json!({"error": why}))
}

pub(super) fn at_once(answer: Answer) -> Routed {
    Routed::Answer(answer.into_bytes(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_start_may_say() {
        let start = |body: &str| order("/api/v1/recording/start", body.as_bytes());
        let about = |name: &str| Ok(Order::Start(About { name: name.to_owned(), ..About::default() }));
        assert_eq!(start(""), about(""));
        assert_eq!(start(" {} "), about(""));
        assert_eq!(start("{\"name\": \"rest 1\"}"), about("rest 1"));
        for (body, message) in [
            ("[]", "the body must be a JSON object, such as {\"name\": \"rest\"}"),
            ("null", "the body must be a JSON object, such as {\"name\": \"rest\"}"),
            (
                "{\"nmae\": \"x\"}",
                "the body is not what this takes: unknown field `nmae`, expected one of `name`, `subject`, `notes` at \
                 line 1 column 7",
            ),
            (
                "{\"name\": 5}",
                "the body is not what this takes: invalid type: integer `5`, expected a string at line 1 column 10",
            ),
            (
                "{\"name\": \"../x\"}",
                "name becomes part of a file's name: no slashes, no control characters, no dot first",
            ),
            ("{\"subject\": \"a\\nb\"}", "subject must be without control characters and line ends"),
            ("{\"notes\": \"\\u0000\"}", "notes may have line ends and tabs, and no other control characters"),
        ] {
            assert_eq!(start(body), Err(message.to_owned()), "{body}");
        }
        let long = format!("{{\"subject\": \"{}\"}}", "x".repeat(81));
        assert_eq!(start(&long), Err("subject has 81 characters; 80 are the most".to_owned()));
        let stop = order("/api/v1/recording/stop", b"{\"name\": \"x\"}").expect_err("a stop says nothing");
        assert!(stop.contains("unknown field `name`"), "{stop}");
    }
}
