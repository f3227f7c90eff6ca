//! The source: frames from the reader, checked, decoded and put into blocks; and what is done when chips or wires fail.
//!
//! The index of a frame is that of its conversion. What lies between two frames that were read is lost, by cause: a
//! transfer that failed is `spi`, everything between the last frame before and the first after the chips were set up again
//! is `reinit`, all else is `missed`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::board::{Board, LeadOffMode, ReadMode};
use super::check::Checker;
use super::clock::ConversionClock;
use super::control::{Control, command};
use super::fault::ProofError;
use super::impedance::Impedance;
use super::notes::{Doubt, Note, Notes, Teller};
use super::proof::{Proof, prove, set_up_again};
use super::readback::ReadBack;
use super::reader::{EdgeCounts, Frame, Read, Reader};
use super::registers::{CLOCK_HZ, Registers};
use super::wire::{Unwired, Wire, WireError};
use crate::block::{Cause, ChipStatus, End, Flags, Head, RawBlock, Stream, Tally};
use crate::rt::{Stop, utc_now_ns};
use crate::source::{Filled, MarkerOut, Opening, Pace, Signs, Slack, Source, SourceError, SpiErrorKind};

/// The longest wait for an edge before the loop turns, so that it can be seen to be alive and be told to stop.
const TURN_NS: u64 = 100_000_000;

/// This long without an edge, and the converter is set up again.
const SILENCE_NS: u64 = 500_000_000;

/// An episode of missed conversions has ended after this long without one.
const EPISODE_NS: u64 = 1_000_000_000;

/// So many frames of a chip in a row are suspect, and the chips are set up again.
const SUSPECT_FRAMES_MAX: u32 = 25;

/// So many conversions in a row whose transfer failed, and the device is opened again.
const FAILURES_MAX: u32 = 10;

/// The pause after the first attempt to set up that failed, and the longest, seconds. It doubles.
const PAUSE_S: (u64, u64) = (1, 60);

/// START must be placed within this part of a conversion, so that the first edge cannot be mistaken.
const START_DOUBT: f64 = 0.25;
const START_TRIES: usize = 10;

/// How long the source can be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: a chip has no memory.
    None,
    /// Like a FIFO of this length.
    Fifo(Duration),
    /// For ever: time stands while nobody reads.
    Forever,
}

/// Opens the wires, once, when the source is proven: `check` must not touch the hardware.
pub type OpenWire = Box<dyn FnOnce() -> Result<Box<dyn Wire>, SourceError> + Send>;

/// A chain of chips that converts.
pub struct Ads1299 {
    board: Board,
    stream: Stream,
    patience: Patience,
    wire: Box<dyn Wire>,
    open: Option<OpenWire>,
    wanted: Vec<Registers>,
    proof: Option<Proof>,
    reader: Reader,
    checker: Checker,
    read_back: ReadBack,
    impedance: Option<Impedance>,
    notes: Arc<Notes>,
    signs: Arc<Signs>,
    teller: Option<Teller>,
    /// The index of the next frame to be placed.
    next_frame: u64,
    lost: Tally,
    /// Read, and belonging to the next block, because frames are missing before it.
    pending: Option<Frame>,
    /// Conversions since the last placed frame whose transfer failed.
    failed: u64,
    failed_in_a_row: u32,
    /// For each chip, suspect frames in a row.
    suspect: Vec<u32>,
    n_suspect: u64,
    gpio_before: u8,
    trouble: Trouble,
    last_edge_ns: u64,
    stopped: bool,
}

/// What is done about chips that fail.
#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    /// To be set up again; and whether the device is to be opened again before.
    wanted: bool,
    reopen: bool,
    /// Set up, and no frame has been placed since.
    fresh: bool,
    /// The last attempt failed, or its chips fail again.
    pause_s: u64,
    again_ns: u64,
    /// When conversions were missed last: an episode ends with a second without.
    missed_ns: Option<u64>,
}

