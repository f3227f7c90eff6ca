//! Faults that spoil together what neither does alone, as the mixed run found them.

use super::rig::{Rig, rig};
use crate::block::Cause;
use crate::source::Source;
use crate::source::ads1299::simulated::{Fault, Planned, When, Which};

/// A run until frame `until` with faults, each before its conversion.
fn run(faults: &[(u64, Fault)], until: u64) -> Rig {
    let planned = |(at, fault): &(u64, Fault)| Planned { when: When::Conversion(*at), fault: *fault };
    let mut rig = rig("", |setup| setup.faults = faults.iter().map(planned).collect()).unwrap();
    rig.source.start();
    rig.run_until(until);
    assert_eq!(rig.truth.counts().n_faults, faults.len() as u64, "all struck");
    assert_eq!(rig.unmarked(), None, "unmarked wrong frames: {:?}", rig.told);
    rig
}

#[test]
fn a_late_read_that_meets_a_chip_which_streams_spoils_those_behind_it_alone() {
    // Set up again because of another chip, so that this one waits for the end of the pause.
    let (set_up, revert) = (4001, 7001);
    let mut faults =
        vec![(set_up, Fault::FrameStuck { chip: 0, n: 200 }), (revert, Fault::Revert { chips: Which::Chip(2) })];
    // Its first conversion at 250 SPS comes after four of them, just after an edge; reads pass it at every bit.
    for k in 0..40 {
        faults.push((revert + 16 * (4 + k) - 1, Fault::WakeLate { us: 130 + 3 * u32::try_from(k).unwrap() }));
    }
    let rig = run(&faults, 20_000);
    assert_eq!(rig.n_set_up(), 2, "{:?}", rig.told);
    assert!(rig.wrong.iter().filter(|(frame, _)| *frame > revert).count() > 100, "the chip was bad meanwhile");
    assert_eq!(rig.n_flagged_of[1], 0, "what stands before it in the row is what it was");
    let spoiled = rig.n_flagged_of[3];
    assert!((10..=40).contains(&spoiled), "{spoiled} frames of the one behind it");
}

#[test]
fn a_thread_that_wakes_while_chips_stand_still_counts_no_conversions_that_were_never_made() {
    // It sleeps from here for 6256 conversions, of which the chips make the first 5000, and no more until after it woke.
    let at = 4001;
    let no_clock = |n| (at + 5000, Fault::NoClock { chips: Which::All, n });
    for n in [1500, 3000, 6000] {
        let rig = run(&[(at, Fault::WakeLate { us: 1_564_000 }), no_clock(n)], 40_000);
        let [missed, reinit] = [Cause::Missed, Cause::Reinit].map(|cause| rig.lost(cause));
        assert!((4990..5010).contains(&missed) && reinit >= n, "{n}: {missed} {reinit}: {:?}", rig.told);
    }
}
