//! What is checked of every frame. A frame that fails is delivered and flagged: nothing is altered, nothing dropped.

use super::board::{Board, LeadOffMode};
use super::frame;
use super::notes::Doubt;
use super::registers::{NOISE_UV_RMS, gain_code, rate_code};
use crate::block::ChipStatus;

/// The ends of the range: a channel that stands there is saturated, not stuck.
const ENDS: [i32; 2] = [-(1 << 23), (1 << 23) - 1];

/// A channel that repeats its code for this long is stuck, seconds.
const SAME_CODE_S: f64 = 0.25;

/// What chance cannot be: the natural logarithm of a probability of 1e-12, its sign turned.
const BEYOND_CHANCE: f64 = 27.63;

/// Bits that were thought to be 0 always and are not, although all else is right, in so many frames in a row: they are not.
const UNQUIET_MAX: u32 = 20;

/// Codes beyond this part of the range are near its end.
const NEAR_END: u32 = (1 << 23) / 100 * 95;

/// What one chip should look like, and what it looked like before.
struct Chip {
    /// Bits of the status word whose value is known: the sync nibble and the echo of outputs.
    known_mask: u32,
    known: u32,
    /// Bits of electrodes that are not watched and were 0 all through start-up. The datasheet says no more than to ignore them, so
    /// one that is found to be 1 although all else is right, in so many frames in a row, is not looked at any more.
    quiet_mask: u32,
    n_unquiet: u32,
    /// Bits of [`ChipStatus`] that tell of electrodes that are watched.
    watched: u32,
    /// The last status word that was right twice in a row: what to look for when one is not. And the last that was.
    word: Option<u32>,
    last_word: Option<u32>,
    part_bit: usize,
    n_bytes: usize,
    channels: std::ops::Range<usize>,
    /// How improbable it is of each channel that its noise gives the same code again: the logarithm's negative, 0 where it is off.
    ln_same: [f64; 8],
    repeats: u32,
    before: [u8; 27],
    /// The index of the frame in `before`.
    before_index: u64,
    /// Channels that were told to be stuck since they moved last, channel 1 in bit 0.
    told_stuck: u8,
}

/// The checks of all chips.
pub(super) struct Checker {
    chips: Vec<Chip>,
    /// The bytes of a chip, aligned.
    part: [u8; 27],
    codes_before: Vec<i32>,
    same_codes: Vec<u32>,
    /// The frame at which each channel's code moved last.
    moved_at: Vec<u64>,
    /// Channels whose code may stand still: they are off.
    off: Vec<bool>,
    same_codes_max: u32,
    gap_bits: usize,
}

/// What the check of a chip's part of a frame found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// The status, conditions included.
    pub(super) status: ChipStatus,
    /// Why the frame is suspect, where it is.
    pub(super) doubt: Option<Doubt>,
    /// The first frame that shares the doubt: one before this, where it looked well.
    pub(super) first: u64,
    /// The chip's channels that are stuck, channel 1 in bit 0.
    pub(super) stuck: u8,
    /// Of those, the ones that were found to be with this frame; [`Checker::moved_at`] says since when.
    pub(super) newly_stuck: u8,
}

impl Checker {
    pub(super) fn new(board: &Board) -> Checker {
        let mut first_byte = 0;
        let mut chips = Vec::new();
        for select in &board.layout.selects {
            for (depth, bit) in select.part_bits.iter().enumerate() {
                chips.push(Chip::new(board, select.first_chip + depth, first_byte * 8 + bit));
            }
            first_byte += select.n_bytes;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quarter of a second of frames")]
        let same_codes_max = ((SAME_CODE_S * board.rate_hz) as u32).max(2);
        Checker {
            chips,
            part: [0; 27],
            codes_before: vec![0; board.channels.len()],
            same_codes: vec![0; board.channels.len()],
            moved_at: vec![0; board.channels.len()],
            off: board.channels.iter().map(|channel| !channel.power).collect(),
            same_codes_max,
            gap_bits: board.layout.gap_bits,
        }
    }

    /// Whether what is known of the first chip's status word is so in the frame's `bytes`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn is_first_in_sync(&self, bytes: &[u8]) -> bool {
        let first = &self.chips[0];
        let mut word = [0; 3];
        frame::take_bits(bytes, first.part_bit, &mut word);
        u32::from_be_bytes([0, word[0], word[1], word[2]]) & first.known_mask == first.known
    }

