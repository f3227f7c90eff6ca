//! The part of start-up that reads frames: gap bits and an SPI clock with which every chip is in sync, and whether there are
//! more chips than the configuration knows.

use std::hash::{DefaultHasher, Hasher};

use super::board::{Board, ReadMode};
use super::budget::{Budget, KEEP_OUT_NS};
use super::check::known_word;
use super::clock::ConversionClock;
use super::control::Control;
use super::fault::ProofError;
use super::frame;
use super::layout::{Layout, Select};
use super::proof::{of_select, write_all};
use super::reader::read_frame;
use super::registers::{Registers, address};
use super::wire::{Wire, WireError};

/// Frames in which every chip's sync nibble must stand.
pub(super) const SYNC_FRAMES: usize = 100;

/// So many frames that were read too late are read again, where a late read tears a frame.
const LATE_MAX: usize = 4 * SYNC_FRAMES;

/// Conversions until the clock knows whether an interrupt was late, so that a read can be called late.
const CLOCK_SETTLES: u64 = 10;

/// CONFIG1 bit 6, DAISY_EN: clear, the chip passes on what comes after its own bits; set, it repeats its frame.
const READS_BACK: u8 = 0x40;

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
            let (chip, word, n_bad) = worst.unwrap_or((0, [0; 3], 0));
            let first_byte = word[0];
            if frame::in_sync(first_byte) {
                let (read, wrote) = (word[2] & 0x0F, control.board.high_pins);
                return Err(ProofError::Echo { chip, read, wrote, n_bad });
            }
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

/// Looks one byte beyond the last chip of each select: where a status word begins there too, another one stands behind it. Alone
/// behind its select a chip repeats its own frame; for this look it passes on what comes after it, as in a row. Nor may one chip be
/// read in the place of two. Answers the bits that were 1 in any status word of each chip.
pub(super) fn no_chip_is_left_over(
    wire: &mut dyn Wire,
    board: &Board,
    readable: &[bool],
) -> Result<Vec<u32>, ProofError> {
    let mut control = Control { wire, board };
    let wanted: Vec<Registers> = (0..board.layout.n_chips()).map(|chip| board.registers(chip)).collect();
    let is_alone = |select: &Select| select.part_bits.len() == 1;
    let mut longer = board.clone();
    for (i, select) in longer.layout.selects.iter_mut().enumerate() {
        let last = select.first_chip + select.part_bits.len() - 1;
        let end = select.part_bits.last().copied().unwrap_or(0) + board.layout.models[last].frame_bytes() * 8;
        // Where there is no row nobody knows of a bit between its chips.
        let gaps = if is_alone(select) { 0..=1 } else { board.layout.gap_bits..=board.layout.gap_bits };
        select.n_bytes = frame::bytes_of(end + gaps.end() + 8);
        select.part_bits.extend(gaps.map(|gap_bits| end + gap_bits));
        if is_alone(&board.layout.selects[i]) {
            let config1 = wanted[select.first_chip][address::CONFIG1] & !READS_BACK;
            control.write(i, address::CONFIG1, &[config1]).map_err(|error| of_select(&control, i, error))?;
        }
    }
    let n_parts = longer.layout.selects.iter().map(|select| select.part_bits.len()).sum();
    let parts = count_bad_of(&mut control, &longer, n_parts, board.rate_hz)?;
    let mut part = 0;
    for (with, select) in longer.layout.selects.iter().zip(&board.layout.selects) {
        let beyond = &parts[part + select.part_bits.len()..part + with.part_bits.len()];
        if beyond.iter().any(|part| part.n_bad == 0) {
            return Err(ProofError::MoreChips { n_chips: board.layout.n_chips() });
        }
        part += with.part_bits.len();
    }
    if let Some((chip, other)) = twins(&parts) {
        return Err(ProofError::Twins { chip, other });
    }
    if board.layout.selects.iter().any(is_alone) {
        write_all(&mut control, &wanted, readable)?;
    }
    Ok(parts.iter().filter(|part| part.is_chip).map(|part| part.ones).collect())
}

/// What stood in one part of [`SYNC_FRAMES`] frames.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// A chip is expected there.
    is_chip: bool,
    /// The last wrong status word, and how many there were.
    word: [u8; 3],
    n_bad: usize,
    /// Bits that were 1 in any of them.
    ones: u32,
    /// A sum over the codes of the last frame, and how often it was another than in the frame before.
    codes: u64,
    n_moved: usize,
    /// Parts whose codes were others in any frame, the first in bit 0.
    differs: u32,
}

impl Part {
    fn take(&mut self, frame: &[u8], first_bit: usize, codes: &mut [u8]) {
        frame::take_bits(frame, first_bit + 24, codes);
        let mut sum = DefaultHasher::new();
        sum.write(codes);
        let codes = sum.finish();
        self.n_moved += usize::from(codes != self.codes);
        self.codes = codes;
    }
}

