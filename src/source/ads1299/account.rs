//! How far a chip is in doubt: filled by its suspect frames, emptied by good ones.

use super::notes::{Doubt, Note};

/// What a suspect frame adds to its chip's account; a good one takes 1 off. So a chip that gives a good frame now and then
/// fills it all the same.
const SUSPECT: u32 = 4;

/// At this account, 25 suspect frames in a row or one in four for longer, the chips are set up again.
pub(super) const SUSPECT_MAX: u32 = 100;

/// How far a chip is in doubt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChipAccount {
    /// Filled by suspect frames, emptied by good ones.
    pub(super) suspect: u32,
    /// The first suspect frame since it was empty.
    pub(super) first: u64,
    /// The last of them, and what was found first.
    pub(super) last: u64,
    pub(super) doubt: Option<Doubt>,
    /// Frames that looked well came since then; and such that stand between two suspect ones. Those may be chance, as long as
    /// nobody has said so.
    pub(super) mixed: bool,
    pub(super) between: bool,
    /// It was full: a frame that looks well may be chance until the account is empty again.
    pub(super) full: bool,
}

impl ChipAccount {
    /// Takes note of a frame that looks well.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn looked_well(&mut self) {
        if self.suspect > 0 {
            self.suspect -= 1;
            self.mixed = true;
            self.full &= self.suspect > 0;
        }
    }

    /// Takes note of suspect frame `index`; whether it is so by the thread's lateness alone.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn doubted(&mut self, index: u64, doubt: Option<Doubt>, torn: bool) {
        if self.suspect == 0 {
            *self = ChipAccount { first: index, ..ChipAccount::default() };
        }
        // Where it is full those are flagged.
        self.between |= self.mixed && !torn && !self.full;
        (self.last, self.doubt) = (index, self.doubt.or(doubt));
        self.suspect = (self.suspect + SUSPECT).min(SUSPECT_MAX);
    }

    /// What is to be told of frames that looked well between suspect ones, once.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take_between(&mut self) -> Option<Note> {
        let doubt = self.doubt.filter(|_| std::mem::take(&mut self.between))?;
        Some(Note::Doubted { first: self.first, next: self.last, doubt })
    }
}