    /// Takes over which bits were 1 in any status word of each chip during start-up.
    pub(super) fn proven(&mut self, board: &Board, ones: &[u32]) {
        for (chip, ones) in self.chips.iter_mut().zip(ones) {
            // Where a current flows a comparator may say anything, also where it alternates.
            let mut sensed = 0;
            for (i, channel) in board.channels[chip.channels.clone()].iter().enumerate() {
                let lead_off = channel.lead_off;
                sensed |= u32::from(lead_off.positive) << (12 + i) | u32::from(lead_off.negative) << (4 + i);
            }
            chip.quiet_mask = 0x0F_FFF0 & !ones & !sensed;
        }
    }

    /// The first frame with the code that a channel of the stream has now. A channel that jumped to it was wrong there already.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn moved_at(&self, channel: usize) -> u64 {
        self.moved_at[channel]
    }

    /// Decodes and checks the part of `chip` in the `bytes` of frame `index`; its codes go into `codes`, the whole
    /// frame's.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn check(&mut self, chip_index: usize, index: u64, bytes: &[u8], codes: &mut [i32]) -> Finding {
        let chip = &mut self.chips[chip_index];
        let part = &mut self.part[..chip.n_bytes];
        // Fast because parts that begin at a byte, all of them unless there are gap bits, are copied and not shifted.
        if self.gap_bits == 0 {
            let first = chip.part_bit / 8;
            part.copy_from_slice(&bytes[first..first + chip.n_bytes]);
        } else {
            frame::take_bits(bytes, chip.part_bit, part);
        }
        let part_bits = chip.n_bytes * 8;
        let codes = &mut codes[chip.channels.clone()];
        frame::codes(part, codes);
        let word = [part[0], part[1], part[2]];
        let mut status = frame::status(word);
        status.0 &= chip.watched;

        let number = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        let mut doubt = None;
        let mut first = index;
        let is_known = number & chip.known_mask == chip.known;
        let unquiet = number & chip.quiet_mask;
        chip.n_unquiet = if is_known && unquiet != 0 { chip.n_unquiet + 1 } else { 0 };
        if chip.n_unquiet >= UNQUIET_MAX {
            (chip.quiet_mask, chip.n_unquiet) = (chip.quiet_mask & !unquiet, 0);
        }
        if !is_known || number & chip.quiet_mask != 0 {
            let flat = (part[0] == 0x00 || part[0] == 0xFF) && part.iter().all(|byte| *byte == part[0]);
            // The sync nibble alone stands anywhere by chance; what electrodes and inputs read changes seldom. Of a part that is
            // all zeros the word begins wherever two ones stand before it.
            let right = chip.word.unwrap_or(chip.known).to_be_bytes();
            let word = [right[1], right[2], right[3]];
            let shift_bits = if flat { None } else { frame::shift_bits(bytes, chip.part_bit, part_bits, word) };
            doubt = Some(Doubt::Sync { chip: chip_index, word: number, shift_bits, flat });
        } else {
            chip.word = if chip.last_word == Some(number) { chip.last_word } else { chip.word };
            chip.last_word = Some(number);
        }
        let is_whole = doubt.is_none();
        // The same frame again: the chip stands still, or converts by another clock than its neighbours.
        if part == &chip.before[..chip.n_bytes] {
            chip.repeats += 1;
            let beyond = chip.repeats_max(codes).map_or(0, |most| chip.repeats.saturating_sub(most));
            if beyond > 0 {
                doubt = doubt.or(Some(Doubt::SameFrame { chip: chip_index }));
                // Told once: from the second on they are flagged themselves. The first of them may have been old already, or the
                // first that something else than the chip drove.
                first = if beyond == 1 { chip.before_index } else { index };
            }
        } else if is_whole {
            // What is wrong by itself hides no frame that comes again after it.
            chip.before[..chip.n_bytes].copy_from_slice(part);
            (chip.before_index, chip.repeats) = (index, 0);
        }
        if doubt.is_some() {
            status = status.with(ChipStatus::SUSPECT);
        }

        if codes.iter().any(|code| is_saturated(*code)) {
            status = status.with(ChipStatus::SATURATED);
        }
        let (mut stuck, mut newly_stuck) = (0, 0);
        // Nor does it end the time for which a channel stands still.
        if is_whole && self.longest_standstill(chip_index, index, codes) >= self.same_codes_max {
            let chip = &mut self.chips[chip_index];
            for (i, channel) in chip.channels.clone().enumerate() {
                if self.same_codes[channel] < self.same_codes_max {
                    chip.told_stuck &= !(1 << i);
                } else if !self.off[channel] && !ENDS.contains(&codes[i]) {
                    stuck |= 1 << i;
                    // Since the whole chip stands still that is what was told, and flagged.
                    let is_told = doubt.is_some() && self.moved_at[channel] >= chip.before_index;
                    chip.told_stuck |= u8::from(is_told) << i;
                }
            }
            newly_stuck = stuck & !chip.told_stuck;
            chip.told_stuck |= stuck;
        } else if is_whole {
            self.chips[chip_index].told_stuck = 0;
        }
        if stuck != 0 {
            status = status.with(ChipStatus::STUCK);
        }
        Finding { status, doubt, first, stuck, newly_stuck }
    }

    /// For how many frames the chip's channel that stands still for longest does, frame `index` and its `codes` included.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn longest_standstill(&mut self, chip: usize, index: u64, codes: &[i32]) -> u32 {
        let channels = self.chips[chip].channels.clone();
        let before = &mut self.codes_before[channels.clone()];
        let (same, moved_at) = (&mut self.same_codes[channels.clone()], &mut self.moved_at[channels]);
        let mut longest = 0;
        for (((code, before), same), moved_at) in codes.iter().zip(before).zip(same).zip(moved_at) {
            let moved = code != before;
            *same = if moved { 0 } else { *same + 1 };
            *moved_at = if moved { index } else { *moved_at };
            *before = *code;
            longest = longest.max(*same);
        }
        longest
    }
}

