//! One recording as the disk's side sees it: what is owed, what is in files, and who waits to hear of it.

use std::path::PathBuf;
use std::time::Instant;

use crate::block::{Cause, End, Follower, Head, Tally};
use crate::pipeline::control::{Final, Ticket};
use crate::sink::About;

/// Where a recording's frames go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// Into the sink's file, which was opened when the sinks had delivered `delivered_before` frames in all; `given` were
    /// given to it since.
    InFile { given: u64, delivered_before: u64 },
    /// Nowhere: they are lost to `disk` until a file can be opened, which is tried at this time.
    Lost { try_at: Instant },
}

/// A recording from its first frame to its last, whatever becomes of its files.
pub(super) struct Recording {
    pub(super) about: About,
    pub(super) first_frame: u64,
    pub(super) fate: Fate,
    /// It was asked to end; its end is on the way through the ring.
    pub(super) is_ending: bool,
    /// The file in work, or the last one.
    pub(super) file: Option<PathBuf>,
    /// Why it has no file, or had none for a while.
    pub(super) trouble: Option<String>,
    /// Whoever waits for its end.
    pub(super) stop: Option<Ticket>,
    /// Whoever waits for its next file.
    pub(super) rotate: Vec<Ticket>,
    /// Whoever asked for a recording while this one had no file.
    pub(super) start: Option<Ticket>,
    follower: Follower,
    /// What the sinks had delivered in all when it began.
    delivered_before: u64,
    /// Frames that stand in no file, not even as a gap.
    in_no_file: u64,
}

impl Recording {
    pub(super) fn new(first: &Head, about: About, fate: Fate, delivered_before: u64) -> Recording {
        Recording {
            about,
            first_frame: first.first_frame,
            fate,
            is_ending: false,
            file: None,
            trouble: None,
            stop: None,
            rotate: Vec::new(),
            start: None,
            follower: Follower::new(first.first_frame, first.lost),
            delivered_before,
            in_no_file: 0,
        }
    }

    pub(super) fn arrived(&mut self, head: &Head) -> Tally {
        self.follower.arrived(head, Cause::RingFull)
    }

    pub(super) fn ended(&mut self, end: &End) -> Tally {
        self.follower.ended(end, Cause::RingFull)
    }

    /// Frames that will stand in no file.
    pub(super) fn leave_out(&mut self, n_frames: u64) {
        self.in_no_file += n_frames;
    }

    pub(super) fn is_in_file(&self) -> bool {
        matches!(self.fate, Fate::InFile { .. })
    }

    /// Frames from the first one on, delivered or lost.
    pub(super) fn n_frames(&self) -> u64 {
        self.follower.frames_followed()
    }

    /// Of those, what was lost before the disk's side.
    pub(super) fn lost_upstream(&self) -> Tally {
        self.follower.lost()
    }

    /// The last word; `delivered` is what the sinks have delivered in all.
    pub(super) fn last_word(&self, delivered: u64, rate_hz: f64) -> Final {
        let expected = self.n_frames();
        Final {
            file: self.file.clone(),
            first_frame: self.first_frame,
            account: Final::account(expected, delivered - self.delivered_before, self.lost_upstream()),
            frames_written: expected.saturating_sub(self.in_no_file),
            seconds: expected as f64 / rate_hz,
            trouble: self.trouble.clone(),
        }
    }
}
