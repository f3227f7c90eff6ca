//! The real clock. No test depends on how punctual this machine is.

use super::*;
use crate::rt::now_ns;
use crate::source::synthetic::counter_code;
use std::time::Duration;

/// A chip at 4 kSPS that converts, and waits for a host that this machine holds up.
fn running(setup: &Setup, clock: Clock) -> Host {
    let mut wire = SimulatedWire::new(setup, clock);
    if setup.faults.is_empty() {
        wire.behind_max_ns = 60_000_000_000;
    }
    let truth = wire.truth();
    let mut host = Host { wire, truth };
    host.command(0, 0x11);
    host.write(0, 0x01, &[0x92, 0xC0, 0xE0]);
    host.write(0, 0x05, &[0x60; 8]);
    host.start_pin(true);
    host
}

/// Without a wait for the reference.
fn setup() -> Setup {
    Setup { board: Board { external_reference: true, ..Board::default() }, ..Setup::default() }
}

fn index(frame: &[u8]) -> u64 {
    u64::try_from(code(frame, 0) - counter_code(0, 0)).unwrap() / 64
}

#[test]
fn edges_come_when_they_are_due() {
    let mut host = running(&setup(), Clock::Real);
    let mut last_ns = host.edge().unwrap().at_ns;
    for _ in 0..100 {
        let edge = host.edge().unwrap();
        assert_eq!(edge.at_ns - last_ns, 250_000);
        assert!(now_ns() >= edge.at_ns, "never before its time");
        last_ns = edge.at_ns;
    }
    host.start_pin(false);
    while host.wire.wait_edge(0).unwrap().is_some() {}
    let deadline_ns = host.wire.now_ns() + 5_000_000;
    assert_eq!(host.wire.wait_edge(deadline_ns).unwrap(), None);
    assert!(now_ns() >= deadline_ns, "waits to its end");
}

#[test]
fn a_late_host_catches_up_and_a_very_late_one_misses_conversions() {
    let mut host = running(&setup(), Clock::Real);
    for k in 0..200 {
        if k == 50 || k == 100 {
            std::thread::sleep(Duration::from_millis(20));
        }
        host.edge().unwrap();
        assert_eq!(index(&host.rdata(0, 8_000_000, 27)), k);
    }
    assert_eq!(host.truth.counts().n_unread, 0);
    host.wire.behind_max_ns = 5_000_000;
    let before = host.truth.counts();
    std::thread::sleep(Duration::from_millis(20));
    let edge = host.edge().unwrap();
    let now = index(&host.rdata(0, 8_000_000, 27));
    assert!(now > 200 + 60, "{now}");
    let events = host.truth.counts().n_events - before.n_events;
    let interrupts = u64::from(edge.n_interrupts) - before.n_interrupts;
    assert!(events <= 2 && interrupts > 60, "{events} events for {interrupts} interrupts");
    assert!(host.truth.counts().n_unread > 60);
}

#[test]
fn a_plan_of_faults_ends_all_mercy() {
    let faults = vec![Planned { when: When::Conversion(u64::MAX), fault: Fault::EdgeSpurious }];
    let mut host = running(&Setup { faults, ..setup() }, Clock::Real);
    host.edge().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    host.edge().unwrap();
    assert!(index(&host.rdata(0, 8_000_000, 27)) > 60);
}
