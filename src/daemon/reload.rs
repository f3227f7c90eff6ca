//! SIGHUP: reads the configuration again and changes what can change while samples run: stages, the log level and
//! the limits of clients, and the token. The recorder notices nothing. A bad file changes nothing; what needs a restart
//! is named.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use toml::{Table, Value};

use super::load::{self, Reloaded};
use super::road::{self, Road};
use super::{Failure, log};
use crate::block::Stream;
use crate::pipeline::Chain;

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
        Reloader { file, running, raw, n_chips, streams, generation: 0, log }
    }

    /// Reads the file again and changes what it can; tells in the log what became of it.
    pub(super) fn reload(&mut self, road: &Road) {
        let Some(file) = self.file.clone() else {
            tracing::warn!("there is no configuration file to read again: the daemon runs on its built-in one");
            return;
        };
        match load::reload(&file, &self.raw, self.n_chips, &road.context.metrics) {
            Ok(reloaded) => self.apply(reloaded, road),
            Err(Failure::Config(mistakes)) => {
                mistakes.to_string().lines().for_each(|line| tracing::error!("{line}"));
                tracing::error!("{}: nothing was changed", file.display());
            }
            Err(error) => tracing::error!("{error}: nothing was changed"),
        }
    }

    fn apply(&mut self, reloaded: Reloaded, road: &Road) {
        let Reloaded { text, settings, chains } = reloaded;
        let mut wanted: Table = text.parse().unwrap_or_default();
        let differences = differences(&self.running, &wanted);
        let (mut changed, mut restart) = (Vec::new(), Vec::new());
        for key in differences {
            let live = LIVE.iter().any(|live| key == *live || key.starts_with(&format!("{live}.")));
            if live { changed.push(key) } else { restart.push(key) }
        }
        if changed.iter().any(|key| key.starts_with("chain")) {
            match self.exchange(chains, road) {
                Ok(()) => {}
                Err(why) => {
                    changed.retain(|key| !key.starts_with("chain"));
                    keep(&mut wanted, &self.running, "chain");
                    restart.push(why);
                }
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
        let none = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        tracing::info!("reloaded; changed: {}", none(&changed));
        if !restart.is_empty() {
            tracing::warn!("these changes need a restart: {}", restart.join(", "));
        }
    }

    /// Gives new chains to the processing thread and drops the old ones here.
    fn exchange(&mut self, mut chains: Vec<Chain>, road: &Road) -> Result<(), String> {
        let name_of = |chain: &Chain| chain.name().to_owned();
        let mut names: Vec<String> = chains.iter().map(name_of).collect();
        let mut running: Vec<String> = self
            .running
            .get("chain")
            .and_then(Value::as_table)
            .map(|chains| chains.keys().cloned().collect())
            .unwrap_or_default();
        names.sort();
        running.sort();
        if names != running {
            return Err(format!("the chains are {}, were {}", names.join(", "), running.join(", ")));
        }
        self.generation += 1;
        chains.iter_mut().for_each(|chain| chain.set_generation(self.generation));
        let feeds_before = road.context.feeds.now();
        road.context.feeds.set(road::feeds(&self.streams, &self.raw, &chains));
        if road.exchange.offer(chains).is_err() {
            road.context.feeds.set(feeds_before.to_vec());
            return Err("chain (an exchange is still on its way)".to_owned());
        }
        let deadline = Instant::now() + TAKE_TIME;
        loop {
            road.process.unpark();
            if let Some(old) = road.exchange.replaced() {
                drop(old);
                return Ok(());
            }
            if Instant::now() >= deadline {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        match road.exchange.withdraw() {
            Some(untaken) => {
                drop(untaken);
                road.context.feeds.set(feeds_before.to_vec());
                Err("chain (the processing thread did not take it in 5 s)".to_owned())
            }
            // It was taken in the last instant; the old ones come out with the next reload's.
            None => Ok(()),
        }
    }
}

/// Dotted names of the keys whose values differ.
fn differences(before: &Table, after: &Table) -> Vec<String> {
    let mut names = Vec::new();
    compare(before, after, "", &mut names);
    names
}

fn compare(before: &Table, after: &Table, prefix: &str, names: &mut Vec<String>) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let nothing = Table::new();
    for key in keys {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (before.get(key), after.get(key)) {
            (Some(Value::Table(before)), Some(Value::Table(after))) => compare(before, after, &name, names),
            (Some(Value::Table(before)), None) => compare(before, &nothing, &name, names),
            (None, Some(Value::Table(after))) => compare(&nothing, after, &name, names),
            (before, after) if before != after => names.push(name),
            _ => {}
        }
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
        let before = table("[acquire]\ncore = 1\n[chain.live]\nstage = [{kind = \"gain\"}]\n[log]\nlevel = \"info\"");
        let after = table("[acquire]\ncore = 2\n[chain.live]\nstage = [{kind = \"notch\"}]\n[http]\nlisten = \"x\"");
        assert_eq!(differences(&before, &after), ["acquire.core", "chain.live.stage", "http.listen", "log.level"]);
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
