//! Chips and wires that fail in mid-run: what is noticed, and how the chips are set up again while the daemon goes on.

use std::sync::atomic::Ordering;

use super::account::{ChipAccount, SUSPECT_MAX};
use super::board::ReadMode;
use super::chain::Ads1299;
use super::control::{Control, Started, command};
use super::fault::ProofError;
use super::notes::{Doubt, Miss, Note};
use super::proof::set_up_again;
use super::reader::Frame;
use super::registers::{CLOCK_HZ, Model, address};
use super::settings::CHIPS_MAX;
use super::wire::{Edge, WireError};
use crate::source::SpiErrorKind;

/// So many conversions in a row whose transfer failed, and the device is opened again.
const FAILURES_MAX: u32 = 10;

/// The pause after the first attempt to set up, and the longest, seconds. It doubles where other chips are good, because each
/// attempt costs their data.
const PAUSE_S: (u64, u64) = (1, 60);

/// Chips that were well for so long have left their trouble behind: the next pause is the shortest.
const WELL_NS: u64 = 10_000_000_000;

/// A chip that does not answer is asked again after this pause; after the longer one where the answer takes more than a
/// conversion, which is then missed.
const ASK_NS: (u64, u64) = (1_000_000_000, 10_000_000_000);

/// This long without an edge, and the chips are set up again.
pub(super) const SILENCE_NS: u64 = 500_000_000;

/// A kernel that holds interrupts back does not do so for this long.
const STILL_NS: f64 = 100e6;

/// So many frames in a row with conversions missing before them that only time tells of, and the chips are set up again.
const THIN_MAX: u32 = 25;

/// START must be placed within this part of a conversion, so that the first edge cannot be mistaken.
const START_DOUBT: f64 = 0.25;
const START_TRIES: usize = 10;

/// What is done about chips that fail.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trouble {
    /// To be set up again; and whether the device is to be opened again before.
    pub(super) wanted: bool,
    pub(super) reopen: bool,
    /// Set up, and no frame has been placed since.
    pub(super) fresh: bool,
    /// The index after the last conversion that was made before that.
    pub(super) made_until: u64,
    /// The first conversion after it.
    pub(super) resumed: u64,
    /// They could not be set up, and do not convert: whatever edge comes means nothing.
    pub(super) idle: bool,
    /// Not well since chips failed, until they were set up and one of them is good: of what is lost meanwhile, what was never
    /// made is lost to setting up.
    pub(super) unwell: bool,
    /// They were, and none of them has been seen to be good.
    pub(super) unseen: bool,
    /// Chips whose registers are known not to be right: whatever they give is suspect until they were set up.
    pub(super) distrusted: [bool; CHIPS_MAX],
    /// The pause after the last attempt, and when the next one may be.
    pub(super) pause_s: u64,
    pub(super) again_ns: u64,
    /// It failed.
    pub(super) failed: bool,
    /// When a chip that does not answer is asked next.
    pub(super) ask_ns: u64,
    /// Since when all is well.
    pub(super) well_ns: u64,
    /// When conversions were missed last, of each kind, and channels of each chip saturated: an episode ends with a second without.
    pub(super) missed_ns: [Option<u64>; Miss::N],
    pub(super) saturated_ns: [Option<u64>; CHIPS_MAX],
    /// Frames in a row before which conversions passed without an interrupt, and the first of them.
    pub(super) thin: u32,
    pub(super) thin_since: u64,
    /// They were found to be so, and to set them up did not help for long: it costs data each time, so it waits longer and longer.
    pub(super) slow: bool,
}

