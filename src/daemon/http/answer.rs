//! One answer to one request, as bytes.

use std::borrow::Cow;

/// An answer. `Connection: close` always: a client asks again with a new connection.
pub(super) struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: Cow<'static, [u8]>,
    /// Header lines of this answer only, each with its end.
    more: String,
}

impl Answer {
    pub(super) fn ok(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Answer {
        Answer { status: "200 OK", content_type, body: body.into(), more: String::new() }
    }

    /// An answer that says what was wrong with the request, as text.
    pub(super) fn refuse(status: &'static str, why: &str) -> Answer {
        Answer { status, ..Answer::ok("text/plain; charset=utf-8", format!("{why}\n").into_bytes()) }
    }

    /// Sends a browser to another page of ours; what it posted is not sent again.
    pub(super) fn see_other(path: &'static str) -> Answer {
        Answer::refuse("303 See Other", path).with("Location", path)
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: &'static str) -> Answer {
        Answer { status, ..self }
    }

    /// The same with one more header. `value` is ours, never a client's.
    pub(super) fn with(mut self, name: &str, value: &str) -> Answer {
        self.more.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Bytes to send; `head` leaves the body out, as HEAD wants it.
    pub(super) fn into_bytes(mut self, head: bool) -> Vec<u8> {
        let body = std::mem::take(&mut self.body);
        let mut bytes = self.into_head(body.len() as u64);
        if !head {
            bytes.extend_from_slice(&body);
        }
        bytes
    }

    /// The head alone, before a body of `length` bytes that comes from elsewhere.
    pub(super) fn into_head(self, length: u64) -> Vec<u8> {
        let upgrade = self.status.starts_with("426");
        format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close{}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: {REFERRER_POLICY}\r\n\
             Content-Security-Policy: {CONTENT_POLICY}\r\n{}{}\r\n",
            self.status,
            self.content_type,
            length,
            // Whoever names a protocol to upgrade to says so here as well (RFC 9110, section 7.8).
            if upgrade { ", upgrade" } else { "" },
            match self.status.split_at(3).0 {
                // RFC 9110, sections 15.5.6 and 15.5.22, and RFC 6455, section 4.4: what would be right instead.
                "405" if !self.more.contains("Allow: ") => "Allow: GET, HEAD\r\n",
                "426" => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                _ => "",
            },
            self.more,
        )
        .into_bytes()
    }
}

/// The page runs its own scripts and talks to its own daemon, and nothing else.
const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; form-action 'self'; \
                              base-uri 'none'; frame-ancestors 'none'";

/// Nobody else learns where a reader came from. `no-referrer` would make browsers post forms with `Origin: null`
/// (Fetch, "append a request Origin header"), which no daemon can tell from a stranger's.
const REFERRER_POLICY: &str = "same-origin";
