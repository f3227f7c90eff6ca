//! DRDY, settling, clocks, and the index of conversions.

use super::*;
use crate::source::ads1299::wire::Pin;

/// Clocks to the first conversion for each DR (SBAS499C, table "Settling Time").
const SETTLE_TICKS: [u64; 7] = [521, 1033, 2057, 4105, 8201, 16_393, 32_777];

fn ns(ticks: u64) -> u64 {
    ticks * 15_625 / 32
}

#[test]
fn the_first_conversion_comes_after_the_settling_time_of_its_rate_and_the_others_a_period_later() {
    for (dr, settle_ticks) in (0..).zip(SETTLE_TICKS) {
        let mut host = Host::new(&Setup::default());
        host.configure(1, 0x90 | dr, 0x60);
        host.start_pin(true);
        let started_ns = host.wire.now_ns() - HostDelays::default().read_ns;
        let first = host.edge().unwrap();
        let interrupt_ns = HostDelays::default().interrupt_ns;
        assert_eq!(first.at_ns, started_ns + ns(settle_ticks) + interrupt_ns, "DR {dr}");
        for k in 1..50 {
            let edge = host.edge().unwrap();
            let off = edge.at_ns.abs_diff(started_ns + ns(settle_ticks + k * (128 << dr)) + interrupt_ns);
            assert!(off <= 1, "DR {dr}, conversion {k}: {off} ns");
            assert_eq!((u64::from(edge.n_interrupts), u64::from(edge.n_events)), (k + 1, k + 1));
        }
    }
}

#[test]
fn ten_minutes_do_not_drift() {
    let mut host = Host::new(&Setup { ppm: 31.25, ..Setup::default() });
    host.configure(1, 0x96, 0x60);
    host.start_pin(true);
    let first = host.edge().unwrap();
    host.pause(600_000_000_000);
    while host.wire.wait_edge(0).unwrap().is_some() {}
    let n = host.truth.counts().n_conversions;
    let edge = host.edge().unwrap();
    let period_ns = 4e6 / (1.0 + 31.25e-6);
    let off_ns = (edge.at_ns - first.at_ns) as f64 - n as f64 * period_ns;
    assert!(off_ns.abs() < 1.1, "{off_ns} ns over {n} conversions");
}

#[test]
fn a_write_of_config1_starts_the_filter_again() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x92, 0x60);
    host.start_pin(true);
    let edge = host.edge().unwrap();
    host.write(0, 0x01, &[0x92]);
    let next = host.edge().unwrap();
    assert!(next.at_ns - edge.at_ns > ns(2057), "settles anew");
}

#[test]
fn no_edges_without_start_clock_power_or_out_of_reset() {
    let quiet = |host: &mut Host| assert_eq!(host.edge(), None);
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x92, 0x60);
    quiet(&mut host);
    host.start_pin(true);
    assert!(host.edge().is_some());
    host.start_pin(false);
    while host.wire.wait_edge(0).unwrap().is_some() {}
    quiet(&mut host);
    host.start_pin(true);
    for pin in [Pin::Reset, Pin::PowerDown] {
        host.wire.set_pin(pin, false).unwrap();
        while host.wire.wait_edge(0).unwrap().is_some() {}
        quiet(&mut host);
        host.wire.set_pin(pin, true).unwrap();
        assert!(host.edge().is_some());
    }

    let mut setup = Setup::default();
    setup.selects[0].chips[0].clocked = false;
    let mut host = Host::new(&setup);
    host.configure(1, 0x92, 0x60);
    host.start_pin(true);
    quiet(&mut host);
    assert_eq!(host.read(0, 0, 24), [0; 24]);
    let mut host = Host::new(&Setup { drdy_of: None, ..Setup::default() });
    host.start_pin(true);
    quiet(&mut host);
}

#[test]
fn start_tied_high_converts_at_250_from_power_up_on() {
    let setup = Setup { start_tied_high: true, ..Setup::default() };
    let setup = Setup { pins: Pins { start: false, ..setup.pins }, ..setup };
    let mut host = Host::new(&setup);
    let (first, second) = (host.edge().unwrap(), host.edge().unwrap());
    assert_eq!(second.at_ns - first.at_ns, 4_000_000);
}

#[test]
fn the_others_have_no_clock_until_the_master_drives_it() {
    let mut host = Host::new(&Setup { clock: ClockSource::Chip(0), ..Setup::cascade(2) });
    host.command(0, 0x11);
    host.command(1, 0x11);
    assert_eq!(host.read(1, 0, 1), [0]);
    host.write(0, 0x01, &[0xB2]);
    host.pause(50_000_000);
    host.command(1, 0x11);
    assert_eq!(host.read(1, 0, 1), [0x3E]);
}

#[test]
fn before_the_power_on_reset_is_over_nothing_answers() {
    let mut host = Host::new(&Setup { powered_ns: 1_000_000_000, ..Setup::default() });
    host.wire.wait_until(1_127_000_000);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 1), [0]);
    host.wire.wait_until(1_129_000_000);
    host.command(0, 0x11);
    assert_eq!(host.read(0, 0, 1), [0x3E]);
}

#[test]
fn single_shot_makes_one_conversion_for_each_start() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x92, 0x60);
    host.write(0, 0x17, &[0x08]);
    for _ in 0..3 {
        host.start_pin(true);
        assert!(host.edge().is_some());
        assert_eq!(host.edge(), None);
        host.start_pin(false);
    }
}

