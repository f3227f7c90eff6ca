//! A frame's way into a block: decoded, checked, flagged; and what its status words tell of electrodes and triggers.

use std::sync::atomic::Ordering;

use super::account::SUSPECT_MAX;
use super::board::{LeadOffMode, ReadMode};
use super::chain::{Ads1299, begins_episode};
use super::check::{Finding, is_saturated};
use super::notes::{Doubt, Note};
use super::reader::Frame;
use super::settings::CHIPS_MAX;
use super::shown::fault_of;
use crate::block::{ChipStatus, Flags, RawBlock};

/// What is found farther on is another chip's word, or chance.
const SLIP_MAX: i32 = 16;

/// By how many bits a chip's word stands elsewhere, where that is a slip.
fn slip_of(finding: Option<Finding>) -> Option<i32> {
    match finding?.doubt? {
        Doubt::Sync { shift_bits, .. } => shift_bits.filter(|bits| bits.abs() <= SLIP_MAX),
        _ => None,
    }
}

impl Ads1299 {
    /// Decodes and checks a frame into row `n` of `block`; answers its flags.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn place(&mut self, frame: &Frame, block: &mut RawBlock, n: usize) -> Flags {
        let (n_channels, n_chips) = (self.board.channels.len(), self.board.layout.n_chips());
        let mut flags = Flags::default();
        let mut n_suspects = 0;
        let mut noted = self.n_suspect > 0;
        let mut strays = false;
        let mut findings = [None; CHIPS_MAX];
        for (chip, finding) in findings[..n_chips].iter_mut().enumerate() {
            let codes = &mut block.slab_mut()[n * n_channels..(n + 1) * n_channels];
            *finding = Some(self.checker.check(chip, frame.index, self.reader.bytes(frame), codes));
        }
        self.doubt_shifts(&mut findings[..n_chips]);
        for chip in 0..n_chips {
            let Some(finding) = findings[chip] else { continue };
            let slip = self.slip_behind(&findings[..n_chips], chip);
            // A chip that lost its registers streams, and is right now and then: it takes its next frame in while the bits of
            // those behind it pass.
            strays &= self.board.layout.place(chip).1 > 0;
            let torn = frame.torn || strays;
            let account = &self.accounts[chip];
            let in_trouble = self.trouble.distrusted[chip] || account.full;
            strays |= in_trouble && (account.mixed || frame.late);
            let mut status = finding.status;
            let mut doubt = match (finding.doubt, slip) {
                (None, slip) => slip,
                // Its own word left the frame at the front, what looks like it is the next one's: those behind it show by how much.
                (Some(Doubt::Sync { chip, word, flat: false, .. }), Some(Doubt::Sync { shift_bits, .. }))
                    if slip_of(Some(finding)).is_none() =>
                {
                    Some(Doubt::Sync { chip, word, shift_bits, flat: false })
                }
                (doubt, _) => doubt,
            };
            if torn {
                doubt = doubt.or(Some(Doubt::Torn));
            }
            if torn || slip.is_some() {
                status = status.with(ChipStatus::SUSPECT);
            }
            if self.trouble.distrusted[chip] {
                status = status.with(ChipStatus::SUSPECT);
            }
            if status.has(ChipStatus::SUSPECT) {
                self.doubted(chip, frame, doubt);
            } else {
                self.accounts[chip].looked_well();
                if self.accounts[chip].suspect == 0 {
                    self.accounts[chip].take_between().into_iter().for_each(|note| self.notes.note(note));
                    self.signs.chip_faults[chip].store(0, Ordering::Relaxed);
                }
            }
            if self.accounts[chip].full {
                status = status.with(ChipStatus::SUSPECT);
            }
            block.status_mut()[n * n_chips + chip] = status.0;
            if matches!(finding.doubt, Some(Doubt::Sync { .. })) {
                self.signs.sync_errors[chip].fetch_add(1, Ordering::Relaxed);
            }
            if status.has(ChipStatus::SUSPECT) {
                self.signs.suspect_frames[chip].fetch_add(1, Ordering::Relaxed);
                n_suspects += 1;
            }
            if let Some(doubt) = doubt.filter(|_| !noted || finding.first < frame.index) {
                noted = true;
                self.notes.note(Note::Doubted { first: finding.first, next: frame.index, doubt });
            }
            for (i, channel) in self.board.channels_of(chip).enumerate() {
                if finding.newly_stuck >> i & 1 == 1 {
                    let (first, doubt) = (self.checker.moved_at(channel), Doubt::SameCode { channel });
                    self.notes.note(Note::Doubted { first, next: frame.index, doubt });
                }
            }
            if status.has(ChipStatus::STUCK) {
                flags = flags.with(Flags::SUSPECT);
                let channels = &self.signs.stuck_frames[self.board.channels_of(chip)];
                for (_, n_frames) in channels.iter().enumerate().filter(|(i, _)| finding.stuck >> i & 1 == 1) {
                    n_frames.fetch_add(1, Ordering::Relaxed);
                }
            }
            if status.has(ChipStatus::SATURATED) {
                flags = flags.with(Flags::SATURATED);
                let channels = self.board.channels_of(chip);
                let row = &block.slab_mut()[n * n_channels..(n + 1) * n_channels];
                let saturated = channels.clone().find(|channel| is_saturated(row[*channel]));
                // What is no code of the chip's says nothing of electrodes.
                if let Some(channel) = saturated.filter(|_| !status.has(ChipStatus::SUSPECT))
                    && begins_episode(&mut self.trouble.saturated_ns[chip], self.wire.now_ns())
                {
                    self.notes.note(Note::Saturated { frame: frame.index, channel });
                }
            }
            if status.positive_off() | status.negative_off() != 0 && !status.has(ChipStatus::SUSPECT) {
                flags = flags.with(Flags::LEAD_OFF);
            }
            self.electrodes(chip, status);
        }
        if self.trouble.unseen && n_suspects < n_chips {
            (self.trouble.unseen, self.trouble.unwell) = (false, false);
        }
        if n_suspects > 0 {
            flags = flags.with(Flags::SUSPECT);
            self.n_suspect += 1;
        } else if self.n_suspect > 0 && self.accounts.iter().all(|account| account.suspect == 0) {
            self.notes.note(Note::Trusted { frame: frame.index, n_frames: self.n_suspect });
            self.n_suspect = 0;
            (self.trouble.well_ns, self.trouble.unwell) = (self.wire.now_ns(), false);
            // Back by itself before it was set up. Whether its registers are what they were is seen within a second where they
            // can be read.
            self.trouble.wanted &= self.trouble.reopen || self.board.read_mode == ReadMode::Rdatac;
            self.signs.failing.store(false, Ordering::Relaxed);
        }
        self.triggers(frame.index, ChipStatus(block.status_mut()[n * n_chips]));
        if let Some(impedance) = &mut self.impedance {
            let mut status = [0; CHIPS_MAX];
            status[..n_chips].copy_from_slice(&block.status_mut()[n * n_chips..(n + 1) * n_chips]);
            let codes = &block.slab_mut()[n * n_channels..(n + 1) * n_channels];
            impedance.take(codes, &status[..n_chips], &self.signs);
        }
        flags
    }

    /// A chip's word that stands elsewhere moved all those behind it in the row. Where the next one is right, what looks like it
    /// stands there by chance.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn doubt_shifts(&self, findings: &mut [Option<Finding>]) {
        for behind in (1..findings.len()).filter(|behind| self.board.layout.place(*behind).1 > 0) {
            let is_right = !findings[behind].is_some_and(|finding| matches!(finding.doubt, Some(Doubt::Sync { .. })));
            if let (true, Some(finding)) = (is_right, &mut findings[behind - 1])
                && let Some(Doubt::Sync { shift_bits, .. }) = &mut finding.doubt
            {
                *shift_bits = None;
            }
        }
    }

    /// What is wrong with the chip behind `chip` in its row, where a few bits too many or too few came before that one's. They may
    /// have come within the bits of this one, whose nibble is right all the same. Whatever moved one moved all those behind it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn slip_behind(&self, findings: &[Option<Finding>], chip: usize) -> Option<Doubt> {
        let layout = &self.board.layout;
        let n_row = (chip + 1..findings.len()).take_while(|behind| layout.place(*behind).1 > 0).count();
        let mut row = findings[chip + 1..=chip + n_row].iter();
        let first = row.next().copied().flatten();
        slip_of(first)?;
        // A chip that is bad anyway may look like anything.
        if self.trouble.distrusted[chip + 1] || self.accounts[chip + 1].full {
            return None;
        }
        let is_moved =
            |finding: &Option<Finding>| matches!(finding.and_then(|finding| finding.doubt), Some(Doubt::Sync { .. }));
        row.all(is_moved).then_some(first?.doubt?)
    }

    /// The frame that read-back counts by: a second less while frames were suspect lately. What comes over wires that are disturbed
    /// says little of registers; but a chip that is bad now and then keeps nobody from looking.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "frames of a second")]
    pub(super) fn undisturbed(&self, frame: u64) -> u64 {
        let is_disturbed = self.accounts.iter().any(|account| (1..SUSPECT_MAX).contains(&account.suspect));
        if is_disturbed { frame.saturating_sub(self.board.rate_hz as u64) } else { frame }
    }

    /// Adds a suspect frame to a chip's account. Where it is full the chips are set up again, and the frames of the episode
    /// that looked well are called unproven.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn doubted(&mut self, chip: usize, frame: &Frame, doubt: Option<Doubt>) {
        let account = &mut self.accounts[chip];
        account.doubted(frame.index, doubt, frame.torn);
        // A torn frame is the thread's lateness, not the chip's fault.
        if account.suspect < SUSPECT_MAX || frame.torn {
            return;
        }
        // What looks well from here on is flagged.
        account.take_between().into_iter().for_each(|note| self.notes.note(note));
        account.full = true;
        if let Some(fault) = doubt.and_then(fault_of) {
            self.signs.chip_fails_anew(chip, fault);
        }
        if !self.trouble.distrusted[chip] {
            // Whatever other chip is asked from time to time: this one was not set up yet.
            self.trouble.ask_ns = 0;
        }
        if self.trouble.wanted {
            return;
        }
        self.trouble.wanted = true;
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn electrodes(&self, chip: usize, status: ChipStatus) {
        if self.board.lead_off.mode != LeadOffMode::Dc || status.has(ChipStatus::SUSPECT) {
            return;
        }
        let sides = [status.positive_off(), status.negative_off()];
        for (i, channel) in self.board.channels_of(chip).enumerate() {
            let signs = &self.signs.electrodes[channel];
            let mut any = false;
            for (side, off) in signs.sides.iter().zip(sides) {
                let is_off = off >> i & 1 == 1;
                any |= is_off;
                side.off.store(is_off, Ordering::Relaxed);
            }
            signs.off.store(any, Ordering::Relaxed);
        }
    }

    /// Trigger inputs of the first chip that rose.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn triggers(&mut self, frame: u64, status: ChipStatus) {
        if self.board.trigger_pins == 0 || status.has(ChipStatus::SUSPECT) {
            return;
        }
        let gpio = status.gpio() & self.board.trigger_pins;
        let rose = gpio & !self.gpio_before;
        for pin in (1..=4_u8).filter(|pin| rose >> (pin - 1) & 1 == 1) {
            self.notes.note(Note::Trigger { frame, pin });
        }
        self.gpio_before = gpio;
    }
}
