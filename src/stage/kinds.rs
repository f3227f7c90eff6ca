//! The table of all stages. It makes the configuration, `biosigd kinds`, the messages about it, and the tests that
//! every stage gets for nothing (`tests/every_stage.rs`).

use serde::de::DeserializeOwned;

use super::Stage;
use crate::config::{Key, Mistakes, Table};

/// Every stage there is, in the order in which they are listed to a person.
pub const KINDS: &[Kind] = &[
    super::high_pass::KIND,
    super::low_pass::KIND,
    super::band_pass::KIND,
    super::notch::KIND,
    super::dc_block::KIND,
    super::rereference::KIND,
    super::decimate::KIND,
    super::gain::KIND,
];

/// What is known of a stage without building one.
#[derive(Debug)]
pub struct Kind {
    /// The value of `kind` in the configuration.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its keys, all of them.
    pub keys: &'static [Key],
    /// Its keys as TOML, `kind` left out, set to something useful at 250 Hz and more.
    pub example: &'static str,
    /// Reads the keys and makes the stage; `None` when there are mistakes that leave nothing to check.
    pub build: Build,
}

/// Makes a stage from its table, from which `kind` has been taken.
pub type Build = fn(&Table<'_>, &mut Mistakes) -> Option<Box<dyn Stage>>;

/// The [`Build`] of any stage that is a struct with its keys as fields.
pub fn build<T: Stage + DeserializeOwned + 'static>(
    table: &Table<'_>,
    mistakes: &mut Mistakes,
) -> Option<Box<dyn Stage>> {
    table.read::<T>(mistakes).map(|stage| Box::new(stage) as Box<dyn Stage>)
}
