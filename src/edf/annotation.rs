//! Annotations: text inside the samples of one signal, as time-stamped annotation lists (TALs, EDF+ 2.2.2).
//!
//! A TAL is `+onset`, perhaps `0x15 duration`, `0x14`, texts each ended by `0x14`, then `0x00`. The first TAL of every
//! record keeps the time: its first text is empty and its onset is the record's own, from the header's start.

use super::{format_ns, parse_ns};

/// Ends onset, duration and every text.
const SEPARATOR: u8 = 0x14;
/// Stands before the duration.
const DURATION: u8 = 0x15;

/// EDFlib keeps no more bytes of a text than this; longer ones are cut when written.
pub const TEXT_BYTES_MAX: usize = 512;

/// Something that happened, as the file tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// When it began, in nanoseconds from the start of the file.
    pub onset_ns: i64,
    /// How long it lasted, where the file says so, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// What happened.
    pub text: String,
}

/// Bytes of an annotation area that are no TAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the annotation area: {what}")]
pub struct TalError {
    /// Counted from the start of the area.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reads the TALs of one record's `area` and appends their annotations to `annotations`. Returns the onset of the
/// record in nanoseconds, where the first TAL keeps the time. Bytes of a text that are not UTF-8 become U+FFFD.
///
/// # Errors
/// The first byte that makes no sense; what stands before it has been appended.
pub fn parse_tals(area: &[u8], annotations: &mut Vec<Annotation>) -> Result<Option<i64>, TalError> {
    let mut record_onset_ns = None;
    let mut at = 0;
    let mut is_first = true;
    while at < area.len() {
        if area[at] == 0 {
            at += 1;
            continue;
        }
        let error = |what| TalError { at, what };
        let end =
            area[at..].iter().position(|byte| *byte == 0).ok_or_else(|| error("the list has no NUL at its end"))?;
        let tal = &area[at..at + end];
        let lists = tal.strip_suffix(&[SEPARATOR]).ok_or_else(|| error("the list does not end in 0x14"))?;
        let mut parts = lists.split(|byte| *byte == SEPARATOR);
        let (onset_ns, duration_ns) = times(parts.next().unwrap_or_default()).map_err(error)?;
        for (index, text) in parts.enumerate() {
            if text.is_empty() {
                if is_first && index == 0 {
                    record_onset_ns = Some(onset_ns);
                }
                continue;
            }
            let text = String::from_utf8_lossy(text).into_owned();
            annotations.push(Annotation { onset_ns, duration_ns, text });
        }
        is_first = false;
        at += end + 1;
    }
    Ok(record_onset_ns)
}

/// Onset and duration: what stands before the first 0x14.
fn times(bytes: &[u8]) -> Result<(i64, Option<i64>), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the onset is not a decimal number of seconds")?;
    let (onset, duration) = match text.split_once(char::from(DURATION)) {
        Some((onset, duration)) => (onset, Some(duration)),
        None => (text, None),
    };
    if !onset.starts_with(['+', '-']) {
        return Err("a list must begin with + or -");
    }
    let onset_ns = parse_ns(onset).ok_or("the onset is not a decimal number of seconds")?;
    // Some writers put the mark and no duration after it.
    let duration_ns = match duration.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(parse_ns(text).ok_or("the duration is not a decimal number of seconds")?),
    };
    Ok((onset_ns, duration_ns))
}