#[test]
fn stop_within_sixteen_clocks_of_drdy_is_too_late() {
    for (before_ns, n_edges) in [(7_000, 1), (9_000, 0)] {
        let mut host = Host::new(&Setup::default());
        host.configure(1, 0x92, 0x60);
        host.start_pin(true);
        let edge = host.edge().unwrap();
        let due_ns = edge.at_ns - HostDelays::default().interrupt_ns + 250_000;
        host.wire.wait_until(due_ns - before_ns);
        host.start_pin(false);
        assert_eq!(std::iter::from_fn(|| host.edge()).count(), n_edges);
    }
}

#[test]
fn drdy_rises_with_the_first_sclk_of_its_bus_or_by_itself_before_the_next_conversion() {
    let mut host = Host::new(&Setup::cascade(2));
    host.configure(2, 0x92, 0x60);
    host.start_pin(true);
    let edge = host.edge().unwrap();
    assert!(host.wire.chain().drdy_is_low());
    host.send(1, COMMAND_HZ, &[0]);
    assert!(!host.wire.chain().drdy_is_low(), "another chip's SCLK");
    let second_ns = host.edge().unwrap().at_ns;
    assert_eq!(second_ns - edge.at_ns, 250_000);
    let fell_ns = second_ns - HostDelays::default().interrupt_ns;
    host.wire.wait_until(fell_ns + 250_000 - 2_100);
    assert!(host.wire.chain().drdy_is_low());
    host.wire.wait_until(fell_ns + 250_000 - 1_900);
    assert!(!host.wire.chain().drdy_is_low());
}

#[test]
fn a_read_that_straddles_drdy_is_moved_in_rdatac_and_whole_in_rdata() {
    let mut host = Host::new(&Setup::daisy(2));
    host.configure(1, 0x92, 0x60);
    host.command(0, 0x10);
    host.start_pin(true);
    let fell_ns = host.edge().unwrap().at_ns - HostDelays::default().interrupt_ns;
    // 36 bits are clocked when 4 tCLK are left, 4.5 bytes.
    let at_ns = fell_ns + 250_000 - 1_953 - 9_000;
    let mut rx = [0; 54];
    host.wire.chain().transfer(at_ns, 0, 4_000_000, 3, &[0; 54], &mut rx).1.unwrap();
    assert_eq!(rx[..3], [0xC0, 0, 0]);
    assert_ne!(rx[27] & 0xF0, 0xC0, "the second chip's nibble has moved");
    host.wire.wait_until(fell_ns + 500_000 + 10_000);
    let good = host.send(0, 4_000_000, &[0; 54]);
    assert_eq!((good[0], good[27]), (0xC0, 0xC0));

    host.command(0, 0x11);
    let fell_ns = host.edge().and_then(|_| host.edge()).unwrap().at_ns - HostDelays::default().interrupt_ns;
    let mut tx = [0; 55];
    tx[0] = 0x12;
    let mut rx = [0; 55];
    host.wire.chain().transfer(fell_ns + 240_000, 0, 4_000_000, 3, &tx, &mut rx).1.unwrap();
    assert_eq!((rx[1], rx[28]), (0xC0, 0xC0));
}

#[test]
fn the_index_begins_again_at_a_start_and_goes_on_over_a_reset() {
    let mut host = Host::new(&Setup::daisy(2));
    host.configure(1, 0x92, 0x60);
    for _ in 0..2 {
        host.start_pin(true);
        assert!((0..10).all(|_| host.edge().is_some()));
        assert_eq!(host.truth.counts().n_conversions, 10);
        host.start_pin(false);
    }
    host.start_pin(true);
    let tenth = (0..10).filter_map(|_| host.edge()).last().unwrap();
    host.start_pin(false);
    host.command(0, 0x06);
    host.configure(1, 0x92, 0x60);
    host.start_pin(true);
    let later = host.edge().unwrap();
    let n = (later.at_ns - tenth.at_ns + 125_000) / 250_000;
    let counts = host.truth.counts();
    assert_eq!((counts.n_conversions, counts.n_made, counts.n_down), (10 + n, 11, n - 1));
    let frame = host.rdata(0, 8_000_000, 27);
    assert_eq!(code(&frame, 0), crate::source::synthetic::counter_code(9 + n, 0));
    // By hand: the next START begins a run though a reset was before it, the one after that does not.
    host.start_pin(false);
    host.command(0, 0x06);
    host.configure(1, 0x92, 0x60);
    host.truth.arm();
    host.start_pin(true);
    host.edge().unwrap();
    assert_eq!(host.truth.counts().n_conversions, 1);
    host.start_pin(false);
    host.start_pin(true);
    host.edge().unwrap();
    assert!(host.truth.counts().n_conversions > 4);
}

#[test]
fn a_queue_that_nobody_reads_drops_the_oldest_events() {
    let mut host = Host::new(&Setup::default());
    host.configure(1, 0x90, 0x60);
    host.start_pin(true);
    host.pause(100_000_000);
    let counts = host.truth.counts();
    assert_eq!(host.wire.wait_edge(0).unwrap().map(|edge| u64::from(edge.n_events)), Some(counts.n_overflowed + 1));
    assert_eq!(std::iter::from_fn(|| host.wire.wait_edge(0).unwrap()).take(1023).count(), 1023);
    assert!(counts.n_overflowed > 500);
}
