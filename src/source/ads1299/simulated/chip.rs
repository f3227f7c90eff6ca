//! One chip: registers, decoder, converter, and the frame of its latest conversion.

use super::converter::Converter;
use super::decoder::Decoder;
use super::effects::ChipEffects;
use super::front::Front;
use super::registers::Registers;
use super::setup::{ChipSetup, Setup};
use super::signal::Input;
use super::truth::Touched;

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
    /// Its power-on reset is over from here on.
    pub(super) power_on_until_ns: u64,
    /// RESET did not come since then.
    pub(super) unreset: bool,
    /// The frame of the latest conversion.
    pub(super) frame: [u8; FRAME_BYTES_MAX],
    /// The index of that conversion.
    pub(super) index: u64,
    /// The index of the next one, at the rate of the run.
    pub(super) next_index: u64,
    /// Conversions made since the run began.
    pub(super) n_made: u64,
    /// Faults that last.
    pub(super) effects: ChipEffects,
    /// What spoiled `frame`.
    touched: Touched,
    /// A fault returned it to its defaults, and the host did nothing about it yet.
    pub(super) reverted: bool,
    /// A register that ignores so many writes.
    pub(super) deaf_to: (u8, u32),
    pub(super) deaf_to_sdatac: u32,
    /// When DRDY fell.
    pub(super) fell_ns: u64,
}

impl Chip {
    pub(super) fn new(setup: &Setup, chip: &ChipSetup, select: usize, place: usize, first_channel: usize) -> Chip {
        let id = chip.revision << 5 | chip.model.id_bits();
        let mut registers = Registers::new(chip.model, id, chip.gpio & 0x0F);
        Chip {
            select,
            place,
            n_bytes: chip.model.frame_bytes(),
            front: Front::new(setup, chip, first_channel, &mut registers),
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
            power_on_until_ns: 0,
            unreset: false,
            frame: [0; FRAME_BYTES_MAX],
            index: 0,
            next_index: 0,
            n_made: 0,
            effects: ChipEffects::default(),
            touched: Touched::NONE,
            reverted: false,
            deaf_to: (0, 0),
            deaf_to_sdatac: 0,
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
        self.front.retune(&mut self.registers, at_ns);
    }

    /// The conversion that is complete now.
    pub(super) fn convert(&mut self, index: u64, at_ns: u64, input: &mut Input) {
        self.index = index;
        self.n_made += 1;
        let uv = input.microvolts(index, self.front.dr());
        let uv = uv.get(self.front.first_channel()..).unwrap_or(&[]);
        let codes = self.front.codes(index, at_ns, self.converter.ticks(), uv);
        if self.effects.any {
            self.convert_spoiled(codes);
            return;
        }
        self.touched = Touched::NONE;
        self.frame[..3].copy_from_slice(&self.registers.status_word());
        for (out, code) in self.frame[3..].chunks_exact_mut(3).zip(codes) {
            out.copy_from_slice(&code.to_be_bytes()[1..]);
        }
    }

    /// The same while faults last.
    #[cold]
    fn convert_spoiled(&mut self, codes: [i32; 8]) {
        let effects = self.effects;
        self.touched = effects.touched();
        if effects.frame_stuck {
            return;
        }
        self.frame[..3].copy_from_slice(&self.registers.status_word());
        if effects.nibble_bad {
            self.frame[0] ^= 0x40;
        }
        for (i, (out, code)) in self.frame[3..].chunks_exact_mut(3).zip(codes).enumerate() {
            let has = |bits: u8| bits >> i & 1 != 0;
            let constant = effects.constant.filter(|(from, _)| i >= *from);
            let code = match () {
                () if constant.is_some() => constant.map_or(0, |(_, code)| code),
                () if has(effects.stuck) => continue,
                () if has(effects.high) => 0x007F_FFFF,
                () if has(effects.low) => -0x0080_0000,
                () => code,
            };
            out.copy_from_slice(&code.to_be_bytes()[1..]);
        }
    }

    /// What spoils the frame if it is read now.
    pub(super) fn touched(&self) -> Touched {
        self.touched
            .with_if(self.effects.zeros, Touched::ZEROS)
            .with_if(self.effects.no_clock, Touched::NO_CLOCK)
            .with_if(self.reverted, Touched::REVERTED)
    }
}
