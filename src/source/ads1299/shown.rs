//! What the running source shows of itself: numbers for whoever looks, written once a block.

use std::sync::atomic::Ordering::Relaxed;

use super::board::{Board, LeadOffMode};
use super::chain::Ads1299;
use super::fault::ProofError;
use super::notes::Doubt;
use super::proof::Proof;
use crate::rt::now_ns;
use crate::source::{ChipFault, EdgeKind, Signs};

/// Says which electrodes are watched. With an alternating current none is: the comparators say nothing of them, and an
/// electrode of which nobody knows is not called on.
pub(super) fn watch(signs: &Signs, board: &Board) {
    if board.lead_off.mode != LeadOffMode::Dc {
        return;
    }
    for (electrodes, channel) in signs.electrodes.iter().zip(&board.channels) {
        electrodes.watched.store(channel.lead_off.any(), Relaxed);
        let sides = [channel.lead_off.positive, channel.lead_off.negative];
        for (side, watched) in electrodes.sides.iter().zip(sides) {
            side.watched.store(watched, Relaxed);
        }
    }
}

/// What is wrong with the chip that is in doubt, where it is the chip's.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub(super) fn fault_of(doubt: Doubt) -> Option<ChipFault> {
    match doubt {
        Doubt::Sync { word: 0, flat: true, .. } => Some(ChipFault::Zeros),
        Doubt::Sync { flat: true, .. } => Some(ChipFault::Ones),
        Doubt::Sync { .. } => Some(ChipFault::StatusWord),
        Doubt::SameFrame { .. } => Some(ChipFault::SameFrame),
        Doubt::Register { .. } => Some(ChipFault::Register),
        Doubt::SameCode { .. } | Doubt::Torn | Doubt::Rate => None,
    }
}

impl Ads1299 {
    /// Why chips did not come back.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn show_what_failed(&self, error: &ProofError) {
        let fault = match error {
            ProofError::Wire { .. } => ChipFault::Transfer,
            ProofError::Id { .. } => ChipFault::NoAnswer,
            ProofError::Register { .. } => ChipFault::Register,
            // What start-up alone finds.
            _ => return,
        };
        if let Some(chip) = error.chip() {
            self.signs.chip_fails(chip, fault);
        }
    }

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
