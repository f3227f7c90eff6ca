//! One answer to one request, as bytes.

use std::borrow::Cow;

/// An answer. `Connection: close` always: a client asks again with a new connection.
pub(super) struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: Cow<'static, [u8]>,
    cached: bool,
}

impl Answer {
    pub(super) fn ok(content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Answer {
        Answer { status: "200 OK", content_type, body: body.into(), cached: false }
    }

    /// An answer that says what was wrong with the request, as text.
    pub(super) fn refuse(status: &'static str, why: &str) -> Answer {
        let body = format!("{why}\n").into_bytes();
        Answer { status, content_type: "text/plain; charset=utf-8", body: body.into(), cached: false }
    }

    /// Bytes to send; `head` leaves the body out, as HEAD wants it.
    pub(super) fn into_bytes(self, head: bool) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: {}\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: {CONTENT_POLICY}\r\n{}\r\n",
            self.status,
            self.content_type,
            self.body.len(),
            if self.cached { "no-cache" } else { "no-store" },
            match self.status.split_at(3).0 {
                // RFC 9110, sections 15.5.6 and 15.5.22: what would be right instead.
                "405" => "Allow: GET, HEAD\r\n",
                "426" => "Upgrade: websocket\r\n",
                _ => "",
            },
        )
        .into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Lets a browser keep it and ask whether it changed.
    pub(super) fn cached(mut self) -> Answer {
        self.cached = true;
        self
    }
}

/// The page runs its own scripts and talks to its own daemon, and nothing else.
const CONTENT_POLICY: &str =
    "default-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";
