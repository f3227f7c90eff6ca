//! Voltages, noise, self-test signals, lead-off.

use super::*;
use std::sync::Arc;

/// One code of gain 24 in microvolts.
const UV_24: f64 = 4.5e6 / 24.0 / 8_388_608.0;

/// A bench without imperfections.
fn exact(signal: Signal) -> Setup {
    let board = Board { gain_error_max: 0.0, offset_uv: 0.0, noise_scale: 0.0, ..Board::default() };
    Setup { board, signal, ..Setup::default() }
}

/// `n` frames of one chip after `config1` and CONFIG2, with all channels at `channel`.
fn frames(setup: &Setup, [config1, config2]: [u8; 2], channel: u8, n: usize) -> Vec<Vec<u8>> {
    let mut host = Host::new(setup);
    host.configure(1, config1, channel);
    host.write(0, 2, &[config2]);
    take(&mut host, n)
}

fn take(host: &mut Host, n: usize) -> Vec<Vec<u8>> {
    host.start_pin(true);
    let frame = |_| {
        host.edge().unwrap();
        host.rdata(0, 8_000_000, 27)
    };
    (0..n).map(frame).collect()
}

fn codes(frames: &[Vec<u8>], channel: usize) -> Vec<f64> {
    frames.iter().map(|frame| f64::from(code(frame, channel))).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn rms(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

#[test]
fn codes_are_the_golden_ones() {
    let level = |uv: f32| Signal::Recording(Arc::new(Recording { rate_hz: 1.0, channels: vec![vec![uv]] }));
    for (uv, bytes) in [
        (1875.0, [0x01, 0x47, 0xAE]),
        (-0.0224, [0xFF, 0xFF, 0xFF]),
        (187_500.0, [0x7F, 0xFF, 0xFF]),
        (-187_500.0, [0x80, 0x00, 0x00]),
        (1e9, [0x7F, 0xFF, 0xFF]),
        (0.0, [0, 0, 0]),
    ] {
        let frame = &frames(&exact(level(uv)), [0x92, 0xC0], 0x60, 1)[0];
        assert_eq!(frame[3..6], bytes, "{uv} uV");
        assert_eq!((&frame[..3], &frame[6..]), (&[0xC0, 0, 0][..], &[0; 21][..]));
    }
}

#[test]
fn the_noise_of_a_short_is_the_tables_at_every_rate_and_gain() {
    for (dr, gain_code, gain, table_uv) in [
        (0, 0, 1.0, 21.70),
        (0, 6, 24.0, 1.66),
        (2, 6, 24.0, 0.56),
        (2, 3, 6.0, 0.93),
        (4, 1, 2.0, 1.14),
        (6, 6, 24.0, 0.14),
    ] {
        let frames = frames(&Setup::default(), [0x90 | dr, 0xC0], gain_code << 4 | 1, 4000);
        let lsb_uv = 4.5e6 / gain / 8_388_608.0;
        let mut offsets_uv = Vec::new();
        for channel in 0..8 {
            let values = codes(&frames, channel);
            let rms_uv = rms(&values) * lsb_uv;
            // 4000 values give the rms within 1.1 %, the gain is within 0.5 %: five times both.
            assert!((rms_uv / table_uv - 1.0).abs() < 0.08, "DR {dr}, gain {gain}: {rms_uv} uV");
            let span_uv = values.iter().fold(0.0_f64, |most, value| most.max((value - mean(&values)).abs())) * lsb_uv;
            assert!((2.8..3.6).contains(&(span_uv / rms_uv)), "{span_uv}");
            offsets_uv.push(mean(&values) * lsb_uv);
        }
        assert!(offsets_uv.iter().all(|offset| offset.abs() < 300.0) && rms(&offsets_uv) > 10.0, "{offsets_uv:?}");
    }
}

#[test]
fn the_test_square_has_the_datasheets_amplitude_and_exactly_its_period() {
    for (config2, amplitude, period) in [(0xD0, 83_886.0, 4096), (0xD1, 83_886.0, 2048), (0xD4, 167_772.0, 4096)] {
        let frames = frames(&exact(Signal::Still), [0x92, config2], 0x65, 9000);
        let values = codes(&frames, 0);
        let flips: Vec<usize> = (1..values.len()).filter(|i| (values[*i] > 0.0) != (values[i - 1] > 0.0)).collect();
        assert!(flips.len() >= 4 && flips.windows(2).all(|two| two[1] - two[0] == period / 2), "{flips:?}");
        let middle = values[flips[0] + 100];
        assert!((middle.abs() - amplitude).abs() <= 1.0, "{config2:02x}: {middle}");
        let between = values[flips[0] - 2..flips[0] + 3].iter().filter(|value| value.abs() < amplitude - 2.0).count();
        assert!((1..=3).contains(&between), "the filter takes up to three conversions, {between}");
    }
    let frames = frames(&exact(Signal::Still), [0x92, 0xD3], 0x65, 10);
    assert!(codes(&frames, 0).iter().all(|code| *code == -83_886.0), "DC");
    let frames = self::frames(&exact(Signal::Still), [0x92, 0xC0], 0x65, 10);
    assert!(codes(&frames, 0).iter().all(|code| *code == 0.0), "INT_CAL is 0");
}

#[test]
fn temperature_supply_and_bias_read_as_they_should() {
    let mut setup = exact(Signal::Still);
    setup.board.temperature_c = 35.0;
    let lsb_uv = 4.5e6 / 8_388_608.0;
    let uv = |channel: u8, i: usize| codes(&frames(&setup, [0x92, 0xC0], channel, 1), i)[0] * lsb_uv;
    assert!(((uv(0x04, 0) - 145_300.0) / 490.0 + 25.0 - 35.0).abs() < 0.01);
    assert!((uv(0x03, 0) - 2.5e6).abs() < 1.0);
    assert!((uv(0x03, 2) - 0.825e6).abs() < 1.0 && (uv(0x03, 3) - 0.825e6).abs() < 1.0);
    assert_eq!(uv(0x06, 0), 0.0);
    assert_eq!(uv(0x63, 0), f64::from(0x007F_FFFF) * lsb_uv, "at gain 24 the supply is too much");
}

#[test]
fn a_sine_is_as_high_as_the_filter_leaves_it() {
    for (freq_hz, droop) in [(10.0, 1.0), (500.0, 0.925), (1000.0, 0.730)] {
        let signal = Signal::Sine { freq_hz, amplitude_uv: 1000.0 };
        let values = codes(&frames(&exact(signal), [0x92, 0xC0], 0x60, 800), 5);
        let peak_uv = rms(&values) * 2.0_f64.sqrt() * UV_24;
        assert!((peak_uv / 1000.0 - droop).abs() < 0.001, "{freq_hz} Hz: {peak_uv}");
    }
}

#[test]
fn eeg_noise_and_recordings_differ_by_channel_and_move() {
    let recording = Recording { rate_hz: 2000.0, channels: vec![vec![0.0, 100.0, 200.0, 0.0], vec![50.0]] };
    for signal in [Signal::Eeg, Signal::Noise { amplitude_uv: 50.0 }] {
        let frames = frames(&exact(signal), [0x92, 0xC0], 0x60, 400);
        let (a, b) = (codes(&frames, 0), codes(&frames, 7));
        assert!(rms(&a) * UV_24 > 5.0 && a != b);
        assert!(a.iter().all(|code| code.abs() < 8_000_000.0));
    }
    let frames = frames(&exact(Signal::Recording(Arc::new(recording))), [0x92, 0xC0], 0x60, 9);
    let uv: Vec<f64> = codes(&frames, 0).iter().map(|code| (code * UV_24).round()).collect();
    assert_eq!(
        uv,
        [0.0, 50.0, 100.0, 150.0, 200.0, 100.0, 0.0, 0.0, 0.0],
        "resampled from 2 to 4 kSPS, and over again"
    );
    assert!((codes(&frames, 1)[3] * UV_24 - 50.0).abs() < 0.02);
    assert_eq!(codes(&frames, 2)[3], 0.0);
}

#[test]
fn without_a_reference_codes_are_at_full_scale_and_they_settle_with_it() {
    let mut host = Host::new(&exact(Signal::Still));
    host.command(0, 0x11);
    host.write(0, 1, &[0x92, 0xD3]);
    host.write(0, 5, &[0x05; 8]);
    let frames = take(&mut host, 3);
    assert_eq!(codes(&frames, 0), [-8_388_608.0; 3]);
    host.write(0, 3, &[0xE0]);
    let early = codes(&[host.rdata(0, 8_000_000, 27)], 0)[0];
    host.pause(20_000_000);
    let soon = codes(&[host.rdata(0, 8_000_000, 27)], 0)[0];
    host.pause(150_000_000);
    let settled = codes(&[host.rdata(0, 8_000_000, 27)], 0)[0];
    assert!(early < soon && soon < settled - 100.0, "{early}, {soon}, {settled}");
    assert_eq!(settled, -3495.0);
}

#[test]
fn the_comparators_flag_electrodes_that_are_off_where_they_are_sensed() {
    let mut setup = exact(Signal::Still);
    let electrodes = &mut setup.selects[0].chips[0].electrodes;
    electrodes[0].off_p = true;
    electrodes[2].off_p = true;
    electrodes[7].off_n = true;
    electrodes[1].off_p = true;
    // 24 uA into 80 kilo-ohms: 1.92 V above the middle is 88 % of the supply.
    electrodes[3].ohm_p = 80_000.0;
    let mut host = Host::new(&setup);
    host.configure(1, 0x92, 0x60);
    host.write(0, 0x0F, &[0b1111_1101, 0xF0]);
    for (loff, config4, p, n) in
        [(0x0C, 0x02, 5, 0x80), (0x6C, 0x02, 0x0D, 0x80), (0x6C, 0x00, 0, 0), (0x6D, 0x02, 0, 0)]
    {
        host.write(0, 0x04, &[loff]);
        host.write(0, 0x17, &[config4]);
        assert_eq!(host.read(0, 0x12, 2), [p, n], "LOFF {loff:02x}");
    }
    host.write(0, 0x04, &[0x0C]);
    let frame = &take(&mut host, 1)[0];
    assert_eq!(frame[..3], [0xC0, 0x58, 0x00], "the golden status word, GPIO low");
    assert_eq!((code(frame, 0), code(frame, 7)), (0x007F_FFFF, 0x007F_FFFF), "the current drives them into the rail");
    host.write(0, 0x11, &[0x01]);
    host.edge();
    host.edge();
    assert_eq!(code(&host.rdata(0, 8_000_000, 27), 0), -0x0080_0000, "flipped");
}

#[test]
fn an_electrode_that_comes_off_in_the_run_is_flagged_from_that_conversion_on() {
    let fault = Fault::ElectrodeOff { chip: 0, channel: 2, side: Side::P, n: 3 };
    let faults = vec![
        Planned { when: When::Conversion(5), fault },
        Planned { when: When::Conversion(6), fault: Fault::Gpio { chip: 0, levels: 2 } },
    ];
    let mut host = Host::new(&Setup { faults, ..exact(Signal::Still) });
    host.configure(1, 0x92, 0x60);
    host.write(0, 0x0F, &[0xFF]);
    host.write(0, 0x17, &[0x02]);
    let frames = take(&mut host, 10);
    let words: Vec<[u8; 2]> = frames.iter().map(|frame| [frame[1], frame[2]]).collect();
    let (on, off) = ([0, 0], [0x40, 0]);
    assert_eq!(words, [on, on, on, on, on, off, [0x40, 2], [0x40, 2], [0, 2], [0, 2]]);
}

#[test]
fn the_ac_current_times_the_impedance_adds_to_the_signal() {
    for (fleads, freq_hz, k) in
        [(1, 7.8125, 4.0 / std::f64::consts::PI), (2, 31.25, 4.0 / std::f64::consts::PI), (3, 1000.0, 0.93)]
    {
        let mut setup = exact(Signal::Still);
        setup.selects[0].chips[0].electrodes[3].ohm_p = 10_000.0;
        let mut host = Host::new(&setup);
        host.configure(1, 0x92, 0x60);
        host.write(0, 0x04, &[fleads]);
        host.write(0, 0x0F, &[0x08]);
        let values = codes(&take(&mut host, 2048), 3);
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (i, value) in values.iter().enumerate() {
            let phase = std::f64::consts::TAU * freq_hz * i as f64 / 4000.0;
            sine += value * phase.sin() * UV_24 / 1024.0;
            cosine += value * phase.cos() * UV_24 / 1024.0;
        }
        // 6 nA into 10 kilo-ohms: 60 uV.
        let peak_uv = f64::hypot(sine, cosine);
        assert!((peak_uv / (60.0 * k) - 1.0).abs() < 0.02, "{freq_hz} Hz: {peak_uv} uV");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bytes = |seed| frames(&Setup { signal: Signal::Eeg, seed, ..Setup::default() }, [0x92, 0xC0], 0x60, 100);
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}
