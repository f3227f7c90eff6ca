//! The fault menu at random, from a printed seed: at the end every conversion was delivered, some of them flagged, or is lost
//! by the cause that the bench knows; and the same seed gives the same ledger. Left to tests of their own, where each strikes
//! alone (`faults`, `rare_faults`, `lead_off`, `triggers`): BrownOut, ChannelStuck, Rail, ElectrodeOff, WrongId, WritesDropped,
//! SdatacIgnored, StartBounces, Gpio, and wires that float low.
//!
//! Ten minutes on four chips in a row as a test; `BIOSIGD_SIMULATED_S=86400` makes it a day, `BIOSIGD_SEED` another one. Two minutes on
//! boards that are wired or read in another way.

use std::collections::BTreeSet;

use super::rig::{Rig, rig};
use crate::block::{Cause, Tally};
use crate::source::Source;
use crate::source::ads1299::notes::{Doubt, Note as Told};
use crate::source::ads1299::simulated::{Fault, Note, Planned, Touched, When, Which};

/// A board, and its rate in frames per second.
#[derive(Clone, Copy)]
struct Bench {
    text: &'static str,
    rate: u64,
    /// The select that the bus's own faults strike.
    select: usize,
}

const ROW: Bench = Bench { text: "", rate: 4000, select: 0 };
const CASCADE: Bench =
    Bench { text: "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000", rate: 2000, select: 2 };
const TWO_BUSES: Bench = Bench { text: "spi = [\"0.0\", \"1.0\"]", rate: 4000, select: 1 };
const BY_THEMSELVES: Bench = Bench { text: "read_mode = \"rdatac\"", rate: 4000, select: 0 };

/// Frames between two looks at the bench's notes.
const STEP: u64 = 4000;

/// The menu, and how many conversions lie between two of a kind on average.
fn menu(select: usize) -> Vec<(Fault, f64)> {
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
        (Fault::BitShift { select, bits: 5, n: 4 }, 50_000.0),
        (Fault::Float { select, level: 0xFF, n: 10 }, 50_000.0),
        // An even number to the odd one above, and not the one by which a bad nibble would come right.
        (Fault::GapBits { bits: 2, n: 6 }, 50_000.0),
        (Fault::Revert { chips: Which::All }, 500_000.0),
        (Fault::Revert { chips: Which::Chip(2) }, 500_000.0),
        (Fault::NoClock { chips: Which::All, n: 3000 }, 1_000_000.0),
        // Small, because several may add up: what a clock does while nobody looks cannot be followed beyond half a conversion, 80 ppm
        // in the longest sleep.
        (Fault::ClockOff { ppm: 25.0, n: 40_000 }, 500_000.0),
    ];
    chance.to_vec()
}

/// What the bench says was lost, by the cause that its own notes name.
#[derive(Debug, Default)]
struct Books {
    missed: u64,
    spi: u64,
    reinit: u64,
    /// Conversions at which a transfer failed, until they are settled.
    failed: BTreeSet<u64>,
    gaps: Vec<Gap>,
    /// The last conversion whose read straddled the next one, which left nothing of that to be read.
    straddled: Option<u64>,
    /// Conversions that follow such a one: they are read, found to be wrong, and delivered with a flag; or not read any more.
    n_spoiled: u64,
    /// Conversions up to the edge that made it certain that chips convert at a fraction of the rate: until then interrupts may
    /// have been off.
    n_thin: u64,
    n_selects: usize,
    n_faults: u64,
}

/// Nobody read the conversions from `first` to before `read` of one select; its chips had made `n_unread` of them.
#[derive(Debug, Clone, Copy)]
struct Gap {
    select: usize,
    first: u64,
    read: u64,
    n_unread: u64,
}

impl Books {
    fn take(&mut self, note: Note) {
        match note {
            Note::Failed { conversion, .. } => drop(self.failed.insert(conversion)),
            Note::Struck { .. } => self.n_faults += 1,
            Note::Touched { conversion, by, .. } if by.has(Touched::STRADDLE) => self.straddled = Some(conversion),
            Note::Skipped { select, first, read, n_unread } => {
                self.n_spoiled += u64::from(self.straddled.is_some_and(|straddled| straddled + 1 == first));
                self.gaps.push(Gap { select, first, read, n_unread });
            }
            _ => {}
        }
    }

    /// Nothing more will be told of what lies before `until`.
    fn settle(&mut self, until: u64) {
        self.gaps.sort_by_key(|gap| gap.first);
        let gaps = std::mem::take(&mut self.gaps);
        let mut rest = &gaps[..];
        while let Some(first) = rest.first() {
            // All that overlap.
            let (mut read, mut n) = (first.read, 1);
            while let Some(gap) = rest.get(n).filter(|gap| gap.first < read) {
                (read, n) = (read.max(gap.read), n + 1);
            }
            let (of_all, later) = rest.split_at(n);
            if read > until {
                self.gaps.extend(of_all);
            } else {
                self.lose(of_all, read);
            }
            rest = later;
        }
        // What lies before is settled.
        self.failed = self.failed.split_off(&until.min(self.gaps.first().map_or(u64::MAX, |gap| gap.first)));
    }

