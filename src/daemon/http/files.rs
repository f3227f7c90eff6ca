//! `GET /api/v1/recordings` and `GET /api/v1/recordings/NAME`: what has been recorded, and the files themselves.
//!
//! Both read from a disk that may stall, and a file takes as long as its reader likes: so each has a thread of its own,
//! of which there are few, and the poller serves everybody else meanwhile.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::Context;
use super::answer::Answer;
use super::recording::{answer, refuse};
use crate::sink::recorder::{folders, read_sidecar};

/// Where the list is; a file is below it.
pub(super) const PATH: &str = "/api/v1/recordings";

/// Requests of this kind at a time.
const READERS_MAX: usize = 4;

/// Bytes that are read and sent at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a client may take for one piece.
const PIECE_TIME: Duration = Duration::from_secs(20);

/// The most recordings that one answer lists: the newest by name.
const LISTED_MAX: usize = 1000;

/// What recordings are called, with what each is for a browser.
const DATA: [(&str, &str); 4] = [
    ("bdf", "application/octet-stream"),
    ("edf", "application/octet-stream"),
    ("csv", "text/csv; charset=utf-8"),
    ("raw", "application/octet-stream"),
];

/// What stands beside them.
const BESIDE: [(&str, &str); 2] = [("json", "application/json"), ("tsv", "text/tab-separated-values; charset=utf-8")];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    List,
    File { name: String, head_only: bool },
}

impl Wanted {
    /// From a path; `None`: it is not one of these. Names are those that the recorder makes, so nothing is decoded.
    pub(super) fn of(path: &str, head_only: bool) -> Option<Wanted> {
        let rest = path.strip_prefix(PATH)?;
        if rest.is_empty() {
            return Some(Wanted::List);
        }
        Some(Wanted::File { name: rest.strip_prefix('/')?.to_owned(), head_only })
    }
}

/// One of the few, as long as it lives.
struct Reader(Arc<AtomicUsize>);

