//! The memory that blocks live in. Both kinds are frame-major: `samples[frame * n_channels + channel]`.

use super::{Flags, Head, Stream};

/// A block of `raw`: codes as they were converted, and one status word per chip and frame.
#[derive(Debug)]
pub struct RawBlock {
    /// Where it stands and what was lost before it. `n_frames` says how much of the slab is in use.
    pub head: Head,
    codes: Vec<i32>,
    status: Vec<u32>,
    n_channels: usize,
    n_chips: usize,
}

impl RawBlock {
    /// A slab for blocks of `stream` from a converter of `n_chips` chips (0: no status words).
    #[must_use]
    pub fn new(stream: &Stream, n_chips: usize) -> RawBlock {
        RawBlock {
            head: Head::default(),
            codes: vec![0; stream.block_frames_max * stream.n_channels()],
            status: vec![0; stream.block_frames_max * n_chips],
            n_channels: stream.n_channels(),
            n_chips,
        }
    }

    /// The most frames it can hold.
    #[must_use]
    pub fn frames_max(&self) -> usize {
        self.codes.len() / self.n_channels
    }

    /// Samples per frame.
    #[must_use]
    pub fn n_channels(&self) -> usize {
        self.n_channels
    }

    /// Status words per frame.
    #[must_use]
    pub fn n_chips(&self) -> usize {
        self.n_chips
    }

    /// The codes of the block, `head.n_frames * n_channels` of them.
    #[must_use]
    pub fn codes(&self) -> &[i32] {
        &self.codes[..self.head.n_frames * self.n_channels]
    }

    /// The whole slab, for its filler: `frames_max * n_channels` codes.
    pub fn slab_mut(&mut self) -> &mut [i32] {
        &mut self.codes
    }

    /// The status words of the block, `head.n_frames * n_chips` of them.
    #[must_use]
    pub fn status(&self) -> &[u32] {
        &self.status[..self.head.n_frames * self.n_chips]
    }

    /// The whole slab of status words, for its filler.
    pub fn status_mut(&mut self) -> &mut [u32] {
        &mut self.status
    }
}

/// A block of a chain: samples as `f32` in each channel's unit. A 24-bit code is exact in `f32`.
#[derive(Debug)]
pub struct Block {
    /// Where it stands and what was lost before it.
    pub head: Head,
    samples: Vec<f32>,
    n_channels: usize,
}

impl Block {
    /// A slab with room for blocks of every shape that a chain gives it on its way, the largest being
    /// `samples_max` samples.
    #[must_use]
    pub fn new(stream: &Stream, samples_max: usize) -> Block {
        Block { head: Head::default(), samples: vec![0.0; samples_max], n_channels: stream.n_channels() }
    }

    /// A block of `stream` that holds `samples` (frame-major), as a test or a tool makes it.
    ///
    /// # Panics
    /// When `samples` is not a whole number of frames.
    #[must_use]
    pub fn from_samples(stream: &Stream, samples: &[f32]) -> Block {
        assert_eq!(samples.len() % stream.n_channels(), 0, "samples must be whole frames");
        let n_frames = samples.len() / stream.n_channels();
        Block { head: Head { n_frames, ..Head::default() }, samples: samples.to_vec(), n_channels: stream.n_channels() }
    }

    /// One slice per frame, one sample per channel in it.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn frames_mut(&mut self) -> std::slice::ChunksExactMut<'_, f32> {
        self.samples[..self.head.n_frames * self.n_channels].chunks_exact_mut(self.n_channels)
    }

    /// All samples in use, frame-major: `n_frames * n_channels`.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples[..self.head.n_frames * self.n_channels]
    }

    /// All samples in use, to change them.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        &mut self.samples[..self.head.n_frames * self.n_channels]
    }

    /// Samples per frame.
    #[must_use]
    pub fn n_channels(&self) -> usize {
        self.n_channels
    }

    /// Frames in use.
    #[must_use]
    pub fn n_frames(&self) -> usize {
        self.head.n_frames
    }

    /// Takes codes of `raw` in, as physical values: `code * scale[channel] + offset[channel]`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, reason = "f32 is the sample's type; the arithmetic before it is f64")]
    pub fn convert(&mut self, raw: &RawBlock, scale: &[f64], offset: &[f64]) {
        self.head = raw.head;
        self.n_channels = raw.n_channels;
        let frames = self.samples.chunks_exact_mut(raw.n_channels).zip(raw.codes().chunks_exact(raw.n_channels));
        for (to, from) in frames {
            for (((sample, code), scale), offset) in to.iter_mut().zip(from).zip(scale).zip(offset) {
                *sample = (f64::from(*code) * scale + offset) as f32;
            }
        }
    }

    /// Takes another chain's block in, unchanged.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn copy(&mut self, from: &Block) {
        self.head = from.head;
        self.n_channels = from.n_channels;
        self.samples[..from.samples().len()].copy_from_slice(from.samples());
    }

    /// Sets a flag.
    pub fn flag(&mut self, flag: Flags) {
        self.head.flags = self.head.flags.with(flag);
    }
}