impl Ads1299 {
    /// A source over the wires that `open` opens when it is proven.
    #[must_use]
    pub fn new(board: Board, open: OpenWire, patience: Patience, opening: &Opening<'_>) -> Ads1299 {
        let stream = Stream {
            rate_hz: board.rate_hz,
            channels: board.stream_channels(),
            block_frames_max: opening.block_frames(board.rate_hz, Pace::Clock),
            ratio: 1,
            delay_s: 0.0,
        };
        let n_chips = board.layout.n_chips();
        let signs = Signs::new(n_chips, board.channels.len());
        for (electrodes, channel) in signs.electrodes.iter().zip(&board.channels) {
            electrodes.watched.store(channel.lead_off.any(), Ordering::Relaxed);
        }
        Ads1299 {
            wanted: (0..n_chips).map(|chip| board.registers(chip)).collect(),
            proof: None,
            reader: Reader::new(&board, ConversionClock::new(1e9 / board.rate_hz, 0, 0)),
            checker: Checker::new(&board),
            read_back: ReadBack::new(&board, &vec![false; n_chips]),
            impedance: Impedance::new(&board),
            notes: Arc::default(),
            signs: Arc::new(signs),
            teller: None,
            next_frame: 0,
            lost: Tally::default(),
            pending: None,
            failed: 0,
            failed_in_a_row: 0,
            suspect: vec![0; n_chips],
            n_suspect: 0,
            gpio_before: 0x0F,
            trouble: Trouble::default(),
            last_edge_ns: 0,
            stopped: false,
            board,
            stream,
            patience,
            wire: Box::new(Unwired),
            open: Some(open),
        }
    }

    /// What it has to tell, for who takes it instead of the thread that [`Source::connect`] makes.
    #[must_use]
    pub fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    /// How edges departed from conversions so far.
    #[must_use]
    pub fn edge_counts(&self) -> EdgeCounts {
        self.reader.counts()
    }

    /// The wires, for a test that asks the simulated chain what it did.
    pub fn wire_mut(&mut self) -> &mut dyn Wire {
        &mut *self.wire
    }

    /// Begins converting; answers when the first conversion will be. Tried again where the thread was held up in the
    /// middle of it.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the chips.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some milliseconds")]
    fn begin(&mut self) -> Result<u64, WireError> {
        let period_ns = self.reader.clock().period_ns();
        // Four conversions and nine cycles until the first that is settled (SBAS499C, tSETTLE).
        let settle_ns = (4.0 * period_ns + 9e9 / CLOCK_HZ) as u64;
        let mut control = Control { wire: &mut *self.wire, board: &self.board };
        if self.board.read_mode == ReadMode::Rdatac {
            control.command_all(command::RDATAC)?;
        }
        let mut tries = 1;
        loop {
            while control.wire.wait_edge(0)?.is_some() {}
            let before_ns = control.wire.now_ns();
            control.start()?;
            let took_ns = control.wire.now_ns() - before_ns;
            if took_ns as f64 <= START_DOUBT * period_ns.max(200_000.0) || tries == START_TRIES {
                return Ok(before_ns + settle_ns);
            }
            control.stop()?;
            let pause_us = (period_ns / 1e3) as u64 + 20;
            control.wait_us(pause_us);
            tries += 1;
        }
    }

    /// One frame, or what came instead.
    ///
    /// Real time: no allocation, no locks, no logging; waits for DRDY and the transfer alone.
    fn next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.pending.take() {
            return Some(frame);
        }
        let now_ns = self.wire.now_ns();
        match self.reader.next(&mut *self.wire, &self.board, now_ns + TURN_NS) {
            Ok(Read::Frame(frame)) => {
                self.failed_in_a_row = 0;
                self.last_edge_ns = frame.at_ns;
                return Some(frame);
            }
            Ok(Read::Nothing) => {
                if now_ns.saturating_sub(self.last_edge_ns) > SILENCE_NS && !self.trouble.wanted {
                    self.notes.note(Note::NoEdges { frame: self.next_frame });
                    self.trouble.wanted = true;
                }
            }
            Ok(Read::Failed(index, error)) => {
                self.last_edge_ns = now_ns;
                self.failed += 1;
                self.failed_in_a_row += 1;
                self.wire_failed(index, error);
            }
            Err(error) => {
                self.wire_failed(self.next_frame, error);
                (self.trouble.wanted, self.trouble.reopen) = (true, true);
            }
        }
        None
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn wire_failed(&mut self, frame: u64, error: WireError) {
        self.signs.spi_error(match error {
            WireError::SpiTimeout => SpiErrorKind::Timeout,
            WireError::Short { .. } => SpiErrorKind::Short,
            WireError::Spi(_) | WireError::Gpio(_) => SpiErrorKind::Io,
        });
        if self.failed_in_a_row <= 1 {
            self.notes.note(Note::Wire { frame, error });
        }
        if error == WireError::SpiTimeout || self.failed_in_a_row >= FAILURES_MAX {
            (self.trouble.wanted, self.trouble.reopen) = (true, true);
        }
    }