/// Whether a code stands near the end of the range.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub(super) fn is_saturated(code: i32) -> bool {
    code.unsigned_abs() > NEAR_END
}

/// How improbable it is of each channel of `chip` that noise alone gives the same code again, see [`Chip::ln_same`].
///
/// Two codes of one channel are the same with a probability of 1 / (2 sigma sqrt(pi)), sigma its noise in codes (the density
/// at 0 of the difference of two Gaussian values).
fn ln_same(board: &Board, chip: usize) -> [f64; 8] {
    let mut ln_same = [0.0; 8];
    let Some(rate) = rate_code(board.rate_hz).map(usize::from) else { return ln_same };
    let scales = board.stream_channels();
    for (ln_same, i) in ln_same.iter_mut().zip(board.channels_of(chip)).filter(|(_, i)| board.channels[*i].power) {
        let noise_uv = gain_code(board.channels[i].gain).map_or(0.0, |gain| NOISE_UV_RMS[rate][usize::from(gain)]);
        *ln_same = (2.0 * noise_uv / scales[i].scale() * std::f64::consts::PI.sqrt()).max(1.0).ln();
    }
    ln_same
}

/// Which bits of a status word are known, and what they are: the sync nibble, and the echo of what is driven out.
pub(super) fn known_word(board: &Board) -> (u32, u32) {
    let outputs = !board.trigger_pins & 0x0F;
    // In the order of the status word on the wire: 1100, LOFF_STATP, LOFF_STATN, GPIO4 to GPIO1. What electrodes that are
    // not watched read, the datasheet does not say: see `Checker::proven`.
    (0xF0_0000 | u32::from(outputs), u32::from(frame::SYNC) << 16 | u32::from(board.high_pins & outputs))
}

impl Chip {
    fn new(board: &Board, chip: usize, part_bit: usize) -> Chip {
        let channels = board.channels_of(chip);
        let (mut positive, mut negative) = (0_u8, 0_u8);
        // An alternating current makes the comparators say nothing of whether an electrode is off.
        let compares = board.lead_off.mode == LeadOffMode::Dc;
        for (i, channel) in board.channels[channels.clone()].iter().enumerate().filter(|_| compares) {
            positive |= u8::from(channel.lead_off.positive) << i;
            negative |= u8::from(channel.lead_off.negative) << i;
        }
        let (known_mask, known) = known_word(board);
        Chip {
            known_mask,
            known,
            quiet_mask: 0,
            n_unquiet: 0,
            watched: ChipStatus::of(positive, negative, 0x0F).0,
            part_bit,
            n_bytes: board.layout.models[chip].frame_bytes(),
            word: None,
            last_word: None,
            ln_same: ln_same(board, chip),
            repeats: 0,
            channels,
            before: [0; 27],
            before_index: 0,
            told_stuck: 0,
        }
    }

