//! From edges to frames, each with the index of the conversion it holds.
//!
//! A frame is latched while it is read: by the RDATA command at the end of its first byte, or, where frames flow by
//! themselves, at the edge before the read. The conversion clock says which conversions were the newest at the earliest
//! and at the latest instant at which that can have been. Are they the same, the index is certain. If not (the thread
//! was late, and the read touched the next edge), then
//!
//! * in one chain under RDATA the frame is held until the next one has come: if both hold the same bytes, the earlier read
//!   had met the later conversion already;
//! * on several selects chips may stand at different conversions: nothing of it is used, the conversion is missed;
//! * where frames flow by themselves the frame may be torn: it is delivered, suspect.

use super::board::{Board, ReadMode};
use super::clock::ConversionClock;
use super::control::command;
use super::frame::{in_sync, take_bits};
use super::notes::Miss;
use super::wire::{Edge, Shape, Wire, WireError};

/// More bytes than eight chips of eight channels need, with a command and gap bits: 8 * 27 + 1 + 1.
const FRAME_BYTES_MAX: usize = 224;

/// How long the select is held after the last bit of a frame, beyond what the kernel takes by itself, about 2.6 us: no time is
/// given away here, because tSCCS, 4 cycles of the clock or 1.95 us, is for commands to be understood. The zeros at the end of a
/// frame are none, and RDATA was decoded long before.
const HOLD_US: u16 = 0;

/// What is sent while a frame is read: the command, or nothing, and zeros, which every chip ignores.
static WITH_COMMAND: [u8; FRAME_BYTES_MAX] = {
    let mut tx = [0; FRAME_BYTES_MAX];
    tx[0] = command::RDATA;
    tx
};
static ZEROS: [u8; FRAME_BYTES_MAX] = [0; FRAME_BYTES_MAX];

/// Reads the frame of one select into `bytes`, which has a byte of room for the command; answers the frame's part.
///
/// # Errors
/// When the transfer failed.
///
/// Real time: no allocation, no locks, no logging; waits for the transfer alone.
pub(super) fn read_frame<'b>(
    wire: &mut dyn Wire,
    board: &Board,
    select: usize,
    bytes: &'b mut [u8],
) -> Result<&'b [u8], WireError> {
    let n_bytes = board.layout.selects[select].n_bytes;
    let (tx, before) = match board.read_mode {
        ReadMode::Rdata => (&WITH_COMMAND, 1),
        ReadMode::Rdatac => (&ZEROS, 0),
    };
    let shape = Shape { select, clock_hz: board.spi_clock_hz, hold_us: HOLD_US };
    let bytes = &mut bytes[..before + n_bytes];
    wire.transfer(shape, &tx[..before + n_bytes], bytes)?;
    Ok(&bytes[before..])
}

/// So many conversions in a row without an interrupt are a silence: not the kernel lost edges, but chips stood still.
const SILENT_MIN: u64 = 4;

/// How edges departed from one for each conversion, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeCounts {
    /// Edges that the kernel's thread found merged with a later one.
    pub merged: u64,
    /// Events that the kernel's queue dropped.
    pub overflowed: u64,
    /// Conversions without any edge.
    pub unseen: u64,
    /// Of those, the ones of which several came in a row: chips that stood still, or converted slower.
    pub silent: u64,
    /// Edges without a conversion.
    pub spurious: u64,
    /// Frames that were read and not used, because it could not be told which of several conversions they held.
    pub discarded: u64,
}

impl EdgeCounts {
    /// Why conversions were missed since `before`.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn miss_since(&self, before: &EdgeCounts) -> Miss {
        if self.unseen > before.unseen {
            Miss::Unseen
        } else if self.overflowed > before.overflowed {
            Miss::Overflowed
        } else if self.merged > before.merged {
            Miss::Merged
        } else {
            Miss::Late
        }
    }
}

