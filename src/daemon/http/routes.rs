//! From a request's head, and its body where it posts, to its answer.

use std::net::IpAddr;
use std::time::Instant;

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::server::{create_response, write_response};
use tungstenite::http::header::{
    CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use tungstenite::http::{self, HeaderName, HeaderValue};

use super::access::Refusal;
use super::answer::Answer;
use super::files::Wanted;
use super::{Context, body, guard, login, markers, page, recording, status};
use crate::metrics::TEXT_FORMAT;
use crate::pipeline::Ticket;
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
    /// A thread of its own answers it, because that may take long.
    Away(Wanted),
    /// The recorder answers it, when it comes to that.
    Waits { ticket: Ticket, path: &'static str },
    /// It becomes a client of the stream: these bytes greet it, and the head ends after so many bytes.
    Upgrade { greeting: Vec<u8>, head_bytes: usize, subscription: Subscription },
}

/// Reads a request of `peer` as far as it is there.
pub(super) fn route(head: &[u8], peer: IpAddr, context: &Context) -> Routed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() >= HEAD_BYTES_MAX => too_long(),
        Ok(httparse::Status::Partial) => Routed::Partial,
        Ok(httparse::Status::Complete(head_bytes)) if head_bytes > HEAD_BYTES_MAX => too_long(),
        Ok(httparse::Status::Complete(head_bytes)) => match to_http(&request) {
            Some(request) => answer(request, head, head_bytes, peer, context),
            None => refuse("400 Bad Request", "the request's head is not one of HTTP/1.1"),
        },
        Err(httparse::Error::TooManyHeaders) => {
            refuse("431 Request Header Fields Too Large", "there are more than 64 headers")
        }
        Err(_) => refuse("400 Bad Request", "this is not an HTTP request"),
    }
}

