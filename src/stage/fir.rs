//! The anti-alias filter of `decimate`: linear phase, so that a peak stays where it was and keeps its shape, at the
//! price of a delay.

use std::f64::consts::PI;

use multiversion::multiversion;

/// Frames of the output by which the filter delays: half its length.
///
/// A Kaiser window that attenuates by 80 dB needs `(80 - 8) / (2.285 * w)` taps for a transition of `w` radians
/// (Oppenheim and Schafer, "Discrete-Time Signal Processing", 7.5.3), which is 50 per `factor` for a transition
/// from 0.4 to 0.5 of the new rate; 52 make the delay a whole number of frames.
pub(super) const DELAY_FRAMES: usize = 26;

/// The shape of that window: `0.1102 * (80 - 8.7)`, from the same place.
const KAISER_BETA: f64 = 7.857;

/// Outputs that a frame of the input contributes to, at most; so many are being summed at any time.
const PENDING: usize = 2 * DELAY_FRAMES + 1;

/// Filters every channel and keeps one frame of `factor`.
///
/// It holds no past frames, but the outputs to come: each frame of the input adds to all outputs that its filter
/// reaches, and an output is complete when its last frame has come. So the memory does not grow with the factor, and
/// the work is spread evenly over the frames. A NaN leaves with the last output that it is part of.
#[derive(Debug, Default)]
pub(super) struct Decimator {
    factor: usize,
    n_channels: usize,
    /// For each distance `r` from a frame to the output that is completed next: the frame's taps in that output and
    /// in those after it, [`PENDING`] of them.
    taps: Vec<f64>,
    /// For each of `taps`, the sum of all taps in the same output that belong to earlier frames.
    earlier: Vec<f64>,
    /// The sums of [`PENDING`] outputs, a ring of frames.
    sums: Vec<f64>,
    /// Where in the ring the output stands that is completed next.
    next: usize,
    /// The frame that is being added.
    frame: Vec<f64>,
    started: bool,
}

impl Decimator {
    pub(super) fn new(factor: u32, n_channels: usize) -> Decimator {
        let response = low_pass(factor);
        let factor = factor as usize;
        let tap_numbers: Vec<usize> =
            (0..factor).flat_map(|r| (0..PENDING).map(move |output| r + output * factor)).collect();
        let earlier = |tap: &usize| response.iter().skip(tap + 1).sum();
        Decimator {
            factor,
            n_channels,
            taps: tap_numbers.iter().map(|tap| response.get(*tap).copied().unwrap_or(0.0)).collect(),
            earlier: tap_numbers.iter().map(earlier).collect(),
            sums: vec![0.0; PENDING * n_channels],
            next: 0,
            frame: vec![0.0; n_channels],
            started: false,
        }
    }

    /// Filters the frames in place. Those whose index is a multiple of `factor` give an output; the outputs are left
    /// at the beginning of `samples`. The first frame is taken to have been there for ever.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn process(&mut self, first_frame: u64, samples: &mut [f32]) {
        let n = self.n_channels;
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is below `factor`, a `usize`")]
        let past = (first_frame % self.factor as u64) as usize;
        let mut r = (self.factor - past) % self.factor;
        if !self.started && !samples.is_empty() {
            self.settle(&samples[..n], r);
        }
        let mut n_outputs = 0;
        for i in 0..samples.len() / n {
            for (wide, sample) in self.frame.iter_mut().zip(&samples[i * n..]) {
                *wide = f64::from(*sample);
            }
            add(&self.frame, &self.taps[r * PENDING..][..PENDING], self.next, &mut self.sums);
            if r == 0 {
                self.complete(&mut samples[n_outputs * n..][..n]);
                n_outputs += 1;
                r = self.factor;
            }
            r -= 1;
        }
    }

    /// Forgets the past; the next frame starts anew.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn reset(&mut self) {
        self.started = false;
    }

    /// Sums up what an endless run of the frame `first` has contributed so far, `r` frames before the next output.
    fn settle(&mut self, first: &[f32], r: usize) {
        for (sums, earlier) in self.sums.chunks_exact_mut(self.n_channels).zip(&self.earlier[r * PENDING..]) {
            for (sum, sample) in sums.iter_mut().zip(first) {
                *sum = f64::from(*sample) * earlier;
            }
        }
        self.next = 0;
        self.started = true;
    }

    /// Writes the next output and makes its place in the ring free for one further on.
    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the arithmetic before it is f64")]
    fn complete(&mut self, output: &mut [f32]) {
        let sums = &mut self.sums[self.next * self.n_channels..][..self.n_channels];
        for (sample, sum) in output.iter_mut().zip(&*sums) {
            *sample = *sum as f32;
        }
        sums.fill(0.0);
        self.next = (self.next + 1) % PENDING;
    }
}

/// Adds one frame to the pending outputs, of which `next` is completed first.
///
/// Fast because a tap is the same for all channels, which fill the vector lanes (`cargo bench --bench filter`: 125
/// million samples a second, of 53 multiplications each; with the loops over taps and channels exchanged, 46). A
/// history of frames and one sum over it per output would do the same work in bursts.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[multiversion(targets("x86_64+avx2"))]
fn add(frame: &[f64], taps: &[f64], next: usize, sums: &mut [f64]) {
    let (taps_to_end, taps_from_start) = taps.split_at(PENDING - next);
    let (from_start, to_end) = sums.split_at_mut(next * frame.len());
    for (sums, taps) in [(to_end, taps_to_end), (from_start, taps_from_start)] {
        for (sums, tap) in sums.chunks_exact_mut(frame.len()).zip(taps) {
            for (sum, sample) in sums.iter_mut().zip(frame) {
                *sum += tap * sample;
            }
        }
    }
}

/// The taps of the low-pass, whose sum is 1: the ideal one with its corner at 0.45 of the new rate, in a Kaiser window.
fn low_pass(factor: u32) -> Vec<f64> {
    let half = DELAY_FRAMES as f64 * f64::from(factor);
    let corner = 2.0 * 0.45 / f64::from(factor);
    let mut taps: Vec<f64> = (0..=2 * DELAY_FRAMES * factor as usize)
        .map(|i| {
            let from_centre = i as f64 - half;
            let window = bessel_i0(KAISER_BETA * (1.0 - (from_centre / half).powi(2)).max(0.0).sqrt());
            let phase = PI * corner * from_centre;
            window * if phase == 0.0 { 1.0 } else { phase.sin() / phase }
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

/// The modified Bessel function of order 0, by its series (Abramowitz and Stegun, 9.6.12), whose terms fall below
/// the rounding of the sum long before the fiftieth for the arguments here, up to [`KAISER_BETA`].
fn bessel_i0(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..50 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_keeps_what_the_documentation_promises() {
        for factor in [2, 5, 16, 100] {
            let taps = low_pass(factor);
            // The gain at a frequency in units of the new rate; the taps are symmetric, so cosines do.
            let gain = |freq: f64| -> f64 {
                let w = 2.0 * PI * freq / f64::from(factor);
                let half = (taps.len() / 2) as f64;
                taps.iter().enumerate().map(|(i, tap)| tap * (w * (i as f64 - half)).cos()).sum()
            };
            for step in 0..=100 {
                let part = f64::from(step) / 100.0;
                assert!((gain(0.4 * part) - 1.0).abs() < 1e-4, "passband, factor {factor}");
                let highest = f64::from(factor) / 2.0;
                assert!(gain(0.5 + (highest - 0.5) * part).abs() < 1.1e-4, "stopband, factor {factor}");
            }
        }
    }
}
