//! Raw: append-only, little-endian, each block with its CRC32. Nothing that was written is ever written again, so whatever a
//! power cut tears is at the end.
//!
//! The file begins with 8 bytes `BIOSIGR1`, a `u32` with the length of the JSON header and a `u32` with its CRC32, then the
//! JSON (`text`), with spaces at its end up to a multiple of 8. Blocks follow:
//!
//! | at | type | what |
//! |---|---|---|
//! | 0 | 4 bytes | `FRAM`: frames, or `TALS`: annotations |
//! | 4 | u32 | bytes after this header |
//! | 8 | u64 | `FRAM`: the first frame, counted from the file's first; `TALS`: the number of the annotation signal |
//! | 16 | u32 | `FRAM`: frames; `TALS`: 0 |
//! | 20 | u32 | CRC32 (as in zlib) of the 20 bytes before it and of what follows |
//! | 24 | | `FRAM`: `i32` codes, frame after frame; `TALS`: time-stamped annotation lists as in EDF+ |
//!
//! A record is any number of `TALS` blocks, then one `FRAM` block. An area in which nothing stands but the time of its
//! record is left out.

use std::io::BufRead;

use super::reader::{Fault, Source, fill};
use super::text::{self, Facts};
use super::{FormatError, RecordWriter, image};
use crate::edf::Header;

/// The first eight bytes.
pub(super) const MAGIC: &[u8; 8] = b"BIOSIGR1";

/// The JSON of 9999 signals with fields as long as they may be is shorter.
const HEADER_BYTES_MAX: u64 = 8 << 20;

const FRAMES: [u8; 4] = *b"FRAM";
const LISTS: [u8; 4] = *b"TALS";

/// Bytes of a block's header, and of the part that the CRC32 is of.
const HEAD_BYTES: usize = 24;
const SUMMED_BYTES: usize = 20;

/// Bytes per code.
const CODE_BYTES: usize = 4;

/// Writes raw.
#[derive(Debug)]
pub(super) struct Writer {
    facts: Facts,
    bytes: Vec<u8>,
    block: Vec<u8>,
    codes: Vec<i32>,
    quiet: Vec<u8>,
    n_records: u64,
    n_frames: u64,
}

