//! Command line and exit codes; no logic.
fn main() {}