/// A frame that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// The conversion it holds.
    pub(super) index: u64,
    /// That conversion's DRDY edge.
    pub(super) at_ns: u64,
    /// It may be torn: the read touched the next conversion where frames flow by themselves.
    pub(super) torn: bool,
    /// The read touched the next conversion, which does no harm unless a chip that should wait for RDATA streams.
    pub(super) late: bool,
    /// Where its bytes are, for [`Reader::bytes`].
    slot: usize,
}

/// What a turn of the reader brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// A frame, in the order of the conversions.
    Frame(Frame),
    /// No edge came in time.
    Nothing,
    /// The transfer for this conversion failed, twice where there was time.
    Failed(u64, WireError),
}

/// A frame whose index is between two conversions.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    frame: Frame,
    /// The last conversion that it may hold; the first is the frame's index.
    last: u64,
}

/// Reads frames and gives each its index.
pub(super) struct Reader {
    clock: ConversionClock,
    /// The newest conversion that was read, or that a read failed at; -1 before the first.
    read: Option<u64>,
    /// Three frames: one that is held, one that was read after it, one that is handed out.
    slots: [Vec<u8>; 3],
    n_bytes: usize,
    held: Option<Candidate>,
    queued: Option<Candidate>,
    edge: Option<Edge>,
    edge_index: u64,
    counts: EdgeCounts,
}

impl Reader {
    /// For a board whose next conversion is that of `clock`.
    pub(super) fn new(board: &Board, clock: ConversionClock) -> Reader {
        let room = board.layout.frame_bytes() + board.layout.selects.len() + 1;
        Reader {
            clock,
            read: None,
            slots: std::array::from_fn(|_| vec![0; room]),
            n_bytes: board.layout.frame_bytes(),
            held: None,
            queued: None,
            edge: None,
            edge_index: 0,
            counts: EdgeCounts::default(),
        }
    }

