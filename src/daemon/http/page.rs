//! The live page, embedded: the daemon needs no files beside itself.

use super::answer::Answer;

const JS: &str = "text/javascript; charset=utf-8";

/// Path, content type and content of each part.
const PARTS: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/page/view.js", JS, include_str!("page/view.js")),
    ("/page/wire.js", JS, include_str!("page/wire.js")),
    ("/page/envelope.js", JS, include_str!("page/envelope.js")),
    ("/page/plot.js", JS, include_str!("page/plot.js")),
    ("/page/panel.js", JS, include_str!("page/panel.js")),
    ("/page/control.js", JS, include_str!("page/control.js")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// `login.html`; `{problem}` stands where the last attempt is answered.
pub(super) const LOGIN: &str = include_str!("page/login.html");

/// `logged_in.html`: what `/login` is for those who have.
pub(super) const LOGGED_IN: &str = include_str!("page/logged_in.html");

/// The part at `path`.
pub(super) fn part(path: &str) -> Option<Answer> {
    let (_, content_type, content) = PARTS.iter().find(|(known, _, _)| *known == path)?;
    Some(Answer::ok(content_type, content.as_bytes()))
}
