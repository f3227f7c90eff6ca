//! How long a data record is. Pure.

use super::Rotate;
use crate::edf::nearest_in;

/// Records stay under this: EDFlib's limit for BDF.
pub const RECORD_BYTES_MAX: usize = 15 << 20;

/// Samples of the annotation signal in every record.
pub const ANNOTATION_SAMPLES: usize = 512;

/// Another file begins before; a few are left of what the format counts (99,999,999) for annotations that wait at the end.
const RECORDS_MAX: u64 = 99_900_000;

/// Bytes per sample.
pub(super) const SAMPLE_BYTES: usize = 3;

/// Bytes of the annotation signal in every record.
pub(super) const ANNOTATION_BYTES: usize = ANNOTATION_SAMPLES * SAMPLE_BYTES;

/// How far `rate * duration` may be from a whole number of frames, relative to it: the roundings of `f64` in a rate
/// such as 1000/3 and in the product, and nothing else.
const WHOLE_FRAMES: f64 = 1e-15;

/// The shape of the data records of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordPlan {
    /// Frames in every record.
    pub n_frames: usize,
    /// Seconds per record as the exact decimal text of the header, at most eight characters.
    pub duration_text: String,
    /// The same in nanoseconds, exact.
    pub duration_ns: i64,
}

impl RecordPlan {
    /// Bytes of a record of `n_signals` signals (channels and status words), its annotations included.
    #[must_use]
    pub fn bytes(&self, n_signals: usize) -> usize {
        self.n_frames * n_signals * SAMPLE_BYTES + ANNOTATION_BYTES
    }
}

/// The record for `n_signals` signals, channels and status words: 1 s if that holds whole frames, else the length nearest to 1 s that holds whole frames, is
/// exact in eight characters and stays under [`RECORD_BYTES_MAX`]; of two that are equally near, the shorter.
///
/// # Errors
/// A sentence that names the rate, when no length fits.
pub fn record_plan(rate_hz: f64, n_signals: usize) -> Result<RecordPlan, String> {
    let frame_bytes = n_signals * SAMPLE_BYTES;
    let refused = || {
        format!(
            "rate_hz = {rate_hz} with {n_signals} signals: no record of a BDF file that is exact in 8 characters and \
             below {RECORD_BYTES_MAX} bytes holds whole frames"
        )
    };
    if !(rate_hz > 0.0 && rate_hz.is_finite()) || frame_bytes == 0 {
        return Err(refused());
    }
    // The record stays *under* the limit, hence the 1.
    let n_frames_max = RECORD_BYTES_MAX.saturating_sub(ANNOTATION_BYTES + 1) / frame_bytes;
    let mut best: Option<RecordPlan> = None;
    let mut best_distance_s = f64::INFINITY;
    // From 1 s outwards: durations grow with the frames, so each side ends where it cannot become better.
    let n_frames_of_1_s = whole(rate_hz).clamp(1, n_frames_max.max(1));
    let shorter = (1..=n_frames_of_1_s).rev();
    let longer = n_frames_of_1_s + 1..=n_frames_max;
    for side in [&mut shorter.into_iter() as &mut dyn Iterator<Item = usize>, &mut longer.into_iter()] {
        for n_frames in side {
            let distance_s = (n_frames as f64 / rate_hz - 1.0).abs();
            if distance_s >= best_distance_s {
                break;
            }
            if let Some(plan) = exact(rate_hz, n_frames).filter(|_| n_frames <= n_frames_max) {
                best = Some(plan);
                best_distance_s = distance_s;
            }
        }
    }
    best.ok_or_else(refused)
}

/// The record of `n_frames`, when its duration is exact in eight characters.
fn exact(rate_hz: f64, n_frames: usize) -> Option<RecordPlan> {
    let duration_s = n_frames as f64 / rate_hz;
    if duration_s >= 1e8 {
        return None;
    }
    // Eight characters: six decimals below 10 s, five below 100 s ... Plain comparisons, because an odd rate asks for
    // millions of lengths.
    let mut unit = 1e6;
    let mut limit_s = 10.0;
    while duration_s >= limit_s && unit > 1.0 {
        unit /= 10.0;
        limit_s *= 10.0;
    }
    let rounded_s = (duration_s * unit).round() / unit;
    if rounded_s <= 0.0 || (rounded_s * rate_hz - n_frames as f64).abs() > n_frames as f64 * WHOLE_FRAMES {
        return None;
    }
    let duration_text = nearest_in(8, rounded_s)?;
    let duration_ns = crate::edf::parse_ns(&duration_text)?;
    Some(RecordPlan { n_frames, duration_text, duration_ns })
}

/// Records of one file, each of `record_s`: by the limit of time and of the format, whichever comes first. Counted in frames,
/// so that no clock that is set moves it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; the cast saturates")]
pub(super) fn records_max(rotate: &Rotate, record_s: f64) -> u64 {
    let by_time = if rotate.every_s > 0.0 { (rotate.every_s / record_s).round() as u64 } else { u64::MAX };
    by_time.clamp(1, RECORDS_MAX)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is clamped by the caller")]
fn whole(number: f64) -> usize {
    number.floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_nearest_to_a_second() {
        for (rate_hz, n_signals, n_frames, duration) in [
            (4000.0, 32, 4000, "1"),
            (250.0, 8, 250, "1"),
            (1.0, 1, 1, "1"),
            (0.5, 1, 1, "2"),
            (0.1, 4, 1, "10"),
            (250.5, 8, 501, "2"),
            // 0.999 s is exact, 1.002 s would be too, and is farther.
            (1000.0 / 3.0, 8, 333, "0.999"),
            (333.333, 4, 333_333, "1000"),
            (0.3, 2, 3, "10"),
            (1.6, 2, 2, "1.25"),
            (2.5, 2, 2, "0.8"),
            (64_000.0, 8, 64_000, "1"),
            // 12,288,000 bytes a second: still below 15 MiB.
            (4000.0, 1024, 4000, "1"),
            (4000.0, 4000, 1310, "0.3275"),
            (16_000.0, 9998, 524, "0.03275"),
            (512.0, 32, 512, "1"),
            (16_384.0, 512, 9984, "0.609375"),
        ] {
            let plan = record_plan(rate_hz, n_signals).expect("fits");
            assert_eq!((plan.n_frames, plan.duration_text.as_str()), (n_frames, duration), "{rate_hz} x {n_signals}");
            let bytes = n_frames * n_signals * SAMPLE_BYTES + ANNOTATION_BYTES;
            assert!(bytes < RECORD_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn what_no_record_holds_is_refused() {
        let message = "rate_hz = 333.333 with 32 signals: no record of a BDF file that is exact in 8 characters and \
                       below 15728640 bytes holds whole frames";
        assert_eq!(record_plan(333.333, 32).expect_err("1000 s would be 32 MB"), message);
        for (rate_hz, n_signals) in
            [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1e-9, 1), (250.0, 0), (250.0, 6_000_000)]
        {
            assert!(record_plan(rate_hz, n_signals).is_err(), "{rate_hz} x {n_signals}");
        }
        assert!(record_plan(std::f64::consts::PI * 100.0, 1).is_err());
    }
}
