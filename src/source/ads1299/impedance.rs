//! Electrode impedance from the alternating lead-off current, while data keep flowing.
//!
//! The chip sends a square current of amplitude `I` through the electrode; at its frequency the channel shows a voltage
//! of peak `V`. So
//!
//! `Z = V / (I * k * droop) - R_series`
//!
//! where `k` is the board's calibration (the true current over the nominal one, which is within 20 %, times the part of
//! the fundamental in the wave) and `droop` what the converter's third-order sinc filter leaves at that frequency,
//! `(sin(pi f/fs) / (pi f/fs))^3`. Where both electrodes of a channel are excited, their sum is shown, less `R_series` of each.
//!
//! The datasheet does not say what the wave looks like. For a square wave of the nominal amplitude `k` is `4/pi` = 1.273,
//! with what the sampling folds back onto the frequency, because every harmonic near a multiple of the rate does:
//!
//! | frequency | k |
//! |---|---|
//! | 7.8125 and 31.25 Hz, at every rate | 1.273 (folded harmonics are below 0.1 %) |
//! | a quarter of the rate | 1.255 to 1.291: the third and the fifth harmonic add 1.24 % and 0.16 %, with or against the fundamental, by where the wave turns between two conversions; 1.291 where it turns at a conversion |
//!
//! Best is a known resistor: `calibration` is then what was shown over what is true, times the `calibration` it was shown
//! with (and `series_ohms = 0` meanwhile).

use std::f64::consts::{PI, TAU};

use super::board::Board;
use crate::block::ChipStatus;
use crate::source::Signs;

/// The voltage is gathered over about this long, seconds, in whole periods of the current.
const GATHER_S: f64 = 1.024;

/// Gathers every channel's voltage at the current's frequency.
pub(super) struct Impedance {
    n_frames: usize,
    at: usize,
    /// One turn of the reference, `(cos, sin)` of each frame of a period, repeated.
    turn: Vec<(f64, f64)>,
    sums: Vec<(f64, f64)>,
    channels: Vec<Channel>,
    /// The lowest and the highest code of each channel since then.
    ends: Vec<(i32, i32)>,
    /// Chips of which a frame was suspect since the gathering began: it says nothing of their electrodes.
    spoiled: Vec<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    chip: usize,
    /// Ohms per code of amplitude; 0 where the channel is not watched.
    ohms_per_code: f64,
    /// Of all electrodes that are excited.
    series_ohms: f64,
}

/// Before the first frame.
const NO_ENDS: (i32, i32) = (i32::MAX, i32::MIN);

/// Whether a channel whose codes went this far stood at one end of its range: the current shows less there than it made, and
/// nothing at all where it never left. At both ends it is the current itself that takes it there, as where an electrode is
/// off: at least what is shown.
fn stands_at_an_end((lowest, highest): (i32, i32)) -> bool {
    (lowest == -(1 << 23)) != (highest == (1 << 23) - 1)
}

impl Impedance {
    /// For a board whose lead-off current alternates; `None` for others.
    pub(super) fn new(board: &Board) -> Option<Impedance> {
        let frequency_hz = board.lead_off.mode.frequency_hz(board.rate_hz)?;
        // fCLK/2^18, fCLK/2^16 and fDR/4: whole frames in a period at every rate but the slowest, where 31.25 Hz and 250 Hz
        // make 8. All three divide.
        let period = board.rate_hz / frequency_hz;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "4 to 2048 frames")]
        let period_frames = period.round() as usize;
        let x = PI * frequency_hz / board.rate_hz;
        let droop = (x.sin() / x).powi(3);
        let current_a = f64::from(board.lead_off.current_na) * 1e-9 * board.lead_off.calibration;
        let scales = board.stream_channels();
        let chip_of = |i: usize| (0..board.layout.n_chips()).find(|chip| board.channels_of(*chip).contains(&i));
        let channels = board.channels.iter().zip(&scales).enumerate().map(|(i, (channel, shown))| {
            let n_sides = u8::from(channel.lead_off.positive) + u8::from(channel.lead_off.negative);
            Channel {
                chip: chip_of(i).unwrap_or(0),
                ohms_per_code: if n_sides > 0 { shown.scale() * 1e-6 / (current_a * droop) } else { 0.0 },
                series_ohms: board.lead_off.series_ohms * f64::from(n_sides),
            }
        });
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some periods")]
        let n_periods = (GATHER_S * frequency_hz).round().max(1.0) as usize;
        let angle = |frame: usize| TAU * frame as f64 / period_frames as f64;
        Some(Impedance {
            n_frames: n_periods * period_frames,
            at: 0,
            turn: (0..period_frames).map(|frame| (angle(frame).cos(), angle(frame).sin())).collect(),
            sums: vec![(0.0, 0.0); board.channels.len()],
            channels: channels.collect(),
            ends: vec![NO_ENDS; board.channels.len()],
            spoiled: vec![false; board.layout.n_chips()],
        })
    }

    /// Begins anew: after a run, or because frames are missing and the phase is lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn begin_anew(&mut self) {
        self.sums.fill((0.0, 0.0));
        self.ends.fill(NO_ENDS);
        self.spoiled.fill(false);
        self.at = 0;
    }

    /// Takes one frame in, with its chips' status words; at the end of a run of whole periods the result goes into `signs`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take(&mut self, codes: &[i32], status: &[u32], signs: &Signs) {
        let (cos, sin) = self.turn[self.at % self.turn.len()];
        for ((real, imaginary), code) in self.sums.iter_mut().zip(codes) {
            *real += f64::from(*code) * cos;
            *imaginary += f64::from(*code) * sin;
        }
        for ((lowest, highest), code) in self.ends.iter_mut().zip(codes) {
            (*lowest, *highest) = ((*lowest).min(*code), (*highest).max(*code));
        }
        for (spoiled, word) in self.spoiled.iter_mut().zip(status) {
            *spoiled |= ChipStatus(*word).has(ChipStatus::SUSPECT);
        }
        self.at += 1;
        if self.at < self.n_frames {
            return;
        }
        let electrodes = signs.electrodes.iter().zip(&self.channels);
        for (((real, imaginary), ends), (electrode, channel)) in self.sums.iter().zip(&self.ends).zip(electrodes) {
            let peak = 2.0 * real.hypot(*imaginary) / self.n_frames as f64;
            if channel.ohms_per_code <= 0.0 || self.spoiled[channel.chip] {
                continue;
            }
            if stands_at_an_end(*ends) {
                electrode.forget_impedance();
            } else {
                electrode.set_impedance_ohms((peak * channel.ohms_per_code - channel.series_ohms).max(0.0));
            }
        }
        self.begin_anew();
    }
}