/// The annotation area of one record, being written.
#[derive(Debug)]
pub struct TalArea<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> TalArea<'a> {
    /// Clears `bytes` and puts the record's own onset first. An area shorter than 32 bytes may not hold even that.
    #[must_use]
    pub fn new(bytes: &'a mut [u8], record_onset_ns: i64) -> TalArea<'a> {
        bytes.fill(0);
        let mut area = TalArea { bytes, used: 0 };
        let tal = format!("{}\u{14}\u{14}\0", signed(record_onset_ns));
        area.append(tal.as_bytes());
        area
    }

    /// The same for an area that does not keep the time: one after the first, or that of a plain file.
    #[must_use]
    pub fn without_time(bytes: &'a mut [u8]) -> TalArea<'a> {
        bytes.fill(0);
        TalArea { bytes, used: 0 }
    }

    /// Appends an annotation. False, and nothing written, when there is no room left.
    ///
    /// The text becomes [`annotation_text`]; a negative duration is left out.
    pub fn push(&mut self, annotation: &Annotation) -> bool {
        let mut tal = signed(annotation.onset_ns);
        if let Some(duration_ns) = annotation.duration_ns.filter(|duration_ns| *duration_ns >= 0) {
            tal.push(char::from(DURATION));
            tal.push_str(&format_ns(duration_ns));
        }
        tal.push(char::from(SEPARATOR));
        tal.push_str(&annotation_text(&annotation.text));
        tal.push_str("\u{14}\0");
        self.append(tal.as_bytes())
    }

    fn append(&mut self, tal: &[u8]) -> bool {
        // The last byte of the area is the NUL of the last list.
        let Some(room) = self.bytes.get_mut(self.used..self.used + tal.len()) else { return false };
        room.copy_from_slice(tal);
        self.used += tal.len();
        true
    }
}

/// A text as a file holds it: cut at [`TEXT_BYTES_MAX`] bytes on a character's border. Control characters other than tab
/// become spaces: EDF+ (2.2.2) forbids most and allows line breaks, with which MNE silently drops the annotation. An empty
/// text, which means time-keeping, becomes `n/a`.
#[must_use]
pub fn annotation_text(text: &str) -> String {
    let text = if text.is_empty() { "n/a" } else { text };
    let mut n_bytes = 0;
    let fits = text.chars().take_while(|character| {
        n_bytes += character.len_utf8();
        n_bytes <= TEXT_BYTES_MAX
    });
    fits.map(|character| if character >= ' ' || character == '\t' { character } else { ' ' }).collect()
}

fn signed(onset_ns: i64) -> String {
    let sign = if onset_ns < 0 { "" } else { "+" };
    format!("{sign}{}", format_ns(onset_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn annotation(onset_ns: i64, duration_ns: Option<i64>, text: &str) -> Annotation {
        Annotation { onset_ns, duration_ns, text: text.to_owned() }
    }

    #[test]
    fn the_examples_of_the_specification() {
        let mut found = Vec::new();
        let area = b"+180\x14Lights off\x14Close door\x14\x00+180\x14Lights off\x14\x00+1800.2\x1525.5\x14Apnea\x14\x00\x00\x00";
        assert_eq!(parse_tals(area, &mut found), Ok(None));
        let second = 1_000_000_000;
        let off = annotation(180 * second, None, "Lights off");
        let door = annotation(180 * second, None, "Close door");
        let apnea = annotation(1800 * second + second / 5, Some(25 * second + second / 2), "Apnea");
        assert_eq!(found, [off.clone(), door, off, apnea]);
        found.clear();
        assert_eq!(parse_tals(b"+567\x14\x14\x00+0.5\x14x\x14\x00", &mut found), Ok(Some(567 * second)));
        assert_eq!(parse_tals(b"+3\x14\x14Recording starts\x14\x00", &mut found), Ok(Some(3 * second)));
        assert_eq!(found[1], annotation(3 * second, None, "Recording starts"));
    }

    #[test]
    fn what_is_no_list_is_named() {
        for (area, message) in [
            (&b"+1\x14x\x14"[..], "byte 0 of the annotation area: the list has no NUL at its end"),
            (b"\x00+1\x14x\x00", "byte 1 of the annotation area: the list does not end in 0x14"),
            (b"1\x14x\x14\x00", "byte 0 of the annotation area: a list must begin with + or -"),
            (b"+1e3\x14\x14\x00", "byte 0 of the annotation area: the onset is not a decimal number of seconds"),
            (b"+1\x15z\x14\x14\x00", "byte 0 of the annotation area: the duration is not a decimal number of seconds"),
        ] {
            let error = parse_tals(area, &mut Vec::new()).expect_err(message);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_text_is_cut_on_a_character_and_cleaned() {
        let mut bytes = [1; 700];
        let mut area = TalArea::new(&mut bytes, 0);
        // 511 bytes, then a character of two: it does not fit any more.
        assert!(area.push(&annotation(-1, Some(-1), &format!("\x14\n\0{}\u{b5}", "a".repeat(508)))));
        assert!(!area.push(&annotation(0, None, &"b".repeat(170))), "it would end beyond the area");
        assert!(area.push(&annotation(0, None, "")));
        assert_eq!(bytes[699], 0);
        let mut found = Vec::new();
        assert_eq!(parse_tals(&bytes, &mut found), Ok(Some(0)));
        let cut = format!("   {}", "a".repeat(508));
        assert_eq!(found, [annotation(-1, None, &cut), annotation(0, None, "n/a")]);
    }

    proptest! {
        #[test]
        fn written_and_read(onset in any::<i64>(), duration in proptest::option::of(0..i64::MAX), text in "[^\0-\x1f]{1,80}") {
            prop_assume!(onset != i64::MIN);
            let mut bytes = [1; 512];
            let mut area = TalArea::new(&mut bytes, 77);
            let written = annotation(onset, duration, &text);
            prop_assert!(area.push(&written));
            let mut found = Vec::new();
            prop_assert_eq!(parse_tals(&bytes, &mut found), Ok(Some(77)));
            prop_assert_eq!(found, [written]);
        }

        #[test]
        fn any_bytes_are_survived(area in proptest::collection::vec(prop_oneof![Just(0_u8), Just(0x14), Just(b'+'), any::<u8>()], 0..200)) {
            std::hint::black_box(parse_tals(&area, &mut Vec::new()).is_ok());
        }
    }
}
