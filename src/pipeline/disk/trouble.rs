//! What becomes of a recording that the disk refuses: it stays owed and is tried again, or waits for space.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::desk::{Desk, Opening};
use super::recording::Fate;
use crate::block::{Cause, Head};
use crate::pipeline::control::Verdict;
use crate::rt::now_ns;
use crate::sink::{About, RawSink, SinkError};

/// A recording that ended for want of space, and begins anew when there is more.
pub(super) struct Resume {
    about: About,
    dir: PathBuf,
    needed_bytes: u64,
    pub(super) look_at: Instant,
}

impl<S: RawSink> Desk<S> {
    pub(super) fn refuse(&mut self, opening: Opening, error: &SinkError) {
        self.gate.pack(self.keeps_before);
        let why = chain(error);
        match opening.ticket {
            Some(ticket) => {
                tracing::warn!("no recording begins: {why}");
                ticket.tell(verdict(error, why));
            }
            None => {
                if let Some(resume) = &mut self.resume {
                    resume.look_at = Instant::now() + self.retry_every;
                }
            }
        }
    }

    /// Tries to go on in a new file that begins with `head`.
    pub(super) fn try_again(&mut self, head: &Head) {
        let Some(about) = self.recording.as_ref().map(|recording| recording.about.clone()) else { return };
        let opened = self.open_file(head, &about);
        let (delivered_before, try_at) = (self.delivered, Instant::now() + self.retry_every);
        let Some(recording) = &mut self.recording else { return };
        match opened {
            Ok(()) => {
                recording.fate = Fate::InFile { given: 0, delivered_before };
                self.begun();
            }
            Err(error) => {
                recording.fate = Fate::Lost { try_at };
                if let Some(ticket) = recording.start.take() {
                    ticket.tell(verdict(&error, chain(&error)));
                }
            }
        }
    }

    /// The file is over: what the sink was given and has not delivered is lost to the disk, as is what comes until another
    /// file can be opened.
    pub(super) fn fail(&mut self, error: &SinkError) {
        self.settle();
        let (delivered, try_at) = (self.delivered, Instant::now() + self.retry_every);
        let Some(recording) = &mut self.recording else { return };
        let lost = match recording.fate {
            Fate::InFile { given, delivered_before } => given.saturating_sub(delivered - delivered_before),
            Fate::Lost { .. } => 0,
        };
        recording.fate = Fate::Lost { try_at };
        recording.leave_out(lost);
        self.ledger.lose(Cause::Disk, lost);
        let reason = chain(error);
        recording.trouble = Some(reason.clone());
        for ticket in recording.rotate.drain(..).chain(recording.start.take()) {
            ticket.tell(verdict(error, reason.clone()));
        }
        self.metrics.recorder_active.set(0);
        if let SinkError::DiskLow { .. } = error {
            self.end_for_space(error);
        } else {
            let every_s = self.retry_every.as_secs();
            tracing::error!(
                "the file ends: {reason}; {lost} frames did not reach the disk; another one is tried every {every_s} s"
            );
        }
        self.tell(|status| (status.active, status.ended) = (false, Some(reason)));
    }

    /// Ends the recording because of `error`, and looks for space from then on.
    pub(super) fn end_for_space(&mut self, error: &SinkError) {
        let Some(recording) = self.recording.as_mut().filter(|recording| !recording.is_ending) else { return };
        recording.is_ending = true;
        let reason = chain(error);
        tracing::error!("the recording ends: {reason}");
        recording.trouble = Some(reason.clone());
        if let SinkError::DiskLow { path, limit_bytes, .. } = error {
            self.resume = Some(Resume {
                about: recording.about.clone(),
                dir: path.clone(),
                needed_bytes: limit_bytes.saturating_add(limit_bytes / 10),
                look_at: Instant::now() + self.retry_every,
            });
        }
        self.shut_gate(now_ns());
        self.tell(|status| status.ended = Some(reason));
    }

    pub(super) fn resume_when_due(&mut self) {
        let Some(resume) = &mut self.resume else { return };
        if self.recording.is_some() || self.opening.is_some() || Instant::now() < resume.look_at {
            return;
        }
        resume.look_at = Instant::now() + self.retry_every;
        if free_bytes(&resume.dir) > Some(resume.needed_bytes) {
            self.gate.pack(true);
            self.opening = Some(Opening { about: resume.about.clone(), ticket: None, owed: false });
        }
    }
}

fn verdict(error: &SinkError, why: String) -> Verdict {
    if matches!(error, SinkError::DiskLow { .. }) { Verdict::DiskLow { why } } else { Verdict::Failed { why } }
}

/// What an unprivileged writer may still take where `dir` is; `None` where that cannot be seen.
fn free_bytes(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|space| space.f_bavail.saturating_mul(space.f_frsize))
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
