//! The analogue side of one chip: what each channel's converter sees, by its registers and what is soldered to it, and
//! the code it makes of that (SBAS499C, "Input Multiplexer", "Data Format").

use std::f64::consts::TAU;

use super::lead_off::{HUM_UV, LeadOffs};
use super::noise::{Noise, rms_uv};
use super::registers::{CH1SET, CONFIG1, CONFIG2, Registers};
use super::setup::{Board, ChipSetup, Electrode, Setup};
use super::signal::Signal;
use super::square::square;
use crate::source::synthetic::counter_code;

/// How long the internal reference takes after CONFIG3 switched it on.
const REFERENCE_NS: u64 = 150_000_000;
/// The time constant that it settles with until then.
const REFERENCE_TAU_NS: f64 = 25_000_000.0;
/// The code of +FS.
const FULL_SCALE: i32 = 0x007F_FFFF;

/// What a channel converts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Feed {
    /// Powered down: its slot reads 0.
    #[default]
    Off,
    /// The counter.
    Counter,
    /// Its electrode.
    Electrode,
    /// The internal test signal.
    Square,
    /// A voltage that does not change.
    Level,
}

#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    feed: Feed,
    codes_per_uv: f64,
    /// The level, and for all feeds the amplifier's offset.
    level_uv: f64,
    noise_uv: f64,
    /// Of this part, fixed: gain within 0.5 %, offset typically 60 uV.
    gain_error: f64,
    offset_uv: f64,
}

#[derive(Debug)]
pub(super) struct Front {
    counts: bool,
    n_channels: usize,
    first_channel: usize,
    channels: [Channel; 8],
    electrodes: [Electrode; 8],
    /// Electrodes that came off.
    off: (u8, u8),
    board: Board,
    noise_scale: f64,
    noise: Noise,
    leads: LeadOffs,
    test_uv: f64,
    test_half_ticks: u64,
    period_ticks: u32,
    dr: u8,
    reference_on: bool,
    /// When the reference was switched on, and when it is settled.
    reference_ns: u64,
    settled_ns: u64,
}

impl Front {
    pub(super) fn new(setup: &Setup, chip: &ChipSetup, first_channel: usize, registers: &mut Registers) -> Front {
        let mut noise = Noise::new(setup.seed.wrapping_add(first_channel as u64 + 1));
        let mut channels = [Channel::default(); 8];
        for channel in &mut channels {
            channel.gain_error = (2.0 * noise.fraction() - 1.0) * setup.board.gain_error_max;
            channel.offset_uv = noise.gaussian() * setup.board.offset_uv;
        }
        let mut front = Front {
            counts: matches!(setup.signal, Signal::Counter),
            n_channels: chip.model.n_channels(),
            first_channel,
            channels,
            electrodes: chip.electrodes,
            off: (0, 0),
            board: setup.board,
            noise_scale: setup.board.noise_scale,
            noise,
            leads: LeadOffs::new(registers, &chip.electrodes, 0, 0, &setup.board),
            test_uv: 0.0,
            test_half_ticks: 0,
            period_ticks: 0,
            dr: 0,
            reference_on: false,
            reference_ns: 0,
            settled_ns: 0,
        };
        front.retune(registers, 0);
        front
    }

    /// Electrodes that came off, one bit per channel; [`Front::retune`] takes notice of it.
    pub(super) fn set_off(&mut self, p: u8, n: u8) {
        self.off = (p, n);
    }

    /// The first of its channels, counted through all chips.
    pub(super) fn first_channel(&self) -> usize {
        self.first_channel
    }

    /// CONFIG1.DR.
    pub(super) fn dr(&self) -> u8 {
        self.dr
    }

    /// Registers were written, or electrodes moved. The comparators' answers go back into the registers.
    pub(super) fn retune(&mut self, registers: &mut Registers, at_ns: u64) {
        self.dr = registers.get(CONFIG1) & 0x07;
        self.period_ticks = registers.period_ticks();
        self.set_reference(registers.reference_on(), at_ns);
        self.set_test_signal(registers.get(CONFIG2));
        self.leads = LeadOffs::new(registers, &self.electrodes, self.off.0, self.off.1, &self.board);
        registers.set_lead_off(self.leads.stat_p, self.leads.stat_n);
        for i in 0..self.n_channels {
            let value = registers.get(CH1SET + u8::try_from(i).unwrap_or(0));
            self.set_channel(i, value);
        }
    }

