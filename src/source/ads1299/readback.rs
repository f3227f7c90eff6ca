//! Registers read back while data flow, one after the other, every one of them within a second: a chip that a glitch on the
//! supply has reset is found even where its data look well.

use super::board::Board;
use super::control::Control;
use super::notes::Doubt;
use super::registers::{N_REGISTERS, Registers, compared_bits};
use super::wire::WireError;

/// Within this time every register that can be read is, seconds.
const ROUND_S: f64 = 1.0;

/// Which register is next, and since when each chip is proven.
pub(super) struct ReadBack {
    readable: Vec<bool>,
    /// Chip and register that can be compared, in the order in which they are read.
    places: Vec<(usize, usize)>,
    next: usize,
    every: u64,
    next_frame: u64,
    /// For each place, the last frame at which it was right.
    proven: Vec<u64>,
    /// So many places were right, one after the other, none of them passed over.
    n_right: usize,
    /// So many frames in a row would have been the next look's, and there was no time for it; so many are told, once.
    n_starved: u64,
    starved_max: u64,
}

/// This long without time for a look, and it is told, seconds.
const STARVED_S: f64 = 10.0;

impl ReadBack {
    /// What a look takes at most: three bytes at 2 MHz, the hold, and the kernel's part.
    pub(super) const TIME_NS: u64 = 12_000 // three bytes
        + 3_000 // hold
        + 35_000; // two waits of the kernel, measured on no Pi yet

    /// For a board of which these chips answer. A chip further down a row would need more time than is left between
    /// conversions: its registers are read at start only.
    pub(super) fn new(board: &Board, readable: &[bool]) -> ReadBack {
        let mut places = Vec::new();
        for chip in (0..board.layout.n_chips()).filter(|chip| readable[*chip] && board.layout.is_readable(*chip)) {
            let wanted = board.registers(chip);
            let model = board.layout.models[chip];
            let compared =
                |address: &usize| compared_bits(*address, wanted[*address]) & model.present_bits(*address) != 0;
            places.extend((0..N_REGISTERS).filter(compared).map(|address| (chip, address)));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "frames of seconds")]
        let [every, starved_max] = [board.rate_hz * ROUND_S / places.len().max(1) as f64, board.rate_hz * STARVED_S]
            .map(|n_frames| n_frames as u64);
        ReadBack {
            readable: readable.to_vec(),
            proven: vec![0; places.len()],
            n_right: 0,
            n_starved: 0,
            starved_max,
            places,
            next: 0,
            every: every.max(1),
            next_frame: 0,
        }
    }

    /// Which chips answer at all.
    pub(super) fn readable(&self) -> &[bool] {
        &self.readable
    }

    /// Whether it is time for the next register.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn is_due(&self, frame: u64) -> bool {
        frame >= self.next_frame && !self.places.is_empty()
    }

    /// Takes note that there was no time for a look that was due. True once, where there never was for ten seconds: the time between
    /// two conversions is too short for it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn starves(&mut self) -> bool {
        self.n_starved += 1;
        self.n_starved == self.starved_max
    }

    /// All registers are as they should be at `frame`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn proven(&mut self, frame: u64) {
        self.proven.fill(frame);
        self.n_right = 0;
        self.next_frame = frame + self.every;
    }

    /// Whether every place has been right since this was last so.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take_round(&mut self) -> bool {
        let complete = !self.places.is_empty() && self.n_right >= self.places.len();
        self.n_right = if complete { 0 } else { self.n_right };
        complete
    }

    /// Reads the next register of a chip that is not `distrusted`. A difference answers the first frame after it was last
    /// right, the chip, and what was found.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    pub(super) fn look(
        &mut self,
        control: &mut Control<'_>,
        wanted: &[Registers],
        frame: u64,
        distrusted: &[bool],
    ) -> Result<Option<(u64, usize, Doubt)>, WireError> {
        let n_places = self.places.len();
        let good = |place: &usize| !distrusted[self.places[*place].0];
        let Some(next) = (self.next..self.next + n_places).map(|place| place % n_places).find(good) else {
            return Ok(None);
        };
        if next != self.next {
            self.n_right = 0;
        }
        self.next = next;
        // A look there was: what is missing now and then is not told.
        self.n_starved = self.starved_max;
        let (chip, address) = self.places[self.next];
        let wanted = wanted[chip][address];
        let mask = compared_bits(address, wanted) & control.board.layout.models[chip].present_bits(address);
        let mut read = [0];
        control.read(chip, address, &mut read)?;
        if (wanted ^ read[0]) & mask != 0 {
            // Once more: a bit that was wrong on the wire is no register that changed.
            control.read(chip, address, &mut read)?;
        }
        self.next_frame = frame + self.every;
        let read = read[0];
        if (wanted ^ read) & mask != 0 {
            self.n_right = 0;
            return Ok(Some((self.proven[self.next] + 1, chip, Doubt::Register { chip, address, wanted, read })));
        }
        self.proven[self.next] = frame;
        self.n_right += 1;
        self.next = (self.next + 1) % self.places.len();
        Ok(None)
    }
}
