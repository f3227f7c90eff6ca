//! The whole fault menu at random, from a printed seed: at the end every conversion was delivered, some of them flagged, or
//! is lost by the cause that the bench knows; and the same seed gives the same ledger.
//!
//! Ten minutes as a test; `BIOSIGD_SIMULATED_S=86400` makes it a day, `BIOSIGD_SEED` another one.

use std::collections::BTreeSet;

use super::rig::{Rig, rig};
use crate::block::{Cause, Tally};
use crate::source::Source;
use crate::source::ads1299::simulated::{Fault, Note, Planned, Touched, When, Which};

const RATE: u64 = 4000;

/// Frames between two looks at the bench's notes.
const STEP: u64 = 4000;

/// The menu, and how many conversions lie between two of a kind on average.
fn menu() -> Vec<(Fault, f64)> {
    let chance = [
        (Fault::EdgesDropped { n_edges: 3 }, 50_000.0),
        (Fault::EdgesCoalesced { n_edges: 4 }, 50_000.0),
        (Fault::EdgesMerged { n_edges: 3 }, 50_000.0),
        (Fault::EdgeSpurious, 50_000.0),
        (Fault::EdgeJitter { jitter_ns: 30_000, n: 2000 }, 100_000.0),
        (Fault::WakeLate { us: 40 }, 25_000.0),
        (Fault::WakeLate { us: 124 }, 25_000.0),
        (Fault::WakeLate { us: 36_802 }, 100_000.0),
        (Fault::WakeLate { us: 1_564_000 }, 500_000.0),
        (Fault::TransferFails { errno: 5, n_transfers: 1 }, 50_000.0),
        (Fault::TransferFails { errno: 5, n_transfers: 2 }, 50_000.0),
        (Fault::TransferShort { n_transfers: 2 }, 100_000.0),
        (Fault::TransferTimesOut { n_transfers: 1 }, 500_000.0),
        (Fault::NibbleBad { chip: 1, n: 5 }, 50_000.0),
        (Fault::Zeros { chip: 3, n: 8 }, 50_000.0),
        (Fault::FrameStuck { chip: 2, n: 6 }, 50_000.0),
        (Fault::FrameStuck { chip: 0, n: 200 }, 500_000.0),
        // More bits than the gaps of a row: else both together could move the last chip to its place again, less its last bits.
        (Fault::BitShift { select: 0, bits: 5, n: 4 }, 50_000.0),
        (Fault::Float { select: 0, level: 0xFF, n: 10 }, 50_000.0),
        // An even number to the odd one above, and not the one by which a bad nibble would come right.
        (Fault::GapBits { bits: 2, n: 6 }, 50_000.0),
        (Fault::Revert { chips: Which::All }, 500_000.0),
        (Fault::Revert { chips: Which::Chip(2) }, 500_000.0),
        (Fault::NoClock { chips: Which::All, n: 3000 }, 1_000_000.0),
        // Small: what a clock does while its chips stand still nobody can follow.
        (Fault::ClockOff { ppm: 50.0, n: 40_000 }, 500_000.0),
    ];
    chance.to_vec()
}

/// What the bench says was lost, by the cause that its own notes name.
#[derive(Debug, Default)]
struct Books {
    missed: u64,
    spi: u64,
    reinit: u64,
    /// Conversions at which a transfer failed, until a gap takes them in.
    failed: BTreeSet<u64>,
    n_faults: u64,
}

impl Books {
    fn take(&mut self, note: Note) {
        match note {
            Note::Failed { conversion, .. } => drop(self.failed.insert(conversion)),
            Note::Struck { .. } => self.n_faults += 1,
            Note::Skipped { first, read, n_unread, .. } => self.gap(first, read, n_unread),
            _ => {}
        }
    }

    /// Nobody read the conversions from `first` to before `read`; the chips had made `n_unread` of them.
    fn gap(&mut self, first: u64, read: u64, n_unread: u64) {
        let n_failed = self.failed.range(first..read).count() as u64;
        let spi = n_failed.min(n_unread);
        self.spi += spi;
        self.missed += n_unread - spi;
        self.reinit += read - first - n_unread;
        // What lies before is settled.
        self.failed = self.failed.split_off(&read);
    }
}

