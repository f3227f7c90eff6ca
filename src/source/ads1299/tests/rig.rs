//! A source over simulated chips on the virtual clock, and what it delivered held against what the bench knows.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::rules::Rules;
use crate::block::{Cause, ChipStatus, Flags, RawBlock};
use crate::config::{AutoOr, Document, Mistakes};
use crate::rt::Stop;
use crate::source::ads1299::board_of;
use crate::source::ads1299::chain::{Ads1299, Patience};
use crate::source::ads1299::control::Control;
use crate::source::ads1299::notes::{Note, Notes};
use crate::source::ads1299::registers::Registers;
use crate::source::ads1299::simulated::{self, Setup, SimulatedWire, Truth};
use crate::source::ads1299::simulation::Simulation;
use crate::source::ads1299::wire::Wire;
use crate::source::synthetic::counter_code;
use crate::source::{Filled, Opening, Signs, Source, SourceError};

/// A source on its bench. At the end of the run no rule of the datasheet may have been broken.
pub(super) struct Rig {
    pub(super) source: Ads1299,
    pub(super) truth: Truth,
    pub(super) notes: Arc<Notes>,
    rules: Rules,
    /// What the proof said.
    pub(super) about: serde_json::Value,
    pub(super) told: Vec<Note>,
    /// The notes about channels at their ends, apart from the others: the counter begins at one.
    pub(super) saturated: Vec<(u64, usize)>,
    block: RawBlock,
    stop: Stop,
    /// What was delivered so far.
    pub(super) n_delivered: u64,
    pub(super) n_flagged: u64,
    /// The same, by chip.
    pub(super) n_flagged_of: Vec<u64>,
    pub(super) n_suspect_blocks: u64,
    /// Frames in which a chip's codes were not those of their index: `(frame, every such chip was marked)`.
    pub(super) wrong: Vec<(u64, bool)>,
    pub(super) check: bool,
    next_frame: u64,
    /// The chips' own count of conversions less the source's: moved by at most one each time they were set up again.
    offset: i64,
    n_set_up: u64,
    /// The frame that moved the offset, whether it was marked, and what was before: until the next frame bears it out.
    moved: Option<(u64, bool, (i64, u64))>,
    pub(super) farthest: i64,
}

/// The bench of a table `[source]`, changed by `change`; proven, and not started.
pub(super) fn rig(text: &str, change: impl FnOnce(&mut Setup)) -> Result<Rig, SourceError> {
    rig_held_up(text, 0, change)
}

/// The same, where the host will be held up in the middle of the run's first `hold_ups` STARTs.
pub(super) fn rig_held_up(text: &str, hold_ups: u32, change: impl FnOnce(&mut Setup)) -> Result<Rig, SourceError> {
    let text = format!("[source]\nkind = \"ads1299\"\n{text}");
    let document = Document::parse("rig.toml", &text).unwrap();
    let mut mistakes = Mistakes::new("rig.toml");
    let board = board_of(&document, &mut mistakes).unwrap_or_else(|| panic!("{mistakes}"));
    let mut setup = Simulation::counter().setup(&board);
    change(&mut setup);
    let wire = SimulatedWire::on_virtual_clock(&setup);
    let truth = wire.truth();
    let (rules, wire) = Rules::of(&setup, wire, hold_ups);
    let opening = Opening { base: Path::new(""), block_frames: AutoOr::Auto };
    let open = Box::new(move || Ok(Box::new(wire) as Box<dyn Wire>));
    let mut source = Ads1299::new(board, open, Patience::Forever, &opening);
    let about = source.prove(&AtomicBool::new(false))?;
    let block = RawBlock::new(source.stream(), source.n_chips());
    let (notes, n_chips) = (source.notes(), source.n_chips());
    Ok(Rig {
        source,
        truth,
        notes,
        rules,
        about,
        told: Vec::new(),
        saturated: Vec::new(),
        block,
        stop: Stop::default(),
        n_delivered: 0,
        n_flagged: 0,
        n_flagged_of: vec![0; n_chips],
        n_suspect_blocks: 0,
        wrong: Vec::new(),
        check: true,
        next_frame: 0,
        offset: 0,
        n_set_up: 0,
        moved: None,
        farthest: 0,
    })
}

impl Rig {
    /// Takes blocks until frame `until`, or until nothing came `patience` times in a row.
    pub(super) fn run_until(&mut self, until: u64) {
        self.look_until(until, |_, _| {});
    }

    /// The same, with a look at every block.
    pub(super) fn look_until(&mut self, until: u64, mut look: impl FnMut(&RawBlock, &Signs)) {
        let signs = self.source.signs().unwrap();
        let mut silent = 0;
        while self.next_frame < until && silent < 10_000 {
            match self.source.fill(&mut self.block, &self.stop) {
                Filled::Frames => {
                    silent = 0;
                    self.take();
                    look(&self.block, &signs);
                }
                Filled::Nothing => silent += 1,
                Filled::End => break,
            }
            while let Some(note) = self.notes.take() {
                match note {
                    Note::Saturated { frame, channel } => self.saturated.push((frame, channel)),
                    note => self.told.push(note),
                }
            }
        }
    }

