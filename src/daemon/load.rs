//! From a configuration file to everything that can be built before a thread starts. A daemon that came past here
//! has proved its configuration.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::settings::{Level, Record, Settings};
use super::sizes::Sizes;
use super::{Failure, chains};
use crate::block::Stream;
use crate::config::{Document, Mistakes};
use crate::metrics::Metrics;
use crate::pipeline::Chain;
use crate::rt::{Cores, kernel};
use crate::source::{self, Hardware, Opening, Source};

/// What runs when there is no configuration file: simulated chips.
const BUILT_IN: &str = include_str!("../../config/simulated.toml");

/// The source of a configuration that names none, the same as without a file: chips that are simulated.
pub(super) const DEFAULT_KIND: &str = "ads1299";

/// Where the packaged daemon is configured.
const SYSTEM_FILE: &str = "/etc/biosigd/biosigd.toml";

/// Beyond this a file is something else that was named by mistake, and is not read to its end, which may never come.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A proven configuration and what was built from it.
pub(super) struct Loaded {
    /// What messages call the file.
    pub(super) name: String,
    /// Its text, which goes into every sidecar.
    pub(super) text: String,
    pub(super) settings: Settings,
    pub(super) source_kind: &'static str,
    pub(super) source: Box<dyn Source>,
    /// What the source said when it proved its converter; null before that, and where there is nothing to say.
    pub(super) proof: Value,
    /// What the source makes of wires and time, for the plan.
    pub(super) source_lines: Vec<(&'static str, String)>,
    /// What the source needs of buses and pins.
    pub(super) hardware: Option<Hardware>,
    pub(super) raw: Stream,
    /// Chips of the source that put a status word into every frame.
    pub(super) n_chips: usize,
    pub(super) chains: Vec<Chain>,
    /// Names of the streams that clients can ask for.
    pub(super) streams: Vec<String>,
    pub(super) recordings: PathBuf,
    /// Where they go while that takes none.
    pub(super) fallback: Option<PathBuf>,
    pub(super) cores: Cores,
    pub(super) metrics: Arc<Metrics>,
}

impl Loaded {
    /// Brings the converter up and lets it prove itself: once, when the daemon runs, before there are threads. Gives up soon
    /// when `stop` is set meanwhile, with an answer that then means nothing.
    pub(super) fn prove(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        self.proof = self.source.prove(stop).map_err(Failure::Unproven)?;
        Ok(())
    }

    /// The source as `hello`, status and sidecar describe it.
    pub(super) fn about_source(&self) -> Value {
        let mut about = json!({"kind": self.source_kind, "simulated": self.raw.is_simulated()});
        if let Some(kernel) = kernel() {
            about["kernel"] = json!({"release": kernel.release, "preemption": kernel.preemption});
        }
        if !self.proof.is_null() {
            about["proof"] = self.proof.clone();
        }
        about
    }
}

/// Reads `file`; without one the system's, and without that the built-in simulated source. Logging begins with
/// `start_log` as soon as its level is known, so that what is built has somebody to tell what it finds.
pub(super) fn load(file: Option<&Path>, start_log: impl FnOnce(Level)) -> Result<Loaded, Failure> {
    let file = chosen(file);
    let (name, text) = match &file {
        Some(path) => text_of(path)?,
        None => ("built-in".to_owned(), BUILT_IN.to_owned()),
    };
    build((name, text), file.as_deref(), source::KINDS, start_log)
}

/// The file that is read: the one named, else the system's if there is one.
pub(super) fn chosen(file: Option<&Path>) -> Option<PathBuf> {
    let system = Path::new(SYSTEM_FILE);
    file.or_else(|| system.exists().then_some(system)).map(Path::to_owned)
}

/// What a reload changes: chains that fit the running source, and the daemon's own sections.
pub(super) struct Reloaded {
    pub(super) settings: Settings,
    pub(super) chains: Vec<Chain>,
}

/// Proves the `text` of `file`, called `name`, with its own source, as a start would, so that what is said to need a restart
/// also survives it. Nothing of what is built stays.
pub(super) fn prove_for_restart(file: &Path, (name, text): (&str, &str)) -> Result<(), Failure> {
    build((name.to_owned(), text.to_owned()), Some(file), source::KINDS, |_| {}).map(drop)
}

/// Proves the `text` of `file`, called `name`, its chains against the source that runs, `raw` from `n_chips` chips.
pub(super) fn reload(
    file: &Path,
    (name, text): (&str, &str),
    (raw, n_chips): (&Stream, usize),
    metrics: &Metrics,
) -> Result<Reloaded, Failure> {
    let document = Document::parse(name, text).map_err(Failure::Config)?;
    let mut mistakes = Mistakes::new(name);
    let base = file.parent().unwrap_or(Path::new(""));
    let Written { settings, drafts, .. } = written(&document, base, source::KINDS, &mut mistakes);
    let names = drafts.names.clone();
    let chains = chains::prepare(drafts, raw, metrics, &mut mistakes);
    streams(&document, &settings, &names, &chains, &mut mistakes);
    check_memory(&document, &Sizes::of(raw, n_chips, &chains, &settings), &settings, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Failure::Config(mistakes));
    }
    Ok(Reloaded { settings, chains })
}

