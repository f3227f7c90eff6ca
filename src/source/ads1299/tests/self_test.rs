//! The self-test against the bench: what a good board measures of itself, what is found of a bad one, and that the
//! configuration stands as it was afterwards.

use super::rig::{Rig, rig};
use crate::source::Source;
use crate::source::ads1299::board_of;
use crate::source::ads1299::registers::{GAINS, NOISE_UV_RMS, RATES_HZ, compared_bits};
use crate::source::ads1299::simulated::{Fault, Planned, Setup, When};
use serde_json::Value;

/// A board that tests itself, and what it says of it.
fn tested(text: &str, change: impl FnOnce(&mut Setup)) -> Result<(Rig, Value), String> {
    let rig = rig(&format!("self_test = true\n{text}"), change).map_err(|error| error.to_string())?;
    let about = rig.about.clone();
    Ok((rig, about))
}

fn refused(text: &str, change: impl FnOnce(&mut Setup)) -> String {
    match tested(text, change) {
        Ok((_, about)) => panic!("{text}: proven, although something is wrong: {}", about["self_test"]),
        Err(error) => error,
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

#[test]
fn noise_is_the_tables_and_the_test_signal_the_clocks_at_every_rate_and_gain() {
    for (rate, rate_hz) in RATES_HZ.iter().enumerate() {
        // Every gain at two rates, the ends at the others.
        for (gain, times) in GAINS.iter().enumerate().filter(|(gain, _)| rate % 3 == 2 || gain % 6 == 0) {
            let text = format!(
                "n_chips = 1\nclock = \"internal\"\nspi_clock_hz = 20000000\nrate_hz = {rate_hz}\ngain = {times}"
            );
            let (_, about) = tested(&text, |_| {}).unwrap_or_else(|error| panic!("{text}: {error}"));
            let test = &about["self_test"];
            let expected_uv = NOISE_UV_RMS[rate][gain];
            for uv in numbers(&test["noise_uv_rms"]) {
                // Of 500 samples and more the rms is known to 1/sqrt(2 * 500) = 3 %; five times that, and the gain's 0.5 %.
                assert!((uv / expected_uv - 1.0).abs() < 0.165, "{text}: {uv} uV rms, expected {expected_uv}");
            }
            for uv in numbers(&test["test_uv"]) {
                // 0.5 % of gain; and of the three samples that a turn takes 2/3 of the amplitude, in 128 at 250 Hz.
                assert!((uv / 1875.0 - 1.0).abs() < 0.013, "{text}: {uv} uV");
            }
            let samples = 1_048_576.0 / (128 << rate) as f64;
            for turn in numbers(&test["test_turn_samples"]) {
                assert!((turn - samples).abs() < 0.1, "{text}: turns every {turn} samples, expected {samples}");
            }
            assert_eq!([&test["noise_uv_rms"], &test["test_turn_samples"]].map(|all| numbers(all).len()), [8, 8]);
            let chip = &test["chips"][0];
            // Gain within 0.5 %, offsets within some hundred microvolts.
            for (name, expected, within) in
                [("middle_v", 2.5, 0.013), ("dvdd_v", 3.3, 0.02), ("temperature_c", 30.0, 2.5)]
            {
                let found = chip[name].as_f64().unwrap();
                assert!((found - expected).abs() < within, "{text}: {name} {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn every_board_tests_itself_and_is_configured_as_before() {
    for text in [
        "",
        "gap_bits = 1",
        "topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000\n[source.channel.3]\npower = false\n\
         [source.channel.12]\ngain = 2\ninput = \"bias\"",
        "read_mode = \"rdatac\"",
        "model = \"ads1299-4\"\nhigh_pins = [2]",
        "model = \"ads1299-6\"\nspi = [\"0.0\", \"1.0\"]\ntrigger_pins = [1]",
        "[source.lead_off]\nmode = \"dc\"",
        "vref_v = 2.5\nreference = \"external\"\ngain = 6",
    ] {
        let (mut rig, about) = tested(text, |_| {}).unwrap_or_else(|error| panic!("{text}: {error}"));
        let board = {
            let text = format!("[source]\nkind = \"ads1299\"\n{text}");
            let document = crate::config::Document::parse("rig.toml", &text).unwrap();
            board_of(&document, &mut crate::config::Mistakes::new("rig.toml")).unwrap()
        };
        let reads_back = |chip: &usize| about["chips"][*chip]["registers_read_back"] == true;
        for chip in (0..board.layout.n_chips()).filter(reads_back) {
            let (wanted, model) = (board.registers(chip), board.layout.models[chip]);
            for (address, (wanted, found)) in wanted.iter().zip(rig.registers(chip)).enumerate() {
                let mask = compared_bits(address, *wanted) & model.present_bits(address);
                assert_eq!(wanted & mask, found & mask, "{text}: chip {chip}, register {address:#04X}");
            }
        }
        assert_eq!(numbers(&about["self_test"]["test_uv"]).len(), board.channels.iter().filter(|c| c.power).count());
        // Electrodes again: the counter of the bench is seen at gain 24 and every other one.
        rig.check = !text.contains("power = false");
        rig.source.start();
        rig.run_until(1000);
        assert_eq!(
            (rig.wrong.first(), rig.n_flagged, rig.source.end().lost.total()),
            (None, 0, 0),
            "{text}: {:?}",
            rig.told
        );
    }
}

#[test]
fn a_reference_that_is_not_vref_v() {
    for (text, volts) in [
        ("vref_v = 4.5\nreference = \"external\"", 2.5),
        ("vref_v = 4.5\nreference = \"external\"", 4.096),
        ("vref_v = 4.096\nreference = \"external\"", 4.5),
        ("vref_v = 2.5\nreference = \"external\"", 4.5),
        ("", 4.1),
    ] {
        let error = refused(text, |setup| setup.board.reference_v = volts);
        assert!(error.contains("chip 1: by vref_v it measures") && error.contains("look at `reference`"), "{error}");
    }
    assert_eq!(
        refused("vref_v = 5\nreference = \"external\"", |setup| {
            setup.board.reference_v = 2.5;
            setup.board.gain_error_max = 0.0;
            setup.board.offset_uv = 0.0;
        }),
        "ads1299: chip 1: by vref_v it measures 5.00 V as the middle of the analogue supply (expected 2.37 to 2.63 V, or 0 V \
         between two supplies), 6.60 V as DVDD (1.8 to 3.6 V) and a temperature of 331.53 C (0 to 70 C): where all are off by \
         one factor, the reference is not vref_v, look at `reference` and at VREFP; else look at that supply"
    );
    let hot = refused("", |setup| setup.board.temperature_c = 90.0);
    assert!(hot.contains("a temperature of 9"), "{hot}");
}

#[test]
fn a_gain_that_is_wrong() {
    let error = refused("", |setup| setup.board.gain_error_max = 0.2);
    assert!(error.contains("the test signal is +-") && error.contains("gain is wrong"), "{error}");
}

#[test]
fn a_chip_that_is_noisy_or_stands_still() {
    let error = refused("", |setup| setup.board.noise_scale = 4.0);
    assert!(error.contains("chip 1, channel 1: 2.") && error.contains("expected 0.3 to 3 times 0.56 uV"), "{error}");
    let error = refused("", |setup| setup.board.noise_scale = 0.2);
    assert!(error.contains("chip 1, channel 1: 0.1"), "{error}");
    let error = refused("", |setup| setup.board.offset_uv = 3000.0);
    assert!(error.contains("a mean below 300 uV"), "{error}");
    let error = refused("", |setup| {
        let fault = Fault::ChannelStuck { chip: 2, channel: 4, n: u64::MAX };
        setup.faults = vec![Planned { when: When::PowerUp, fault }];
    });
    assert!(error.contains("chip 3, channel 5: 0.00 uV rms") && error.contains("a value that never moves"), "{error}");
}

#[test]
fn a_chip_with_a_clock_of_its_own() {
    for ppm in [-5000.0, 300.0, 5000.0] {
        let error = refused("topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 2000", |setup| {
            setup.selects[2].chips[0].ppm = ppm;
        });
        assert!(
            error.contains("chip 3, channel 1: the test signal turns after")
                && error.contains("look at CLK and CLKSEL"),
            "{ppm}: {error}"
        );
    }
}

#[test]
fn a_thread_that_is_late_in_the_self_test_mistakes_nothing() {
    // A period is 250 us, of which a read takes 115; where frames flow by themselves it must end before the next.
    for (text, late_us) in [("", 180), ("", 230), ("read_mode = \"rdatac\"", 100), ("spi = [\"0.0\", \"1.0\"]", 180)] {
        tested(text, |setup| {
            setup.delays.jitter_ns = 20_000;
            setup.delays.wake_ns = late_us * 1000;
        })
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}
