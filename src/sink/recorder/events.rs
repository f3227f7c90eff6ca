//! The rows of `*_events.tsv` (BIDS 1.10): gaps and markers by onset.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::journal::Told;
use super::pending::{GAP_TEXT, WAITING_MAX};
use crate::edf::{Annotation, TEXT_BYTES_MAX, format_ns};

/// Bytes of texts that wait to be brought into order: as many as ours can have. Those of others may be as long as their
/// records; what does not wait long enough only loses its place.
const WAITING_BYTES_MAX: usize = 2 * WAITING_MAX * TEXT_BYTES_MAX;

/// What BIDS asks for, the frame, and what is known of a marker.
const COLUMNS: &str = "onset\tduration\tsample\ttrial_type\tvalue\torigin\tuncertainty_ns\tsent_utc_ns";

/// An event, ordered by its onset, then as the file has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    onset_ns: i64,
    number: u64,
    duration_ns: Option<i64>,
    text: String,
    /// Origin, uncertainty and the sender's clock, as cells.
    told: String,
}

/// Annotations on their way into the table. In a recording of ours one waits for at most [`WAITING_MAX`] others of each
/// kind before it is written, so that a heap of twice as many brings them into order, however long the file is.
#[derive(Debug)]
pub(super) struct Events {
    rate_hz: f64,
    number: u64,
    text_bytes: usize,
    heap: BinaryHeap<Reverse<Event>>,
}

impl Events {
    /// Writes the table's first line.
    pub(super) fn new(out: &mut dyn Write, rate_hz: f64) -> io::Result<Events> {
        writeln!(out, "{COLUMNS}")?;
        Ok(Events { rate_hz, number: 0, text_bytes: 0, heap: BinaryHeap::new() })
    }

    /// Takes the next annotation of the file, with what is known of it.
    pub(super) fn push(&mut self, out: &mut dyn Write, annotation: Annotation, told: Option<Told>) -> io::Result<()> {
        self.number += 1;
        let number = |n: Option<u64>| n.map_or("n/a".to_owned(), |n| n.to_string());
        let told = match told {
            Some(told) => {
                format!("\t{}\t{}\t{}", cell(&told.origin), number(told.uncertainty_ns), number(told.sent_utc_ns))
            }
            None => "\tn/a\tn/a\tn/a".to_owned(),
        };
        let Annotation { onset_ns, duration_ns, text } = annotation;
        self.text_bytes += text.len();
        self.heap.push(Reverse(Event { onset_ns, number: self.number, duration_ns, text, told }));
        while self.heap.len() > 2 * WAITING_MAX || self.text_bytes > WAITING_BYTES_MAX {
            self.pop(out)?;
        }
        Ok(())
    }

    /// Writes what still waits.
    pub(super) fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        while !self.heap.is_empty() {
            self.pop(out)?;
        }
        Ok(())
    }

    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
    fn pop(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(Reverse(event)) = self.heap.pop() else { return Ok(()) };
        self.text_bytes -= event.text.len();
        // A recording of ours begins at 0.
        let sample = (event.onset_ns as f64 * 1e-9 * self.rate_hz).round() as i64;
        let duration = event.duration_ns.map_or("n/a".to_owned(), format_ns);
        // A trigger's code is a number; BIDS has a column of its own for it.
        let value = event.text.trim().parse::<i64>().map_or("n/a".to_owned(), |value| value.to_string());
        let kind = if event.text == GAP_TEXT { GAP_TEXT.to_owned() } else { cell(&event.text) };
        writeln!(out, "{}\t{duration}\t{sample}\t{kind}\t{value}{}", format_ns(event.onset_ns), event.told)
    }
}

/// `*_events.json`: what each column of the table says.
pub(super) fn described() -> Value {
    let column = |name: &str, text: &str| (name.to_owned(), json!({"LongName": name, "Description": text}));
    let columns = [
        ("sample", "Frame of the file that is nearest to the onset, counted from 0"),
        ("trial_type", "The text of the marker, or BAD_ACQ_SKIP where frames were lost and are filled in"),
        ("value", "The text, where it is a whole number"),
        (
            "origin",
            "Who told of the marker: http, page, trigger (an input of the converter), source, replay; n/a for gaps",
        ),
        (
            "uncertainty_ns",
            "How far the event may be from its onset, in nanoseconds; n/a where its frame was named or is exact",
        ),
        ("sent_utc_ns", "The sender's own clock when it sent the marker, in nanoseconds since 1970 UTC"),
    ];
    Value::Object(columns.into_iter().map(|(name, text)| column(name, text)).collect())
}

/// A text as one cell of a table.
pub(super) fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    if text.is_empty() { "n/a".to_owned() } else { text.to_owned() }
}
