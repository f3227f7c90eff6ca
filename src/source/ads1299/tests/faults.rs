//! Every fault of the menu alone, for a simulated minute: it is found, named and counted, and no wrong sample goes out
//! without a mark.

use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, rig};
use crate::block::Cause;
use crate::source::Source;
use crate::source::ads1299::notes::{Doubt, Note};
use crate::source::ads1299::simulated::{Fault, Planned, RdatacTakes, Side, When, Which};

/// A minute at 4 kHz.
const MINUTE: u64 = 240_000;

/// When the fault strikes.
const AT: u64 = 40_001;

/// A minute on the board of `text` with one fault.
fn minute(text: &str, fault: Fault) -> Rig {
    one_minute(text, AT, fault)
}

/// The same, with the fault before conversion `at`.
fn one_minute(text: &str, at: u64, fault: Fault) -> Rig {
    let mut rig = rig(text, |setup| {
        setup.faults = vec![Planned { when: When::Conversion(at), fault }];
    })
    .unwrap();
    rig.source.start();
    rig.run_until(MINUTE);
    let counts = rig.truth.counts();
    assert_eq!(counts.n_faults, 1, "{fault:?} struck");
    assert!(rig.source.end().next_frame >= MINUTE, "{fault:?}: it goes on: {:?}", rig.told);
    assert_eq!(rig.unmarked(), None, "{fault:?}: unmarked wrong frames: {:?}", rig.told);
    assert!(rig.farthest <= 1, "{fault:?}: the index is off by {}", rig.farthest);
    rig
}

fn doubts(rig: &Rig) -> Vec<Doubt> {
    rig.told
        .iter()
        .filter_map(|note| if let Note::Doubted { doubt, .. } = note { Some(*doubt) } else { None })
        .collect()
}

fn losses(rig: &Rig) -> [u64; 3] {
    [Cause::Missed, Cause::Spi, Cause::Reinit].map(|cause| rig.lost(cause))
}

#[test]
fn edges_that_do_not_come_are_missed_conversions() {
    for (fault, missed) in [
        (Fault::EdgesDropped { n_edges: 1 }, 1),
        (Fault::EdgesDropped { n_edges: 100 }, 100),
        (Fault::EdgesCoalesced { n_edges: 5 }, 4),
        (Fault::EdgesMerged { n_edges: 5 }, 4),
        (Fault::EdgeSpurious, 0),
        (Fault::EdgeJitter { jitter_ns: 40_000, n: 4000 }, 0),
        (Fault::WakeLate { us: 40 }, 0),
        (Fault::WakeLate { us: 124 }, 0),
    ] {
        let rig = minute("", fault);
        assert_eq!(losses(&rig), [missed, 0, 0], "{fault:?}");
        assert_eq!((rig.n_flagged, rig.wrong.len()), (0, 0), "{fault:?}");
        assert_eq!(rig.truth.counts().n_unread, missed, "{fault:?}");
    }
}

#[test]
fn a_thread_that_sleeps_misses_what_it_sleeps_through() {
    for us in [1000, 36_802, 300_000, 1_564_000] {
        let rig = minute("", Fault::WakeLate { us });
        let [missed, spi, reinit] = losses(&rig);
        assert_eq!((spi, reinit, rig.n_flagged, rig.wrong.len()), (0, 0, 0, 0), "{us} us: {:?}", rig.told);
        assert_eq!(missed, rig.truth.counts().n_unread, "{us} us");
        assert!(missed + 1 >= u64::from(us) / 250, "{us} us: {missed}");
    }
}

#[test]
fn edges_are_told_apart_by_what_the_kernel_counted() {
    let counts = |fault| minute("", fault).source.edge_counts();
    let merged = counts(Fault::EdgesCoalesced { n_edges: 5 });
    assert_eq!((merged.merged, merged.overflowed, merged.unseen, merged.spurious), (4, 0, 0, 0));
    let unseen = counts(Fault::EdgesMerged { n_edges: 5 });
    assert_eq!((unseen.merged, unseen.overflowed, unseen.unseen, unseen.spurious), (0, 0, 4, 0));
    let overflowed = counts(Fault::WakeLate { us: 1_000_000 });
    assert_eq!((overflowed.merged, overflowed.overflowed > 2900, overflowed.unseen), (0, true, 0), "{overflowed:?}");
    assert_eq!(counts(Fault::EdgeSpurious).spurious, 1);
}

