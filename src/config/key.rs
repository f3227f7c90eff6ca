//! One row of what a component can be told, for `biosigd kinds`.

/// A key of a component's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The key, its unit last.
    pub name: &'static str,
    /// The default, as it would be written; empty where there is none.
    pub default: &'static str,
    /// What it means, its unit and its limits.
    pub help: &'static str,
}

impl Key {
    /// A row of a table of keys.
    #[must_use]
    pub const fn new(name: &'static str, default: &'static str, help: &'static str) -> Key {
        Key { name, default, help }
    }
}
