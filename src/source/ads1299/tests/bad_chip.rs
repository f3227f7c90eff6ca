//! One bad chip among good ones, for long: the others' data go on, what the bad one gives is marked, setting up is tried less
//! and less often, and when the chip comes back all is well.

use std::sync::atomic::Ordering;

use super::rig::{Rig, rig};
use crate::block::Cause;
use crate::source::Source;
use crate::source::ads1299::notes::Note;
use crate::source::ads1299::simulated::{Fault, Planned, When, Which};

const CASCADE: &str = "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000";

const RATE: u64 = 2000;

/// When chips fail.
const AT: u64 = 20_001;

/// What setting up costs at most: 50 ms after the reset, 150 ms of the reference, transfers and settling.
const SET_UP_S: f64 = 0.215;

/// The same where a chip does not give its ID: the time of a power-on reset, and another reset.
const SET_UP_TWICE_S: f64 = SET_UP_S + 0.150 + 0.050;

fn planned(faults: &[Fault]) -> Vec<Planned> {
    faults.iter().map(|fault| Planned { when: When::Conversion(AT), fault: *fault }).collect()
}

/// Two minutes with these faults.
fn run(text: &str, faults: &[Fault]) -> Rig {
    let mut rig = rig(text, |setup| setup.faults = planned(faults)).unwrap();
    rig.source.start();
    rig.run_until(120 * RATE);
    assert!(rig.source.end().next_frame >= 120 * RATE, "it goes on: {:?}", rig.told);
    assert_eq!(rig.unmarked(), None, "{faults:?}: unmarked wrong codes: {:?}", rig.told);
    assert!(rig.farthest <= i64::try_from(rig.n_set_up()).unwrap(), "the index is off by {}", rig.farthest);
    rig
}

fn is_failing(rig: &Rig) -> bool {
    rig.source.signs().unwrap().failing.load(Ordering::Relaxed)
}

/// Chips that were never flagged, beside the frames around settings-up, and those that were from the fault on.
fn flagged(rig: &Rig) -> (Vec<usize>, Vec<usize>) {
    let of = |right: &dyn Fn(u64) -> bool| {
        let chips = rig.n_flagged_of.iter().enumerate().filter(|(_, n_frames)| right(**n_frames));
        chips.map(|(chip, _)| chip).collect()
    };
    let lost = rig.source.end().lost.total();
    (of(&|n_frames| n_frames == 0), of(&|n_frames| n_frames + lost + 10 >= 120 * RATE - AT))
}

#[test]
fn a_chip_that_is_dead_for_good_costs_the_others_one_setting_up() {
    for (fault, more) in [
        (Fault::Zeros { chip: 2, n: u64::MAX }, None),
        (Fault::NoClock { chips: Which::Chip(2), n: u64::MAX }, None),
        (Fault::Float { select: 2, level: 0xFF, n: u64::MAX }, None),
        (Fault::Float { select: 2, level: 0x00, n: u64::MAX }, None),
        (Fault::WrongId { chip: 2, id: 0x20 }, Some(Fault::NibbleBad { chip: 2, n: u64::MAX })),
    ] {
        let faults: Vec<Fault> = [Some(fault), more].into_iter().flatten().collect();
        let rig = run(CASCADE, &faults);
        assert_eq!(flagged(&rig), (vec![0, 1, 3], vec![2]), "{fault:?}: {:?}", rig.told);
        assert!(is_failing(&rig), "{fault:?}");
        assert_eq!(rig.n_set_up(), 1, "{fault:?}: {:?}", rig.told);
        let reinit = rig.lost(Cause::Reinit) as f64 / RATE as f64;
        assert!(reinit < SET_UP_TWICE_S, "{fault:?}: {reinit} s lost to settings-up");
        // To ask for an ID once a second fits between two conversions.
        assert_eq!((rig.lost(Cause::Missed), rig.lost(Cause::Spi)), (0, 0), "{fault:?}");
    }
}

#[test]
fn a_chip_that_answers_and_stays_bad_is_tried_less_and_less_often() {
    for fault in [Fault::FrameStuck { chip: 2, n: u64::MAX }, Fault::NibbleBad { chip: 2, n: u64::MAX }] {
        let rig = run(CASCADE, &[fault]);
        assert_eq!(flagged(&rig), (vec![0, 1, 3], vec![2]), "{fault:?}: {:?}", rig.told);
        assert!(is_failing(&rig), "{fault:?}");
        // At once, then after 1, 2, 4, 8, 16, 32 seconds, and 60 from there on.
        assert_eq!(rig.n_set_up(), 7, "{fault:?}: {:?}", rig.told);
        let reinit = rig.lost(Cause::Reinit) as f64 / RATE as f64;
        assert!(reinit < 7.0 * SET_UP_S, "{fault:?}: {reinit} s lost to settings-up");
        assert_eq!((rig.lost(Cause::Missed), rig.lost(Cause::Spi)), (0, 0), "{fault:?}");
    }
}

