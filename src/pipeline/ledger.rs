//! The ledger of one consumer in the metrics: the same numbers that the status and the sidecar show.

use prometheus::IntCounter;

use crate::block::{Account, Cause, Tally};
use crate::metrics::Metrics;

/// Handles to one consumer's counters. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Ledger {
    consumer: String,
    expected: IntCounter,
    delivered: IntCounter,
    lost: [IntCounter; Cause::ALL.len()],
}

impl Ledger {
    /// The ledger of `consumer`, every cause of it at zero from the first scrape on.
    #[must_use]
    pub fn new(metrics: &Metrics, consumer: &str) -> Ledger {
        Ledger {
            consumer: consumer.to_owned(),
            expected: metrics.expected_frames.with_label_values(&[consumer]),
            delivered: metrics.delivered_frames.with_label_values(&[consumer]),
            lost: Cause::ALL.map(|cause| metrics.lost_frames.with_label_values(&[consumer, cause.name()])),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// `n_frames` more are owed.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn expect(&self, n_frames: u64) {
        self.expected.inc_by(n_frames);
    }

    /// `n_frames` more were delivered.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn deliver(&self, n_frames: u64) {
        self.delivered.inc_by(n_frames);
    }

    /// `n_frames` of those owed were lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn lose(&self, cause: Cause, n_frames: u64) {
        self.lost[cause as usize].inc_by(n_frames);
    }

    /// A gap before a block: owed and lost, under its causes.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub fn gap(&self, gap: &Tally) {
        for (cause, n_frames) in gap.iter().filter(|(_, n_frames)| *n_frames > 0) {
            self.expect(n_frames);
            self.lose(cause, n_frames);
        }
    }

    /// Adds what a sink has counted by itself since the last time.
    pub fn add(&self, more: &Account) {
        self.expect(more.expected);
        self.deliver(more.delivered);
        for (cause, n_frames) in more.lost.iter() {
            self.lose(cause, n_frames);
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn account(&self) -> Account {
        // `expected` is read last: it is counted first, so a frame on its way shows as owed, never as too much.
        let mut account = Account { delivered: self.delivered.get(), ..Account::default() };
        for (cause, counter) in Cause::ALL.into_iter().zip(&self.lost) {
            account.lost.add(cause, counter.get());
        }
        account.expected = self.expected.get();
        account
    }
}
