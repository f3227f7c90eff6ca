//! Every fault alone: what it does, when, and what is noted of it.

use super::*;
use crate::source::ads1299::wire::{Pin, WireError};
use crate::source::synthetic::counter_code;

/// What a host saw at one edge.
struct Seen {
    edge: Edge,
    line: Result<Vec<u8>, WireError>,
}

impl Seen {
    fn chip(&self, chip: usize) -> &[u8] {
        &self.line.as_ref().unwrap()[chip * 27..][..27]
    }

    fn index(&self) -> u64 {
        u64::try_from(code(self.chip(0), 0) + (1 << 23)).unwrap() / 64
    }
}

/// Two chips in a chain at 4 kSPS, in a run of `n_edges` with one fault.
fn run(when: When, fault: Fault, n_edges: usize) -> (Vec<Seen>, Vec<Note>, Counts) {
    let faults = vec![Planned { when, fault }];
    let mut host = Host::new(&Setup { faults, run_by_hand: true, ..Setup::daisy(2) });
    host.configure(1, 0x92, 0x60);
    host.truth.arm();
    host.start_pin(true);
    let mut seen = Vec::new();
    while seen.len() < n_edges {
        let Some(edge) = host.edge() else { break };
        let mut tx = [0; 55];
        tx[0] = 0x12;
        let mut rx = [0; 55];
        let shape = Shape { select: 0, clock_hz: 8_000_000, hold_us: 3 };
        let line = host.wire.transfer(shape, &tx, &mut rx).map(|()| rx[1..].to_vec());
        seen.push(Seen { edge, line });
    }
    let notes: Vec<Note> = host.truth.notes().filter(|note| !matches!(note, Note::RunBegan { .. })).collect();
    (seen, notes, host.truth.counts())
}

/// The conversions noted as touched, all by the same cause and at the same chips.
fn touched(notes: &[Note], cause: Touched, mask: u32) -> Vec<u64> {
    let of = |note: &Note| match *note {
        Note::Touched { select, conversion, chips, by } => {
            assert_eq!((select, chips, by), (0, mask, cause));
            Some(conversion)
        }
        _ => None,
    };
    notes.iter().filter_map(of).collect()
}

#[test]
fn frames_are_spoiled_from_the_conversion_on_for_as_many_as_asked() {
    let last = |frame: &[u8]| code(frame, 7);
    for (fault, cause, mask) in [
        (Fault::Zeros { chip: 1, n: 3 }, Touched::ZEROS, 2),
        (Fault::NibbleBad { chip: 1, n: 3 }, Touched::NIBBLE, 2),
        (Fault::FrameStuck { chip: 1, n: 3 }, Touched::FRAME_STUCK, 2),
        (Fault::ChannelStuck { chip: 1, channel: 7, n: 3 }, Touched::CHANNEL_STUCK, 2),
        (Fault::Rail { chip: 1, channel: 7, negative: true, n: 3 }, Touched::RAIL, 2),
        (Fault::BitShift { select: 0, bits: 9, n: 3 }, Touched::SHIFT, 3),
        (Fault::GapBits { bits: 1, n: 3 }, Touched::SHIFT, 3),
        (Fault::Float { select: 0, level: 0xFF, n: 3 }, Touched::FLOAT, 3),
    ] {
        let (seen, notes, counts) = run(When::Conversion(5), fault, 12);
        assert_eq!(touched(&notes, cause, mask), [5, 6, 7], "{fault:?}");
        assert_eq!((counts.n_faults, counts.n_touched, counts.n_reads), (1, 3, 12));
        for (i, frame) in seen.iter().enumerate() {
            let (chip, expected) = (frame.chip(1), counter_code(i as u64, 15));
            if !(5..8).contains(&i) {
                assert_eq!((chip[0], last(chip)), (0xC0, expected), "{fault:?} at {i}");
                continue;
            }
            match fault {
                Fault::Zeros { .. } => assert_eq!(chip, [0; 27]),
                Fault::NibbleBad { .. } => assert_eq!((chip[0], last(chip)), (0x80, expected)),
                Fault::FrameStuck { .. } => assert_eq!(chip, seen[4].chip(1)),
                Fault::ChannelStuck { .. } => {
                    assert_eq!((last(chip), code(chip, 6)), (counter_code(4, 15), counter_code(i as u64, 14)));
                }
                Fault::Rail { .. } => assert_eq!(chip[24..], [0x80, 0, 0]),
                Fault::BitShift { .. } => assert_eq!(chip[25] & 1, 0),
                Fault::GapBits { .. } => assert_eq!(chip[0], 0xE0, "the gap bit is a one"),
                _ => assert_eq!(chip, [0xFF; 27]),
            }
        }
    }
}

