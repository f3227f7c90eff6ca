//! Trigger inputs: levels at the pins of the first chip become markers on the very frame, and every marker is told before
//! the source ends.

use std::sync::{Arc, Mutex, PoisonError};

use super::rig::{Rig, rig};
use crate::block::Marker;
use crate::rt::Stop;
use crate::source::ads1299::notes::Note;
use crate::source::ads1299::simulated::{Fault, Planned, Setup, When};
use crate::source::{Filled, Source};

/// The board drives these levels into the first chip's pins, from each frame on.
fn levels(levels: &[(u64, u8)]) -> Vec<Planned> {
    let fault = |(at, levels): &(u64, u8)| Planned {
        when: When::Conversion(*at),
        fault: Fault::Gpio { chip: 0, levels: *levels },
    };
    levels.iter().map(fault).collect()
}

fn triggers(text: &str, until: u64, change: impl FnOnce(&mut Setup)) -> Vec<(u64, u8)> {
    let mut rig = rig(text, change).unwrap_or_else(|error| panic!("{text}: {error}"));
    rig.source.start();
    rig.run_until(until);
    of(&rig)
}

fn of(rig: &Rig) -> Vec<(u64, u8)> {
    let trigger = |note: &Note| if let Note::Trigger { frame, pin } = note { Some((*frame, *pin)) } else { None };
    rig.told.iter().filter_map(trigger).collect()
}

const PINS: &str = "trigger_pins = [1, 2, 3, 4]";

#[test]
fn a_pin_that_rises_is_a_trigger_at_its_frame() {
    for text in [
        PINS,
        "trigger_pins = [1, 2, 3, 4]\nread_mode = \"rdatac\"",
        "trigger_pins = [1, 2, 3, 4]\ngap_bits = 1",
        "trigger_pins = [1, 2, 3, 4]\ntopology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000",
        "trigger_pins = [1, 2, 3, 4]\nmodel = \"ads1299-4\"",
    ] {
        // One alone; another while it is high; two at once; what falls is none; the first frame of a block, and the last.
        let script = [(101, 0b0001), (133, 0b0011), (250, 0), (333, 0b1100), (334, 0), (400, 0b0010), (439, 0b0110)];
        let found = triggers(text, 1000, |setup| setup.faults = levels(&script));
        assert_eq!(found, [(101, 1), (133, 2), (333, 3), (333, 4), (400, 2), (439, 3)], "{text}");
    }
}

#[test]
fn a_pin_that_is_high_from_the_start_is_no_trigger() {
    let found = triggers(PINS, 1000, |setup| {
        setup.selects[0].chips[0].gpio = 0b1001;
        setup.faults = levels(&[(300, 0b0001), (500, 0b1001)]);
    });
    assert_eq!(found, [(500, 4)]);
}

#[test]
fn every_bounce_counts() {
    let script: Vec<(u64, u8)> = (0..10).map(|i| (200 + i, u8::from(i % 2 == 0))).collect();
    let found = triggers(PINS, 1000, |setup| setup.faults = levels(&script));
    assert_eq!(found, [200, 202, 204, 206, 208].map(|frame| (frame, 1)));
}

#[test]
fn other_pins_and_other_chips_are_none() {
    let script = levels(&[(200, 0b1111)]);
    assert_eq!(triggers("trigger_pins = [3]", 1000, |setup| setup.faults = script.clone()), [(200, 3)]);
    assert_eq!(triggers("", 1000, |setup| setup.faults = script.clone()), []);
    let second = Planned { when: When::Conversion(200), fault: Fault::Gpio { chip: 1, levels: 0b1111 } };
    assert_eq!(triggers(PINS, 1000, |setup| setup.faults = vec![second]), []);
}

