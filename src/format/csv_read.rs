//! CSV read back: header, annotations, rows, and the CRC32 of each record.

use std::io::{BufRead, Read};

use super::csv::{ANNOTATION, Line, RECORD, SUM, rebuild, scales};
use super::image;
use super::reader::{Fault, Source};
use super::table::Scale;
use super::text::{self, Facts};
use crate::edf::{Annotation, parse_ns};

/// The header's lines are no longer together.
const HEADER_BYTES_MAX: u64 = 8 << 20;

/// No line of ours is longer: a row of 9998 values, or a text of 512 bytes, each as `\u0000`.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A line with its end; empty at the end of the file.
fn line(input: &mut impl BufRead, at: u64) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(Fault::Io)?;
    if line.len() as u64 == LINE_BYTES_MAX {
        return Err(Fault::Damaged { at, why: format!("a line is longer than {LINE_BYTES_MAX} bytes") });
    }
    Ok(line)
}

/// Reads the header and the row of titles; `input` stands at the first byte, and then at the first record.
pub(super) fn open(input: &mut impl BufRead) -> Result<(Facts, u64), Fault> {
    let (mut json, mut at) = (String::new(), 0);
    loop {
        let bytes = line(input, at)?;
        let damaged = |why: &str| Fault::Damaged { at, why: why.to_owned() };
        if !bytes.ends_with(b"\n") {
            return Err(Fault::Torn { at: 0, bytes: at + bytes.len() as u64 });
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("the header is no UTF-8"))?;
        let next = at + bytes.len() as u64;
        if next > HEADER_BYTES_MAX {
            return Err(damaged("the header is too long"));
        }
        match text.strip_prefix("# ") {
            Some(text) => json.push_str(text),
            None if at == 0 => return Err(damaged("the header of a CSV file begins with `# `")),
            None => {
                let facts = text::read("csv", &json).map_err(|why| Fault::Damaged { at: 0, why })?;
                scales(&facts).map_err(|why| Fault::Damaged { at: 0, why })?;
                return Ok((facts, next));
            }
        }
        at = next;
    }
}

/// Reads the lines of one record; `None` at the end of the file.
pub(super) fn next(source: &mut Source, input: &mut impl BufRead, image: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let header = &source.facts.header;
    let scales = scales(&source.facts).map_err(|why| Fault::Damaged { at: 0, why })?;
    let (mut at, mut n_frames) = (source.end, 0);
    let mut hasher = crc32fast::Hasher::new();
    let mut codes = Vec::new();
    let mut annotations: Vec<Vec<Annotation>> = vec![Vec::new(); image::areas(header).count()];
    // The first line that makes no sense: a CRC32 that is wrong says more than it.
    let mut wrong: Option<(u64, String)> = None;
    loop {
        let bytes = line(input, at)?;
        if !bytes.ends_with(b"\n") {
            let torn = at - source.end + bytes.len() as u64;
            return if torn == 0 { Ok(None) } else { Err(Fault::Torn { at: source.end, bytes: torn }) };
        }
        let text = std::str::from_utf8(&bytes[..bytes.len() - 1]);
        let text = text.map_err(|_| Fault::Damaged { at, why: "the line is no UTF-8".to_owned() })?;
        let understood = if let Some(end) = text.strip_prefix(RECORD) {
            let said = end.rsplit_once(SUM).map(|(_, sum)| sum);
            hasher.update(&bytes[..bytes.len() - 1 - said.map_or(0, str::len)]);
            let found = format!("{:08x}", hasher.clone().finalize());
            at += bytes.len() as u64;
            if said != Some(&found) {
                let why = format!("record {}: its CRC32 is {found}, its last line says `{end}`", source.n_records);
                return Err(Fault::Damaged { at: source.end, why });
            }
            if end != format!("{}: {n_frames} frames{SUM}{found}", source.n_records) {
                let why = format!("record {} of {n_frames} frames is due, the line says `{end}`", source.n_records);
                return Err(Fault::Damaged { at: source.end, why });
            }
            break;
        } else if let Some(line) = text.strip_prefix(ANNOTATION) {
            annotation(line, &mut annotations)
        } else if n_frames == source.facts.record_frames || source.has_ended {
            // A record that was begun anew without the end of the one before it, or rows that nobody expects.
            Err("a row too many".to_owned())
        } else {
            n_frames += 1;
            row(text, source.n_frames + n_frames as u64 - 1, &scales, &mut codes)
        };
        if let Err(why) = understood {
            wrong.get_or_insert((at, why));
        }
        hasher.update(&bytes);
        at += bytes.len() as u64;
    }
    if let Some((at, why)) = wrong {
        return Err(Fault::Damaged { at, why: format!("record {}: {why}", source.n_records) });
    }
    image.clear();
    image.resize(header.record_bytes(), 0);
    image::put(header, &codes, n_frames, image).map_err(|why| Fault::Damaged { at: source.end, why })?;
    let onset_ns = image::onset_ns(header, source.facts.first_onset_ns, source.n_records);
    for (index, (range, annotations)) in image::areas(header).zip(&annotations).enumerate() {
        let area = &mut image[range];
        if annotations.is_empty() {
            image::quiet_area(header, index, onset_ns, area);
            continue;
        }
        rebuild(header, index, onset_ns, annotations, area).ok_or_else(|| Fault::Damaged {
            at: source.end,
            why: format!("record {}: its annotations have no room", source.n_records),
        })?;
    }
    source.taken(n_frames, at);
    Ok(Some(n_frames))
}

fn annotation(line: &str, annotations: &mut [Vec<Annotation>]) -> Result<(), String> {
    let Line { area, onset_s, duration_s, text } =
        serde_json::from_str(line).map_err(|error| format!("the annotation is no JSON of ours: {error}"))?;
    let time = |text: &str| parse_ns(text).ok_or_else(|| format!("`{text}` is no time"));
    let duration_ns = duration_s.as_deref().map(time).transpose()?;
    let area = annotations.get_mut(area).ok_or("the annotation has no place")?;
    area.push(Annotation { onset_ns: time(&onset_s)?, duration_ns, text });
    Ok(())
}

/// A row's codes; its time follows from the number of its frame.
fn row(text: &str, due: u64, scales: &[Option<Scale>], codes: &mut Vec<i32>) -> Result<(), String> {
    let mut cells = text.split(',');
    let frame = cells.next().unwrap_or_default();
    if frame.parse() != Ok(due) {
        return Err(format!(
            "the row of frame {due} is due, `{}` is there",
            frame.chars().take(20).collect::<String>()
        ));
    }
    cells.next().ok_or("the row has no time")?;
    let start = codes.len();
    for (scale, cell) in scales.iter().zip(cells.by_ref()) {
        let code = match scale {
            None => cell.parse().ok(),
            Some(scale) => cell.parse().ok().and_then(|value| scale.code(value)),
        };
        codes.push(code.ok_or_else(|| {
            let cell: String = cell.chars().take(30).collect();
            format!("frame {due}: `{cell}` is no code, or no code has this value")
        })?);
    }
    if codes.len() - start != scales.len() || cells.next().is_some() {
        return Err(format!("the row of frame {due} must have {} values", scales.len()));
    }
    Ok(())
}
