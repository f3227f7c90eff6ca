//! The project's simulated chips, on the real clock and without mercy: a conversion that nobody reads in time is gone.

use biosigd::source::ads1299::simulated::{Chain, ChipSetup, HostDelays, Pins, SelectSetup, Setup, Signal};
use biosigd::source::ads1299::wire;
use serde_json::json;

use crate::board::{Board, Pin, Selected};
use crate::settings::{Settings, Topology};

pub(crate) struct Converters {
    chain: Chain,
    /// Else nothing brings the chips up.
    powered: bool,
    /// The frame that was read last.
    reading: Option<Reading>,
    n_doubtful: u64,
}

/// A frame on its way to the program, in a transfer for each select.
struct Reading {
    /// The select that was read first.
    first: usize,
    /// Bytes of each transfer.
    n_bytes: usize,
    /// When the conversion after the one that was the newest at its begin is complete.
    next_ns: u64,
    /// How long its last transfer is on the wire; `None` once the program has it.
    wire_ns: Option<u64>,
    /// It was counted as one in doubt.
    is_doubtful: bool,
}

/// How close to the next conversion a read is in doubt whatever else: the host's own doubt about when that is.
const DOUBT_NS: u64 = 30_000;

impl Converters {
    /// The chips of the settings, with their supplies up for as long as the machine is.
    pub(crate) fn new(settings: &Settings) -> Converters {
        let board = &settings.board;
        let chip = ChipSetup { clocked: board.clocked, ..ChipSetup::default() };
        let select = |n_chips| SelectSetup { bus: 0, chips: vec![chip.clone(); n_chips] };
        let setup = Setup {
            selects: match board.topology {
                Topology::Daisy => vec![select(board.n_chips)],
                Topology::Cascade => (0..board.n_chips).map(|_| select(1)).collect(),
            },
            gap_bits: board.gap_bits,
            pins: Pins {
                start: settings.start_line.is_some(),
                reset: settings.reset_line.is_some(),
                power_down: settings.power_down_line.is_some() || !board.powered,
            },
            ppm: board.clock_ppm,
            float: board.float,
            signal: Signal::Counter,
            // The rig's kernel has its own.
            delays: HostDelays { interrupt_ns: 0, jitter_ns: 0, thread_ns: 0, wake_ns: 0, read_ns: 0, transfer_ns: 0 },
            ..Setup::default()
        };
        let mut chain = Chain::new(&setup);
        if !board.powered {
            chain.set_pin(0, wire::Pin::PowerDown, false);
        }
        Converters { chain, powered: board.powered, reading: None, n_doubtful: 0 }
    }
}

impl Board for Converters {
    fn next_edge_ns(&self) -> Option<u64> {
        // Not the next conversion alone: a transfer takes the chips past conversions whose edges are still to come.
        Some(self.chain.next_ns()).filter(|at_ns| *at_ns != u64::MAX)
    }

    fn advance(&mut self, now_ns: u64, edge: &mut dyn FnMut(u64)) {
        loop {
            // One step after the other, so that the chain's own queue of events never fills.
            let at_ns = self.chain.next_ns().min(now_ns);
            while let Some(fell) = self.chain.take_edge(at_ns) {
                edge(fell.at_ns);
            }
            if self.chain.next_ns() > now_ns {
                return;
            }
        }
    }

    fn transfer(&mut self, selected: Selected, tx: &[u8], rx: &mut [u8]) {
        let Selected { at_ns, select, clock_hz, hold_us } = selected;
        let (next_ns, n_reads) = (self.chain.next_ns(), self.chain.truth().counts().n_reads);
        let (end_ns, outcome) = self.chain.transfer(at_ns, select, clock_hz, hold_us, tx, rx);
        outcome.expect("the board has as many selects as the settings name");
        let (n_bytes, wire_ns) = (tx.len(), Some(end_ns - at_ns));
        if self.chain.truth().counts().n_reads > n_reads {
            self.reading = Some(Reading { first: select, n_bytes, next_ns, wire_ns, is_doubtful: false });
        } else if let Some(reading) = &mut self.reading {
            // The same frame of another select, which may meet the next conversion though the first did not.
            if select != reading.first && n_bytes == reading.n_bytes {
                reading.wire_ns = wire_ns;
            }
        }
    }

    fn returned(&mut self, now_ns: u64) {
        let Some(reading) = &mut self.reading else { return };
        let Some(wire_ns) = reading.wire_ns.take() else { return };
        // For all that the program can know the frame was latched just before its bits came.
        if !reading.is_doubtful && now_ns - wire_ns + DOUBT_NS >= reading.next_ns {
            reading.is_doubtful = true;
            self.n_doubtful += 1;
        }
    }

    fn set_pin(&mut self, at_ns: u64, pin: Pin, high: bool) {
        let pin = match pin {
            Pin::PowerDown if !self.powered => return,
            Pin::Start => wire::Pin::Start,
            Pin::Reset => wire::Pin::Reset,
            Pin::PowerDown => wire::Pin::PowerDown,
        };
        self.chain.set_pin(at_ns, pin, high);
    }

    fn drdy(&self) -> bool {
        !self.chain.drdy_is_low()
    }

    fn truth(&self) -> serde_json::Value {
        let counts = self.chain.truth().counts();
        json!({
            "conversions": counts.n_conversions,
            "reads": counts.n_reads,
            "unread": counts.n_unread,
            "repeated": counts.n_repeated,
            // Reads that may have met the next conversion for all that the program can know.
            "doubtful": self.n_doubtful,
            "violations": counts.n_violations,
        })
    }
}
