//! The body of a request that posts: small, of a known length, and of the kind that the path wants.

use tungstenite::http::{HeaderMap, header};

use super::answer::Answer;

/// The most bytes of a form.
const FORM_BYTES_MAX: usize = 4 * 1024;

/// The most bytes of a JSON body, and of any.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// What an HTML form without a file sends.
const FORM: &str = "application/x-www-form-urlencoded";

/// What programs send. No form of another site can: browsers ask before they send this elsewhere, and are refused.
const JSON: &str = "application/json";

/// The form in `rest`, what has come after the head; `None` while it is not whole. An answer where it is not a form,
/// too long, or of unknown length.
pub(super) fn form<'b>(headers: &HeaderMap, rest: &'b [u8]) -> Result<Option<&'b [u8]>, Answer> {
    let length = length(headers, FORM_BYTES_MAX, "4 KiB")?;
    if !is_of_kind(headers, FORM) {
        return Err(Answer::refuse("415 Unsupported Media Type", &format!("this wants a form, {FORM}")));
    }
    Ok(rest.get(..length))
}

/// The JSON in `rest`, or nothing at all; as [`form`].
pub(super) fn json<'b>(headers: &HeaderMap, rest: &'b [u8]) -> Result<Option<&'b [u8]>, Answer> {
    let is_plain = !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING);
    let length = if is_plain { 0 } else { length(headers, BODY_BYTES_MAX, "64 KiB")? };
    // A form without fields has no body either, but says that it is one.
    let is_nothing = length == 0 && !headers.contains_key(header::CONTENT_TYPE);
    if !is_nothing && !is_of_kind(headers, JSON) {
        return Err(Answer::refuse(
            "415 Unsupported Media Type",
            &format!("this wants Content-Type: {JSON}, or no body"),
        ));
    }
    Ok(rest.get(..length))
}

/// How long the body will be, at most `most`.
fn length(headers: &HeaderMap, most: usize, in_words: &str) -> Result<usize, Answer> {
    let length = only(headers, header::CONTENT_LENGTH);
    let Some(length) = length.filter(|_| !headers.contains_key(header::TRANSFER_ENCODING)) else {
        return Err(Answer::refuse("411 Length Required", "a body needs one Content-Length, and comes in one piece"));
    };
    // RFC 9110, section 8.6: digits and nothing else.
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Answer::refuse("400 Bad Request", "Content-Length is not a number"));
    }
    let length = length.parse().unwrap_or(usize::MAX);
    if length > most {
        return Err(Answer::refuse("413 Content Too Large", &format!("the body is longer than {in_words}")));
    }
    Ok(length)
}

fn is_of_kind(headers: &HeaderMap, wanted: &str) -> bool {
    let kind = only(headers, header::CONTENT_TYPE).unwrap_or("");
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = for<'b> fn(&HeaderMap, &'b [u8]) -> Result<Option<&'b [u8]>, Answer>;

    fn ask<'b>(headers: &[(&'static str, &str)], rest: &'b [u8]) -> Result<Option<&'b [u8]>, u16> {
        ask_for(form, headers, rest)
    }

    fn ask_for<'b>(read: Read, headers: &[(&'static str, &str)], rest: &'b [u8]) -> Result<Option<&'b [u8]>, u16> {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header"))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append::<header::HeaderName>(name, value);
        }
        read(&map, rest).map_err(|answer| {
            let head = String::from_utf8(answer.into_bytes(true)).expect("text");
            head[9..12].parse().expect("a status")
        })
    }

    #[test]
    fn bodies() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let length = |text| ("content-length", text);
        assert_eq!(ask(&[form, length("3")], b"a=bc"), Ok(Some(&b"a=b"[..])), "what comes after it is not its own");
        assert_eq!(ask(&[form, length("5")], b"a=bc"), Ok(None), "more is to come");
        assert_eq!(ask(&[form, length("0")], b""), Ok(Some(&b""[..])));
        assert_eq!(ask(&[form, length("4096")], b""), Ok(None));
        let with_charset = ("content-type", "Application/x-www-form-urlencoded ; charset=utf-8");
        assert_eq!(ask(&[with_charset, length("1")], b"a"), Ok(Some(&b"a"[..])));
        for (headers, status) in [
            (&[form][..], 411),
            (&[form, length("1"), length("1")], 411),
            (&[form, length("1"), ("transfer-encoding", "chunked")], 411),
            (&[form, length("")], 400),
            (&[form, length("+1")], 400),
            (&[form, length("-1")], 400),
            (&[form, length("1, 1")], 400),
            (&[form, length("4097")], 413),
            (&[form, length("99999999999999999999999")], 413),
            (&[length("1")], 415),
            (&[("content-type", "text/plain"), length("1")], 415),
        ] {
            assert_eq!(ask(headers, b"a"), Err(status), "{headers:?}");
        }
    }
    #[test]
    fn json_is_json_or_nothing() {
        let kind = ("content-type", "application/json");
        let length = |text| ("content-length", text);
        assert_eq!(ask_for(json, &[], b""), Ok(Some(&b""[..])));
        assert_eq!(ask_for(json, &[length("0")], b""), Ok(Some(&b""[..])));
        assert_eq!(ask_for(json, &[kind, length("2")], b"{}"), Ok(Some(&b"{}"[..])));
        assert_eq!(ask_for(json, &[kind, length("65536")], b"{}"), Ok(None));
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (headers, status) in [
            (&[form, length("0")][..], 415),
            (&[form][..], 415),
            (&[("content-type", "text/plain"), length("2")], 415),
            (&[length("2")], 415),
            (&[kind, kind, length("2")], 415),
            (&[kind, length("65537")], 413),
            (&[kind, ("transfer-encoding", "chunked")], 411),
        ] {
            assert_eq!(ask_for(json, headers, b"{}"), Err(status), "{headers:?}");
        }
    }
}