    /// Counts what lies between the last placed frame and `index` as lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn lose_until(&mut self, index: u64) {
        let n_frames = index - self.next_frame;
        if let Some(impedance) = self.impedance.as_mut().filter(|_| n_frames > 0) {
            impedance.begin_anew();
        }
        if self.trouble.fresh {
            self.lost.add(Cause::Reinit, n_frames);
            self.notes.note(Note::SetUp { frame: index, n_frames });
        } else if n_frames > 0 {
            let failed = self.failed.min(n_frames);
            let missed = n_frames - failed;
            self.lost.add(Cause::Spi, failed);
            self.lost.add(Cause::Missed, missed);
            if missed > 0 {
                let now_ns = self.wire.now_ns();
                if self.trouble.missed_ns.is_none_or(|last| now_ns - last > EPISODE_NS) {
                    self.notes.note(Note::Missed { frame: self.next_frame, n_frames: missed });
                }
                self.trouble.missed_ns = Some(now_ns);
            }
        }
        self.trouble.fresh = false;
        self.failed = 0;
        self.next_frame = index;
    }

    /// Decodes and checks a frame into row `n` of `block`; answers its flags.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn place(&mut self, frame: &Frame, block: &mut RawBlock, n: usize) -> Flags {
        let (n_channels, n_chips) = (self.board.channels.len(), self.board.layout.n_chips());
        let bytes = self.reader.bytes(frame);
        let mut flags = Flags::default();
        let mut suspects = false;
        for chip in 0..n_chips {
            let codes = &mut block.slab_mut()[n * n_channels..(n + 1) * n_channels];
            let finding = self.checker.check(chip, bytes, codes);
            let mut status = finding.status;
            let mut doubt = finding.doubt;
            if frame.torn {
                status = status.with(ChipStatus::SUSPECT);
                doubt = doubt.or(Some(Doubt::Torn));
            }
            block.status_mut()[n * n_chips + chip] = status.0;
            if status.has(ChipStatus::SUSPECT) {
                self.signs.sync_errors[chip].fetch_add(1, Ordering::Relaxed);
                self.suspect[chip] += 1;
                suspects = true;
                // A torn frame is the thread's lateness, not the chip's fault.
                if self.suspect[chip] >= SUSPECT_FRAMES_MAX && !frame.torn {
                    self.trouble.wanted = true;
                }
            } else {
                self.suspect[chip] = 0;
            }
            if let Some(doubt) = doubt {
                let stuck = matches!(doubt, Doubt::SameCode { .. });
                if stuck || (self.suspect[chip] == 1 && self.n_suspect == 0) {
                    let first = frame.index.saturating_sub(u64::from(finding.back));
                    self.notes.note(Note::Doubted { first, next: frame.index, doubt });
                }
            }
            if status.has(ChipStatus::SATURATED) {
                flags = flags.with(Flags::SATURATED);
            }
            if status.positive_off() | status.negative_off() != 0 {
                flags = flags.with(Flags::LEAD_OFF);
            }
            self.electrodes(chip, status);
        }
        if suspects {
            flags = flags.with(Flags::SUSPECT);
            self.n_suspect += 1;
        } else if self.n_suspect > 0 {
            self.notes.note(Note::Trusted { frame: frame.index, n_frames: self.n_suspect });
            self.n_suspect = 0;
            self.trouble.pause_s = 0;
            self.signs.failing.store(false, Ordering::Relaxed);
        }
        self.triggers(frame.index, ChipStatus(block.status_mut()[n * n_chips]));
        if let Some(impedance) = &mut self.impedance {
            impedance.take(&block.slab_mut()[n * n_channels..(n + 1) * n_channels], &self.signs);
        }
        flags
    }

    /// Real time: no allocation, no locks, no waiting, no logging.
    fn electrodes(&self, chip: usize, status: ChipStatus) {
        if self.board.lead_off.mode != LeadOffMode::Dc || status.has(ChipStatus::SUSPECT) {
            return;
        }
        let off = status.positive_off() | status.negative_off();
        for (i, channel) in self.board.channels_of(chip).enumerate() {
            self.signs.electrodes[channel].off.store(off >> i & 1 == 1, Ordering::Relaxed);
        }
    }

    /// Trigger inputs of the first chip that rose.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn triggers(&mut self, frame: u64, status: ChipStatus) {
        if self.board.trigger_pins == 0 || status.has(ChipStatus::SUSPECT) {
            return;
        }
        let gpio = status.gpio() & self.board.trigger_pins;
        let rose = gpio & !self.gpio_before;
        for pin in (1..=4_u8).filter(|pin| rose >> (pin - 1) & 1 == 1) {
            self.notes.note(Note::Trigger { frame, pin });
        }
        self.gpio_before = gpio;
    }

    /// Reads a register back where there is time for it before the next conversion.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    fn read_back(&mut self, frame: &Frame) {
        if self.board.read_mode != ReadMode::Rdata || !self.read_back.is_due(frame.index) {
            return;
        }
        let next_ns = self.reader.clock().instant_ns(frame.index + 1);
        if self.wire.now_ns() + ReadBack::TIME_NS > next_ns {
            return;
        }
        let mut control = Control { wire: &mut *self.wire, board: &self.board };
        match self.read_back.look(&mut control, &self.wanted, frame.index) {
            Ok(None) => {}
            Ok(Some((first, doubt))) => {
                self.notes.note(Note::Doubted { first, next: frame.index + 1, doubt });
                self.trouble.wanted = true;
            }
            Err(error) => {
                self.failed_in_a_row += 1;
                self.wire_failed(frame.index, error);
            }
        }
    }

    /// Sets the chips up again, if it is time to. True: frames can be expected.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn recover(&mut self) -> bool {
        let now_ns = self.wire.now_ns();
        if now_ns < self.trouble.again_ns {
            return false;
        }
        self.signs.failing.store(true, Ordering::Relaxed);
        self.signs.n_reinits.fetch_add(1, Ordering::Relaxed);
        self.notes.note(Note::SettingUp { frame: self.next_frame });
        let result = self.set_up();
        let trouble = &mut self.trouble;
        trouble.pause_s = (trouble.pause_s * 2).clamp(PAUSE_S.0, PAUSE_S.1);
        trouble.again_ns = self.wire.now_ns() + trouble.pause_s * 1_000_000_000;
        (trouble.wanted, trouble.reopen, trouble.fresh) = (false, false, true);
        self.suspect.fill(0);
        (self.failed, self.failed_in_a_row) = (0, 0);
        self.last_edge_ns = self.wire.now_ns();
        match result {
            Ok(()) => {
                // Not well until a frame has been seen to be good.
                self.n_suspect = self.n_suspect.max(1);
                true
            }
            Err(error) => {
                self.notes.note(Note::SetUpFailed { error, again_s: self.trouble.pause_s });
                // In a cascade the other chips may convert all the same: their data are worth having.
                error.chip().is_some() && self.start_again().is_ok()
            }
        }
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn set_up(&mut self) -> Result<(), ProofError> {
        let of_wire = |error| ProofError::Wire { chip: 0, error };
        if self.trouble.reopen {
            self.wire.reopen().map_err(of_wire)?;
        }
        let readable = self.read_back.readable();
        set_up_again(&mut *self.wire, &self.board, &self.wanted, readable)?;
        self.start_again().map_err(of_wire)
    }

    /// Real time: no allocation, no locks, no logging; waits for the chips.
    fn start_again(&mut self) -> Result<(), WireError> {
        let first_ns = self.begin()?;
        let index = self.reader.resume(first_ns);
        self.read_back.proven(index);
        Ok(())
    }
}

