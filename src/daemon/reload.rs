//! SIGHUP: reads the configuration again and changes what can change while samples run: stages, the log level and
//! the limits of clients, and the token. The recorder notices nothing. A bad file changes nothing; what needs a restart
//! is named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use toml::{Table, Value};

use super::load::{self, Reloaded};
use super::road::{self, Road};
use super::settings::SECTIONS;
use super::{Failure, log};
use crate::block::Stream;
use crate::config::Key;
use crate::pipeline::Chain;
use crate::{source, stage};

/// How long the processing thread has to take new chains between two blocks.
const TAKE_TIME: Duration = Duration::from_secs(5);

/// Keys that change at once; all others need a restart.
const LIVE: [&str; 4] = ["chain", "log.level", "websocket.clients_max", "websocket.client_buffer_kib"];

/// Changes at once where a token is named. Its file may have changed without it.
const TOKEN_FILE: &str = "http.token_file";

/// What a reload needs to know of the running daemon.
pub(super) struct Reloader {
    file: Option<PathBuf>,
    /// The configuration in force.
    running: Table,
    raw: Stream,
    n_chips: usize,
    streams: Vec<String>,
    generation: u32,
    /// Chains that were replaced in the last instant of an exchange have not been fetched yet.
    owed: bool,
    log: Option<log::Level>,
}

impl Reloader {
    /// For a daemon that runs on `text`, read from `file`, with a source that gives `raw` from `n_chips` chips.
    pub(super) fn new(
        file: Option<PathBuf>,
        text: &str,
        (raw, n_chips): (Stream, usize),
        streams: Vec<String>,
        log: Option<log::Level>,
    ) -> Reloader {
        // The text was proved before: it is a table.
        let running = text.parse().unwrap_or_default();
        Reloader { file, running, raw, n_chips, streams, generation: 0, owed: false, log }
    }

    /// Reads the file again and changes what it can; tells in the log what became of it.
    pub(super) fn reload(&mut self, road: &Road) {
        let Some(file) = self.file.clone() else {
            tracing::warn!("there is no configuration file to read again: the daemon runs on its built-in one");
            return;
        };
        let proven = load::text_of(&file)
            .and_then(|(name, text)| load::prove_for_restart(&file, (&name, &text)).map(|()| (name, text)));
        let (name, text) = match proven {
            Ok(proven) => proven,
            Err(error) => return refuse(&file, &error, &[]),
        };
        let wanted = text.parse().unwrap_or_default();
        match load::reload(&file, (&name, &text), (&self.raw, self.n_chips), &road.context.metrics) {
            Ok(reloaded) => self.apply(reloaded, wanted, road),
            // The file is right for the source that it asks for, and this daemon runs on another.
            Err(error) => {
                let differences = differences(&self.running, &wanted);
                refuse(&file, &error, &differences.into_iter().filter(|key| !is_live(key)).collect::<Vec<_>>());
            }
        }
    }

    fn apply(&mut self, reloaded: Reloaded, mut wanted: Table, road: &Road) {
        let Reloaded { settings, chains } = reloaded;
        let (mut changed, mut restart): (Vec<String>, Vec<String>) =
            differences(&self.running, &wanted).into_iter().partition(|key| is_live(key));
        let (of_chains, others) = changed.into_iter().partition::<Vec<String>, _>(|key| key.starts_with("chain."));
        changed = others;
        let mut not_taken = false;
        if !of_chains.is_empty() {
            // Streams are numbered and counted by chain: which there are stays.
            if names_of(&self.running) != names_of(&wanted) {
                keep(&mut wanted, &self.running, "chain");
                restart.extend(of_chains);
            } else if let Err(why) = self.exchange(chains, road) {
                keep(&mut wanted, &self.running, "chain");
                not_taken = true;
                tracing::error!("not changed: {}: {why}; reload again", of_chains.join(", "));
            } else {
                changed.extend(of_chains);
            }
        }
        // To do without a token is a matter of the address as well, which stays: that needs a restart.
        if let Some(found) = &settings.token {
            restart.retain(|key| key != TOKEN_FILE);
            keep(&mut self.running, &wanted, TOKEN_FILE);
            if road.context.access.change(&found.token) {
                changed.push("the token".to_owned());
            }
        }
        road.context.door.set_limits(settings.websocket.clients_max, settings.websocket.client_buffer_kib * 1024);
        if let Some(log) = &self.log {
            log.set(settings.log.level);
        }
        for live in LIVE {
            keep(&mut self.running, &wanted, live);
        }
        changed.sort();
        restart.sort();
        match (changed.is_empty(), restart.is_empty() && !not_taken) {
            (true, true) => tracing::info!("reloaded; nothing changed"),
            (true, false) => tracing::info!("reloaded; changed: nothing"),
            (false, _) => tracing::info!("reloaded; changed: {}", changed.join(", ")),
        }
        if !restart.is_empty() {
            tracing::warn!("these changes need a restart: {}", restart.join(", "));
        }
    }

