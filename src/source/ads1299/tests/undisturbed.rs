//! Chips and wires that work: every conversion is delivered with its own index, whatever the board.

use super::rig::{rig, rig_held_up};
use crate::source::Source;
use crate::source::ads1299::notes::Note;

#[test]
fn every_board_delivers_every_conversion() {
    for (text, what) in [
        ("", "four in a row"),
        ("gap_bits = 1", "a gap bit"),
        ("topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000", "a select for each"),
        ("spi = [\"0.0\", \"1.0\"]", "two rows"),
        ("n_chips = 1\nclock = \"internal\"\nrate_hz = 16000\nspi_clock_hz = 20000000", "one at 16 kHz"),
        ("n_chips = 1\nclock = \"internal\"\nrate_hz = 250", "one at 250 Hz"),
        ("model = \"ads1299-4\"", "four channels each"),
        ("read_mode = \"rdatac\"", "frames that flow by themselves"),
        ("clock = \"first_chip\"\ntopology = \"cascade\"\nrate_hz = 1000", "the first chip's clock"),
        ("n_chips = 8\nspi = [\"0.0\", \"1.0\"]\nspi_clock_hz = 20000000", "eight"),
    ] {
        let mut rig = rig(text, |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
        rig.source.start();
        rig.run_until(5000);
        let end = rig.source.end();
        assert_eq!((end.lost.total(), rig.n_flagged), (0, 0), "{what}: {:?} {:?}", end.lost, rig.told);
        assert_eq!(rig.wrong.first(), None, "{what}");
        assert_eq!(rig.truth.counts().n_unread, 0, "{what}");
        assert_eq!(rig.told, [], "{what}");
    }
}

#[test]
fn that_no_time_is_left_to_read_registers_back_is_told_once() {
    let n_told = |text: &str, rate: u64| {
        let mut rig = rig(text, |_| {}).unwrap();
        rig.source.start();
        rig.run_until(25 * rate);
        let is_it = |note: &&Note| matches!(note, Note::NotReadBack { .. });
        rig.told.iter().filter(is_it).count()
    };
    assert_eq!(n_told("n_chips = 1\nclock = \"internal\"\nrate_hz = 16000\nspi_clock_hz = 20000000", 16_000), 1);
    assert_eq!(n_told("topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000", 2000), 0);
    assert_eq!(n_told("", 4000), 0);
    assert_eq!(n_told("read_mode = \"rdatac\"\nrate_hz = 1000", 1000), 0);
}

#[test]
fn a_start_that_is_late_each_time_is_told() {
    let mut rig = rig_held_up("", u32::MAX, |_| {}).unwrap_or_else(|error| panic!("{error}"));
    rig.source.start();
    rig.run_until(100);
    let late = |note: &&Note| matches!(note, Note::StartLate { frame: 0, took_ns } if *took_ns > 2_750_000);
    assert_eq!(rig.told.iter().filter(late).count(), 1, "{:?}", rig.told);
}

#[test]
fn a_start_in_which_the_host_is_held_up_is_made_again() {
    let mut rig = rig_held_up("", 2, |_| {}).unwrap_or_else(|error| panic!("{error}"));
    rig.source.start();
    rig.run_until(1000);
    let end = rig.source.end();
    assert_eq!((end.lost.total(), rig.n_flagged), (0, 0), "{:?} {:?}", end.lost, rig.told);
    assert_eq!(rig.wrong.first(), None, "what the tries converted is not of the run");
}