#[test]
fn a_chip_that_comes_back_is_set_up_and_all_is_well_again() {
    for fault in [
        Fault::Zeros { chip: 2, n: 30 * RATE },
        Fault::NoClock { chips: Which::Chip(2), n: 30 * RATE },
        Fault::Float { select: 2, level: 0xFF, n: 30 * RATE },
        Fault::FrameStuck { chip: 2, n: 30 * RATE },
        Fault::NibbleBad { chip: 2, n: 30 * RATE },
        Fault::Zeros { chip: 0, n: 30 * RATE },
    ] {
        let rig = run(CASCADE, &[fault]);
        assert!(!is_failing(&rig), "{fault:?}: {:?}", rig.told);
        let trusted = rig
            .told
            .iter()
            .rev()
            .find_map(|note| if let Note::Trusted { frame, .. } = note { Some(*frame) } else { None });
        let back = AT + 30 * RATE;
        // Asked once a second and set up; one that only gives bad frames is seen to give good ones.
        assert!((back..back + 2 * RATE).contains(&trusted.unwrap()), "{fault:?}: {trusted:?} {:?}", rig.told);
        let bad = if let Fault::Zeros { chip, .. } = fault { chip } else { 2 };
        assert!(rig.n_flagged_of[bad] <= 32 * RATE, "{fault:?}: {:?}", rig.n_flagged_of);
        let others = (0..4).filter(|chip| *chip != bad).map(|chip| rig.n_flagged_of[chip]).sum::<u64>();
        assert_eq!(others, 0, "{fault:?}: {:?}", rig.told);
    }
}

#[test]
fn a_chip_that_fails_again_and_again_does_not_cost_the_others_their_data() {
    // A bad contact: good for 1.5 s, then bad for half a second, for two minutes.
    let faults: Vec<Planned> = (0..60)
        .map(|i| Planned {
            when: When::Conversion(AT + i * 2 * RATE),
            fault: Fault::NibbleBad { chip: 1, n: RATE / 2 },
        })
        .collect();
    let mut rig = rig(CASCADE, |setup| setup.faults = faults).unwrap();
    rig.source.start();
    rig.run_until(140 * RATE);
    assert_eq!(rig.unmarked(), None, "{:?}", rig.told);
    assert!(rig.n_set_up() <= 9, "set up {} times: {:?}", rig.n_set_up(), rig.told);
    assert!(!is_failing(&rig));
    assert_eq!([0, 2, 3].map(|chip| rig.n_flagged_of[chip]), [0, 0, 0]);
}

#[test]
fn what_a_chip_gives_whose_registers_do_not_return_is_suspect() {
    // Its inputs stay shorted, its gain is what it was after the reset: nothing in its frames tells.
    for address in [0x05, 0x0C, 0x14] {
        let faults =
            [Fault::Revert { chips: Which::Chip(2) }, Fault::WritesDropped { chip: 2, address, n_writes: u32::MAX }];
        let text = format!("{CASCADE}\nhigh_pins = [3]");
        let rig = run(&text, &faults);
        assert_eq!(flagged(&rig), (vec![0, 1, 3], vec![2]), "{address:#04X}: {:?}", rig.told);
        assert!(is_failing(&rig) && rig.n_set_up() <= 8, "{}: {:?}", rig.n_set_up(), rig.told);
    }
}

#[test]
fn a_row_with_a_bad_chip_gives_what_stands_before_it() {
    let dead = |n| [1, 2, 3].map(|chip| Fault::Zeros { chip, n });
    let row = "rate_hz = 2000";
    let rig = run(row, &dead(u64::MAX));
    assert_eq!(flagged(&rig), (vec![0], vec![1, 2, 3]), "{:?}", rig.told);
    assert!(is_failing(&rig));
    assert_eq!(rig.n_set_up(), 1, "{:?}", rig.told);
    // To ask the second chip of a row takes 29 bytes at 2 MHz: it fits.
    assert_eq!((rig.lost(Cause::Missed), rig.lost(Cause::Spi)), (0, 0));
    let rig = run(row, &dead(30 * RATE));
    assert!(!is_failing(&rig) && rig.n_flagged_of[0] == 0, "{:?}", rig.told);
    assert!(rig.n_flagged_of[1] < 32 * RATE, "{:?}", rig.n_flagged_of);

    // The one in the middle alone: what it does to those behind it is no matter of theirs here.
    let rig = run(row, &[Fault::NoClock { chips: Which::Chip(1), n: u64::MAX }]);
    assert_eq!(flagged(&rig), (vec![0, 2, 3], vec![1]), "{:?}", rig.told);
    // Where frames flow by themselves nobody can be asked in between: the chips are set up again, less and less often.
    let rig = run("rate_hz = 2000\nread_mode = \"rdatac\"", &dead(u64::MAX));
    assert_eq!(flagged(&rig), (vec![0], vec![1, 2, 3]), "{:?}", rig.told);
    assert_eq!(rig.n_set_up(), 7, "{:?}", rig.told);
}

#[test]
fn a_good_chip_s_registers_are_looked_at_while_another_is_bad() {
    let mut faults = planned(&[Fault::Zeros { chip: 2, n: u64::MAX }]);
    faults.push(Planned { when: When::Conversion(AT + 40 * RATE), fault: Fault::Revert { chips: Which::Chip(3) } });
    let mut rig = rig(CASCADE, |setup| setup.faults = faults).unwrap();
    rig.source.start();
    rig.run_until(120 * RATE);
    assert_eq!(rig.unmarked(), None, "{:?}", rig.told);
    assert_eq!(rig.n_set_up(), 2, "{:?}", rig.told);
    assert!(rig.n_flagged_of[3] < 200 && rig.n_flagged_of[0] == 0, "{:?}: {:?}", rig.n_flagged_of, rig.told);
}