    fn set_channel(&mut self, i: usize, value: u8) {
        let gain_code = usize::from(value >> 4 & 0x07).min(6);
        let gain = [1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0][gain_code];
        let board = self.board;
        let channel = &mut self.channels[i];
        let (feed, level_uv) = match value & 0x07 {
            _ if value & 0x80 != 0 => (Feed::Off, 0.0),
            0 if self.counts => (Feed::Counter, 0.0),
            0 => (Feed::Electrode, 0.0),
            3 if i == 2 || i == 3 => (Feed::Level, board.dvdd_v / 4.0 * 1e6),
            3 => (Feed::Level, board.avdd_v / 2.0 * 1e6),
            4 => (Feed::Level, 145_300.0 + 490.0 * (board.temperature_c - 25.0)),
            5 => (Feed::Square, 0.0),
            // The short, and the bias drive, which is in the middle of the supply as both inputs are.
            _ => (Feed::Level, 0.0),
        };
        channel.feed = feed;
        channel.codes_per_uv = gain * f64::from(1 << 23) / (board.reference_v * 1e6) * (1.0 + channel.gain_error);
        channel.level_uv = level_uv + channel.offset_uv;
        channel.noise_uv = rms_uv(usize::from(self.dr.min(6)), gain_code) * self.noise_scale;
    }

    fn set_reference(&mut self, on: bool, at_ns: u64) {
        let on = on || self.board.external_reference;
        if on && !self.reference_on {
            self.reference_ns = at_ns;
            self.settled_ns = if self.board.external_reference { 0 } else { at_ns + REFERENCE_NS };
        }
        self.reference_on = on;
    }

    /// CONFIG2: -(VREFP - VREFN) / 2400 or twice that, as a square wave of 2^21 or 2^20 tCLK, or DC.
    fn set_test_signal(&mut self, config2: u8) {
        let times = if config2 & 0x04 == 0 { 1.0 } else { 2.0 };
        let internal = config2 & 0x10 != 0;
        self.test_uv = if internal { -times * self.board.reference_v * 1e6 / 2400.0 } else { 0.0 };
        self.test_half_ticks = match config2 & 0x03 {
            0 => 1 << 20,
            1 => 1 << 19,
            _ => 0,
        };
    }

    /// The codes of the conversion with this index, 0 for channels that the model does not have. `ticks` is the chip's
    /// divider, `uv` what the chip's electrodes see.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn codes(&mut self, index: u64, at_ns: u64, ticks: u64, uv: &[f64]) -> [i32; 8] {
        let mut codes = [0; 8];
        if !self.reference_on || at_ns < self.settled_ns {
            self.unsettled_codes(at_ns, uv, &mut codes);
            return codes;
        }
        for (i, code) in codes.iter_mut().enumerate().take(self.n_channels) {
            *code = match self.channels[i].feed {
                Feed::Off => 0,
                Feed::Counter => counter_code(index, self.first_channel + i),
                Feed::Level => self.quantise(i, 0.0, 1.0),
                Feed::Square => self.quantise(i, self.test_uv * self.square(ticks, self.test_half_ticks), 1.0),
                Feed::Electrode => {
                    let uv = self.electrode_uv(i, at_ns, ticks, uv.get(i).copied().unwrap_or(0.0));
                    self.quantise(i, uv, 1.0)
                }
            };
        }
        codes
    }

    /// Without a reference every voltage is more than full scale; while it settles, each reads too high.
    #[cold]
    fn unsettled_codes(&mut self, at_ns: u64, uv: &[f64], codes: &mut [i32; 8]) {
        let since_ns = at_ns.saturating_sub(self.reference_ns) as f64;
        let part = if self.reference_on { 1.0 - (-since_ns / REFERENCE_TAU_NS).exp() } else { 0.0 };
        for (i, code) in codes.iter_mut().enumerate().take(self.n_channels) {
            *code = match self.channels[i].feed {
                Feed::Off => 0,
                Feed::Counter => FULL_SCALE,
                Feed::Electrode => self.quantise(i, uv.get(i).copied().unwrap_or(0.0), part),
                Feed::Level | Feed::Square => self.quantise(i, self.test_uv, part),
            };
        }
    }

    fn square(&self, ticks: u64, half_ticks: u64) -> f64 {
        if half_ticks == 0 { 1.0 } else { square(ticks, half_ticks, self.period_ticks) }
    }

    fn electrode_uv(&self, i: usize, at_ns: u64, ticks: u64, uv: f64) -> f64 {
        let lead = self.leads.channels[i];
        let signal_uv = if lead.floats {
            let cycles = (at_ns % 20_000_000) as f64 / 20e6;
            HUM_UV * (TAU * cycles).sin()
        } else {
            uv
        };
        let ac_uv = if lead.ac_uv == 0.0 { 0.0 } else { lead.ac_uv * self.square(ticks, self.leads.half_ticks) };
        signal_uv + lead.dc_uv + ac_uv
    }

    /// The code of a voltage at the input, with the channel's offset, gain and noise, by a reference at `part` of its
    /// voltage.
    #[allow(clippy::cast_possible_truncation, reason = "clamped to 24 bit; a conversion of NaN would be 0")]
    fn quantise(&mut self, i: usize, uv: f64, part: f64) -> i32 {
        let channel = self.channels[i];
        let uv = uv + channel.level_uv + channel.noise_uv * self.noise.gaussian();
        let code = uv * channel.codes_per_uv / part.max(1e-9);
        // Fast because it truncates: `round` is a call into the C library on a plain x86-64.
        (code + f64::copysign(0.5, code)).clamp(-8_388_608.0, f64::from(FULL_SCALE)) as i32
    }
}
