//! Tests of the simulator against the datasheet's facts, by a host that is as simple as can be.

mod analogue;
mod faults;
mod protocol;
mod real_clock;
mod timing;

use super::*;
use crate::source::ads1299::wire::{Edge, Shape, Wire};

/// The clock that registers are read and written at.
const COMMAND_HZ: u32 = 2_000_000;

/// A host at a bench on the virtual clock.
struct Host {
    wire: SimulatedWire,
    truth: Truth,
}

impl Host {
    fn new(setup: &Setup) -> Host {
        let wire = SimulatedWire::on_virtual_clock(setup);
        let truth = wire.truth();
        Host { wire, truth }
    }

    /// One transfer at a select and a clock, CS low for 3 us after it.
    fn send(&mut self, select: usize, clock_hz: u32, tx: &[u8]) -> Vec<u8> {
        let mut rx = vec![0; tx.len()];
        self.wire.transfer(Shape { select, clock_hz, hold_us: 3 }, tx, &mut rx).unwrap();
        rx
    }

    fn command(&mut self, select: usize, opcode: u8) {
        self.send(select, COMMAND_HZ, &[opcode]);
        self.pause(20_000);
    }

    fn pause(&mut self, ns: u64) {
        let at_ns = self.wire.now_ns() + ns;
        self.wire.wait_until(at_ns);
    }

    fn write(&mut self, select: usize, address: u8, values: &[u8]) {
        let n = u8::try_from(values.len()).unwrap();
        self.send(select, COMMAND_HZ, &[&[0x40 | address, n - 1], values].concat());
    }

    /// `n` registers as chip 0 of the select shifts them out.
    fn read(&mut self, select: usize, address: u8, n: u8) -> Vec<u8> {
        let mut tx = vec![0; usize::from(n) + 2];
        tx[..2].copy_from_slice(&[0x20 | address, n - 1]);
        self.send(select, COMMAND_HZ, &tx)[2..].to_vec()
    }

    /// Out of RDATAC, with internal reference, `config1` and all channels at `channel`.
    fn configure(&mut self, n_selects: usize, config1: u8, channel: u8) {
        for select in 0..n_selects {
            self.command(select, 0x11);
            self.write(select, 0x01, &[config1, 0xC0, 0xE0]);
            self.write(select, 0x05, &[channel; 8]);
        }
        self.pause(150_000_000);
    }

    fn start_pin(&mut self, high: bool) {
        self.wire.set_pin(crate::source::ads1299::wire::Pin::Start, high).unwrap();
    }

    /// The next edge, within a second.
    fn edge(&mut self) -> Option<Edge> {
        let deadline_ns = self.wire.now_ns() + 1_000_000_000;
        self.wire.wait_edge(deadline_ns).unwrap()
    }

    /// A frame by RDATA, without the byte of the command.
    fn rdata(&mut self, select: usize, clock_hz: u32, n_bytes: usize) -> Vec<u8> {
        let mut tx = vec![0; n_bytes + 1];
        tx[0] = 0x12;
        self.send(select, clock_hz, &tx)[1..].to_vec()
    }

    fn violations(&self) -> Vec<Violation> {
        let of = |note| if let Note::Violation { violation, .. } = note { Some(violation) } else { None };
        self.truth.notes().filter_map(of).collect()
    }
}

/// The code of channel `i` of a frame of one chip.
fn code(frame: &[u8], i: usize) -> i32 {
    let byte = |k: usize| frame[3 + 3 * i + k];
    i32::from_be_bytes([byte(0), byte(1), byte(2), 0]) >> 8
}
