//! What hangs on the wires, as the rig's kernel sees it.

use crate::converters::Converters;
use crate::loopback::Loopback;
use crate::settings::{Kind, Settings};

/// A control pin of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    Start,
    Reset,
    PowerDown,
}

/// One time of a chip select being low.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected {
    /// When the select falls, `CLOCK_MONOTONIC` in nanoseconds.
    pub(crate) at_ns: u64,
    /// Which one.
    pub(crate) select: usize,
    /// The clock on the wire.
    pub(crate) clock_hz: u32,
    /// How long the select stays low after the last bit.
    pub(crate) hold_us: u16,
}

/// A board. Times never go back.
pub(crate) trait Board: Send {
    /// The next falling edge of DRDY as far as can be known now; it comes unless a transfer or a pin changes that.
    fn next_edge_ns(&self) -> Option<u64>;

    /// Lets time pass up to `now_ns`; every falling edge of DRDY on the way goes to `edge`.
    fn advance(&mut self, now_ns: u64, edge: &mut dyn FnMut(u64));

    /// Clocks `tx` in and as many bytes out.
    fn transfer(&mut self, selected: Selected, tx: &[u8], rx: &mut [u8]);

    /// The transfer is over for the program too, which may be later than its last bit.
    fn returned(&mut self, now_ns: u64);

    /// A control pin changes.
    fn set_pin(&mut self, at_ns: u64, pin: Pin, high: bool);

    /// The level of DRDY.
    fn drdy(&self) -> bool;

    /// What the board itself knows of the run.
    fn truth(&self) -> serde_json::Value;
}

/// The board of the settings.
pub(crate) fn build(settings: &Settings) -> Box<dyn Board> {
    match settings.board.kind {
        Kind::Ads1299 => Box::new(Converters::new(settings)),
        Kind::Loopback => Box::new(Loopback::new(settings.board.rate_hz)),
    }
}
