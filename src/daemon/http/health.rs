//! Alive is not the same as well: whether samples come, are processed and are recorded, now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::backlog::Backlog;
use crate::daemon::converter::Converter;
use crate::pipeline::{Progress, RecordingStatus};

/// A thread may be silent this long, or for three blocks where those last longer.
const SILENCE: Duration = Duration::from_secs(5);

/// When each thread last got somewhere.
pub(in crate::daemon) struct Health {
    silence: Duration,
    start: Instant,
    acquire: Arc<Progress>,
    process: Arc<Progress>,
    recorder: Option<Arc<Progress>>,
    converter: Option<Arc<Converter>>,
    backlog: Option<Arc<Backlog>>,
}

impl Health {
    /// For blocks of `block_s` seconds.
    pub(in crate::daemon) fn new(
        block_s: f64,
        acquire: Arc<Progress>,
        process: Arc<Progress>,
        recorder: Option<Arc<Progress>>,
        converter: &Option<Arc<Converter>>,
        backlog: &Option<Arc<Backlog>>,
    ) -> Health {
        let silence = SILENCE.max(Duration::from_secs_f64(3.0 * block_s));
        let (start, converter, backlog) = (Instant::now(), converter.clone(), backlog.clone());
        Health { silence, start, acquire, process, recorder, converter, backlog }
    }

    /// Whether a block has come.
    pub(in crate::daemon) fn has_begun(&self) -> bool {
        self.acquire.age().is_some()
    }

    /// Why all is not well; empty when it is.
    pub(in crate::daemon) fn complaints(&self, recording: &RecordingStatus) -> Vec<String> {
        let mut complaints: Vec<String> = self.converter.iter().filter_map(|it| it.complaint()).collect();
        let mut threads = vec![("acquisition", &self.acquire), ("process", &self.process)];
        if let (Some(recorder), true) = (&self.recorder, recording.active) {
            threads.push(("recorder", recorder));
        }
        for (name, progress) in threads {
            let age = progress.age().unwrap_or(self.start.elapsed());
            if age > self.silence {
                complaints.push(format!("{name} has made no progress for {} s", age.as_secs()));
            }
        }
        complaints.extend(self.backlog.as_ref().and_then(|backlog| backlog.complaint()));
        if recording.wanted && !recording.active && self.start.elapsed() > self.silence {
            let why = recording.ended.as_deref().unwrap_or("it has not begun");
            complaints.push(format!("no recording is active: {why}"));
        }
        complaints
    }
}
