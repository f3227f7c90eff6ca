//! One data record while it fills: frame-major blocks come in, the channel-major bytes of the file stand ready.

use super::plan::{ANNOTATION_BYTES, SAMPLE_BYTES};
use crate::block::ChipStatus;

/// Frames that are transposed together, so that what is read stays in the nearest cache: 64 frames of 32 channels
/// are 6 KiB. More would help narrow streams little, and push wide ones (1024 channels: 192 KiB) out of the next.
const TILE_FRAMES: usize = 64;

/// The bytes of one record and how far they are filled.
#[derive(Debug)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// The last frame, that gaps and padding repeat: three bytes per code, then three per status word.
    last: Vec<u8>,
    /// Where its status words begin.
    status_at: usize,
    n_frames: usize,
    n_filled: usize,
}

impl Record {
    /// An empty record of `n_frames` with status words of `n_chips` chips. `before` holds the code of each channel that
    /// stands for gaps before the first frame.
    pub(super) fn new(n_frames: usize, before: impl Iterator<Item = i32>, n_chips: usize) -> Record {
        let mut last: Vec<u8> = before.flat_map(|code| code.to_le_bytes().into_iter().take(SAMPLE_BYTES)).collect();
        let status_at = last.len();
        last.resize(status_at + n_chips * SAMPLE_BYTES, 0);
        Record { bytes: vec![0; last.len() * n_frames + ANNOTATION_BYTES], last, status_at, n_frames, n_filled: 0 }
    }

    /// Bytes of a frame, packed.
    pub(super) fn frame_bytes(&self) -> usize {
        self.last.len()
    }

    /// Frames of a whole one.
    pub(super) fn n_frames(&self) -> usize {
        self.n_frames
    }

    /// Frames it holds so far.
    pub(super) fn n_filled(&self) -> usize {
        self.n_filled
    }

    /// Frames that still fit.
    pub(super) fn room(&self) -> usize {
        self.n_frames - self.n_filled
    }

    /// Appends as many of the frames in `codes` as fit (packed, frame-major, three bytes per code and status word).
    /// Returns how many.
    ///
    /// Fast because the channel loop is outermost within a tile: writes run on through one line of cache, reads jump
    /// about in a tile that the nearest cache holds. Frame by frame, each write would go to another line, and at rates
    /// such as 4096 Hz, where channels stand a multiple of 4096 bytes apart, all of them to the same few places of the
    /// cache: 210 instead of 700 million samples/s at 32 channels (`tests/recorder.rs`, throughput). Four samples as
    /// three words of four bytes, assembled by hand, were a third slower than the plain copy.
    pub(super) fn push(&mut self, codes: &[u8]) -> usize {
        let frame_bytes = self.last.len();
        let n_frames = (codes.len() / frame_bytes).min(self.room());
        let codes = &codes[..n_frames * frame_bytes];
        let channel_bytes = self.n_frames * SAMPLE_BYTES;
        let mut start = self.n_filled * SAMPLE_BYTES;
        for tile in codes.chunks(TILE_FRAMES * frame_bytes) {
            let tile_bytes = tile.len() / frame_bytes * SAMPLE_BYTES;
            let channels = self.bytes.chunks_exact_mut(channel_bytes).take(frame_bytes / SAMPLE_BYTES);
            for (channel, samples) in channels.enumerate() {
                let codes =
                    tile.chunks_exact(frame_bytes).map(|frame| &frame[channel * SAMPLE_BYTES..][..SAMPLE_BYTES]);
                for (sample, code) in samples[start..start + tile_bytes].chunks_exact_mut(SAMPLE_BYTES).zip(codes) {
                    sample.copy_from_slice(code);
                }
            }
            start += tile_bytes;
        }
        if n_frames > 0 {
            self.last.copy_from_slice(&codes[codes.len() - frame_bytes..]);
        }
        self.n_filled += n_frames;
        n_frames
    }

    /// Appends up to `n_frames` copies of the last frame, in which every status word has the suspect bit: they were
    /// never measured. Returns how many fitted.
    pub(super) fn repeat(&mut self, n_frames: u64) -> usize {
        for word in self.last[self.status_at..].chunks_exact_mut(SAMPLE_BYTES) {
            for (byte, suspect) in word.iter_mut().zip(ChipStatus::SUSPECT.0.to_le_bytes()) {
                *byte |= suspect;
            }
        }
        let n_frames = usize::try_from(n_frames).unwrap_or(usize::MAX).min(self.room());
        let range = self.n_filled * SAMPLE_BYTES..(self.n_filled + n_frames) * SAMPLE_BYTES;
        let channels =
            self.bytes.chunks_exact_mut(self.n_frames * SAMPLE_BYTES).zip(self.last.chunks_exact(SAMPLE_BYTES));
        for (samples, last) in channels {
            for sample in samples[range.clone()].chunks_exact_mut(SAMPLE_BYTES) {
                sample.copy_from_slice(last);
            }
        }
        self.n_filled += n_frames;
        n_frames
    }

    /// The annotation signal's bytes.
    pub(super) fn annotations_mut(&mut self) -> &mut [u8] {
        let start = self.bytes.len() - ANNOTATION_BYTES;
        &mut self.bytes[start..]
    }

    /// The whole record, as it goes to the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties it. The samples stay until they are overwritten.
    pub(super) fn clear(&mut self) {
        self.n_filled = 0;
    }

    /// Says that the samples that are still there are the content again: a record in the middle of a long gap is
    /// the same as the one before it.
    pub(super) fn keep(&mut self) {
        self.n_filled = self.n_frames;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_sample_stands_where_it_belongs(
            n_frames in 1..200_usize, n_channels in 1..9_i32, n_chips in 0..4_usize, blocks in proptest::collection::vec((1..150_usize, any::<bool>()), 1..8),
        ) {
            let mut record = Record::new(n_frames, (0..n_channels).map(|channel| -channel), n_chips);
            let mut frames: Vec<Vec<[u8; 3]>> = Vec::new();
            let n_codes = usize::try_from(n_channels).expect("few");
            let mut last: Vec<[u8; 3]> = (0..n_channels).map(|channel| three(-channel)).collect();
            last.resize(n_codes + n_chips, [0; 3]);
            let mut code = 0_i32;
            for (n_block, is_gap) in blocks {
                if is_gap {
                    last[n_codes..].iter_mut().for_each(|word| word[2] |= 0x10);
                    let n = record.repeat(n_block as u64);
                    frames.extend(std::iter::repeat_n(last.clone(), n));
                    continue;
                }
                let block: Vec<Vec<[u8; 3]>> = (0..n_block).map(|_| (0..n_codes + n_chips).map(|_| { code = code.wrapping_mul(31).wrapping_add(7_654_321); three(code) }).collect()).collect();
                let n = record.push(&block.concat().concat());
                prop_assert_eq!(n, n_block.min(n_frames - frames.len()));
                frames.extend_from_slice(&block[..n]);
                if n > 0 {
                    last.clone_from(&block[n - 1]);
                }
            }
            prop_assert_eq!(record.n_filled(), frames.len());
            for (i, frame) in frames.iter().enumerate() {
                for (channel, expected) in frame.iter().enumerate() {
                    let at = (channel * n_frames + i) * 3;
                    prop_assert_eq!(&record.bytes()[at..at + 3], expected);
                }
            }
        }
    }

    fn three(code: i32) -> [u8; 3] {
        let bytes = code.to_le_bytes();
        [bytes[0], bytes[1], bytes[2]]
    }
}
