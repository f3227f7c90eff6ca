//! The unmodified daemon with a Pi's `/dev/spidev*` and `/dev/gpiochip*`: it acquires simulated chips through rppal and
//! the GPIO character device in the rig (`tests/rig/`), and its account is held against what the rig knows.

mod common;
#[path = "common/rig.rs"]
mod rig;

use std::fs;
use std::path::PathBuf;

use biosigd::daemon::verify::verify;
use common::{Daemon, Ended, run_as};
use rig::Rig;
use serde_json::Value;

/// Four chips in a row on the first SPI device, on the board of `tests/rig/settings.rs`.
const SOURCE: &str = "[source]\nkind = \"ads1299\"\nbus = \"spidev\"\nn_chips = 4\nspi_clock_hz = 8400000\n\
     drdy_line = 17\nwitness_line = 4\nstart_line = 22\nreset_line = 27\n";

/// Recorded beside it, at a port of the system's choice.
const REST: &str = "[recorder]\nmin_free_gb = 0\nstall_budget_s = 5\n[http]\nlisten = \"127.0.0.1:0\"\n";

/// What a run left behind.
struct Run {
    ended: Ended,
    /// Frames of the daemon's own road: those there were, delivered and lost. (The recorder's begin with its first one.)
    expected: u64,
    delivered: u64,
    lost: u64,
    truth: Value,
}

impl Run {
    /// A number of the rig's kernel.
    fn kernel(&self, name: &str) -> u64 {
        self.truth[name].as_u64().unwrap_or_else(|| panic!("{name} in {:#}", self.truth))
    }

    /// A number of the chips.
    fn chips(&self, name: &str) -> u64 {
        self.truth["board"][name].as_u64().unwrap_or_else(|| panic!("{name} in {:#}", self.truth))
    }

    /// Frames that the recorder lost by `cause`, as the daemon's last lines have it: `.. recorder: .. 3 lost (2 missed, 1 spi)`.
    fn lost_by(&self, cause: &str) -> u64 {
        let mut lines = self.ended.lines.iter().rev();
        let line = lines.find(|line| line.contains(" recorder: ")).expect("its ledger");
        let (_, causes) = line.split_once(" lost (").expect("its causes");
        let mut causes = causes.trim_end_matches(')').split(", ");
        causes.find_map(|one| one.strip_suffix(cause)?.trim().parse().ok()).unwrap_or(0)
    }

    /// Conversions after the last frame of the daemon's account.
    fn after_the_end(&self) -> u64 {
        self.chips("reads") - self.chips("repeated") + self.chips("unread") - self.expected
    }

    /// Frames that were read in time, and found no place on the road of a machine that was held up.
    fn lost_on_the_road(&self) -> u64 {
        ["pool_empty", "link_full", "ring_full"].into_iter().map(|cause| self.lost_by(cause)).sum()
    }
}

/// Runs the daemon in the rig until it has recorded `n_frames`, and stops it; once more where this machine stood still between
/// its last frame and the stop, so that conversions passed of which no frame came to tell.
fn acquire(rig_settings: &str, source: &str, n_frames: u64) -> Run {
    for _ in 0..4 {
        let run = acquire_once(rig_settings, source, n_frames);
        if run.after_the_end() <= run.chips("doubtful") {
            return run;
        }
        println!("once more: {} conversions came after the last frame", run.after_the_end());
    }
    acquire_once(rig_settings, source, n_frames)
}

/// Its recording is verified code by code.
fn acquire_once(rig_settings: &str, source: &str, n_frames: u64) -> Run {
    let rig = Rig::new(rig_settings);
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!("{SOURCE}{source}{REST}");
    let daemon = Daemon::start_as(dir, &config, "", |command| {
        rig.preload(command);
    });
    daemon.wait_for("enough frames", |status| status["ledger"]["recorder"]["delivered"].as_u64() >= Some(n_frames));
    let (ended, dir) = daemon.stop();
    ended.assert_no_panic();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr());

    let files: Vec<PathBuf> = common::names_in(&dir.path().join("recordings"))
        .into_iter()
        .filter(|name| name.extension().is_some_and(|extension| extension == "bdf"))
        .map(|name| dir.path().join("recordings").join(name))
        .collect();
    let mut report = Vec::new();
    let verified = verify(&files, true, &mut report);
    let report = String::from_utf8(report).expect("text");
    assert!(verified.is_ok() && report.contains("every code is the counter's"), "{report}\n{}", ended.stderr());
    println!("{report}\n{:#}", rig.truth());

    let ledgers = ended.ledgers();
    let (_, expected, delivered, lost) =
        ledgers.iter().find(|(name, ..)| name == "recorder").expect("a ledger").clone();
    assert_eq!(expected, delivered + lost);
    Run { expected, delivered, lost, truth: rig.truth(), ended }
}

