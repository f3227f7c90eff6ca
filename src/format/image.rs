//! The image of a record: the bytes of an EDF data record, whatever the file spells it as.

use crate::block::ChipStatus;
use crate::edf::{Header, Signal, TalArea, decode, encode};

/// Frames per record, where the signals have one rate.
///
/// # Errors
/// A sentence that names the signals whose rates differ, or says that there are none.
pub fn record_frames(header: &Header) -> Result<usize, String> {
    let mut signals = header.signals.iter().filter(|signal| !signal.is_annotations());
    let first = signals.next().ok_or("holds annotations and no signals, there are no frames; .bdf and .edf hold it")?;
    match signals.find(|signal| signal.samples_per_record != first.samples_per_record) {
        Some(other) => Err(format!(
            "csv and raw hold frames, so the signals must have one rate: `{}` has {} samples per record, `{}` has {}; .bdf and \
             .edf hold them",
            first.label, first.samples_per_record, other.label, other.samples_per_record
        )),
        None => Ok(first.samples_per_record),
    }
}

/// Fills a record up after its first `n_frames`: every signal repeats its last sample, and status words say that they
/// were never measured, as the recorder does it.
pub fn pad(header: &Header, image: &mut [u8], n_frames: usize) {
    let width = header.bytes_per_sample();
    for (signal, range) in header.signal_ranges().filter(|(signal, _)| !signal.is_annotations()) {
        let samples = &mut image[range];
        let (taken, rest) = samples.split_at_mut((n_frames * width).min(samples.len()));
        let mut last = match taken.rchunks_exact(width).next() {
            Some(last) => [last[0], last[1], last[width - 1]],
            None => {
                let zero = 0.clamp(signal.digital_min, signal.digital_max.max(signal.digital_min)).to_le_bytes();
                [zero[0], zero[1], zero[2]]
            }
        };
        if signal.is_status() && width == 3 {
            last.iter_mut().zip(ChipStatus::SUSPECT.0.to_le_bytes()).for_each(|(byte, suspect)| *byte |= suspect);
        }
        rest.chunks_exact_mut(width).for_each(|sample| sample.copy_from_slice(&last[..width]));
    }
}

/// The samples of a record as frames: `codes[frame * n_signals + signal]`, annotations left out.
pub(super) fn frames(header: &Header, image: &[u8], n_frames: usize, codes: &mut Vec<i32>) {
    let width = header.bytes_per_sample();
    let n_signals = header.signals.iter().filter(|signal| !Signal::is_annotations(signal)).count();
    codes.clear();
    codes.resize(n_frames * n_signals, 0);
    let mut column = vec![0; n_frames];
    let signals = header.signal_ranges().filter(|(signal, _)| !signal.is_annotations());
    for (index, (_, range)) in signals.enumerate() {
        decode(width, &image[range], &mut column);
        for (frame, code) in codes.chunks_exact_mut(n_signals).zip(&column) {
            frame[index] = *code;
        }
    }
}

/// Frames to the samples of a record, which is filled up.
pub(super) fn put(header: &Header, codes: &[i32], n_frames: usize, image: &mut [u8]) -> Result<(), String> {
    let width = header.bytes_per_sample();
    let n_signals = header.signals.iter().filter(|signal| !signal.is_annotations()).count();
    let mut column = vec![0; n_frames];
    let signals = header.signal_ranges().filter(|(signal, _)| !signal.is_annotations());
    for (index, (signal, range)) in signals.enumerate() {
        for (code, frame) in column.iter_mut().zip(codes.chunks_exact(n_signals)) {
            *code = frame[index];
        }
        encode(width, &column, &mut image[range]).map_err(|frame| {
            format!("frame {frame} of the record, `{}`: {} has more than {width} bytes", signal.label, column[frame])
        })?;
    }
    pad(header, image, n_frames);
    Ok(())
}

/// What stands in the area of number `index` when nothing happened: nothing, or in the first area of the `+` variants the
/// time of the record.
pub(super) fn quiet_area(header: &Header, index: usize, onset_ns: i64, area: &mut [u8]) {
    if index == 0 && header.format.is_plus() && area.len() >= 32 {
        drop(TalArea::new(area, onset_ns));
    } else {
        area.fill(0);
    }
}

/// When record number `index` begins.
pub(super) fn onset_ns(header: &Header, first_onset_ns: i64, index: u64) -> i64 {
    let since_ns = header.record_duration_ns().saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
    first_onset_ns.saturating_add(since_ns)
}

/// Where the annotations stand within a record.
pub(super) fn areas(header: &Header) -> impl Iterator<Item = std::ops::Range<usize>> {
    header.signal_ranges().filter(|(signal, _)| signal.is_annotations()).map(|(_, range)| range)
}
