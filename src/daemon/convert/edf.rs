//! Records to records of another width: BDF to EDF, EDF to BDF. Codes, ranges and all texts stay; annotations are copied
//! byte by byte into an area that is at least as long.

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ConvertError;
use super::input::Input;
use super::output::NewFile;
use crate::edf::{EdfError, Format, Header, RECORD_BYTES_MAX, Signal, decode, encode};

/// Samples that are on their way at once.
const PIECE_SAMPLES: usize = 4096;

/// Writes BDF or EDF; says what was written.
pub(super) fn write(input: &mut Input, to_bdf: bool, path: &Path, stop: &AtomicBool) -> Result<String, ConvertError> {
    let header = header(input.header(), to_bdf, input.n_records()).map_err(|why| input.unusable(why))?;
    let refused =
        |error: EdfError| input.unusable(format!("its header cannot be written as {}: {error}", header.format.name()));
    // Into memory first: a header that is refused must not have made a file.
    let mut bytes = Vec::new();
    header.write(&mut bytes).map_err(refused)?;
    let mut file = NewFile::create(path)?;
    file.write_all(&bytes).map_err(|source| file.error(source))?;
    let places = places(input.header(), &header);
    let mut record = vec![0; if input.n_records() > 0 { header.record_bytes() } else { 0 }];
    let mut n_damaged = 0_u64;
    while let Some(index) = input.next()? {
        // `Relaxed`: the flag orders nothing, it only ends the work.
        if stop.load(Ordering::Relaxed) {
            return Err(ConvertError::Stopped { path: path.to_owned() });
        }
        n_damaged += u64::from(input.annotations(|_| Ok(()))?.is_err());
        for place in &places {
            transcode(input, &header, place, &mut record)
                .map_err(|(sample, code)| input.unusable(too_wide(&header, place.signal, index, sample, code)))?;
        }
        file.write_all(&record).map_err(|source| file.error(source))?;
    }
    if n_damaged > 0 {
        input.note(format!("damaged: annotations of {n_damaged} records cannot be read; copied byte by byte"));
    }
    file.seal()?;
    file.publish()?;
    Ok(format!("{}, {} records, every code as it was", header.format.name(), input.n_records()))
}

/// The header of OUT.
fn header(from: &Header, to_bdf: bool, n_records: u64) -> Result<Header, String> {
    let format = match (to_bdf, from.format.is_plus()) {
        (true, true) => Format::BdfPlusC,
        (true, false) => Format::Bdf,
        (false, true) => Format::EdfPlusC,
        (false, false) => Format::Edf,
    };
    let (low, high) = format.code_limits();
    let is_wide = |signal: &Signal| !signal.is_annotations() && (signal.digital_min < low || signal.digital_max > high);
    if let Some(index) = from.signals.iter().position(is_wide) {
        let Signal { label, digital_min, digital_max, .. } = &from.signals[index];
        let n_wide = from.signals.iter().filter(|signal| is_wide(signal)).count();
        let others = match n_wide - 1 {
            0 => String::new(),
            1 => ", and so is another one".to_owned(),
            n_others => format!(", and so are {n_others} others"),
        };
        return Err(format!(
            "signal {index}, `{label}`, has codes from {digital_min} to {digital_max}, wider than the 16 bits of EDF, {low} to \
             {high}{others}; .bdf and .csv hold them"
        ));
    }
    let signals = from.signals.iter().map(|signal| match signal.is_annotations() {
        true => Signal {
            label: format.annotations_label().to_owned(),
            digital_min: low,
            digital_max: high,
            samples_per_record: (signal.samples_per_record * from.bytes_per_sample())
                .div_ceil(format.bytes_per_sample()),
            ..signal.clone()
        },
        false => signal.clone(),
    });
    let header = Header { format, n_records: Some(n_records), signals: signals.collect(), ..from.clone() };
    let record_bytes = header.record_bytes() as u64;
    if record_bytes > RECORD_BYTES_MAX {
        return Err(format!(
            "its data records would have {record_bytes} bytes as {}, and {RECORD_BYTES_MAX} is the most that is read back",
            format.name()
        ));
    }
    Ok(header)
}

/// Where a signal stands in a record of IN and in one of OUT.
struct Place {
    signal: usize,
    from: Range<usize>,
    to: Range<usize>,
}

fn places(from: &Header, to: &Header) -> Vec<Place> {
    let ranges = from.signal_ranges().zip(to.signal_ranges()).enumerate();
    ranges.map(|(signal, ((_, from), (_, to)))| Place { signal, from, to }).collect()
}

/// Copies the bytes or the codes of one signal; the sample and its code that OUT cannot hold.
fn transcode(input: &Input, header: &Header, place: &Place, record: &mut [u8]) -> Result<(), (usize, i32)> {
    let (bytes, to) = (&input.record()[place.from.clone()], &mut record[place.to.clone()]);
    let (width, to_width) = (input.header().bytes_per_sample(), header.bytes_per_sample());
    if width == to_width || header.signals[place.signal].is_annotations() {
        // The last record's annotations may have reached further.
        let (copied, rest) = to.split_at_mut(bytes.len());
        copied.copy_from_slice(bytes);
        rest.fill(0);
        return Ok(());
    }
    let mut codes = [0; PIECE_SAMPLES];
    let pieces = bytes.chunks(PIECE_SAMPLES * width).zip(to.chunks_mut(PIECE_SAMPLES * to_width));
    for (piece, (bytes, to)) in pieces.enumerate() {
        decode(width, bytes, &mut codes);
        encode(to_width, &codes[..bytes.len() / width], to)
            .map_err(|index| (piece * PIECE_SAMPLES + index, codes[index]))?;
    }
    Ok(())
}

/// A code outside of the range that its own header gives it.
fn too_wide(header: &Header, signal: usize, record: u64, sample: usize, code: i32) -> String {
    let Signal { label, digital_min, digital_max, .. } = &header.signals[signal];
    format!(
        "record {record}, sample {sample} of signal {signal}, `{label}`: the code {code} is outside of the header's range, \
         {digital_min} to {digital_max}, and wider than the 16 bits of EDF; .bdf and .csv hold it"
    )
}
