//! `[[source.simulated.fault]]`: one fault of the simulator's menu, and when it strikes.

use serde::Deserialize;

use super::layout::Layout;
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
    Constant,
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
    BrownOut,
    WrongId,
    WriteDropped,
    SdatacIgnored,
    StartBounces,
    DrdyJitter,
}

/// The keys of the table. What a fault does not need is not looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultKeys {
    what: What,
    at_frame: Option<u64>,
    chance: Option<f64>,
    #[serde(default)]
    at_start: bool,
    chip: Option<usize>,
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
    #[serde(default)]
    code: i32,
    #[serde(default)]
    negative: bool,
    #[serde(default = "first")]
    select: usize,
    #[serde(default = "ch1set")]
    register: u8,
}

const fn first() -> usize {
    1
}

const fn ch1set() -> u8 {
    0x05
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
    /// Reads one table about the chips of this `layout`; where there is none they have mistakes of their own.
    pub(super) fn read(table: &Table<'_>, layout: Option<&Layout>, mistakes: &mut Mistakes) -> Option<Planned> {
        let keys: FaultKeys = table.read(mistakes)?;
        let when = match (keys.at_frame, keys.chance) {
            (None, None) if keys.at_start => When::PowerUp,
            (Some(frame), None) if !keys.at_start => When::Conversion(frame),
            (None, Some(chance)) if !keys.at_start && (0.0..=1.0).contains(&chance) => When::Chance(chance),
            (None, Some(chance)) if !keys.at_start => {
                table.refuse(mistakes, "chance", format!("chance = {chance} must be 0 to 1, for each conversion"));
                return None;
            }
            _ => {
                table.refuse(mistakes, "at_frame", "a fault needs either at_frame, chance or at_start");
                return None;
            }
        };
        let n_chips = layout.map_or(CHIPS_MAX, Layout::n_chips);
        let n_selects = layout.map_or(CHIPS_MAX, |layout| layout.selects.len());
        let n_channels = layout.and_then(|layout| layout.models.first()).map_or(8, |model| model.n_channels());
        for (key, value, most) in [
            ("chip", keys.chip.unwrap_or(1), n_chips),
            ("channel", keys.channel, n_channels),
            ("select", keys.select, n_selects),
        ] {
            if !(1..=most).contains(&value) {
                table.refuse(mistakes, key, format!("{key} = {value} must be 1 to {most}"));
                return None;
            }
        }
        let (ppm, bits, late_us, code) = (keys.ppm, keys.bits, keys.late_us, keys.code);
        let bits_right = if keys.what == What::GapBits { 0..=1 } else { 1..=215 };
        let (least, most) = (bits_right.start(), bits_right.end());
        for (key, right, text) in [
            ("ppm", (-25_000.0..=25_000.0).contains(&ppm), format!("ppm = {ppm} must be -25000 to 25000")),
            ("bits", bits_right.contains(&bits), format!("bits = {bits} must be {least} to {most}")),
            ("frames", keys.frames > 0, "frames = 0 must be 1 or more: it would not strike at all".to_owned()),
            ("count", keys.count > 0, "count = 0 must be 1 or more: it would not strike at all".to_owned()),
            ("code", code >> 23 == code >> 31, format!("code = {code} must be -8388608 to 8388607, 24 bits")),
            ("register", keys.register < 0x18, format!("register = {} must be 0 to 23, 00h to 17h", keys.register)),
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
        let (chip, channel, n) = (self.chip.unwrap_or(1) - 1, self.channel - 1, self.frames);
        let (chips, select) = (self.chip.map_or(Which::All, |_| Which::Chip(chip)), self.select - 1);
        match self.what {
            What::RegsRevert => Fault::Revert { chips: Which::Chip(chip) },
            What::Zeros => Fault::Zeros { chip, n },
            What::NibbleBad => Fault::NibbleBad { chip, n },
            What::StuckFrame => Fault::FrameStuck { chip, n },
            What::StuckChannel => Fault::ChannelStuck { chip, channel, n },
            What::Rail => Fault::Rail { chip, channel, negative: self.negative, n },
            What::Constant => Fault::Constant { chip, from_channel: channel, code: self.code, n },
            What::ElectrodeOff => {
                let side = if self.negative { Side::N } else { Side::P };
                Fault::ElectrodeOff { chip, channel, side, n }
            }
            What::NoClock => Fault::NoClock { chips, n },
            What::ClockStep => Fault::ClockOff { ppm: self.ppm, n },
            What::GapBits => Fault::GapBits { bits: self.bits, n },
            What::BitShift => Fault::BitShift { select, bits: self.bits, n },
            What::MisoFloat => Fault::Float { select, level: self.level, n },
            What::SpiError => Fault::TransferFails { errno: 5, n_transfers: self.count },
            What::SpiTimeout => Fault::TransferTimesOut { n_transfers: self.count },
            What::ShortRead => Fault::TransferShort { n_transfers: self.count },
            What::DrdyDropped => Fault::EdgesDropped { n_edges: self.count },
            What::DrdyCoalesced => Fault::EdgesCoalesced { n_edges: self.count },
            What::DrdyMerged => Fault::EdgesMerged { n_edges: self.count },
            What::DrdySpurious => Fault::EdgeSpurious,
            What::WakeLate => Fault::WakeLate { us: self.late_us },
            What::Gpio => Fault::Gpio { chip, levels: self.level },
            What::BrownOut => Fault::BrownOut { chips },
            What::WrongId => Fault::WrongId { chip, id: self.level },
            What::WriteDropped => Fault::WritesDropped { chip, address: self.register, n_writes: self.count },
            What::SdatacIgnored => Fault::SdatacIgnored { chip, n_commands: self.count },
            What::StartBounces => Fault::StartBounces { for_us: self.late_us },
            What::DrdyJitter => Fault::EdgeJitter { jitter_ns: u64::from(self.late_us) * 1000, n },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Topology;
    use super::super::registers::Model;
    use super::*;
    use crate::config::Document;

    fn read(text: &str) -> Result<Planned, String> {
        let document = Document::parse("rig.toml", text).unwrap();
        let mut mistakes = Mistakes::new("rig.toml");
        let table = document.root().clone();
        let layout = Layout::new(vec![Model::Ads1299; 4], Topology::Cascade, 4, 0);
        FaultKeys::read(&table, Some(&layout), &mut mistakes).ok_or(mistakes.to_string())
    }

    fn planned(text: &str) -> Planned {
        read(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"))
    }

    #[test]
    fn every_fault_can_be_written() {
        let at = "at_frame = 7\n";
        for (text, fault) in [
            ("what = \"no_clock\"\nframes = 9", Fault::NoClock { chips: Which::All, n: 9 }),
            ("what = \"no_clock\"\nchip = 2\nframes = 9", Fault::NoClock { chips: Which::Chip(1), n: 9 }),
            ("what = \"brown_out\"\nchip = 3", Fault::BrownOut { chips: Which::Chip(2) }),
            ("what = \"regs_revert\"", Fault::Revert { chips: Which::Chip(0) }),
            ("what = \"wrong_id\"\nchip = 4\nlevel = 0x92", Fault::WrongId { chip: 3, id: 0x92 }),
            (
                "what = \"write_dropped\"\nregister = 0x14\ncount = 3",
                Fault::WritesDropped { chip: 0, address: 0x14, n_writes: 3 },
            ),
            ("what = \"sdatac_ignored\"\ncount = 2", Fault::SdatacIgnored { chip: 0, n_commands: 2 }),
            ("what = \"start_bounces\"\nlate_us = 50", Fault::StartBounces { for_us: 50 }),
            ("what = \"drdy_jitter\"\nlate_us = 30\nframes = 5", Fault::EdgeJitter { jitter_ns: 30_000, n: 5 }),
            ("what = \"gap_bits\"\nbits = 0\nframes = 1", Fault::GapBits { bits: 0, n: 1 }),
            ("what = \"bit_shift\"\nselect = 2\nframes = 1", Fault::BitShift { select: 1, bits: 1, n: 1 }),
            ("what = \"miso_float\"\nselect = 4\nframes = 1", Fault::Float { select: 3, level: 0, n: 1 }),
            ("what = \"rail\"\nnegative = true\nframes = 1", Fault::Rail { chip: 0, channel: 0, negative: true, n: 1 }),
            (
                "what = \"electrode_off\"\nnegative = true\nframes = 1",
                Fault::ElectrodeOff { chip: 0, channel: 0, side: Side::N, n: 1 },
            ),
            (
                "what = \"constant\"\nchannel = 3\ncode = -7\nframes = 1",
                Fault::Constant { chip: 0, from_channel: 2, code: -7, n: 1 },
            ),
            ("what = \"gpio\"\nlevel = 5", Fault::Gpio { chip: 0, levels: 5 }),
        ] {
            assert_eq!(planned(&format!("{at}{text}")), Planned { when: When::Conversion(7), fault }, "{text}");
        }
        assert_eq!(planned("at_start = true\nwhat = \"wrong_id\"").when, When::PowerUp);
        for (text, mistake) in [
            ("at_frame = 1\nat_start = true", "a fault needs either at_frame, chance or at_start"),
            ("chance = 0.5\nat_start = true", "a fault needs either at_frame, chance or at_start"),
            ("at_start = true\nregister = 24", "register = 24 must be 0 to 23, 00h to 17h"),
            ("at_frame = 1\nframes = 0", "frames = 0 must be 1 or more: it would not strike at all"),
            ("at_frame = 1\ncount = 0", "count = 0 must be 1 or more: it would not strike at all"),
            ("at_frame = 1\nselect = 5", "select = 5 must be 1 to 4"),
            ("at_frame = 1\ncode = 8388608", "code = 8388608 must be -8388608 to 8388607, 24 bits"),
            ("at_frame = 1\nbits = 216", "bits = 216 must be 1 to 215"),
        ] {
            let found = read(&format!("what = \"write_dropped\"\n{text}")).unwrap_err();
            assert!(found.contains(mistake), "{found}");
        }
        let found = read("at_frame = 1\nwhat = \"gap_bits\"\nbits = 9").unwrap_err();
        assert!(found.contains("bits = 9 must be 0 to 1"), "{found}");
    }
}