fn to_http(request: &httparse::Request<'_, '_>) -> Option<http::Request<()>> {
    let version = if request.version? == 0 { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    let mut builder = http::Request::builder().method(request.method?).uri(request.path?).version(version);
    for header in request.headers.iter() {
        builder = builder.header(header.name, header.value);
    }
    builder.body(()).ok()
}

fn refuse(status: &'static str, why: &str) -> Routed {
    Routed::Answer(Answer::refuse(status, why).into_bytes(false))
}

fn too_long() -> Routed {
    refuse("431 Request Header Fields Too Large", "the head is longer than 16 KiB")
}

fn answer(request: http::Request<()>, bytes: &[u8], head_bytes: usize, peer: IpAddr, context: &Context) -> Routed {
    let head = request.method() == http::Method::HEAD;
    let (Ok(host), Ok(origin)) = (only(&request, &HOST), only(&request, &ORIGIN)) else {
        let refusal = Answer::refuse("400 Bad Request", "Host and Origin may stand once, in plain ASCII");
        return Routed::Answer(refusal.into_bytes(head));
    };
    if let Err(refusal) = guard::check(host, origin, &context.hosts) {
        return Routed::Answer(refusal.into_bytes(head));
    }
    let (path, headers, now) = (request.uri().path(), request.headers(), Instant::now());
    if request.method() == http::Method::POST && login::POSTS.contains(&path) {
        return match body::form(headers, &bytes[head_bytes..]) {
            Ok(Some(form)) => Routed::Answer(login::post(path, headers, form, peer, now, context).into_bytes(false)),
            Ok(None) => Routed::Partial,
            Err(refusal) => Routed::Answer(refusal.into_bytes(false)),
        };
    }
    if let Some(path) = recording::POSTS.into_iter().chain([markers::PATH]).find(|known| *known == path) {
        if request.method() != http::Method::POST {
            let refusal = Answer::refuse("405 Method Not Allowed", "this takes POST alone").with("Allow", "POST");
            return Routed::Answer(refusal.into_bytes(head));
        }
        if let Err(refusal) = context.access.check(headers, peer, now) {
            return Routed::Answer(refusal.answer().into_bytes(false));
        }
        return match body::json(headers, &bytes[head_bytes..]) {
            Ok(Some(body)) if path == markers::PATH => markers::post(body, context),
            Ok(Some(body)) => recording::post(path, body, context),
            Ok(None) => Routed::Partial,
            Err(refusal) => Routed::Answer(refusal.into_bytes(false)),
        };
    }
    if !head && request.method() != http::Method::GET {
        return refuse("405 Method Not Allowed", "only GET and HEAD are known here");
    }
    let access = if OPEN.contains(&path) { Ok(()) } else { context.access.check(headers, peer, now) };
    let answer = match (access, path) {
        (Ok(()), "/v1/stream") => {
            return stream(request, head_bytes, context)
                .unwrap_or_else(|refusal| Routed::Answer(refusal.into_bytes(head)));
        }
        (Ok(()), "/login") => login::page(headers, now, context),
        (Ok(()), "/healthz") => health(context, || context.access.check(headers, peer, now).is_ok()),
        (Ok(()), path) => match Wanted::of(path, head) {
            Some(wanted) => return Routed::Away(wanted),
            None => plain(path, context),
        },
        // A person; and whoever has a token that is not the right one is a program.
        (Err(Refusal::NoToken), "/") => Answer::see_other("/login"),
        (Err(refusal), _) => refusal.answer(),
    };
    Routed::Answer(answer.into_bytes(head))
}

/// What needs no token: the way to one, and whether the daemon lives.
const OPEN: [&str; 4] = ["/login", "/page/style.css", "/page/icon.svg", "/healthz"];

/// Why all is not well is for those with the token only: it may name files.
fn health(context: &Context, may_know_why: impl FnOnce() -> bool) -> Answer {
    let complaints = context.health.complaints(&context.recording_status());
    if complaints.is_empty() {
        return Answer::ok("text/plain; charset=utf-8", b"ok\n".as_slice());
    }
    let why = if may_know_why() { complaints.join("\n") } else { "not well; why is told with the token".to_owned() };
    Answer::refuse("503 Service Unavailable", &why)
}

/// The one value of a header. Several, or one that is no text, must not pass for none: without an `Origin` a request
/// counts as a program's.
fn only<'a>(request: &'a http::Request<()>, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

fn plain(path: &str, context: &Context) -> Answer {
    match path {
        "/metrics" => match context.metrics.text() {
            Ok(text) => Answer::ok(TEXT_FORMAT, text.into_bytes()),
            Err(error) => Answer::refuse("500 Internal Server Error", &error.to_string()),
        },
        "/api/v1/status" => Answer::ok("application/json", format!("{}\n", status::status(context)).into_bytes()),
        _ => page::part(path).unwrap_or_else(|| Answer::refuse("404 Not Found", &known_paths())),
    }
}

fn known_paths() -> String {
    "there is no such page; there are /, /metrics, /healthz, /api/v1/status, /api/v1/recordings and \
     /v1/stream (WebSocket); POST takes /api/v1/recording/start, stop and rotate, and /api/v1/markers"
        .to_owned()
}

/// The opening handshake (RFC 6455, section 4.2).
fn stream(mut request: http::Request<()>, head_bytes: usize, context: &Context) -> Result<Routed, Answer> {
    // Several lines are one list (RFC 9110, section 5.3); the library reads the first.
    if list(&request, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade")) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    let n_lines = |name| request.headers().get_all(name).iter().count();
    if n_lines(SEC_WEBSOCKET_VERSION) > 1 {
        return Err(upgrade_required());
    }
    if n_lines(SEC_WEBSOCKET_KEY) > 1 {
        return Err(bad_key());
    }
    let mut response = create_response(&request).map_err(|error| match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketKey | ProtocolError::InvalidSecWebSocketKey) => bad_key(),
        _ => upgrade_required(),
    })?;
    let subscription = Subscription::parse(request.uri().query().unwrap_or(""), &context.feeds.now())
        .map_err(|why| Answer::refuse("400 Bad Request", &why))?;
    let offered: Vec<&str> = list(&request, &SEC_WEBSOCKET_PROTOCOL).collect();
    if offered.contains(&SUBPROTOCOL) {
        // One that was not offered must not be chosen: browsers would fail the connection.
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    } else if !offered.is_empty() {
        let why = format!("this stream speaks {SUBPROTOCOL}, not {}", offered.join(", "));
        return Err(Answer::refuse("400 Bad Request", &why));
    }
    let mut greeting = Vec::new();
    write_response(&mut greeting, &response)
        .map_err(|error| Answer::refuse("500 Internal Server Error", &error.to_string()))?;
    Ok(Routed::Upgrade { greeting, head_bytes, subscription })
}

/// What a header lists, over all of its lines.
fn list<'a>(request: &'a http::Request<()>, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn upgrade_required() -> Answer {
    Answer::refuse("426 Upgrade Required", "this path is a WebSocket, version 13")
}

fn bad_key() -> Answer {
    Answer::refuse("400 Bad Request", "there must be one Sec-WebSocket-Key, of 16 bytes in base64")
}
