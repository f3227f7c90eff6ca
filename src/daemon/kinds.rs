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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of sources and sections with its default, as `kinds` and the file of all keys must show it.
    fn keys() -> impl Iterator<Item = &'static Key> {
        source::KINDS.iter().flat_map(|kind| kind.keys).chain(SECTIONS.iter().flat_map(|(_, keys)| *keys))
    }

    #[test]
    fn every_kind_and_every_key_with_its_default_is_listed() {
        let text = kinds();
        for name in source::KINDS.iter().map(|kind| kind.name).chain(stage::KINDS.iter().map(|kind| kind.name)) {
            assert!(text.contains(&format!("\n  kind = \"{name}\": ")), "{name}");
        }
        for line in [
            "\n    bus = \"simulated\"              spidev (the Pi's interfaces), or simulated",
            "\n    spi_clock_hz = 8333334         for frames, ",
            "\n    lead_off.current_na = 6        6, 24, ",
            "\n    simulated.fault.late_us = 36802 how late ",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.starts_with("Sources, one in [source]:\n\n  kind = \"ads1299\": one to eight ADS1299"), "{text}");
    }

    #[test]
    fn the_file_of_all_keys_has_every_key_at_its_default() {
        let file = include_str!("../../config/all-keys.toml");
        let lines: Vec<String> = file
            .lines()
            .map(|line| line.trim_start_matches("# ").split(" #").next().unwrap_or("").trim().replace('_', ""))
            .collect();
        for key in keys() {
            let name = key.name.rsplit('.').next().unwrap_or(key.name);
            if name == "KEY" {
                continue;
            }
            let name = name.replace('_', "");
            let whole = format!("{name} = {}", key.default.replace('_', ""));
            // A default in words, or none, cannot stand in a file; an empty name is shown by an example.
            let is_value = key.default != "\"\"" && whole.parse::<toml::Table>().is_ok();
            let here = |line: &String| if is_value { *line == whole } else { line.starts_with(&format!("{name} = ")) };
            assert!(lines.iter().any(here), "{} = {} is not in config/all-keys.toml", key.name, key.default);
        }
    }
}
