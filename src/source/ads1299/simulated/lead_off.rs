//! Lead-off detection of one chip: the currents into its electrodes, what they add to the signal, and the comparators.

use super::registers::{CONFIG4, LOFF, LOFF_FLIP, LOFF_SENSN, LOFF_SENSP, Registers};
use super::setup::{Board, Electrode};

/// What a current meets where no skin is, in ohms: enough to drive any input into its rail.
const OPEN_OHM: f64 = 1e12;
/// Mains that an electrode picks up that is neither on the skin nor held by a current, in microvolts.
pub(super) const HUM_UV: f64 = 3000.0;

/// What lead-off detection adds to one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct LeadOff {
    /// For good.
    pub(super) dc_uv: f64,
    /// As the amplitude of a square wave.
    pub(super) ac_uv: f64,
    /// An electrode is off and nothing holds it: the channel sees mains.
    pub(super) floats: bool,
}

/// The lead-off settings of a chip with what is at its electrodes.
#[derive(Debug, Clone)]
pub(super) struct LeadOffs {
    pub(super) channels: [LeadOff; 8],
    /// Half the period of the current in tCLK; 0 for DC, and at fDR/4 two conversions.
    pub(super) half_ticks: u64,
    /// What LOFF_STATP and LOFF_STATN read.
    pub(super) stat_p: u8,
    pub(super) stat_n: u8,
}

impl LeadOffs {
    /// `off_p` and `off_n` are electrodes that came off, beside those that `electrodes` says are.
    pub(super) fn new(
        registers: &Registers,
        electrodes: &[Electrode; 8],
        off_p: u8,
        off_n: u8,
        board: &Board,
    ) -> LeadOffs {
        let loff = registers.get(LOFF);
        let half_ticks = match loff & 0x03 {
            0 => 0,
            1 => 1 << 17,
            2 => 1 << 15,
            _ => 2 * u64::from(registers.period_ticks()),
        };
        let amperes = [6e-9, 24e-9, 6e-6, 24e-6][usize::from(loff >> 2 & 0x03)] * board.lead_off_scale;
        // COMP_TH of the upper side; the lower one is as far from the other rail.
        let upper = [0.95, 0.925, 0.90, 0.875, 0.85, 0.80, 0.75, 0.70][usize::from(loff >> 5)];
        let compares = registers.get(CONFIG4) & 0x02 != 0 && half_ticks == 0;
        let mut all = LeadOffs { channels: [LeadOff::default(); 8], half_ticks, stat_p: 0, stat_n: 0 };
        for (i, (channel, electrode)) in all.channels.iter_mut().zip(electrodes).enumerate() {
            let has = |bits: u8| bits >> i & 1 != 0;
            let sign = if has(registers.get(LOFF_FLIP)) { -1.0 } else { 1.0 };
            let (is_off_p, is_off_n) = (electrode.off_p || has(off_p), electrode.off_n || has(off_n));
            let mut volts = 0.0;
            for (sensed, is_off, ohm, stat) in [
                (has(registers.get(LOFF_SENSP)), is_off_p, electrode.ohm_p, &mut all.stat_p),
                (has(registers.get(LOFF_SENSN)), is_off_n, electrode.ohm_n, &mut all.stat_n),
            ] {
                channel.floats |= is_off && !sensed;
                if !sensed {
                    continue;
                }
                // The currents of both sides add up in the difference of the two inputs. Each input is in the middle
                // of the supply without them.
                let side = amperes * if is_off { OPEN_OHM } else { ohm };
                volts += sign * side;
                let part = side / board.avdd_v;
                *stat |= u8::from(compares && part > upper - 0.5) << i;
            }
            let uv = if half_ticks == 0 { &mut channel.dc_uv } else { &mut channel.ac_uv };
            *uv = volts * 1e6;
        }
        all
    }
}