impl Writer {
    pub(super) fn new(header: &Header, first_onset_ns: i64) -> Result<Writer, FormatError> {
        let json = text::write("raw", header, first_onset_ns, None).map_err(FormatError)?;
        let facts = text::read("raw", &json).map_err(FormatError)?;
        let mut json = json.into_bytes();
        json.push(b'\n');
        json.resize(json.len().next_multiple_of(8), b' ');
        let n_bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
        let sum = crc32fast::hash(&json);
        let bytes = [MAGIC, &n_bytes.to_le_bytes()[..], &sum.to_le_bytes(), &json].concat();
        let (block, codes, quiet) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Writer { facts, bytes, block, codes, quiet, n_records: 0, n_frames: 0 })
    }

    /// Appends a block whose content `write` appends.
    fn append(&mut self, kind: [u8; 4], number: u64, n_frames: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.block.len();
        self.block.extend_from_slice(&kind);
        self.block.extend_from_slice(&[0; 4]);
        self.block.extend_from_slice(&number.to_le_bytes());
        self.block.extend_from_slice(&n_frames.to_le_bytes());
        self.block.extend_from_slice(&[0; 4]);
        write(&mut self.block);
        let n_bytes = u32::try_from(self.block.len() - start - HEAD_BYTES).unwrap_or(u32::MAX);
        self.block[start + 4..start + 8].copy_from_slice(&n_bytes.to_le_bytes());
        let sum = sum(&self.block[start..start + SUMMED_BYTES], &self.block[start + HEAD_BYTES..]);
        self.block[start + SUMMED_BYTES..start + HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
}

fn sum(head: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(content);
    hasher.finalize()
}

impl RecordWriter for Writer {
    fn header(&self) -> &[u8] {
        &self.bytes
    }

    fn record<'a>(&'a mut self, image: &'a [u8], n_frames: usize) -> Result<&'a [u8], FormatError> {
        self.block.clear();
        // At once: a block that grows is held twice while it moves, and records may be long.
        self.block.reserve(usize::try_from(self.record_bytes_max()).unwrap_or(0));
        let onset_ns = image::onset_ns(&self.facts.header, self.facts.first_onset_ns, self.n_records);
        let areas: Vec<_> = image::areas(&self.facts.header).collect();
        for (index, range) in areas.into_iter().enumerate() {
            let area = &image[range];
            self.quiet.resize(area.len(), 0);
            image::quiet_area(&self.facts.header, index, onset_ns, &mut self.quiet);
            if area != self.quiet {
                let end = area.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                self.append(LISTS, index as u64, 0, |block| block.extend_from_slice(&area[..end]));
            }
        }
        image::frames(&self.facts.header, image, n_frames, &mut self.codes);
        let codes = std::mem::take(&mut self.codes);
        let n = u32::try_from(n_frames).unwrap_or(u32::MAX);
        self.append(FRAMES, self.n_frames, n, |block| {
            block.extend(codes.iter().flat_map(|code| code.to_le_bytes()));
        });
        self.codes = codes;
        self.n_records += 1;
        self.n_frames += n_frames as u64;
        Ok(&self.block)
    }

    fn count(&self, _n_records: u64) -> Result<Option<(u64, [u8; 8])>, FormatError> {
        Ok(None)
    }

    fn record_bytes_max(&self) -> u64 {
        let header = &self.facts.header;
        let n_signals = header.signals.iter().filter(|signal| !signal.is_annotations()).count();
        let codes = self.facts.record_frames * n_signals * CODE_BYTES;
        let lists: usize = image::areas(header).map(|area| HEAD_BYTES + area.len()).sum();
        (HEAD_BYTES + codes + lists) as u64
    }
}

/// Reads the header; `input` stands at the first byte, and then at the first block.
pub(super) fn open(input: &mut impl BufRead) -> Result<(Facts, u64), Fault> {
    let mut start = Vec::new();
    fill(input, &mut start, 16, 0)?;
    let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    let (n_bytes, due) = (u64::from(number(8)), number(12));
    if n_bytes > HEADER_BYTES_MAX {
        let why = format!("the header says that it has {n_bytes} bytes, more than {HEADER_BYTES_MAX}");
        return Err(Fault::Damaged { at: 8, why });
    }
    let mut json = Vec::new();
    fill(input, &mut json, n_bytes, 16)?;
    let found = crc32fast::hash(&json);
    if found != due {
        return Err(Fault::Damaged {
            at: 16,
            why: format!("the CRC32 of the header is {found:08x}, {due:08x} is due"),
        });
    }
    let json = String::from_utf8(json).map_err(|_| Fault::Damaged { at: 16, why: "the header is no UTF-8".to_owned() });
    let facts = text::read("raw", json?.trim_end()).map_err(|why| Fault::Damaged { at: 16, why })?;
    Ok((facts, 16 + n_bytes))
}

/// Reads the blocks of one record; `None` at the end of the file.
pub(super) fn next(source: &mut Source, input: &mut impl BufRead, image: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let mut at = source.end;
    let header = &source.facts.header;
    let areas: Vec<_> = image::areas(header).collect();
    let n_signals = header.signals.len() - areas.len();
    let mut lists: Vec<Option<Vec<u8>>> = vec![None; areas.len()];
    loop {
        let damaged = move |why: String| Fault::Damaged { at, why };
        let mut block = Vec::new();
        match fill(input, &mut block, HEAD_BYTES as u64, at) {
            Err(Fault::Torn { bytes: 0, .. }) if at == source.end => return Ok(None),
            filled => filled.map_err(|fault| fault.torn_from(source.end))?,
        }
        let four = |at: usize| [block[at], block[at + 1], block[at + 2], block[at + 3]];
        let (kind, n_bytes, n_frames) = (four(0), u64::from(u32::from_le_bytes(four(4))), u32::from_le_bytes(four(16)));
        let due = u32::from_le_bytes(four(20));
        let number = u64::from(u32::from_le_bytes(four(8))) | u64::from(u32::from_le_bytes(four(12))) << 32;
        let n_frames = n_frames as usize;
        let area = usize::try_from(number).ok().and_then(|index| areas.get(index));
        let is_due = match (kind, area) {
            (FRAMES, _) => {
                n_frames <= source.facts.record_frames
                    && n_bytes == (n_frames * n_signals * CODE_BYTES) as u64
                    && number == source.n_frames
                    && (!source.has_ended || n_frames == 0)
            }
            (LISTS, Some(area)) => n_bytes <= area.len() as u64 && n_frames == 0,
            _ => false,
        };
        if !is_due {
            let name = String::from_utf8_lossy(&kind).escape_debug().to_string();
            return Err(damaged(format!(
                "record {}: a block `{name}` of {n_bytes} bytes, number {number}, {n_frames} frames is not what is due",
                source.n_records
            )));
        }
        let mut content = Vec::new();
        fill(input, &mut content, n_bytes, at).map_err(|fault| fault.torn_from(source.end))?;
        let found = sum(&block[..SUMMED_BYTES], &content);
        if found != due {
            let what = if kind == FRAMES { "frames" } else { "annotations" };
            return Err(damaged(format!(
                "record {}: the CRC32 of its {what} is {found:08x}, {due:08x} is due",
                source.n_records
            )));
        }
        at += HEAD_BYTES as u64 + n_bytes;
        if kind == LISTS {
            if let Some(list) = usize::try_from(number).ok().and_then(|index| lists.get_mut(index)) {
                *list = Some(content);
            }
            continue;
        }
        image.clear();
        image.resize(header.record_bytes(), 0);
        let codes =
            content.chunks_exact(CODE_BYTES).map(|code| i32::from_le_bytes([code[0], code[1], code[2], code[3]]));
        let codes: Vec<i32> = codes.collect();
        image::put(header, &codes, n_frames, image).map_err(damaged)?;
        let onset_ns = image::onset_ns(header, source.facts.first_onset_ns, source.n_records);
        for (index, (area, list)) in areas.iter().zip(&lists).enumerate() {
            let area = &mut image[area.clone()];
            match list {
                Some(list) => area[..list.len()].copy_from_slice(list),
                None => image::quiet_area(header, index, onset_ns, area),
            }
        }
        source.taken(n_frames, at);
        return Ok(Some(n_frames));
    }
}
