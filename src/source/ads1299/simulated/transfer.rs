//! What a chip select's chips do with the bytes of one SPI transfer.

use super::chain::Chain;
use super::chip::FRAME_BYTES_MAX;
use super::decoder::{Command, Word};
use super::registers::CONFIG1;
use super::setup::{ChainReadback, RdatacTakes};
use super::truth::{Note, Violation};
use crate::source::ads1299::wire::{Hz, WireError};

/// tCLK between two bytes of commands (tSDECODE), and from the last SCLK edge to CS high (tSCCS).
const DECODE_TICKS: u32 = 4;
/// tCLK that CS is high at least (tCSH).
const SELECT_HIGH_TICKS: u32 = 2;
/// tCLK around DRDY in which an RDATAC read is corrupted (tUPDATE).
const UPDATE_TICKS: u32 = 4;
/// tCLK from WAKEUP to the begin of settling: 31.25 us.
const WAKE_TICKS: u32 = 64;
/// Up to this SCLK bytes of a command may follow each other at once: one takes 4 tCLK.
const COMMAND_CLOCK_HZ: Hz = 4_000_000;
/// What the kernel gives a transfer before it calls it timed out (spi.c, `spi_transfer_wait`).
const TIMEOUT_NS: u64 = 200_000_000;
/// The fastest SCLK.
const CLOCK_MAX_HZ: Hz = 20_000_000;

/// The times of one transfer's bytes.
#[derive(Debug, Clone, Copy)]
struct Bytes {
    n: usize,
    from_ns: u64,
    /// Of one byte, in 2^-32 ns.
    byte_q32: u64,
    clock_hz: Hz,
}

impl Bytes {
    /// When `n` bytes were clocked.
    fn after(self, n: usize) -> u64 {
        let q32 = u128::from(self.byte_q32) * n as u128;
        self.from_ns + u64::try_from(q32 >> 32).unwrap_or(u64::MAX >> 1)
    }
}

