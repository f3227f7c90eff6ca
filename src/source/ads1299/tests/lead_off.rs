//! Electrodes: which are off, by the comparators, and their impedance, by the alternating current.

use std::f64::consts::PI;
use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, rig};
use crate::block::{ChipStatus, Flags};
use crate::source::Source;
use crate::source::ads1299::board::COMPARATOR_PERCENT;
use crate::source::ads1299::registers::{NOISE_UV_RMS, gain_code, rate_code};
use crate::source::ads1299::simulated::{Fault, Planned, Setup, Side, Signal, When};

fn lead_off(text: &str, change: impl FnOnce(&mut Setup)) -> Rig {
    let mut rig = rig(text, |setup| {
        setup.signal = Signal::Still;
        change(setup);
    })
    .unwrap_or_else(|error| panic!("{text}: {error}"));
    rig.check = false;
    rig
}

const ONE: &str = "n_chips = 1\nclock = \"internal\"\nspi_clock_hz = 20000000\n";

fn planned(at: u64, fault: Fault) -> Planned {
    Planned { when: When::Conversion(at), fault }
}

/// `(positive, negative)` off of chip 2 in every frame, with the block's flag; and the sign of its third channel at the end.
fn off_bits(text: &str, faults: Vec<Planned>) -> (Vec<(u8, u8, bool)>, bool) {
    let mut rig = lead_off(&format!("n_chips = 2\n{text}"), |setup| setup.faults = faults);
    let mut seen = Vec::new();
    let mut off_at_end = false;
    rig.source.start();
    rig.look_until(1000, |block, signs| {
        for words in block.status().chunks_exact(2) {
            let word = ChipStatus(words[1]);
            assert!(!word.has(ChipStatus::SUSPECT), "{text}");
            seen.push((word.positive_off(), word.negative_off(), block.head.flags.has(Flags::LEAD_OFF)));
        }
        off_at_end = signs.electrodes[10].off.load(Relaxed);
        let others = signs.electrodes.iter().enumerate().filter(|(i, _)| *i != 10);
        assert_eq!(others.filter(|(_, electrode)| electrode.off.load(Relaxed)).count(), 0, "{text}");
    });
    (seen, off_at_end)
}

#[test]
fn an_electrode_that_comes_off_is_seen_in_its_frame_where_it_is_watched() {
    for (inputs, flip) in
        [("positive", false), ("negative", false), ("both", false), ("positive", true), ("both", true)]
    {
        for (side, name) in [(Side::P, "positive"), (Side::N, "negative")] {
            for (mode, watches) in [("dc", true), ("off", false)] {
                let flips = if flip { "lead_off_flip = true\n" } else { "" };
                let text = format!(
                    "[source.lead_off]\nmode = \"{mode}\"\ninputs = \"{inputs}\"\n\
                     [source.channel.3]\n{flips}[source.channel.11]\n{flips}"
                );
                let fault = |n| Fault::ElectrodeOff { chip: 1, channel: 2, side, n };
                let is_seen = watches && (inputs == "both" || inputs == name);
                let bits = |off: bool| match side {
                    _ if !off || !is_seen => (0, 0),
                    Side::P => (0b100, 0),
                    Side::N => (0, 0b100),
                };
                let (seen, off_at_end) = off_bits(&text, vec![planned(301, fault(200)), planned(900, fault(u64::MAX))]);
                for (frame, (positive, negative, flag)) in seen.iter().enumerate() {
                    let off = (301..501).contains(&frame) || frame >= 900;
                    assert_eq!((*positive, *negative), bits(off), "{text}: {side:?}, frame {frame}");
                    // The flag speaks of a block of 40 frames.
                    let block = frame / 40 * 40;
                    let in_block =
                        (block..block + 40).any(|frame| bits((301..501).contains(&frame) || frame >= 900) != (0, 0));
                    assert_eq!(*flag, in_block, "{text}: {side:?}, frame {frame}");
                }
                assert_eq!(off_at_end, is_seen, "{text}: {side:?}");
            }
        }
    }
}

