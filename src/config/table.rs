//! One table of a configuration file: what its owner takes out of it, and how it names what is wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::Mistakes;
use super::document::File;
use super::words::hint;

/// A table with its part's name and its place in the file. Taking something out of it removes it, so that what is
/// left is what nobody asked for.
#[derive(Debug, Clone)]
pub struct Table<'d> {
    pub(super) file: &'d File<'d>,
    /// What messages call it: `source`, `chain.live`, and after [`Table::choose`] its kind.
    part: String,
    /// What the file calls it, whatever its kind: `source.lead_off`.
    path: String,
    line: usize,
    /// The place of the table itself, as serde's errors about the whole of it give it.
    pub(super) span: Range<usize>,
    pub(super) entries: DeTable<'d>,
    /// The line of each key, also of those that were taken.
    lines: BTreeMap<String, usize>,
    /// What was asked for, in that order: the list of what is known here.
    pub(super) taken: Vec<&'static str>,
}

impl<'d> Table<'d> {
    pub(super) fn root(file: &'d File<'d>, entries: DeTable<'d>) -> Table<'d> {
        Table::new(file, (String::new(), String::new()), 0..0, entries)
    }

    fn new(file: &'d File<'d>, (part, path): (String, String), span: Range<usize>, entries: DeTable<'d>) -> Table<'d> {
        let lines =
            entries.iter().map(|(key, _)| (key.get_ref().clone().into_owned(), file.line(key.span().start))).collect();
        Table { file, part, path, line: file.line(span.start), span, entries, lines, taken: Vec::new() }
    }

    /// What messages call this table.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// The line on which it begins; 1 when it is not in the file.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The line of `key`; the table's own when the file leaves it at its default.
    #[must_use]
    pub fn line_of(&self, key: &str) -> usize {
        self.lines.get(key).copied().unwrap_or(self.line)
    }

    /// Takes the table `[name]`; an empty one, which reads as all defaults, when there is none.
    pub fn section(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Table<'d> {
        let (part, path) = self.names_of(name);
        let (span, entries) = match self.take(name) {
            None => (0..0, DeTable::new()),
            Some((span, DeValue::Table(entries))) => (span, entries),
            Some((span, value)) => {
                let written = self.file.written(name, &span, &value);
                let text = format!("{written} must be a table, [{path}]");
                self.refuse(mistakes, name, text);
                (span, DeTable::new())
            }
        };
        Table::new(self.file, (part, path), span, entries)
    }

    /// Takes the tables below `name` that have names of the user's choice, such as `[chain.live]`, in the order of
    /// the file.
    pub fn named(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Vec<(String, Table<'d>)> {
        let mut above = self.section(name, mistakes);
        let mut below: Vec<_> = std::mem::replace(&mut above.entries, DeTable::new()).into_iter().collect();
        below.sort_by_key(|(key, _)| key.span().start);
        let mut tables = Vec::new();
        for (key, value) in below {
            let (key_line, key) = (self.file.line(key.span().start), key.into_inner().into_owned());
            let (part, path) = above.names_of(&key);
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(entries) => tables.push((key, Table::new(self.file, (part, path), span, entries))),
                value => {
                    let written = self.file.written(&key, &span, &value);
                    mistakes.add(key_line, &above.part, format_args!("{written} must be a table, [{path}]"));
                }
            }
        }
        tables
    }

    /// Takes the list of tables `[[name]]`, in the order of the file; each knows its own line.
    pub fn list(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Vec<Table<'d>> {
        let (part, path) = self.names_of(name);
        let elements = match self.take(name) {
            None => return Vec::new(),
            Some((_, DeValue::Array(elements))) => elements,
            Some((_, DeValue::Table(_))) => {
                self.refuse(mistakes, name, format!("[{path}] must be written [[{path}]]: it is a list"));
                return Vec::new();
            }
            Some((span, value)) => {
                let written = self.file.written(name, &span, &value);
                self.refuse(mistakes, name, format!("{written} must be a list of tables, [[{path}]]"));
                return Vec::new();
            }
        };
        let mut tables = Vec::new();
        for element in elements {
            let span = element.span();
            match element.into_inner() {
                DeValue::Table(entries) => {
                    tables.push(Table::new(self.file, (part.clone(), path.clone()), span, entries));
                }
                _ => {
                    let text = format!("{} in {name} must be a table, [[{path}]]", self.file.quote(&span));
                    mistakes.add(self.file.line(span.start), &self.part, text);
                }
            }
        }
        tables
    }

    /// Takes the key `kind` and finds the row of `known` that it names; `what` is the word for these rows
    /// (`"stage"`), `default` the kind where the key is absent. From then on messages call this table by its kind.
    ///
    /// An absent key without default, a value that is no string and a name that `known` has not are mistakes.
    pub fn choose<'k, K>(
        &mut self,
        what: &str,
        known: &'k [K],
        name_of: impl Fn(&K) -> &'static str,
        default: Option<&str>,
        mistakes: &mut Mistakes,
    ) -> Option<&'k K> {
        let names: Vec<&str> = known.iter().map(&name_of).collect();
        let kind = match self.remove("kind") {
            Some((_, DeValue::String(kind))) => kind.into_owned(),
            Some((span, value)) => {
                let written = self.file.written("kind", &span, &value);
                let text = format!("{written} must be the name of a {what}: {}", names.join(", "));
                self.refuse(mistakes, "kind", text);
                return None;
            }
            None => match default {
                Some(kind) => kind.to_owned(),
                None => {
                    let text = format!("`kind` is missing: which {what} is it? known: {}", names.join(", "));
                    self.refuse(mistakes, "kind", text);
                    return None;
                }
            },
        };
        let row = known.iter().find(|row| name_of(row) == kind);
        match row {
            Some(row) => name_of(row).clone_into(&mut self.part),
            None => {
                mistakes.add(
                    self.line_of("kind"),
                    "",
                    format_args!("no {what} is called `{kind}`{}", hint(&kind, &names)),
                );
            }
        }
        row
    }

