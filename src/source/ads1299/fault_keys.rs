//! `[[source.simulated.fault]]`: one fault of the simulator's menu, and when it strikes.

use serde::Deserialize;

use super::registers::Model;
use super::settings::CHIPS_MAX;
use super::simulated::{Fault, Planned, Side, When, Which};
use crate::config::{Mistakes, Table};

/// Frames that a fault lasts where the table does not say.
const FRAMES: u64 = 4000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    RegsRevert,
    Zeros,
    NibbleBad,
    StuckFrame,
    StuckChannel,
    Rail,
    ElectrodeOff,
    NoClock,
    ClockStep,
    GapBits,
    BitShift,
    MisoFloat,
    SpiError,
    SpiTimeout,
    ShortRead,
    DrdyDropped,
    DrdyCoalesced,
    DrdyMerged,
    DrdySpurious,
    WakeLate,
    Gpio,
}

/// The keys of the table. What a fault does not need is not looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultKeys {
    what: What,
    at_frame: Option<u64>,
    chance: Option<f64>,
    #[serde(default = "first")]
    chip: usize,
    #[serde(default = "first")]
    channel: usize,
    #[serde(default = "frames")]
    frames: u64,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    ppm: f64,
    #[serde(default = "late_us")]
    late_us: u32,
    #[serde(default = "first")]
    bits: usize,
    #[serde(default)]
    level: u8,
}

const fn first() -> usize {
    1
}

const fn one() -> u32 {
    1
}

const fn late_us() -> u32 {
    36_802
}

const fn frames() -> u64 {
    FRAMES
}

impl FaultKeys {
    /// Reads one table about one of these `chips`; where there are none they have mistakes of their own.
    pub(super) fn read(table: &Table<'_>, chips: &[Model], mistakes: &mut Mistakes) -> Option<Planned> {
        let keys: FaultKeys = table.read(mistakes)?;
        let when = match (keys.at_frame, keys.chance) {
            (Some(frame), None) => When::Conversion(frame),
            (None, Some(chance)) if (0.0..=1.0).contains(&chance) => When::Chance(chance),
            (None, Some(chance)) => {
                table.refuse(mistakes, "chance", format!("chance = {chance} must be 0 to 1, for each conversion"));
                return None;
            }
            _ => {
                table.refuse(mistakes, "at_frame", "a fault needs either at_frame or chance");
                return None;
            }
        };
        let n_chips = if chips.is_empty() { CHIPS_MAX } else { chips.len() };
        let n_channels = chips.first().map_or(8, |model| model.n_channels());
        for (key, value, most) in [("chip", keys.chip, n_chips), ("channel", keys.channel, n_channels)] {
            if !(1..=most).contains(&value) {
                table.refuse(mistakes, key, format!("{key} = {value} must be 1 to {most}"));
                return None;
            }
        }
        let (ppm, bits, late_us) = (keys.ppm, keys.bits, keys.late_us);
        for (key, right, text) in [
            ("ppm", (-25_000.0..=25_000.0).contains(&ppm), format!("ppm = {ppm} must be -25000 to 25000")),
            ("bits", (1..=215).contains(&bits), format!("bits = {bits} must be 1 to 215")),
            ("late_us", late_us <= 60_000_000, format!("late_us = {late_us} must be 0 to 60000000, a minute")),
        ] {
            if !right {
                table.refuse(mistakes, key, text);
                return None;
            }
        }
        Some(Planned { when, fault: keys.fault() })
    }

    fn fault(&self) -> Fault {
        let (chip, channel, n) = (self.chip - 1, self.channel - 1, self.frames);
        match self.what {
            What::RegsRevert => Fault::Revert { chips: Which::Chip(chip) },
            What::Zeros => Fault::Zeros { chip, n },
            What::NibbleBad => Fault::NibbleBad { chip, n },
            What::StuckFrame => Fault::FrameStuck { chip, n },
            What::StuckChannel => Fault::ChannelStuck { chip, channel, n },
            What::Rail => Fault::Rail { chip, channel, negative: false, n },
            What::ElectrodeOff => Fault::ElectrodeOff { chip, channel, side: Side::P, n },
            What::NoClock => Fault::NoClock { chips: Which::All, n },
            What::ClockStep => Fault::ClockOff { ppm: self.ppm, n },
            What::GapBits => Fault::GapBits { bits: self.bits.min(1), n },
            What::BitShift => Fault::BitShift { select: 0, bits: self.bits, n },
            What::MisoFloat => Fault::Float { select: 0, level: self.level, n },
            What::SpiError => Fault::TransferFails { errno: 5, n_transfers: self.count },
            What::SpiTimeout => Fault::TransferTimesOut { n_transfers: self.count },
            What::ShortRead => Fault::TransferShort { n_transfers: self.count },
            What::DrdyDropped => Fault::EdgesDropped { n_edges: self.count },
            What::DrdyCoalesced => Fault::EdgesCoalesced { n_edges: self.count },
            What::DrdyMerged => Fault::EdgesMerged { n_edges: self.count },
            What::DrdySpurious => Fault::EdgeSpurious,
            What::WakeLate => Fault::WakeLate { us: self.late_us },
            What::Gpio => Fault::Gpio { chip, levels: self.level },
        }
    }
}
