//! A disk that refuses a write or a sync, is read-only, or loses the directory, below the real daemon: the file ends with
//! what is on the disk for certain, the recording goes on in another one by itself, and every frame is counted once.
//! The refusals are the rig's (`tests/rig/disk.rs`); everything else is real.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/rig.rs"]
mod rig;

use std::fs;
use std::path::{Path, PathBuf};

use biosigd::daemon::verify::verify;
use common::{Daemon, Ended, names_in};
use serde_json::Value;

/// Frames of a record, 1 s.
const RECORD_FRAMES: u64 = 500;

/// A daemon on a disk that refuses.
struct Troubled {
    daemon: Daemon,
    /// What the rig is told.
    order: PathBuf,
}

impl Troubled {
    fn start(sync_s: f64) -> Troubled {
        let dir = tempfile::tempdir().unwrap();
        let order = dir.path().join("order");
        let config = format!(
            "[source]\nkind = \"synthetic\"\nsignal = \"counter\"\nn_channels = 2\nrate_hz = {RECORD_FRAMES}\n[recorder]\n\
             min_free_gb = 0\nstall_budget_s = 5\nsync_s = {sync_s}\n[http]\nlisten = \"127.0.0.1:0\"\n"
        );
        let daemon = Daemon::start_as(dir, &config, "", |command| {
            command.env("LD_PRELOAD", rig::library()).env("BIOSIGD_RIG_DISK", &order);
        });
        Troubled { daemon, order }
    }

    /// A file that is read meanwhile is there as a whole or not at all.
    fn refuse(&self, what: &str) {
        let new = self.order.with_extension("new");
        fs::write(&new, what).unwrap();
        fs::rename(new, &self.order).unwrap();
    }

    fn recordings(&self) -> PathBuf {
        self.daemon.dir.path().join("recordings")
    }

    /// The recording goes on in another file, and its frames reach the disk.
    fn goes_on(&self, delivered: u64) {
        self.daemon.wait_for("another file", |status| {
            status["recording"]["active"] == true && count(status, "recorder", "delivered") > delivered
        });
    }

    /// Stops it. What the log's last account says has been delivered, with how many files there are and what stands in them.
    fn stop(self) -> (Ended, [u64; 3], Vec<u64>) {
        let recordings = self.recordings();
        let (ended, _dir) = self.daemon.stop();
        ended.assert_no_panic();
        let ledgers = ended.ledgers();
        let (_, expected, delivered, lost) = ledgers.into_iter().find(|(name, ..)| name == "recorder").unwrap();
        assert_eq!(expected, delivered + lost, "{}", ended.stderr());
        (ended, [expected, delivered, lost], files(&recordings))
    }
}

fn count(status: &Value, consumer: &str, what: &str) -> u64 {
    status["ledger"][consumer][what].as_u64().unwrap()
}

/// Frames of each file by its sidecar; each file is verified code by code first.
fn files(recordings: &Path) -> Vec<u64> {
    let names = names_in(recordings).into_iter().filter(|name| name.extension().is_some_and(|end| end == "bdf"));
    let mut files: Vec<PathBuf> = names.map(|name| recordings.join(name)).collect();
    files.sort();
    let mut report = Vec::new();
    let verified = verify(&files, true, &mut report);
    assert!(verified.is_ok(), "{}", String::from_utf8_lossy(&report));
    let delivered = |file: &PathBuf| {
        let sidecar = fs::read(file.with_extension("json")).unwrap();
        let sidecar: Value = serde_json::from_slice(&sidecar).unwrap();
        sidecar["ledger"]["recorder"]["delivered"].as_u64().unwrap()
    };
    files.iter().map(delivered).collect()
}