impl Ads1299 {
    /// Begins converting; answers when the first conversion will be, and the edge that
    /// was thrown away last. Tried again where the thread was held up in the
    /// middle of it; `of_run` where that conversion will have index 0.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the chips.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some milliseconds")]
    pub(super) fn begin(&mut self, of_run: bool) -> Result<(u64, Option<Edge>), WireError> {
        let period_ns = self.reader.clock().period_ns();
        // Four conversions and nine cycles until the first that is settled (SBAS499C, tSETTLE).
        let settle_ns = (4.0 * period_ns + 9e9 / CLOCK_HZ) as u64;
        let mut control = Control { wire: &mut *self.wire, board: &self.board };
        let (mut tries, mut last) = (1, None);
        loop {
            while let Some(edge) = control.wire.wait_edge(0)? {
                last = Some(edge);
            }
            // What an earlier try converted is not of the run.
            if of_run {
                control.wire.run_begins();
            }
            let Started { before_ns, after_ns, skew_ns } = control.start()?;
            self.signs.start_skew_ns.store(skew_ns, Ordering::Relaxed);
            let took_ns = (after_ns - before_ns) as f64;
            // RDATAC may follow, which must be over before the first DRDY.
            let is_over = ((control.wire.now_ns() - before_ns) as f64) < 3.0 * period_ns;
            let in_time = is_over && took_ns <= (START_DOUBT * period_ns.max(200_000.0)).min(0.6 * period_ns);
            if !in_time && tries == START_TRIES {
                self.notes.note(Note::StartLate { frame: self.next_frame, took_ns: after_ns - before_ns });
            }
            if in_time || tries == START_TRIES {
                return Ok((before_ns + settle_ns, last));
            }
            control.stop()?;
            let pause_us = (period_ns / 1e3) as u64 + 20;
            control.wait_us(pause_us);
            tries += 1;
        }
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn wire_failed(&mut self, frame: u64, error: WireError) {
        self.signs.spi_error(match error {
            WireError::SpiTimeout => SpiErrorKind::Timeout,
            WireError::Short { .. } => SpiErrorKind::Short,
            WireError::Spi(_) | WireError::Gpio(_) => SpiErrorKind::Io,
        });
        if self.failed_in_a_row <= 1 {
            self.notes.note(Note::Wire { frame, error });
        }
        if error == WireError::SpiTimeout || self.failed_in_a_row >= FAILURES_MAX {
            self.trouble.reopen = true;
            self.hurry();
        }
    }

    /// Takes note whether conversions passed without an interrupt before `frame`. An edge is lost now and then; where it is one
    /// before every frame, chips convert at another rate.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn rate_of_edges(&mut self, frame: u64, unseen: bool) {
        let trouble = &mut self.trouble;
        // One bad chip may be waiting for its turn, for long; that all of them are is something else.
        if !unseen || trouble.unwell {
            trouble.thin = 0;
            return;
        }
        trouble.thin_since = if trouble.thin == 0 { frame } else { trouble.thin_since };
        trouble.thin += 1;
        if trouble.thin >= THIN_MAX {
            (trouble.unwell, trouble.thin) = (true, 0);
            let first = trouble.thin_since;
            if trouble.failed {
                // They are the edges of a chip that is known to be bad: the others' frames are what they are.
                self.hurry();
            } else {
                // From this frame on, until they were set up.
                trouble.distrusted[..self.accounts.len()].fill(true);
                if self.was_well() || !self.trouble.slow {
                    self.trouble.pause_s = 0;
                    self.hurry();
                }
                (self.trouble.wanted, self.trouble.slow, self.trouble.well_ns) = (true, true, 0);
            }
            self.notes.note(Note::Doubted { first, next: frame, doubt: Doubt::Rate });
        }
    }

