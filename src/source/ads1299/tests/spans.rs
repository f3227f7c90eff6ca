//! The annotation of a fault reaches back to the last proof that all was well: no frame before its discovery that is wrong lies
//! outside of it.

use super::rig::{Rig, rig};
use crate::source::Source;
use crate::source::ads1299::notes::{Doubt, Miss, Note};
use crate::source::ads1299::simulated::{Fault, Planned, When};
use crate::source::ads1299::wire::Shape;

/// When the first fault strikes; the counter is far from its ends.
const AT: u64 = 20_001;

fn run(text: &str, faults: &[(u64, Fault)]) -> Rig {
    let planned = |(at, fault): &(u64, Fault)| Planned { when: When::Conversion(*at), fault: *fault };
    let mut rig = rig(text, |setup| setup.faults = faults.iter().map(planned).collect()).unwrap();
    rig.source.start();
    rig.run_until(AT + 8000);
    assert_eq!(rig.unmarked(), None, "{faults:?}: unmarked wrong frames: {:?}", rig.told);
    rig
}

fn doubts(rig: &Rig) -> Vec<(u64, u64, Doubt)> {
    let doubted = |note: &Note| match *note {
        Note::Doubted { first, next, doubt } => Some((first, next, doubt)),
        _ => None,
    };
    rig.told.iter().filter_map(doubted).collect()
}

fn stuck(rig: &Rig) -> Vec<(u64, usize)> {
    let of = |(first, _, doubt): &(u64, u64, Doubt)| match doubt {
        Doubt::SameCode { channel } => Some((*first, *channel)),
        _ => None,
    };
    doubts(rig).iter().filter_map(of).collect()
}

#[test]
fn a_frame_that_is_wrong_by_itself_hides_no_channel_that_stands_still() {
    let channel = Fault::ChannelStuck { chip: 1, channel: 3, n: 4000 };
    // On the very frame of its discovery, and in the middle of what would have been found.
    for (at, fault) in [
        (AT + 997, Fault::NibbleBad { chip: 1, n: 1 }),
        (AT + 998, Fault::NibbleBad { chip: 1, n: 1 }),
        (AT + 999, Fault::NibbleBad { chip: 1, n: 1 }),
        (AT + 1000, Fault::NibbleBad { chip: 1, n: 1 }),
        (AT + 500, Fault::Zeros { chip: 1, n: 5 }),
        (AT + 998, Fault::Zeros { chip: 1, n: 5 }),
    ] {
        let rig = run("", &[(AT, channel), (at, fault)]);
        assert_eq!(stuck(&rig), [(AT - 1, 11)], "{at}, {fault:?}: {:?}", rig.told);
    }
}

#[test]
fn every_channel_that_stands_still_is_named() {
    let channels: Vec<(u64, Fault)> =
        [2, 5, 7].map(|channel| (AT, Fault::ChannelStuck { chip: 1, channel, n: 4000 })).to_vec();
    let rig = run("", &channels);
    assert_eq!(stuck(&rig), [(AT - 1, 10), (AT - 1, 13), (AT - 1, 15)], "{:?}", rig.told);
    // Once more, after they moved.
    let again = |fault| (AT + 5000, fault);
    let twice: Vec<_> = channels.iter().copied().chain(channels.iter().map(|(_, fault)| again(*fault))).collect();
    assert_eq!(stuck(&run("", &twice)).len(), 6);
}

#[test]
fn a_channel_that_jumps_to_a_constant_is_in_doubt_from_there_on() {
    for code in [0, 0x12_3456] {
        let rig = run("", &[(AT, Fault::Constant { chip: 1, from_channel: 3, code, n: 4000 })]);
        assert!(rig.wrong.iter().any(|(frame, marked)| *frame == AT && !marked), "{:?}", &rig.wrong[..2]);
        assert_eq!(stuck(&rig), [11, 12, 13, 14, 15].map(|channel| (AT, channel)), "{code:#X}: {:?}", rig.told);
    }
}

