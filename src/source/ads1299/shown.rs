//! What the running source shows of itself: numbers for whoever looks, written once a block.

use std::sync::atomic::Ordering::Relaxed;

use super::board::Board;
use super::chain::Ads1299;
use super::proof::Proof;
use crate::rt::now_ns;
use crate::source::{EdgeKind, Signs};

/// Says which electrodes are watched.
pub(super) fn watch(signs: &Signs, board: &Board) {
    for (electrodes, channel) in signs.electrodes.iter().zip(&board.channels) {
        electrodes.watched.store(channel.lead_off.any(), Relaxed);
        let sides = [channel.lead_off.positive, channel.lead_off.negative];
        for (side, watched) in electrodes.sides.iter().zip(sides) {
            side.watched.store(watched, Relaxed);
        }
    }
}

impl Ads1299 {
    /// What start-up measured, until the run knows better.
    pub(super) fn show_proof(&self, proof: &Proof) {
        self.signs.set_rate_hz(proof.rate_hz);
        if proof.readable.contains(&true) {
            self.show_registers_read();
        }
    }

    /// Edges and rate as they are now.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn show(&self) {
        let counts = self.reader.counts();
        for (kind, shown) in EdgeKind::ALL.into_iter().zip(&self.signs.edges) {
            let n = match kind {
                EdgeKind::Merged => counts.merged,
                EdgeKind::Overflowed => counts.overflowed,
                EdgeKind::Unseen => counts.unseen,
                EdgeKind::Spurious => counts.spurious,
                EdgeKind::Discarded => counts.discarded,
            };
            shown.store(n, Relaxed);
        }
        self.signs.set_rate_hz(1e9 / self.reader.clock().period_ns());
    }

    /// A register was right: perhaps the last one of a round.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn show_registers(&mut self) {
        if self.read_back.take_round() {
            self.show_registers_read();
        }
    }

    /// Every register that can be read was read back, and right.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn show_registers_read(&self) {
        // Not the wires' clock, which may be a simulated one: whoever shows it says how long ago that was.
        self.signs.registers_read_ns.store(now_ns(), Relaxed);
    }
}
