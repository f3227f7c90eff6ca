//! What faults do to the bench while they last.

use super::chain::Chain;
use super::converter::NEVER;
use super::faults::{Fault, Planned, Side};
use super::truth::{Note, Touched};
use crate::source::ads1299::wire::WireError;

/// How many faults may last at the same time; what strikes beyond that is noted, and has no effect.
const ACTIVE_MAX: usize = 32;

/// What lasts, of one chip. Recomputed when a fault strikes or ends, so that a conversion asks one question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChipEffects {
    pub(super) any: bool,
    pub(super) zeros: bool,
    pub(super) nibble_bad: bool,
    pub(super) frame_stuck: bool,
    pub(super) no_clock: bool,
    /// One bit per channel.
    pub(super) stuck: u8,
    pub(super) high: u8,
    pub(super) low: u8,
    /// The first channel, and the code.
    pub(super) constant: Option<(usize, i32)>,
    pub(super) off_p: u8,
    pub(super) off_n: u8,
}

impl ChipEffects {
    /// What the frame suffers.
    pub(super) fn touched(self) -> Touched {
        Touched::NONE
            .with_if(self.zeros, Touched::ZEROS)
            .with_if(self.nibble_bad, Touched::NIBBLE)
            .with_if(self.frame_stuck, Touched::FRAME_STUCK)
            .with_if(self.no_clock, Touched::NO_CLOCK)
            .with_if(self.stuck != 0 || self.constant.is_some(), Touched::CHANNEL_STUCK)
            .with_if(self.high | self.low != 0, Touched::RAIL)
            .with_if(self.off_p | self.off_n != 0, Touched::ELECTRODE_OFF)
    }
}

/// What lasts, of one select.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PortEffects {
    pub(super) shift_bits: usize,
    pub(super) float: Option<u8>,
    pub(super) gap_moved: bool,
}

/// Faults that last, and what is left of those that count something.
#[derive(Debug)]
pub(super) struct Effects {
    active: Vec<(Fault, u64)>,
    /// When the first of them ends.
    pub(super) next_end_ns: u64,
    ppm: f64,
    gap_bits: usize,
    failing: Option<(Fault, u32)>,
    bounce_ns: u64,
    stall_ns: u64,
    /// A spurious edge is to come.
    pub(super) spurious_ns: u64,
}

impl Effects {
    pub(super) fn new(gap_bits: usize) -> Effects {
        Effects {
            active: Vec::with_capacity(ACTIVE_MAX),
            next_end_ns: NEVER,
            ppm: 0.0,
            gap_bits,
            failing: None,
            bounce_ns: 0,
            stall_ns: 0,
            spurious_ns: NEVER,
        }
    }

    /// For how long START bounces now.
    pub(super) fn take_bounce(&mut self) -> u64 {
        std::mem::take(&mut self.bounce_ns)
    }

    /// Whether the next transfer of `n_bytes` fails, and how.
    pub(super) fn take_failure(&mut self, n_bytes: usize) -> Option<WireError> {
        let (fault, left) = self.failing?;
        self.failing = (left > 1).then(|| (fault, left - 1));
        match fault {
            Fault::TransferFails { errno, .. } => Some(WireError::Spi(errno)),
            Fault::TransferTimesOut { .. } => Some(WireError::SpiTimeout),
            _ => Some(WireError::Short { got: n_bytes / 2, wanted: n_bytes }),
        }
    }
}

impl Chain {
    /// How long the host's thread shall sleep on after an edge that it waited for, once.
    pub fn take_stall(&mut self) -> u64 {
        std::mem::take(&mut self.effects.stall_ns)
    }

    /// Faults that strike before conversion `index`, which is due at `at_ns`.
    #[cold]
    pub(super) fn strike_all(&mut self, index: u64, at_ns: u64) {
        while let Some((i, planned)) = self.script.take(index) {
            self.strike(i, planned, index, at_ns);
        }
    }

    pub(super) fn strike(&mut self, i: usize, planned: Planned, index: u64, at_ns: u64) {
        let fault = planned.fault;
        self.counts.n_faults += 1;
        self.truth.note(&mut self.counts, Note::Struck { fault: i, conversion: index, at_ns });
        if fault.disturbs() {
            self.run.disturb();
        }
        match fault {
            Fault::WrongId { chip, id } => self.with_chip(chip, |chip| chip.registers.set_id(id)),
            Fault::Revert { chips } => {
                for chip in (0..self.chips.len()).filter(|chip| chips.has(*chip)) {
                    self.reset(chip, at_ns);
                    self.chips[chip].reverted = true;
                }
            }
            Fault::BrownOut { chips } => {
                for chip in (0..self.chips.len()).filter(|chip| chips.has(*chip)) {
                    self.ports[self.chips[chip].select].line.clear();
                    self.power_on(chip, at_ns);
                    self.chips[chip].reverted = true;
                }
            }
            Fault::Gpio { chip, levels } => self.with_chip(chip, |chip| chip.registers.gpio_pins = levels & 0x0F),
            Fault::WritesDropped { chip, address, n_writes } => {
                self.with_chip(chip, |chip| chip.deaf_to = (address, n_writes));
            }
            Fault::SdatacIgnored { chip, n_commands } => self.with_chip(chip, |chip| chip.deaf_to_sdatac = n_commands),
            Fault::TransferFails { n_transfers: n, .. }
            | Fault::TransferTimesOut { n_transfers: n }
            | Fault::TransferShort { n_transfers: n } => self.effects.failing = (n > 0).then_some((fault, n)),
            Fault::EdgesDropped { n_edges } => self.edges.drop_next(n_edges),
            Fault::EdgesCoalesced { n_edges } => self.edges.coalesce_next(n_edges),
            Fault::EdgesMerged { n_edges } => self.edges.merge_next(n_edges),
            Fault::EdgeSpurious => self.effects.spurious_ns = at_ns + self.period_ns() / 2,
            Fault::StartBounces { for_us } => self.effects.bounce_ns = u64::from(for_us) * 1000,
            Fault::WakeLate { us } => self.effects.stall_ns += u64::from(us) * 1000,
            lasting => self.begin_effect(lasting, at_ns),
        }
        self.schedule();
    }

