//! What the electrodes see.

/// The analogue input of every channel whose MUX is at its electrode.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// Not a voltage but a code that anyone can check: [`crate::source::synthetic::counter_code`] of the conversion's
    /// index and the channel, counted through all chips. Takes no notice of gain, noise and electrodes.
    Counter,
    /// Nothing: 0 V.
    Still,
}