    /// Gives new chains to the processing thread and drops the old ones here.
    fn exchange(&mut self, mut chains: Vec<Chain>, road: &Road) -> Result<(), &'static str> {
        if self.owed && !old_ones_are_back(road) {
            return Err("the processing thread has not given back those of the reload before");
        }
        self.owed = false;
        self.generation += 1;
        chains.iter_mut().for_each(|chain| chain.set_generation(self.generation));
        let feeds_before = road.context.feeds.now();
        road.context.feeds.set(road::feeds(&self.streams, &self.raw, &chains));
        let why = match road.exchange.offer(chains) {
            Ok(()) if old_ones_are_back(road) => return Ok(()),
            Ok(()) => "the processing thread did not take new ones within 5 s",
            Err(_) => "an exchange is still on its way",
        };
        match road.exchange.withdraw() {
            Some(untaken) => {
                drop(untaken);
                road.context.feeds.set(feeds_before.to_vec());
                Err(why)
            }
            // They were taken in the last instant; the old ones are fetched before the next exchange.
            None => {
                self.owed = true;
                Ok(())
            }
        }
    }
}

/// Says why a file changes nothing, and which keys would need a `restart` to come true.
fn refuse(file: &Path, error: &Failure, restart: &[String]) {
    match error {
        Failure::Config(mistakes) => mistakes.lines().for_each(|line| tracing::error!("{line}")),
        error => tracing::error!("{}", error.in_full()),
    }
    let file = file.display();
    if !restart.is_empty() {
        let keys = restart.join(", ");
        tracing::error!("{file}: it was held against the source that runs; these changes need a restart: {keys}");
    }
    tracing::error!("{file}: nothing was changed");
}

/// Waits for the chains that were replaced, and drops them. False when none came in time.
fn old_ones_are_back(road: &Road) -> bool {
    let deadline = Instant::now() + TAKE_TIME;
    loop {
        road.process.unpark();
        if road.exchange.replaced().is_some() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The names of the chains, sorted.
fn names_of(configuration: &Table) -> BTreeSet<&String> {
    configuration.get("chain").and_then(Value::as_table).into_iter().flat_map(Table::keys).collect()
}

/// Dotted names of the keys whose values differ: settings are compared, not how they are written, and a key that is left out
/// is at its default.
fn differences(before: &Table, after: &Table) -> Vec<String> {
    let kind = before.get("source").and_then(|source| source.get("kind")).and_then(Value::as_str);
    let kind = kind.unwrap_or(load::DEFAULT_KIND);
    let of_source = source::KINDS.iter().find(|row| row.name == kind).map_or(&[][..], |row| row.keys);
    let default = |name: &str| match name.split_once('.')? {
        ("source", "kind") => Some(Value::from(load::DEFAULT_KIND)),
        ("source", key) => default_of(of_source, key),
        (section, key) => default_of(SECTIONS.iter().find(|(name, _)| *name == section)?.1, key),
    };
    let mut names = Vec::new();
    compare(before, after, "", &default, &mut names);
    names
}

/// The default of the key called `name` among these, if it is a value and not told in words.
fn default_of(keys: &[Key], name: &str) -> Option<Value> {
    let key = keys.iter().find(|key| key.name == name)?;
    format!("value = {}", key.default).parse::<Table>().ok()?.remove("value")
}

fn compare(
    before: &Table,
    after: &Table,
    prefix: &str,
    default: &dyn Fn(&str) -> Option<Value>,
    names: &mut Vec<String>,
) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let nothing = Table::new();
    for key in keys {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (before.get(key), after.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(after))) => compare(before, after, &name, default, names),
            // A chain is something also without any key; other sections are not.
            (None, Some(_)) | (Some(_), None) if prefix == "chain" => names.push(name),
            (Some(Value::Table(before)), None) => compare(before, &nothing, &name, default, names),
            (None, Some(Value::Table(after))) => compare(&nothing, after, &name, default, names),
            (Some(value), None) | (None, Some(value)) if default(&name).is_some_and(|it| is_same(value, &it)) => {}
            (Some(before), Some(after)) if is_same(before, after) => {}
            _ => names.push(name),
        }
    }
}

