//! The source: frames from the reader, checked, decoded and put into blocks; and what is done when chips or wires fail.
//!
//! The index of a frame is that of its conversion. What lies between two frames that were read is lost, by cause: a
//! transfer that failed is `spi`, everything between the last frame before and the first after the chips were set up again
//! is `reinit`, all else is `missed`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::account::ChipAccount;
use super::board::{Board, ReadMode};
use super::check::Checker;
use super::clock::ConversionClock;
use super::control::Control;
use super::impedance::Impedance;
use super::notes::{Note, Notes, Teller};
use super::proof::prove;
use super::readback::ReadBack;
use super::reader::{EdgeCounts, Frame, Read, Reader};
use super::registers::Registers;
use super::trouble::{SILENCE_NS, Trouble};
use super::wire::{UntilStopped, Unwired, Wire};
use crate::block::{Cause, End, Flags, Head, RawBlock, Stream, Tally};
use crate::rt::{Stop, utc_now_ns};
use crate::source::{ChipFault, Filled, MarkerOut, Opening, Pace, Signs, Slack, Source, SourceError};

/// The longest wait for an edge before the loop turns, so that it can be seen to be alive and be told to stop.
const TURN_NS: u64 = 100_000_000;

/// An episode has ended after this long without one.
const EPISODE_NS: u64 = 1_000_000_000;

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
    pub(super) board: Board,
    pub(super) stream: Stream,
    pub(super) patience: Patience,
    pub(super) wire: Box<dyn Wire>,
    pub(super) open: Option<OpenWire>,
    pub(super) wanted: Vec<Registers>,
    pub(super) reader: Reader,
    pub(super) checker: Checker,
    pub(super) read_back: ReadBack,
    pub(super) impedance: Option<Impedance>,
    pub(super) notes: Arc<Notes>,
    pub(super) signs: Arc<Signs>,
    pub(super) teller: Option<Teller>,
    /// The index of the next frame to be placed.
    pub(super) next_frame: u64,
    pub(super) lost: Tally,
    /// Read, and belonging to the next block, because frames are missing before it.
    pub(super) pending: Option<Frame>,
    /// Conversions since the last placed frame whose transfer failed.
    pub(super) failed: u64,
    pub(super) failed_in_a_row: u32,
    /// As counted up to the last placed frame.
    pub(super) edges_before: EdgeCounts,
    pub(super) accounts: Vec<ChipAccount>,
    pub(super) n_suspect: u64,
    pub(super) gpio_before: u8,
    pub(super) trouble: Trouble,
    pub(super) last_edge_ns: u64,
    pub(super) stopped: bool,
}

