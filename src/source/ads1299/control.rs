//! Commands and registers over the wires (SBAS499C, "SPI Command Definitions").

use super::board::{Board, ReadMode};
use super::frame;
use super::registers::{N_REGISTERS, Registers};
use super::wire::{Pin, Shape, Wire, WireError};

/// The commands that the driver sends.
pub(super) mod command {
    pub(in super::super) const RESET: u8 = 0x06;
    pub(in super::super) const START: u8 = 0x08;
    pub(in super::super) const STOP: u8 = 0x0A;
    pub(in super::super) const RDATAC: u8 = 0x10;
    pub(in super::super) const SDATAC: u8 = 0x11;
    pub(in super::super) const RDATA: u8 = 0x12;
    pub(in super::super) const RREG: u8 = 0x20;
    pub(in super::super) const WREG: u8 = 0x40;
}

/// The clock for commands. The decoder needs 4 cycles of the master clock for each byte, 1.95 us; at 2 MHz a byte takes
/// 4 us, so that bytes may follow each other without a pause (SBAS499C, "Multi-Byte Commands").
const COMMAND_CLOCK_HZ: u32 = 2_000_000;

/// How long the select stays low after a command, microseconds: at least 4 cycles of the master clock, 1.95 us, or the
/// chip drops the command silently (tSCCS).
const HOLD_US: u16 = 3;

/// Bytes of the longest register transfer: the command, and a chain of eight chips whose last one answers last, with a bit
/// between them.
const TRANSFER_BYTES_MAX: usize = 2 + 7 * 27 + 1 + N_REGISTERS;

/// Registers read at once: fewer than the bytes of the shortest frame, 15, or in a row the answers of two chips would
/// run into each other.
const AT_ONCE: usize = 12;

/// When START was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    /// Just before the first chip could hear it, and just after the last one did.
    pub(super) before_ns: u64,
    pub(super) after_ns: u64,
    /// How far apart the first and the last select got it; 0 where it is the pin.
    pub(super) skew_ns: u64,
}

/// Speaks with the chips of a board. Needs no more memory than its own.
pub(super) struct Control<'a> {
    pub(super) wire: &'a mut dyn Wire,
    pub(super) board: &'a Board,
}

impl Control<'_> {
    fn shape(select: usize) -> Shape {
        Shape { select, clock_hz: COMMAND_CLOCK_HZ, hold_us: HOLD_US }
    }

    /// Sends one command to the chips behind `select`.
    pub(super) fn command(&mut self, select: usize, command: u8) -> Result<(), WireError> {
        self.wire.transfer(Self::shape(select), &[command], &mut [0])
    }

    /// Sends one command to all chips, select after select.
    pub(super) fn command_all(&mut self, command: u8) -> Result<(), WireError> {
        (0..self.board.layout.selects.len()).try_for_each(|select| self.command(select, command))
    }

    /// Begins converting on all chips: by the pin where it is wired (within a cycle of the master clock), else by
    /// command, select after select; and lets frames flow where they do so by themselves. A chip whose frames flow takes no
    /// START, and RDATAC must not meet DRDY: it comes before the pin, or after the command, four conversions before the first
    /// DRDY.
    pub(super) fn start(&mut self) -> Result<Started, WireError> {
        let flow = self.board.read_mode == ReadMode::Rdatac;
        if self.wire.has_pin(Pin::Start) {
            if flow {
                self.command_all(command::RDATAC)?;
            }
            let before_ns = self.wire.now_ns();
            self.wire.set_pin(Pin::Start, true)?;
            return Ok(Started { before_ns, after_ns: self.wire.now_ns(), skew_ns: 0 });
        }
        // A chip takes the command with its last bit, so from the end of one transfer to the end of another.
        let before_ns = self.wire.now_ns();
        let (mut first_ns, mut after_ns) = (None, before_ns);
        for select in 0..self.board.layout.selects.len() {
            self.command(select, command::START)?;
            after_ns = self.wire.now_ns();
            first_ns = first_ns.or(Some(after_ns));
        }
        if flow {
            self.command_all(command::RDATAC)?;
        }
        Ok(Started { before_ns, after_ns, skew_ns: after_ns - first_ns.unwrap_or(after_ns) })
    }

    /// Ends converting; frames that flow by themselves end before, or STOP would not be heard.
    pub(super) fn stop(&mut self) -> Result<(), WireError> {
        if self.board.read_mode == ReadMode::Rdatac {
            self.command_all(command::SDATAC)?;
        }
        if self.wire.has_pin(Pin::Start) {
            return self.wire.set_pin(Pin::Start, false);
        }
        self.command_all(command::STOP)
    }

    /// Writes `values` from `first` on into the chips behind `select`.
    pub(super) fn write(&mut self, select: usize, first: usize, values: &[u8]) -> Result<(), WireError> {
        let mut tx = [0_u8; 2 + N_REGISTERS];
        let mut rx = [0_u8; 2 + N_REGISTERS];
        let n_bytes = 2 + values.len();
        tx[0] = command::WREG | low_byte(first);
        tx[1] = low_byte(values.len().saturating_sub(1));
        tx[2..n_bytes].copy_from_slice(values);
        self.wire.transfer(Self::shape(select), &tx[..n_bytes], &mut rx[..n_bytes])
    }

    /// Reads `n` registers of `chip` from `first` on into `values`.
    ///
    /// A chip further down a row answers through those before it, one frame's length and the gap bits later. Not every board shows
    /// that (the datasheet does not say it), so that zeros may come instead.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    pub(super) fn read(&mut self, chip: usize, first: usize, values: &mut [u8]) -> Result<(), WireError> {
        let (select, depth) = self.board.layout.place(chip);
        let layout = &self.board.layout;
        let parts = layout.models[chip - depth..chip].iter().map(|model| model.frame_bytes() * 8 + layout.gap_bits);
        let before_bits: usize = parts.sum();
        let mut tx = [0_u8; TRANSFER_BYTES_MAX];
        let mut rx = [0_u8; TRANSFER_BYTES_MAX];
        let n_bytes = 2 + frame::bytes_of(before_bits) + values.len();
        tx[0] = command::RREG | low_byte(first);
        tx[1] = low_byte(values.len().saturating_sub(1));
        self.wire.transfer(Self::shape(select), &tx[..n_bytes], &mut rx[..n_bytes])?;
        frame::take_bits(&rx[2..n_bytes], before_bits, values);
        Ok(())
    }

    /// Reads all registers of `chip`.
    pub(super) fn read_all(&mut self, chip: usize) -> Result<Registers, WireError> {
        let mut registers = [0; N_REGISTERS];
        for (i, some) in registers.chunks_mut(AT_ONCE).enumerate() {
            self.read(chip, i * AT_ONCE, some)?;
        }
        Ok(registers)
    }

    /// Waits `us` microseconds.
    pub(super) fn wait_us(&mut self, us: u64) {
        let at_ns = self.wire.now_ns() + us * 1000;
        self.wire.wait_until(at_ns);
    }
}

/// Addresses and counts of registers are below 32.
#[allow(clippy::cast_possible_truncation, reason = "five bits")]
const fn low_byte(value: usize) -> u8 {
    (value & 0x1F) as u8
}
