//! From keys to the board that they describe; only right where nothing was refused.

use super::board::{BiasDrive, Board, ChannelSetup, LeadOff, LeadOffMode, Sides};
use super::keys::{BiasDriveKey, ChannelKeys, ChannelTables, Inputs, Keys, LeadOffKeys, ModelKey, Reference, TypeKey};
use super::layout::Layout;
use super::registers::Model;
use super::settings::CHIPS_MAX;
use crate::block::ChannelType;
use crate::config::AutoOr;

impl Keys {
    /// The member that all chips are.
    pub(super) fn model(&self) -> Model {
        match self.model {
            ModelKey::Eight => Model::Ads1299,
            ModelKey::Six => Model::Ads1299_6,
            ModelKey::Four => Model::Ads1299_4,
        }
    }
}

/// The board, with its chips on `n_selects` chip selects.
pub(super) fn board(keys: &Keys, lead_off: &LeadOffKeys, tables: &ChannelTables, n_selects: usize) -> Board {
    let models = vec![keys.model(); keys.n_chips.clamp(1, CHIPS_MAX)];
    let gap_bits = match keys.gap_bits {
        AutoOr::Auto => None,
        AutoOr::Value(gap_bits) => Some(gap_bits.min(1)),
    };
    let layout = Layout::new(models, keys.topology, n_selects, gap_bits.unwrap_or(0));
    // While it is off the bits that a channel has of its own would still switch its current sources on.
    let watches = lead_off.mode != LeadOffMode::Off;
    let nothing = ChannelKeys::default();
    let channels = (0..layout.n_channels())
        .map(|i| {
            let own = tables.get(&(i + 1)).unwrap_or(&nothing);
            let power = own.power.unwrap_or(keys.power);
            ChannelSetup {
                name: own
                    .name
                    .clone()
                    .or_else(|| keys.channels.get(i).cloned())
                    .unwrap_or_else(|| format!("Ch{}", i + 1)),
                kind: own.r#type.unwrap_or(keys.r#type).into(),
                group: own.group.clone().unwrap_or_else(|| keys.group.clone()),
                gain: own.gain.unwrap_or(keys.gain),
                input: own.input.unwrap_or(keys.input),
                power,
                srb2: own.srb2.unwrap_or(keys.srb2),
                bias: own.bias_inputs.unwrap_or(keys.bias_inputs).into(),
                lead_off: match own.lead_off_inputs {
                    _ if !power || !watches => Sides::NONE,
                    inputs => inputs.unwrap_or(lead_off.inputs).into(),
                },
                lead_off_flip: watches && own.lead_off_flip.unwrap_or(false),
            }
        })
        .collect();
    Board {
        layout,
        gap_bits,
        rate_hz: keys.rate_hz,
        spi_clock_hz: keys.spi_clock_hz,
        read_mode: keys.read_mode,
        channels,
        vref_v: keys.vref_v,
        internal_reference: keys.reference == Reference::Internal,
        clock: keys.clock,
        srb1: keys.srb1,
        bias_drive: match keys.bias_drive {
            BiasDriveKey::Off => BiasDrive::Off,
            BiasDriveKey::All => BiasDrive::All,
            BiasDriveKey::Chip(chip) => BiasDrive::Chip(chip - 1),
        },
        lead_off: LeadOff {
            mode: lead_off.mode,
            current_na: lead_off.current_na,
            comparator_percent: lead_off.comparator_percent,
            calibration: lead_off.calibration,
            series_ohms: lead_off.series_ohms,
        },
        trigger_pins: pin_bits(&keys.trigger_pins),
        high_pins: pin_bits(&keys.high_pins),
        self_test: keys.self_test,
    }
}

/// GPIO1 in bit 0.
fn pin_bits(pins: &[u8]) -> u8 {
    pins.iter().filter(|pin| (1..=4).contains(*pin)).fold(0, |bits, pin| bits | 1 << (pin - 1))
}

impl From<Inputs> for Sides {
    fn from(inputs: Inputs) -> Sides {
        Sides {
            positive: matches!(inputs, Inputs::Positive | Inputs::Both),
            negative: matches!(inputs, Inputs::Negative | Inputs::Both),
        }
    }
}

impl From<TypeKey> for ChannelType {
    fn from(key: TypeKey) -> ChannelType {
        match key {
            TypeKey::Eeg => ChannelType::Eeg,
            TypeKey::Eog => ChannelType::Eog,
            TypeKey::Ecg => ChannelType::Ecg,
            TypeKey::Emg => ChannelType::Emg,
            TypeKey::Misc => ChannelType::Misc,
        }
    }
}
