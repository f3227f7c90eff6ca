//! `biosigd kinds`: every source, stage and section with its keys, from the tables that the configuration itself is
//! read with.

use super::settings::SECTIONS;
use crate::config::Key;
use crate::{source, stage};

/// The whole list.
pub(super) fn kinds() -> String {
    let mut out = String::from("Sources, one in [source]:\n");
    for kind in source::KINDS {
        entry(&mut out, &format!("kind = \"{}\"", kind.name), kind.summary, kind.keys);
    }
    out.push_str("\nStages, any number in [[chain.NAME.stage]]:\n");
    for kind in stage::KINDS {
        entry(&mut out, &format!("kind = \"{}\"", kind.name), kind.summary, kind.keys);
    }
    out.push_str("\nThe road and its sinks:\n");
    for (name, keys) in SECTIONS {
        entry(&mut out, &format!("[{name}]"), "", keys);
    }
    out
}

fn entry(out: &mut String, title: &str, summary: &str, keys: &[Key]) {
    let colon = if summary.is_empty() { "" } else { ": " };
    out.push_str(&format!("\n  {title}{colon}{summary}\n"));
    for key in keys {
        let default = if key.default.is_empty() { String::new() } else { format!(" = {}", key.default) };
        out.push_str(&format!("    {:<30} {}\n", format!("{}{default}", key.name), key.help));
    }
}