#[test]
fn failed_transfers_say_why_and_are_noted() {
    for (fault, error) in [
        (Fault::TransferFails { errno: 5, n_transfers: 2 }, WireError::Spi(5)),
        (Fault::TransferTimesOut { n_transfers: 2 }, WireError::SpiTimeout),
        (Fault::TransferShort { n_transfers: 2 }, WireError::Short { got: 27, wanted: 55 }),
    ] {
        let (seen, notes, counts) = run(When::Conversion(5), fault, 12);
        let failed: Vec<usize> = (0..12).filter(|i| seen[*i].line == Err(error)).collect();
        assert_eq!(failed, [5, 6]);
        assert_eq!(counts.n_failed, 2);
        assert!(notes.contains(&Note::Failed { select: 0, conversion: 5 }));
        assert!(notes.iter().any(|note| matches!(note, Note::Skipped { first: 5, .. })));
    }
}

#[test]
fn edges_vanish_merge_and_coalesce() {
    let period_ns = 250_000;
    // Conversions 5, 6, 7 have no edge; or one event, at the last of them.
    for (fault, step, n_interrupts, n_events) in [
        (Fault::EdgesDropped { n_edges: 3 }, 4, 1, 1),
        (Fault::EdgesMerged { n_edges: 3 }, 3, 1, 1),
        (Fault::EdgesCoalesced { n_edges: 3 }, 3, 3, 1),
    ] {
        let (seen, notes, counts) = run(When::Conversion(5), fault, 12);
        let (before, after) = (&seen[4], &seen[5]);
        assert_eq!(after.edge.at_ns - before.edge.at_ns, step * period_ns, "{fault:?}");
        assert_eq!(after.edge.n_interrupts - before.edge.n_interrupts, n_interrupts);
        assert_eq!(after.edge.n_events - before.edge.n_events, n_events);
        assert_eq!((before.index(), after.index(), seen[6].index()), (4, 4 + step, 5 + step));
        let skipped = Note::Skipped { select: 0, first: 5, read: 4 + step, n_unread: step - 1 };
        assert!(notes.contains(&skipped), "{notes:?}");
        assert_eq!(counts.n_unread, step - 1);
        let lost = [counts.n_edges_dropped, counts.n_edges_merged, counts.n_edges_coalesced];
        assert_eq!(lost.iter().sum::<u64>() + counts.n_events, counts.n_edges);
    }
}

#[test]
fn a_spurious_edge_comes_between_two_conversions() {
    let (seen, notes, counts) = run(When::Conversion(5), Fault::EdgeSpurious, 12);
    assert_eq!(seen[6].edge.at_ns - seen[5].edge.at_ns, 125_000);
    assert!(notes.contains(&Note::Repeated { select: 0, conversion: 5 }));
    assert_eq!((counts.n_edges_spurious, counts.n_repeated, counts.n_conversions), (1, 1, 11));
}

#[test]
fn jitter_is_within_its_bounds_and_the_same_for_the_same_seed() {
    let fault = Fault::EdgeJitter { jitter_ns: 20_000, n: u64::MAX };
    let lateness = || -> Vec<u64> {
        let (seen, ..) = run(When::Conversion(5), fault, 200);
        let zero_ns = seen[0].edge.at_ns;
        (0..).zip(&seen).map(|(i, seen)| seen.edge.at_ns - zero_ns - i * 250_000).collect()
    };
    let late = lateness();
    assert_eq!(late[..5], [0; 5]);
    assert!(late.iter().all(|late| *late <= 20_000) && late.iter().any(|late| *late > 15_000));
    assert_eq!(late, lateness());
}

#[test]
fn a_host_that_sleeps_on_finds_as_many_edges_behind_it() {
    let (seen, notes, counts) = run(When::Conversion(5), Fault::WakeLate { us: 36_802 }, 200);
    assert_eq!(seen[5].edge.at_ns - seen[4].edge.at_ns, 250_000, "the edge itself is in time");
    assert_eq!(seen[5].index(), 5 + 147);
    assert!(notes.contains(&Note::Skipped { select: 0, first: 5, read: 152, n_unread: 147 }), "{notes:?}");
    assert_eq!(counts.n_unread, 147);
}

