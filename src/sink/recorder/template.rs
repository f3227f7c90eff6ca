//! How a recording's files are called: a template with places for what is known when the file is made. Pure.

use jiff::tz::TimeZone;

use super::About;
use super::bids::check_folders;
use super::file::timestamp;

/// Characters of a name; with an ending such as `_channels.tsv` it stays below the 255 bytes of a file name.
const BASE_CHARACTERS_MAX: usize = 200;

/// Characters of a BIDS entity: with a subject and its session twice, once for the folders, a path stays below the limit.
const ENTITY_CHARACTERS_MAX: usize = 30;

/// What a template may hold in braces.
const PLACES: [(&str, Place); 4] =
    [("start", Place::Start), ("name", Place::Name), ("part", Place::Part), ("subject", Place::Subject)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The instant of the file's first frame.
    Start,
    /// `About::name`.
    Name,
    /// Counts the files of a recording, from 1.
    Part,
    /// `About::subject`.
    Subject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

/// A template such as `{name}_{start}` or `sub-{subject}_task-{name}_run-{part}_eeg`.
///
/// What a place is filled with stays within the folder: other characters than letters, digits, `-`, `_` and `.` become
/// `_`. After a `-` it is the value of a BIDS entity, which may hold letters and digits alone, and is `X` where nothing
/// is known. Elsewhere an empty place goes together with the separator after it (at the end: before it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(Vec<Piece>);

impl Default for FileName {
    fn default() -> FileName {
        let underscore = Piece::Text("_".to_owned());
        FileName(vec![Piece::Place(Place::Name), underscore, Piece::Place(Place::Start)])
    }
}

impl FileName {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(template: &str) -> Result<FileName, String> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (text, after) = rest.split_at(open);
            let (word, after) = after[1..].split_once('}').ok_or("a brace is not closed")?;
            let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == word) else {
                let known: Vec<_> = PLACES.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                return Err(format!("there is no {{{word}}}; known: {}", known.join(", ")));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.push(Piece::Place(*place));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let texts = pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Place(_) => None,
        });
        if let Some(other) = texts.flat_map(str::chars).find(|c| !is_allowed(*c) && *c != '/') {
            return Err(format!("{other:?} may not stand in a file's name; letters, digits, -, _ and . may"));
        }
        check_folders(template)?;
        if template.is_empty() || template.starts_with('.') || template.len() > 120 {
            return Err("it must have 1 to 120 characters, and no dot at the beginning".to_owned());
        }
        Ok(FileName(pieces))
    }

    /// Whether BIDS takes it for a recording of muscles.
    pub(super) fn is_emg(&self) -> bool {
        matches!(self.0.last(), Some(Piece::Text(text)) if text.ends_with("_emg"))
    }

    /// The name of the file that begins at `utc_ns`, without its ending; behind its folders, where the template has some.
    pub(super) fn render(&self, about: &About, utc_ns: u64, part: u64) -> String {
        let mut name = String::new();
        let mut swallow = false;
        for piece in &self.0 {
            let text = match piece {
                Piece::Text(text) if swallow => text.strip_prefix(is_separator).unwrap_or(text),
                Piece::Text(text) => text,
                Piece::Place(place) => {
                    let value = match place {
                        Place::Start => start(utc_ns),
                        Place::Name => clean(&about.name, 100),
                        Place::Part => part.to_string(),
                        Place::Subject => clean(&about.subject, 40),
                    };
                    if name.ends_with('-') {
                        let value = value.chars().filter(char::is_ascii_alphanumeric);
                        let value: String = value.take(ENTITY_CHARACTERS_MAX).collect();
                        name.push_str(if value.is_empty() { "X" } else { &value });
                        continue;
                    }
                    swallow = value.is_empty();
                    name.push_str(&value);
                    continue;
                }
            };
            swallow = false;
            name.push_str(text);
        }
        if swallow {
            name.truncate(name.trim_end_matches(is_separator).len());
        }
        name.truncate(BASE_CHARACTERS_MAX);
        let mut name = name.trim_start_matches('.').to_owned();
        // A finished recording must not look like one in work.
        if let Some(before) = name.strip_suffix(".part") {
            name = format!("{before}_part");
        }
        if name.is_empty() { start(utc_ns) } else { name }
    }
}

fn is_separator(character: char) -> bool {
    matches!(character, '_' | '-')
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

/// A name comes from a person or a program on the network: it must stay within the folder.
fn clean(text: &str, characters_max: usize) -> String {
    let text: String = text.chars().map(|c| if is_allowed(c) { c } else { '_' }).take(characters_max).collect();
    text.trim_start_matches('.').to_owned()
}

/// `2026-11-21T11-30-05.250Z`: sorts by time, and has no colon, which some file systems refuse.
fn start(utc_ns: u64) -> String {
    let time = timestamp(utc_ns).to_zoned(TimeZone::UTC).datetime();
    let ms = time.subsec_nanosecond() / 1_000_000;
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()];
    format!("{}T{hour:02}-{minute:02}-{second:02}.{ms:03}Z", time.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC_NS: u64 = 1_795_260_605_250_999_999;

    fn about(name: &str, subject: &str) -> About {
        About { name: name.to_owned(), subject: subject.to_owned(), ..About::default() }
    }

    #[test]
    fn names_sort_by_time_and_stay_in_the_folder() {
        let name = |name| FileName::default().render(&about(name, ""), UTC_NS, 1);
        assert_eq!(name(""), "2026-11-21T11-30-05.250Z");
        assert_eq!(name("rest 1"), "rest_1_2026-11-21T11-30-05.250Z");
        assert_eq!(name("../../etc/x"), "_.._etc_x_2026-11-21T11-30-05.250Z");
        assert_eq!(name("a\nb\u{0}\u{1f9e0}"), "a_b___2026-11-21T11-30-05.250Z");
        assert_eq!(name(&"x".repeat(10_000)).len(), 100 + 1 + 24);
    }

    #[test]
    fn entities_hold_letters_and_digits() {
        let template = FileName::parse("sub-{subject}_task-{name}_run-{part}_eeg").expect("a template");
        let name = |name, subject| template.render(&about(name, subject), UTC_NS, 12);
        assert_eq!(name("rest", "01"), "sub-01_task-rest_run-12_eeg");
        assert_eq!(name("eyes open/../..", "S_01\n"), "sub-S01_task-eyesopen_run-12_eeg");
        assert_eq!(name("", "\u{1f9e0}"), "sub-X_task-X_run-12_eeg");
        assert_eq!(FileName::parse("{name}_{start}"), Ok(FileName::default()));
        let render = |template| FileName::parse(template).expect("a template").render(&about("", ""), UTC_NS, 3);
        assert_eq!(render("{start}_{name}"), "2026-11-21T11-30-05.250Z");
        assert_eq!(render("{name}"), "2026-11-21T11-30-05.250Z", "never without a name");
        assert_eq!(render("{name}-{part}.part"), "3_part");
    }

    #[test]
    fn a_wrong_template_is_refused() {
        let refused = |template: &str| FileName::parse(template).expect_err("refused");
        assert_eq!(refused("{nam}"), "there is no {nam}; known: {start}, {name}, {part}, {subject}");
        assert_eq!(refused("{name"), "a brace is not closed");
        assert_eq!(refused("a:{name}"), "':' may not stand in a file's name; letters, digits, -, _ and . may");
        assert!(refused("a/{name}").starts_with("folders are those of BIDS, such as "));
        for template in ["", ".{name}", &"x".repeat(121)] {
            assert_eq!(refused(template), "it must have 1 to 120 characters, and no dot at the beginning");
        }
    }
}
