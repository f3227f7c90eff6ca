//! What a check says, and how people and scripts read it: the same facts as lines of a terminal and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// Columns of the text: readable in a terminal of 100, and on a page.
const WIDTH: usize = 100;

/// Columns of `LEVEL    CHECK` before what was found.
const INDENT: usize = 25;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Does not apply here; the reason is told.
    Skipped,
    /// Costs no frame.
    Fine,
    /// May cost frames on a busy day, or makes what is recorded less certain.
    Warning,
    /// Costs frames, or lets none come.
    Fault,
}

impl Level {
    /// The word that stands before the check.
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Skipped => "skipped",
            Level::Fine => "fine",
            Level::Warning => "warning",
            Level::Fault => "fault",
        }
    }
}

/// What helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remedy {
    /// What to do: run, write into a file, buy.
    pub(super) what: String,
    /// The command, or the line to write; never broken into two.
    pub(super) line: Option<String>,
}

impl Remedy {
    /// Something to do in words.
    pub(super) fn new(what: impl Into<String>) -> Remedy {
        Remedy { what: what.into(), line: None }
    }

    /// A command.
    pub(super) fn run(line: impl Into<String>) -> Remedy {
        Remedy { what: "run".to_owned(), line: Some(line.into()) }
    }

    /// A line that goes somewhere.
    pub(super) fn write(what: impl Into<String>, line: impl Into<String>) -> Remedy {
        Remedy { what: what.into(), line: Some(line.into()) }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// Why it matters, in frames.
    pub(super) why: String,
    pub(super) remedy: Option<Remedy>,
    /// Numbers for scripts.
    pub(super) figures: Value,
}

impl Finding {
    fn new(check: &'static str, level: Level, found: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { check, level, found: found.into(), why: why.into(), remedy: None, figures: Value::Null }
    }

    /// Does not apply here.
    pub(super) fn skipped(check: &'static str, reason: impl Into<String>) -> Finding {
        Finding::new(check, Level::Skipped, reason, "")
    }

    /// Costs no frame.
    pub(super) fn fine(check: &'static str, found: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding::new(check, Level::Fine, found, why)
    }

    /// May cost frames.
    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: Remedy,
    ) -> Finding {
        Finding { remedy: Some(remedy), ..Finding::new(check, Level::Warning, found, why) }
    }

    /// Costs frames.
    pub(super) fn fault(
        check: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
        remedy: Remedy,
    ) -> Finding {
        Finding { remedy: Some(remedy), ..Finding::new(check, Level::Fault, found, why) }
    }

    /// The same with numbers for scripts.
    pub(super) fn with(self, figures: Value) -> Finding {
        Finding { figures, ..self }
    }

    /// For `--json`.
    pub(super) fn to_json(&self) -> Value {
        let remedy = self.remedy.as_ref().map(|remedy| json!({"do": remedy.what, "line": remedy.line}));
        json!({
            "check": self.check,
            "level": self.level.name(),
            "found": self.found,
            "why": self.why,
            "remedy": remedy,
            "figures": self.figures,
        })
    }
}

/// For a terminal. What is fine is told in a line; why it matters, where something should be done.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{:<9}{:<15} ", self.level.name(), self.check);
        paragraph(f, &head, &self.found)?;
        if let Some(remedy) = &self.remedy {
            let (margin, arrow) = (" ".repeat(INDENT), format!("{:INDENT$}-> ", ""));
            paragraph(f, &margin, &self.why)?;
            let colon = if remedy.line.is_some() { ":" } else { "" };
            paragraph(f, &arrow, &format!("{}{colon}", remedy.what))?;
            for line in remedy.line.iter().flat_map(|line| line.lines()) {
                writeln!(f, "{:1$}{line}", "", arrow.len())?;
            }
        }
        Ok(())
    }
}

/// `text` in the columns to the right of `head`; a word that is longer than they are stays whole.
fn paragraph(f: &mut fmt::Formatter<'_>, head: &str, text: &str) -> fmt::Result {
    let mut line = head.to_owned();
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = " ".repeat(head.len());
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{line}")
}

/// A time for people: `93.4 us`, `36.8 ms`, `1.6 s`.
pub(super) fn time_text(us: f64) -> String {
    match us {
        us if us.is_infinite() => "any time".to_owned(),
        us if us < 999.95 => format!("{us:.1} us"),
        us if us < 999_950.0 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// The noun with its number, and an s where it is not one.
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_as_people_read_it() {
        let fine = Finding::fine("kernel", "Linux 6.12.96", "not printed");
        assert_eq!(fine.to_string(), "fine     kernel          Linux 6.12.96\n");
        let words = "word ".repeat(30);
        let remedy = Remedy::write("append to the one line of /boot/firmware/cmdline.txt, and reboot", "isolcpus=3");
        let text = Finding::warning("isolation", words.trim(), "Because.", remedy).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].len(), 99, "{text}");
        assert!(lines[0].starts_with("warning  isolation       word word"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(
            lines[2..],
            [
                "                         Because.",
                "                         -> append to the one line of /boot/firmware/cmdline.txt, and reboot:",
                "                            isolcpus=3",
            ]
        );
    }

    #[test]
    fn the_same_facts_for_scripts() {
        let finding = Finding::fault("spidev", "none", "why", Remedy::run("modprobe spidev")).with(json!({"n": 1}));
        assert_eq!(
            finding.to_json(),
            json!({"check": "spidev", "level": "fault", "found": "none", "why": "why",
                "remedy": {"do": "run", "line": "modprobe spidev"}, "figures": {"n": 1}})
        );
        assert_eq!(Finding::skipped("spidev", "no").to_json()["remedy"], Value::Null);
        assert!(Level::Fault > Level::Warning && Level::Warning > Level::Fine);
    }

    #[test]
    fn times_and_counts() {
        let times = [0.04, 93.44, 999.9, 999.96, 36_802.0, 999_960.0, f64::INFINITY].map(time_text);
        assert_eq!(times, ["0.0 us", "93.4 us", "999.9 us", "1.0 ms", "36.8 ms", "1.0 s", "any time"]);
        assert_eq!([count(0, "fault"), count(1, "fault")], ["0 faults", "1 fault"]);
    }
}
