//! What a file is made from: its plan, its first frame, its place in the recording.

use super::file::Space;
use super::names::{self, Names};
use super::plan::RecordPlan;
use super::sidecar::Neighbour;
use super::{About, RecorderPlan, bids};
use crate::block::Head;
use crate::sink::SinkError;

/// What is known of a file before it is made.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) plan: &'a RecorderPlan,
    pub(super) shape: &'a RecordPlan,
    pub(super) about: &'a About,
    /// Its first frame, and the edge of a later one.
    pub(super) first: Head,
    /// Counts the files of a recording, from 1.
    pub(super) part: u64,
    /// The one before it.
    pub(super) previous: Option<Neighbour>,
    pub(super) space: Space,
}

impl Opening<'_> {
    /// The UTC of the first frame. The head speaks of the block's last edge; the file begins with its first.
    pub(super) fn utc_ns(&self) -> u64 {
        let n_frames = (self.first.n_frames as u64).saturating_sub(1);
        self.first.edge_utc_ns.saturating_sub(self.plan.stream.duration_ns(n_frames).unsigned_abs())
    }

    /// Reserves the names.
    pub(super) fn create(&self) -> Result<(Names, [std::fs::File; 2]), SinkError> {
        let base = self.plan.file_name.render(self.about, self.utc_ns(), self.part);
        let (dir, base) = bids::place(&self.space.dir, &base, &self.plan.software_version)?;
        names::create(&dir, &base, self.plan.format)
    }
}
