//! What several tests need: a source of counter frames in front of a recorder.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};

use biosigd::block::{Cause, Channel, ChipStatus, Head, Marker, Stream, Tally};
use biosigd::format::{FileFormat, Values};
use biosigd::sink::recorder::{FileName, FileRecorder, Keep, RecorderPlan, Rotate};
use biosigd::sink::{PackedBlock, RawSink};

/// `code(frame, channel)` of `signal = "counter"` (design, section 4).
pub(crate) fn counter(frame: u64, channel: u64) -> i32 {
    let code = (frame * 64 + channel) % (1 << 24);
    i32::try_from(code).expect("24 bits") - (1 << 23)
}

/// The lower 16 bits of a code, with their sign.
pub(crate) fn low_16(code: i32) -> i32 {
    (code << 16) >> 16
}

/// The frames from `first` on, packed.
pub(crate) fn packed(first: u64, n_frames: u64, n_channels: usize) -> Vec<u8> {
    let codes = (first..first + n_frames).flat_map(|frame| (0..n_channels as u64).map(move |c| counter(frame, c)));
    pack(codes)
}

/// A status word whose bits all change now and then; never with a condition (bits 20 and up), which are the test's to set.
pub(crate) fn word(frame: u64, chip: u64) -> i32 {
    let [low, high, ..] = frame.to_le_bytes();
    let word = ChipStatus::of(low / 16, high.wrapping_add(chip.to_le_bytes()[0]), low);
    word.0.try_into().expect("24 bits")
}

/// The frames from `first` on with the status words of `n_chips` chips, packed.
pub(crate) fn packed_with_words(first: u64, n_frames: u64, n_channels: usize, n_chips: usize) -> Vec<u8> {
    pack((first..first + n_frames).flat_map(|frame| {
        let codes = (0..n_channels as u64).map(move |channel| counter(frame, channel));
        codes.chain((0..n_chips as u64).map(move |chip| word(frame, chip)))
    }))
}

/// Codes as the packed ring carries them.
pub(crate) fn pack(codes: impl Iterator<Item = i32>) -> Vec<u8> {
    codes.flat_map(|code| code.to_le_bytes().into_iter().take(3)).collect()
}

/// A plan for `n_channels` whole-range channels.
pub(crate) fn plan(dir: &Path, rate_hz: f64, n_channels: usize) -> RecorderPlan {
    let channel = |n| Channel::microvolts_24_bit(&format!("ch{n}"), 187_500.0);
    RecorderPlan {
        dir: dir.to_owned(),
        stream: Stream {
            rate_hz,
            channels: (0..n_channels).map(channel).collect(),
            block_frames_max: 4000,
            ratio: 1,
            delay_s: 0.0,
        },
        n_chips: 0,
        format: FileFormat::Bdf,
        values: Values::Codes,
        file_name: FileName::default(),
        rotate: Rotate::default(),
        keep: Keep::default(),
        min_free_bytes: 0,
        configuration: "[source]\nkind = \"synthetic\"\n".to_owned(),
        source: serde_json::json!({"kind": "synthetic"}),
        session: "test".to_owned(),
        software_version: "0.0.0".to_owned(),
    }
}

/// Feeds a recorder with counter frames and gaps.
pub(crate) struct Feeder {
    /// The recorder, open.
    pub(crate) recorder: FileRecorder,
    next_frame: u64,
    n_channels: usize,
    n_chips: usize,
    /// Whether the channels have 16 bits: their codes are the lower ones of the counter's.
    is_narrow: bool,
    gap: Tally,
}

impl Feeder {
    /// Opens a recording that begins with `first_frame`.
    pub(crate) fn new(dir: &Path, rate_hz: f64, n_channels: usize, first_frame: u64) -> Feeder {
        Feeder::with(plan(dir, rate_hz, n_channels), first_frame)
    }

    /// The same with another plan.
    pub(crate) fn with(plan: RecorderPlan, first_frame: u64) -> Feeder {
        let (n_channels, n_chips) = (plan.stream.n_channels(), plan.n_chips);
        let is_narrow = plan.stream.channels.iter().all(|channel| channel.digital_max < 1 << 15);
        let mut recorder = FileRecorder::new(plan).expect("a plan that fits");
        // Saturday, 21 November 2026, 11:30:05.25 UTC.
        let first = Head { first_frame, n_frames: 1, edge_utc_ns: 1_795_260_605_250_000_000, ..Head::default() };
        recorder.open(&first).expect("opens");
        Feeder { recorder, next_frame: first_frame, n_channels, n_chips, is_narrow, gap: Tally::default() }
    }

    /// One block.
    pub(crate) fn frames(&mut self, n_frames: u64) {
        self.try_frames(n_frames).expect("writes");
    }

    /// One block, or the recorder's error.
    pub(crate) fn try_frames(&mut self, n_frames: u64) -> Result<(), biosigd::sink::SinkError> {
        let mut codes = packed_with_words(self.next_frame, n_frames, self.n_channels, self.n_chips);
        if self.is_narrow {
            for frame in codes.chunks_exact_mut(3 * (self.n_channels + self.n_chips)) {
                for code in frame[..3 * self.n_channels].chunks_exact_mut(3) {
                    code[2] = if code[1] < 0x80 { 0 } else { 0xFF };
                }
            }
        }
        let mut head = Head { first_frame: self.next_frame, ..Head::default() };
        head.n_frames = usize::try_from(n_frames).expect("few");
        head.edge_ns = head.next_frame() * 1_000_000;
        let gap = std::mem::take(&mut self.gap);
        self.next_frame = head.next_frame();
        self.recorder.write(&PackedBlock { head, gap, codes: &codes })
    }

    /// Frames lost before the next block.
    pub(crate) fn gap(&mut self, cause: Cause, n_frames: u64) {
        self.gap.add(cause, n_frames);
        self.next_frame += n_frames;
    }

    /// A marker.
    pub(crate) fn marker(&mut self, frame: u64, offset_ns: i64, duration_ns: Option<i64>, text: &str) {
        self.recorder.marker(Marker { frame, offset_ns, duration_ns, text: text.to_owned(), ..Marker::default() });
    }

    /// Closes with a gap at the end; the file.
    pub(crate) fn close(mut self, cause: Cause, n_frames: u64) -> PathBuf {
        let mut gap = Tally::default();
        gap.add(cause, n_frames);
        self.recorder.close(&gap).expect("closes");
        self.recorder.progress().file.expect("a file")
    }
}

/// The sidecar of a recording.
pub(crate) fn sidecar(file: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(file.with_extension("json")).expect("a sidecar");
    serde_json::from_str(&text).expect("JSON")
}
