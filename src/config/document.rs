//! A file's text as a tree of TOML values, each of which knows where it stands in the text.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Mistakes, Table};

/// A configuration file that is TOML. Borrows the text; the tables borrow the document.
#[derive(Debug)]
pub struct Document<'t> {
    file: File<'t>,
    root: DeTable<'t>,
}

/// What a table must know of its file to name a place in it.
#[derive(Debug)]
pub(super) struct File<'t> {
    pub(super) text: &'t str,
    /// Where its lines end, so that the line of each of many keys is found without counting from the start.
    newlines: Vec<usize>,
}

impl<'t> Document<'t> {
    /// Reads `text`; messages call the file `file_name`.
    ///
    /// # Errors
    /// When the text is not TOML: the first place where it is not, since what follows an unclosed quote or bracket
    /// is guesswork.
    pub fn parse(file_name: &str, text: &'t str) -> Result<Document<'t>, Mistakes> {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let file = File { text, newlines };
        match DeTable::parse(text) {
            Ok(root) => Ok(Document { file, root: root.into_inner() }),
            Err(error) => {
                // The parser gives no place only where the text ended too early.
                let span = error.span().unwrap_or(text.len()..text.len());
                let near = match error.message() {
                    "duplicate key" => format!(" `{}`", file.slice(&span)),
                    _ => String::new(),
                };
                let mut mistakes = Mistakes::new(file_name);
                mistakes.add(file.line(span.start), "", format_args!("{}{near}", error.message()));
                Err(mistakes)
            }
        }
    }

    /// The table that holds all others.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::root(&self.file, self.root.clone())
    }
}

impl File<'_> {
    /// The line (from 1) of a byte of the text. An end of file after the last newline belongs to the last line.
    pub(super) fn line(&self, byte: usize) -> usize {
        let last = self.text.len().saturating_sub(1);
        1 + self.newlines.partition_point(|newline| *newline < byte.min(last))
    }

    /// The text of a place; empty when the place is not one of this text.
    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or("")
    }

    /// A key with its value as it stands in the file, where that is short: `rate_hz = "fast"`.
    pub(super) fn written(&self, key: &str, span: &Range<usize>, value: &DeValue<'_>) -> String {
        let text = self.slice(span);
        // The place of a table that has a header is the header.
        match value {
            DeValue::Table(_) if !text.starts_with('{') => format!("{key} (a table)"),
            DeValue::Array(elements) if text.starts_with("[[") && elements.iter().any(|e| e.get_ref().is_table()) => {
                format!("{key} (a list of tables)")
            }
            _ => format!("{key} = {}", self.quote(span)),
        }
    }

    /// The text of a place, cut where it is long.
    pub(super) fn quote(&self, span: &Range<usize>) -> String {
        const CHARS_MAX: usize = 60;
        let text = self.slice(span);
        let short: String = text.lines().next().unwrap_or("").chars().take(CHARS_MAX).collect();
        if short.len() < text.len() { format!("{short}...") } else { short }
    }
}
