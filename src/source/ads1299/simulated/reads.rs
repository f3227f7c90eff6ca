//! Frames on their way out: what is loaded into the output registers, and which conversion the host got.

use super::chain::Chain;
use super::chip::FRAME_BYTES_MAX;
use super::truth::{Note, Touched};

impl Chain {
    /// The latest frame goes into the chip's output register.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn load_frame(&mut self, chip: usize) {
        let state = &self.chips[chip];
        let line = &mut self.ports[state.select].line;
        if state.effects.zeros {
            line.load(state.place, &[0; FRAME_BYTES_MAX][..state.n_bytes]);
        } else {
            line.load(state.place, state.out());
        }
    }

    /// The answer to RREG goes there.
    pub(super) fn load_answer(&mut self, chip: usize, answer: &[u8]) {
        let state = &self.chips[chip];
        let answer = if state.effects.zeros { &[0; FRAME_BYTES_MAX][..answer.len()] } else { answer };
        self.ports[state.select].line.load(state.place, answer);
    }

    /// The host reads the frame of the latest conversion of `select`.
    pub(super) fn count_read(&mut self, select: usize) {
        let port = &mut self.ports[select];
        let Some(chip) = self.chips.get(port.chips.start).filter(|chip| chip.n_made > 0) else { return };
        if !self.run.has_begun() {
            return;
        }
        let (index, repeated) = (chip.index, port.last_read == Some(chip.index));
        let n_unread = if repeated { 0 } else { (chip.n_made - port.n_made).saturating_sub(1) };
        let note = if repeated {
            Some(Note::Repeated { select, conversion: index })
        } else if index != port.next_read {
            Some(Note::Skipped { select, first: port.next_read, read: index, n_unread })
        } else {
            None
        };
        port.reads = Some(index);
        (port.last_read, port.next_read, port.n_made) = (Some(index), index + 1, chip.n_made);
        if select == 0 {
            self.counts.n_reads += 1;
            self.counts.n_unread += n_unread;
            self.counts.n_repeated += u64::from(repeated);
        }
        if let Some(note) = note {
            self.truth.note(&mut self.counts, note);
        }
    }

    /// The transfer is over: if it read a frame that is not as it should be, that is noted; what the bus does to
    /// bytes is done to `rx`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn finish_read(&mut self, select: usize, rx: &mut [u8]) {
        let port = &mut self.ports[select];
        let effects = port.effects;
        if effects.shift_bits > 0 {
            move_left(rx, effects.shift_bits);
        }
        if let Some(level) = effects.float {
            rx.fill(level);
        }
        let straddles = std::mem::take(&mut port.straddles);
        let Some(conversion) = port.reads.take() else { return };
        let on_bus = Touched::NONE
            .with_if(effects.shift_bits > 0 || effects.gap_moved, Touched::SHIFT)
            .with_if(effects.float.is_some(), Touched::FLOAT)
            .with_if(straddles, Touched::STRADDLE);
        let (mut by, mut chips) = (on_bus, 0);
        for chip in port.chips.clone() {
            let state = &self.chips[chip];
            let touched = state.touched().with_if(state.index != conversion, Touched::OUT_OF_STEP).with(on_bus);
            by = by.with(touched);
            chips |= u32::from(touched != Touched::NONE) << (chip % 32);
        }
        if by != Touched::NONE {
            self.counts.n_touched += u64::from(select == 0);
            self.truth.note(&mut self.counts, Note::Touched { select, conversion, chips, by });
        }
    }
}

/// Moves all bits to the left; zeros follow.
fn move_left(rx: &mut [u8], n_bits: usize) {
    let (bytes, bits) = (n_bits / 8, n_bits % 8);
    let at = |rx: &[u8], i: usize| rx.get(i).copied().unwrap_or(0);
    for i in 0..rx.len() {
        let two = u16::from_be_bytes([at(rx, i + bytes), at(rx, i + bytes + 1)]);
        rx[i] = (two << bits).to_be_bytes()[0];
    }
}