#[test]
fn with_an_alternating_current_nobody_says_that_an_electrode_is_on() {
    for (mode, known) in [("dc", true), ("ac_7.8hz", false), ("ac_31.2hz", false), ("ac_quarter_rate", false)] {
        let text = format!("{ONE}[source.lead_off]\nmode = \"{mode}\"\ninputs = \"both\"");
        let off = Fault::ElectrodeOff { chip: 0, channel: 2, side: Side::P, n: u64::MAX };
        let mut rig = lead_off(&text, |setup| setup.faults = vec![planned(1, off)]);
        rig.source.start();
        rig.run_until(10_000);
        let signs = rig.source.signs().unwrap();
        for (i, electrode) in signs.electrodes.iter().enumerate() {
            assert_eq!(electrode.watched.load(Relaxed), known, "{mode}, channel {i}");
            assert!(electrode.sides.iter().all(|side| side.watched.load(Relaxed) == known), "{mode}, channel {i}");
            assert_eq!(electrode.off.load(Relaxed), known && i == 2, "{mode}, channel {i}");
            let ohms = electrode.impedance_ohms();
            match (known, i) {
                (true, _) => assert_eq!(ohms, None),
                (false, 2) => {
                    assert!(ohms.is_none_or(|ohms| ohms > 1e6), "{mode}: {ohms:?} of an electrode that is off")
                }
                (false, _) => assert!(ohms.is_some_and(|ohms| ohms < 20e3), "{mode}, channel {i}: {ohms:?}"),
            }
        }
    }
}

#[test]
fn an_electrode_that_is_back_is_on_again() {
    let fault = Fault::ElectrodeOff { chip: 1, channel: 2, side: Side::P, n: 300 };
    let (_, off_at_end) = off_bits("[source.lead_off]\nmode = \"dc\"", vec![planned(301, fault)]);
    assert!(!off_at_end);
}

#[test]
fn every_threshold_of_the_comparators_is_the_one_that_was_asked_for() {
    for percent in COMPARATOR_PERCENT {
        // The input stands in the middle of 5 V; 24 uA move it.
        let ohms = (percent - 50.0) / 100.0 * 5.0 / 24e-6;
        for (times, off) in [(0.98, false), (1.02, true)] {
            let text =
                format!("{ONE}[source.lead_off]\nmode = \"dc\"\ncurrent_na = 24000\ncomparator_percent = {percent}");
            let mut rig = lead_off(&text, |setup| setup.selects[0].chips[0].electrodes[5].ohm_p = ohms * times);
            rig.source.start();
            rig.run_until(100);
            let signs = rig.source.signs().unwrap();
            let found: Vec<bool> = signs.electrodes.iter().map(|electrode| electrode.off.load(Relaxed)).collect();
            let expected: Vec<bool> = (0..8).map(|i| off && i == 5).collect();
            assert_eq!(found, expected, "{percent} %, {times}");
        }
    }
}

#[test]
fn a_flipped_current_pulls_the_other_way() {
    let text =
        format!("{ONE}[source.lead_off]\nmode = \"dc\"\ncurrent_na = 24\n[source.channel.3]\nlead_off_flip = true");
    let mut rig = lead_off(&text, |setup| {
        setup.board.offset_uv = 0.0;
        setup.selects[0].chips[0].electrodes.iter_mut().for_each(|electrode| electrode.ohm_p = 100_000.0);
    });
    rig.source.start();
    // 24 nA over 100 kilo-ohms: 2.4 mV, of which a code is 22.35 nV.
    rig.look_until(100, |block, _| {
        for (i, code) in block.codes().iter().enumerate() {
            let microvolts = f64::from(*code) * 0.022_351_7;
            let expected = if i % 8 == 2 { -2400.0 } else { 2400.0 };
            assert!((microvolts - expected).abs() < 20.0, "channel {}: {microvolts}", i % 8 + 1);
        }
    });
}

#[test]
fn what_a_suspect_frame_says_of_electrodes_is_not_believed() {
    // Moved by twenty bits, those of the first channel stand where those of the electrodes should.
    let shift = Fault::BitShift { select: 0, bits: 20, n: 5 };
    let mut rig = lead_off("[source.lead_off]\nmode = \"dc\"\ninputs = \"both\"", |setup| {
        setup.faults = vec![planned(300, shift)];
        setup.signal = Signal::Noise { amplitude_uv: 100_000.0 };
    });
    rig.source.start();
    rig.look_until(1000, |block, signs| {
        assert!(!block.head.flags.has(Flags::LEAD_OFF), "{:?}", block.head);
        assert!(signs.electrodes.iter().all(|electrode| !electrode.off.load(Relaxed)));
    });
    let notes = rig.bench_notes();
    assert_eq!(rig.n_flagged, rig.truth.counts().n_touched, "{notes:?} {:?}", rig.told);
}

