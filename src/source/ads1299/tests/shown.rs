//! What the running source shows: edges by kind, the rate as it is now, when registers were read back, electrodes by side.

use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, rig};
use crate::source::ads1299::simulated::{Fault, Planned, Side, When, Which};
use crate::source::{ChipFault, EdgeKind, Source};

const CASCADE: &str = "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000";

fn run(text: &str, until: u64, faults: &[(u64, Fault)]) -> Rig {
    let plan = |(at, fault): &(u64, Fault)| Planned { when: When::Conversion(*at), fault: *fault };
    let mut rig = rig(text, |setup| setup.faults = faults.iter().map(plan).collect()).unwrap();
    rig.source.start();
    rig.run_until(until);
    rig
}

#[test]
fn edges_are_counted_by_kind_where_people_look() {
    let rig = run(
        "",
        20_000,
        &[
            (4001, Fault::EdgesCoalesced { n_edges: 5 }),
            (5001, Fault::EdgesMerged { n_edges: 3 }),
            (6001, Fault::EdgeSpurious),
            (8001, Fault::WakeLate { us: 1_000_000 }),
        ],
    );
    let signs = rig.source.signs().unwrap();
    let of = |kind: EdgeKind| signs.edges[kind as usize].load(Relaxed);
    assert_eq!((of(EdgeKind::Merged), of(EdgeKind::Unseen), of(EdgeKind::Spurious)), (4, 2, 1));
    assert!(of(EdgeKind::Overflowed) > 2900, "{}", of(EdgeKind::Overflowed));
    let counts = rig.source.edge_counts();
    assert_eq!((of(EdgeKind::Overflowed), of(EdgeKind::Discarded)), (counts.overflowed, counts.discarded));
}

#[test]
fn the_rate_shown_is_the_one_that_runs() {
    let rig = run("", 120_000, &[(8001, Fault::ClockOff { ppm: 300.0, n: u64::MAX })]);
    let ppm = (rig.source.signs().unwrap().rate_hz().unwrap() / 4000.0 - 1.0) * 1e6;
    let at_start = rig.about["rate_ppm"].as_f64().unwrap();
    // The bench is 50 ppm fast to begin with.
    assert!((ppm - 350.0).abs() < 5.0 && (at_start - 50.0).abs() < 5.0, "{ppm}, at start {at_start}");
}

#[test]
fn registers_are_shown_as_read_when_all_of_them_were() {
    let read_ns = |rig: &Rig| rig.source.signs().unwrap().registers_read_ns.load(Relaxed);
    let mut rig = rig(CASCADE, |setup| {
        // A chip that is there and answers nothing more: the round is never complete again.
        let fault = Fault::Zeros { chip: 2, n: u64::MAX };
        setup.faults = vec![Planned { when: When::Conversion(20_001), fault }];
    })
    .unwrap();
    rig.source.start();
    let mut before_ns = read_ns(&rig);
    assert!(before_ns > 0, "start-up read them");
    // All registers of four chips are read within a second; the first round is complete after little more.
    for second in 1..=9 {
        rig.run_until(second * 2200);
        let now_ns = read_ns(&rig);
        assert!(now_ns > before_ns, "second {second}");
        before_ns = now_ns;
    }
    rig.run_until(21_000);
    let before_ns = read_ns(&rig);
    rig.run_until(40_000);
    assert_eq!(read_ns(&rig), before_ns);
}

#[test]
fn settings_up_that_failed_are_counted_apart() {
    let counts = |fault| {
        let rig = run(CASCADE, 60_000, &[(20_001, fault)]);
        let signs = rig.source.signs().unwrap();
        (signs.n_reinits.load(Relaxed), signs.n_reinits_failed.load(Relaxed))
    };
    let (n, n_failed) = counts(Fault::Revert { chips: Which::Chip(1) });
    assert_eq!((n, n_failed), (1, 0), "it came back at once");
    let (n, n_failed) = counts(Fault::Zeros { chip: 2, n: u64::MAX });
    assert!(n == 0 && n_failed > 0, "{n} and {n_failed}: it never came back");
}

