//! From the text of a configuration file to checked values. Every message about a file is made here, so that all of
//! them carry file, line, part, what was written and what would be right, and all mistakes of a file come at once.
//!
//! This folder knows "a table with a `kind`" and nothing of sources, stages and sinks: each of them owns a struct
//! with its keys and asks its [`Table`] to [`read`](Table::read) it. The order of work:
//!
//! 1. [`Document::parse`] reads the text; a text that is not TOML ends here.
//! 2. The owner of each table takes the tables below it ([`section`](Table::section), [`named`](Table::named),
//!    [`list`](Table::list)), finds out what it is ([`choose`](Table::choose)) and reads the rest
//!    ([`read`](Table::read)).
//! 3. Checks of ranges, and of stages against their stream, point at the key with [`refuse`](Table::refuse).
//! 4. [`finish`](Table::finish) reports what nobody asked for.
//!
//! Mistakes gather in one [`Mistakes`]; nothing is started unless it is empty.

mod document;
mod key;
mod mistakes;
mod read;
mod table;
mod word_or;
mod words;

#[cfg(test)]
mod tests;

pub use document::Document;
pub use key::Key;
pub use mistakes::Mistakes;
pub use table::Table;
pub use word_or::{AutoOr, MaxOr, Number};