#[test]
fn a_glitch_returns_chips_to_their_defaults_until_the_host_brings_them_up() {
    let (seen, _, counts) = run(When::Conversion(5), Fault::Revert { chips: Which::All }, 7);
    assert_eq!(seen[6].edge.at_ns - seen[5].edge.at_ns, 4_000_000, "250 SPS");
    assert!(counts.n_touched >= 1);
    let (seen, notes, _) = run(When::Conversion(5), Fault::Revert { chips: Which::Chip(1) }, 9);
    assert!(seen.iter().skip(5).all(|seen| code(seen.chip(1), 7) == 0), "MUX is at the short");
    let by = Touched::REVERTED.with(Touched::OUT_OF_STEP);
    assert!(matches!(notes.last(), Some(Note::Touched { chips: 2, by: last, .. }) if by.has(*last)), "{notes:?}");
}

#[test]
fn a_chip_without_clock_is_silent_and_comes_back() {
    let (seen, notes, _) = run(When::Conversion(5), Fault::NoClock { chips: Which::Chip(1), n: 3 }, 20);
    assert_eq!(seen[5].chip(1), [0; 27]);
    assert_eq!(seen[7].chip(1), [0; 27]);
    assert_eq!(seen[19].chip(1)[0], 0xC0);
    assert!(notes.iter().any(|note| matches!(note, Note::Down { chip: 1, first: 5, .. })));
    let (seen, _, counts) = run(When::Conversion(5), Fault::NoClock { chips: Which::All, n: 100 }, 20);
    let gap_ns = seen[5].edge.at_ns - seen[4].edge.at_ns;
    assert!(gap_ns.abs_diff(100 * 250_000 + 1_004_400 + 125_000) < 2_000, "{gap_ns}");
    assert_eq!(seen[5].index() - seen[4].index(), (gap_ns + 125_000) / 250_000);
    assert_eq!(counts.n_down, seen[5].index() - 5);
}

#[test]
fn the_clock_steps_and_returns() {
    let (seen, ..) = run(When::Conversion(5), Fault::ClockOff { ppm: 10_000.0, n: 10 }, 30);
    let gap = |i: usize| seen[i + 1].edge.at_ns - seen[i].edge.at_ns;
    assert_eq!((gap(3), gap(5) / 10, gap(20)), (250_000, 24_752, 250_000));
    assert!((0..30).all(|i| seen[i].index() == i as u64));
}

#[test]
fn start_up_meets_wrong_identities_deaf_registers_and_a_bouncing_pin() {
    let at = |fault| Planned { when: When::PowerUp, fault };
    let faults = vec![
        at(Fault::WrongId { chip: 0, id: 0x20 }),
        at(Fault::WritesDropped { chip: 0, address: 2, n_writes: 1 }),
        at(Fault::SdatacIgnored { chip: 0, n_commands: 2 }),
        at(Fault::StartBounces { for_us: 400 }),
    ];
    let mut host = Host::new(&Setup { faults, ..Setup::default() });
    host.command(0, 0x11);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 1), [0]);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 1), [0x20]);
    host.write(0, 2, &[0xD0]);
    assert_eq!(host.read(0, 2, 1), [0xC0]);
    host.write(0, 2, &[0xD0]);
    assert_eq!(host.read(0, 2, 1), [0xD0]);
    let before_ns = host.wire.now_ns();
    host.start_pin(true);
    let first = host.edge().unwrap();
    assert_eq!(first.at_ns, before_ns + 400_000 + 16_004_394 + 2_000);
    assert_eq!(host.truth.counts().n_faults, 4);
    host.wire.set_pin(Pin::Start, false).unwrap();
}

#[test]
fn chance_strikes_as_often_as_it_should_and_the_same_way_for_the_same_seed() {
    let strikes = |seed| -> Vec<u64> {
        let fault = Fault::NibbleBad { chip: 0, n: 1 };
        let faults = vec![Planned { when: When::Chance(0.01), fault }];
        let mut host = Host::new(&Setup { faults, seed, ..Setup::default() });
        host.configure(1, 0x90, 0x60);
        host.start_pin(true);
        host.pause(6_250_000_000);
        let at = |note| if let Note::Struck { conversion, .. } = note { Some(conversion) } else { None };
        host.truth.notes().filter_map(at).collect()
    };
    let first = strikes(7);
    // 100 000 conversions: 1000 strikes, with a standard deviation of 31; five of them.
    assert!(first.len().abs_diff(1000) < 160, "{}", first.len());
    assert_eq!(first, strikes(7));
    assert_ne!(first, strikes(8));
}
