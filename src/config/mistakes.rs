//! All mistakes of one file, as the person who wrote it reads them.

use std::fmt;

/// Collects the mistakes of one file. Displayed as one line for each, in the order of the file, and their number:
///
/// ```text
/// rig3.toml:7: dc_block: unknown field `corner`, expected `corner_hz`
/// 1 mistake, nothing was started
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    file_name: String,
    mistakes: Vec<Mistake>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    line: usize,
    part: String,
    text: String,
}

impl Mistakes {
    /// None so far, of the file that is shown as `file_name`.
    #[must_use]
    pub fn new(file_name: &str) -> Mistakes {
        Mistakes { file_name: file_name.to_owned(), mistakes: Vec::new() }
    }

    /// Notes a mistake on `line` (from 1) in `part` of the configuration (empty where the text names it), with a
    /// `text` that says what is wrong and what would be right.
    ///
    /// Control characters are shown escaped: the text quotes the file, and is printed on a terminal.
    pub fn add(&mut self, line: usize, part: &str, text: impl fmt::Display) {
        self.mistakes.push(Mistake { line, part: printable(part), text: printable(&text.to_string()) });
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mistakes.len()
    }

    /// One line for each, in the order of the file.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let mut sorted: Vec<_> = self.mistakes.iter().collect();
        sorted.sort_by_key(|mistake| mistake.line);
        sorted.into_iter().map(|Mistake { line, part, text }| {
            let colon = if part.is_empty() { "" } else { ": " };
            format!("{}:{line}: {part}{colon}{text}", self.file_name)
        })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        match self.len() {
            0 => Ok(()),
            1 => write!(f, "1 mistake, nothing was started"),
            n => write!(f, "{n} mistakes, nothing was started"),
        }
    }
}

impl std::error::Error for Mistakes {}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
