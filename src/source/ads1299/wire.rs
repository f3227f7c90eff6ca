//! The wires between the driver and the chips: SPI with its chip selects, the DRDY edge, the control pins, and the
//! clock that edges are stamped with. The driver knows no more of the outside world than this trait; below it stand
//! Linux's interfaces or the simulated chain, which on a virtual clock makes hours pass in seconds.

use std::sync::atomic::{AtomicBool, Ordering};

/// A clock of 1 Hz and above.
pub type Hz = u32;

/// A falling edge of DRDY as the kernel saw it (Linux GPIO character device, version 2 events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edge {
    /// When the hard interrupt ran, `CLOCK_MONOTONIC`, nanoseconds: never before the edge itself.
    pub at_ns: u64,
    /// DRDY edges that the hard interrupt counted so far, this one included, wrapping. Jumps by more than one where
    /// edges came before the kernel's thread could make events of them.
    pub n_interrupts: u32,
    /// Events of DRDY that the kernel made so far, this one included, wrapping. Jumps by more than one where the
    /// kernel's queue overflowed.
    pub n_events: u32,
}

/// A control pin of the chips, shared by all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// START: converts while high.
    Start,
    /// RESET, active low.
    Reset,
    /// PWDN, active low.
    PowerDown,
}

/// One SPI transfer: chip select low, all bytes in both directions, chip select high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The chip select, an index into the layout's list of selects.
    pub select: usize,
    /// The clock asked for; the controller may take a slower step.
    pub clock_hz: Hz,
    /// How long the select stays low after the last clock edge, in microseconds.
    pub hold_us: u16,
}

/// What a wire refused. Small and without text, so that it can leave the real-time thread; people read its `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The transfer failed with this `errno`.
    #[error("the SPI transfer failed: {}", std::io::Error::from_raw_os_error(*.0))]
    Spi(i32),
    /// The controller gave up waiting (`ETIMEDOUT`): a hard fault, the device must be opened again.
    #[error("the SPI controller timed out")]
    SpiTimeout,
    /// Fewer bytes came than were asked for.
    #[error("the SPI transfer was short: {got} of {wanted} bytes")]
    Short {
        /// Bytes that came.
        got: usize,
        /// Bytes asked for.
        wanted: usize,
    },
    /// Reading edges, or setting a pin, failed with this `errno`.
    #[error("the GPIO line failed: {}", std::io::Error::from_raw_os_error(*.0))]
    Gpio(i32),
}

/// What the driver does with the wires. All of it is called on one thread.
pub trait Wire: Send {
    /// The clock of [`Edge::at_ns`].
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn now_ns(&self) -> u64;

    /// Waits until that instant.
    fn wait_until(&mut self, at_ns: u64);

    /// Sends `tx` and receives as many bytes into `rx`, which is as long, in SPI mode 1, most significant bit first.
    ///
    /// # Errors
    /// When the transfer failed; what is in `rx` then means nothing.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError>;

    /// Takes the oldest edge that was not taken yet; waits for one until `deadline_ns`, `None` when none came. A
    /// deadline in the past does not wait.
    ///
    /// # Errors
    /// When the line cannot be read any more.
    ///
    /// Real time: no allocation, no locks, no logging; waits for DRDY alone.
    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError>;

    /// Sets a control pin. Only pins that [`Wire::has_pin`] are set.
    ///
    /// # Errors
    /// When the line cannot be set.
    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError>;

    /// Whether the pin is wired to this machine.
    fn has_pin(&self, pin: Pin) -> bool;

    /// The clock that the controller makes of `clock_hz`.
    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz;

    /// The next START is the run's own, and not one of start-up: its first conversion has index 0. Said again where that
    /// START is made again. Only a simulated bench wants to know, which counts conversions and plans faults from there on.
    fn run_begins(&mut self) {}

    /// Opens SPI and lines again after a hard fault. What an [`Edge`] counts goes on where it was.
    ///
    /// # Errors
    /// When they are not there.
    fn reopen(&mut self) -> Result<(), WireError>;
}

/// Wires of which every transfer and every edge is refused with `EINTR` as soon as a flag is set: whoever proves a board step
/// by step, for seconds, ends at the next one.
pub struct UntilStopped<'a> {
    /// The wires.
    pub wire: &'a mut dyn Wire,
    /// Set by a signal's handler. `Relaxed`: it orders nothing, and is read again at the next step.
    pub stop: &'a AtomicBool,
}

/// `EINTR`.
const INTERRUPTED: i32 = 4;

impl UntilStopped<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Wire for UntilStopped<'_> {
    fn now_ns(&self) -> u64 {
        self.wire.now_ns()
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.wire.wait_until(at_ns);
    }

    fn transfer(&mut self, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
        if self.is_stopped() { Err(WireError::Spi(INTERRUPTED)) } else { self.wire.transfer(shape, tx, rx) }
    }

    fn wait_edge(&mut self, deadline_ns: u64) -> Result<Option<Edge>, WireError> {
        if self.is_stopped() { Err(WireError::Gpio(INTERRUPTED)) } else { self.wire.wait_edge(deadline_ns) }
    }

    fn set_pin(&mut self, pin: Pin, high: bool) -> Result<(), WireError> {
        self.wire.set_pin(pin, high)
    }

    fn has_pin(&self, pin: Pin) -> bool {
        self.wire.has_pin(pin)
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        self.wire.effective_clock_hz(clock_hz)
    }

    fn run_begins(&mut self) {
        self.wire.run_begins();
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        self.wire.reopen()
    }
}

/// No wires: what a source has until it is proven. Everything is refused with `ENODEV`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwired;

/// `ENODEV`.
const NO_DEVICE: i32 = 19;

impl Wire for Unwired {
    fn now_ns(&self) -> u64 {
        crate::rt::now_ns()
    }

    fn wait_until(&mut self, at_ns: u64) {
        std::thread::park_timeout(std::time::Duration::from_nanos(at_ns.saturating_sub(self.now_ns())));
    }

    fn transfer(&mut self, _: Shape, _: &[u8], _: &mut [u8]) -> Result<(), WireError> {
        Err(WireError::Spi(NO_DEVICE))
    }

    fn wait_edge(&mut self, _: u64) -> Result<Option<Edge>, WireError> {
        Err(WireError::Gpio(NO_DEVICE))
    }

    fn set_pin(&mut self, _: Pin, _: bool) -> Result<(), WireError> {
        Err(WireError::Gpio(NO_DEVICE))
    }

    fn has_pin(&self, _: Pin) -> bool {
        false
    }

    fn effective_clock_hz(&self, clock_hz: Hz) -> Hz {
        clock_hz
    }

    fn reopen(&mut self) -> Result<(), WireError> {
        Err(WireError::Spi(NO_DEVICE))
    }
}