/// A run of `seconds`; the rig, the bench's books, and how many frames were flagged although nothing was wrong.
fn run(seed: u64, seconds: u64) -> (Rig, Books) {
    let mut rig = rig("", |setup| {
        setup.seed = seed;
        setup.faults =
            menu().into_iter().map(|(fault, apart)| Planned { when: When::Chance(1.0 / apart), fault }).collect();
    })
    .unwrap();
    rig.source.start();
    let mut books = Books::default();
    let mut until = STEP;
    while rig.source.end().next_frame < seconds * RATE {
        rig.run_until(until);
        until = rig.source.end().next_frame + STEP;
        let notes = rig.bench_notes();
        // An old frame that a chip gives once, after a gap or after frames of which nothing could be read, looks like any other.
        let mut hidden = BTreeSet::new();
        let mut unseen_before = None;
        for note in &notes {
            match *note {
                Note::Skipped { read, .. } => unseen_before = Some(read),
                Note::Touched { conversion, by, .. }
                    if by == Touched::FRAME_STUCK && unseen_before == Some(conversion) =>
                {
                    hidden.insert(conversion);
                }
                Note::Touched { conversion, by, .. } if by.has(Touched::FLOAT) || by.has(Touched::SHIFT) => {
                    unseen_before = Some(conversion + 1);
                }
                _ => {}
            }
        }
        let n_set_up = rig.n_set_up();
        let is_hidden = |frame: u64| hidden.iter().any(|conversion| conversion.abs_diff(frame) <= n_set_up);
        if let Some((first, last, n)) = rig.unmarked_but(is_hidden) {
            let told: Vec<_> = notes.iter().filter(|note| !matches!(note, Note::Violation { .. })).collect();
            let near = |note: &&&Note| match note {
                Note::Touched { conversion, .. } => conversion.abs_diff(first) < 8,
                _ => true,
            };
            let bench: Vec<_> = told.iter().filter(near).collect();
            panic!(
                "seed {seed}: {n} unmarked wrong frames, {first} to {last}: told {:?}, the bench {bench:?}",
                rig.told
            );
        }
        notes.into_iter().for_each(|note| books.take(note));
        rig.forget();
    }
    (rig, books)
}

#[test]
fn every_conversion_is_delivered_or_lost_by_the_right_cause() {
    let from_env = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = from_env("BIOSIGD_SIMULATED_S").unwrap_or(600);
    let seed = from_env("BIOSIGD_SEED").unwrap_or(20_260_101);
    let (rig, books) = run(seed, seconds);
    let (end, counts) = (rig.source.end(), rig.truth.counts());
    let n_set_up = rig.n_set_up();
    println!(
        "seed {seed}: {seconds} s, {} faults, {} frames delivered, {} of them flagged, lost {:?}, set up {n_set_up} times; the \
         bench: {} missed, {} spi, {} reinit",
        books.n_faults, rig.n_delivered, rig.n_flagged, end.lost, books.missed, books.spi, books.reinit,
    );
    assert_eq!(counts.n_notes_lost, 0, "the bench could tell everything");
    let lost = |cause| end.lost.get(cause);
    assert_eq!(end.lost.total() + rig.n_delivered, end.next_frame, "delivered or lost");
    // The bench cannot tell a command of a set-up that failed from a read that did: at most one for each.
    assert!(
        (books.spi.saturating_sub(n_set_up)..=books.spi).contains(&lost(Cause::Spi)),
        "spi: {} {}",
        lost(Cause::Spi),
        books.spi
    );
    let discarded = rig.source.edge_counts().discarded;
    let (unread, made) = (lost(Cause::Missed) + lost(Cause::Spi), books.missed + books.spi + discarded);
    assert!(unread.abs_diff(made) <= n_set_up, "missed and spi: {unread} {made}, {discarded} read and not used");
    if n_set_up == 0 {
        assert_eq!(unread, made);
    }
    assert!(lost(Cause::Reinit).abs_diff(books.reinit) <= n_set_up, "reinit: {} {}", lost(Cause::Reinit), books.reinit);
    assert!(rig.farthest <= i64::try_from(n_set_up).unwrap(), "the index is off by {}", rig.farthest);
}

#[test]
fn the_same_seed_gives_the_same_ledger() {
    let ledger = |seed| {
        let (rig, books) = run(seed, 60);
        let lost: Tally = rig.source.end().lost;
        (lost, rig.n_delivered, rig.n_flagged, books.n_faults)
    };
    let first = ledger(7);
    assert_eq!(first, ledger(7));
    assert_ne!(first, ledger(8));
}
