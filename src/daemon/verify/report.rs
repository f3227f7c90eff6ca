//! What was found in one file.

use std::fmt;

/// The most findings that are kept word for word: a file that is wrong everywhere is as wrong as one line says.
const DAMAGE_MAX: usize = 20;

/// What `verify` says about one file.
#[derive(Debug, Default)]
pub struct Report {
    notes: Vec<String>,
    damage: Vec<String>,
    n_damage: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.n_damage == 0
    }

    /// What is wrong, the first of it.
    #[must_use]
    pub fn damage_found(&self) -> &[String] {
        &self.damage
    }

    /// Adds a line about what the file holds.
    pub(super) fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// Adds something that is wrong.
    pub(super) fn damage(&mut self, line: String) {
        self.n_damage += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(line);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        for damage in &self.damage {
            writeln!(f, "  DAMAGED: {damage}")?;
        }
        let more = self.n_damage - self.damage.len() as u64;
        if more > 0 {
            writeln!(f, "  DAMAGED: {more} more findings")?;
        }
        if self.is_well() { writeln!(f, "  well") } else { Ok(()) }
    }
}
