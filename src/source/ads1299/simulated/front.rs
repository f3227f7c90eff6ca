//! The analogue side of one chip: what each channel's converter sees, by its CHnSET register.

use super::registers::{CH1SET, Registers};
use super::setup::{ChipSetup, Setup};
use super::signal::Signal;
use crate::source::synthetic::counter_code;

/// What a channel converts.
#[derive(Debug, Clone, Copy)]
enum Feed {
    /// Powered down: its slot reads 0.
    Off,
    /// The counter.
    Counter,
    /// 0 V.
    Still,
}

#[derive(Debug)]
pub(super) struct Front {
    counts: bool,
    n_channels: usize,
    first_channel: usize,
    feeds: [Feed; 8],
}

impl Front {
    pub(super) fn new(setup: &Setup, chip: &ChipSetup, first_channel: usize, registers: &Registers) -> Front {
        let mut front = Front {
            counts: setup.signal == Signal::Counter,
            n_channels: chip.model.n_channels(),
            first_channel,
            feeds: [Feed::Off; 8],
        };
        front.retune(registers, 0);
        front
    }

    /// Registers were written.
    pub(super) fn retune(&mut self, registers: &Registers, _at_ns: u64) {
        for (feed, address) in self.feeds[..self.n_channels].iter_mut().zip(CH1SET..) {
            let value = registers.get(address);
            *feed = match value & 0x87 {
                0x00 if self.counts => Feed::Counter,
                0x00..0x80 => Feed::Still,
                _ => Feed::Off,
            };
        }
    }

    /// The codes of the conversion with this index, 0 for channels that the model does not have.
    pub(super) fn codes(&mut self, index: u64, _at_ns: u64) -> [i32; 8] {
        let mut codes = [0; 8];
        for (channel, (code, feed)) in (self.first_channel..).zip(codes.iter_mut().zip(&self.feeds)) {
            *code = match feed {
                Feed::Off | Feed::Still => 0,
                Feed::Counter => counter_code(index, channel),
            };
        }
        codes
    }
}
