//! The signals: a counter that anyone can check, a sine, noise, and something that looks like an EEG.

use std::f64::consts::TAU;

/// Makes codes, frame by frame.
#[derive(Debug)]
pub(in crate::source) enum Generator {
    Counter,
    Sine { phase: Rotation, amplitude: f64 },
    Noise { noise: Noise, amplitude: f64 },
    Eeg(Box<Eeg>),
}

/// `code(frame, channel) = ((frame * 64 + channel) mod 2^24) - 2^23`: a promise to everyone who checks a far end.
#[must_use]
pub fn counter_code(frame: u64, channel: usize) -> i32 {
    let word = (frame.wrapping_mul(64).wrapping_add(channel as u64)) & 0x00FF_FFFF;
    i32::try_from(word).unwrap_or(0) - (1 << 23)
}

impl Generator {
    pub(super) fn counter() -> Generator {
        Generator::Counter
    }

    pub(super) fn sine(n_channels: usize, rate_hz: f64, freq_hz: f64, amplitude: f64) -> Generator {
        debug_assert!(n_channels > 0, "checked with the configuration");
        Generator::Sine { phase: Rotation::new(rate_hz, freq_hz), amplitude }
    }

    pub(super) fn noise(n_channels: usize, amplitude: f64) -> Generator {
        debug_assert!(n_channels > 0, "checked with the configuration");
        Generator::Noise { noise: Noise::new(), amplitude }
    }

    pub(in crate::source) fn eeg(n_channels: usize, rate_hz: f64, codes_per_uv: f64) -> Generator {
        Generator::Eeg(Box::new(Eeg::new(n_channels, rate_hz, codes_per_uv)))
    }

    /// Fills whole frames, the first of which has index `first_frame`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(in crate::source) fn fill(&mut self, first_frame: u64, n_channels: usize, codes: &mut [i32]) {
        for (frame, codes) in (first_frame..).zip(codes.chunks_exact_mut(n_channels)) {
            match self {
                Generator::Counter => {
                    for (channel, code) in codes.iter_mut().enumerate() {
                        *code = counter_code(frame, channel);
                    }
                }
                Generator::Sine { phase, amplitude } => {
                    let (sine, _) = phase.at(frame);
                    codes.fill(code(sine * *amplitude));
                }
                Generator::Noise { noise, amplitude } => {
                    for out in codes {
                        *out = code(noise.next() * *amplitude);
                    }
                }
                Generator::Eeg(eeg) => eeg.frame(frame, codes),
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to 24 bit")]
fn code(value: f64) -> i32 {
    value.round().clamp(-8_388_608.0, 8_388_607.0) as i32
}

/// Sine and cosine of a phase that belongs to the frame index, so that missed frames show as a jump.
///
/// Fast because it turns a pair of numbers by one step per frame and computes them afresh only now and then; a
/// `sin` per frame would cost more than the rest of the generator.
#[derive(Debug)]
pub(in crate::source) struct Rotation {
    cycles_per_frame: f64,
    step: (f64, f64),
    sine: f64,
    cosine: f64,
    /// The frame that the pair belongs to.
    frame: u64,
}

/// How many frames a pair is turned before it is computed afresh: rounding stays below 1e-12.
const FRESH_FRAMES: u64 = 1024;

impl Rotation {
    fn new(rate_hz: f64, freq_hz: f64) -> Rotation {
        let cycles_per_frame = freq_hz / rate_hz;
        let step = (TAU * cycles_per_frame).sin_cos();
        Rotation { cycles_per_frame, step, sine: 0.0, cosine: 1.0, frame: 0 }
    }

    fn at(&mut self, frame: u64) -> (f64, f64) {
        if frame == self.frame + 1 && frame % FRESH_FRAMES != 0 {
            let (step_sine, step_cosine) = self.step;
            let sine = self.sine * step_cosine + self.cosine * step_sine;
            self.cosine = self.cosine * step_cosine - self.sine * step_sine;
            self.sine = sine;
        } else if frame != self.frame {
            let cycles = (frame as f64 * self.cycles_per_frame).fract();
            (self.sine, self.cosine) = (TAU * cycles).sin_cos();
        }
        self.frame = frame;
        (self.sine, self.cosine)
    }
}

/// Uniform noise between -1 and 1 (xorshift64*, Vigna 2016), the same at every start.
#[derive(Debug)]
pub(in crate::source) struct Noise(u64);

impl Noise {
    fn new() -> Noise {
        Noise(0x9E37_79B9_7F4A_7C15)
    }

    #[allow(clippy::cast_possible_wrap, reason = "the sign is what is wanted")]
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) as i64) as f64 / (1_u64 << 63) as f64
    }
}

