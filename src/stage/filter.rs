//! Runs second-order sections over every channel of a block: the engine of all recursive filters here. What the
//! sections are is [`design`](super::design)'s business; this file knows only how to run them well.

use multiversion::multiversion;

use crate::block::Block;

/// One second-order section, `y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]`.
///
/// Mind the sign: `a1` and `a2` stand as in the denominator `1 + a1/z + a2/z^2`, as in SciPy and MATLAB.
pub type Section = biquad::Coefficients<f64>;

/// Channels that are worked on together: four vectors of two `f64` (SSE2, NEON), two of four (AVX2). Fewer leave the
/// processor waiting for each filter's last output, more run out of registers.
const LANES: usize = 8;

/// Sections one after the other, with a memory of their own for every channel.
///
/// Coefficients and state are `f64`: at 4 kHz and 0.1 Hz the poles of an `f32` section lie outside the unit circle.
#[derive(Debug, Default)]
pub struct Cascade {
    sections: Vec<Section>,
    /// For each group of [`LANES`] channels, the state of each section; the last group is padded with idle lanes.
    states: Vec<State>,
    n_channels: usize,
    started: bool,
}

/// What one section remembers of [`LANES`] channels (transposed direct form II: two numbers a channel).
///
/// Fast because no vector straddles two cache lines: the alignment is worth a tenth.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct State {
    s1: [f64; LANES],
    s2: [f64; LANES],
}

impl Cascade {
    /// `sections` in the order they are run, for frames of `n_channels` samples.
    #[must_use]
    pub fn new(sections: Vec<Section>, n_channels: usize) -> Cascade {
        let states = vec![State::default(); sections.len() * n_channels.div_ceil(LANES)];
        Cascade { sections, states, n_channels, started: false }
    }

    /// Filters a block in place. The first frame after [`Cascade::new`] or [`Cascade::reset`] is taken to have
    /// been there for ever: an electrode offset makes no transient.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn process(&mut self, block: &mut Block) {
        if self.sections.is_empty() {
            return;
        }
        if !self.started {
            let Some(first) = block.frames_mut().next() else { return };
            self.settle(first);
            self.started = true;
        }
        run(block.samples_mut(), self.n_channels, &self.sections, &mut self.states);
        self.tidy();
    }

    /// Forgets the past; the next frame starts anew.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn reset(&mut self) {
        self.started = false;
    }

    /// Puts every section into the state it would have after an endless run of the frame `first`.
    fn settle(&mut self, first: &[f32]) {
        let groups = first.chunks(LANES).zip(self.states.chunks_exact_mut(self.sections.len()));
        for (group, states) in groups {
            for (lane, sample) in group.iter().enumerate() {
                let mut x = f64::from(*sample);
                for (c, state) in self.sections.iter().zip(&mut *states) {
                    // A constant input gives a constant output, and the state equations follow from that.
                    let y = x * (c.b0 + c.b1 + c.b2) / (1.0 + c.a1 + c.a2);
                    state.s1[lane] = y - c.b0 * x;
                    state.s2[lane] = c.b2 * x - c.a2 * y;
                    x = y;
                }
            }
        }
    }

    /// Zeroes what must not stay in a state. A channel that stands at exactly zero lets it decay into denormal
    /// numbers, on which x86 is tens of times slower; what is below 1e-60 cannot reach an `f32` any more. And a
    /// single NaN or infinity from a stage before this one would stay for ever: so it costs a transient instead.
    fn tidy(&mut self) {
        for state in &mut self.states {
            for s in state.s1.iter_mut().chain(&mut state.s2) {
                let sound = (1e-60..f64::INFINITY).contains(&s.abs());
                *s = if sound { *s } else { 0.0 };
            }
        }
    }
}

/// The loop that all time is spent in.
///
/// Fast because neighbouring channels are independent and fill the vector lanes, while one filter would wait for
/// its own last output; because a group of channels stays in registers from section to section and is converted from
/// and to `f32` once; and because the compiler makes this function twice, for any x86-64 and for those with AVX2, of
/// which the processor picks at the first call. High-pass 2 + notch + low-pass 4, 32 channels, blocks of 40 frames,
/// million samples a second (`cargo bench --bench filter`, Xeon at 2.9 GHz): 630, without AVX2 320, a filter object
/// per channel 160. One struct per channel or a pass over the block per section would undo it. Both versions give
/// the same bits, because Rust never fuses a multiplication with an addition by itself.
///
/// Real time: no allocation, no locks, no waiting, no logging.
#[multiversion(targets("x86_64+avx2"))]
fn run(samples: &mut [f32], n_channels: usize, sections: &[Section], states: &mut [State]) {
    let n_sections = sections.len();
    for frame in samples.chunks_exact_mut(n_channels) {
        let mut groups = frame.chunks_exact_mut(LANES);
        let mut states = states.chunks_exact_mut(n_sections);
        for (group, states) in groups.by_ref().zip(states.by_ref()) {
            pass(group, sections, states);
        }
        if let Some(states) = states.next() {
            pass(groups.into_remainder(), sections, states);
        }
    }
}

