//! The disk under the recordings: does it take files, how much room is there, and how long does it stall? Measured as
//! the recorder writes: a record appended, its count put into the header, all of it brought to the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::machine::Machine;
use super::report::{Finding, Remedy, time_text};
use super::rig::{Recording, Rig};

/// The most that is written as fast as it goes, and that the file grows to: a card has its lifetime, and some megabytes show
/// its stalls. After that records come at the pace of the signal, as in a recording.
const BYTES_MAX: u64 = 64_000_000;

/// Records that are written however long each takes.
const RECORDS_MIN: usize = 3;

/// The number of records stands here in the header.
const COUNT_AT: u64 = 236;

/// A stall of this part of the budget was a narrow escape.
const BUDGET_SHARE: f64 = 0.25;

/// So much room is little.
const ROOM_MIN_S: f64 = 3600.0;

/// How long each record took until it was on the disk.
#[derive(Debug, Clone)]
pub(super) struct Stalls {
    /// Sorted.
    us: Vec<f64>,
}

impl Stalls {
    fn median_us(&self) -> f64 {
        self.us.get(self.us.len() / 2).copied().unwrap_or(0.0)
    }

    fn longest_us(&self) -> f64 {
        self.us.last().copied().unwrap_or(0.0)
    }
}

/// The folder can be written, and the room in it.
pub(super) fn space(machine: &Machine, rig: &Rig) -> Vec<Finding> {
    const CHECK: &str = "free space";
    let Some(recording) = &rig.recording else {
        return vec![Finding::skipped(CHECK, "the recorder is off: nothing is written")];
    };
    let dir = &recording.dir;
    // Root measures, and may write where the service's account may not.
    let foreign = machine.who.is_service && machine.node(&dir.display().to_string()).is_some_and(|node| !node.open);
    if foreign {
        return vec![unwritable(machine, rig, recording, &io::ErrorKind::PermissionDenied.into())];
    }
    match rustix::fs::statvfs(there(dir)) {
        Ok(stat) => vec![room(rig, recording, stat.f_bavail.saturating_mul(stat.f_frsize))],
        Err(error) => vec![unwritable(machine, rig, recording, &error.into())],
    }
}

/// The folder, or the nearest one above it that is there: it lies on the same file system.
fn there(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}

/// What `free_bytes` hold.
fn room(rig: &Rig, recording: &Recording, free_bytes: u64) -> Finding {
    const CHECK: &str = "free space";
    let per_s = recording.record_bytes as f64 / recording.record_s;
    let usable_s = (free_bytes as f64 - recording.min_free_gb * 1e9).max(0.0) / per_s;
    let found = format!(
        "{}: {:.1} GB free, {:.2} GB an hour: room for {:.1} h until {} GB are left",
        recording.dir.display(),
        free_bytes as f64 / 1e9,
        per_s * 3600.0 / 1e9,
        usable_s / 3600.0,
        recording.min_free_gb
    );
    let why = format!(
        "At the limit a recording ends, and none begins: {} are not recorded every second from then on.",
        rig.loss_per_s()
    );
    let remedy = || Remedy::new("make room, or name a larger disk as `dir` in [recorder]");
    let figures = json!({"free_bytes": free_bytes, "bytes_per_s": per_s, "room_s": usable_s});
    let finding = if usable_s <= recording.record_s {
        Finding::fault(CHECK, found, why, remedy())
    } else if usable_s < ROOM_MIN_S {
        Finding::warning(CHECK, found, why, remedy())
    } else {
        Finding::fine(CHECK, found, why)
    };
    finding.with(figures)
}

