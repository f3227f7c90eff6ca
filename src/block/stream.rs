//! What blocks look like at one point of the road.

use super::Channel;

/// The shape of the blocks at one point: rate, channels, most frames per block, and how its frames relate to `raw`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Frames per second.
    pub rate_hz: f64,
    /// The channels, in the order of the samples within a frame.
    pub channels: Vec<Channel>,
    /// No block of this stream holds more frames than this.
    pub block_frames_max: usize,
    /// Frames of `raw` per frame of this stream: 1 unless a stage changed the rate.
    pub ratio: u32,
    /// How much later than `raw` a feature appears here, in seconds (group delay of the stages that state one). What
    /// the converter's own filter delays `raw` by is the source's to say: a sample of `raw` stands for its DRDY edge minus
    /// the `group_delay_s` of the source's proof, where it has one.
    pub delay_s: f64,
}

impl Stream {
    /// Samples per frame.
    #[must_use]
    pub fn n_channels(&self) -> usize {
        self.channels.len()
    }

    /// Whether a channel of it was simulated and not measured: people must never take one for the other.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.channels.iter().any(Channel::is_simulated)
    }

    /// The time that `n_frames` last, in nanoseconds, rounded to the nearest.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "292 years of nanoseconds fit i64; the cast saturates")]
    pub fn duration_ns(&self, n_frames: u64) -> i64 {
        (n_frames as f64 * 1e9 / self.rate_hz).round() as i64
    }
}
