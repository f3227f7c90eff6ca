//! The body of a request that posts: small, of a known length, and of the kind that the path wants.

use tungstenite::http::{HeaderMap, header};

use super::answer::Answer;

/// The most bytes of a body.
pub(super) const BODY_BYTES_MAX: usize = 4 * 1024;

/// What an HTML form without a file sends.
const FORM: &str = "application/x-www-form-urlencoded";

/// The body in `rest`, what has come after the head; `None` while it is not whole. An answer where it is not a form,
/// too long, or of unknown length.
pub(super) fn form<'b>(headers: &HeaderMap, rest: &'b [u8]) -> Result<Option<&'b [u8]>, Answer> {
    let one = |name: header::HeaderName| {
        let mut values = headers.get_all(name).into_iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    let Some(length) = one(header::CONTENT_LENGTH).filter(|_| !headers.contains_key(header::TRANSFER_ENCODING)) else {
        return Err(Answer::refuse("411 Length Required", "a body needs one Content-Length, and comes in one piece"));
    };
    // RFC 9110, section 8.6: digits and nothing else.
    let Some(length) = Some(length).filter(|l| l.bytes().all(|b| b.is_ascii_digit())).filter(|l| !l.is_empty()) else {
        return Err(Answer::refuse("400 Bad Request", "Content-Length is not a number"));
    };
    let length: usize = length.parse().unwrap_or(usize::MAX);
    if length > BODY_BYTES_MAX {
        return Err(Answer::refuse("413 Content Too Large", "the body is longer than 4 KiB"));
    }
    let kind = one(header::CONTENT_TYPE).unwrap_or("");
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM)) {
        return Err(Answer::refuse("415 Unsupported Media Type", &format!("this wants a form, {FORM}")));
    }
    Ok(rest.get(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<'b>(headers: &[(&'static str, &str)], rest: &'b [u8]) -> Result<Option<&'b [u8]>, u16> {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header"))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(pair) {
            map.append::<header::HeaderName>(name, value);
        }
        form(&map, rest).map_err(|answer| {
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
}
