//! The sections of the configuration that belong to the daemon itself. Sources and stages own theirs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::token::TokenFile;
use crate::config::{AutoOr, Key, Mistakes, Table};
use crate::format::{FileFormat, Values};
use crate::rt::Cores;
use crate::sink::websocket::CLIENTS_MAX;

/// `[acquire]` and `[process]`: the two threads with cores of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Acquire {
    pub(super) block_frames: AutoOr<usize>,
    pub(super) core: AutoOr<usize>,
    pub(super) priority: i32,
}

impl Default for Acquire {
    fn default() -> Acquire {
        Acquire { block_frames: AutoOr::Auto, core: AutoOr::Auto, priority: 80 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Process {
    pub(super) core: AutoOr<usize>,
    pub(super) priority: i32,
}

impl Default for Process {
    fn default() -> Process {
        Process { core: AutoOr::Auto, priority: 70 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    Auto,
    Manual,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnOverflow {
    Gap,
    Stop,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Recorder {
    pub(super) record: Record,
    pub(super) format: FileFormat,
    pub(super) csv_values: Values,
    pub(super) dir: PathBuf,
    pub(super) stall_budget_s: f64,
    pub(super) on_overflow: OnOverflow,
    pub(super) sync_s: f64,
    pub(super) min_free_gb: f64,
    pub(super) file_name: String,
    pub(super) rotate_s: f64,
    pub(super) rotate_gb: f64,
    pub(super) gap_file_s: f64,
    pub(super) keep_days: f64,
    pub(super) keep_gb: f64,
    pub(super) pre_s: f64,
    pub(super) fallback_dir: PathBuf,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            record: Record::Auto,
            format: FileFormat::Bdf,
            csv_values: Values::Codes,
            dir: PathBuf::from("recordings"),
            stall_budget_s: 30.0,
            on_overflow: OnOverflow::Gap,
            sync_s: 1.0,
            min_free_gb: 1.0,
            file_name: "{name}_{start}".to_owned(),
            rotate_s: 0.0,
            rotate_gb: 0.0,
            gap_file_s: 300.0,
            keep_days: 0.0,
            keep_gb: 0.0,
            pre_s: 0.0,
            fallback_dir: PathBuf::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Websocket {
    pub(super) streams: Option<Vec<String>>,
    pub(super) clients_max: usize,
    pub(super) client_buffer_kib: usize,
}

impl Default for Websocket {
    fn default() -> Websocket {
        Websocket { streams: None, clients_max: 64, client_buffer_kib: 1024 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: String,
    pub(super) allow_unauthenticated: bool,
    pub(super) token_file: PathBuf,
    pub(super) hosts: Vec<String>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: "127.0.0.1:8707".to_owned(),
            allow_unauthenticated: false,
            token_file: PathBuf::new(),
            hosts: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Level,
}

impl Default for Log {
    fn default() -> Log {
        Log { level: Level::Info }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Daemon {
    pub(super) strict: bool,
}

/// The daemon's own sections, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) acquire: Acquire,
    pub(super) process: Process,
    pub(super) recorder: Recorder,
    pub(super) websocket: Websocket,
    pub(super) http: Http,
    pub(super) listen: SocketAddr,
    /// With it every request needs the token; without, none does.
    pub(super) token: Option<TokenFile>,
    pub(super) log: Log,
    pub(super) daemon: Daemon,
}

/// A section for `biosigd kinds`: its name and its keys.
pub(super) const SECTIONS: &[(&str, &[Key])] = &[
    (
        "acquire",
        &[
            Key::new("block_frames", "\"auto\"", "frames per block, 1 to 4000; auto: 10 ms, at speed \"max\" 400"),
            Key::new("core", "\"auto\"", "core of the acquisition thread; auto: isolated ones first, then the last"),
            Key::new("priority", "80", "SCHED_FIFO priority, 3 to 99"),
        ],
    ),
    (
        "process",
        &[
            Key::new("core", "\"auto\"", "core of the processing thread"),
            Key::new("priority", "70", "SCHED_FIFO priority, 2 to 98, below acquire's"),
        ],
    ),
    (
        "recorder",
        &[
            Key::new("record", "\"auto\"", "auto: from the first frame on; manual: on request; off"),
            Key::new("dir", "\"recordings\"", "relative to $STATE_DIRECTORY, else to the configuration file"),
            Key::new("stall_budget_s", "30.0", "how long the disk may stall before a frame is lost, 0.1 to 3600"),
            Key::new("on_overflow", "\"gap\"", "budget spent: gap (goes on) or stop (ends with an error status)"),
            Key::new("sync_s", "1.0", "seconds between two syncs to disk, 0.05 to 60"),
            Key::new("min_free_gb", "1.0", "at this much free space a recording ends cleanly, 0 to 100000"),
            Key::new(
                "file_name",
                "\"{name}_{start}\"",
                "of {start}, {name}, {part}, {subject}, letters, digits, -, _, .",
            ),
            Key::new("rotate_s", "0", "another file begins after this many seconds, 1 to 1e7; 0: never"),
            Key::new("rotate_gb", "0", "another file begins before this size, 0.001 to 100000; 0: never"),
            Key::new("gap_file_s", "300.0", "another file begins after a gap longer than this, 1 to 1e7; 0: never"),
            Key::new(
                "keep_days",
                "0",
                "finished recordings are removed after so many days, 0.01 to 100000; 0: all stay",
            ),
            Key::new("keep_gb", "0", "the oldest finished ones go beyond this size, 0.001 to 100000; 0: all stay"),
            Key::new(
                "pre_s",
                "0.0",
                "signal from before the start that a recording begins with, to half of stall_budget_s",
            ),
            Key::new("format", "\"bdf\"", "bdf (24 bits), edf (16), csv (rows) or raw (i32 and CRC32)"),
            Key::new("csv_values", "\"codes\"", "what a row of CSV holds: codes, or values in units"),
            Key::new("fallback_dir", "\"\"", "where recordings go while dir takes none; empty: nowhere"),
        ],
    ),
    (
        "websocket",
        &[
            Key::new("streams", "raw and every chain", "the streams that clients can ask for"),
            Key::new("clients_max", "64", "clients at a time, 0 to 1024"),
            Key::new("client_buffer_kib", "1024", "what may wait for one client, in KiB, 16 to 65536"),
        ],
    ),
    (
        "http",
        &[
            Key::new("listen", "\"127.0.0.1:8707\"", "address and port of the page, the stream and the metrics"),
            Key::new("allow_unauthenticated", "false", "true: whoever reaches another address than loopback may read"),
            Key::new(
                "token_file",
                "\"\"",
                "its first line is the token that all must send, 16 characters or more; empty: \
                 $CREDENTIALS_DIRECTORY/token, if there is one",
            ),
            Key::new("hosts", "[]", "names, besides this machine's own, that requests may be addressed to"),
        ],
    ),
    ("log", &[Key::new("level", "\"info\"", "error, warn, info, debug or trace")]),
    ("daemon", &[Key::new("strict", "false", "true: a refused privilege, core or lock is an error")]),
];

impl Settings {
    /// Takes the daemon's sections out of the file. Sections with wrong values read as their defaults, so that what
    /// is built from them can be checked further: a ring of a NaN of seconds cannot be laid out. Files are named from
    /// `base`, where the configuration lies.
    pub(super) fn read(root: &mut Table<'_>, cores: &Cores, base: &Path, mistakes: &mut Mistakes) -> Settings {
        let acquire = root.section("acquire", mistakes);
        let process = root.section("process", mistakes);
        let recorder = root.section("recorder", mistakes);
        let websocket = root.section("websocket", mistakes);
        let http = root.section("http", mistakes);
        let log = root.section("log", mistakes);
        let daemon = root.section("daemon", mistakes);
        let mut a: Acquire = acquire.read(mistakes).unwrap_or_default();
        let mut p: Process = process.read(mistakes).unwrap_or_default();
        let before = mistakes.len();
        check_threads((&acquire, &a), (&process, &p), cores, mistakes);
        if mistakes.len() > before {
            (a, p) = (Acquire::default(), Process::default());
        }
        let mut r: Recorder = recorder.read(mistakes).unwrap_or_default();
        let before = mistakes.len();
        check_recorder(&recorder, &r, mistakes);
        if mistakes.len() > before {
            r = Recorder::default();
        }
        let w: Websocket = websocket.read(mistakes).unwrap_or_default();
        between(&websocket, "clients_max", w.clients_max, 0, CLIENTS_MAX, mistakes);
        between(&websocket, "client_buffer_kib", w.client_buffer_kib, 16, 65_536, mistakes);
        let h: Http = http.read(mistakes).unwrap_or_default();
        let token = read_token(&http, &h, base, mistakes);
        let listen = check_http(&http, &h, token.is_some(), mistakes);
        let (log, daemon) = (log.read(mistakes).unwrap_or_default(), daemon.read(mistakes).unwrap_or_default());
        Settings { acquire: a, process: p, recorder: r, websocket: w, http: h, listen, token, log, daemon }
    }
}

/// Notes a value that is not `least <= value <= most`; written so that NaN is refused.
fn between<T: PartialOrd + std::fmt::Display>(
    table: &Table<'_>,
    key: &str,
    value: T,
    least: T,
    most: T,
    mistakes: &mut Mistakes,
) {
    if !(least <= value && value <= most) {
        table.refuse(mistakes, key, format!("{key} = {value} must be {least} to {most}"));
    }
}

fn check_threads(
    (acquire, a): (&Table<'_>, &Acquire),
    (process, p): (&Table<'_>, &Process),
    cores: &Cores,
    mistakes: &mut Mistakes,
) {
    if let AutoOr::Value(frames) = a.block_frames {
        between(acquire, "block_frames", frames, 1, 4000, mistakes);
    }
    between(acquire, "priority", a.priority, 3, 99, mistakes);
    between(process, "priority", p.priority, 2, 98, mistakes);
    if p.priority >= a.priority && (2..=98).contains(&p.priority) {
        let text = format!("priority = {} must be below acquire.priority, {}", p.priority, a.priority);
        process.refuse(mistakes, "priority", text);
    }
    for (table, core) in [(acquire, a.core), (process, p.core)] {
        if let AutoOr::Value(core) = core {
            if !cores.possible.contains(&core) {
                let text = format!("core = {core} does not exist here; there are {:?}", cores.possible);
                table.refuse(mistakes, "core", text);
            }
        }
    }
    if let (AutoOr::Value(one), AutoOr::Value(other)) = (a.core, p.core) {
        if one == other && cores.possible.len() > 1 {
            process.refuse(mistakes, "core", format!("core = {other} is acquire's; the two threads need two cores"));
        }
    }
}

fn check_recorder(table: &Table<'_>, r: &Recorder, mistakes: &mut Mistakes) {
    between(table, "stall_budget_s", r.stall_budget_s, 0.1, 3600.0, mistakes);
    between(table, "sync_s", r.sync_s, 0.05, 60.0, mistakes);
    between(table, "min_free_gb", r.min_free_gb, 0.0, 100_000.0, mistakes);
    super::files::check(table, r, mistakes);
    let pre_max = (r.stall_budget_s / 2.0).max(0.0);
    if !(0.0 <= r.pre_s && r.pre_s <= pre_max) && pre_max.is_finite() {
        let text = format!("pre_s = {} must be 0 to {pre_max}, half of stall_budget_s", r.pre_s);
        table.refuse(mistakes, "pre_s", text);
    }
    if r.dir.as_os_str().is_empty() {
        table.refuse(mistakes, "dir", "dir = \"\" must name a directory");
    }
}

/// The token, if there is one.
fn read_token(table: &Table<'_>, h: &Http, base: &Path, mistakes: &mut Mistakes) -> Option<TokenFile> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let token = match TokenFile::find(&h.token_file, base, credentials.as_deref()) {
        Ok(token) => token?,
        Err(error) => {
            let why = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
            let text = format!("token_file = \"{}\": {error}{why}", h.token_file.display());
            table.refuse(mistakes, "token_file", text);
            return None;
        }
    };
    if h.allow_unauthenticated {
        let text = format!(
            "allow_unauthenticated = true lets everybody read, and the token in {} only those who have it: keep one of \
             the two",
            token.path.display()
        );
        table.refuse(mistakes, "allow_unauthenticated", text);
    }
    Some(token)
}

/// The address to listen at; any one where there was a mistake.
fn check_http(table: &Table<'_>, h: &Http, has_token: bool, mistakes: &mut Mistakes) -> SocketAddr {
    let Ok(listen) = h.listen.parse::<SocketAddr>() else {
        let text = format!("listen = \"{}\" must be an address and a port, such as 127.0.0.1:8707", h.listen);
        table.refuse(mistakes, "listen", text);
        return SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    };
    // One that is named and cannot be read is a mistake already.
    let needs_token = has_token || !h.token_file.as_os_str().is_empty();
    if !listen.ip().is_loopback() && !needs_token && !h.allow_unauthenticated {
        let text = format!(
            "listen = \"{}\" can be reached from the network, and biosignals are health data: name a \
             token_file, whose token every request then needs, or listen on 127.0.0.1 and use `ssh -L`, or set \
             allow_unauthenticated = true if whoever reaches it may read",
            h.listen
        );
        table.refuse(mistakes, "listen", text);
    }
    listen
}