    fn take(&mut self) {
        let (head, n_channels, n_chips) = (self.block.head, self.block.n_channels(), self.source.n_chips());
        assert!(head.first_frame >= self.next_frame, "frame {} came again", head.first_frame);
        assert_eq!(head.lost.total() + self.n_delivered, head.first_frame, "delivered or lost: {head:?}");
        self.next_frame = head.next_frame();
        self.n_delivered += head.n_frames as u64;
        self.n_suspect_blocks += u64::from(head.flags.has(Flags::SUSPECT));
        let block = std::mem::replace(&mut self.block, RawBlock::new(self.source.stream(), n_chips));
        let rows = block.codes().chunks_exact(n_channels).zip(block.status().chunks_exact(n_chips));
        let chips: Vec<_> = (0..n_chips).map(|chip| self.source.board.channels_of(chip)).collect();
        for (i, (codes, status)) in rows.enumerate() {
            let frame = head.first_frame + i as u64;
            let has = |chip: usize, condition| ChipStatus(status[chip]).has(condition);
            let suspect = |chip: &usize| has(*chip, ChipStatus::SUSPECT);
            (0..n_chips).filter(suspect).for_each(|chip| self.n_flagged_of[chip] += 1);
            self.n_flagged += u64::from((0..n_chips).any(|chip| suspect(&chip)));
            if self.check {
                let is_marked = |chip: usize, offset: i64| {
                    // A saturated channel is marked where it stands at its end, and marks nothing else.
                    let ends = [-(1 << 23), (1 << 23) - 1];
                    let conversion = frame.saturating_add_signed(offset);
                    let at_end =
                        |channel| ends.contains(&codes[channel]) || codes[channel] == counter_code(conversion, channel);
                    [ChipStatus::SUSPECT, ChipStatus::STUCK].into_iter().any(|mark| has(chip, mark))
                        || has(chip, ChipStatus::SATURATED) && chips[chip].clone().all(at_end)
                };
                let before = (self.offset, self.n_set_up);
                let mut right = self.right_chips(frame, codes, &chips);
                if let Some((moved, marked, offset)) = self.moved.take().filter(|_| !right.contains(&true)) {
                    // Nothing else stands where that one did.
                    self.wrong.push((moved, marked));
                    (self.offset, self.n_set_up) = offset;
                    right = self.right_chips(frame, codes, &chips);
                }
                if self.offset != before.0 {
                    self.moved = Some((frame, (0..n_chips).all(|chip| is_marked(chip, self.offset)), before));
                }
                let wrong: Vec<usize> = (0..n_chips).filter(|chip| !right[*chip]).collect();
                if !wrong.is_empty() {
                    self.wrong.push((frame, wrong.iter().all(|chip| is_marked(*chip, self.offset))));
                }
            }
        }
        self.block = block;
    }

    /// Whether each chip's codes are those of the frame. Since the chips were set up again the index may be off by one.
    fn right_chips(&mut self, frame: u64, codes: &[i32], chips: &[Range<usize>]) -> Vec<bool> {
        let fit = |offset: i64| -> Vec<bool> {
            let conversion = frame.saturating_add_signed(offset);
            let fits = |channel: usize| codes[channel] == counter_code(conversion, channel);
            chips.iter().map(|channels| channels.clone().all(fits)).collect()
        };
        let right = fit(self.offset);
        let n_set_up = self.n_set_up();
        if right.iter().all(|right| *right) {
            self.n_set_up = n_set_up;
        }
        if right.contains(&true) || n_set_up == self.n_set_up {
            return right;
        }
        // Elapsed time by the measured rate, to the nearest conversion, each time; what most chips say, because one may be bad.
        let most = i64::try_from(n_set_up - self.n_set_up).unwrap();
        let offsets: Vec<i64> = (1..=most).flat_map(|by| [self.offset - by, self.offset + by]).collect();
        let n_right = |right: &Vec<bool>| right.iter().filter(|right| **right).count();
        let best =
            offsets.into_iter().rev().map(|offset| (offset, fit(offset))).max_by_key(|(_, right)| n_right(right));
        match best.filter(|(_, right)| n_right(right) > 0) {
            Some((offset, right)) => {
                (self.offset, self.n_set_up) = (offset, n_set_up);
                self.farthest = self.farthest.max(offset.abs());
                right
            }
            None => right,
        }
    }

    /// The first, the last and the number of frames that were not what their index says, were not marked, and lie in no
    /// span that was called unproven.
    pub(super) fn unmarked(&self) -> Option<(u64, u64, usize)> {
        self.unmarked_but(|_| false)
    }

    /// The same, leaving out frames that nobody could have known.
    pub(super) fn unmarked_but(&self, hidden: impl Fn(u64) -> bool) -> Option<(u64, u64, usize)> {
        let doubted = |frame: u64| {
            self.told
                .iter()
                .any(|note| matches!(note, Note::Doubted { first, next, .. } if (*first..*next).contains(&frame)))
        };
        let unmarked: Vec<u64> = self
            .wrong
            .iter()
            .filter(|(frame, marked)| !marked && !doubted(*frame) && !hidden(*frame))
            .map(|(frame, _)| *frame)
            .collect();
        Some((*unmarked.first()?, *unmarked.last()?, unmarked.len()))
    }

    /// How often the chips were set up again, or were tried to be: each attempt costs frames.
    pub(super) fn n_set_up(&self) -> u64 {
        let n = |signs: &Signs| [&signs.n_reinits, &signs.n_reinits_failed].map(|n| n.load(Ordering::Relaxed));
        self.source.signs().map_or(0, |signs| n(&signs).iter().sum())
    }

    /// Forgets what was checked: for runs that are long.
    pub(super) fn forget(&mut self) {
        self.wrong.clear();
        self.told.clear();
    }

    /// What the bench noted since the last look.
    pub(super) fn bench_notes(&mut self) -> Vec<simulated::Note> {
        self.rules.notes()
    }

    /// All registers of `chip` as it answers now.
    pub(super) fn registers(&mut self, chip: usize) -> Registers {
        let board = self.source.board.clone();
        Control { wire: &mut *self.source.wire, board: &board }.read_all(chip).unwrap()
    }

    /// Frames lost to `cause` so far.
    pub(super) fn lost(&self, cause: Cause) -> u64 {
        self.source.end().lost.get(cause)
    }
}