#[test]
fn transfers_that_fail() {
    // The first failure is tried again within the same conversion.
    let once = minute("", Fault::TransferFails { errno: 5, n_transfers: 1 });
    assert_eq!((losses(&once), once.n_flagged), ([0, 0, 0], 0));
    for fault in [Fault::TransferFails { errno: 5, n_transfers: 2 }, Fault::TransferShort { n_transfers: 2 }] {
        let rig = minute("", fault);
        assert_eq!(losses(&rig), [0, 1, 0], "{fault:?}: {:?}", rig.told);
    }
    // A controller that timed out is opened again, and everything behind it set up.
    let timeout = minute("", Fault::TransferTimesOut { n_transfers: 1 });
    let [missed, spi, reinit] = losses(&timeout);
    // For 200 ms, 800 conversions, nobody read what the chips went on making.
    assert!(spi == 1 && (795..805).contains(&missed), "{spi} {missed}: {:?}", timeout.told);
    assert!((200..1000).contains(&reinit), "{reinit}");
}

#[test]
fn chips_whose_frames_are_wrong_are_flagged_and_set_up_again() {
    for fault in [
        Fault::NibbleBad { chip: 2, n: 10 },
        Fault::Zeros { chip: 1, n: 10 },
        Fault::BitShift { select: 0, bits: 3, n: 10 },
        Fault::Float { select: 0, level: 0xFF, n: 10 },
        Fault::Float { select: 0, level: 0x00, n: 10 },
        Fault::GapBits { bits: 1, n: 10 },
        Fault::FrameStuck { chip: 3, n: 10 },
    ] {
        let rig = minute("", fault);
        let n_touched = rig.truth.counts().n_touched;
        assert_eq!((losses(&rig), rig.n_flagged), ([0, 0, 0], n_touched), "{fault:?}: {:?}", rig.told);
        // A frame that stands still is the right one the first time.
        let right = if let Fault::FrameStuck { .. } = fault { 9..=10 } else { 10..=10 };
        assert!(right.contains(&n_touched), "{fault:?}: {n_touched}");
        assert_eq!(doubts(&rig).len(), 1, "{fault:?}: one line for one episode: {:?}", rig.told);
    }
    for fault in [
        Fault::NibbleBad { chip: 0, n: 4000 },
        Fault::Zeros { chip: 3, n: 40_000 },
        Fault::Float { select: 0, level: 0xFF, n: 4000 },
        Fault::FrameStuck { chip: 1, n: 400 },
    ] {
        let rig = minute("", fault);
        let [missed, spi, reinit] = losses(&rig);
        // The last chip of a row is asked whether it is back, which takes two conversions, after one second and after ten more.
        let asked = if let Fault::Zeros { .. } = fault { 2 * 2 } else { 0 };
        assert!(missed <= asked && spi == 0, "{fault:?}: {missed} {spi}");
        assert!(reinit > 0 && rig.n_flagged >= 25, "{fault:?}: {:?}", rig.told);
    }
}

#[test]
fn shifted_frames_are_told_with_the_shift() {
    let rig = minute("", Fault::GapBits { bits: 1, n: 10 });
    assert!(
        matches!(doubts(&rig)[..], [Doubt::Sync { chip: 1, shift_bits: Some(1), .. }]),
        "the second chip of the row comes a bit later: {:?}",
        doubts(&rig)
    );
    // To the left the first chip's word leaves the frame; those behind it show by how much.
    for bits in [1, 3, 5, 11] {
        let rig = minute("", Fault::BitShift { select: 0, bits, n: 10 });
        let text: Vec<String> = doubts(&rig).iter().map(|doubt| doubt.text(rig.source.stream())).collect();
        assert!(
            text[0].ends_with(&format!("the right one stands {bits} bit{} earlier", if bits == 1 { "" } else { "s" })),
            "{text:?}"
        );
    }
    // A nibble that is wrong is no shift, whatever bit stands before it: the chips behind have not moved.
    for at in AT..AT + 4 {
        let rig = one_minute("", at, Fault::NibbleBad { chip: 2, n: 1 });
        assert!(matches!(doubts(&rig)[..], [Doubt::Sync { chip: 2, shift_bits: None, .. }]), "{:?}", rig.told);
    }
}