    /// The conversions' clock.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn clock(&self) -> &ConversionClock {
        &self.clock
    }

    /// How edges departed from conversions.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn counts(&self) -> EdgeCounts {
        self.counts
    }

    /// The index after the last conversion that was made until `now_ns`: as far as time says while edges come, else as far
    /// as edges said.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn made_until(&self, now_ns: u64) -> u64 {
        let newest = self.clock.newest_at(now_ns, 0.0);
        if newest.saturating_sub(self.edge_index) < SILENT_MIN { newest + 1 } else { self.edge_index + 1 }
    }

    /// Goes on after the chips were set up again, with the first conversion at `first_ns`; answers its index. `last` is the
    /// edge that was thrown away last, from before.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn resume(&mut self, first_ns: u64, last: Option<Edge>) -> u64 {
        (self.held, self.queued) = (None, None);
        self.edge = last.or(self.edge);
        let index = self.clock.resume(first_ns);
        self.edge_index = index.wrapping_sub(1);
        index
    }

    /// The bytes of a frame that [`Reader::next`] gave last, select after select.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn bytes(&self, frame: &Frame) -> &[u8] {
        &self.slots[frame.slot][..self.n_bytes]
    }

    /// The next frame; waits for its edge until `deadline_ns`.
    ///
    /// Real time: no allocation, no locks, no logging; waits for DRDY and the transfer alone.
    pub(super) fn next(&mut self, wire: &mut dyn Wire, board: &Board, deadline_ns: u64) -> Result<Read, WireError> {
        if let Some(candidate) = self.queued.take() {
            match self.settle(candidate) {
                Some(frame) => return Ok(Read::Frame(frame)),
                None => self.held = Some(candidate),
            }
        }
        loop {
            let Some(index) = self.edges(wire, deadline_ns)? else { return Ok(Read::Nothing) };
            let begin_ns = wire.now_ns();
            let first = index.max(self.clock.newest_at(begin_ns, -self.clock.guard()));
            if self.read.is_some_and(|read| first <= read) {
                // An edge that announces nothing new.
                continue;
            }
            if first.saturating_sub(self.edge_index) >= SILENT_MIN {
                // Time alone says that there were conversions: chips that stand still have nothing to be read, and would have
                // what they never made counted as missed. The next edge tells, or none comes.
                continue;
            }
            let slot = self.free_slot();
            let (last, ended) = match self.transfer(wire, board, slot, first) {
                Ok((last, ended)) => (last.max(first), ended),
                Err(error) => {
                    self.read = Some(first);
                    return Ok(Read::Failed(first, error));
                }
            };
            self.read = Some(first);
            let at_ns = if first == self.edge_index {
                self.edge.unwrap_or_default().at_ns
            } else {
                self.clock.instant_ns(first)
            };
            let torn = board.read_mode == ReadMode::Rdatac && last != first;
            let frame = Frame { index: first, at_ns, torn, late: ended > first, slot };
            let mut candidate = Candidate { frame, last };
            if last != first && board.read_mode == ReadMode::Rdata && board.layout.selects.len() > 1 {
                self.counts.discarded += 1;
                continue;
            }
            if let Some(held) = self.held.take() {
                if let Some(earlier) = self.resolve(board, held, &mut candidate) {
                    self.queued = Some(candidate);
                    return Ok(Read::Frame(earlier));
                }
                // The same bytes: it was the later conversion already.
                self.counts.discarded += u64::from(self.bytes(&held.frame) != self.bytes(&candidate.frame));
            }
            match self.settle(candidate) {
                Some(frame) => return Ok(Read::Frame(frame)),
                None => self.held = Some(candidate),
            }
        }
    }

    /// The frame, where its index is certain.
    fn settle(&self, candidate: Candidate) -> Option<Frame> {
        (candidate.last == candidate.frame.index || candidate.frame.torn).then_some(candidate.frame)
    }

    /// What the frame that was held is, now that a later one is there.
    fn resolve(&self, board: &Board, held: Candidate, later: &mut Candidate) -> Option<Frame> {
        // The same bytes: the earlier read had met the later conversion. Noise makes two equal frames of different
        // conversions as good as impossible.
        let (same, other) = self.compare_parts(board, &held.frame, &later.frame);
        if same && !other && later.frame.index <= held.last {
            // Which is then one that both may hold.
            later.last = later.last.min(held.last);
        }
        // Certain only where the later one is the other of exactly two: one that may be still later says nothing.
        let decided = held.last == held.frame.index + 1 && later.frame.index == held.last && later.last == held.last;
        (other && !same && decided).then_some(held.frame)
    }

    /// Whether there are chips that gave the same in both frames, and chips that did not. A chip that is not in sync, or whose
    /// channels are all off or at an end, tells nothing: it may have changed, or not, by itself. Where chips contradict each
    /// other one of them stands still, or one that lost its registers took a frame in among those that waited for RDATA.
    fn compare_parts(&self, board: &Board, earlier: &Frame, later: &Frame) -> (bool, bool) {
        const SILENT: [[u8; 3]; 3] = [[0; 3], [0x7F, 0xFF, 0xFF], [0x80, 0, 0]];
        let frames = [self.bytes(earlier), self.bytes(later)];
        let (mut same, mut other) = (false, false);
        // One row alone: on several selects nothing is held.
        for (model, bit) in board.layout.models.iter().zip(&board.layout.selects[0].part_bits) {
            let mut parts = [[0; 27]; 2];
            for (part, frame) in parts.iter_mut().zip(frames) {
                take_bits(frame, *bit, &mut part[..model.frame_bytes()]);
            }
            let tells =
                parts[0][3..model.frame_bytes()].chunks_exact(3).any(|code| !SILENT.iter().any(|end| end == code));
            if in_sync(parts[0][0]) && in_sync(parts[1][0]) && (tells || parts[0] != parts[1]) {
                same |= parts[0] == parts[1];
                other |= parts[0] != parts[1];
            }
        }
        if same || other { (same, other) } else { (frames[0] == frames[1], frames[0] != frames[1]) }
    }

    fn free_slot(&self) -> usize {
        let taken = |slot| self.held.is_some_and(|held| held.frame.slot == slot);
        // The slot handed out last may be overwritten: its reader is done with it.
        (0..self.slots.len()).find(|slot| !taken(*slot)).unwrap_or(0)
    }

    /// Takes the edges that came in the meantime; false when there were none.
    ///
    /// Real time: no allocation, no locks, no waiting, no logging.
    pub(super) fn take_edges(&mut self, wire: &mut dyn Wire) -> Result<bool, WireError> {
        Ok(self.edges(wire, 0)?.is_some())
    }

    /// Takes all edges there are, waits for one where there is none; answers the newest conversion announced.
    fn edges(&mut self, wire: &mut dyn Wire, deadline_ns: u64) -> Result<Option<u64>, WireError> {
        let Some(mut edge) = wire.wait_edge(deadline_ns)? else { return Ok(None) };
        loop {
            let interrupts = self.edge.map_or(1, |before| edge.n_interrupts.wrapping_sub(before.n_interrupts));
            let index = self.clock.edge(edge.at_ns, u64::from(interrupts));
            self.compare(edge, index);
            (self.edge, self.edge_index) = (Some(edge), index);
            match wire.wait_edge(0)? {
                Some(next) => edge = next,
                None => return Ok(Some(index)),
            }
        }
    }

    /// Compares what the kernel counted with what time says.
    fn compare(&mut self, edge: Edge, index: u64) {
        let Some(before) = self.edge else { return };
        let interrupts = u64::from(edge.n_interrupts.wrapping_sub(before.n_interrupts));
        let events = u64::from(edge.n_events.wrapping_sub(before.n_events));
        // An edge may belong to an earlier conversion than the one before: then it announces none.
        let conversions = index.wrapping_add(1).saturating_sub(self.edge_index.wrapping_add(1));
        self.counts.merged += interrupts.saturating_sub(events);
        self.counts.overflowed += events.saturating_sub(1);
        let unseen = conversions.saturating_sub(interrupts);
        self.counts.unseen += unseen;
        if unseen >= SILENT_MIN {
            self.counts.silent += unseen;
        }
        self.counts.spurious += interrupts.saturating_sub(conversions);
    }

    /// Reads all selects into `slot`, once more where it fails and there is time. Answers the last conversion that can
    /// have been latched, and the last that can have been made when the read ended.
    fn transfer(
        &mut self,
        wire: &mut dyn Wire,
        board: &Board,
        slot: usize,
        first: u64,
    ) -> Result<(u64, u64), WireError> {
        match self.read_all(wire, board, slot) {
            // Under RDATA the chips still hold the frame; where frames flow by themselves it is half gone.
            Err(WireError::Spi(_) | WireError::Short { .. })
                if board.read_mode == ReadMode::Rdata
                    && self.clock.newest_at(wire.now_ns(), self.clock.guard()) == first =>
            {
                self.read_all(wire, board, slot)
            }
            result => result,
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time on the wire in nanoseconds")]
    fn read_all(&mut self, wire: &mut dyn Wire, board: &Board, slot: usize) -> Result<(u64, u64), WireError> {
        let command = usize::from(board.read_mode == ReadMode::Rdata);
        let mut at = 0;
        let (mut last, mut ended) = (0, 0);
        for (select, place) in board.layout.selects.iter().enumerate() {
            let bytes = &mut self.slots[slot][at..];
            // Read with its command's byte, whose answer means nothing; then moved to the front.
            read_frame(wire, board, select, bytes)?;
            bytes.copy_within(command..command + place.n_bytes, 0);
            at += place.n_bytes;
            // The bits after the command had to be clocked after the latch: it was earlier by their time at least.
            let after_latch_ns = (place.n_bytes as f64 * 8e9 / f64::from(board.spi_clock_hz)) as u64;
            last = self.clock.newest_at(wire.now_ns().saturating_sub(after_latch_ns), self.clock.guard());
            // Of frames that flow by themselves nothing may be under way in the conversion's last instants.
            ended = self.clock.newest_at(wire.now_ns() + super::budget::KEEP_OUT_NS as u64, self.clock.guard());
            if board.read_mode == ReadMode::Rdatac {
                last = ended;
            }
        }
        Ok((last, ended))
    }
}
