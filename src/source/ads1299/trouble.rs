//! Chips and wires that fail in mid-run: what is noticed, and how the chips are set up again while the daemon goes on.

use std::sync::atomic::Ordering;

use super::board::ReadMode;
use super::chain::Ads1299;
use super::control::{Control, command};
use super::fault::ProofError;
use super::notes::{Doubt, Note};
use super::proof::set_up_again;
use super::registers::CLOCK_HZ;
use super::wire::{Edge, WireError};
use crate::source::SpiErrorKind;

/// So many conversions in a row whose transfer failed, and the device is opened again.
const FAILURES_MAX: u32 = 10;

/// The pause after the first attempt to set up that failed, and the longest, seconds. It doubles.
const PAUSE_S: (u64, u64) = (1, 60);

/// So many frames in a row with conversions missing before them that only time tells of, and the chips are set up again.
const THIN_MAX: u32 = 25;

/// START must be placed within this part of a conversion, so that the first edge cannot be mistaken.
const START_DOUBT: f64 = 0.25;
const START_TRIES: usize = 10;

/// How far a chip is in doubt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChipAccount {
    /// Filled by suspect frames, emptied by good ones.
    pub(super) suspect: u32,
    /// The first suspect frame since it was empty.
    pub(super) first: u64,
    /// Frames that looked well came since then.
    pub(super) mixed: bool,
}

/// What is done about chips that fail.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trouble {
    /// To be set up again; and whether the device is to be opened again before.
    pub(super) wanted: bool,
    pub(super) reopen: bool,
    /// It was, and edges are counted from 0.
    pub(super) reopened: bool,
    /// Set up, and no frame has been placed since.
    pub(super) fresh: bool,
    /// The index after the last conversion that was made before that.
    pub(super) made_until: u64,
    /// The first conversion after it.
    pub(super) resumed: u64,
    /// They could not be set up, and do not convert: whatever edge comes means nothing.
    pub(super) idle: bool,
    /// Not well since chips failed, until a frame is good: what is lost meanwhile is lost to setting up.
    pub(super) unwell: bool,
    /// The last attempt failed, or its chips fail again.
    pub(super) pause_s: u64,
    pub(super) again_ns: u64,
    /// When conversions were missed last: an episode ends with a second without.
    pub(super) missed_ns: Option<u64>,
    /// Frames in a row before which conversions passed without an interrupt, and the first of them.
    pub(super) thin: u32,
    pub(super) thin_since: u64,
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
        if self.board.read_mode == ReadMode::Rdatac {
            control.command_all(command::RDATAC)?;
        }
        let (mut tries, mut last) = (1, None);
        loop {
            while let Some(edge) = control.wire.wait_edge(0)? {
                last = Some(edge);
            }
            // What an earlier try converted is not of the run.
            if of_run {
                control.wire.run_begins();
            }
            let before_ns = control.wire.now_ns();
            control.start()?;
            let took_ns = control.wire.now_ns() - before_ns;
            if took_ns as f64 <= (START_DOUBT * period_ns.max(200_000.0)).min(0.6 * period_ns) || tries == START_TRIES {
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
            (self.trouble.wanted, self.trouble.reopen) = (true, true);
        }
    }

    /// Takes note whether conversions passed without an interrupt before `frame`. An edge is lost now and then; where it is one
    /// before every frame, chips convert at another rate.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn rate_of_edges(&mut self, frame: u64, unseen: bool) {
        let trouble = &mut self.trouble;
        if !unseen || trouble.wanted {
            trouble.thin = 0;
            return;
        }
        trouble.thin_since = if trouble.thin == 0 { frame } else { trouble.thin_since };
        trouble.thin += 1;
        if trouble.thin >= THIN_MAX {
            (trouble.wanted, trouble.unwell, trouble.thin) = (true, true, 0);
            let first = trouble.thin_since;
            self.notes.note(Note::Doubted { first, next: frame, doubt: Doubt::Rate });
        }
    }

    /// Whether the chips are to be set up again now.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn is_due(&self) -> bool {
        self.trouble.wanted && self.wire.now_ns() >= self.trouble.again_ns
    }

    /// Sets the chips up again. True: frames can be expected.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the chips.
    pub(super) fn recover(&mut self) -> bool {
        self.signs.failing.store(true, Ordering::Relaxed);
        self.signs.n_reinits.fetch_add(1, Ordering::Relaxed);
        self.notes.note(Note::SettingUp { frame: self.next_frame });
        // Where chips are good, setting up costs their data: it is tried less and less often.
        let some_are_good = self.accounts.iter().any(|account| account.suspect == 0)
            && self.accounts.iter().any(|account| account.suspect > 0);
        if !self.trouble.fresh {
            // Conversions that were made while the thread was held up were missed; those after them never were.
            let edges = self.reader.take_edges(&mut *self.wire);
            self.trouble.reopen |= edges.is_err();
            self.trouble.made_until = self.reader.made_until(self.wire.now_ns());
        }
        let result = self.set_up();
        let trouble = &mut self.trouble;
        trouble.pause_s = if some_are_good { (trouble.pause_s * 2).clamp(PAUSE_S.0, PAUSE_S.1) } else { PAUSE_S.0 };
        trouble.again_ns = self.wire.now_ns() + trouble.pause_s * 1_000_000_000;
        (trouble.wanted, trouble.reopen) = (false, false);
        (trouble.fresh, trouble.unwell) = (true, true);
        self.accounts.fill(ChipAccount::default());
        self.failed_in_a_row = 0;
        self.last_edge_ns = self.wire.now_ns();
        match result {
            Ok(()) => {
                self.trouble.idle = false;
                // Not well until a frame has been seen to be good.
                self.n_suspect = self.n_suspect.max(1);
                true
            }
            Err(error) => {
                self.notes.note(Note::SetUpFailed { error, again_s: self.trouble.pause_s });
                self.trouble.wanted = true;
                // Behind selects of their own the other chips may convert all the same: their data are worth having.
                let starts = self.board.layout.selects.len() > 1 && self.start_again().is_ok();
                self.trouble.idle = !starts;
                starts
            }
        }
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn set_up(&mut self) -> Result<(), ProofError> {
        let of_wire = |error| ProofError::Wire { chip: 0, error };
        if self.trouble.reopen {
            self.wire.reopen().map_err(of_wire)?;
            self.trouble.reopened = true;
        }
        let readable = self.read_back.readable();
        set_up_again(&mut *self.wire, &self.board, &self.wanted, readable)?;
        self.start_again().map_err(of_wire)
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn start_again(&mut self) -> Result<(), WireError> {
        let (first_ns, last) = self.begin(false)?;
        let index = self.reader.resume(first_ns, last, std::mem::take(&mut self.trouble.reopened));
        self.trouble.resumed = index;
        self.read_back.proven(index);
        Ok(())
    }
}
