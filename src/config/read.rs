//! Reading a table into the struct of its owner. serde stops at the first mistake; a person wants them all. So each
//! mistake is traced to its key by its place in the text, the key is struck out, and the table is read again.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::words::{nearest, unknown_field, wrong_value};
use super::{Mistakes, Table};

/// A table with more mistakes than this is no table of its owner: the rest would be told over and over.
const STRUCK_MAX: usize = 100;

impl Table<'_> {
    /// Reads what has not been taken into `T`, a struct with `#[serde(deny_unknown_fields, default)]`, and notes
    /// every mistake in it. A key with a mistake reads as its default, so that checks of the others can go on.
    ///
    /// `None` when the keys that are left make no `T`: a field without default is missing, or `T` refuses the
    /// whole. Of several missing fields the first is named.
    pub fn read<T: DeserializeOwned>(&self, mistakes: &mut Mistakes) -> Option<T> {
        let mut entries = self.entries.clone();
        let mut struck = Vec::new();
        loop {
            let table = Spanned::new(self.span.clone(), DeValue::Table(entries.clone()));
            let error = match T::deserialize(ValueDeserializer::from(table)) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let place = error.span().filter(|place| *place != self.span).unwrap_or_default();
            let Some((key, span, value)) = strike(&mut entries, &place) else {
                self.note_whole(error.message(), &struck, mistakes);
                return None;
            };
            // An element of a list has a place within that of the key's value.
            let written = match value {
                DeValue::Array(_) if span != place => format!("{} in {key}", self.file.quote(&place)),
                _ => self.file.written(&key, &span, &value),
            };
            let taken: &[&str] = if key.contains('.') { &[] } else { &self.taken };
            let text = unknown_field(error.message(), taken).unwrap_or_else(|| wrong_value(error.message(), &written));
            mistakes.add(self.file.line(place.start), self.part(), text);
            struck.push(key);
            if struck.len() == STRUCK_MAX {
                let text = format!("this table has {STRUCK_MAX} mistakes or more; the others are not shown");
                mistakes.add(self.line(), self.part(), text);
                return None;
            }
        }
    }

    /// A mistake that no key is to blame for. A field that is missing because it was struck out, or was misspelt,
    /// has been reported.
    fn note_whole(&self, message: &str, struck: &[String], mistakes: &mut Mistakes) {
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        if missing.is_some_and(|field| struck.iter().any(|key| nearest(key, &[field]).is_some())) {
            return;
        }
        match missing {
            Some(field) => mistakes.add(self.line(), self.part(), format_args!("`{field}` is missing")),
            None => self.refuse_error(mistakes, message),
        }
    }
}

/// Removes the innermost key whose name or value covers `place`, and returns it: its name below the table, dotted,
/// the place of its value and the value.
fn strike<'t>(entries: &mut DeTable<'t>, place: &Range<usize>) -> Option<(String, Range<usize>, DeValue<'t>)> {
    if place.is_empty() {
        return None;
    }
    for (key, value) in entries.iter_mut() {
        let below = match value.get_mut() {
            DeValue::Table(table) => strike(table, place),
            DeValue::Array(elements) => elements.iter_mut().find_map(|element| match element.get_mut() {
                DeValue::Table(table) => strike(table, place),
                _ => None,
            }),
            _ => None,
        };
        if let Some((inner, span, value)) = below {
            return Some((format!("{}.{inner}", key.get_ref()), span, value));
        }
    }
    let covers = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
    let name = entries.iter().find(|(key, value)| covers(key.span()) || covers(value.span()))?.0.get_ref().to_string();
    let (key, value) = entries.remove_entry(name.as_str())?;
    Some((key.into_inner().into_owned(), value.span(), value.into_inner()))
}
