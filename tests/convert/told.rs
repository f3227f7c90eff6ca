//! What `convert` says of an IN that is not as it should be.

use std::fs;

use biosigd::block::Cause;
use biosigd::edf::Format;

use super::feeder::Feeder;
use super::files::{WIDE, bytes, header};
use super::{converted, folder};

/// A sidecar that speaks of few of many records is said once, not for each of them.
#[test]
fn one_line_for_all_frames_that_are_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut feeder = Feeder::new(dir.path(), 100.0, 1, 0);
    feeder.frames(2000);
    let file = feeder.close(Cause::Disk, 0);
    let sidecar = fs::read_to_string(file.with_extension("json")).expect("reads");
    let fewer = sidecar.replace("\"frames_written\": 2000", "\"frames_written\": 150");
    assert_ne!(fewer, sidecar);
    fs::write(file.with_extension("json"), fewer).expect("writes");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let text = converted(dir.path(), &name, "x.raw").expect("converts");
    assert_eq!(text.matches("fill up the last record").count(), 1, "{text}");
    assert!(text.contains("1850 frames that fill up the last record, as the sidecar says, are not in it"), "{text}");
}

/// Neither names with a line end nor records that do not say when they begin pass without a word.
#[test]
fn what_is_damaged_and_can_be_read_is_said() {
    let plus = header(Format::BdfPlusC, WIDE);
    let whole = bytes(&plus);
    let (at, n_bytes) = (usize::try_from(plus.header_bytes()).expect("small"), plus.record_bytes());
    let mut silent = whole.clone();
    silent[at + 2 * n_bytes - 360..at + 2 * n_bytes].fill(0);
    let dir = folder(&silent);
    for out in ["x.bdf", "x.raw"] {
        let text = converted(dir.path(), "in.bdf", out).expect("converts");
        assert!(text.contains("  damaged: annotations of 1 records cannot be read; copied byte by byte\n"), "{text}");
    }
    let dir = folder(&whole);
    converted(dir.path(), "in.bdf", "x.raw").expect("converts");
    let mut raw = fs::read(dir.path().join("x.raw")).expect("reads");
    let at = raw.windows(7).position(|bytes| bytes == b"EEG Fp1").expect("the label");
    // As JSON spells a line end: two bytes for one and a blank.
    raw[at + 3..at + 5].copy_from_slice(b"\\n");
    let length = u32::from_le_bytes([raw[8], raw[9], raw[10], raw[11]]) as usize;
    let sum = crc32fast::hash(&raw[16..16 + length]);
    raw[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(dir.path().join("y.raw"), raw).expect("writes");
    let refused = converted(dir.path(), "y.raw", "y.csv").expect_err("refused").to_string();
    let why = "byte 16: the label `EEG\\np1` has characters that cannot be printed; none are right";
    assert!(refused.ends_with(why), "{refused}");
}
