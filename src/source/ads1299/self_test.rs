//! The optional self-test: what the chips measure of themselves, held against the datasheet (SBAS499C, "Noise
//! Measurements", "Test Signals", "Temperature Sensor", "Supply Measurements").
//!
//! Noise and the test signal are made from the same reference that they are measured with, so they look right whatever
//! it is: they find a wrong gain, a noisy channel, one that stands still, and a chip whose clock is not its neighbours'. Only
//! temperature and supplies are voltages of their own: a reference that is not `vref_v` moves all of them by one factor.

use super::board::{Board, Input};
use super::capture::{Capture, Wanted, capture, registers_of};
use super::control::Control;
use super::fault::ProofError;
use super::proof::write_all;
use super::registers::{NOISE_UV_RMS, gain_code, rate_code};

/// Seconds of noise, and of the test signal: two periods, whose half lasts 2^20 cycles of the clock, 0.512 s.
const CAPTURE_S: f64 = 2.1;

/// Seconds of a voltage that stands still.
const LEVEL_S: f64 = 0.05;

/// The accepted noise, in times the datasheet's typical value.
const NOISE_TIMES: std::ops::RangeInclusive<f64> = 0.3..=3.0;

/// The accepted offset, uV: five times the typical one.
const OFFSET_UV_MAX: f64 = 300.0;

/// The accepted amplitude of the test signal, in times what it should be: 2 % by the datasheet, with the gain's error and
/// room.
const TEST_TIMES: std::ops::RangeInclusive<f64> = 0.95..=1.05;

/// Cycles of the clock between two turns of the test signal.
const HALF_PERIOD_CLOCKS: f64 = 1_048_576.0;

/// How far two turns may be from their distance, samples, and as much more as samples are missing at a turn.
///
/// The place of a turn is known to a part of a sample: noise moves it by its own size over the step from one sample to the
/// next, which is 1.3 times the amplitude: 0.01 samples where there is most noise (16 kHz, gain 1). At 250 frames per second a
/// quarter sample is 0.2 % of the distance, at 16 kHz 30 ppm.
const TURN_SAMPLES: f64 = 0.25;

/// Accepted voltages of the supplies, V: AVDD - AVSS from 4.75 to 5.25, of which the middle is measured, or AVDD and AVSS
/// around 0; DVDD from 1.8 to 3.6 ("Recommended Operating Conditions"); and 2 % for gain and reference.
const MIDDLE_V: std::ops::RangeInclusive<f64> = 2.33..=2.68;
const MIDDLE_OF_TWO_V: std::ops::RangeInclusive<f64> = -0.2..=0.2;
const DVDD_V: std::ops::RangeInclusive<f64> = 1.76..=3.67;

/// Accepted temperature of a chip, degrees Celsius.
const TEMPERATURE_C: std::ops::RangeInclusive<f64> = 0.0..=70.0;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SelfTest {
    /// Noise with shorted inputs, uV rms, by channel; `None` for channels that are off, as below.
    pub noise_uv: Vec<Option<f64>>,
    /// Half of the test signal's step, uV, by channel.
    pub test_uv: Vec<Option<f64>>,
    /// Samples from one turn of the test signal to the next, by channel.
    pub turn_samples: Vec<Option<f64>>,
    /// By chip.
    pub voltages: Vec<Voltages>,
}

/// What a chip measures of its surroundings; `None` where no channel that could is on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Voltages {
    /// The middle of the analogue supply, V.
    pub middle_v: Option<f64>,
    /// The digital supply, V.
    pub dvdd_v: Option<f64>,
    /// Degrees Celsius.
    pub temperature_c: Option<f64>,
}

/// Measures and compares. Afterwards every register is what it was, read back.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(control: &mut Control<'_>, rate_hz: f64, readable: &[bool]) -> Result<SelfTest, ProofError> {
    let board = control.board;
    let mut take = |input, gain, seconds| capture(control, rate_hz, readable, Wanted { input, gain, seconds });
    let mut found = SelfTest::default();

    let shorted = take(Input::Short, None, CAPTURE_S)?;
    for (i, channel) in board.channels.iter().enumerate() {
        found.noise_uv.push(if channel.power { Some(noise_is_right(board, i, &shorted)?) } else { None });
    }
    let tested = take(Input::Test, None, CAPTURE_S)?;
    for (i, channel) in board.channels.iter().enumerate() {
        let square = if channel.power { Some(test_signal_is_right(board, i, &tested)?) } else { None };
        found.test_uv.push(square.as_ref().map(|square| square.amplitude_uv));
        found.turn_samples.push(square.and_then(|square| square.turn_samples()));
    }
    // Last, because a channel that is wrong by itself would look like a supply that is.
    let (supply, temperature) = (take(Input::Supply, Some(1), LEVEL_S)?, take(Input::Temperature, Some(1), LEVEL_S)?);
    for chip in 0..board.layout.n_chips() {
        let voltages = voltages(board, chip, &supply, &temperature);
        voltages_are_right(chip, &voltages)?;
        found.voltages.push(voltages);
    }
    write_all(control, &registers_of(board), readable)?;
    Ok(found)
}

/// The chip of channel `i`, and its number there.
fn place(board: &Board, i: usize) -> (usize, usize) {
    let chip = (0..board.layout.n_chips()).find(|chip| board.channels_of(*chip).contains(&i)).unwrap_or(0);
    (chip, i - board.channels_of(chip).start)
}