/// Something that looks like an EEG and has what filters are for: each electrode's offset of millivolts, a slow
/// wander, a 1/f background, an alpha rhythm that comes and goes, mains hum at 50 Hz and a blink now and then.
#[derive(Debug)]
pub(in crate::source) struct Eeg {
    codes_per_uv: f64,
    noise: Noise,
    alpha: Rotation,
    waxing: Rotation,
    mains: Rotation,
    blink: Rotation,
    wander: Rotation,
    channels: Vec<Electrode>,
}

#[derive(Debug)]
struct Electrode {
    offset_uv: f64,
    alpha_uv: f64,
    mains_uv: f64,
    blink_uv: f64,
    wander_uv: f64,
    /// Two one-pole low-passes of white noise: their sum falls as 1/f over the band that is looked at.
    slow: f64,
    fast: f64,
    slow_pole: f64,
    fast_pole: f64,
    slow_gain: f64,
    fast_gain: f64,
}

impl Eeg {
    fn new(n_channels: usize, rate_hz: f64, codes_per_uv: f64) -> Eeg {
        let mut noise = Noise::new();
        let pole = |corner_hz: f64| (-TAU * corner_hz / rate_hz).exp();
        // White noise of variance 1/3 through a pole p has a standard deviation of sqrt((1 - p) / (1 + p) / 3).
        let gain = |pole: f64, uv: f64| (1.0 - pole) * uv / ((1.0 - pole) / (1.0 + pole) / 3.0).sqrt();
        let (slow_pole, fast_pole) = (pole(2.0), pole(30.0));
        let channels = (0..n_channels).map(|i| {
            let back = i as f64 / n_channels.max(2) as f64;
            Electrode {
                offset_uv: noise.next() * 8000.0,
                alpha_uv: 4.0 + 22.0 * back,
                mains_uv: 6.0 + 5.0 * noise.next(),
                blink_uv: 90.0 * (0.25 - back).max(0.0) * 4.0,
                wander_uv: 60.0 * noise.next(),
                slow: 0.0,
                fast: 0.0,
                slow_pole,
                fast_pole,
                slow_gain: gain(slow_pole, 9.0),
                fast_gain: gain(fast_pole, 4.0),
            }
        });
        Eeg {
            codes_per_uv,
            channels: channels.collect(),
            alpha: Rotation::new(rate_hz, 10.2),
            waxing: Rotation::new(rate_hz, 0.13),
            mains: Rotation::new(rate_hz, 50.0),
            blink: Rotation::new(rate_hz, 0.23),
            wander: Rotation::new(rate_hz, 0.05),
            noise,
        }
    }

    fn frame(&mut self, frame: u64, codes: &mut [i32]) {
        let waxing = 0.5 + 0.5 * self.waxing.at(frame).0;
        let alpha = self.alpha.at(frame).0 * waxing * waxing;
        let mains = self.mains.at(frame).0;
        let wander = self.wander.at(frame).0;
        // The crest of a slow cosine, sharpened: a blink of a fifth of a second every four seconds.
        let blink = (self.blink.at(frame).1.max(0.0)).powi(64);
        for (code_out, channel) in codes.iter_mut().zip(&mut self.channels) {
            let white = self.noise.next();
            channel.slow = channel.slow * channel.slow_pole + white * channel.slow_gain;
            channel.fast = channel.fast * channel.fast_pole + white * channel.fast_gain;
            let uv = channel.offset_uv
                + channel.slow
                + channel.fast
                + channel.alpha_uv * alpha
                + channel.mains_uv * mains
                + channel.blink_uv * blink
                + channel.wander_uv * wander;
            *code_out = code(uv * self.codes_per_uv);
        }
    }
}
