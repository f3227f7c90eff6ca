//! From a request's head to its answer.

use tungstenite::handshake::server::{create_response, write_response};
use tungstenite::http::{self, HeaderValue};

use super::answer::Answer;
use super::{Context, guard, page, status};
use crate::metrics::TEXT_FORMAT;
use crate::sink::websocket::{SUBPROTOCOL, Subscription};

/// The most bytes of a request's head.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers of a request.
const HEADERS_MAX: usize = 64;

/// What a head asks for.
pub(super) enum Routed {
    /// More bytes are needed.
    Partial,
    /// These bytes answer it, and that is all.
    Answer(Vec<u8>),
    /// It becomes a client of the stream: these bytes greet it, and the head ends after so many bytes.
    Upgrade { greeting: Vec<u8>, head_bytes: usize, subscription: Subscription },
}

/// Reads a head as far as it is there.
pub(super) fn route(head: &[u8], context: &Context) -> Routed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() >= HEAD_BYTES_MAX => {
            refuse("431 Request Header Fields Too Large", "the head is longer than 16 KiB")
        }
        Ok(httparse::Status::Partial) => Routed::Partial,
        Ok(httparse::Status::Complete(head_bytes)) => match to_http(&request) {
            Some(request) => answer(&request, head_bytes, context),
            None => refuse("400 Bad Request", "the request's head is not one of HTTP/1.1"),
        },
        Err(httparse::Error::TooManyHeaders) => {
            refuse("431 Request Header Fields Too Large", "there are more than 64 headers")
        }
        Err(_) => refuse("400 Bad Request", "this is not an HTTP request"),
    }
}

fn to_http(request: &httparse::Request<'_, '_>) -> Option<http::Request<()>> {
    let mut builder =
        http::Request::builder().method(request.method?).uri(request.path?).version(http::Version::HTTP_11);
    for header in request.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    builder.body(()).ok()
}

fn refuse(status: &'static str, why: &str) -> Routed {
    Routed::Answer(Answer::refuse(status, why).into_bytes(false))
}

fn answer(request: &http::Request<()>, head_bytes: usize, context: &Context) -> Routed {
    let head = request.method() == http::Method::HEAD;
    let text = |name: http::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Err(refusal) = guard::check(text(http::header::HOST), text(http::header::ORIGIN), &context.hosts) {
        return Routed::Answer(refusal.into_bytes(head));
    }
    if !head && request.method() != http::Method::GET {
        return refuse("405 Method Not Allowed", "only GET and HEAD are known here");
    }
    let path = request.uri().path();
    if path == "/v1/stream" {
        return stream(request, head_bytes, context);
    }
    Routed::Answer(plain(path, context).into_bytes(head))
}

fn plain(path: &str, context: &Context) -> Answer {
    match path {
        "/metrics" => match context.metrics.text() {
            Ok(text) => Answer::ok(TEXT_FORMAT, text.into_bytes()),
            Err(error) => Answer::refuse("500 Internal Server Error", &error.to_string()),
        },
        "/healthz" => {
            let complaints = context.health.complaints(&context.recording_status(), context.recorder_wanted);
            if complaints.is_empty() {
                return Answer::ok("text/plain; charset=utf-8", b"ok\n".as_slice());
            }
            Answer::refuse("503 Service Unavailable", &complaints.join("\n"))
        }
        "/api/v1/status" => Answer::ok("application/json", format!("{}\n", status::status(context)).into_bytes()),
        _ => page::part(path).unwrap_or_else(|| Answer::refuse("404 Not Found", &known_paths())),
    }
}

fn known_paths() -> String {
    "there is no such page; there are /, /metrics, /healthz, /api/v1/status and /v1/stream (WebSocket)".to_owned()
}

/// The opening handshake (RFC 6455, section 4.2).
fn stream(request: &http::Request<()>, head_bytes: usize, context: &Context) -> Routed {
    let Ok(mut response) = create_response(request) else {
        return refuse("426 Upgrade Required", "this path is a WebSocket, version 13");
    };
    let subscription = match Subscription::parse(request.uri().query().unwrap_or(""), &context.feeds.now()) {
        Ok(subscription) => subscription,
        Err(why) => return refuse("400 Bad Request", &why),
    };
    let offered = request.headers().get_all(http::header::SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<&str> = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if offered.contains(&SUBPROTOCOL) {
        // One that was not offered must not be chosen: browsers would fail the connection.
        response.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    } else if !offered.is_empty() {
        let why = format!("this stream speaks {SUBPROTOCOL}, not {}", offered.join(", "));
        return refuse("400 Bad Request", &why);
    }
    let mut greeting = Vec::new();
    match write_response(&mut greeting, &response) {
        Ok(()) => Routed::Upgrade { greeting, head_bytes, subscription },
        Err(error) => refuse("500 Internal Server Error", &error.to_string()),
    }
}
