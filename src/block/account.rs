//! The account of one consumer: what it was owed, what it got, what it lost and why.

use super::Tally;

/// Frames by fate. `expected = delivered + lost.total()` once nothing is on its way any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    /// Frames owed.
    pub expected: u64,
    /// Frames delivered.
    pub delivered: u64,
    /// Frames lost, by cause.
    pub lost: Tally,
}

impl Account {
    /// A gap: owed and lost, under its causes.
    pub fn add_gap(&mut self, gap: &Tally) {
        self.expected += gap.total();
        self.lost.merge(gap);
    }

    /// What has been added since `earlier`, an older state of the same account.
    #[must_use]
    pub fn since(&self, earlier: &Account) -> Account {
        Account {
            expected: self.expected - earlier.expected,
            delivered: self.delivered - earlier.delivered,
            lost: self.lost.since(&earlier.lost),
        }
    }

    /// Whether every frame owed was delivered or counted as lost.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.expected == self.delivered + self.lost.total()
    }
}