#[test]
fn status_words_that_are_wrong_are_counted_apart_from_frames_that_are_suspect() {
    for (fault, chip, n_wrong) in
        [(Fault::NibbleBad { chip: 2, n: 10 }, 2, 10), (Fault::FrameStuck { chip: 3, n: 10 }, 3, 0)]
    {
        let signs = minute("", fault).source.signs().unwrap();
        let (wrong, suspect) = (signs.sync_errors[chip].load(Relaxed), signs.suspect_frames[chip].load(Relaxed));
        assert!(wrong == n_wrong && (9..=10).contains(&suspect), "{fault:?}: {wrong}, {suspect}");
    }
}

#[test]
fn a_channel_that_stands_still() {
    let rig = minute("", Fault::ChannelStuck { chip: 1, channel: 3, n: 4000 });
    assert_eq!(losses(&rig), [0, 0, 0]);
    assert!(matches!(doubts(&rig)[..], [Doubt::SameCode { channel: 11 }]), "{:?}", rig.told);
    // Three quarters of a second in blocks of 10 ms: those who look at the stream alone are told too.
    assert!((75..=76).contains(&rig.n_suspect_blocks), "{}", rig.n_suspect_blocks);
}

#[test]
fn a_channel_at_its_end_is_saturated_and_not_suspect() {
    let mut rig = minute("", Fault::Rail { chip: 0, channel: 2, negative: true, n: 4000 });
    rig.wrong.clear();
    assert_eq!((losses(&rig), rig.n_flagged, doubts(&rig).len()), ([0, 0, 0], 0, 0), "{:?}", rig.told);
    // One line for an episode; the counter's first is that of its own end.
    assert_eq!(rig.saturated, [(0, 0), (0, 8), (0, 16), (0, 24), (AT, 2)]);
}

#[test]
fn a_chip_that_lost_its_registers_is_set_up_again() {
    for text in ["", "high_pins = [4]", "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000"] {
        for chips in [Which::Chip(0), Which::Chip(2), Which::All] {
            let rig = minute(text, Fault::Revert { chips });
            let [missed, spi, reinit] = losses(&rig);
            assert_eq!((missed, spi), (0, 0), "{text}, {chips:?}: {:?}", rig.told);
            assert!((1..20_000).contains(&reinit), "{text}, {chips:?}: {reinit}: {:?}", rig.told);
        }
    }
}

#[test]
fn a_chip_that_lost_its_registers_is_found_where_registers_cannot_be_read() {
    for (text, chip) in [
        ("read_mode = \"rdatac\"\nrate_hz = 1000", 2),
        ("read_mode = \"rdatac\"\nrate_hz = 1000", 0),
        ("read_mode = \"rdatac\"\ntopology = \"cascade\"\nn_chips = 2\nrate_hz = 1000", 1),
        ("rate_hz = 1000", 3),
    ] {
        let rig = minute(text, Fault::Revert { chips: Which::Chip(chip) });
        let n_set_up = rig.n_set_up();
        assert!((1..3).contains(&n_set_up), "{text}, {chip}: set up {n_set_up} times: {:?}", rig.told);
        assert!(rig.n_flagged < 200, "{text}, {chip}: {} flagged", rig.n_flagged);
    }
}

#[test]
fn frames_flow_by_themselves_where_start_is_a_command() {
    for rate in [1000, 4000, 16_000] {
        for takes in [RdatacTakes::OnlySdatac, RdatacTakes::ResetAndStart] {
            let text = format!("n_chips = 1\nread_mode = \"rdatac\"\nrate_hz = {rate}\nspi_clock_hz = 20000000");
            let mut rig = rig(&text, |setup| {
                (setup.pins.start, setup.pins.reset, setup.pins.power_down) = (false, false, false);
                setup.rdatac_takes = takes;
                let fault = Fault::Revert { chips: Which::All };
                setup.faults = vec![Planned { when: When::Conversion(AT), fault }];
            })
            .unwrap();
            rig.source.start();
            rig.run_until(3 * AT);
            assert_eq!(rig.n_set_up(), 1, "{text}, {takes:?}: {:?}", rig.told);
            assert!(rig.n_delivered > 2 * AT, "{text}, {takes:?}: {}", rig.n_delivered);
            assert_eq!(rig.unmarked(), None, "{text}, {takes:?}: {:?}", rig.told);
        }
    }
}

