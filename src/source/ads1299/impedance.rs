//! Electrode impedance from the alternating lead-off current, while data keep flowing.
//!
//! The chip sends a square current of amplitude `I` through the electrode; at its frequency the channel shows a voltage
//! of peak `V`. So
//!
//! `Z = V / (I * k * droop) - R_series`
//!
//! where `k` is the board's calibration (the true current over the nominal one, which is within 20 %, times the part of
//! the fundamental: `4/pi` for a square wave, which the datasheet does not promise) and `droop` what the converter's
//! third-order sinc filter leaves at that frequency, `(sin(pi f/fs) / (pi f/fs))^3`.

use std::f64::consts::{PI, TAU};

use super::board::Board;
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
    /// Ohms per code of amplitude; 0 where the channel is not watched.
    ohms_per_code: Vec<f64>,
    series_ohms: f64,
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
        let ohms_per_code = board
            .channels
            .iter()
            .zip(&scales)
            .map(|(channel, shown)| {
                // Two electrodes that are excited together cannot be told apart: their sum is shown.
                if channel.lead_off.any() { shown.scale() * 1e-6 / (current_a * droop) } else { 0.0 }
            })
            .collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some periods")]
        let n_periods = (GATHER_S * frequency_hz).round().max(1.0) as usize;
        let angle = |frame: usize| TAU * frame as f64 / period_frames as f64;
        Some(Impedance {
            n_frames: n_periods * period_frames,
            at: 0,
            turn: (0..period_frames).map(|frame| (angle(frame).cos(), angle(frame).sin())).collect(),
            sums: vec![(0.0, 0.0); board.channels.len()],
            ohms_per_code,
            series_ohms: board.lead_off.series_ohms,
        })
    }

    /// Begins anew, because frames are missing: the phase is lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn begin_anew(&mut self) {
        self.sums.fill((0.0, 0.0));
        self.at = 0;
    }

    /// Takes one frame in; at the end of a run of whole periods the result goes into `signs`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take(&mut self, codes: &[i32], signs: &Signs) {
        let (cos, sin) = self.turn[self.at % self.turn.len()];
        for ((real, imaginary), code) in self.sums.iter_mut().zip(codes) {
            *real += f64::from(*code) * cos;
            *imaginary += f64::from(*code) * sin;
        }
        self.at += 1;
        if self.at < self.n_frames {
            return;
        }
        let electrodes = signs.electrodes.iter().zip(&self.ohms_per_code);
        for ((real, imaginary), (electrode, ohms_per_code)) in self.sums.iter_mut().zip(electrodes) {
            let peak = 2.0 * real.hypot(*imaginary) / self.n_frames as f64;
            if *ohms_per_code > 0.0 {
                electrode.set_impedance_ohms((peak * ohms_per_code - self.series_ohms).max(0.0));
            }
            (*real, *imaginary) = (0.0, 0.0);
        }
        self.at = 0;
    }
}