/// Nothing can be recorded there.
fn unwritable(machine: &Machine, rig: &Rig, recording: &Recording, error: &io::Error) -> Finding {
    let dir = recording.dir.display();
    let found = format!("{dir} cannot be written: {error}");
    let why =
        format!("Nothing can be recorded: the daemon does not start, {} are lost every second.", rig.loss_per_s());
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let line = format!("sudo install -d -o {} -m 750 {dir}", machine.who.name);
            Remedy::write("run, or name another `dir` in [recorder]", line)
        }
        io::ErrorKind::ReadOnlyFilesystem => Remedy::new(
            "mount it for writing (a disk with errors is mounted read-only: see `dmesg`), under systemd allow it with \
             ReadWritePaths=, or name another `dir` in [recorder]",
        ),
        _ => Remedy::new("name a directory that can be made and written as `dir` in [recorder]"),
    };
    Finding::fault("recordings", found, why, remedy).with(json!({"dir": recording.dir}))
}

/// Writes for `time` and judges how long the disk took.
pub(super) fn stalls(machine: &Machine, rig: &Rig, time: Duration) -> Vec<Finding> {
    let Some(recording) = &rig.recording else { return Vec::new() };
    match measure(recording, time) {
        Ok(stalls) => vec![judge(rig, recording, &stalls)],
        // No room is told by the check before.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Vec::new(),
        Err(error) => vec![unwritable(machine, rig, recording, &error)],
    }
}

/// Writes records into a file that has lost its name before the first byte: however this ends, with a signal too,
/// nothing is left of it.
fn measure(recording: &Recording, time: Duration) -> io::Result<Stalls> {
    let file = nameless_file(&recording.dir)?;
    let record = vec![0x5a; usize::try_from(recording.record_bytes).unwrap_or(usize::MAX)];
    let pace = Duration::from_secs_f64(recording.record_s);
    let began = Instant::now();
    let mut us = Vec::new();
    let mut n_bytes = 0_u64;
    while us.len() < RECORDS_MIN || began.elapsed() < time {
        let start = Instant::now();
        file.write_all_at(&record, 256 + n_bytes % BYTES_MAX)?;
        file.write_all_at(format!("{:<8}", us.len() + 1).as_bytes(), COUNT_AT)?;
        file.sync_data()?;
        us.push(start.elapsed().as_secs_f64() * 1e6);
        n_bytes += record.len() as u64;
        if n_bytes >= BYTES_MAX {
            let left = time.saturating_sub(began.elapsed());
            std::thread::sleep(pace.saturating_sub(start.elapsed()).min(left));
        }
    }
    us.sort_by(f64::total_cmp);
    Ok(Stalls { us })
}

