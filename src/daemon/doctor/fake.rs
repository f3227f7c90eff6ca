//! Made-up machines and rigs for the tests of the checks: a Pi 5 as Pi OS comes, four ADS1299 in a chain, and the trees
//! of `/proc`, `/sys` and `/dev` that go with them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::machine::{Machine, Who};
use super::rig::{Recording, Rig};
use crate::source::Hardware;
use crate::source::ads1299::frame_time::FrameTime;

/// As a Pi 5 shows it while a daemon runs, shortened: the processor's own interrupts have no number.
const INTERRUPTS: &str = "           CPU0       CPU1       CPU2       CPU3
 13:     182345      91823      70211      66120 GICv2  30 Level     arch_timer
 38:          0          0          0          0 GICv2  48 Level     1000800000.codec
106:      90000          0          0          1 rp1_irq_chip   6 Level     eth0
120:      24001          0          0          0 rp1_irq_chip  40 Level     dw_axi_dmac_platform
131:      12007          0          0          0 rp1_irq_chip  19 Level     1f00050000.spi
162:      55512          0          0          0 GICv2 305 Level     mmc0
181:     120055          0          0          0 pinctrl-rp1  25 Edge      biosigd
IPI0:      4120       6011       5200       4999       Rescheduling interrupts
Err:          0
";

/// A tree that plays the root of a machine.
pub(super) struct Fake {
    dir: TempDir,
}

impl Fake {
    /// Nothing at all.
    pub(super) fn empty() -> Fake {
        Fake { dir: tempfile::tempdir().expect("a directory") }
    }

    /// A Pi 5 with SPI switched on, as Pi OS comes.
    pub(super) fn pi5() -> Fake {
        let fake = Fake::empty();
        for (path, text) in [
            ("boot/firmware/config.txt", "dtparam=spi=on\n"),
            ("boot/firmware/cmdline.txt", "console=tty1 rootwait\n"),
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nlab:x:1000:1000::/home/lab:/bin/sh\n"),
            ("etc/group", "root:x:0:\nspi:x:989:lab,biosigd\ngpio:x:986:lab,biosigd\n"),
            ("proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0"),
            ("proc/interrupts", INTERRUPTS),
            ("proc/irq/13/smp_affinity_list", "0\n"),
            ("proc/irq/106/smp_affinity_list", "0-3\n"),
            ("proc/irq/120/smp_affinity_list", "0\n"),
            ("proc/irq/131/smp_affinity_list", "0\n"),
            ("proc/irq/162/smp_affinity_list", "0-3\n"),
            ("proc/irq/162/effective_affinity_list", "0\n"),
            ("proc/irq/181/smp_affinity_list", "0\n"),
            ("proc/self/status", "Name:\tbiosigd\nCapEff:\t0000000000000000\n"),
            ("proc/sys/kernel/osrelease", "6.12.96+rpt-rpi-2712\n"),
            ("proc/sys/kernel/version", "#1 SMP PREEMPT Debian 1:6.12.96-1+rpt1 (2026-07-20)\n"),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
            ("proc/sys/kernel/sched_rt_period_us", "1000000\n"),
            ("sys/module/spidev/parameters/bufsiz", "4096\n"),
            ("sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "0\n"),
            ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
            ("sys/class/hwmon/hwmon2/name", "rpi_volt\n"),
            ("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "0\n"),
        ] {
            fake.file(path, text);
        }
        for core in 0..4 {
            let dir = format!("sys/devices/system/cpu/cpu{core}/cpufreq");
            fake.file(&format!("{dir}/scaling_governor"), "ondemand\n");
            fake.file(&format!("{dir}/scaling_min_freq"), "1500000\n");
            fake.file(&format!("{dir}/scaling_max_freq"), "2400000\n");
        }
        for node in ["dev/spidev0.0", "dev/spidev10.0", "dev/gpiochip0"] {
            fake.file(node, "");
            fs::set_permissions(fake.path(node), fs::Permissions::from_mode(0o660)).expect("our own");
        }
        fake.limits("0", "8388608");
        fake
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file, and the directories it needs.
    pub(super) fn file(&self, path: &str, text: &str) {
        self.bytes(path, text.as_bytes());
    }

    /// The same with any content.
    pub(super) fn bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("inside the tree")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    /// Takes a file away.
    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("it was there");
    }

    /// `/proc/self/limits` with these two.
    pub(super) fn limits(&self, rtprio: &str, memlock: &str) {
        let text = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max locked memory         {memlock:<20} {memlock:<20} bytes     \n\
             Max realtime priority     {rtprio:<20} {rtprio:<20}           \n"
        );
        self.file("proc/self/limits", &text);
    }

    /// The machine, as `lab` sees it, who owns the files of the tree.
    pub(super) fn machine(&self) -> Machine {
        let uid = rustix::process::geteuid().as_raw();
        let who = Who { name: "lab".to_owned(), uid, gids: vec![1000], is_service: false };
        Machine::at(self.dir.path(), who)
    }
}

/// Four chips in a chain at 4 kHz: one transfer of 1 + 4 * 27 bytes on spi0, DRDY on GPIO 25.
pub(super) fn hardware() -> Hardware {
    Hardware {
        spi: vec![(0, 0)],
        gpio_chip: None,
        drdy_line: Some(25),
        control_lines: Vec::new(),
        spi_clock_hz: 8_333_334,
        bytes_per_frame: 109,
        rate_hz: 4000.0,
        keep_out_us: 1.953_125,
    }
}

/// A rig with that hardware, on a Pi 5.
pub(super) fn with(hardware: Hardware) -> Rig {
    let budget = FrameTime::of(&hardware, true);
    Rig {
        source_kind: "ads1299",
        simulated: false,
        rate_hz: hardware.rate_hz,
        slack_us: budget.slack_us(),
        hardware: Some(hardware),
        budget: Some(budget),
        ..synthetic()
    }
}

/// A rig with four chips in a chain.
pub(super) fn ads1299() -> Rig {
    with(hardware())
}

/// The simulated converter with its FIFO.
pub(super) fn synthetic() -> Rig {
    Rig {
        configuration: "rig.toml".to_owned(),
        source_kind: "synthetic",
        simulated: true,
        n_channels: 32,
        rate_hz: 4000.0,
        paced: true,
        slack_us: 990_000.0,
        link_us: 40_000.0,
        hardware: None,
        budget: None,
        acquire_core: 3,
        process_core: 2,
        n_cores: 4,
        isolated: Vec::new(),
        allowed: vec![0, 1, 2, 3],
        priority: 80,
        memory_bytes: 40_000_000,
        recording: Some(Recording {
            dir: PathBuf::from("/var/lib/biosigd/recordings"),
            budget_s: 30.0,
            min_free_gb: 1.0,
            record_bytes: 385_536,
            record_s: 1.0,
        }),
        busy_at: None::<SocketAddr>,
    }
}

/// A recording replayed as fast as it goes.
pub(super) fn free() -> Rig {
    Rig { source_kind: "replay", simulated: false, paced: false, slack_us: f64::INFINITY, ..synthetic() }
}
