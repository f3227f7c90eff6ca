//! The thread that does, at the lowest priority, what follows the end of a file: its tables and its sum
//! ([`companions`](super::companions)), and the removal of what is older than it may be ([`retain`](super::retain)).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::companions;
use super::names::Names;
use super::retain::{Keep, Retainer};

/// How long a daemon that stops waits for the sums of its last files; what is not done is done at the next start.
const WAIT: Duration = Duration::from_secs(3);

/// A queue of finished files and who works it off.
#[derive(Debug)]
pub(super) struct Finisher {
    dir: PathBuf,
    keep: Keep,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    finished: Sender<Names>,
    /// Written here, read by the thread between two pieces of work; `Relaxed`, because nothing depends on it but the end.
    stop: Arc<AtomicBool>,
    /// Ends with the thread.
    over: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Finisher {
    /// No thread yet: it is made with the first finished file.
    pub(super) fn new(dir: PathBuf, keep: Keep) -> Finisher {
        Finisher { dir, keep, running: None }
    }

    /// A file is finished.
    pub(super) fn finished(&mut self, names: &Names) {
        if self.running.is_none() {
            match Running::start(Retainer::new(self.dir.clone(), self.keep)) {
                Ok(running) => self.running = Some(running),
                Err(error) => return tracing::warn!("no thread for the sum of {}: {error}", names.file_name()),
            }
        }
        if let Some(running) = &self.running {
            // A thread that is gone has panicked, and the next start does its work.
            drop(running.finished.send(names.clone()));
        }
    }
}

impl Running {
    fn start(mut retainer: Retainer) -> std::io::Result<Running> {
        let (finished, names) = channel::<Names>();
        let (alive, over) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("record-finish".to_owned()).spawn(move || {
            let _alive = alive;
            lowest_priority();
            for names in names {
                if let Err(error) = companions::complete(&names, &stops) {
                    tracing::warn!("beside {}: {error}", names.data().display());
                }
                retainer.retain();
            }
        })?;
        Ok(Running { finished, stop, over, thread })
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        drop(running.finished);
        if running.over.recv_timeout(WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            running.stop.store(true, Ordering::Relaxed);
        }
        // It panicked where this fails, and has said so.
        drop(running.thread.join());
    }
}

/// This thread gives way to all others.
pub fn lowest_priority() {
    // Linux: 0 is the calling thread. Where it is refused, it is work that the scheduler shares out.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!("a thread that could wait has the priority of the others: {error}");
    }
}