/// A file in `dir` that nobody can find any more. Directories that are missing are made as the daemon would make them,
/// and go again at once; one that others put something into meanwhile stays.
fn nameless_file(dir: &Path) -> io::Result<File> {
    let missing: Vec<PathBuf> = dir.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
    let opened = fs::create_dir_all(dir).and_then(|()| {
        let path = dir.join(format!(".biosigd-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    });
    for dir in missing {
        // Not empty, or never made: both are as they should be.
        drop(fs::remove_dir(dir));
    }
    opened
}

/// Does the ring bridge what the disk takes?
fn judge(rig: &Rig, recording: &Recording, stalls: &Stalls) -> Finding {
    const CHECK: &str = "write stall";
    let (median_us, longest_us) = (stalls.median_us(), stalls.longest_us());
    let budget_us = recording.budget_s * 1e6;
    let found = format!(
        "{} records of {:.3} MB written and synced: half within {}, the longest took {}; RAM bridges {}",
        stalls.us.len(),
        recording.record_bytes as f64 / 1e6,
        time_text(median_us),
        time_text(longest_us),
        time_text(budget_us)
    );
    let figures = json!({
        "records": stalls.us.len(),
        "record_bytes": recording.record_bytes,
        "median_us": median_us,
        "longest_us": longest_us,
        "stall_budget_s": recording.budget_s,
    });
    let why = format!(
        "While the disk stalls frames wait in RAM; beyond {} every second costs the recording {}.",
        time_text(budget_us),
        rig.loss_per_s()
    );
    let remedy = || {
        Remedy::new(
            "an NVMe or USB SSD instead of the card, nothing else that writes to it; until then a larger \
             stall_budget_s in [recorder]",
        )
    };
    let finding = if median_us >= recording.record_s * 1e6 {
        let why = format!(
            "Half of the records take longer than the signal in them, {}: the ring fills up, and then frames are lost.",
            time_text(recording.record_s * 1e6)
        );
        Finding::fault(CHECK, found, why, remedy())
    } else if longest_us >= budget_us {
        Finding::fault(CHECK, found, why, remedy())
    } else if longest_us >= budget_us * BUDGET_SHARE {
        Finding::warning(CHECK, found, why, remedy())
    } else {
        Finding::fine(CHECK, found, why)
    };
    finding.with(figures)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{self, Fake};
    use super::super::report::Level;
    use super::*;

    fn recording(dir: &Path) -> Recording {
        Recording { dir: dir.to_owned(), ..fake::ads1299().recording.expect("it records") }
    }

    fn rig(dir: &Path) -> Rig {
        Rig { recording: Some(recording(dir)), ..fake::ads1299() }
    }

    #[test]
    fn room_in_hours() {
        let dir = Path::new("/data");
        let finding = room(&rig(dir), &recording(dir), 72_900_000_000);
        assert_eq!(finding.level, Level::Fine);
        assert_eq!(finding.found, "/data: 72.9 GB free, 1.39 GB an hour: room for 51.8 h until 1 GB are left");
        assert_eq!(room(&rig(dir), &recording(dir), 1_500_000_000).level, Level::Warning);
        assert_eq!(room(&rig(dir), &recording(dir), 900_000_000).level, Level::Fault);
        let off = Rig { recording: None, ..rig(dir) };
        assert_eq!(space(&Fake::empty().machine(), &off)[0].level, Level::Skipped);
        assert!(stalls(&Fake::empty().machine(), &off, Duration::ZERO).is_empty());
    }

    #[test]
    fn a_stall_is_held_against_the_ring() {
        let dir = Path::new("/data");
        let judged = |us: &[f64]| judge(&rig(dir), &recording(dir), &Stalls { us: us.to_vec() });
        let finding = judged(&[9e3, 1.2e4, 1.6e6]);
        assert_eq!(finding.level, Level::Fine);
        assert_eq!(
            finding.found,
            "3 records of 0.386 MB written and synced: half within 12.0 ms, the longest took 1.6 s; RAM bridges 30.0 s"
        );
        assert_eq!(judged(&[9e3, 1.2e4, 8e6]).level, Level::Warning);
        let finding = judged(&[9e3, 1.2e4, 3e7]);
        assert_eq!(finding.level, Level::Fault);
        assert!(finding.why.ends_with("costs the recording 4000 frames of 32 channels."), "{}", finding.why);
        assert!(judged(&[1e6, 1.1e6, 1.2e6]).why.starts_with("Half of the records take longer"));
    }

    #[test]
    fn the_measurement_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let inner = dir.path().join("a/b");
        let stalls = measure(&recording(&inner), Duration::ZERO).expect("it can be written");
        assert_eq!(stalls.us.len(), RECORDS_MIN);
        assert!(stalls.median_us() <= stalls.longest_us());
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
    }

    #[test]
    fn it_is_measured_for_as_long_as_was_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        // What may be written as fast as it goes is spent with the third record.
        let recording = Recording { record_bytes: BYTES_MAX / 3 + 1, record_s: 0.05, ..recording(dir.path()) };
        let (began, time) = (Instant::now(), Duration::from_millis(300));
        let stalls = measure(&recording, time).expect("it can be written");
        assert!(began.elapsed() >= time, "{:?}", began.elapsed());
        assert!(stalls.us.len() >= RECORDS_MIN);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_a_fault() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let findings = stalls(&Fake::pi5().machine(), &rig(&file.join("recordings")), Duration::ZERO);
        assert_eq!((findings[0].level, findings[0].check), (Level::Fault, "recordings"));
        assert!(findings[0].why.starts_with("Nothing can be recorded"));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let finding = unwritable(&Fake::pi5().machine(), &rig(&file), &recording(Path::new("/data")), &denied);
        let line = finding.remedy.and_then(|remedy| remedy.line);
        assert_eq!(line.as_deref(), Some("sudo install -d -o lab -m 750 /data"));
    }
}
