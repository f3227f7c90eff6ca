//! Where the disk refuses: a small file system in memory, which only root can mount.

#[path = "recorder/feeder.rs"]
mod feeder;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use biosigd::block::{Cause, Tally};
use biosigd::daemon::verify::verify_file;
use biosigd::sink::recorder::FileRecorder;
use biosigd::sink::{RawSink, SinkError};
use feeder::Feeder;

/// A tmpfs that goes away with its folder.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, with a printed line, where mounting is not allowed.
    fn new(size: &str) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        // Not `println!`, which a test that passes keeps to itself.
        drop(writeln!(std::io::stderr(), "\nskipped: mounting a tmpfs needs root"));
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_its_last_whole_record() {
    let Some(disk) = SmallDisk::new("1m") else { return };
    // Records of 1000 * 30 + 1536 bytes: some thirty fit, and a part of one.
    let mut feeder = Feeder::new(disk.path(), 1000.0, 10, 0);
    let file = feeder.recorder.progress().file.expect("a file");
    feeder.gap(Cause::Missed, 1500);
    let error = (0..400).find_map(|_| feeder.try_frames(97).err()).expect("1 MiB is too little");
    assert!(matches!(&error, SinkError::Io { what: "cannot write", path, .. } if *path == file), "{error}");
    let state = format!("ended: cannot write {}: No space left on device (os error 28)", file.display());
    let file = feeder.recorder.progress().file.expect("a file");
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["state"], state);
    let progress = feeder.recorder.progress();
    assert_eq!(sidecar["ledger"]["recorder"]["delivered"], progress.frames_delivered);
    assert_eq!(file.metadata().expect("metadata").len(), progress.bytes);
    assert!(progress.frames_delivered > 20_000, "{progress:?}");
    // It is over: nothing more is taken, closing is nothing new, and there is no room for another one.
    assert!(feeder.try_frames(1).is_err());
    feeder.recorder.close(&Tally::default()).expect("closed already");
    assert_eq!(feeder.recorder.progress(), progress);
}

#[test]
fn where_a_recording_cannot_begin_nothing_is_left_behind() {
    let Some(disk) = SmallDisk::new("16k") else { return };
    let mut recorder = FileRecorder::new(feeder::plan(disk.path(), 1000.0, 60)).expect("fits");
    assert!(matches!(recorder.open(&Default::default()), Err(SinkError::Io { .. })));
    assert_eq!(std::fs::read_dir(disk.path()).expect("lists").count(), 0);
    assert_eq!(recorder.progress().file, None);
}

#[test]
fn a_recording_ends_cleanly_before_the_disk_is_full() {
    let Some(disk) = SmallDisk::new("2m") else { return };
    let mut plan = feeder::plan(disk.path(), 1000.0, 10);
    plan.min_free_bytes = 1 << 20;
    let mut feeder = Feeder::with(plan.clone(), 0);
    let error = (0..60).find_map(|_| feeder.try_frames(700).and_then(|()| feeder.recorder.sync()).err());
    let error = error.expect("the limit is reached");
    assert!(matches!(&error, SinkError::DiskLow { limit_bytes: 1_048_576, .. }), "{error}");
    let file = feeder.close(Cause::Disk, 0);
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["state"], format!("ended: {error}"));
    // Every frame that was given is in the file, the last record included.
    assert_eq!(sidecar["frames_written"].as_u64().map(|frames| frames % 700), Some(0));
    let mut recorder = FileRecorder::new(plan).expect("fits");
    assert!(matches!(recorder.open(&Default::default()), Err(SinkError::DiskLow { .. })), "none begins");
    // The data, their sidecar, the two tables, and what the columns of the events are.
    assert_eq!(std::fs::read_dir(disk.path()).expect("lists").count(), 5);
}

#[test]
fn a_gap_that_would_fill_the_disk_is_broken_off() {
    let Some(disk) = SmallDisk::new("40m") else { return };
    let mut plan = feeder::plan(disk.path(), 1000.0, 10);
    plan.min_free_bytes = 20 << 20;
    let mut feeder = Feeder::with(plan, 0);
    feeder.frames(1500);
    feeder.gap(Cause::Reinit, 1_300_000);
    let error = feeder.try_frames(10).expect_err("39 MB do not fit");
    assert!(matches!(error, SinkError::DiskLow { .. }), "{error}");
    let file = feeder.recorder.progress().file.expect("a file");
    let report = verify_file(&file, true).expect("opens");
    assert!(report.is_well(), "{report}");
    let sidecar = feeder::sidecar(&file);
    assert_eq!(sidecar["state"], format!("ended: {error}"));
    assert_eq!(sidecar["ledger"]["recorder"]["delivered"], 1500);
    assert_eq!(feeder.try_frames(1).expect_err("over").to_string(), "no recording is open");
}
