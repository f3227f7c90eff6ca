//! Is every code the one that the counter signal gives, `((frame * 64 + channel) mod 2^24) - 2^23`? Status words count
//! nothing and are left out.
//!
//! Frames inside a gap repeat the last code instead. A gap is annotated in the record in which it begins, or later
//! where that was full; so frames that repeat without a known gap are remembered, and must be explained by the end of
//! the file. Frames after the last one (padding) repeat as well.

use super::Report;
use super::account::Account;
use crate::edf::{Header, decode};

/// Unexplained runs and late gaps that are remembered, each.
const RUNS_MAX: usize = 65_536;

/// A sample that is not what it should be.
#[derive(Debug, Clone, Copy)]
struct Mismatch {
    frame: u64,
    channel: usize,
    expected: i32,
    found: i32,
}

/// Frames that repeat the one before: from, up to, and why the first of them is wrong unless a gap explains it.
#[derive(Debug)]
struct Run {
    start: u64,
    end: u64,
    mismatch: Mismatch,
}

/// The check, record by record.
#[derive(Debug)]
pub(super) struct CounterCheck {
    /// `None` until the first code told it.
    first_frame: Option<u64>,
    /// Frames before the padding, where a finished sidecar says so.
    n_frames: u64,
    /// Frames of which the sidecar speaks; while recording, later ones may repeat for a gap that is not annotated yet.
    n_spoken: u64,
    /// Frames among those that are known to repeat without an annotation.
    not_annotated: u64,
    /// The next frame of the file.
    next: u64,
    codes: Vec<i32>,
    last: Vec<i32>,
    /// Gaps that were known before their frames came, and what is left of late ones, in their order.
    gaps: std::collections::VecDeque<(u64, u64)>,
    /// Gaps that were annotated after (some of) their frames: start, and the end of that part.
    late: Vec<(u64, u64)>,
    runs: Vec<Run>,
    /// Whether the last run still goes on.
    in_run: bool,
    is_well: bool,
}

impl CounterCheck {
    /// For a file of `header`; without a sidecar the first code says which frame is the first.
    pub(super) fn new(header: &Header, account: Option<&Account>) -> CounterCheck {
        let channels = header.signals.iter().filter(|signal| signal.is_channel());
        // What the recorder writes for a gap before any frame.
        let last = channels.map(|channel| 0.clamp(channel.digital_min, channel.digital_max.max(channel.digital_min)));
        let finished = account.filter(|account| !account.is_running());
        CounterCheck {
            first_frame: account.map(|account| account.first_frame),
            n_frames: finished.map_or(u64::MAX, |account| account.frames_written),
            n_spoken: account.map_or(u64::MAX, |account| account.frames_written),
            not_annotated: account.map_or(0, |account| account.not_annotated),
            next: 0,
            codes: Vec::new(),
            last: last.collect(),
            gaps: std::collections::VecDeque::new(),
            late: Vec::new(),
            runs: Vec::new(),
            in_run: false,
            is_well: true,
        }
    }

    /// Whether nothing was wrong so far.
    pub(super) fn is_well(&self) -> bool {
        self.is_well
    }

    /// An annotation, told before the codes of the record in which it stands.
    pub(super) fn gap(&mut self, start: u64, n_frames: u64) {
        let end = start.saturating_add(n_frames);
        if start < self.next && self.late.len() < RUNS_MAX {
            self.late.push((start, end.min(self.next)));
        }
        if end > self.next && self.gaps.len() < RUNS_MAX {
            self.gaps.push_back((start.max(self.next), end));
        }
    }

    /// Compares the codes of one record.
    pub(super) fn record(&mut self, header: &Header, record: &[u8], n_data: usize, report: &mut Report) {
        let n_channels = self.last.len();
        if !self.is_well || n_data == 0 {
            return;
        }
        let mut codes = std::mem::take(&mut self.codes);
        let mut n_frames = 0;
        codes.clear();
        for (signal, range) in header.signal_ranges().filter(|(signal, _)| signal.is_channel()) {
            n_frames = signal.samples_per_record;
            let start = codes.len();
            codes.resize(start + n_frames, 0);
            decode(3, &record[range], &mut codes[start..]);
        }
        let first_code = i64::from(codes.first().copied().unwrap_or(0)) + (1 << 23);
        let first_frame = *self.first_frame.get_or_insert(first_code.unsigned_abs() / 64);
        for frame in 0..n_frames.min(n_data) {
            let codes = (0..n_channels).map(|channel| codes[channel * n_frames + frame]);
            if let Err(mismatch) = self.frame(first_frame, codes) {
                self.is_well = false;
                self.say(&mismatch, report);
                break;
            }
        }
        self.codes = codes;
    }