/// The impedance of every channel after `seconds`.
fn impedances(rig: &mut Rig, rate_hz: f64, seconds: f64) -> Vec<Option<f64>> {
    rig.source.start();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds of frames")]
    rig.run_until((rate_hz * seconds) as u64);
    assert_eq!((rig.source.end().lost.total(), rig.n_flagged), (0, 0), "data keep flowing");
    rig.source.signs().unwrap().electrodes.iter().map(|electrode| electrode.impedance_ohms()).collect()
}

const OHMS: [f64; 8] = [1e3, 2.2e3, 5e3, 10e3, 22e3, 47e3, 100e3, 3e3];

const SQUARE: f64 = 4.0 / PI;

#[test]
fn impedances_from_1_to_100_kilo_ohms_at_every_frequency_rate_and_gain() {
    for (mode, frequency_hz) in [("ac_7.8hz", Some(7.8125)), ("ac_31.2hz", Some(31.25)), ("ac_quarter_rate", None)] {
        for rate_hz in [250.0, 500.0, 1000.0, 4000.0, 16_000.0] {
            for (gain, current_na) in [(1, 24.0), (8, 6.0), (24, 6.0), (24, 24.0)] {
                let text = format!(
                    "{ONE}rate_hz = {rate_hz}\ngain = {gain}\n[source.lead_off]\nmode = \"{mode}\"\ncurrent_na = {current_na}\n\
                     calibration = {SQUARE}\nseries_ohms = 0"
                );
                let mut rig = lead_off(&text, |setup| {
                    for (electrode, ohms) in setup.selects[0].chips[0].electrodes.iter_mut().zip(OHMS) {
                        electrode.ohm_p = ohms;
                    }
                });
                let found = impedances(&mut rig, rate_hz, 1.2);
                let part = frequency_hz.map_or(0.25, |frequency_hz: f64| frequency_hz / rate_hz);
                let droop = ((PI * part).sin() / (PI * part)).powi(3);
                // White noise in a sum over n frames: sqrt(2 / n) of its rms; five times that.
                let noise_uv =
                    NOISE_UV_RMS[usize::from(rate_code(rate_hz).unwrap())][usize::from(gain_code(gain).unwrap())];
                let noise_ohms = 5.0 * noise_uv * 1e-6 * (2.0 / rate_hz).sqrt() / (current_na * 1e-9 * SQUARE * droop);
                // Gain: 0.5 %. A square wave's harmonics fold onto the frequency: 1.24 % and 0.16 % at a quarter of the rate.
                let part = if frequency_hz.is_some() { 0.006 } else { 0.005 + 0.0143 };
                for (ohms, found) in OHMS.iter().zip(found) {
                    let found = found.unwrap_or(f64::NAN);
                    assert!(
                        (found - ohms).abs() <= noise_ohms + part * ohms,
                        "{text}: {found} ohms, expected {ohms} within {noise_ohms:.0} and {part}"
                    );
                }
            }
        }
    }
}

#[test]
fn calibration_series_resistance_and_both_sides() {
    // A board whose current is 12 % low, with 2.2 kilo-ohms before each electrode.
    let calibration = 0.88 * SQUARE;
    for (inputs, expected) in [("positive", 5000.0), ("negative", 7000.0), ("both", 12_000.0)] {
        let text = format!(
            "{ONE}[source.lead_off]\nmode = \"ac_31.2hz\"\ninputs = \"{inputs}\"\ncalibration = {calibration}\n\
             series_ohms = 2200\n[source.channel.5]\nlead_off_flip = true\n[source.channel.7]\nlead_off_inputs = \"none\""
        );
        let mut rig = lead_off(&text, |setup| {
            setup.board.lead_off_scale = 0.88;
            for electrode in &mut setup.selects[0].chips[0].electrodes {
                (electrode.ohm_p, electrode.ohm_n) = (5000.0 + 2200.0, 7000.0 + 2200.0);
            }
        });
        for (i, found) in impedances(&mut rig, 4000.0, 1.2).into_iter().enumerate() {
            match found {
                None => assert_eq!(i, 6, "{inputs}"),
                // 0.6 % of all that the current meets, and noise.
                Some(found) => {
                    assert!((found - expected).abs() < 0.006 * (expected + 4400.0) + 10.0, "{inputs}: {found}")
                }
            }
        }
    }
    // What the uncalibrated default shows of a square wave: 27 % more.
    let mut rig = lead_off(&format!("{ONE}[source.lead_off]\nmode = \"ac_7.8hz\"\nseries_ohms = 0"), |_| {});
    let found = impedances(&mut rig, 4000.0, 1.2)[0].unwrap();
    assert!((found / 5000.0 / SQUARE - 1.0).abs() < 0.01, "{found}");
}

