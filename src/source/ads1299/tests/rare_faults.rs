//! Faults that strike while chips are brought up: at start, where they are refused by name or tried again, and in the run, where
//! the chips have lost their registers and are set up again.

use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, rig};
use crate::block::Cause;
use crate::source::Source;
use crate::source::ads1299::fault::ProofError;
use crate::source::ads1299::notes::{Doubt, Note};
use crate::source::ads1299::simulated::{Fault, Planned, When, Which};

const CASCADE: &str = "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000";

/// When faults of the run strike.
const AT: u64 = 20_001;

fn at_start(text: &str, fault: Fault) -> Result<Rig, String> {
    let planned = Planned { when: When::PowerUp, fault };
    rig(text, |setup| setup.faults = vec![planned]).map_err(|error| error.to_string())
}

fn in_run(text: &str, faults: &[Fault]) -> Rig {
    let planned = |fault: &Fault| Planned { when: When::Conversion(AT), fault: *fault };
    let mut rig = rig(text, |setup| setup.faults = faults.iter().map(planned).collect()).unwrap();
    rig.source.start();
    rig.run_until(120_000);
    assert!(rig.source.end().next_frame >= 120_000, "{faults:?}: it goes on: {:?}", rig.told);
    assert_eq!(rig.unmarked(), None, "{faults:?}: unmarked wrong frames: {:?}", rig.told);
    assert!(rig.farthest <= i64::try_from(rig.n_set_up()).unwrap(), "{faults:?}: off by {}", rig.farthest);
    rig
}

fn is_well(rig: &Rig) -> bool {
    !rig.source.signs().unwrap().failing.load(Relaxed)
}

#[test]
fn a_chip_that_is_another_is_named() {
    let error = at_start(CASCADE, Fault::WrongId { chip: 2, id: 0x92 }).map(|_| ()).unwrap_err();
    assert!(
        error.contains("chip 3: its ID register reads 0x92, expected 0x1E") && error.contains("ADS129x"),
        "{error}"
    );
    // In the run: its data are what they were, so only a look at its ID can tell.
    let rig = in_run(CASCADE, &[Fault::WrongId { chip: 2, id: 0x20 }]);
    let doubt = Doubt::Register { chip: 2, address: 0, wanted: 0x1E, read: 0x20 };
    let first = rig
        .told
        .iter()
        .find_map(|note| if let Note::Doubted { next, doubt, .. } = note { Some((*next, *doubt)) } else { None });
    assert!(matches!(first, Some((next, found)) if found == doubt && next < AT + 2 * 2000), "{:?}", rig.told);
    let refused = rig
        .told
        .iter()
        .any(|note| matches!(note, Note::SetUpFailed { error: ProofError::Id { chip: 2, id: 0x20, .. }, .. }));
    assert!(refused && !is_well(&rig), "{:?}", rig.told);
    assert_eq!([0, 1, 3].map(|chip| rig.n_flagged_of[chip]), [0, 0, 0]);
}

#[test]
fn a_register_that_does_not_take_a_value_is_written_again_and_then_named() {
    for text in ["", CASCADE] {
        let dropped = |n_writes| Fault::WritesDropped { chip: 0, address: 0x05, n_writes };
        // A channel's gain; in a row too, where the first chip can be asked.
        for n_writes in [1, 2] {
            assert!(at_start(text, dropped(n_writes)).is_ok(), "{text}: {n_writes} writes dropped");
        }
        let error = at_start(text, dropped(u32::MAX)).map(|_| ()).unwrap_err();
        assert!(error.contains("chip 1: register CH1SET reads 0x61 after 0x60 was written, three times"), "{error}");
        let rig = in_run(text, &[Fault::Revert { chips: Which::Chip(0) }, dropped(2)]);
        assert!(rig.n_set_up() == 1 && is_well(&rig), "{text}: {:?}", rig.told);
    }
}

#[test]
fn a_chip_that_goes_on_streaming_is_told_to_stop_again_and_then_named() {
    for text in ["", CASCADE] {
        let ignored = |n_commands| Fault::SdatacIgnored { chip: 0, n_commands };
        for n_commands in [1, 2, 3] {
            assert!(at_start(text, ignored(n_commands)).is_ok(), "{text}: {n_commands} ignored");
        }
        let error = at_start(text, ignored(u32::MAX)).map(|_| ()).unwrap_err();
        assert!(error.contains("chip 1: its ID register reads"), "{error}");
        let rig = in_run(text, &[Fault::Revert { chips: Which::Chip(0) }, ignored(1)]);
        // Its ID is wrong the first time, and right after the second reset of the same attempt.
        assert!(rig.n_set_up() == 1 && is_well(&rig), "{text}: {:?}", rig.told);
    }
}

#[test]
fn a_start_that_bounces_moves_no_index() {
    for for_us in [10, 50, 100, 200, 300, 1000, 10_000] {
        let fault = Fault::StartBounces { for_us };
        let started = at_start("", fault);
        assert!(started.is_ok(), "{for_us} us: {:?}", started.err());
        let rig = in_run("", &[Fault::Revert { chips: Which::All }, fault]);
        assert!(is_well(&rig), "{for_us} us: {:?}", rig.told);
        // Conversions that came later than START said were not made, and are few.
        assert!(rig.lost(Cause::Missed) <= 1 + u64::from(for_us) / 250, "{for_us} us: {:?}", rig.told);
    }
}

#[test]
fn a_single_chip_without_clock_is_named_and_counted() {
    for (text, chip) in [("", 1), ("", 3), (CASCADE, 0), (CASCADE, 2)] {
        let rig = in_run(text, &[Fault::NoClock { chips: Which::Chip(chip), n: 2000 }]);
        let named = rig.told.iter().any(|note| match note {
            Note::Doubted { doubt: Doubt::Sync { chip: found, .. } | Doubt::SameFrame { chip: found }, .. } => {
                *found == chip
            }
            _ => false,
        });
        let errors = rig.source.signs().unwrap().suspect_frames[chip].load(Relaxed);
        // The first chip's DRDY is the one that is wired: without its clock there is nothing to read.
        let silent = rig.told.iter().any(|note| matches!(note, Note::NoEdges { .. }));
        assert!(named && errors >= 25 || (chip == 0 && silent), "{text}, {chip}: {errors}: {:?}", rig.told);
        assert!(is_well(&rig), "{text}, {chip}: {:?}", rig.told);
    }
}