    /// Compares one frame of codes, in the order of the channels.
    fn frame(&mut self, first_frame: u64, codes: impl Iterator<Item = i32> + Clone) -> Result<(), Mismatch> {
        let frame = self.next;
        self.next += 1;
        while self.gaps.front().is_some_and(|gap| gap.1 <= frame) {
            self.gaps.pop_front();
        }
        let repeats = first_difference(frame, self.last.iter().copied(), codes.clone());
        let is_gap = self.gaps.front().is_some_and(|gap| gap.0 <= frame);
        if is_gap || frame >= self.n_frames {
            self.in_run = false;
            return repeats.map_or(Ok(()), Err);
        }
        if self.in_run && repeats.is_none() {
            if let Some(run) = self.runs.last_mut() {
                run.end = frame + 1;
            }
            return Ok(());
        }
        self.in_run = false;
        let due = (0..self.last.len() as u64).map(|channel| counter(first_frame.wrapping_add(frame), channel));
        match first_difference(frame, due, codes.clone()) {
            None => {
                self.last.iter_mut().zip(codes).for_each(|(last, code)| *last = code);
                Ok(())
            }
            Some(mismatch) if repeats.is_none() && self.runs.len() < RUNS_MAX => {
                self.runs.push(Run { start: frame, end: frame + 1, mismatch });
                self.in_run = true;
                Ok(())
            }
            Some(mismatch) => Err(mismatch),
        }
    }

    /// The end of the file: every run must have been explained by a late gap, and every late gap by a run.
    pub(super) fn finish(&mut self, report: &mut Report) {
        if !self.is_well {
            return;
        }
        // Without a finished sidecar the frames that repeat at the very end may be padding.
        if self.in_run && self.n_frames == u64::MAX && self.runs.last().is_some_and(|run| run.end == self.next) {
            self.runs.pop();
        }
        self.late.sort_unstable();
        let explains = |run: &Run| {
            let after = self.late.partition_point(|gap| gap.0 <= run.start);
            after > 0 && run.end <= self.late[after - 1].1
        };
        let (explained, unexplained): (Vec<_>, Vec<_>) = self.runs.iter().partition(|run| explains(run));
        let spoken = |run: &&Run| run.end.min(self.n_spoken).saturating_sub(run.start);
        if unexplained.iter().map(spoken).sum::<u64>() > self.not_annotated {
            let mismatch = unexplained[0].mismatch;
            self.is_well = false;
            self.say(&mismatch, report);
            return;
        }
        let repeated: u64 = explained.iter().map(|run| run.end - run.start).sum();
        let annotated: u64 = self.late.iter().map(|gap| gap.1 - gap.0).sum();
        if repeated != annotated {
            self.is_well = false;
            report.damage(format!(
                "{annotated} frames are annotated as gaps after the fact, {repeated} frames repeat the one before"
            ));
        }
    }

    fn say(&self, mismatch: &Mismatch, report: &mut Report) {
        let Mismatch { frame, channel, expected, found } = mismatch;
        let index = self.first_frame.unwrap_or(0).wrapping_add(*frame);
        report.damage(format!(
            "frame {frame} of the file ({index} of the source), channel {channel}: expected {expected}, found {found}"
        ));
    }
}

/// The counter signal. It stays exactly this (design, section 4).
fn counter(frame: u64, channel: u64) -> i32 {
    let code = frame.wrapping_mul(64).wrapping_add(channel) % (1 << 24);
    i32::try_from(code).unwrap_or(0) - (1 << 23)
}

fn first_difference(
    frame: u64,
    expected: impl Iterator<Item = i32>,
    found: impl Iterator<Item = i32>,
) -> Option<Mismatch> {
    let mut pairs = expected.zip(found).enumerate();
    let (channel, (expected, found)) = pairs.find(|(_, (expected, found))| expected != found)?;
    Some(Mismatch { frame, channel, expected, found })
}
