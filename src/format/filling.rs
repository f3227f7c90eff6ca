//! The mark of frames that only fill a record up. BDF and EDF know whole records and no others; whoever spells a short one as
//! such says in its annotations from where on it holds nothing that was recorded, and takes the word back on the way out.
//!
//! It begins with `BAD`, so that MNE leaves those samples out, and is no gap: nothing was lost there. The recorder, whose
//! records are synced as they are, says the same in its sidecar (`frames_written`).

use std::ops::Range;

use super::record_frames;
use crate::edf::{Annotation, Header, Lists, TalArea};

/// The text of the annotation, from the first frame that was not recorded to the end of the record.
pub const FILLING_TEXT: &str = "BAD_FILLING";

/// A mark is not longer: two times of at most 31 characters, the text, and what stands between them.
const MARK_BYTES_MAX: usize = 96;

/// Marks what follows the first `n_frames` of a record. False, and nothing changed, where its annotations have no room, or
/// where it has none.
pub fn mark(header: &Header, image: &mut [u8], n_frames: usize) -> bool {
    let Some((area, used, mark)) = place(header, image, n_frames) else { return false };
    let Some(room) = area.get_mut(used..used + mark.len()) else { return false };
    room.copy_from_slice(&mark);
    true
}

/// How many frames of a record were recorded, where the first `area` of its annotations has the mark.
#[must_use]
pub fn marked(header: &Header, area: &[u8]) -> Option<usize> {
    // Most records are not, and their lists need not be read for that.
    at_end(area, format!("{FILLING_TEXT}\u{14}\0").as_bytes())?;
    let record_frames = record_frames(header).ok()?;
    let (_, last) = Lists::of(area).map_while(Result::ok).last()?;
    let onset_ns = last.first().filter(|annotation| annotation.text == FILLING_TEXT)?.onset_ns;
    let since_ns = i128::from(onset_ns.checked_sub(own_onset_ns(area)?)?);
    // The nearest frame; whether it is the one is seen by making its mark anew.
    let duration_ns = i128::from(header.record_duration_ns()).max(1);
    let nearest = (2 * since_ns * record_frames as i128 + duration_ns) / (2 * duration_ns);
    let n_frames = usize::try_from(nearest).ok().filter(|n_frames| *n_frames < record_frames)?;
    let mark = mark_bytes(header, area, n_frames)?;
    at_end(area, &mark).map(|_| n_frames)
}

/// Takes the mark off a record of which `n_frames` were recorded.
pub fn unmark(header: &Header, image: &mut [u8], n_frames: usize) {
    if let Some((area, _, mark)) = place(header, image, n_frames) {
        if let Some(range) = at_end(area, &mark) {
            area[range].fill(0);
        }
    }
}

/// The area of the mark, the bytes of it that are in use, and the mark.
fn place<'a>(header: &Header, image: &'a mut [u8], n_frames: usize) -> Option<(&'a mut [u8], usize, Vec<u8>)> {
    let range = super::image::areas(header).next()?;
    let area = &mut image[range];
    let mark = mark_bytes(header, area, n_frames)?;
    // The last list, and the NUL that ends it.
    let used = area.iter().rposition(|byte| *byte != 0)? + 2;
    Some((area, used, mark))
}

/// The onset that a record gives itself (EDF+ 2.2.4): plain files have none, and no annotations.
fn own_onset_ns(area: &[u8]) -> Option<i64> {
    Lists::of(area).next()?.ok()?.0
}

fn mark_bytes(header: &Header, area: &[u8], n_frames: usize) -> Option<Vec<u8>> {
    let record_frames = record_frames(header).ok().filter(|_| header.format.is_plus())?;
    let (duration_ns, n_frames) = (i128::from(header.record_duration_ns()), n_frames as i128);
    let since_ns = i64::try_from(duration_ns * n_frames / (record_frames as i128).max(1)).ok()?;
    let annotation = Annotation {
        onset_ns: own_onset_ns(area)?.checked_add(since_ns)?,
        duration_ns: Some(header.record_duration_ns().checked_sub(since_ns)?),
        text: FILLING_TEXT.to_owned(),
    };
    let mut bytes = vec![0; MARK_BYTES_MAX];
    TalArea::without_time(&mut bytes).push(&annotation).then_some(())?;
    // With the NUL at its end.
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0)? + 2);
    Some(bytes)
}

/// Where the mark stands, if it is the last list.
fn at_end(area: &[u8], mark: &[u8]) -> Option<Range<usize>> {
    let used = area.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 2).min(area.len()));
    area[..used].ends_with(mark).then(|| used - mark.len()..used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edf::{Format, Signal};

    fn header(format: Format, record_frames: usize, duration_text: &str, area_samples: usize) -> Header {
        let (low, high) = format.code_limits();
        let signal = |label: &str, samples_per_record| Signal {
            label: label.to_owned(),
            transducer: String::new(),
            unit: String::new(),
            physical_min: -1.0,
            physical_max: 1.0,
            digital_min: low,
            digital_max: high,
            prefilter: String::new(),
            samples_per_record,
        };
        Header {
            format,
            patient: "X X X X".to_owned(),
            recording: "Startdate X X X X".to_owned(),
            start_date: "01.01.26".to_owned(),
            start_time: "00.00.00".to_owned(),
            n_records: None,
            record_duration_s: duration_text.parse().expect("a number"),
            record_duration_text: duration_text.to_owned(),
            signals: vec![signal("a", record_frames), signal(format.annotations_label(), area_samples)],
        }
    }

    #[test]
    fn what_was_marked_is_found_and_taken_off_again() {
        for (record_frames, duration) in [(100, "1"), (7, "0.3"), (4000, "1"), (410, "0.8"), (3, "0.00001")] {
            let header = header(Format::BdfPlusC, record_frames, duration, 60);
            let area = super::super::image::areas(&header).next().expect("an area");
            for n_frames in 0..record_frames {
                let mut image = vec![9; header.record_bytes()];
                let mut lists = TalArea::new(&mut image[area.clone()], 1_234_567_891);
                lists.push(&Annotation { onset_ns: 5, duration_ns: None, text: FILLING_TEXT.to_owned() });
                let before = image.clone();
                assert_eq!(marked(&header, &image[area.clone()]), None, "the marker of somebody");
                assert!(mark(&header, &mut image, n_frames) && image != before);
                assert_eq!(marked(&header, &image[area.clone()]), Some(n_frames));
                unmark(&header, &mut image, n_frames);
                assert_eq!(image, before, "{n_frames} of {record_frames}");
            }
        }
    }

    #[test]
    fn where_there_is_no_room_nothing_changes() {
        for (format, area_samples) in [(Format::BdfPlusC, 8), (Format::Bdf, 60)] {
            let header = header(format, 100, "1", area_samples);
            let mut image = vec![0; header.record_bytes()];
            let area = super::super::image::areas(&header).next().expect("an area");
            drop(TalArea::new(&mut image[area.clone()], 0));
            let before = image.clone();
            assert!(!mark(&header, &mut image, 40));
            assert_eq!((&image, marked(&header, &image[area])), (&before, None));
        }
    }
}
