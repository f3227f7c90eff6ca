//! Wires that fail at the worst moment: each transfer of a set-up once, and a DRDY line that cannot be read any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::rig::{Rig, rig};
use crate::source::Source;
use crate::source::ads1299::notes::{Doubt, Note};
use crate::source::ads1299::simulated::{Fault, Planned, When, Which};
use crate::source::ads1299::wire::{Edge, Hz, Pin, Shape, Unwired, Wire, WireError};

/// The wires of a bench, which fail when it is said.
struct Failing {
    wire: Box<dyn Wire>,
    /// The transfer of a set-up that fails, counted from its first SDATAC; and how many there were.
    fails: u64,
    n_transfers: Option<u64>,
    /// From this time on DRDY cannot be read, until the device is opened again; and once more half a second later.
    deaf_ns: u64,
    n_reopened: u32,
    n_deaf: Arc<AtomicU64>,
    /// What becomes of the bytes of a frame.
    bend: Option<Bend>,
}

/// Bends what was received at a time.
type Bend = Box<dyn FnMut(u64, &mut [u8]) + Send>;

impl Failing {
    /// Puts itself between the driver and the bench of a rig that was proven; answers how often DRDY could not be read.
    fn between(rig: &mut Rig, fails: u64, deaf_ns: u64, bend: Option<Bend>) -> Arc<AtomicU64> {
        let wire = std::mem::replace(&mut rig.source.wire, Box::new(Unwired));
        let n_deaf = Arc::default();
        let failing =
            Failing { wire, fails, n_transfers: None, deaf_ns, n_reopened: 0, n_deaf: Arc::clone(&n_deaf), bend };
        rig.source.wire = Box::new(failing);
        n_deaf
    }
}

impl Wire for Failing {
    fn now_ns(&self) -> u64 {
        self.wire.now_ns()
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.wire.wait_until(at_ns);
    }

    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        let sdatac = 0x11;
        let is_set_up = self.n_transfers.is_some() || tx[0] == sdatac;
        let n = self.n_transfers.map_or(0, |n| n + 1);
        self.n_transfers = is_set_up.then_some(n);
        if is_set_up && n == self.fails {
            return Err(WireError::Spi(5));
        }
        self.wire.transfer(shape, tx, rx)?;
        let rdata = 0x12;
        if let (Some(bend), true) = (&mut self.bend, tx[0] == rdata) {
            bend(self.wire.now_ns(), rx);
        }
        Ok(())
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        if self.now_ns() >= self.deaf_ns {
            self.n_deaf.fetch_add(1, Relaxed);
            return Err(WireError::Gpio(5));
        }
        self.wire.wait_edge(deadline_ns)
    }

    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        self.wire.set_pin(pin, high)
    }

    fn has_pin(&self, pin: Pin) -> bool {
        self.wire.has_pin(pin)
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        self.wire.effective_clock_hz(clock_hz)
    }

    fn run_begins(&mut self) {
        self.wire.run_begins();
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        self.n_reopened += 1;
        self.deaf_ns = if self.n_reopened == 1 { self.now_ns() + 500_000_000 } else { u64::MAX };
        self.wire.reopen()
    }
}

#[test]
fn chips_are_proven_by_a_set_up_that_came_to_its_end_alone() {
    for (text, n_transfers) in [
        ("rate_hz = 1000", 22),
        ("topology = \"cascade\"\nspi_clock_hz = 20000000\nrate_hz = 1000", 38),
        ("read_mode = \"rdatac\"\nrate_hz = 1000", 23),
    ] {
        for fails in 0..n_transfers {
            let mut rig = rig(text, |setup| {
                let fault = Fault::Revert { chips: Which::All };
                setup.faults = vec![Planned { when: When::Conversion(1001), fault }];
            })
            .unwrap();
            Failing::between(&mut rig, fails, u64::MAX, None);
            rig.source.start();
            rig.run_until(6000);
            assert_eq!(rig.unmarked(), None, "{text}, {fails}: {:?}", rig.told);
            assert!(!rig.source.signs().unwrap().failing.load(Relaxed), "{text}, {fails}: {:?}", rig.told);
            assert!(rig.n_delivered > 3000, "{text}, {fails}: {}: {:?}", rig.n_delivered, rig.told);
        }
    }
}

