//! Frames for the self-test: every channel that is on connected to one of the chip's own signals, converted for a while,
//! and kept.

use super::board::{Board, Input};
use super::clock::ConversionClock;
use super::control::Control;
use super::fault::ProofError;
use super::frame;
use super::proof::write_all;
use super::reader::{Read, Reader};
use super::registers::{CLOCK_HZ, Registers};
use super::wire::WireError;

/// What all channels are connected to, with which gain, for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) input: Input,
    /// `None`: each channel's own.
    pub(super) gain: Option<u32>,
    pub(super) seconds: f64,
}

/// At least so many frames, however slow the rate.
const FRAMES_MIN: usize = 16;

/// Frames of all channels, each with the index of its conversion: those that came too late are missing.
#[derive(Debug, Clone, Default)]
pub(super) struct Capture {
    indices: Vec<u64>,
    codes: Vec<i32>,
    /// Microvolts of a code, by channel.
    scales_uv: Vec<f64>,
}

impl Capture {
    /// Conversion and microvolts of every frame of channel `i`.
    pub(super) fn samples(&self, i: usize) -> impl Iterator<Item = (u64, f64)> + Clone + '_ {
        let codes = self.codes.iter().skip(i).step_by(self.scales_uv.len().max(1));
        self.indices.iter().zip(codes).map(move |(index, code)| (*index, f64::from(*code) * self.scales_uv[i]))
    }

    /// The mean of channel `i`, microvolts.
    pub(super) fn mean_uv(&self, i: usize) -> f64 {
        self.samples(i).map(|(_, uv)| uv).sum::<f64>() / self.indices.len().max(1) as f64
    }
}

/// The registers of every chip of `board`.
pub(super) fn registers_of(board: &Board) -> Vec<Registers> {
    (0..board.layout.n_chips()).map(|chip| board.registers(chip)).collect()
}

/// Connects the channels, with every register read back, and converts. The chips stand still afterwards, and keep the
/// connection.
///
/// # Errors
/// When a register does not take its value, no edges come, or a transfer fails.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds of frames")]
pub(super) fn capture(
    control: &mut Control<'_>,
    rate_hz: f64,
    readable: &[bool],
    wanted: Wanted,
) -> Result<Capture, ProofError> {
    let board = control.board;
    let mut connected = board.clone();
    for channel in &mut connected.channels {
        channel.input = wanted.input;
        channel.gain = wanted.gain.unwrap_or(channel.gain);
    }
    write_all(control, &registers_of(&connected), readable)?;
    let of_wire = |error: WireError| ProofError::Wire { chip: 0, error };
    super::sync::drain(control.wire).map_err(of_wire)?;
    let period_ns = 1e9 / rate_hz;
    let started = control.start().map_err(of_wire)?;
    let first_ns = started.before_ns + (4.0 * period_ns + 9e9 / CLOCK_HZ) as u64;
    let mut reader = Reader::new(board, ConversionClock::new(period_ns, 0, first_ns));
    let parts = parts(board);
    let mut capture = Capture {
        scales_uv: connected.stream_channels().iter().map(crate::block::Channel::scale).collect(),
        ..Capture::default()
    };
    let n_frames = ((wanted.seconds * rate_hz) as usize).max(FRAMES_MIN);
    let patience_ns = 100_000_000 + (6.0 * period_ns) as u64;
    let mut newest = 0;
    while newest < n_frames as u64 {
        let deadline_ns = control.wire.now_ns() + patience_ns;
        match reader.next(control.wire, board, deadline_ns).map_err(of_wire)? {
            Read::Frame(frame) => {
                newest = frame.index;
                if !frame.torn {
                    capture.indices.push(frame.index);
                    decode(reader.bytes(&frame), &parts, &mut capture.codes);
                }
            }
            Read::Nothing => return Err(ProofError::NoEdges { n_edges: capture.indices.len() }),
            Read::Failed(_, error) => return Err(of_wire(error)),
        }
    }
    control.stop().map_err(of_wire)?;
    Ok(capture)
}

/// Where each chip's part of a frame begins, in bits, and how many channels it has.
fn parts(board: &Board) -> Vec<(usize, usize)> {
    let mut first_byte = 0;
    let mut parts = Vec::new();
    for select in &board.layout.selects {
        for (depth, bit) in select.part_bits.iter().enumerate() {
            parts.push((first_byte * 8 + bit, board.layout.models[select.first_chip + depth].n_channels()));
        }
        first_byte += select.n_bytes;
    }
    parts
}

fn decode(bytes: &[u8], parts: &[(usize, usize)], codes: &mut Vec<i32>) {
    let (mut part, mut some) = ([0_u8; 27], [0_i32; 8]);
    for (bit, n_channels) in parts {
        frame::take_bits(bytes, *bit, &mut part);
        frame::codes(&part, &mut some[..*n_channels]);
        codes.extend_from_slice(&some[..*n_channels]);
    }
}