#[test]
fn a_gap_begins_the_gathering_anew() {
    let text = format!("{ONE}[source.lead_off]\nmode = \"ac_31.2hz\"\ncalibration = {SQUARE}\nseries_ohms = 0");
    let mut rig = lead_off(&text, |setup| setup.faults = vec![planned(4000, Fault::EdgesDropped { n_edges: 3 })]);
    rig.source.start();
    let mut first = None;
    rig.look_until(12_000, |block, signs| {
        if let (None, Some(ohms)) = (first, signs.electrodes[2].impedance_ohms()) {
            first = Some((block.head.next_frame(), ohms));
        }
    });
    let (frame, ohms) = first.unwrap();
    // 32 periods of 128 frames, in blocks of 40, from the first frame after the gap on; without one it would be 4096.
    assert!((4003 + 4096..4003 + 4096 + 40).contains(&frame), "{frame}");
    assert!((ohms - 5000.0).abs() < 40.0, "{ohms}");
}

#[test]
fn a_channel_that_stands_at_its_end_has_no_impedance() {
    let text = format!("{ONE}[source.lead_off]\nmode = \"ac_31.2hz\"\ncalibration = {SQUARE}\nseries_ohms = 0");
    let rail = |channel, negative| planned(4000, Fault::Rail { chip: 0, channel, negative, n: 8000 });
    let mut rig = lead_off(&text, |setup| setup.faults = vec![rail(1, false), rail(6, true)]);
    rig.source.start();
    let mut looks = Vec::new();
    for second in [1, 3, 6] {
        rig.run_until(second * 4096 + 100);
        let signs = rig.source.signs().unwrap();
        looks.push(signs.electrodes.iter().map(|electrode| electrode.impedance_ohms().is_some()).collect::<Vec<_>>());
    }
    let railed: Vec<bool> = (0..8).map(|i| i != 1 && i != 6).collect();
    assert_eq!(looks[1], railed, "what was measured before says nothing of now");
    assert_eq!(looks[2], [true; 8], "and when it is back it is measured again");
}

#[test]
fn suspect_frames_do_not_enter_the_sums_and_cost_only_their_chip_its_turn() {
    let text = format!("[source.lead_off]\nmode = \"ac_31.2hz\"\ncalibration = {SQUARE}\nseries_ohms = 0");
    for (fault, good_chips) in [
        (Fault::BitShift { select: 0, bits: 2, n: 3 }, vec![]),
        (Fault::NibbleBad { chip: 1, n: 3 }, vec![0, 2, 3]),
        (Fault::Zeros { chip: 2, n: 20 }, vec![0, 1, 3]),
    ] {
        let mut rig = lead_off(&text, |setup| setup.faults = vec![planned(2000, fault)]);
        rig.source.start();
        rig.look_until(4096 + 100, |_, signs| {
            for (i, electrode) in signs.electrodes.iter().enumerate() {
                if let Some(ohms) = electrode.impedance_ohms() {
                    assert!(good_chips.contains(&(i / 8)), "{fault:?}: channel {i} was measured by suspect frames");
                    assert!((ohms - 5000.0).abs() < 40.0, "{fault:?}: channel {i} {ohms}");
                }
            }
        });
        let signs = rig.source.signs().unwrap();
        for chip in good_chips {
            assert!(signs.electrodes[chip * 8].impedance_ohms().is_some(), "{fault:?}: chip {chip}");
        }
        rig.run_until(2 * 4096 + 100);
        let all = signs.electrodes.iter().map(|electrode| electrode.impedance_ohms().unwrap_or(f64::NAN));
        let all: Vec<f64> = all.collect();
        assert!(all.iter().all(|ohms| (ohms - 5000.0).abs() < 40.0), "{fault:?}: the next turn is good: {all:?}");
    }
}