#[test]
fn a_line_that_cannot_be_read_is_not_asked_without_end() {
    let mut rig = rig("", |_| {}).unwrap();
    let deaf_ns = rig.source.wire.now_ns() + 2_000_000_000;
    let n_deaf = Failing::between(&mut rig, u64::MAX, deaf_ns, None);
    rig.source.start();
    rig.run_until(20_000);
    assert!(rig.n_delivered > 12_000, "{}: {:?}", rig.n_delivered, rig.told);
    // The first time the device is opened again at once; the second time not before a second has passed, and until then the line is
    // asked once for each conversion.
    assert!((2..=4100).contains(&n_deaf.load(Relaxed)), "{n_deaf:?}");
    let n_notes = rig.told.iter().filter(|note| matches!(note, Note::Wire { .. })).count();
    assert!(n_notes <= 2, "{n_notes}: {:?}", rig.told);
    assert_eq!(rig.unmarked(), None, "{:?}", rig.told);
}

/// The bits from `from` on come so many places later, or earlier: clocks that were lost or gained there.
fn slip(bytes: &mut [u8], from: usize, by: i32) {
    let before = bytes.to_vec();
    let bit = |at: usize| before.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    for at in from..bytes.len() * 8 {
        let value = bit(at.saturating_add_signed(isize::try_from(-by).unwrap()));
        bytes[at / 8] = bytes[at / 8] & !(0x80 >> (at % 8)) | value << (7 - at % 8);
    }
}

#[test]
fn clocks_lost_or_gained_within_a_chips_bits_mark_it_and_those_behind_it() {
    // Within the last chip's nobody can tell. By 8, the counter's own bits look like a sync nibble.
    for (chip, by) in (0..3).flat_map(|chip| [-9, -3, -1, 1, 2, 7, 13].map(|by| (chip, by))) {
        let mut rig = rig("", |_| {}).unwrap();
        let begin_ns = rig.source.wire.now_ns() + 500_000_000;
        let mut n_bent = 0;
        let bend = move |now_ns, bytes: &mut [u8]| {
            if now_ns >= begin_ns && n_bent < 10 {
                n_bent += 1;
                slip(bytes, 8 + 216 * chip + 100, by);
            }
        };
        Failing::between(&mut rig, u64::MAX, u64::MAX, Some(Box::new(bend)));
        rig.source.start();
        rig.run_until(6000);
        let expected: Vec<u64> = (0..4).map(|of| if of < chip { 0 } else { 10 }).collect();
        assert_eq!(rig.n_flagged_of, expected, "{chip}, {by}: {:?}", rig.told);
        assert_eq!(rig.unmarked(), None, "{chip}, {by}: {:?}", rig.told);
        let told = rig.told.iter().any(|note| {
            matches!(note, Note::Doubted { doubt: Doubt::Sync { shift_bits: Some(bits), .. }, .. } if *bits == by)
        });
        assert!(told, "{chip}, {by}: {:?}", rig.told);
    }
}

#[test]
fn counts_of_edges_go_on_where_the_device_is_opened_again() {
    let mut rig = rig("", |setup| {
        let fault = Fault::TransferTimesOut { n_transfers: 1 };
        setup.faults = vec![Planned { when: When::Conversion(20_001), fault }];
    })
    .unwrap();
    rig.source.start();
    rig.run_until(40_000);
    let counts = rig.source.edge_counts();
    assert!(rig.n_set_up() == 1 && counts.spurious <= 1 && counts.merged <= 1, "{counts:?}: {:?}", rig.told);
}
