//! The optional self-test: every channel with shorted inputs, then with the chip's own test signal (SBAS499C,
//! "Noise Measurements", "Test Signals").

use super::board::{Board, Input, ReadMode};
use super::control::{Control, command};
use super::fault::ProofError;
use super::frame;
use super::reader::read_frame;
use super::registers::{NOISE_UV_RMS, gain_code, rate_code};
use super::wire::Wire;

/// Seconds of each capture: two periods of the test signal, whose half lasts 2^20 cycles of the clock, 0.512 s.
const CAPTURE_S: f64 = 2.1;

/// The accepted noise, in times the datasheet's typical value.
const NOISE_TIMES: std::ops::RangeInclusive<f64> = 0.3..=3.0;

/// The accepted offset, uV: five times the typical one.
const OFFSET_UV_MAX: f64 = 300.0;

/// What was measured, by channel; `None` for channels that are off.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SelfTest {
    /// Noise with shorted inputs, uV rms.
    pub noise_uv: Vec<Option<f64>>,
    /// Half of the test signal's step, uV.
    pub test_uv: Vec<Option<f64>>,
}

/// Measures, compares, and puts the configuration back.
pub(super) fn run(wire: &mut dyn Wire, board: &Board) -> Result<SelfTest, ProofError> {
    let mut found = SelfTest::default();
    let shorted = capture(wire, board, Input::Short)?;
    for (i, statistics) in shorted.iter().enumerate() {
        found.noise_uv.push(statistics.as_ref().map(Statistics::rms));
        if let Some(statistics) = statistics {
            noise_is_right(board, i, statistics)?;
        }
    }
    let tested = capture(wire, board, Input::Test)?;
    for (i, statistics) in tested.iter().enumerate() {
        found.test_uv.push(statistics.as_ref().map(Statistics::amplitude));
        if let Some(statistics) = statistics {
            test_signal_is_right(board, i, statistics)?;
        }
    }
    let mut control = Control { wire, board };
    configure(&mut control, board)?;
    Ok(found)
}

fn place(board: &Board, i: usize) -> (usize, usize) {
    let chip = (0..board.layout.n_chips()).find(|chip| board.channels_of(*chip).contains(&i)).unwrap_or(0);
    (chip, i - board.channels_of(chip).start)
}

fn noise_is_right(board: &Board, i: usize, statistics: &Statistics) -> Result<(), ProofError> {
    let (chip, channel) = place(board, i);
    let rate = usize::from(rate_code(board.rate_hz).unwrap_or(6));
    let gain = usize::from(gain_code(board.channels[i].gain).unwrap_or(0));
    let expected_uv = NOISE_UV_RMS[rate][gain] * board.vref_v / 4.5;
    let (rms_uv, mean_uv) = (statistics.rms(), statistics.mean);
    if NOISE_TIMES.contains(&(rms_uv / expected_uv)) && mean_uv.abs() < OFFSET_UV_MAX {
        return Ok(());
    }
    Err(ProofError::Noise { chip, channel, rms_uv, mean_uv, expected_uv })
}

fn test_signal_is_right(board: &Board, i: usize, statistics: &Statistics) -> Result<(), ProofError> {
    let (chip, channel) = place(board, i);
    let (amplitude_uv, expected_uv) = (statistics.amplitude(), board.vref_v / 2400.0 * 1e6);
    if (amplitude_uv / expected_uv - 1.0).abs() <= 0.05 {
        return Ok(());
    }
    Err(ProofError::TestSignal { chip, channel, amplitude_uv, expected_uv })
}

/// Running mean, variance and mean absolute value, in uV.
#[derive(Debug, Clone, PartialEq, Default)]
struct Statistics {
    n: f64,
    mean: f64,
    squares: f64,
    magnitude: f64,
}

impl Statistics {
    fn add(&mut self, uv: f64) {
        self.n += 1.0;
        let difference = uv - self.mean;
        self.mean += difference / self.n;
        self.squares += difference * (uv - self.mean);
        self.magnitude += uv.abs();
    }

    fn rms(&self) -> f64 {
        (self.squares / self.n.max(1.0)).sqrt()
    }

    /// Of a square wave, its distance from zero: the mean magnitude.
    fn amplitude(&self) -> f64 {
        self.magnitude / self.n.max(1.0)
    }
}

fn configure(control: &mut Control<'_>, board: &Board) -> Result<(), ProofError> {
    for (select, place) in board.layout.selects.iter().enumerate() {
        let registers = board.registers(place.first_chip);
        for first in [0x01, 0x14] {
            let last = if first == 0x01 { 0x11 } else { 0x17 };
            control
                .write(select, first, &registers[first..=last])
                .map_err(|error| ProofError::Wire { chip: place.first_chip, error })?;
        }
    }
    Ok(())
}

/// Connects every channel that is on to `input`, converts for [`CAPTURE_S`], and gathers each channel's statistics.
fn capture(wire: &mut dyn Wire, board: &Board, input: Input) -> Result<Vec<Option<Statistics>>, ProofError> {
    let mut tested = board.clone();
    for channel in &mut tested.channels {
        channel.input = input;
    }
    let gpio = |error| ProofError::Wire { chip: 0, error };
    let mut control = Control { wire, board: &tested };
    configure(&mut control, &tested)?;
    if board.read_mode == ReadMode::Rdatac {
        control.command_all(command::RDATAC).map_err(gpio)?;
    }
    while control.wire.wait_edge(0).map_err(gpio)?.is_some() {}
    control.start().map_err(gpio)?;
    let mut found: Vec<Option<Statistics>> =
        board.channels.iter().map(|channel| channel.power.then(Statistics::default)).collect();
    let scale_uv: Vec<f64> = board.stream_channels().iter().map(crate::block::Channel::scale).collect();
    let mut bytes = vec![0_u8; board.layout.frame_bytes() + 16];
    let (mut part, mut codes) = ([0_u8; 27], [0_i32; 8]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "two seconds of frames")]
    let n_frames = (CAPTURE_S * board.rate_hz) as usize;
    for n_edges in 0..n_frames {
        let deadline_ns = control.wire.now_ns() + 200_000_000;
        if control.wire.wait_edge(deadline_ns).map_err(gpio)?.is_none() {
            return Err(ProofError::NoEdges { n_edges });
        }
        for (select, place) in board.layout.selects.iter().enumerate() {
            let frame = read_frame(control.wire, board, select, &mut bytes)
                .map_err(|error| ProofError::Wire { chip: place.first_chip, error })?;
            for (depth, bit) in place.part_bits.iter().enumerate() {
                let chip = place.first_chip + depth;
                let range = board.channels_of(chip);
                frame::take_bits(frame, *bit, &mut part);
                frame::codes(&part, &mut codes[..range.len()]);
                for (i, code) in range.zip(codes) {
                    if let Some(statistics) = &mut found[i] {
                        statistics.add(f64::from(code) * scale_uv[i]);
                    }
                }
            }
        }
    }
    control.stop().map_err(gpio)?;
    if board.read_mode == ReadMode::Rdatac {
        control.command_all(command::SDATAC).map_err(gpio)?;
    }
    Ok(found)
}