#[test]
fn garbage_whose_status_word_is_right_is_in_doubt_from_its_first_frame_on() {
    // Right status words, and zeros behind them in every channel.
    let zeros = Fault::Constant { chip: 1, from_channel: 0, code: 0, n: 400 };
    let rig = run("", &[(AT, zeros)]);
    assert_eq!(doubts(&rig)[0], (AT, AT + 1, Doubt::SameFrame { chip: 1 }), "{:?}", rig.told);
    assert_eq!(rig.n_flagged_of, [0, 25, 0, 0], "until they were set up: {:?}", rig.told);
    // With lead-off sensing on every electrode, and triggers, 0xC0C0C0 is a status word that may be.
    let text = "trigger_pins = [1, 2, 3, 4]\n[source.lead_off]\nmode = \"dc\"\ninputs = \"both\"";
    let rig = run(text, &[(AT, Fault::Float { select: 0, level: 0xC0, n: 10 })]);
    assert_eq!(doubts(&rig)[0].0, AT, "{:?}", rig.told);
    assert!(rig.n_flagged_of.iter().all(|n_flagged| *n_flagged == 9), "{:?}", rig.n_flagged_of);
}

#[test]
fn bits_of_electrodes_that_are_not_watched_must_be_what_they_were() {
    let rig = run("", &[(AT, Fault::Float { select: 0, level: 0xC0, n: 10 })]);
    assert!(matches!(doubts(&rig)[0], (AT, AT, Doubt::Sync { word: 0xC0_C0C0, .. })), "{:?}", rig.told);
    assert!(rig.n_flagged_of.iter().all(|n_flagged| *n_flagged == 10), "{:?}", rig.n_flagged_of);
}

#[test]
fn a_frame_between_two_suspect_ones_is_in_doubt_too() {
    let bad = |at: u64| (AT + at, Fault::NibbleBad { chip: 2, n: 1 });
    let rig = run("", &[bad(0), bad(2), bad(5), bad(1000)]);
    let spans: Vec<(u64, u64)> = doubts(&rig).iter().map(|(first, next, _)| (first - AT, next - AT)).collect();
    // One line when it begins, one span when it is over; the last one stands alone.
    assert_eq!(spans, [(0, 0), (0, 5), (1000, 1000)], "{:?}", rig.told);
    assert_eq!(rig.n_flagged_of, [0, 0, 4, 0]);
}

#[test]
fn edges_at_a_fraction_of_the_rate_leave_no_frame_out() {
    // CONFIG1 of all chips of a row, by a command that nobody sent.
    let mut rig = rig("", |_| {}).unwrap();
    rig.source.start();
    rig.run_until(AT);
    let shape = Shape { select: 0, clock_hz: 2_000_000, hold_us: 3 };
    rig.source.wire.transfer(shape, &[0x41, 0x00, 0x93], &mut [0; 3]).unwrap();
    rig.run_until(AT + 8000);
    assert!(doubts(&rig).iter().any(|(_, _, doubt)| *doubt == Doubt::Rate), "{:?}", rig.told);
    assert_eq!(rig.unmarked(), None, "{:?}", rig.told);
    // What it breaks is not the driver's.
    std::mem::forget(rig);
}

#[test]
fn edges_at_half_the_rate_for_good_cost_setting_up_less_and_less_often() {
    let dropped = (AT..AT + 30_000)
        .step_by(2)
        .map(|at| Planned { when: When::Conversion(at), fault: Fault::EdgesDropped { n_edges: 1 } });
    let text = "n_chips = 1\nclock = \"internal\"\nrate_hz = 1000";
    let mut rig = rig(text, |setup| setup.faults = dropped.collect()).unwrap();
    rig.source.start();
    rig.run_until(AT + 30_000);
    // At once, and after 1, 2, 4, 8 and 16 seconds.
    assert!((3..=6).contains(&rig.n_set_up()), "set up {} times: {:?}", rig.n_set_up(), rig.told);
    assert_eq!(rig.unmarked(), None, "{:?}", rig.told);
}

#[test]
fn each_kind_of_missed_conversions_has_a_line_of_its_own() {
    let faults = [
        (AT, Fault::EdgesMerged { n_edges: 5 }),
        (AT + 500, Fault::EdgesCoalesced { n_edges: 5 }),
        (AT + 1000, Fault::WakeLate { us: 36_802 }),
        (AT + 1500, Fault::EdgesMerged { n_edges: 5 }),
        (AT + 1600, Fault::EdgesCoalesced { n_edges: 5 }),
    ];
    let rig = run("", &faults);
    let how = |note: &Note| if let Note::Missed { how, .. } = note { Some(*how) } else { None };
    let told: Vec<Miss> = rig.told.iter().filter_map(how).collect();
    assert_eq!(told, [Miss::Unseen, Miss::Merged, Miss::Late], "{:?}", rig.told);
}