impl Source for Ads1299 {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn n_chips(&self) -> usize {
        self.board.layout.n_chips()
    }

    fn pace(&self) -> Pace {
        Pace::Clock
    }

    fn slack(&self) -> Slack {
        match self.patience {
            Patience::None => Slack::For(Duration::ZERO),
            Patience::Forever => Slack::Forever,
            Patience::Fifo(most) => {
                let next_ns = self.reader.clock().instant_ns(self.next_frame);
                let behind = Duration::from_nanos(crate::rt::now_ns().saturating_sub(next_ns));
                Slack::For(if self.last_edge_ns == 0 { most } else { most.saturating_sub(behind) })
            }
        }
    }

    fn prove(&mut self) -> Result<serde_json::Value, SourceError> {
        if let Some(open) = self.open.take() {
            self.wire = open()?;
        }
        let proof = prove(&mut *self.wire, &mut self.board)
            .map_err(|error| SourceError::Converter(format!("ads1299: {error}")))?;
        self.reader = Reader::new(&self.board, ConversionClock::new(1e9 / proof.rate_hz, 0, 0));
        self.checker = Checker::new(&self.board);
        self.read_back = ReadBack::new(&self.board, &proof.readable);
        let about = super::about::about(&self.board, &proof);
        self.proof = Some(proof);
        Ok(about)
    }