    /// Of the conversions between the last placed frame and `index`, those that the chips did not make.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn never_made(&self, index: u64) -> u64 {
        let silent = self.reader.counts().silent - self.edges_before.silent;
        if self.trouble.fresh {
            let set_up = self.trouble.resumed.saturating_sub(self.trouble.made_until.max(self.next_frame));
            (set_up + silent).min(index - self.next_frame)
        } else if self.trouble.unwell {
            silent.min(index - self.next_frame)
        } else {
            0
        }
    }

    /// Whether the conversions before `frame` were not missed but never made: no interrupt was counted for them, and they are
    /// many, or the chip whose edges are counted was not well in the frame before, or is not in the one after them.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn chips_were_down(&self, frame: &Frame) -> bool {
        let is_bad = self.accounts[0].suspect > 0 || !self.checker.is_first_in_sync(self.reader.bytes(frame));
        let silent = self.reader.counts().silent - self.edges_before.silent;
        let are_many = silent as f64 * self.reader.clock().period_ns() > STILL_NS;
        let is_known = self.trouble.fresh || self.trouble.distrusted[0];
        !is_known && silent > 0 && (are_many || is_bad)
    }

    /// No edges come. When the chips convert again by themselves their conversions stand elsewhere in time, so they are set up
    /// before; at once, unless that is what was just done.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn fell_silent(&mut self) {
        if !self.trouble.wanted {
            self.notes.note(Note::NoEdges { frame: self.next_frame });
        }
        self.signs.silent.store(true, Ordering::Relaxed);
        self.hurry();
        if !self.trouble.fresh {
            (self.trouble.again_ns, self.trouble.ask_ns) = (0, 0);
        }
    }

    /// All chips are concerned: they are set up again after the shortest pause, whatever one bad chip made of it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn hurry(&mut self) {
        let soon_ns = self.wire.now_ns() + PAUSE_S.0 * 1_000_000_000;
        let trouble = &mut self.trouble;
        trouble.wanted = true;
        (trouble.again_ns, trouble.ask_ns) = (trouble.again_ns.min(soon_ns), trouble.ask_ns.min(soon_ns));
    }

    /// All chips stood still: they are set up again at once, because there is nobody whose data it would cost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn set_up_now(&mut self) {
        (self.trouble.wanted, self.trouble.again_ns, self.trouble.ask_ns) = (true, 0, 0);
    }

    /// Whether the chips are to be set up again now, or to be asked.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn is_due(&self) -> bool {
        self.trouble.wanted && self.wire.now_ns() >= self.trouble.again_ns.max(self.trouble.ask_ns)
    }

    /// Sets the chips up again. True: frames can be expected.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the chips.
    pub(super) fn recover(&mut self) -> bool {
        self.signs.failing.store(true, Ordering::Relaxed);
        let before_ns = self.wire.now_ns();
        if self.is_in_vain() {
            let now_ns = self.wire.now_ns();
            // Half a conversion is gone already: its frame was read.
            let is_dear = (now_ns - before_ns) as f64 > self.reader.clock().period_ns() / 2.0;
            self.trouble.ask_ns = now_ns + if is_dear { ASK_NS.1 } else { ASK_NS.0 };
            return true;
        }
        self.notes.note(Note::SettingUp { frame: self.next_frame });
        let some_are_good = self.frames_come() && self.some_are_good();
        if !self.trouble.fresh {
            // Conversions that were made while the thread was held up were missed; those after them never were.
            let edges = self.reader.take_edges(&mut *self.wire);
            self.trouble.reopen |= edges.is_err();
            self.trouble.made_until = self.reader.made_until(self.wire.now_ns());
        }
        let was_well = self.was_well();
        let result = self.set_up();
        let trouble = &mut self.trouble;
        let before_s = if was_well { 0 } else { trouble.pause_s };
        // The other chips' data are worth having; where none converts, a longer pause would spare nobody's.
        let some_convert = trouble.distrusted[..self.accounts.len()].contains(&false);
        let is_dear = (some_are_good || trouble.slow) && some_convert;
        trouble.pause_s = if is_dear { (before_s * 2).clamp(PAUSE_S.0, PAUSE_S.1) } else { PAUSE_S.0 };
        trouble.again_ns = self.wire.now_ns() + trouble.pause_s * 1_000_000_000;
        (trouble.wanted, trouble.reopen, trouble.well_ns) = (result.is_err(), false, 0);
        trouble.slow &= !was_well;
        (trouble.fresh, trouble.unwell, trouble.unseen) = (true, true, true);
        for account in &mut self.accounts {
            account.take_between().into_iter().for_each(|note| self.notes.note(note));
            *account = ChipAccount::default();
        }
        self.failed_in_a_row = 0;
        // Not well until a frame has been seen to be good.
        self.n_suspect = self.n_suspect.max(1);
        self.trouble.failed = result.is_err();
        if let Err(error) = result {
            self.show_what_failed(&error);
            self.notes.note(Note::SetUpFailed { error, again_s: self.trouble.pause_s, others_go_on: some_convert });
        }
        self.last_edge_ns = self.wire.now_ns();
        let started = if some_convert { self.start_again() } else { Ok(()) };
        if let Err(error) = started {
            self.wire_failed(self.next_frame, error);
        }
        let came_back = result.is_ok() && started.is_ok();
        let counter = if came_back { &self.signs.n_reinits } else { &self.signs.n_reinits_failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.trouble.idle = !some_convert || started.is_err();
        self.trouble.wanted |= self.trouble.idle;
        !self.trouble.idle
    }

    /// Whether all chips have been well for long.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn was_well(&self) -> bool {
        self.trouble.well_ns > 0 && self.wire.now_ns() - self.trouble.well_ns > WELL_NS
    }

    /// Whether chips convert at all.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn frames_come(&self) -> bool {
        self.wire.now_ns().saturating_sub(self.last_edge_ns) < SILENCE_NS
    }

    /// Whether there are chips that are good.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn some_are_good(&self) -> bool {
        let mut chips = self.accounts.iter().zip(&self.trouble.distrusted);
        chips.any(|(account, distrusted)| account.suspect == 0 && !*distrusted)
    }

    /// Whether setting up would cost the good chips' data for nothing: no chip that could not be set up last time has
    /// answered since. To ask costs nothing, or a conversion.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfers alone.
    fn is_in_vain(&mut self) -> bool {
        let failed = self.trouble.failed && !self.trouble.reopen;
        if self.board.read_mode != ReadMode::Rdata || !failed || !self.frames_come() || !self.some_are_good() {
            return false;
        }
        let mut n_silent = 0;
        for chip in 0..self.accounts.len() {
            if !self.trouble.distrusted[chip] {
                if self.accounts[chip].suspect == SUSPECT_MAX {
                    // Another one, which was not tried.
                    return false;
                }
                continue;
            }
            if !self.read_back.readable()[chip] || self.answers(chip) {
                return false;
            }
            n_silent += 1;
        }
        n_silent > 0
    }

    fn answers(&mut self, chip: usize) -> bool {
        let layout = &self.board.layout;
        let mut control = Control { wire: &mut *self.wire, board: &self.board };
        let mut id = [0];
        // A chip that comes back streams.
        let answer = control
            .command(layout.place(chip).0, command::SDATAC)
            .and_then(|()| control.read(chip, address::ID, &mut id));
        answer.is_ok() && Model::of_id(id[0]) == Some(layout.models[chip])
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn set_up(&mut self) -> Result<(), ProofError> {
        let n_chips = self.accounts.len();
        let mut proven = [true; CHIPS_MAX];
        proven[..n_chips].fill(false);
        let mut result = Ok(());
        if self.trouble.reopen {
            result = self.wire.reopen().map_err(|error| ProofError::Wire { chip: 0, error });
        }
        if result.is_ok() {
            let readable = self.read_back.readable();
            result = set_up_again(&mut *self.wire, &self.board, &self.wanted, readable, &mut proven[..n_chips]);
        }
        self.trouble.distrusted = proven.map(|proven| !proven);
        if result.is_ok() {
            self.show_registers_read();
        }
        result
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn start_again(&mut self) -> Result<(), WireError> {
        let (first_ns, last) = self.begin(false)?;
        let index = self.reader.resume(first_ns, last);
        self.trouble.resumed = index;
        self.read_back.proven(index);
        Ok(())
    }
}
