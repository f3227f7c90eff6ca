//! What the road takes of the machine's memory and disk, as written sums.

use std::fmt;

use super::settings::Settings;
use crate::block::Stream;
use crate::format::{FileFormat, Values};
use crate::pipeline::{CHAIN_SLABS, Chain, LINK_BLOCKS, ring_bytes};
use crate::sink::recorder::record_plan;

/// Slabs of `raw`, term by term.
pub(super) const RAW_SLABS: usize = LINK_BLOCKS // the link to process full
    + LINK_BLOCKS // the link to the recorder full
    + LINK_BLOCKS // the link of websocket.raw full
    + 1 // in acquire's hand
    + 1 // in process's hand
    + 1 // in record-intake's hand
    + 1; // in websocket's hand

/// Bytes of the large allocations.
pub(super) struct Sizes {
    raw: u64,
    chains: u64,
    ring: u64,
    record: u64,
    clients: u64,
}

impl Sizes {
    /// For `raw` from `n_chips` chips, each with a status word per frame.
    pub(super) fn of(raw: &Stream, n_chips: usize, chains: &[Chain], settings: &Settings) -> Sizes {
        // Four bytes for a code, four for a status word.
        let raw_block_bytes = (raw.block_frames_max * (raw.n_channels() + n_chips) * 4) as u64;
        let records = settings.records();
        let budget_s = settings.recorder.stall_budget_s;
        Sizes {
            raw: RAW_SLABS as u64 * raw_block_bytes,
            chains: chains.iter().map(|chain| CHAIN_SLABS as u64 * chain.slab_bytes() as u64).sum(),
            ring: if records { ring_bytes(raw, n_chips, budget_s) as u64 } else { 0 },
            record: if records { record(raw, n_chips).0 } else { 0 },
            clients: (settings.websocket.clients_max * settings.websocket.client_buffer_kib) as u64 * 1024,
        }
    }

    pub(super) fn total_bytes(&self) -> u64 {
        [self.raw, self.chains, self.ring, self.record, self.clients]
            .iter()
            .fold(0, |sum, term| sum.saturating_add(*term))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "{:.1} MB raw slabs + {:.1} MB chain slabs + {:.1} MB recorder ring + {:.1} MB record + {:.1} MB for clients at most",
            mb(self.raw),
            mb(self.chains),
            mb(self.ring),
            mb(self.record),
            mb(self.clients)
        )
    }
}

/// A row of CSV, before its samples: the frame's number and its time, each with a comma.
const CSV_ROW_BYTES: u64 = 32;

/// A code of 24 bits in CSV, with sign and comma.
const CSV_CODE_BYTES: u64 = 9;

/// A value in its unit in CSV, with sign, point and comma; the shortest decimals of most codes have as many digits.
const CSV_UNIT_BYTES: u64 = 20;

/// What a recording of `raw` from `n_chips` chips takes, in bytes per second; for CSV at most about as much.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
pub(super) fn bytes_per_s(raw: &Stream, n_chips: usize, (format, values): (FileFormat, Values)) -> u64 {
    let (bytes, seconds) = record(raw, n_chips);
    let n_signals = (raw.n_channels() + n_chips) as u64;
    let in_image = (bytes as f64 / seconds).ceil() as u64;
    let of_frames = |frame_bytes: u64| (frame_bytes as f64 * raw.rate_hz).ceil() as u64;
    match format {
        FileFormat::Bdf => in_image,
        // Two bytes for what has three in the image.
        FileFormat::Edf => (in_image * 2).div_ceil(3),
        FileFormat::Csv => {
            let sample_bytes = if values == Values::Units { CSV_UNIT_BYTES } else { CSV_CODE_BYTES };
            of_frames(CSV_ROW_BYTES + n_signals * sample_bytes)
        }
        FileFormat::Raw => of_frames(n_signals * 4),
    }
}

/// Bytes and seconds of one record; no bytes where the stream cannot be recorded.
pub(super) fn record(raw: &Stream, n_chips: usize) -> (u64, f64) {
    let n_signals = raw.n_channels() + n_chips;
    record_plan(raw.rate_hz, n_signals)
        .map_or((0, 1.0), |record| (record.bytes(n_signals) as u64, record.duration_ns as f64 * 1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Channel;

    #[test]
    fn annotations_and_status_words_take_room_too() {
        let stream = |n_channels, rate_hz| {
            let channels = vec![Channel::microvolts_24_bit("Fp1", 1000.0); n_channels];
            Stream { rate_hz, channels, block_frames_max: 1, ratio: 1, delay_s: 0.0 }
        };
        let bdf = (FileFormat::Bdf, Values::Codes);
        // 512 samples of three bytes in a record of 1 s: twice what one channel at 250 Hz takes.
        assert_eq!(bytes_per_s(&stream(1, 250.0), 0, bdf), 750 + 1536);
        assert_eq!(bytes_per_s(&stream(32, 4000.0), 0, bdf), 384_000 + 1536);
        assert_eq!(bytes_per_s(&stream(32, 4000.0), 4, bdf), 384_000 + 4 * 12_000 + 1536);
        // A record of 2 s.
        assert_eq!(bytes_per_s(&stream(1, 0.5), 0, bdf), 770);
        let others =
            [(FileFormat::Edf, Values::Codes), (FileFormat::Raw, Values::Codes), (FileFormat::Csv, Values::Codes)];
        let per_s = others.map(|format| bytes_per_s(&stream(32, 4000.0), 4, format));
        assert_eq!(per_s, [4000 * 36 * 2 + 1024, 4000 * 36 * 4, 4000 * (36 * 9 + 32)]);
    }
}