/// The first two chips whose codes were the same in every frame although they moved: noise alone makes those of two chips differ.
fn twins(parts: &[Part]) -> Option<(usize, usize)> {
    let chips: Vec<(usize, &Part)> = parts.iter().enumerate().filter(|(_, part)| part.is_chip).collect();
    let pairs = (0..chips.len()).flat_map(|one| (one + 1..chips.len()).map(move |other| (one, other)));
    let are_same = |(one, other): &(usize, usize)| {
        let ((_, part), (other, _)) = (chips[*one], chips[*other]);
        part.n_moved > SYNC_FRAMES / 2 && part.differs >> other & 1 == 0
    };
    pairs.into_iter().find(are_same)
}

/// Reads [`SYNC_FRAMES`] frames; `None` when all that is known of status words was right, else the first chip that failed, what
/// its status word was, and in how many frames.
fn count_bad(
    control: &mut Control<'_>,
    gap_bits: usize,
    clock_hz: u32,
    rate_hz: f64,
) -> Result<Option<(usize, [u8; 3], usize)>, ProofError> {
    let layout = &control.board.layout;
    let layout = Layout::new(layout.models.clone(), layout.topology, layout.selects.len(), gap_bits);
    let board = Board { layout, spi_clock_hz: clock_hz, ..control.board.clone() };
    let n_chips = board.layout.n_chips();
    let parts = count_bad_of(control, &board, n_chips, rate_hz)?;
    Ok(parts.iter().enumerate().find(|(_, part)| part.n_bad > 0).map(|(chip, part)| (chip, part.word, part.n_bad)))
}

/// Reads [`SYNC_FRAMES`] frames. Of what stands behind the chips of a select the sync nibble alone is known.
fn count_bad_of(
    control: &mut Control<'_>,
    board: &Board,
    n_parts: usize,
    rate_hz: f64,
) -> Result<Vec<Part>, ProofError> {
    let gpio = |error| ProofError::Wire { chip: 0, error };
    let mut bytes = vec![0_u8; board.layout.frame_bytes() + board.layout.selects.len() + 8];
    let (mut parts, mut codes) = (vec![Part::default(); n_parts], [0; 24]);
    let (known_mask, known) = known_word(board);
    drain(control.wire).map_err(gpio)?;
    control.start().map_err(gpio)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a second")]
    let patience_ns = 100_000_000 + (6e9 / rate_hz) as u64;
    let (mut n_frames, mut n_late) = (0, 0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "two microseconds")]
    let keep_out_ns = KEEP_OUT_NS as u64;
    // Interrupts may be late too: the clock follows the earliest of them.
    let (mut clock, mut interrupts, mut was_late) = (None::<ConversionClock>, None, false);
    while n_frames < SYNC_FRAMES {
        let deadline_ns = control.wire.now_ns() + patience_ns;
        let Some(edge) = control.wire.wait_edge(deadline_ns).map_err(gpio)? else {
            control.stop().map_err(gpio)?;
            return Err(ProofError::NoEdges { n_edges: n_frames });
        };
        let clock = clock.get_or_insert_with(|| ConversionClock::new(1e9 / rate_hz, 0, edge.at_ns));
        let passed = interrupts.replace(edge.n_interrupts).map_or(1, |before| edge.n_interrupts.wrapping_sub(before));
        let index = clock.edge(edge.at_ns, u64::from(passed));
        let judged = parts.clone();
        let mut part = 0;
        for (select, place) in board.layout.selects.iter().enumerate() {
            let frame = read_frame(control.wire, board, select, &mut bytes)
                .map_err(|error| ProofError::Wire { chip: place.first_chip, error })?;
            let n_chips = control.board.layout.selects[select].part_bits.len();
            for (depth, bit) in place.part_bits.iter().enumerate() {
                let mut word = [0; 3];
                frame::take_bits(frame, *bit, &mut word);
                let number = u32::from_be_bytes([0, word[0], word[1], word[2]]);
                let echoes = depth >= n_chips || number & known_mask == known;
                let of = &mut parts[part];
                of.is_chip = depth < n_chips;
                of.ones |= number;
                if !(frame::in_sync(word[0]) && echoes) {
                    (of.word, of.n_bad) = (word, of.n_bad + 1);
                }
                if of.is_chip {
                    let n_bytes = board.layout.models[place.first_chip + depth].frame_bytes() - 3;
                    of.take(frame, *bit, &mut codes[..n_bytes]);
                }
                part += 1;
            }
        }
        for one in 0..parts.len() {
            let differs = (0..parts.len()).filter(|other| parts[*other].codes != parts[one].codes);
            parts[one].differs |= differs.map(|other| 1_u32 << other).sum::<u32>();
        }
        // As in the run. A read that is late takes bits of the next frame too.
        let end_ns = control.wire.now_ns() + keep_out_ns;
        let late = clock.newest_at(end_ns, clock.guard()) > index;
        let spoiled = std::mem::replace(&mut was_late, late) || late;
        if board.read_mode == ReadMode::Rdatac && (spoiled || index < CLOCK_SETTLES) {
            // Torn by the thread: it says nothing of the wires.
            (parts, n_late) = (judged, n_late + usize::from(spoiled));
            if n_late >= LATE_MAX {
                control.stop().map_err(gpio)?;
                return Err(ProofError::Late { n_late, n_frames: n_frames + n_late });
            }
            continue;
        }
        n_frames += 1;
    }
    control.stop().map_err(gpio)?;
    Ok(parts)
}
