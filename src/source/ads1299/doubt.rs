//! Why frames are not to be trusted, and how people are told.

use super::registers::name;
use crate::block::Stream;

/// Why frames are not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The sync nibble, an output's echo or a reserved bit was wrong; where the status word stood instead, in bits.
    Sync {
        /// The chip, from 0.
        chip: usize,
        /// The status word that was read.
        word: u32,
        /// Bits after its place at which the right word was found; negative before it.
        shift_bits: Option<i32>,
        /// All bits of the chip's part were 0, or all were 1, as in the word.
        flat: bool,
    },
    /// The chip gave the same frame again.
    SameFrame {
        /// The chip, from 0.
        chip: usize,
    },
    /// A channel gave the same code over and over.
    SameCode {
        /// The channel of the stream, from 0.
        channel: usize,
    },
    /// A register changed by itself.
    Register {
        /// The chip, from 0.
        chip: usize,
        /// Its address.
        address: usize,
        /// What it should hold.
        wanted: u8,
        /// What it holds.
        read: u8,
    },
    /// The read touched the next conversion.
    Torn,
    /// Edges come at a fraction of the rate.
    Rate,
}

impl Doubt {
    /// What was found, in words.
    #[must_use]
    pub fn text(&self, stream: &Stream) -> String {
        match *self {
            Doubt::Sync { chip, word: 0, flat: true, .. } => {
                format!(
                    "chip {}: every bit is 0: nothing drives its wire; look at power, clock, RESET and the chip select",
                    chip + 1
                )
            }
            Doubt::Sync { chip, flat: true, .. } => {
                format!(
                    "chip {}: every bit is 1: the wire floats high; look at DOUT's wire and at the chip select",
                    chip + 1
                )
            }
            Doubt::Sync { chip, word, shift_bits: Some(bits), .. } => {
                let (n_bits, where_to) = (bits.unsigned_abs(), if bits > 0 { "later" } else { "earlier" });
                let plural = if n_bits == 1 { "" } else { "s" };
                format!(
                    "chip {}: status word {word:#08X}, the right one stands {n_bits} bit{plural} {where_to}",
                    chip + 1
                )
            }
            Doubt::Sync { chip, word, shift_bits: None, .. } => format!("chip {}: status word {word:#08X}", chip + 1),
            Doubt::SameFrame { chip } => format!("chip {}: the same frame again", chip + 1),
            Doubt::SameCode { channel } => {
                let name = stream.channels.get(channel).map_or("?", |channel| channel.name.as_str());
                format!("channel {name}: the same code again and again")
            }
            Doubt::Register { chip, address, wanted, read } => {
                format!("chip {}: register {} reads {read:#04X} instead of {wanted:#04X}", chip + 1, name(address))
            }
            Doubt::Torn => "a read touched the next conversion".to_owned(),
            Doubt::Rate => "DRDY falls at a fraction of the rate: the chips may have lost their registers".to_owned(),
        }
    }
}