/// The name that messages call the file by, and its text.
pub(super) fn text_of(path: &Path) -> Result<(String, String), Failure> {
    let bytes = read(path).map_err(|source| Failure::NoConfig { path: path.to_owned(), source })?;
    let name = path.display().to_string();
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let mut mistakes = Mistakes::new(&name);
        mistakes.add(1, "", "the file is larger than 1 MiB; a configuration is some KiB of text");
        return Err(Failure::Config(mistakes));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::Config(not_utf8(&name, &error))),
    }
}

/// The file, or as much of it as shows that it is too large. Of a pipe or a device, which may never end or never begin, nothing:
/// on SIGHUP `main` reads this, which feeds the watchdog and hears signals.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(std::io::Error::other("it is a pipe or a device, and has to be a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Mistakes {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
    let mut mistakes = Mistakes::new(name);
    mistakes.add(line, "", "the file is not UTF-8 from here on; save it as UTF-8");
    mistakes
}

/// A file as it is written: read and checked as far as one can without a source.
struct Written<'d> {
    plan: Option<(&'static str, Box<dyn source::Plan>)>,
    settings: Settings,
    drafts: chains::Drafts<'d>,
    cores: Cores,
}

fn written<'d>(
    document: &'d Document<'_>,
    base: &Path,
    kinds: &'static [source::Kind],
    mistakes: &mut Mistakes,
) -> Written<'d> {
    let mut root = document.root();
    let cores = Cores::of_this_machine();
    let mut source_table = root.section("source", mistakes);
    let row = source_table.choose("source", kinds, |row| row.name, Some(DEFAULT_KIND), mistakes);
    let plan = row.and_then(|row| Some((row.name, (row.plan)(&source_table, mistakes)?)));
    let settings = Settings::read(&mut root, &cores, base, mistakes);
    let drafts = chains::read(&mut root, mistakes);
    root.finish(mistakes);
    Written { plan, settings, drafts, cores }
}

