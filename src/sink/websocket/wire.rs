//! A block as a binary message: a 32-byte little-endian header and the samples, frame-major.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | magic `BSG1` |
//! | 4 | `u8` version, 1 |
//! | 5 | `u8` kind: 0 `i32` codes, 1 `f32` units |
//! | 6 | `u8` stream id, as in `hello` |
//! | 7 | `u8` flags: 1 gap before, 2 suspect samples, 4 saturated, 8 lead-off |
//! | 8 | `u64` index of the first frame |
//! | 16 | `u64` UTC of the first frame, nanoseconds since 1970 |
//! | 24 | `u16` frames |
//! | 26 | `u16` channels |
//! | 28 | `u32` frames missing between this client's previous message of this stream and this one |

use tungstenite::Bytes;

use super::{Feed, FeedKind};
use crate::block::{Flags, Head};
use crate::sink::{LiveBlock, Samples};

/// The header's length: a multiple of 8, so that a client can lay a typed array over the samples.
pub const HEADER_BYTES: usize = 32;

/// Encodes a block for every client that asked for these channels (`None`: all) and misses `missing` frames before
/// it.
pub(super) fn encode(feed: &Feed, block: &LiveBlock, channels: Option<&[usize]>, missing: u64) -> Bytes {
    let n_channels = channels.map_or(feed.stream.n_channels(), <[usize]>::len);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + block.head.n_frames * n_channels * 4);
    header(feed, &block.head, n_channels, missing, &mut bytes);
    match &block.samples {
        Samples::Codes(raw) => samples(raw.codes(), raw.n_channels(), channels, i32::to_le_bytes, &mut bytes),
        Samples::Units(block) => {
            samples(block.samples(), block.n_channels(), channels, f32::to_le_bytes, &mut bytes);
        }
    }
    Bytes::from(bytes)
}

/// The same message for a client that misses another number of frames before it.
pub(super) fn with_missing(message: &Bytes, missing: u64) -> Bytes {
    let mut bytes = message.to_vec();
    bytes[7] = if missing > 0 { bytes[7] | Flags::GAP.0 } else { bytes[7] & !Flags::GAP.0 };
    bytes[28..32].copy_from_slice(&saturating_u32(missing).to_le_bytes());
    Bytes::from(bytes)
}

fn header(feed: &Feed, head: &Head, n_channels: usize, missing: u64, bytes: &mut Vec<u8>) {
    let gap = if missing > 0 { Flags::GAP.0 } else { 0 };
    let before_last_ns = feed.stream.duration_ns((head.n_frames as u64).saturating_sub(1));
    let first_utc_ns = head.edge_utc_ns.saturating_add_signed(-before_last_ns);
    bytes.extend_from_slice(b"BSG1");
    bytes.extend_from_slice(&[
        1,
        match feed.kind {
            FeedKind::Codes => 0,
            FeedKind::Units => 1,
        },
        feed.id,
        head.flags.0 & !Flags::GAP.0 | gap,
    ]);
    bytes.extend_from_slice(&head.first_frame.to_le_bytes());
    bytes.extend_from_slice(&first_utc_ns.to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(head.n_frames).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(&u16::try_from(n_channels).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(&saturating_u32(missing).to_le_bytes());
}

/// Fast because the samples of all channels are copied as one run (a loop that the compiler turns into a copy on
/// little-endian machines); only a client's choice of channels goes sample by sample.
fn samples<T: Copy>(
    all: &[T],
    n_channels: usize,
    chosen: Option<&[usize]>,
    bytes_of: fn(T) -> [u8; 4],
    bytes: &mut Vec<u8>,
) {
    match chosen {
        None => {
            let start = bytes.len();
            bytes.resize(start + all.len() * 4, 0);
            for (to, sample) in bytes[start..].chunks_exact_mut(4).zip(all) {
                to.copy_from_slice(&bytes_of(*sample));
            }
        }
        Some(chosen) => {
            for frame in all.chunks_exact(n_channels) {
                bytes.extend(chosen.iter().flat_map(|channel| bytes_of(frame[*channel])));
            }
        }
    }
}

fn saturating_u32(n_frames: u64) -> u32 {
    u32::try_from(n_frames).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::block::{Block, Channel, Stream};
    use crate::sink::Epoch;

    fn feed() -> Feed {
        let channels = ["Fp1", "Fp2", "O1"].iter().map(|name| Channel::microvolts_24_bit(name, 1000.0)).collect();
        let stream = Stream { rate_hz: 1000.0, channels, block_frames_max: 2, ratio: 1, delay_s: 0.0 };
        Feed { id: 5, name: "live".to_owned(), kind: FeedKind::Units, stream }
    }

    fn block(feed: &Feed) -> LiveBlock {
        let block = Block::from_samples(&feed.stream, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let head = Head {
            first_frame: 0x0102_0304_0506,
            n_frames: 2,
            edge_utc_ns: 5_000_000,
            flags: Flags::SATURATED,
            ..Head::default()
        };
        LiveBlock { head, epoch: Epoch::default(), samples: Samples::Units(Arc::new(block)) }
    }

    #[test]
    fn every_byte_of_a_message() {
        let feed = feed();
        let bytes = encode(&feed, &block(&feed), None, 7);
        let mut expected = b"BSG1\x01\x01\x05\x05".to_vec();
        expected.extend_from_slice(&[6, 5, 4, 3, 2, 1, 0, 0]);
        expected.extend_from_slice(&4_000_000_u64.to_le_bytes());
        expected.extend_from_slice(&[2, 0, 3, 0, 7, 0, 0, 0]);
        for sample in [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0] {
            expected.extend_from_slice(&sample.to_le_bytes());
        }
        assert_eq!(bytes, expected);
    }

    #[test]
    fn chosen_channels_in_the_order_asked_for() {
        let feed = feed();
        let bytes = encode(&feed, &block(&feed), Some(&[2, 0]), 0);
        let samples: Vec<f32> =
            bytes[HEADER_BYTES..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(samples, [3.0, 1.0, 6.0, 4.0]);
        assert_eq!((bytes[26], bytes[7]), (2, Flags::SATURATED.0));
    }

    #[test]
    fn a_client_that_lost_more_gets_its_own_count() {
        let feed = feed();
        let shared = encode(&feed, &block(&feed), None, 0);
        let own = with_missing(&shared, 1 << 40);
        assert_eq!(own[28..32], [255; 4]);
        assert_eq!(own[7], Flags::SATURATED.0 | Flags::GAP.0);
        assert_eq!(with_missing(&own, 0), shared);
    }
}
