//! Why frames were lost: a closed list, and the running account of it that every block carries.

/// The situations in which frames can be lost. The list is closed: its names are label values of
/// `biosigd_lost_frames_total{consumer,cause}`, keys of the ledger in the status and in the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A conversion that nobody read in time.
    Missed,
    /// A transfer that failed.
    Spi,
    /// Conversions that passed while the converter was set up again.
    Reinit,
    /// No slab was free.
    PoolEmpty,
    /// The link to a consumer was full.
    LinkFull,
    /// The recorder's stall budget was spent.
    RingFull,
    /// The disk refused, or the drain deadline passed.
    Disk,
    /// A stage panicked.
    StageFault,
    /// A client read too slowly, or left with frames queued.
    ClientSlow,
}

impl Cause {
    /// Every cause, in the order of its index in a [`Tally`].
    pub const ALL: [Cause; 9] = [
        Cause::Missed,
        Cause::Spi,
        Cause::Reinit,
        Cause::PoolEmpty,
        Cause::LinkFull,
        Cause::RingFull,
        Cause::Disk,
        Cause::StageFault,
        Cause::ClientSlow,
    ];

    /// The name used in metrics, status and sidecar.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Missed => "missed",
            Cause::Spi => "spi",
            Cause::Reinit => "reinit",
            Cause::PoolEmpty => "pool_empty",
            Cause::LinkFull => "link_full",
            Cause::RingFull => "ring_full",
            Cause::Disk => "disk",
            Cause::StageFault => "stage_fault",
            Cause::ClientSlow => "client_slow",
        }
    }
}

/// Frames lost, by cause. In a block's [`Head`](super::Head) it counts since the start of the stream, so that a
/// consumer that missed a whole block still learns from the next one what had been lost before it and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u64; Cause::ALL.len()]);

impl Tally {
    /// The length of [`Tally::to_bytes`].
    pub const BYTES: usize = Cause::ALL.len() * 8;

    /// Adds `n_frames` lost to `cause`.
    pub fn add(&mut self, cause: Cause, n_frames: u64) {
        self.0[cause as usize] += n_frames;
    }

    /// Frames lost to `cause`.
    #[must_use]
    pub fn get(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// Frames lost to all causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds every cause of `other`.
    pub fn merge(&mut self, other: &Tally) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// What has been added since `earlier`, an older state of the same account.
    #[must_use]
    pub fn since(&self, earlier: &Tally) -> Tally {
        let mut difference = *self;
        for (now, before) in difference.0.iter_mut().zip(earlier.0) {
            *now = now.saturating_sub(before);
        }
        difference
    }

    /// These losses, which stand directly before `frame`, in frames of a stream that keeps those frames whose index is
    /// a multiple of `ratio`: cause by cause, so that their sum is exactly what the index of that stream jumps by.
    #[must_use]
    pub fn in_frames_of(&self, ratio: u64, frame: u64) -> Tally {
        let mut tally = Tally::default();
        let mut at = frame.saturating_sub(self.total());
        for (cause, n_frames) in self.iter() {
            tally.add(cause, (at + n_frames).div_ceil(ratio) - at.div_ceil(ratio));
            at += n_frames;
        }
        tally
    }

    /// Every cause with its count, also those of zero.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.iter().map(|&cause| (cause, self.get(cause)))
    }

    /// The counts, little-endian, in the order of [`Cause::ALL`]: how the packed ring carries them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Tally::BYTES] {
        let mut bytes = [0; Tally::BYTES];
        for (to, count) in bytes.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    /// The inverse of [`Tally::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Tally::BYTES]) -> Tally {
        let mut tally = Tally::default();
        for (count, from) in tally.0.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(from);
            *count = u64::from_le_bytes(word);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_cause_is_its_place_in_the_list() {
        for (i, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, i);
        }
    }

    #[test]
    fn fewer_frames_are_lost_of_a_slower_stream_and_none_twice() {
        let mut tally = Tally::default();
        tally.add(Cause::Missed, 9);
        tally.add(Cause::Spi, 12);
        // Of the lost 10..31, the frames 16 (missed) and 24 (spi) would have been kept.
        let slower = tally.in_frames_of(8, 31);
        assert_eq!((slower.get(Cause::Missed), slower.get(Cause::Spi), slower.total()), (1, 1, 2));
        assert_eq!(tally.in_frames_of(1, 31), tally);
    }

    #[test]
    fn bytes_and_back() {
        let mut tally = Tally::default();
        tally.add(Cause::Missed, 3);
        tally.add(Cause::ClientSlow, u64::MAX / 3);
        assert_eq!(Tally::from_bytes(&tally.to_bytes()), tally);
        assert_eq!(tally.since(&Tally::default()), tally);
    }
}