/// The daemon's account against the rig's. Frames that were read and not delivered are those of which the daemon could
/// not know which conversion they hold, because it was kept from running while it read them; on a quiet machine there are
/// none, and every number is the same.
fn assert_accounts_agree(run: &Run) {
    let read = run.chips("reads") - run.chips("repeated");
    let (unread, doubtful) = (run.chips("unread"), run.chips("doubtful"));
    // Of those that were read in time some may have found a link full.
    let unplaced = read - run.delivered - run.lost_on_the_road();
    assert!(unplaced <= doubtful, "{unplaced} frames were read and not delivered, {doubtful} can be in doubt");
    // The daemon's account ends with the last frame that it could place.
    assert!(run.after_the_end() <= unplaced, "{} frames expected, {:#}", run.expected, run.truth);
    if doubtful == 0 {
        let lost = unread + run.lost_on_the_road();
        assert_eq!((run.expected, run.lost), (read + unread, lost), "{:#}", run.truth);
    }
    assert_eq!(run.chips("violations"), 0, "the chips got the times they need");
    assert_eq!(run.kernel("transfers_in_wrong_mode"), 0);
}

#[test]
fn four_chips_at_4_khz_are_acquired_and_every_missing_frame_is_counted() {
    let run = acquire("", "", 12_000);
    assert_accounts_agree(&run);
    // All of them because this machine was late: the chips and the bus are well, and so is the disk.
    assert_eq!(run.lost, run.lost_by("missed") + run.lost_on_the_road(), "{}", run.ended.stderr());
}

#[test]
fn a_chip_select_for_each_chip() {
    // Not 1.1: its select is at the GPIO of DRDY.
    let spi = "spi = [\"0.0\", \"0.1\", \"1.0\", \"1.2\"]\n";
    let run = acquire(
        &format!("{spi}[board]\ntopology = \"cascade\"\n"),
        &format!("topology = \"cascade\"\n{spi}rate_hz = 500\n"),
        1_000,
    );
    // Where the selects disagree the conversion is not used.
    assert_accounts_agree(&run);
    assert!(run.expected <= run.chips("conversions"), "{:#}", run.truth);
}

#[test]
fn edges_that_the_kernel_merges_cost_their_frames_and_are_counted() {
    let run = acquire("[faults]\ncoalesce_every = 100\n", "rate_hz = 500\n", 1_500);
    assert_accounts_agree(&run);
    let merged = run.kernel("edges_coalesced");
    assert!(merged >= 15 && run.chips("unread") > 10, "{:#}", run.truth);
}

#[test]
fn a_transfer_that_fails_is_tried_again() {
    // From some time after start-up on, which takes no chances.
    let run = acquire("[faults]\nspi_fail_every = 100\nspi_fail_from = 1000\n", "rate_hz = 500\n", 1_500);
    assert!(run.kernel("transfers_failed") >= 5, "{:#}", run.truth);
    assert_accounts_agree(&run);
}

/// Runs the daemon in a rig in which it cannot start: its exit code and its last line.
fn refused(rig_settings: &str, source: &str) -> (Option<i32>, String) {
    let rig = Rig::new(rig_settings);
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("rig.toml"), format!("{SOURCE}{source}{REST}")).expect("written");
    let ended = run_as(&["run", "-c", "rig.toml"], dir.path(), |command| {
        rig.preload(command);
    });
    ended.assert_no_panic();
    (ended.code, ended.lines.last().cloned().unwrap_or_default())
}

#[test]
fn what_is_not_there_is_named_with_its_remedy() {
    let table = [
        (
            "spi = []\n",
            69,
            "/dev/spidev0.0 is not there: enable SPI with dtparam=spi=on in /boot/firmware/config.txt and restart",
        ),
        (
            "[faults]\ndenied = [\"/dev/spidev0.0\"]\n",
            77,
            "/dev/spidev0.0: permission denied: biosigd's account is not in group `spi`",
        ),
        (
            "[faults]\ndenied = [\"/dev/gpiochip11\"]\n",
            77,
            "/dev/gpiochip11: permission denied: biosigd's account is not in group `gpio`",
        ),
        ("[faults]\nbusy = [[17, \"w1-gpio\"]]\n", 69, "GPIO 17 (DRDY) is taken by `w1-gpio`"),
        ("chips = [[\"gpiochip0\", \"INT34C5:00\"]]\n", 69, "no GPIO chip has the label `pinctrl-rp1`"),
        ("chips = []\n", 69, "there is no /dev/gpiochip*"),
        ("n_lines = 20\n", 69, "GPIO 22 (START): /dev/gpiochip11 (pinctrl-rp1) has the lines 0 to 19"),
    ];
    for (rig_settings, code, text) in table {
        let (ended, line) = refused(rig_settings, "");
        assert!(line.contains(text), "{rig_settings}: {line}");
        assert_eq!(ended, Some(code), "{line}");
    }
}

#[test]
fn a_board_that_does_not_answer_is_told_from_one_that_is_not_wired() {
    let table = [
        ("[board]\npowered = false\nfloat = 255\n", "chip 1: its ID register reads 0xFF"),
        ("[board]\npowered = false\nfloat = 0\n", "chip 1: its ID register reads 0x00"),
        ("[board]\nclocked = false\n", "chip 1: its ID register reads 0x00"),
        ("[board]\nn_chips = 3\n", "chip 4: its part of the frame began with 0x"),
        ("drdy_line = 18\n", "DRDY gave 0 edges"),
        ("[faults]\nspi_fail_every = 1\nspi_errno = 110\n", "the SPI controller timed out"),
    ];
    for (rig_settings, text) in table {
        let (ended, line) = refused(rig_settings, "");
        assert!(line.contains(text), "{rig_settings}: {line}");
        assert_eq!(ended, Some(69), "{line}");
    }
}