/// Whether something of a kind that came last at `last_ns` begins an episode of its own now.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub(super) fn begins_episode(last_ns: &mut Option<u64>, now_ns: u64) -> bool {
    last_ns.replace(now_ns).is_none_or(|last_ns| now_ns - last_ns > EPISODE_NS)
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
        super::shown::watch(&signs, &board);
        Ads1299 {
            wanted: (0..n_chips).map(|chip| board.registers(chip)).collect(),
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
            edges_before: EdgeCounts::default(),
            accounts: vec![ChipAccount::default(); n_chips],
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
                self.signs.silent.store(false, Ordering::Relaxed);
                return Some(frame);
            }
            Ok(Read::Nothing) => {
                if now_ns.saturating_sub(self.last_edge_ns) > SILENCE_NS {
                    self.fell_silent();
                }
            }
            Ok(Read::Failed(index, error)) => {
                self.last_edge_ns = now_ns;
                self.failed += 1;
                self.failed_in_a_row += 1;
                self.wire_failed(index, error);
            }
            Err(error) => {
                self.failed_in_a_row += 1;
                self.wire_failed(self.next_frame, error);
                self.trouble.reopen = true;
                self.hurry();
                // A line that refuses at once would be asked again at once, for as long as the pause takes.
                self.wire.wait_until(self.wire.now_ns() + self.period_ns());
            }
        }
        None
    }

    /// The time of a conversion.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some milliseconds")]
    fn period_ns(&self) -> u64 {
        self.reader.clock().period_ns() as u64
    }

    /// Counts what lies between the last placed frame and this one as lost.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    fn lose_before(&mut self, frame: &Frame) {
        let n_frames = frame.index - self.next_frame;
        if let Some(impedance) = self.impedance.as_mut().filter(|_| n_frames > 0) {
            impedance.begin_anew();
        }
        if n_frames > 0 && self.chips_were_down(frame) {
            // What they give has an index that is a guess, and perhaps the registers of a reset.
            self.trouble.distrusted[..self.accounts.len()].fill(true);
            self.trouble.unwell = true;
            self.set_up_now();
        }
        if self.trouble.fresh {
            self.notes.note(Note::SetUp { frame: frame.index, n_frames });
        }
        self.rate_of_edges(frame.index, self.reader.counts().unseen > self.edges_before.unseen);
        let never_made = self.never_made(frame.index);
        let failed = self.failed.min(n_frames - never_made);
        let missed = n_frames - never_made - failed;
        self.lost.add(Cause::Reinit, never_made);
        self.lost.add(Cause::Spi, failed);
        self.lost.add(Cause::Missed, missed);
        if missed > 0 {
            let how = self.reader.counts().miss_since(&self.edges_before);
            if begins_episode(&mut self.trouble.missed_ns[how as usize], self.wire.now_ns()) {
                self.notes.note(Note::Missed { frame: self.next_frame, n_frames: missed, how });
            }
        }
        self.trouble.fresh = false;
        self.failed = 0;
        self.next_frame = frame.index;
        self.edges_before = self.reader.counts();
    }

    /// Reads a register back where there is time for it before the next conversion.
    ///
    /// Real time: no allocation, no locks, no logging; waits for the transfer alone.
    fn read_back(&mut self, frame: &Frame) {
        // Chips that are known to be bad keep nobody from looking at the others.
        let distrusted = self.trouble.distrusted;
        let in_trouble = self.trouble.wanted && !distrusted.contains(&true);
        if self.board.read_mode != ReadMode::Rdata
            || in_trouble
            || !self.read_back.is_due(self.undisturbed(frame.index))
        {
            return;
        }
        let next_ns = self.reader.clock().instant_ns(frame.index + 1);
        if self.wire.now_ns() + ReadBack::TIME_NS > next_ns {
            if self.read_back.starves() {
                self.notes.note(Note::NotReadBack { frame: frame.index });
            }
            return;
        }
        let mut control = Control { wire: &mut *self.wire, board: &self.board };
        match self.read_back.look(&mut control, &self.wanted, frame.index, &distrusted) {
            Ok(None) => self.show_registers(),
            Ok(Some((first, chip, doubt))) => {
                self.notes.note(Note::Doubted { first, next: frame.index + 1, doubt });
                self.signs.chip_fails(chip, ChipFault::Register);
                (self.trouble.wanted, self.trouble.ask_ns, self.trouble.distrusted[chip]) = (true, 0, true);
            }
            Err(error) => {
                self.failed_in_a_row += 1;
                self.wire_failed(frame.index, error);
            }
        }
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

    fn prove(&mut self, stop: &AtomicBool) -> Result<serde_json::Value, SourceError> {
        if let Some(open) = self.open.take() {
            self.wire = open()?;
        }
        let proof = prove(&mut UntilStopped { wire: &mut *self.wire, stop }, &mut self.board)
            .map_err(|error| SourceError::Converter(format!("ads1299: {error}")))?;
        self.reader = Reader::new(&self.board, ConversionClock::new(1e9 / proof.rate_hz, 0, 0));
        self.checker = Checker::new(&self.board);
        self.checker.proven(&self.board, &proof.ones);
        self.read_back = ReadBack::new(&self.board, &proof.readable);
        self.show_proof(&proof);
        tracing::info!("ads1299: {}", super::about::in_a_line(&self.board, &proof));
        Ok(super::about::about(&self.board, &proof))
    }

    fn signs(&self) -> Option<Arc<Signs>> {
        Some(Arc::clone(&self.signs))
    }

    fn start(&mut self) {
        match self.begin(true) {
            Ok((first_ns, _)) => {
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
            // A frame that was read before is placed before.
            if self.pending.is_none() && self.is_due() {
                if n > 0 || !self.recover() {
                    break;
                }
                continue;
            }
            if self.trouble.idle {
                let now_ns = self.wire.now_ns();
                self.wire.wait_until(self.trouble.again_ns.min(now_ns + TURN_NS));
                break;
            }
            let Some(frame) = self.next() else {
                // A conversion that could not be read is followed by others; edges that are late are not waited for.
                if self.failed_in_a_row == 0 || self.trouble.wanted {
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
            self.lose_before(&frame);
            if n == 0 {
                block.head = Head { first_frame: frame.index, lost: self.lost, ..Head::default() };
            }
            flags = flags.with(self.place(&frame, block, n));
            self.next_frame = frame.index + 1;
            edge_ns = frame.at_ns;
            n += 1;
            self.read_back(&frame);
        }
        self.show();
        if n == 0 {
            return if self.stopped { Filled::End } else { Filled::Nothing };
        }
        block.head.n_frames = n;
        block.head.flags = flags;
        block.head.edge_ns = edge_ns;
        block.head.edge_utc_ns = utc_now_ns().saturating_sub(self.wire.now_ns().saturating_sub(edge_ns));
        Filled::Frames
    }

    fn finish(&mut self) {
        drop(self.teller.take());
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
