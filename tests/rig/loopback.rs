//! No chip at all: a wire from MOSI to MISO, and a generator on DRDY that START lets run. What comes back is known
//! without any model of a converter.

use serde_json::json;

use crate::board::{Board, Pin, Selected};

pub(crate) struct Loopback {
    period_ns: f64,
    /// When START rose.
    started_ns: Option<u64>,
    /// Edges since then.
    n_edges: u64,
    /// Edges of all times.
    n_edges_total: u64,
    n_transfers: u64,
    resets: u64,
}

impl Loopback {
    pub(crate) fn new(rate_hz: f64) -> Loopback {
        Loopback { period_ns: 1e9 / rate_hz, started_ns: None, n_edges: 0, n_edges_total: 0, n_transfers: 0, resets: 0 }
    }
}

impl Board for Loopback {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours of nanoseconds")]
    fn next_edge_ns(&self) -> Option<u64> {
        let started_ns = self.started_ns?;
        Some(started_ns + ((self.n_edges + 1) as f64 * self.period_ns) as u64)
    }

    fn advance(&mut self, now_ns: u64, edge: &mut dyn FnMut(u64)) {
        while let Some(at_ns) = self.next_edge_ns().filter(|at_ns| *at_ns <= now_ns) {
            edge(at_ns);
            self.n_edges += 1;
            self.n_edges_total += 1;
        }
    }

    fn transfer(&mut self, _selected: Selected, tx: &[u8], rx: &mut [u8]) {
        self.n_transfers += 1;
        rx.copy_from_slice(tx);
    }

    fn returned(&mut self, _now_ns: u64) {}

    fn set_pin(&mut self, at_ns: u64, pin: Pin, high: bool) {
        match pin {
            Pin::Start if high => (self.started_ns, self.n_edges) = (Some(at_ns), 0),
            Pin::Start => self.started_ns = None,
            Pin::Reset => self.resets += u64::from(!high),
            Pin::PowerDown => {}
        }
    }

    fn drdy(&self) -> bool {
        true
    }

    fn truth(&self) -> serde_json::Value {
        json!({ "edges": self.n_edges_total, "transfers": self.n_transfers, "resets": self.resets })
    }
}