impl Chain {
    /// One transfer from `at_ns` on: CS low, all bytes of `tx` out and as many into `rx`, CS high `hold_us` after the
    /// last SCLK edge. The answer is when CS rose, and whether the transfer failed.
    ///
    /// Fast because runs of zeros, which frames are read with, are clocked out in one copy and never decoded.
    ///
    /// # Errors
    /// When there is no such select, or by a fault.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn transfer(
        &mut self,
        at_ns: u64,
        select: usize,
        clock_hz: Hz,
        hold_us: u16,
        tx: &[u8],
        rx: &mut [u8],
    ) -> (u64, Result<(), WireError>) {
        const NO_DEVICE: i32 = 19;
        self.run_to(at_ns);
        self.counts.n_transfers += 1;
        if select >= self.ports.len() || clock_hz == 0 {
            return (self.now_ns, Err(WireError::Spi(NO_DEVICE)));
        }
        let n_bytes = tx.len().min(rx.len());
        if let Some(error) = self.effects.take_failure(n_bytes) {
            // In this order: a timeout takes its time.
            let error = self.fail(select, error);
            return (self.now_ns, Err(error));
        }
        let bytes = Bytes {
            n: n_bytes,
            from_ns: self.now_ns,
            byte_q32: ((8_000_000_000 << 31) / u64::from(clock_hz)) << 1,
            clock_hz,
        };
        self.check_select(select, clock_hz);

        let hold_ns = u64::from(hold_us) * 1000;
        let mut i = 0;
        while i < n_bytes {
            let n_zeros = if self.ignores_zeros(select) { n_zeros(&tx[i..n_bytes]) } else { 0 };
            let n = n_zeros.max(1);
            self.clock_out(select, bytes, i, &mut rx[i..i + n]);
            i += n;
            if n_zeros == 0 {
                let hold_ns = if i == n_bytes { hold_ns } else { u64::MAX };
                self.clock_in(select, bytes, tx[i - 1], bytes.after(i), hold_ns);
            }
        }
        let end_ns = bytes.after(n_bytes);
        self.run_to(end_ns);
        self.ports[select].clocked_ns = end_ns;
        let end_ns = end_ns + hold_ns;
        self.run_to(end_ns);
        self.deselect(select, end_ns);
        if !self.ports[select].chips.clone().any(|chip| self.chips[chip].powered) {
            rx.fill(self.setup.float);
        }
        self.finish_read(select, rx);
        self.truth.publish(&self.counts);
        (end_ns, Ok(()))
    }

    #[cold]
    fn fail(&mut self, select: usize, error: WireError) -> WireError {
        self.counts.n_failed += 1;
        let conversion = self.chips.get(self.ports[select].chips.start).map_or(0, |chip| chip.index);
        self.truth.note(&mut self.counts, Note::Failed { select, conversion });
        if error == WireError::SpiTimeout {
            self.run_to(self.now_ns + TIMEOUT_NS);
        }
        self.truth.publish(&self.counts);
        error
    }

    fn check_select(&mut self, select: usize, clock_hz: Hz) {
        let (at_ns, port) = (self.now_ns, &self.ports[select]);
        let (first, since_ns) = (port.chips.start, at_ns - port.deselected_ns);
        if self.chips.get(first).is_some_and(|chip| since_ns < chip.converter.clocks_ns(SELECT_HIGH_TICKS)) && at_ns > 0
        {
            self.violation(first, at_ns, Violation::SelectHigh);
        }
        if clock_hz > CLOCK_MAX_HZ {
            self.violation(first, at_ns, Violation::Clock);
        }
    }

    fn ignores_zeros(&self, select: usize) -> bool {
        self.chips[self.ports[select].chips.clone()].iter().all(|chip| chip.decoder.ignores_zeros())
    }

    /// Clocks bytes out, from byte `first` of the transfer on.
    fn clock_out(&mut self, select: usize, bytes: Bytes, first: usize, rx: &mut [u8]) {
        let range = self.ports[select].chips.clone();
        if !self.chips[range.clone()].iter().any(|chip| chip.continuous && chip.converter.is_running()) {
            self.ports[select].line.shift_out(rx);
            return;
        }
        let from_ns = bytes.after(first);
        self.run_to(from_ns);
        // A command is clocked out of the frame too, but does not read it.
        let whole = self.chips.get(range.start).is_some_and(|chip| chip.continuous && bytes.n >= chip.n_bytes);
        if whole && self.ports[select].line.position() == 0 {
            self.count_read(select);
        }
        let of_all = self.chips[range.clone()].iter().all(|chip| chip.continuous);
        let streaming = self.chips[range].iter().filter(|chip| chip.continuous);
        let (next_ns, update_ns) = streaming
            .map(|chip| (chip.converter.next_ns(), chip.converter.clocks_ns(UPDATE_TICKS)))
            .min()
            .unwrap_or((u64::MAX, 0));
        let end_ns = bytes.after(first + rx.len());
        let unsafe_ns = next_ns.saturating_sub(update_ns);
        if end_ns <= unsafe_ns {
            self.ports[select].line.shift_out(rx);
            return;
        }
        self.ports[select].straddles = true;
        if !of_all {
            // In a row where others wait for RDATA only that chip's register takes a frame in, over whatever passes through it:
            // what has gone on to the chips before it stays as it is.
            let n_before = (0..rx.len()).take_while(|i| bytes.after(first + i + 1) <= next_ns).count();
            let (before, after) = rx.split_at_mut(n_before);
            self.ports[select].line.shift_out(before);
            self.run_to(end_ns);
            self.ports[select].line.shift_out(after);
            return;
        }
        // The read straddles the update: what is still to come has moved by the bits that were clocked before it.
        let n_clean = (0..rx.len()).take_while(|i| bytes.after(first + i + 1) <= unsafe_ns).count();
        let (clean, moved) = rx.split_at_mut(n_clean);
        self.ports[select].line.shift_out(clean);
        let bit_q32 = bytes.byte_q32 / 8;
        let upto_ns = if unsafe_ns > bytes.from_ns { unsafe_ns } else { next_ns.min(end_ns) };
        let n_bits = (u128::from(upto_ns - bytes.from_ns) << 32) / u128::from(bit_q32.max(1));
        let n_bits = usize::try_from(n_bits).unwrap_or(usize::MAX >> 8).max(1);
        let loads = end_ns >= next_ns;
        self.run_to(end_ns);
        let line = &mut self.ports[select].line;
        if loads {
            // The new frame stands at the line's start; the reader goes on where it was, and finds it moved.
            line.skip(first + n_clean);
        }
        line.shift_out_moved(moved, n_bits);
    }

    /// A byte arrives at the decoders; `hold_ns` is how long CS stays low after it.
    fn clock_in(&mut self, select: usize, bytes: Bytes, byte: u8, at_ns: u64, hold_ns: u64) {
        self.run_to(at_ns);
        // The last chip first: a long answer of the one before it in the chain covers what it has to say.
        for chip in self.ports[select].chips.clone().rev() {
            let state = &mut self.chips[chip];
            if !state.is_alive() {
                continue;
            }
            if at_ns < state.busy_until_ns {
                if byte != 0 {
                    self.violation(chip, at_ns, Violation::Busy);
                }
                continue;
            }
            let decode_ns = state.converter.clocks_ns(DECODE_TICKS);
            if state.decoder.needs_time(byte) && bytes.clock_hz > COMMAND_CLOCK_HZ && bytes.byte_q32 >> 32 < decode_ns {
                state.decoder.drop_all();
                self.violation(chip, at_ns, Violation::Decode);
                continue;
            }
            let word = state.decoder.byte(byte);
            if hold_ns < decode_ns && (byte != 0 || word != Word::Nothing) {
                state.decoder.drop_all();
                self.violation(chip, at_ns, Violation::Hold);
                continue;
            }
            self.execute(chip, word, at_ns);
        }
    }

    fn deselect(&mut self, select: usize, at_ns: u64) {
        self.ports[select].deselected_ns = at_ns;
        for chip in self.ports[select].chips.clone() {
            if self.chips[chip].decoder.deselect() {
                self.violation(chip, at_ns, Violation::Partial);
            }
        }
    }

    fn execute(&mut self, chip: usize, word: Word, at_ns: u64) {
        if word == Word::Nothing {
            return;
        }
        let understood = self.understands(word);
        let may_come_first = matches!(word, Word::Command(Command::Sdatac | Command::Reset) | Word::Read { .. });
        if self.chips[chip].unreset && !self.chips[chip].continuous && !may_come_first {
            self.violation(chip, at_ns, Violation::Unreset);
        }
        let state = &mut self.chips[chip];
        if state.standby && word != Word::Command(Command::Wakeup) {
            self.violation(chip, at_ns, Violation::Standby);
            return;
        }
        if state.continuous && !understood {
            self.violation(chip, at_ns, Violation::Streaming);
            return;
        }
        match word {
            Word::Nothing => {}
            Word::Command(command) => self.command(chip, command, at_ns),
            Word::Read { address, n } => {
                let mut answer = [0; 32];
                let silent = state.place > 0 && self.setup.readback == ChainReadback::Zeros;
                if !silent {
                    for (value, address) in answer.iter_mut().zip(address..).take(usize::from(n)) {
                        *value = state.registers.read(address);
                    }
                }
                let n_bytes = state.n_bytes.max(usize::from(n)).min(FRAME_BYTES_MAX);
                self.load_answer(chip, &answer[..n_bytes]);
            }
            Word::Write { address, value } => self.write(chip, address, value, at_ns),
        }
    }

    /// Whether a streaming chip takes notice.
    fn understands(&self, word: Word) -> bool {
        match word {
            Word::Command(Command::Sdatac) => true,
            Word::Command(Command::Reset | Command::Start | Command::Stop) => {
                self.setup.rdatac_takes == RdatacTakes::ResetAndStart
            }
            _ => false,
        }
    }

    fn command(&mut self, chip: usize, command: Command, at_ns: u64) {
        let state = &mut self.chips[chip];
        match command {
            Command::Wakeup => {
                state.standby = false;
                self.update(chip, at_ns, WAKE_TICKS, false);
            }
            Command::Standby => {
                state.standby = true;
                self.update(chip, at_ns, 0, false);
            }
            Command::Reset => self.reset(chip, at_ns),
            Command::Start => {
                state.commanded = true;
                state.done = false;
                self.update(chip, at_ns, 0, true);
            }
            Command::Stop => {
                state.commanded = false;
                self.update(chip, at_ns, 0, true);
            }
            Command::Rdatac => state.continuous = true,
            Command::Sdatac if state.deaf_to_sdatac > 0 => state.deaf_to_sdatac -= 1,
            Command::Sdatac => state.continuous = false,
            Command::Rdata => {
                let (select, place) = (state.select, state.place);
                self.load_frame(chip);
                if place == 0 {
                    self.count_read(select);
                }
            }
        }
    }

    fn write(&mut self, chip: usize, address: u8, value: u8, at_ns: u64) {
        let state = &mut self.chips[chip];
        if state.deaf_to.0 == address && state.deaf_to.1 > 0 {
            state.deaf_to.1 -= 1;
            return;
        }
        let right = state.registers.write(address, value);
        state.front.retune(&mut state.registers, at_ns);
        if address == CONFIG1 {
            state.reverted = false;
            self.set_repeats(chip);
            self.distribute_clock(at_ns);
            // The digital filter starts again.
            if self.chips[chip].converter.is_running() {
                self.start(chip, at_ns, 0, true);
            }
        }
        if !right {
            self.violation(chip, at_ns, Violation::Reserved);
        }
    }
}

/// Zeros at the begin of `tx`.
///
/// Fast because it looks at eight bytes at once: byte by byte it would cost as much as all the rest of a read.
fn n_zeros(tx: &[u8]) -> usize {
    let mut n = 0;
    for eight in tx.chunks_exact(8) {
        if eight != [0; 8] {
            break;
        }
        n += 8;
    }
    n + tx[n..].iter().take_while(|byte| **byte == 0).count()
}
