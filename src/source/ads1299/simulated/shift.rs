//! What comes out of DOUT: the output registers of a chain of chips as one long shift register. The chip nearest the
//! host stands first; what its neighbour pushes into DAISY_IN follows its own bits (SBAS499C, "Daisy-Chain Mode").

/// Where one chip's output register lies in the line, in bits.
#[derive(Debug, Clone, Copy)]
struct Span {
    start_bit: usize,
    n_bytes: usize,
}

/// The shift register of one chip select.
#[derive(Debug, Clone)]
pub(super) struct ShiftLine {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Bytes that were clocked out since the last load.
    position: usize,
    gap_bits: usize,
    /// The first chip that repeats its own frame instead of passing DAISY_IN on (multiple read-back).
    repeats: Option<usize>,
}

impl ShiftLine {
    /// `frame_lengths` in bytes, the chip nearest the host first; `gap_bits` undefined bits stand between two chips.
    pub(super) fn new(frame_lengths: &[usize], gap_bits: usize) -> ShiftLine {
        let mut line = ShiftLine { bytes: Vec::new(), spans: Vec::new(), position: 0, gap_bits, repeats: None };
        for n_bytes in frame_lengths {
            line.spans.push(Span { start_bit: 0, n_bytes: *n_bytes });
        }
        // RREG answers of 24 bytes may be longer than what follows of the line; one more byte takes the gap bits.
        line.bytes = vec![0; frame_lengths.iter().sum::<usize>() + 24 + 1];
        line.set_gap_bits(gap_bits);
        line
    }

    pub(super) fn set_gap_bits(&mut self, gap_bits: usize) {
        self.gap_bits = gap_bits;
        let mut start_bit = 0;
        for span in &mut self.spans {
            span.start_bit = start_bit;
            start_bit += span.n_bytes * 8 + gap_bits;
        }
        self.bytes.fill(0);
    }

    pub(super) fn set_repeats(&mut self, chip: Option<usize>) {
        self.repeats = chip;
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Loads the output register of `chip`; what the others hold stays where it has got to.
    ///
    /// Fast because whole bytes are copied: the chips that share bytes with a gap bit take the slow way by themselves.
    pub(super) fn load(&mut self, chip: usize, out: &[u8]) {
        if self.position > 0 {
            let gone = self.position.min(self.bytes.len());
            self.bytes.copy_within(gone.., 0);
            let kept = self.bytes.len() - gone;
            self.bytes[kept..].fill(0);
            self.position = 0;
        }
        let Some(span) = self.spans.get(chip) else { return };
        let (byte, bit) = (span.start_bit / 8, span.start_bit % 8);
        if bit == 0 {
            self.bytes[byte..byte + out.len()].copy_from_slice(out);
            return;
        }
        // The gap bits themselves are undefined; here they are ones.
        self.bytes[byte] |= ((1 << self.gap_bits) - 1) << (8 - bit);
        for (i, value) in out.iter().enumerate() {
            let high = !(0xFF >> bit);
            self.bytes[byte + i] = self.bytes[byte + i] & high | value >> bit;
            self.bytes[byte + i + 1] = self.bytes[byte + i + 1] & !high | value << (8 - bit);
        }
    }

    /// Clocks `out.len()` bytes out.
    ///
    /// Fast because a read of a frame is one copy.
    pub(super) fn shift_out(&mut self, out: &mut [u8]) {
        let end = self.position + out.len();
        if self.repeats.is_none() && end <= self.bytes.len() {
            out.copy_from_slice(&self.bytes[self.position..end]);
        } else {
            for (i, byte) in out.iter_mut().enumerate() {
                *byte = self.byte_at(self.position + i);
            }
        }
        self.position = end;
    }

    /// Clocks bytes out as they come when the frame moved `n_bits` to the left under the reader.
    pub(super) fn shift_out_moved(&mut self, out: &mut [u8], n_bits: usize) {
        let (bytes, bits) = (self.position + n_bits / 8, n_bits % 8);
        for (i, byte) in out.iter_mut().enumerate() {
            let two = u16::from_be_bytes([self.byte_at(bytes + i), self.byte_at(bytes + i + 1)]);
            *byte = (two << bits).to_be_bytes()[0];
        }
        self.position += out.len();
    }

    /// The reader stands at byte `position`.
    pub(super) fn skip(&mut self, position: usize) {
        self.position = position;
    }

    /// Whatever was not read yet is gone.
    pub(super) fn clear(&mut self) {
        self.bytes.fill(0);
    }

    fn byte_at(&self, position: usize) -> u8 {
        let mut position = position;
        if let Some(span) = self.repeats.and_then(|chip| self.spans.get(chip)) {
            let (start, n_bytes) = (span.start_bit / 8, span.n_bytes);
            if position >= start + n_bytes {
                position = start + (position - start) % n_bytes;
            }
        }
        self.bytes.get(position).copied().unwrap_or(0)
    }
}