#[test]
fn one_channel_may_repeat_its_code_by_chance() {
    let off: String = (2..=8).map(|n| format!("[source.channel.{n}]\npower = false\n")).collect();
    for text in ["gain = 1\nrate_hz = 250", "gain = 24\nrate_hz = 4000"] {
        let text = format!("n_chips = 1\nclock = \"internal\"\ninput = \"short\"\n{text}\n{off}");
        let mut rig = rig(&text, |_| {}).unwrap();
        rig.check = false;
        rig.source.start();
        rig.run_until(50_000);
        assert_eq!((rig.n_flagged, doubts(&rig).len()), (0, 0), "{:?}", rig.told);
    }
}

#[test]
fn a_clock_that_steps_or_stops() {
    let stepped = minute("", Fault::ClockOff { ppm: 900.0, n: u64::MAX });
    assert_eq!((losses(&stepped), stepped.n_flagged), ([0, 0, 0], 0), "{:?}", stepped.told);
    let stopped = minute("", Fault::NoClock { chips: Which::All, n: 8000 });
    let [missed, spi, reinit] = losses(&stopped);
    assert_eq!((missed, spi), (0, 0), "{:?}", stopped.told);
    assert!(reinit >= 8000, "{reinit}");
}

#[test]
fn an_electrode_that_comes_off() {
    let rig =
        minute("[source.lead_off]\nmode = \"dc\"", Fault::ElectrodeOff { chip: 0, channel: 4, side: Side::P, n: 4000 });
    assert_eq!((losses(&rig), rig.n_flagged), ([0, 0, 0], 0), "{:?}", rig.told);
}

#[test]
fn a_supply_that_dips_is_waited_for() {
    for text in ["", "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000"] {
        for chips in [Which::Chip(0), Which::Chip(2), Which::All] {
            let rig = minute(text, Fault::BrownOut { chips });
            // The RESET of the first attempt comes within the power-on reset; the same attempt gives another.
            assert_eq!(rig.n_set_up(), 1, "{text}, {chips:?}: {:?}", rig.told);
            let [missed, spi, reinit] = losses(&rig);
            assert_eq!((missed, spi), (0, 0), "{text}, {chips:?}: {:?}", rig.told);
            assert!(reinit < 2000, "{text}, {chips:?}: {reinit}: {:?}", rig.told);
        }
    }
}

#[test]
fn chips_that_all_fail_do_not_wait_for_the_turn_of_a_bad_one() {
    // A bad chip that was tried often is tried again after a minute. In that minute all lose their registers, or their clock.
    for (text, fault) in [
        ("read_mode = \"rdatac\"", Fault::Revert { chips: Which::All }),
        ("", Fault::Revert { chips: Which::All }),
        ("", Fault::NoClock { chips: Which::All, n: 3000 }),
    ] {
        let mut rig = rig(text, |setup| {
            let planned = |at, fault| Planned { when: When::Conversion(at), fault };
            setup.faults = vec![planned(AT, Fault::FrameStuck { chip: 2, n: u64::MAX }), planned(2 * MINUTE, fault)];
        })
        .unwrap();
        rig.source.start();
        rig.run_until(2 * MINUTE - 10);
        let (before, lost_before) = (rig.n_set_up(), rig.source.end().lost.total());
        rig.run_until(2 * MINUTE + 20_000);
        assert!(rig.n_set_up() > before, "{text}, {fault:?}: {:?}", rig.told);
        // Half a second of silence at the most, a second's pause, the setting-up itself, and what is not made at 250 a second.
        let lost = rig.source.end().lost.total() - lost_before;
        assert!(lost < 2 * 4000, "{text}, {fault:?}: {lost} were lost");
        assert_eq!(rig.unmarked(), None, "{text}, {fault:?}");
        assert!(rig.farthest <= i64::try_from(rig.n_set_up()).unwrap(), "{text}, {fault:?}: {}", rig.farthest);
    }
}