impl Reader {
    fn new(readers: &Arc<AtomicUsize>) -> Option<Reader> {
        // Taken by the poller's thread, given back by the readers; `SeqCst`, once per request.
        let more = |n: usize| (n < READERS_MAX).then_some(n + 1);
        readers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok().then(|| Reader(Arc::clone(readers)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers on a thread of its own; gives the socket back, with the answer that says so, where there are too many.
pub(super) fn serve(
    socket: mio::net::TcpStream,
    wanted: Wanted,
    context: &Arc<Context>,
) -> Result<(), (mio::net::TcpStream, Answer)> {
    let busy = |why: &str| refuse("503 Service Unavailable", why).with("Retry-After", "5");
    let Some(reader) = Reader::new(&context.readers) else {
        return Err((socket, busy("too many recordings are being read at once; try again in a while")));
    };
    // Kept open until the thread is there, so that there is somebody to tell where there is none.
    let Ok(copy) = rustix::io::dup(&socket) else {
        return Err((socket, busy("no file descriptor is left")));
    };
    let context = Arc::clone(context);
    let thread = thread::Builder::new().name("http-file".to_owned()).stack_size(256 * 1024);
    let started = thread.spawn(move || {
        let _reader = reader;
        // A client that goes away, or is too slow, has nobody to be told.
        drop(give(TcpStream::from(copy), &wanted, &context));
    });
    match started {
        Ok(_) => Ok(()),
        Err(_) => Err((socket, busy("no thread can be made"))),
    }
}

fn give(mut socket: TcpStream, wanted: &Wanted, context: &Context) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(PIECE_TIME))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    match wanted {
        Wanted::List => send(&mut socket, &answer("200 OK", &list(context)).into_bytes(false))?,
        Wanted::File { name, head_only } => match find(name, context) {
            Err(refusal) => send(&mut socket, &refusal.into_bytes(*head_only))?,
            Ok((file, length, kind)) => {
                let attachment = format!("attachment; filename=\"{name}\"");
                let head = Answer::ok(kind, b"".as_slice()).with("Content-Disposition", &attachment);
                send(&mut socket, &head.into_head(length))?;
                if !head_only {
                    send_file(&mut socket, file, length)?;
                }
            }
        },
    }
    socket.shutdown(Shutdown::Write)?;
    // Closing with something unread would take back what is on its way (RFC 9112, section 9.6).
    socket.read(&mut [0; 1024]).map(drop)
}

fn send_file(socket: &mut TcpStream, file: File, length: u64) -> io::Result<()> {
    let mut file = file.take(length);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => send(socket, &piece[..n])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends all of `bytes` within the time for a piece.
fn send(socket: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + PIECE_TIME;
    while !bytes.is_empty() {
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        match socket.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A finished file by its name, with its length.
fn find(name: &str, context: &Context) -> Result<(File, u64, &'static str), Answer> {
    let kinds = DATA.iter().chain(&BESIDE);
    let Some(kind) = kinds.into_iter().find(|(ending, _)| is_name(name, ending)).map(|(_, kind)| *kind) else {
        return Err(refuse("404 Not Found", "this is not the name of a recording; GET /api/v1/recordings lists them"));
    };
    for dir in context.recordings.iter().filter_map(|dir| folders(dir).ok()).flatten() {
        let path = dir.join(name);
        // A link may lead anywhere, and a pipe would be waited for.
        if !path.symlink_metadata().is_ok_and(|about| about.is_file()) {
            continue;
        }
        if is_in_work(&path, context) {
            return Err(refuse("409 Conflict", "this file is still being written"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
        let found = opened.and_then(|file| file.metadata().map(|about| (file, about.len(), kind)));
        return found.map_err(|error| refuse("500 Internal Server Error", &format!("{name} cannot be read: {error}")));
    }
    Err(refuse("404 Not Found", "there is no such recording"))
}

/// Whether `name` is one that the recorder may have made, with this ending.
fn is_name(name: &str, ending: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem = name.strip_suffix(ending).and_then(|rest| rest.strip_suffix('.'));
    name.chars().all(plain)
        && !name.starts_with('.')
        && !name.contains("..")
        && stem.is_some_and(|stem| !stem.is_empty())
}

fn is_in_work(path: &Path, context: &Context) -> bool {
    let recording = context.recording_status();
    let active = recording.file.filter(|_| recording.active);
    let is_part =
        |path: &Path| path.file_stem().is_some_and(|stem| Path::new(stem).extension() == Some("part".as_ref()));
    active.is_some_and(|file| file.with_extension("") == path.with_extension("")) || is_part(path)
}

fn list(context: &Context) -> Value {
    let mut files: Vec<PathBuf> = Vec::new();
    // A directory that is not there yet holds nothing.
    for dir in context.recordings.iter().filter_map(|dir| folders(dir).ok()).flatten() {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        files.extend(entries.filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            DATA.iter().any(|(ending, _)| is_name(name, ending))
        }));
    }
    files.sort_by(|one, other| other.file_name().cmp(&one.file_name()));
    let more = files.len().saturating_sub(LISTED_MAX);
    let listed: Vec<Value> = files.iter().take(LISTED_MAX).map(|path| about(path, context)).collect();
    json!({"recordings": listed, "not_listed": more})
}

/// One recording as the list has it.
fn about(path: &Path, context: &Context) -> Value {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let sidecar = sidecar(&path.with_extension("json")).unwrap_or(Value::Null);
    let is_done = !is_in_work(path, context);
    json!({
        "file": name,
        "dir": path.parent().map(|dir| dir.display().to_string()),
        "bytes": path.metadata().map_or(0, |about| about.len()),
        "state": sidecar["state"],
        "start": sidecar["first_frame_utc"],
        "first_frame": sidecar["first_frame"],
        "frames_written": sidecar["frames_written"],
        "seconds": sidecar["RecordingDuration"],
        "ledger": sidecar["ledger"]["recorder"],
        "download": is_done.then(|| format!("{PATH}/{name}")),
    })
}

fn sidecar(path: &Path) -> Option<Value> {
    let file = Some(path).filter(|path| path.symlink_metadata().is_ok_and(|about| about.is_file()))?;
    serde_json::from_slice(&read_sidecar(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, is_one) in [
            ("rest_2026-11-21T11-30-05.250Z.bdf", true),
            ("a.bdf", true),
            (".bdf", false),
            ("..bdf", false),
            ("a..bdf", false),
            (".a.bdf", false),
            ("a/b.bdf", false),
            ("../a.bdf", false),
            ("%2e%2e%2fa.bdf", false),
            ("a.bdf.json", false),
            ("a", false),
            ("", false),
            ("a\0.bdf", false),
        ] {
            assert_eq!(is_name(name, "bdf"), is_one, "{name}");
        }
        let file = |name: &str| Some(Wanted::File { name: name.to_owned(), head_only: false });
        assert_eq!(Wanted::of("/api/v1/recordings", false), Some(Wanted::List));
        assert_eq!(Wanted::of("/api/v1/recordings/a.bdf", false), file("a.bdf"));
        assert_eq!(Wanted::of("/api/v1/recordings/", false), file(""));
        assert_eq!(Wanted::of("/api/v1/recordings.bdf", false), None);
    }
}