    fn with_chip(&mut self, chip: usize, change: impl FnOnce(&mut super::chip::Chip)) {
        if let Some(chip) = self.chips.get_mut(chip) {
            change(chip);
        }
    }

    /// One conversion of the run, or of what will be one.
    fn period_ns(&self) -> u64 {
        let Some(chip) = self.chips.first() else { return 1 };
        chip.converter.clocks_ns(self.run.period_ticks().max(128))
    }

    fn begin_effect(&mut self, fault: Fault, at_ns: u64) {
        // Half a period before the first conversion that is whole again; where reads suffer, after the end of the last one that does,
        // which may take most of a period.
        let before_ns = self.period_ns() / if fault.is_of_wires() { 16 } else { 2 };
        let lasts_ns = fault.lasts().saturating_mul(self.period_ns()).saturating_sub(before_ns);
        if self.effects.active.len() < ACTIVE_MAX && fault.lasts() > 0 {
            self.effects.active.push((fault, at_ns.saturating_add(lasts_ns)));
        }
        self.apply_effects(at_ns);
    }

    /// Those that have lasted their time end.
    #[cold]
    pub(super) fn end_effects(&mut self, at_ns: u64) {
        self.effects.active.retain(|(_, end_ns)| *end_ns > at_ns);
        self.apply_effects(at_ns);
        self.schedule();
    }

    /// Works out what all faults that last make of chips, selects and clock.
    fn apply_effects(&mut self, at_ns: u64) {
        let mut ppm = 0.0;
        let mut gap_bits = self.setup.gap_bits;
        let mut jitter_ns = 0;
        let mut ports = std::mem::take(&mut self.ports);
        for port in &mut ports {
            port.effects = PortEffects::default();
        }
        for (i, chip) in self.chips.iter_mut().enumerate() {
            let mut of = ChipEffects::default();
            for (fault, _) in &self.effects.active {
                apply_to_chip(&mut of, i, *fault);
            }
            of.any = of != ChipEffects::default();
            if (of.off_p, of.off_n) != (chip.effects.off_p, chip.effects.off_n) {
                chip.front.set_off(of.off_p, of.off_n);
                chip.front.retune(&mut chip.registers, at_ns);
            }
            chip.effects = of;
        }
        self.effects.next_end_ns = NEVER;
        for (fault, end_ns) in &self.effects.active {
            self.effects.next_end_ns = self.effects.next_end_ns.min(*end_ns);
            match *fault {
                Fault::ClockOff { ppm: more, .. } => ppm += more,
                Fault::GapBits { bits, .. } => gap_bits = bits,
                Fault::EdgeJitter { jitter_ns: at_most, .. } => jitter_ns = jitter_ns.max(at_most),
                Fault::BitShift { select, bits, .. } if select < ports.len() => ports[select].effects.shift_bits = bits,
                Fault::Float { select, level, .. } if select < ports.len() => ports[select].effects.float = Some(level),
                _ => {}
            }
        }
        for port in &mut ports {
            port.effects.gap_moved = gap_bits != self.setup.gap_bits && port.chips.len() > 1;
            if gap_bits != self.effects.gap_bits {
                port.line.set_gap_bits(gap_bits);
            }
        }
        self.ports = ports;
        self.effects.gap_bits = gap_bits;
        self.edges.set_more_jitter(jitter_ns);
        if ppm != self.effects.ppm {
            self.effects.ppm = ppm;
            for (chip, of) in self.chips.iter_mut().zip(self.setup.chips()) {
                chip.converter.set_ppm(at_ns, self.setup.ppm + of.ppm + ppm);
            }
        }
        self.distribute_clock(at_ns);
    }
}

fn apply_to_chip(of: &mut ChipEffects, i: usize, fault: Fault) {
    let bit = |chip: usize, channel: usize| if chip == i && channel < 8 { 1_u8 << channel } else { 0 };
    match fault {
        Fault::Zeros { chip, .. } => of.zeros |= chip == i,
        Fault::NibbleBad { chip, .. } => of.nibble_bad |= chip == i,
        Fault::FrameStuck { chip, .. } => of.frame_stuck |= chip == i,
        Fault::NoClock { chips, .. } => of.no_clock |= chips.has(i),
        Fault::ChannelStuck { chip, channel, .. } => of.stuck |= bit(chip, channel),
        Fault::Constant { chip, from_channel, code, .. } if chip == i => of.constant = Some((from_channel, code)),
        Fault::Rail { chip, channel, negative: false, .. } => of.high |= bit(chip, channel),
        Fault::Rail { chip, channel, .. } => of.low |= bit(chip, channel),
        Fault::ElectrodeOff { chip, channel, side: Side::P, .. } => of.off_p |= bit(chip, channel),
        Fault::ElectrodeOff { chip, channel, side: Side::N, .. } => of.off_n |= bit(chip, channel),
        _ => {}
    }
}