    /// So often may the frame of these `codes` come again before chance is out of the question: rarely where eight channels have
    /// noise, more often where one has; `None` where none is on. A channel at the end of its range has none.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    fn repeats_max(&self, codes: &[i32]) -> Option<u32> {
        let has_noise = codes.iter().zip(&self.ln_same).filter(|(code, _)| !ENDS.contains(code));
        let ln_same: f64 = has_noise.map(|(_, ln_same)| ln_same).sum();
        (ln_same > 0.0).then(|| (BEYOND_CHANCE / ln_same).ceil() as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::board_of;
    use super::*;
    use crate::config::{Document, Mistakes};

    /// What is found in one frame of a single chip, of this status word and these bytes.
    fn finding(text: &str, word: [u8; 3], bytes: u8) -> Finding {
        let text = format!("[source]\nkind = \"ads1299\"\nn_chips = 1\n{text}");
        let document = Document::parse("rig.toml", &text).unwrap();
        let board = board_of(&document, &mut Mistakes::new("rig.toml")).unwrap();
        let mut frame = [bytes; 27];
        frame[..3].copy_from_slice(&word);
        Checker::new(&board).check(0, 0, &frame, &mut [0; 8])
    }

    #[test]
    fn a_frame_of_zeros_or_ones_is_named() {
        let stream =
            crate::block::Stream { rate_hz: 4000.0, channels: Vec::new(), block_frames_max: 1, ratio: 1, delay_s: 0.0 };
        for (byte, expected) in
            [(0x00, "chip 1: every bit is 0: nothing drives"), (0xFF, "chip 1: every bit is 1: the wire floats")]
        {
            let text = finding("", [byte; 3], byte).doubt.map(|doubt| doubt.text(&stream)).unwrap();
            assert!(text.starts_with(expected), "{text}");
        }
        let text = finding("", [0; 3], 1).doubt.map(|doubt| doubt.text(&stream)).unwrap();
        assert_eq!(text, "chip 1: status word 0x000000");
    }

    #[test]
    fn a_bit_that_turns_out_not_to_be_quiet_is_looked_at_no_more() {
        let document = Document::parse("rig.toml", "[source]\nkind = \"ads1299\"\nn_chips = 1").unwrap();
        let board = board_of(&document, &mut Mistakes::new("rig.toml")).unwrap();
        let mut checker = Checker::new(&board);
        // One was 1 during start-up.
        checker.proven(&board, &[0x00_0010]);
        let mut is_right = |index: u8, word: [u8; 3]| {
            let mut frame = [index; 27];
            frame[..3].copy_from_slice(&word);
            checker.check(0, u64::from(index), &frame, &mut [0; 8]).doubt.is_none()
        };
        assert!(is_right(1, [0xC0, 0, 0x10]) && !is_right(2, [0xC0, 0, 0x20]) && is_right(3, [0xC0, 0, 0]));
        let n_doubted = (10..60).filter(|index| !is_right(*index, [0xC8, 0, 0])).count();
        assert_eq!(n_doubted, 19, "until it is known better");
        assert!(is_right(60, [0xC0, 0, 0]) && is_right(61, [0xC8, 0, 0]) && !is_right(62, [0xC4, 0, 0]));
    }

    #[test]
    fn comparators_tell_of_electrodes_where_the_current_is_direct() {
        for (mode, off) in [("dc", 0xA5), ("ac_7.8hz", 0), ("ac_quarter_rate", 0), ("off", 0)] {
            let found = finding(&format!("[source.lead_off]\nmode = \"{mode}\""), [0xCA, 0x50, 0x00], 1);
            assert_eq!((found.status.positive_off(), found.doubt), (off, None), "{mode}");
        }
    }
}