#[test]
fn what_rises_in_a_gap_is_told_after_it_and_what_falls_again_in_it_is_not() {
    let gap = |n_edges| Planned { when: When::Conversion(500), fault: Fault::EdgesDropped { n_edges } };
    let with = |script: &[(u64, u8)]| {
        let mut faults = levels(script);
        faults.push(gap(10));
        triggers(PINS, 1000, |setup| setup.faults = faults)
    };
    assert_eq!(with(&[(505, 1)]), [(510, 1)]);
    assert_eq!(with(&[(503, 1), (506, 0)]), []);
    // High on both sides of it, low within.
    assert_eq!(with(&[(400, 1), (503, 0), (506, 1)]), [(400, 1)]);
    // The same while the chips are set up again, which loses some hundred frames.
    let mut faults = levels(&[(700, 1)]);
    faults.push(Planned {
        when: When::Conversion(501),
        fault: Fault::Revert { chips: crate::source::ads1299::simulated::Which::All },
    });
    let found = triggers("trigger_pins = [1, 2, 3]\nhigh_pins = [4]", 5000, |setup| setup.faults = faults);
    let [(frame, 1)] = found[..] else { panic!("{found:?}") };
    assert!(frame > 1300, "{frame}");
}

#[test]
fn what_a_suspect_frame_says_of_pins_is_not_believed() {
    let bad = |at, n| Planned { when: When::Conversion(at), fault: Fault::NibbleBad { chip: 0, n } };
    let mut faults = levels(&[(301, 1), (600, 0)]);
    faults.push(bad(300, 5));
    assert_eq!(triggers(PINS, 1000, |setup| setup.faults = faults), [(305, 1)]);
    // Twenty bits of other signals stand in the place of the pins.
    let shift = Planned { when: When::Conversion(300), fault: Fault::BitShift { select: 0, bits: 20, n: 8 } };
    assert_eq!(triggers(PINS, 1000, |setup| setup.faults = vec![shift]), []);
}

/// Runs to frame `until` and on to the end, with nobody who takes notes, then lets them be told.
fn told(text: &str, until: u64, script: &[(u64, u8)], tell_first: bool) -> Vec<Marker> {
    let mut rig = rig(text, |setup| setup.faults = levels(script)).unwrap();
    let markers: Arc<Mutex<Vec<Marker>>> = Arc::default();
    let taken = Arc::clone(&markers);
    let out = Box::new(move |marker| taken.lock().unwrap_or_else(PoisonError::into_inner).push(marker));
    let mut out: Option<crate::source::MarkerOut> = Some(out);
    if tell_first {
        rig.source.connect(out.take().unwrap());
    }
    rig.source.start();
    let stop = Stop::default();
    let mut block = crate::block::RawBlock::new(rig.source.stream(), rig.source.n_chips());
    while rig.source.end().next_frame < until {
        assert_eq!(rig.source.fill(&mut block, &stop), Filled::Frames);
    }
    stop.set();
    assert_eq!(rig.source.fill(&mut block, &stop), Filled::End);
    if let Some(out) = out {
        rig.source.connect(out);
    }
    rig.source.finish();
    let markers = markers.lock().unwrap_or_else(PoisonError::into_inner);
    markers.clone()
}

#[test]
fn all_is_told_when_the_source_has_finished() {
    for tell_first in [true, false] {
        // Blocks of 40 frames: the last of the last one.
        let markers = told(PINS, 400, &[(100, 1), (399, 3)], tell_first);
        let found: Vec<(u64, &str)> = markers.iter().map(|marker| (marker.frame, marker.text.as_str())).collect();
        assert_eq!(found, [(100, "trigger 1"), (399, "trigger 2")], "{tell_first}");
    }
}

#[test]
fn notes_that_find_no_room_are_counted_and_told() {
    // Four pins at every other frame: 2000 triggers, of which the queue holds 1024, less one note for each chip, whose channels begin at
    // their ends.
    let script: Vec<(u64, u8)> = (0..1000).map(|i| (100 + i, if i % 2 == 0 { 0b1111 } else { 0 })).collect();
    let markers = told(PINS, 1200, &script, false);
    assert_eq!(markers.len(), 1021);
    let last = &markers[1020];
    assert_eq!(
        (last.frame, last.text.as_str()),
        (100 + 2 * 254, "980 notes of triggers or faults found no room and are missing")
    );
}