    fn signs(&self) -> Option<Arc<Signs>> {
        Some(Arc::clone(&self.signs))
    }

    fn start(&mut self) {
        match self.begin() {
            Ok(first_ns) => {
                self.reader =
                    Reader::new(&self.board, ConversionClock::new(self.reader.clock().period_ns(), 0, first_ns));
                self.read_back.proven(0);
            }
            Err(error) => {
                self.wire_failed(0, error);
                (self.trouble.wanted, self.trouble.reopen) = (true, true);
            }
        }
        self.last_edge_ns = self.wire.now_ns();
    }

    fn fill(&mut self, block: &mut RawBlock, stop: &Stop) -> Filled {
        if self.stopped {
            return Filled::End;
        }
        let mut flags = Flags::default();
        let (mut n, mut edge_ns) = (0, 0);
        while n < block.frames_max() {
            if stop.is_set() {
                self.stopped = true;
                break;
            }
            if self.trouble.wanted && n > 0 {
                break;
            }
            if self.trouble.wanted && self.recover() {
                continue;
            }
            let Some(frame) = self.next() else {
                // Frames wait for no others once the edges are late.
                if n == 0 || self.trouble.wanted || self.failed == 0 {
                    break;
                }
                continue;
            };
            if frame.index < self.next_frame {
                // Set up again within a conversion of the last frame; its index is given already.
                continue;
            }
            if n > 0 && frame.index != self.next_frame {
                self.pending = Some(frame);
                break;
            }
            self.lose_until(frame.index);
            if n == 0 {
                block.head = Head { first_frame: frame.index, lost: self.lost, ..Head::default() };
            }
            flags = flags.with(self.place(&frame, block, n));
            self.next_frame = frame.index + 1;
            edge_ns = frame.at_ns;
            n += 1;
            self.read_back(&frame);
        }
        if n == 0 {
            return if self.stopped { Filled::End } else { Filled::Nothing };
        }
        block.head.n_frames = n;
        block.head.flags = flags;
        block.head.edge_ns = edge_ns;
        block.head.edge_utc_ns = utc_now_ns().saturating_sub(self.wire.now_ns().saturating_sub(edge_ns));
        Filled::Frames
    }

    fn end(&self) -> End {
        End { next_frame: self.next_frame, lost: self.lost }
    }

    fn connect(&mut self, markers: MarkerOut) {
        match Teller::begin(&self.notes, &self.stream, markers) {
            Ok(teller) => self.teller = Some(teller),
            Err(error) => {
                tracing::error!("ads1299: no thread for notes can be made ({error}): no markers, no log lines")
            }
        }
    }
}
