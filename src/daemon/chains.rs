//! `[chain.NAME]`: which chain reads from which, in what order they run, and whether each stage fits its stream.

use serde::Deserialize;

use crate::block::Stream;
use crate::config::{Mistakes, Table};
use crate::metrics::Metrics;
use crate::pipeline::{Chain, From};
use crate::stage::{self, Stage};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    from: String,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { from: "raw".to_owned() }
    }
}

/// A chain as it is written, its stages not yet fitted to a stream.
pub(super) struct Draft<'d> {
    name: String,
    table: Table<'d>,
    from: String,
    stages: Vec<(Table<'d>, Option<Box<dyn Stage>>)>,
}

/// All chains of a file.
pub(super) struct Drafts<'d> {
    in_order: Vec<Draft<'d>>,
    /// Also of those that cannot be put in order: whoever asks for one of them makes no second mistake.
    pub(super) names: Vec<String>,
}

/// The longest name of a chain: it is a label value and part of `websocket.NAME`.
const NAME_MAX: usize = 32;

/// A stream's number is one byte on the wire, and 0 is `raw`.
const CHAINS_MAX: usize = 255;

/// Takes all chains out of the file, in the order in which they run: each after the one it reads from.
pub(super) fn read<'d>(root: &mut Table<'d>, mistakes: &mut Mistakes) -> Drafts<'d> {
    let mut drafts = Vec::new();
    for (name, mut table) in root.named("chain", mistakes) {
        let plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
        if name == "raw" || name.is_empty() || name.len() > NAME_MAX || !plain {
            let text = format!("a chain cannot be called `{name}`: 1 to {NAME_MAX} of a-z 0-9 _ -, and not raw");
            mistakes.add(table.line(), table.part(), text);
        }
        let mut stages = Vec::new();
        for mut stage in table.list("stage", mistakes) {
            let row = stage.choose("stage", stage::KINDS, |row| row.name, None, mistakes);
            let built = row.and_then(|row| (row.build)(&stage, mistakes));
            stages.push((stage, built));
        }
        let from = table.read::<Keys>(mistakes).unwrap_or_default().from;
        if drafts.len() == CHAINS_MAX {
            mistakes.add(table.line(), table.part(), format!("there can be at most {CHAINS_MAX} chains"));
        }
        drafts.push(Draft { name, table, from, stages });
    }
    let names = drafts.iter().map(|draft: &Draft<'_>| draft.name.clone()).collect();
    Drafts { in_order: in_order(drafts, mistakes), names }
}

/// Sorts chains so that each comes after the one it reads from; names chains that read from nothing or in a circle.
fn in_order<'d>(mut drafts: Vec<Draft<'d>>, mistakes: &mut Mistakes) -> Vec<Draft<'d>> {
    let names: Vec<String> = drafts.iter().map(|draft| draft.name.clone()).collect();
    let mut ordered: Vec<Draft<'d>> = Vec::new();
    drafts.retain(|draft| {
        let known = draft.from == "raw" || names.contains(&draft.from);
        if !known {
            let text =
                format!("from = \"{}\" must be raw or a chain; there are: raw, {}", draft.from, names.join(", "));
            draft.table.refuse(mistakes, "from", text);
        }
        known
    });
    loop {
        let ready = drafts
            .iter()
            .position(|draft| draft.from == "raw" || ordered.iter().any(|earlier| earlier.name == draft.from));
        let Some(ready) = ready else { break };
        ordered.push(drafts.remove(ready));
    }
    // What is left reads from itself, round some corners, or from a chain that was refused above.
    for draft in &drafts {
        if in_circle(draft, &drafts) {
            let text = format!("from = \"{}\" leads back to this chain: chains cannot read in a circle", draft.from);
            draft.table.refuse(mistakes, "from", text);
        }
    }
    ordered
}

fn in_circle(start: &Draft<'_>, drafts: &[Draft<'_>]) -> bool {
    let mut from = &start.from;
    for _ in 0..drafts.len() {
        if *from == start.name {
            return true;
        }
        match drafts.iter().find(|draft| draft.name == *from) {
            Some(next) => from = &next.from,
            None => return false,
        }
    }
    false
}

/// Fits every stage to its stream. Mistakes are noted; the result counts only when there are none.
pub(super) fn prepare(drafts: Drafts<'_>, raw: &Stream, metrics: &Metrics, mistakes: &mut Mistakes) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for draft in drafts.in_order {
        let (from, input) = match chains.iter().position(|chain| chain.name() == draft.from) {
            Some(parent) => (From::Chain(parent), chains[parent].stream().clone()),
            None => (From::Raw, raw.clone()),
        };
        let (tables, stages): (Vec<_>, Vec<_>) = draft.stages.into_iter().unzip();
        // A stage that could not be built was reported; the others are still checked against the stream.
        let built: Vec<_> =
            tables.iter().zip(stages).filter_map(|(table, stage)| stage.map(|stage| (table, stage))).collect();
        let (places, named): (Vec<_>, Vec<_>) =
            built.into_iter().map(|(table, stage)| (table, (table.part().to_owned(), stage))).unzip();
        match Chain::prepare(&draft.name, from, &input, named, metrics) {
            Ok(chain) => chains.push(chain),
            Err(errors) => {
                for (place, error) in errors {
                    places[place].refuse_error(mistakes, error);
                }
            }
        }
    }
    chains
}
