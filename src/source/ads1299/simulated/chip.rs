//! One chip: registers, decoder, converter, and the frame of its latest conversion.

use super::converter::Converter;
use super::decoder::Decoder;
use super::front::Front;
use super::registers::Registers;
use super::setup::{ChipSetup, Setup};

/// Bytes of the longest frame.
pub(super) const FRAME_BYTES_MAX: usize = 27;

/// One chip and where it stands.
#[derive(Debug)]
pub(super) struct Chip {
    /// Its select, and its place in that select's chain.
    pub(super) select: usize,
    pub(super) place: usize,
    pub(super) n_bytes: usize,
    pub(super) registers: Registers,
    pub(super) decoder: Decoder,
    pub(super) converter: Converter,
    pub(super) front: Front,
    /// Frames are put out at every conversion (RDATAC).
    pub(super) continuous: bool,
    pub(super) standby: bool,
    /// The START command was the last of START and STOP.
    pub(super) commanded: bool,
    /// Single-shot: the one conversion was made.
    pub(super) done: bool,
    /// STOP came too late to stop the conversion under way.
    pub(super) stopping: bool,
    /// PWDN is high.
    pub(super) powered: bool,
    /// RESET is low.
    pub(super) held: bool,
    /// The master clock arrives.
    pub(super) clocked: bool,
    /// It listens again from here on.
    pub(super) busy_until_ns: u64,
    /// The frame of the latest conversion.
    pub(super) frame: [u8; FRAME_BYTES_MAX],
    /// The index of that conversion.
    pub(super) index: u64,
    /// The index of the next one, at the rate of the run.
    pub(super) next_index: u64,
    /// Conversions made since the run began.
    pub(super) n_made: u64,
    /// When DRDY fell.
    pub(super) fell_ns: u64,
}

impl Chip {
    pub(super) fn new(setup: &Setup, chip: &ChipSetup, select: usize, place: usize, first_channel: usize) -> Chip {
        let id = chip.revision << 5 | chip.model.id_bits();
        let registers = Registers::new(chip.model, id, chip.gpio & 0x0F);
        Chip {
            select,
            place,
            n_bytes: chip.model.frame_bytes(),
            front: Front::new(setup, chip, first_channel, &registers),
            registers,
            decoder: Decoder::default(),
            converter: Converter::new(setup.ppm + chip.ppm),
            continuous: true,
            standby: false,
            commanded: false,
            done: false,
            stopping: false,
            powered: true,
            held: false,
            clocked: chip.clocked,
            busy_until_ns: 0,
            frame: [0; FRAME_BYTES_MAX],
            index: 0,
            next_index: 0,
            n_made: 0,
            fell_ns: 0,
        }
    }

    /// Whether it takes bytes in at all.
    pub(super) fn is_alive(&self) -> bool {
        self.powered && !self.held && self.clocked
    }

    /// What is put out of the latest conversion.
    pub(super) fn out(&self) -> &[u8] {
        &self.frame[..self.n_bytes]
    }

    /// What RESET does to the registers and modes.
    pub(super) fn reset(&mut self, at_ns: u64) {
        self.registers.reset();
        self.continuous = true;
        self.standby = false;
        self.commanded = false;
        self.done = false;
        self.stopping = false;
        self.converter.reset(at_ns);
        self.front.retune(&self.registers, at_ns);
    }

    /// The conversion that is complete now.
    pub(super) fn convert(&mut self, index: u64, at_ns: u64) {
        self.index = index;
        self.n_made += 1;
        self.frame[..3].copy_from_slice(&self.registers.status_word());
        let codes = self.front.codes(index, at_ns);
        for (out, code) in self.frame[3..].chunks_exact_mut(3).zip(codes) {
            out.copy_from_slice(&code.to_be_bytes()[1..]);
        }
    }
}