/// Channels 3 and 4 measure a quarter of DVDD, the others the middle of the analogue supply; all of them the temperature,
/// 145.3 mV at 25 degrees and 490 uV more for each further one.
fn voltages(board: &Board, chip: usize, supply: &Capture, temperature: &Capture) -> Voltages {
    let range = board.channels_of(chip);
    let mean_uv = |capture: &Capture, measures: &dyn Fn(usize) -> bool| {
        let uv: Vec<f64> = range
            .clone()
            .filter(|i| board.channels[*i].power && measures(i - range.start))
            .map(|i| capture.mean_uv(i))
            .collect();
        (!uv.is_empty()).then(|| uv.iter().sum::<f64>() / uv.len() as f64)
    };
    let digital = |channel: usize| matches!(channel, 2 | 3);
    Voltages {
        middle_v: mean_uv(supply, &|channel| !digital(channel)).map(|uv| uv * 1e-6),
        dvdd_v: mean_uv(supply, &digital).map(|uv| uv * 4e-6),
        temperature_c: mean_uv(temperature, &|_| true).map(|uv| (uv - 145_300.0) / 490.0 + 25.0),
    }
}

fn voltages_are_right(chip: usize, voltages: &Voltages) -> Result<(), ProofError> {
    let Voltages { middle_v, dvdd_v, temperature_c } = *voltages;
    let right = middle_v.is_none_or(|volts| MIDDLE_V.contains(&volts) || MIDDLE_OF_TWO_V.contains(&volts))
        && dvdd_v.is_none_or(|volts| DVDD_V.contains(&volts))
        && temperature_c.is_none_or(|celsius| TEMPERATURE_C.contains(&celsius));
    if right { Ok(()) } else { Err(ProofError::Voltages { chip, middle_v, dvdd_v, temperature_c }) }
}

/// The noise of channel `i`, uV rms.
fn noise_is_right(board: &Board, i: usize, capture: &Capture) -> Result<f64, ProofError> {
    let (chip, channel) = place(board, i);
    let rate = usize::from(rate_code(board.rate_hz).unwrap_or(6));
    let gain = usize::from(gain_code(board.channels[i].gain).unwrap_or(0));
    let expected_uv = NOISE_UV_RMS[rate][gain] * board.vref_v / 4.5;
    let mean_uv = capture.mean_uv(i);
    let squares: Vec<f64> = capture.samples(i).map(|(_, uv)| (uv - mean_uv).powi(2)).collect();
    let rms_uv = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt();
    if NOISE_TIMES.contains(&(rms_uv / expected_uv)) && mean_uv.abs() < OFFSET_UV_MAX {
        return Ok(rms_uv);
    }
    Err(ProofError::Noise { chip, channel, rms_uv, mean_uv, expected_uv })
}

fn test_signal_is_right(board: &Board, i: usize, capture: &Capture) -> Result<Square, ProofError> {
    let (chip, channel) = place(board, i);
    let expected_uv = board.vref_v / 2400.0 * 1e6;
    let square = Square::of(capture.samples(i));
    let amplitude_uv = square.amplitude_uv;
    // A signal that is not there has no number for an amplitude, which is in no range.
    if !TEST_TIMES.contains(&(amplitude_uv / expected_uv)) {
        return Err(ProofError::TestSignal { chip, channel, amplitude_uv, expected_uv });
    }
    let expected = HALF_PERIOD_CLOCKS * board.rate_hz / super::registers::CLOCK_HZ;
    match square.worst_distance(expected) {
        Some(samples) if (samples - expected).abs() <= TURN_SAMPLES => Ok(square),
        samples => Err(ProofError::TestPeriod { chip, channel, samples, expected }),
    }
}

/// A square wave as it was measured.
#[derive(Debug, Clone, PartialEq)]
struct Square {
    amplitude_uv: f64,
    /// Where it turned, in conversions, and how many of them are missing at that place.
    turns: Vec<(f64, f64)>,
}

impl Square {
    fn of(samples: impl Iterator<Item = (u64, f64)> + Clone) -> Square {
        let mean_of = |wanted: fn(f64) -> bool| {
            let (n, sum) =
                samples.clone().filter(|(_, uv)| wanted(*uv)).fold((0.0, 0.0), |(n, sum), (_, uv)| (n + 1.0, sum + uv));
            sum / n
        };
        let (high_uv, low_uv) = (mean_of(|uv| uv > 0.0), mean_of(|uv| uv <= 0.0));
        let middle_uv = f64::midpoint(high_uv, low_uv);
        let pairs = samples.clone().zip(samples.skip(1));
        let turns = pairs
            .map(|((i, a), (j, b))| ((i, a - middle_uv), (j, b - middle_uv)))
            .filter(|((_, a), (_, b))| (*a > 0.0) != (*b > 0.0))
            .map(|((i, a), (j, b))| {
                let between = (j - i) as f64;
                (i as f64 + between * a / (a - b), between - 1.0)
            })
            .collect();
        Square { amplitude_uv: (high_uv - low_uv) / 2.0, turns }
    }

    /// The distances of neighbouring turns, less what missing samples may have made of them.
    fn distances(&self, expected: f64) -> impl Iterator<Item = f64> + '_ {
        self.turns.windows(2).map(move |pair| {
            let ((from, missing_before), (to, missing_after)) = (pair[0], pair[1]);
            let off = to - from - expected;
            expected + off.signum() * (off.abs() - missing_before - missing_after).max(0.0)
        })
    }

    /// The distance that is farthest from `expected`; `None` where it does not turn twice.
    fn worst_distance(&self, expected: f64) -> Option<f64> {
        self.distances(expected).max_by(|a, b| (a - expected).abs().total_cmp(&(b - expected).abs()))
    }

    /// Samples from one turn to the next, on average.
    fn turn_samples(&self) -> Option<f64> {
        let (first, last) = (self.turns.first()?.0, self.turns.last()?.0);
        (self.turns.len() > 1).then(|| (last - first) / (self.turns.len() - 1) as f64)
    }
}
