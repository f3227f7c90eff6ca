//! A thread that is late anywhere, again and again: a frame that is handed out holds the conversion of its index.

use crate::config::{Document, Mistakes};
use crate::source::ads1299::board_of;
use crate::source::ads1299::clock::ConversionClock;
use crate::source::ads1299::reader::{Read, Reader};
use crate::source::ads1299::wire::{Edge, Hz, Pin, Shape, Wire, WireError};

const PERIOD_NS: u64 = 250_000;

/// Conversion `k` is complete at `(k + 1) * PERIOD_NS`; its frame holds `k` in every byte's place.
struct LateThread {
    now_ns: u64,
    n_taken: u64,
    random: u64,
}

impl LateThread {
    /// Mostly nothing; else up to three conversions.
    fn late_ns(&mut self) -> u64 {
        // Knuth's MMIX generator: its upper bits are good enough.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.random >> 33;
        if random % 4 == 0 { random % (3 * PERIOD_NS) } else { 5_000 }
    }
}

impl Wire for LateThread {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        let byte_ns = 8_000_000_000 / u64::from(shape.clock_hz);
        self.now_ns += self.late_ns() + byte_ns;
        let newest = self.now_ns / PERIOD_NS - 1;
        rx.copy_from_slice(&newest.to_be_bytes().repeat(tx.len())[..tx.len()]);
        self.now_ns += byte_ns * (tx.len() as u64 - 1) + self.late_ns();
        Ok(())
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        let at_ns = (self.n_taken + 1) * PERIOD_NS;
        if at_ns > self.now_ns {
            if deadline_ns < at_ns {
                self.now_ns = self.now_ns.max(deadline_ns);
                return Ok(None);
            }
            self.now_ns = at_ns + self.late_ns();
        }
        self.n_taken += 1;
        let n = u32::try_from(self.n_taken).unwrap();
        Ok(Some(Edge { at_ns, n_interrupts: n, n_events: n }))
    }

    fn set_pin(&mut self, _: Pin, _: bool) -> Result<(), WireError> {
        Ok(())
    }

    fn has_pin(&self, _: Pin) -> bool {
        false
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        clock_hz
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

#[test]
fn a_frame_holds_the_conversion_of_its_index_however_late_the_thread_was() {
    let text = "[source]\nkind = \"ads1299\"\nbus = \"simulated\"\nn_chips = 4\n";
    let mut mistakes = Mistakes::new("rig.toml");
    let board = board_of(&Document::parse("rig.toml", text).unwrap(), &mut mistakes).unwrap();
    let mut wire = LateThread { now_ns: 0, n_taken: 0, random: 1 };
    let mut reader = Reader::new(&board, ConversionClock::new(PERIOD_NS as f64, 0, PERIOD_NS));
    let (mut n_frames, mut next) = (0, 0);
    while next < 100_000 {
        let deadline_ns = wire.now_ns + 10 * PERIOD_NS;
        let Read::Frame(frame) = reader.next(&mut wire, &board, deadline_ns).unwrap() else { continue };
        assert!(frame.index >= next, "frame {} after {next}", frame.index);
        next = frame.index + 1;
        n_frames += 1;
        // The command's byte came first and is no part of the frame.
        let held: [u8; 8] = reader.bytes(&frame)[7..15].try_into().unwrap();
        assert_eq!(u64::from_be_bytes(held), frame.index);
    }
    assert!(n_frames > 30_000, "{n_frames} of 100000 were read");
}
