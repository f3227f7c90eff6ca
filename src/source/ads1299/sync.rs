//! The part of start-up that reads frames: gap bits and an SPI clock with which every chip is in sync, and whether there are
//! more chips than the configuration knows.

use super::board::{Board, ReadMode};
use super::budget::Budget;
use super::control::{Control, command};
use super::fault::ProofError;
use super::frame;
use super::layout::Layout;
use super::proof::all;
use super::reader::read_frame;
use super::wire::{Wire, WireError};

/// Frames in which every chip's sync nibble must stand.
pub(super) const SYNC_FRAMES: usize = 100;

/// Throws away edges from before.
pub(super) fn drain(wire: &mut dyn Wire) -> Result<(), WireError> {
    while wire.wait_edge(0)?.is_some() {}
    Ok(())
}

/// Finds the gap bits and an SPI clock with which every chip's nibble is right in every one of [`SYNC_FRAMES`] frames.
pub(super) fn find(control: &mut Control<'_>, rate_hz: f64) -> Result<(usize, u32), ProofError> {
    let gaps: &[usize] = match control.board.gap_bits {
        Some(0) => &[0],
        Some(_) => &[1],
        None => &[0, 1],
    };
    let mut clock_hz = control.board.spi_clock_hz;
    loop {
        let mut worst = None;
        let mut counts = Vec::new();
        for &gap_bits in gaps {
            counts.push(count_bad(control, gap_bits, clock_hz, rate_hz)?);
        }
        for (count, &gap_bits) in counts.iter().zip(gaps) {
            match count {
                None => return Ok((gap_bits, clock_hz)),
                Some(bad) => worst = worst.or(Some(*bad)),
            }
        }
        // A slower clock forgives long wires; as long as a frame still fits between two conversions.
        let slower = clock_hz / 3 * 2;
        if !Budget::of(control.board, control.wire.effective_clock_hz(slower)).fits() || slower < 500_000 {
            let (chip, first_byte, n_bad) = worst.unwrap_or((0, 0, 0));
            return Err(ProofError::NoSync {
                chip,
                first_byte,
                n_bad,
                clock_hz: control.board.spi_clock_hz,
                slowest_hz: clock_hz,
            });
        }
        clock_hz = slower;
    }
}

/// Looks one byte beyond each row: where a status word begins there too, a chip stands behind the last one.
pub(super) fn no_chip_is_left_over(wire: &mut dyn Wire, board: &Board) -> Result<(), ProofError> {
    let mut longer = board.clone();
    for select in longer.layout.selects.iter_mut().filter(|select| select.part_bits.len() > 1) {
        select.part_bits.push(select.n_bytes * 8);
        select.n_bytes += 1;
    }
    let n_chips: usize = longer.layout.selects.iter().map(|select| select.part_bits.len()).sum();
    if n_chips == board.layout.n_chips() || board.layout.gap_bits > 0 {
        // Alone behind its select a chip repeats its frame; behind gap bits a byte would not begin at one.
        return Ok(());
    }
    let mut control = Control { wire, board };
    let n_bad = count_bad_of(&mut control, &longer, n_chips, board.rate_hz)?;
    let mut chip = 0;
    for select in &longer.layout.selects {
        chip += select.part_bits.len();
        if select.part_bits.len() > 1 && n_bad[chip - 1].1 == 0 {
            return Err(ProofError::MoreChips { n_chips: board.layout.n_chips() });
        }
    }
    Ok(())
}

/// Reads [`SYNC_FRAMES`] frames; `None` when all nibbles were right, else the first chip that failed, what its first byte
/// was, and in how many frames.
fn count_bad(
    control: &mut Control<'_>,
    gap_bits: usize,
    clock_hz: u32,
    rate_hz: f64,
) -> Result<Option<(usize, u8, usize)>, ProofError> {
    let layout = &control.board.layout;
    let layout = Layout::new(layout.models.clone(), layout.topology, layout.selects.len(), gap_bits);
    let board = Board { layout, spi_clock_hz: clock_hz, ..control.board.clone() };
    let n_chips = board.layout.n_chips();
    let bad = count_bad_of(control, &board, n_chips, rate_hz)?;
    Ok(bad.iter().enumerate().find(|(_, (_, n_bad))| *n_bad > 0).map(|(chip, (byte, n_bad))| (chip, *byte, *n_bad)))
}

/// Reads [`SYNC_FRAMES`] frames; for each part of a frame, the last wrong first byte and the number of them.
fn count_bad_of(
    control: &mut Control<'_>,
    board: &Board,
    n_parts: usize,
    rate_hz: f64,
) -> Result<Vec<(u8, usize)>, ProofError> {
    let gpio = |error| ProofError::Wire { chip: 0, error };
    let mut bytes = vec![0_u8; board.layout.frame_bytes() + board.layout.selects.len() + 8];
    let mut bad: Vec<(u8, usize)> = vec![(0, 0); n_parts];
    drain(control.wire).map_err(gpio)?;
    if board.read_mode == ReadMode::Rdatac {
        all(control, command::RDATAC)?;
    }
    control.start().map_err(gpio)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a second")]
    let patience_ns = 100_000_000 + (6e9 / rate_hz) as u64;
    let mut n_frames = 0;
    while n_frames < SYNC_FRAMES {
        let deadline_ns = control.wire.now_ns() + patience_ns;
        if control.wire.wait_edge(deadline_ns).map_err(gpio)?.is_none() {
            return Err(ProofError::NoEdges { n_edges: n_frames });
        }
        let mut part = 0;
        for (select, place) in board.layout.selects.iter().enumerate() {
            let frame = read_frame(control.wire, board, select, &mut bytes)
                .map_err(|error| ProofError::Wire { chip: place.first_chip, error })?;
            for bit in &place.part_bits {
                let mut first = [0];
                frame::take_bits(frame, *bit, &mut first);
                if !frame::in_sync(first[0]) {
                    let (byte, n_bad) = &mut bad[part];
                    (*byte, *n_bad) = (first[0], *n_bad + 1);
                }
                part += 1;
            }
        }
        n_frames += 1;
    }
    control.stop().map_err(gpio)?;
    if board.read_mode == ReadMode::Rdatac {
        all(control, command::SDATAC)?;
    }
    Ok(bad)
}
