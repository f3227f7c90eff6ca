//! Where samples come from. A source fills raw blocks on the acquisition thread and waits for nothing but its ADC;
//! how long that ADC can itself be kept waiting is its slack.

pub mod ads1299;
pub mod replay;
mod signs;
pub mod synthetic;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::block::{End, Marker, RawBlock, Stream};
use crate::config::{AutoOr, Key, Mistakes, Table};
use crate::rt::Stop;

pub use signs::{ChipFault, EdgeKind, ElectrodeSigns, SideSigns, Signs, SpiErrorKind};

/// One kind of source, as a row of [`KINDS`].
pub struct Kind {
    /// The value of `kind`.
    pub name: &'static str,
    /// One line for `biosigd kinds`.
    pub summary: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Reads and checks its table; `None` when there were mistakes.
    pub plan: fn(&Table<'_>, &mut Mistakes) -> Option<Box<dyn Plan>>,
}

/// Every kind of source.
pub const KINDS: &[Kind] = &[ads1299::KIND, synthetic::KIND, replay::KIND];

/// A source whose configuration is right, before anything is opened.
pub trait Plan: Send + std::fmt::Debug {
    /// Opens it.
    ///
    /// # Errors
    /// When the file or the device is not what it should be.
    fn open(&self, opening: &Opening<'_>) -> Result<Box<dyn Source>, SourceError>;

    /// What it will need of this machine's buses and pins; `None` where it needs none. `biosigd doctor` looks at them
    /// without opening the source.
    fn hardware(&self) -> Option<Hardware> {
        None
    }

    /// What it makes of wires and time, for people: a word and a text for each line of `biosigd check`.
    fn lines(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What is allowed and wants a second look, for the log and `biosigd check`.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The buses, pins and time that a converter needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Hardware {
    /// Nodes `/dev/spidevBUS.SELECT`, one transfer on each for every frame, one after the other.
    pub spi: Vec<(u8, u8)>,
    /// The GPIO chip as configured: a path, a name or a label; `None` where it is found by its label.
    pub gpio_chip: Option<String>,
    /// The line of that chip on which DRDY falls.
    pub drdy_line: Option<u32>,
    /// Further lines of that chip: START, RESET, PWDN, the witness.
    pub control_lines: Vec<u32>,
    /// The SPI clock asked for; the controller may take a slower step.
    pub spi_clock_hz: u32,
    /// Bytes on the wire for one frame, over all transfers, commands included.
    pub bytes_per_frame: usize,
    /// Frames a second.
    pub rate_hz: f64,
    /// So long before the next DRDY the last bit must have been read, in microseconds; 4 tCLK for an ADS1299.
    pub keep_out_us: f64,
}

/// What a source needs to know of the daemon to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// `acquire.block_frames`.
    pub block_frames: AutoOr<usize>,
}

impl Opening<'_> {
    /// Frames per block at `rate_hz`: as configured, or 10 ms of signal, or 400 where nothing sets the pace.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 4000")]
    pub fn block_frames(&self, rate_hz: f64, pace: Pace) -> usize {
        match (self.block_frames, pace) {
            (AutoOr::Value(frames), _) => frames,
            (AutoOr::Auto, Pace::Free) => 400,
            (AutoOr::Auto, Pace::Clock) => (rate_hz * 0.010).round().clamp(1.0, 4000.0) as usize,
        }
    }
}

/// Why a source cannot be opened: what its caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such input.
    #[error("{}: no such file", .0.display())]
    NoInput(PathBuf),
    /// The input is not what it should be.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The input cannot be read.
    #[error("{} cannot be read", path.display())]
    Unavailable {
        /// The file or device.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The converter does not answer as it should; the text says which part, what was found and what to look at.
    #[error("{0}")]
    Converter(String),
    /// The converter may not be used by this user; the text says what, and who may.
    #[error("{0}")]
    NotAllowed(String),
    /// The input may not be read by this user.
    #[error("{}: permission denied", .0.display())]
    Permission(PathBuf),
}

impl SourceError {
    /// The situation that the operating system's `error` about `path` stands for.
    #[must_use]
    pub fn of_io(path: &Path, error: std::io::Error) -> SourceError {
        match error.kind() {
            std::io::ErrorKind::NotFound => SourceError::NoInput(path.to_owned()),
            std::io::ErrorKind::PermissionDenied => SourceError::Permission(path.to_owned()),
            _ => SourceError::Unavailable { path: path.to_owned(), source: error },
        }
    }
}

/// Makes raw blocks.
pub trait Source: Send {
    /// What its blocks look like.
    fn stream(&self) -> &Stream;

    /// Chips that put a status word into every frame; 0 where there are none.
    fn n_chips(&self) -> usize {
        0
    }

    /// What sets the pace; only a clock or a converter justifies real-time priority.
    fn pace(&self) -> Pace;

    /// How long the source can be kept waiting from now on without losing a frame.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn slack(&self) -> Slack;

    /// Brings the converter up and proves it, once, when the daemon runs (`check` does not come here) and before any
    /// thread is made. The answer, a JSON object or null, goes into the status and the sidecar as it is. When the flag is set
    /// meanwhile, because the daemon is asked to stop, it gives up within a fraction of a second; what it answers then means
    /// nothing.
    ///
    /// # Errors
    /// When the converter is not there, or is not what it should be.
    fn prove(&mut self, _stop: &AtomicBool) -> Result<serde_json::Value, SourceError> {
        Ok(serde_json::Value::Null)
    }

    /// What the source notices of its converter while it runs; `None` where there is nothing to notice.
    fn signs(&self) -> Option<Arc<Signs>> {
        None
    }

    /// Called once on the acquisition thread, just before the first `fill`: time starts here.
    fn start(&mut self);

    /// Waits for the next conversions and fills `block`, its head included. When `stop` is set it hands over what
    /// there is, a short block, and answers [`Filled::End`] from then on.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the ADC alone.
    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled;

    /// Called once on the acquisition thread, after the last `fill` and before the links end: whatever the source has still
    /// to tell through [`Source::connect`]'s way out is told when this returns, so that it reaches the file and the clients.
    /// May wait, some seconds at most: there are no more frames to lose.
    fn finish(&mut self) {}

    /// The index after the last conversion there was, and what was lost of them, at the end.
    fn end(&self) -> End;

    /// Where the source leaves word when it ends before its time; `main` looks there at the end.
    fn fate(&self) -> Fate {
        Fate::default()
    }

    /// Gives the source the way out for events of its own (annotations of a recording), once, before `start`.
    /// A source that reads ahead on a thread of its own begins here.
    fn connect(&mut self, markers: MarkerOut) {
        drop(markers);
    }
}

/// How a source ended: empty when as it should, else why it broke off. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<OnceLock<String>>);

impl Fate {
    /// Leaves word that the source broke off, and why. Only the first word counts.
    pub fn broke_off(&self, why: String) {
        self.0.get_or_init(|| why);
    }

    /// Why the source broke off.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Takes an event to everyone who keeps events; may wait, so never called on a real-time thread.
pub type MarkerOut = Box<dyn FnMut(Marker) + Send>;

/// What a call of [`Source::fill`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The block holds at least one frame.
    Frames,
    /// Nothing came within the source's own time limit; the loop turns, try again.
    Nothing,
    /// There will be no more.
    End,
}

/// What sets a source's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A converter or a clock: a late thread may cost frames.
    Clock,
    /// Its consumers: as fast as they go.
    Free,
}

/// How long a source can be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slack {
    /// This long from now; zero for a converter without memory.
    For(Duration),
    /// As long as it takes: a recording.
    Forever,
}
