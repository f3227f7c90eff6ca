//! The way in for browsers, which cannot send a header of their own: a page with one field, no script. `/login` is also
//! where a browser logs out.

use std::net::IpAddr;
use std::time::Instant;

use tungstenite::http::{HeaderMap, header};

use super::access::Refusal;
use super::answer::Answer;
use super::{Context, page};

/// The paths that take a form.
pub(super) const POSTS: [&str; 2] = ["/login", "/logout"];

const HTML: &str = "text/html; charset=utf-8";

/// `GET /login`.
pub(super) fn page(headers: &HeaderMap, now: Instant, context: &Context) -> Answer {
    if !context.access.has_token() {
        return Answer::see_other("/");
    }
    if context.access.is_logged_in(headers, now) {
        return Answer::ok(HTML, page::LOGGED_IN.as_bytes());
    }
    Answer::ok(HTML, with_problem(""))
}

/// `POST /login` with the field `token`, and `POST /logout`.
pub(super) fn post(
    path: &str,
    headers: &HeaderMap,
    form: &[u8],
    peer: IpAddr,
    now: Instant,
    context: &Context,
) -> Answer {
    if !context.access.has_token() {
        return Answer::see_other("/");
    }
    if path == "/logout" {
        return Answer::see_other("/login").with("Set-Cookie", &context.access.log_out(headers));
    }
    let token = form_urlencoded::parse(form).find(|(name, _)| name == "token");
    // Spaces at the ends came with copying: no token has any.
    let opened =
        token.ok_or(Refusal::NoToken).and_then(|(_, token)| context.access.log_in(token.trim().as_bytes(), peer, now));
    match opened {
        Ok(cookie) => {
            let secure = if is_encrypted(headers) { "; Secure" } else { "" };
            Answer::see_other("/").with("Set-Cookie", &format!("{cookie}{secure}"))
        }
        Err(refusal) => refusal.mark(Answer::ok(HTML, with_problem(&refusal.sentence())).with_status(refusal.status())),
    }
}

/// Whether the browser reached us through a proxy with TLS, which the origin of its page tells. A cookie that is marked
/// `Secure` would not come back without.
fn is_encrypted(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The page with a sentence of ours about the last attempt.
fn with_problem(problem: &str) -> Vec<u8> {
    page::LOGIN.replace("{problem}", problem).into_bytes()
}