    /// Notes a mistake about the value of `key`; `text` says what is wrong and what would be right:
    /// `corner_hz = 2500 must be below half the rate, 2000`.
    pub fn refuse(&self, mistakes: &mut Mistakes, key: &str, text: impl Display) {
        mistakes.add(self.line_of(key), &self.part, text);
    }

    /// As [`Table::refuse`], for an error whose text begins with the key it is about, `KEY = VALUE must ..` or
    /// `KEY must ..`; any other text is put on the table's line.
    pub fn refuse_error(&self, mistakes: &mut Mistakes, error: impl Display) {
        let text = error.to_string();
        let key = text.split([' ', '=']).next().unwrap_or("").to_owned();
        self.refuse(mistakes, &key, text);
    }

    /// Reports every section and key that nobody took.
    pub fn finish(self, mistakes: &mut Mistakes) {
        for (key, value) in &self.entries {
            let of_tables = match value.get_ref() {
                DeValue::Table(_) => true,
                DeValue::Array(elements) => elements.iter().any(|element| element.get_ref().is_table()),
                _ => false,
            };
            let what = if of_tables { "section" } else { "key" };
            let text = format!("unknown {what} `{}`{}", key.get_ref(), hint(key.get_ref(), &self.taken));
            self.refuse(mistakes, key.get_ref(), text);
        }
    }

    fn take(&mut self, name: &'static str) -> Option<(Range<usize>, DeValue<'d>)> {
        self.taken.push(name);
        self.remove(name)
    }

    fn remove(&mut self, name: &str) -> Option<(Range<usize>, DeValue<'d>)> {
        self.entries.remove(name).map(|value| (value.span(), value.into_inner()))
    }

    /// What messages, and the file, call the table `name` in this one.
    fn names_of(&self, name: &str) -> (String, String) {
        let below = |above: &str| if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        (below(&self.part), below(&self.path))
    }
}
