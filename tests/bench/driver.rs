//! What the ADS1299 driver costs for each frame of four chips: decoding, every check, the conversion clock and the
//! bookkeeping, without the bus. `cargo bench --bench driver` prints it.
//!
//! The wire below answers at once: registers from a table, frames from memory, edges without a wait.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on fails")]

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use biosigd::block::RawBlock;
use biosigd::config::{AutoOr, Document, Mistakes};
use biosigd::rt::Stop;
use biosigd::source::ads1299::chain::{Ads1299, Patience};
use biosigd::source::ads1299::wire::{Edge, Hz, Pin, Shape, Wire, WireError};
use biosigd::source::{Filled, Opening, Source, SourceError};

const PERIOD_NS: u64 = 250_000;
const FRAMES: usize = 400_000;
const ROUNDS: usize = 9;

/// Chips that cost nothing.
struct Instantly {
    now_ns: u64,
    next_edge_ns: u64,
    converting: bool,
    n_edges: u32,
    registers: [u8; 24],
    noise: u32,
}

impl Wire for Instantly {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    fn transfer(&mut self, _: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        // As long as the wire would take at 8.33 MHz.
        self.now_ns += tx.len() as u64 * 960;
        let (opcode, address) = (tx[0] & 0xE0, usize::from(tx[0] & 0x1F));
        match (tx[0], opcode) {
            // RDATA: four chips in sync, with codes that move.
            (0x12, _) => {
                self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for part in rx[1..].chunks_exact_mut(27) {
                    part[..3].copy_from_slice(&[0xC0, 0, 0]);
                    for (turns, code) in (0..).step_by(3).zip(part[3..].chunks_exact_mut(3)) {
                        code.copy_from_slice(&self.noise.rotate_left(turns).to_be_bytes()[1..]);
                    }
                }
            }
            (0x08, _) => (self.converting, self.next_edge_ns) = (true, self.now_ns + 4 * PERIOD_NS),
            (0x0A, _) => self.converting = false,
            (_, 0x20) => {
                for (i, value) in rx[2..].iter_mut().enumerate() {
                    *value = self.registers[(address + i) % 24];
                }
            }
            (_, 0x40) => self.registers[address..address + tx.len() - 2].copy_from_slice(&tx[2..]),
            _ => {}
        }
        Ok(())
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        if !self.converting || self.next_edge_ns > deadline_ns.max(self.now_ns) {
            self.now_ns = self.now_ns.max(deadline_ns);
            return Ok(None);
        }
        self.n_edges = self.n_edges.wrapping_add(1);
        let at_ns = self.next_edge_ns;
        self.now_ns = self.now_ns.max(at_ns);
        self.next_edge_ns += PERIOD_NS;
        Ok(Some(Edge { at_ns, n_interrupts: self.n_edges, n_events: self.n_edges }))
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

fn source() -> Result<Box<dyn Source>, SourceError> {
    let document = Document::parse("bench.toml", "[source]\nkind = \"ads1299\"\ngap_bits = 0\n").unwrap();
    let mut mistakes = Mistakes::new("bench.toml");
    let board = biosigd::source::ads1299::board_of(&document, &mut mistakes).unwrap();
    let mut registers = [0; 24];
    registers[0] = 0x3E;
    let wire = Instantly { now_ns: 1, next_edge_ns: 0, converting: false, n_edges: 0, registers, noise: 1 };
    let opening = Opening { base: std::path::Path::new(""), block_frames: AutoOr::Auto };
    let mut source =
        Ads1299::new(board, Box::new(move || Ok(Box::new(wire) as Box<dyn Wire>)), Patience::Forever, &opening);
    source.prove(&AtomicBool::new(false))?;
    Ok(Box::new(source))
}

fn main() {
    let mut source = source().unwrap();
    let stop = Stop::default();
    let mut block = RawBlock::new(source.stream(), source.n_chips());
    source.start();
    let mut costs_ns = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut n_frames = 0;
        while n_frames < FRAMES {
            assert_eq!(source.fill(&mut block, &stop), Filled::Frames);
            n_frames += black_box(&block).head.n_frames;
        }
        costs_ns.push(begin.elapsed().as_nanos() as f64 / n_frames as f64);
    }
    assert_eq!(source.end().lost.total(), 0);
    costs_ns.sort_by(f64::total_cmp);
    println!(
        "driver: 4 chips, 32 channels: {:.0} ns a frame (median of {ROUNDS} rounds of {FRAMES} frames; {:.0} to {:.0}); aim: \
         below 2000",
        costs_ns[ROUNDS / 2],
        costs_ns[0],
        costs_ns[ROUNDS - 1]
    );
}