/// Takes one frame of a group of channels through all sections. Called for whole groups and for the rest of a frame
/// from different places, so that the compiler knows the length of a whole one and keeps it in registers.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the arithmetic before it is f64")]
fn pass(group: &mut [f32], sections: &[Section], states: &mut [State]) {
    let mut lanes = [0.0; LANES];
    for (lane, sample) in lanes.iter_mut().zip(&*group) {
        *lane = f64::from(*sample);
    }
    for (c, state) in sections.iter().zip(states) {
        for ((x, s1), s2) in lanes.iter_mut().zip(&mut state.s1).zip(&mut state.s2) {
            let y = c.b0 * *x + *s1;
            *s1 = c.b1 * *x - c.a1 * y + *s2;
            *s2 = c.b2 * *x - c.a2 * y;
            *x = y;
        }
    }
    for (sample, lane) in group.iter_mut().zip(&lanes) {
        *sample = *lane as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Channel, Stream};
    use crate::stage::design;

    /// As many channels as make one whole group and a rest.
    const N_CHANNELS: usize = LANES + 3;

    fn block(value: impl Fn(usize) -> f32, n_frames: usize) -> Block {
        let channels = (0..N_CHANNELS).map(|i| Channel::microvolts_24_bit(&i.to_string(), 1.0)).collect();
        let stream = Stream { rate_hz: 4000.0, channels, block_frames_max: n_frames, ratio: 1, delay_s: 0.0 };
        let frame: Vec<f32> = (0..N_CHANNELS).map(value).collect();
        Block::from_samples(&stream, &frame.repeat(n_frames))
    }

    fn high_pass() -> Cascade {
        Cascade::new(design::high_pass(8, 0.1, 4000.0).expect("a filter"), N_CHANNELS)
    }

    #[test]
    fn an_offset_gives_nothing_after_a_high_pass_and_itself_after_a_low_pass() {
        let offset = |channel: usize| 1e5 * (channel as f32 - 4.0);
        let mut constant = block(offset, 400);
        high_pass().process(&mut constant);
        assert_eq!(constant.samples(), block(|_| 0.0, 400).samples());

        let mut constant = block(offset, 400);
        Cascade::new(design::low_pass(8, 0.1, 4000.0).expect("a filter"), N_CHANNELS).process(&mut constant);
        for (y, x) in constant.samples().iter().zip(block(offset, 400).samples()) {
            // Each of four sections has a gain at 0 Hz of 1 to within 1e-16 over the square of 2 pi 0.1 / 4000.
            assert!((y - x).abs() <= 2e-7 * x.abs(), "{y} instead of {x}");
        }
    }

    #[test]
    fn a_channel_of_a_whole_group_and_one_of_the_rest_are_filtered_alike() {
        let mut filter = high_pass();
        for value in [3.0, -50.0, 1e4, 0.25] {
            let mut same = block(|_| value, 7);
            filter.process(&mut same);
            assert!(same.frames_mut().all(|frame| frame.iter().all(|y| y.to_bits() == frame[0].to_bits())));
        }
    }

    #[test]
    fn a_block_without_frames_does_not_start_the_filter() {
        let mut filter = high_pass();
        filter.process(&mut block(|_| 7.0, 0));
        let mut constant = block(|_| 1e5, 40);
        filter.process(&mut constant);
        assert_eq!(constant.samples(), block(|_| 0.0, 40).samples());
    }

    #[test]
    fn a_nan_costs_one_block_of_its_channel_and_a_transient() {
        let mut filter = high_pass();
        filter.process(&mut block(|channel| if channel == 1 { f32::NAN } else { 1.0 }, 1));
        let mut next = block(|_| 1.0, 40);
        filter.process(&mut next);
        assert!(next.samples().iter().all(|y| y.is_finite()));
        assert!(next.frames_mut().all(|frame| frame[0] == 0.0), "the other channels notice nothing");
    }

    #[test]
    fn silence_leaves_no_denormal_numbers_in_the_state() {
        let mut filter = Cascade::new(design::low_pass(4, 400.0, 4000.0).expect("a filter"), N_CHANNELS);
        filter.process(&mut block(|_| 1.0, 1));
        for _ in 0..100 {
            filter.process(&mut block(|_| 0.0, 40));
        }
        assert!(filter.states.iter().flat_map(|state| state.s1).all(|s| s == 0.0));
    }
}