/// Whether both set the same: a number is the same with and without a decimal point.
#[allow(clippy::cast_precision_loss, reason = "an integer beyond 2^53 is refused by every key")]
fn is_same(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Integer(whole), Value::Float(float)) | (Value::Float(float), Value::Integer(whole)) => {
            *whole as f64 == *float
        }
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| is_same(before, after))
        }
        // Of lists there are those of stages, each of which names its kind.
        (Value::Table(before), Value::Table(after)) => {
            let row = stage::KINDS.iter().find(|row| before.get("kind").and_then(Value::as_str) == Some(row.name));
            let keys = row.map_or(&[][..], |row| row.keys);
            let mut names = Vec::new();
            compare(before, after, "", &|name| default_of(keys, name), &mut names);
            names.is_empty()
        }
        _ => before == after,
    }
}

/// Makes the dotted `name` in `to` what it is in `from`.
fn keep(to: &mut Table, from: &Table, name: &str) {
    let (key, rest) = name.split_once('.').map_or((name, None), |(key, rest)| (key, Some(rest)));
    match (rest, from.get(key)) {
        (None, Some(value)) => drop(to.insert(key.to_owned(), value.clone())),
        (None, None) => drop(to.remove(key)),
        (Some(rest), from) => {
            let nothing = Table::new();
            let from = from.and_then(Value::as_table).unwrap_or(&nothing);
            let inner = to.entry(key.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                keep(inner, from, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn what_differs_is_named() {
        let before = table("[acquire]\ncore = 1\n[chain.live]\nstage = [{kind = \"gain\"}]\n[log]\nlevel = \"debug\"");
        let after = table("[acquire]\ncore = 2\n[chain.live]\nstage = [{kind = \"notch\"}]\n[http]\nlisten = \"x\"");
        assert_eq!(differences(&before, &after), ["acquire.core", "chain.live.stage", "http.listen", "log.level"]);
    }

    #[test]
    fn how_it_is_written_does_not_differ() {
        let before = table("# of old\n[source]\nrate_hz = 4000\n[[chain.live.stage]]\nkind = 'gain'\nfactor = 2");
        let after =
            table("chain.live.stage = [ {factor = 2.0, kind = \"gain\"} ] # new\n[log]\n[source]\nrate_hz = 4_000.0");
        assert!(differences(&before, &after).is_empty(), "{:?}", differences(&before, &after));
        let other = table("chain.live.stage = [ {factor = 2.5, kind = \"gain\"} ]\n[source]\nrate_hz = 4000");
        assert_eq!(differences(&before, &other), ["chain.live.stage"]);
    }

    #[test]
    fn a_default_that_is_written_out_does_not_differ() {
        let before = table("[[chain.live.stage]]\nkind = \"high_pass\"");
        let after = table(
            "[source]\nkind = \"ads1299\"\nrate_hz = 4000\n[source.lead_off]\nmode = \"off\"\n[acquire]\nblock_frames = \"auto\"\n\
             [log]\nlevel = \"info\"\n[[chain.live.stage]]\nkind = \"high_pass\"\norder = 2",
        );
        for (before, after) in [(&before, &after), (&after, &before)] {
            assert!(differences(before, after).is_empty(), "{:?}", differences(before, after));
        }
        let other = table(
            "[source.lead_off]\nmode = \"dc\"\n[acquire]\nblock_frames = 40\n[[chain.live.stage]]\nkind = \"high_pass\"\norder = 4",
        );
        let expected = ["acquire.block_frames", "chain.live.stage", "source.lead_off.mode"];
        assert_eq!(
            (differences(&before, &other), differences(&after, &other)),
            (expected.map(str::to_owned).into(), expected.map(str::to_owned).into())
        );
    }

    #[test]
    fn a_chain_without_keys_is_a_difference() {
        let (before, after) = (table("[chain.live]"), table("[chain.live]\n[chain.bare]"));
        assert_eq!(differences(&before, &after), ["chain.bare"]);
        assert_eq!(differences(&after, &before), ["chain.bare"]);
        assert_ne!(names_of(&before), names_of(&after));
    }

    #[test]
    fn only_what_is_kept_changes() {
        let mut running = table("[log]\nlevel = \"info\"\n[acquire]\ncore = 1");
        let wanted = table("[log]\nlevel = \"debug\"\n[acquire]\ncore = 2");
        keep(&mut running, &wanted, "log.level");
        keep(&mut running, &wanted, "websocket.clients_max");
        assert_eq!(running["log"]["level"].as_str(), Some("debug"));
        assert_eq!(running["acquire"]["core"].as_integer(), Some(1));
    }
}