    /// Takes in gaps of all selects at one place. A conversion that one select did not give is lost; but what one chip did not
    /// make while others did is delivered, and flagged.
    fn lose(&mut self, gaps: &[Gap], read: u64) {
        let of_select = |select: usize| gaps.iter().filter(move |gap| gap.select == select);
        let n_unread = |select| of_select(select).map(|gap| gap.n_unread).sum::<u64>();
        let n_unmade = |select| of_select(select).map(|gap| gap.read - gap.first - gap.n_unread).sum::<u64>();
        let n_made = (0..self.n_selects).map(n_unread).max().unwrap_or(0);
        let spi = (self.failed.range(gaps[0].first..read).count() as u64).min(n_made);
        self.spi += spi;
        self.missed += n_made - spi;
        self.reinit += (0..self.n_selects).map(n_unmade).min().unwrap_or(0);
    }
}

fn thin(note: &Told) -> u64 {
    // The first of them followed sixteen conversions that were one, and so may the last be followed.
    if let Told::Doubted { first, next, doubt: Doubt::Rate } = note { next - first + 32 } else { 0 }
}

/// A run of `seconds`; the rig and the bench's books.
fn run(bench: Bench, seed: u64, seconds: u64) -> (Rig, Books) {
    let mut rig = rig(bench.text, |setup| {
        setup.seed = seed;
        // Two rows are on two buses.
        (0..).zip(&mut setup.selects).filter(|_| bench.select == 1).for_each(|(bus, select)| select.bus = bus);
        setup.faults = menu(bench.select)
            .into_iter()
            .map(|(fault, apart)| Planned { when: When::Chance(1.0 / apart), fault })
            .collect();
    })
    .unwrap();
    rig.source.start();
    let mut books = Books { n_selects: rig.source.board.layout.selects.len(), ..Books::default() };
    let mut until = STEP;
    while rig.source.end().next_frame < seconds * bench.rate {
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
            let noted: Vec<_> = told.iter().filter(near).collect();
            panic!(
                "seed {seed}: {n} unmarked wrong frames, {first} to {last}: told {:?}, the bench {noted:?}",
                rig.told
            );
        }
        notes.into_iter().for_each(|note| books.take(note));
        books.n_thin += rig.told.iter().map(thin).sum::<u64>();
        // The driver's index and the bench's may be apart by one for each setting-up.
        books.settle(rig.source.end().next_frame.saturating_sub(STEP));
        rig.forget();
    }
    books.settle(u64::MAX);
    (rig, books)
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs the menu and holds the driver's ledger against the bench's books.
fn holds(bench: Bench, seconds: u64) {
    let seed = from_env("BIOSIGD_SEED").unwrap_or(20_260_101);
    let (rig, books) = run(bench, seed, seconds);
    let (end, counts) = (rig.source.end(), rig.truth.counts());
    let n_set_up = rig.n_set_up();
    let discarded = rig.source.edge_counts().discarded;
    println!(
        "{:?}, seed {seed}: {seconds} s, {} faults, {} frames delivered, {} of them flagged, lost {:?}, set up {n_set_up} times, \
         {discarded} read and not used; the bench: {} missed, {} of them spoiled, {} spi, {} reinit",
        bench.text,
        books.n_faults,
        rig.n_delivered,
        rig.n_flagged,
        end.lost,
        books.missed,
        books.n_spoiled,
        books.spi,
        books.reinit,
    );
    assert!(books.n_faults > seconds / 4, "faults struck");
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
    let (unread, made) = (lost(Cause::Missed) + lost(Cause::Spi), books.missed + books.spi);
    // With several selects the bench may have counted a frame that was not used already: another select did not give it.
    let several = rig.source.board.layout.selects.len() > 1;
    let not_used = if several { 0..=discarded } else { discarded..=discarded };
    let least = (made + not_used.start()).saturating_sub(n_set_up + books.n_spoiled);
    let right = least..=made + not_used.end() + n_set_up + books.n_thin;
    assert!(right.contains(&unread), "missed and spi: {unread}, the bench {right:?}");
    let right = books.reinit.saturating_sub(n_set_up + books.n_thin)..=books.reinit + n_set_up;
    assert!(right.contains(&lost(Cause::Reinit)), "reinit: {}, the bench {right:?}", lost(Cause::Reinit));
    assert!(rig.farthest <= i64::try_from(n_set_up).unwrap(), "the index is off by {}", rig.farthest);
}

#[test]
fn every_conversion_is_delivered_or_lost_by_the_right_cause() {
    holds(ROW, from_env("BIOSIGD_SIMULATED_S").unwrap_or(600));
}

/// At most two minutes each.
fn other_boards_s() -> u64 {
    from_env("BIOSIGD_SIMULATED_S").unwrap_or(120).min(120)
}

#[test]
fn so_it_is_with_a_select_for_each_chip() {
    holds(CASCADE, other_boards_s());
}

#[test]
fn so_it_is_on_two_buses() {
    holds(TWO_BUSES, other_boards_s());
}

#[test]
fn so_it_is_where_frames_flow_by_themselves() {
    holds(BY_THEMSELVES, other_boards_s());
}

#[test]
fn the_same_seed_gives_the_same_ledger() {
    let ledger = |seed| {
        let (rig, books) = run(ROW, seed, 60);
        let lost: Tally = rig.source.end().lost;
        (lost, rig.n_delivered, rig.n_flagged, books.n_faults)
    };
    let first = ledger(7);
    assert_eq!(first, ledger(7));
    assert_ne!(first, ledger(8));
}
