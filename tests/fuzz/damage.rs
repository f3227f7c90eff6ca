//! Random damage, the same for the same seed: what a disk, a cable, an editor or somebody with ill will does to a file.

/// Numbers (splitmix64, Steele 2014) that a seed decides.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 where that is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).expect("below n")
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Bytes that mean something to one of the formats.
const BYTES: [u8; 16] = [0, 0xFF, 0x14, 0x15, b'+', b'-', b' ', b'9', b'0', b'\n', b'\r', b'"', b',', b'{', 0x80, 0x7F];

/// What a field of eight characters may say.
const FIELDS: [&str; 16] = [
    "-1", "0", "1", "2", "99999999", "-9999999", "1e-30", "1e300", "nan", "inf", "", "0.000001", "8388607", "-8388608",
    "1e9", "16777216",
];

/// What a number in JSON or CSV may be.
const NUMBERS: [&str; 10] = [
    "0",
    "1",
    "-1",
    "18446744073709551615",
    "9223372036854775807",
    "1e308",
    "null",
    "0.5",
    "\"x\"",
    "[[[[[[[[]]]]]]]]",
];

/// Damages the data file one to four times.
pub(crate) fn data(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        match dice.below(12) {
            0 | 1 => flip(bytes, dice),
            2 => place(bytes, dice),
            3 => bytes.truncate(dice.below(bytes.len() + 1)),
            4 => bytes.extend(std::iter::repeat_n(dice.of(&[&0, &0xFF, &b' ']), dice.below(5000))),
            5 => splice(bytes, dice),
            6 => clear(bytes, dice),
            // The fields of an EDF header begin at multiples of eight; those that count stand in the first 256 bytes.
            7 | 8 => field(bytes, dice, 168, 256),
            9 => field(bytes, dice, 256, 2048),
            10 => number(bytes, dice),
            _ => header(bytes, dice),
        }
    }
}

/// Damages the sidecar, or not, once to three times.
pub(crate) fn sidecar(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..dice.below(4) {
        match dice.below(8) {
            0 => flip(bytes, dice),
            1 => place(bytes, dice),
            2 => bytes.truncate(dice.below(bytes.len() + 1)),
            3 => splice(bytes, dice),
            4 => clear(bytes, dice),
            5 => key(bytes, dice),
            _ => number(bytes, dice),
        }
    }
}

fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

fn place(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = BYTES[dice.below(BYTES.len())];
    }
}

/// A bit of the part that says what the rest means.
fn header(bytes: &mut [u8], dice: &mut Dice) {
    let end = bytes.len().min(1280);
    flip(&mut bytes[..end], dice);
}

/// Puts a part of the file somewhere else, over what is there or between.
fn splice(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let from = dice.below(bytes.len());
    let end = (from + dice.below(2000)).min(bytes.len());
    let part = bytes[from..end].to_vec();
    let at = dice.below(bytes.len());
    let over = if dice.below(2) == 0 { part.len() } else { 0 };
    let to = (at + over).min(bytes.len());
    bytes.splice(at..to, part);
}

/// What a power cut leaves of a page.
fn clear(bytes: &mut [u8], dice: &mut Dice) {
    let from = dice.below(bytes.len());
    let end = (from + dice.below(4096)).min(bytes.len());
    bytes[from..end].fill(0);
}

fn field(bytes: &mut [u8], dice: &mut Dice, from: usize, end: usize) {
    let at = from + dice.below((end - from) / 8) * 8 + if from == 168 { 4 * dice.below(2) } else { 0 };
    let text = format!("{:<8}", FIELDS[dice.below(FIELDS.len())]);
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(text.as_bytes());
    }
}

/// Another number in the place of one that is written in digits.
fn number(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let from = dice.below(bytes.len());
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let n_digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let other = NUMBERS[dice.below(NUMBERS.len())].bytes();
    bytes.splice(start..start + n_digits, other);
}

/// A key is called otherwise: whoever looks for it finds nothing.
fn key(bytes: &mut [u8], dice: &mut Dice) {
    let from = dice.below(bytes.len());
    let end = bytes[from..].windows(2).position(|pair| pair == b"\":").map(|at| from + at);
    if let Some(byte) = end.and_then(|end| bytes.get_mut(end.saturating_sub(1))) {
        *byte = b'_';
    }
}