#[test]
fn frames_of_a_stuck_channel_and_suspect_ones_are_counted_where_people_look() {
    let rig = run(
        "",
        12_000,
        &[(4001, Fault::ChannelStuck { chip: 1, channel: 3, n: 3000 }), (8001, Fault::NibbleBad { chip: 2, n: 5 })],
    );
    let signs = rig.source.signs().unwrap();
    let stuck: Vec<u64> = signs.stuck_frames.iter().map(|n| n.load(Relaxed)).collect();
    // It holds the code of the conversion before: 3000 repetitions, of which the 1000th is the first that is called stuck.
    let expected: Vec<u64> = (0..32).map(|i| if i == 11 { 3000 - 999 } else { 0 }).collect();
    assert_eq!(stuck, expected);
    let suspect: Vec<u64> = signs.suspect_frames.iter().map(|n| n.load(Relaxed)).collect();
    assert_eq!(suspect, [0, 0, 5, 0]);
}

#[test]
fn the_chip_that_fails_is_named_with_what_is_wrong() {
    let faults = |fault| {
        let rig = run(CASCADE, 60_000, &[(20_001, fault)]);
        let signs = rig.source.signs().unwrap();
        assert!(signs.failing.load(Relaxed), "{fault:?}");
        signs.chip_faults.iter().map(|kind| ChipFault::of(kind.load(Relaxed))).collect::<Vec<_>>()
    };
    for (fault, expected) in [
        (Fault::NibbleBad { chip: 2, n: u64::MAX }, ChipFault::StatusWord),
        (Fault::FrameStuck { chip: 2, n: u64::MAX }, ChipFault::SameFrame),
        (Fault::Zeros { chip: 2, n: u64::MAX }, ChipFault::NoAnswer),
    ] {
        assert_eq!(faults(fault), [None, None, Some(expected), None], "{fault:?}");
    }
    let rig = run(CASCADE, 60_000, &[(20_001, Fault::NibbleBad { chip: 2, n: 200 })]);
    let signs = rig.source.signs().unwrap();
    assert!(signs.chip_faults.iter().all(|kind| kind.load(Relaxed) == 0), "all is well again");
}

#[test]
fn start_by_command_comes_later_to_the_last_select_and_that_is_told() {
    let skew = |text: &str, start: bool| {
        let mut rig = rig(text, |setup| setup.pins.start = start).unwrap();
        rig.source.start();
        let of_run_us = rig.source.signs().unwrap().start_skew_ns.load(Relaxed) as f64 / 1e3;
        (rig.about["start_skew_us"].as_f64(), of_run_us)
    };
    // Three transfers of a byte at 2 MHz (4 us), 3 us of hold and the host's 10 us each.
    assert_eq!(skew(CASCADE, false), (Some(51.0), 51.0));
    assert_eq!(skew(CASCADE, true), (None, 0.0));
    assert_eq!(skew("", false), (None, 0.0));
    assert_eq!(skew("spi = [\"0.0\", \"1.0\"]", false), (Some(17.0), 17.0));
}

#[test]
fn each_electrode_is_shown_by_itself() {
    let off = |channel, side| Fault::ElectrodeOff { chip: 1, channel, side, n: u64::MAX };
    let text = "[source.lead_off]\nmode = \"dc\"\ninputs = \"both\"";
    let rig = run(text, 8000, &[(2001, off(2, Side::P)), (2001, off(5, Side::N))]);
    let signs = rig.source.signs().unwrap();
    let of = |channel: usize| {
        let electrode = &signs.electrodes[channel];
        let [p, n] = electrode.sides.each_ref().map(|side| (side.watched.load(Relaxed), side.off.load(Relaxed)));
        (electrode.off.load(Relaxed), p, n)
    };
    assert_eq!(of(10), (true, (true, true), (true, false)));
    assert_eq!(of(13), (true, (true, false), (true, true)));
    assert_eq!(of(9), (false, (true, false), (true, false)));
}