/// The number before `frames did not reach the disk`.
fn lost_with_the_file(line: &str) -> u64 {
    let (before, _) = line.split_once(" frames did not reach the disk").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The kernel tells once that it could not write pages, and forgets them: what was written since the sync before is lost,
/// although the next sync would succeed.
#[test]
fn what_a_sync_could_not_bring_to_the_disk_is_lost_and_not_in_the_file() {
    let mut troubled = Troubled::start(3.0);
    troubled.refuse("sync 5 once");
    let line = troubled.daemon.line_with("the file ends: ");
    assert!(line.contains(".part.bdf: Input/output error (os error 5); "), "{line}");
    let lost = lost_with_the_file(&line);
    assert!(lost >= RECORD_FRAMES, "whole records were written since the sync before: {line}");
    let status = troubled.daemon.wait_for("the end", |status| status["recording"]["active"] == false);
    let before = count(&status, "recorder", "delivered");
    troubled.goes_on(before);
    let (ended, [_, delivered, lost_in_all], files) = troubled.stop();
    assert_eq!(files.len(), 2, "{}", ended.stderr());
    assert_eq!(files[0], before, "the file holds what had reached the disk and no more\n{}", ended.stderr());
    assert_eq!(files.iter().sum::<u64>(), delivered, "{}", ended.stderr());
    assert!(lost_in_all >= lost, "{}", ended.stderr());
    assert_eq!(ended.code, Some(74), "it says that frames were not recorded\n{}", ended.stderr());
}

#[test]
fn a_disk_that_refuses_for_a_while_costs_what_passes_meanwhile() {
    let cases = [
        ("sync 5", "cannot sync", "Input/output error (os error 5)"),
        ("write 5", "cannot write", "Input/output error (os error 5)"),
        ("write 30", "cannot write", "Read-only file system (os error 30)"),
    ];
    std::thread::scope(|scope| {
        for (what, doing, why) in cases {
            scope.spawn(move || refuses_for_a_while(what, doing, why));
        }
    });
}

fn refuses_for_a_while(what: &str, doing: &str, why: &str) {
    let mut troubled = Troubled::start(0.3);
    troubled.refuse(what);
    let line = troubled.daemon.line_with("the file ends: ");
    assert!(line.contains(doing) && line.contains(why), "{what}: {line}");
    let status = troubled.daemon.wait_for("the end", |status| status["recording"]["active"] == false);
    assert!(status["recording"]["ended"].as_str().is_some_and(|text| text.contains(why)), "{what}: {status:#}");
    assert!(
        troubled.daemon.get("/metrics").body.contains("\nbiosigd_recorder_active 0\n"),
        "{what}: the alarm goes by it"
    );
    // The stream never notices.
    let seen = count(&status, "process", "delivered");
    let status = troubled
        .daemon
        .wait_for("a second of stream", |status| count(status, "process", "delivered") > seen + RECORD_FRAMES);
    let before = count(&status, "recorder", "delivered");
    fs::remove_file(&troubled.order).unwrap();
    troubled.goes_on(before);
    let (ended, [_, delivered, lost], files) = troubled.stop();
    assert_eq!(files.iter().sum::<u64>(), delivered, "{what}: {}", ended.stderr());
    assert!(files.len() >= 2 && lost >= RECORD_FRAMES, "{what}: {files:?}\n{}", ended.stderr());
}

/// Neither a write nor a sync would tell.
#[test]
fn a_directory_that_is_deleted_is_noticed_and_made_anew() {
    let mut troubled = Troubled::start(0.3);
    let before = count(&troubled.daemon.status(), "recorder", "delivered");
    fs::remove_dir_all(troubled.recordings()).unwrap();
    let line = troubled.daemon.line_with("the file ends: ");
    assert!(line.contains(".part.bdf: it was deleted while it was being written; "), "{line}");
    let status = troubled.daemon.wait_for("the end", |status| status["recording"]["active"] == false);
    let delivered_then = count(&status, "recorder", "delivered");
    assert!(delivered_then >= before, "{status:#}");
    troubled.goes_on(delivered_then);
    let (ended, [_, delivered, lost], files) = troubled.stop();
    assert_eq!(files, [delivered - delivered_then], "{}", ended.stderr());
    assert!(lost > 0, "{}", ended.stderr());
}
