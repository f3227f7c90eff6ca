//! The wording: what serde says in the terms of Rust, said in the terms of a configuration file.

/// The one of `known` that `name` was probably meant to be.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Jaro-Winkler likeness, 0 to 1. At 0.8 `freq` finds `freq_hz` and `lowpass` finds `low_pass`, while
    /// `bandpass` finds nothing.
    const LIKENESS_MIN: f64 = 0.8;
    known
        .iter()
        .map(|&candidate| (candidate, strsim::jaro_winkler(name, candidate)))
        .filter(|&(_, likeness)| likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

/// `; did you mean `notch`? known: high_pass, low_pass, notch`.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    let meant =
        nearest(name, known).map(|near| format!("; did you mean `{near}`? known: ")).unwrap_or("; known: ".into());
    format!("{meant}{}", known.join(", "))
}

/// What serde says of a key that the struct does not have, with the keys that were `taken` before it was asked.
/// `None` when `message` is about something else.
pub(super) fn unknown_field(message: &str, taken: &[&str]) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    // From the right: the name itself may hold anything, backticks too.
    let (name, expected) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no fields"))?;
    let mut known = quoted(expected);
    known.extend(taken);
    let list = alternatives(&known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>());
    let meant = match nearest(name, &known) {
        Some(near) if known.len() > 1 => format!("; did you mean `{near}`?"),
        _ => String::new(),
    };
    Some(match known.len() {
        0 => format!("unknown field `{name}`, there are none here"),
        1 | 2 => format!("unknown field `{name}`, expected {list}{meant}"),
        _ => format!("unknown field `{name}`, expected one of {list}{meant}"),
    })
}

/// What serde says of a value that does not fit its key; `written` is both, as in the file: `key = value must be ..`.
pub(super) fn wrong_value(message: &str, written: &str) -> String {
    let must_be = |what: &str| format!("{written} must be {what}");
    let of_128_bits = [" as i128, expected ", " as u128, expected "].iter().any(|part| message.contains(part));
    if message.ends_with("number overflowed") || (message.starts_with("invalid type: integer") && of_128_bits) {
        return format!("{written} is too large");
    }
    if message == "wanted string or table" {
        return must_be(human("a string"));
    }
    if message.starts_with("must ") {
        return format!("{written} {message}");
    }
    let variant = message.strip_prefix("unknown variant `").and_then(|rest| rest.rsplit_once("`, expected "));
    if let Some((name, expected)) = variant {
        let known = quoted(expected);
        let list = alternatives(&known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>());
        let meant = nearest(name, &known).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        return must_be(&format!("{list}{meant}"));
    }
    match (message.starts_with("invalid "), message.rsplit_once(", expected ")) {
        (true, Some((_, expected))) => must_be(human(expected)),
        _ => format!("{written}: {message}"),
    }
}

/// serde's name of a type, as a person would say it.
fn human(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a boolean" => "true or false",
        "a string" | "path string" | "string or table" => "text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The names between backticks in serde's list of what it knows.
fn quoted(list: &str) -> Vec<&str> {
    list.split('`').skip(1).step_by(2).collect()
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