/// Builds all that `text` asks for, with a source of one of `kinds`; tests bring one of their own.
pub(super) fn build(
    (name, text): (String, String),
    file: Option<&Path>,
    kinds: &'static [source::Kind],
    start_log: impl FnOnce(Level),
) -> Result<Loaded, Failure> {
    let document = Document::parse(&name, &text).map_err(Failure::Config)?;
    let mut mistakes = Mistakes::new(&name);
    let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let Written { plan, settings, drafts, cores } = written(&document, base, kinds, &mut mistakes);

    start_log(settings.log.level);
    if let Some(warning) = settings.token.as_ref().and_then(|token| token.warning.as_ref()) {
        tracing::warn!("{warning}");
    }
    let Some((source_kind, plan)) = plan else { return Err(Failure::Config(mistakes)) };
    let source = match plan.open(&Opening { base, block_frames: settings.acquire.block_frames }) {
        Ok(source) => source,
        // A file with mistakes is mended first: they may be why the source does not open.
        Err(_) if !mistakes.is_empty() => return Err(Failure::Config(mistakes)),
        Err(error) => return Err(error.into()),
    };
    let hardware = plan.hardware();
    let (raw, n_chips) = (source.stream().clone(), source.n_chips());
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION")).map_err(|error| Failure::Internal(error.to_string()))?;
    let names = drafts.names.clone();
    let chains = chains::prepare(drafts, &raw, &metrics, &mut mistakes);
    let streams = streams(&document, &settings, &names, &chains, &mut mistakes);
    // Said to people elsewhere: what a path is relative to, they do not know.
    let place = |dir: &Path| {
        let dir = super::files::recordings_dir(dir, file);
        std::path::absolute(&dir).unwrap_or(dir)
    };
    let recordings = place(&settings.recorder.dir);
    let fallback = Some(&settings.recorder.fallback_dir).filter(|dir| !dir.as_os_str().is_empty());
    let fallback = fallback.map(|dir| place(dir));
    if settings.records() {
        if let Err(error) = crate::sink::recorder::check(&raw, n_chips, settings.recorder.format) {
            let mut nothing = Mistakes::new("");
            let table = document.root().section("source", &mut nothing);
            table
                .refuse_error(&mut mistakes, format!("{error}; to record nothing, set record = \"off\" in [recorder]"));
        }
    }
    check_memory(&document, &Sizes::of(&raw, n_chips, &chains, &settings), &settings, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Failure::Config(mistakes));
    }
    plan.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(Loaded {
        settings,
        source_kind,
        source,
        proof: Value::Null,
        source_lines: plan.lines(),
        hardware,
        raw,
        n_chips,
        chains,
        streams,
        recordings,
        fallback,
        cores,
        metrics: Arc::new(metrics),
        name,
        text,
    })
}

/// The streams that clients can ask for, in the order of their numbers: raw, then chains. `names` are those of all
/// chains in the order of the file, also of those with mistakes.
fn streams(
    document: &Document<'_>,
    settings: &Settings,
    names: &[String],
    chains: &[Chain],
    mistakes: &mut Mistakes,
) -> Vec<String> {
    let all = || std::iter::once("raw").chain(chains.iter().map(Chain::name)).map(str::to_owned);
    let Some(wanted) = &settings.websocket.streams else { return all().collect() };
    let mut nothing = Mistakes::new("");
    let table = document.root().section("websocket", &mut nothing);
    for (i, name) in wanted.iter().enumerate() {
        if name != "raw" && !names.contains(name) {
            let known: Vec<&str> = std::iter::once("raw").chain(names.iter().map(String::as_str)).collect();
            let text = format!("streams: there is no stream `{name}`; there are: {}", known.join(", "));
            table.refuse(mistakes, "streams", text);
        }
        if wanted[..i].contains(name) {
            table.refuse(mistakes, "streams", format!("streams: `{name}` stands twice"));
        }
    }
    all().filter(|name| wanted.contains(name)).collect()
}

/// Refuses a road that would take more than half of the machine's memory, with the sum.
fn check_memory(document: &Document<'_>, sizes: &Sizes, settings: &Settings, mistakes: &mut Mistakes) {
    let installed = crate::rt::installed_memory_bytes();
    let total = sizes.total_bytes();
    if total <= installed / 2 {
        return;
    }
    let mut nothing = Mistakes::new("");
    let table = document.root().section("recorder", &mut nothing);
    let text = format!(
        "stall_budget_s = {}: {sizes} = {} MB is more than half of this machine's memory, {} MB",
        settings.recorder.stall_budget_s,
        total / 1_000_000,
        installed / 2 / 1_000_000
    );
    table.refuse(mistakes, "stall_budget_s", text);
}

impl Settings {
    /// Whether there is a recorder at all.
    pub(super) fn records(&self) -> bool {
        self.recorder.record != Record::Off
    }
}
