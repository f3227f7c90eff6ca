//! Why the wires cannot be opened, in words that somebody at the bench can act on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::settings::Line;

/// Why SPI or GPIO cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The device tree has no such SPI device.
    #[error("/dev/spidev{bus}.{select} is not there: {}{}", enabling(*bus, *select), there_are(seen))]
    NoSpiDevice {
        /// The SPI bus.
        bus: u8,
        /// The chip select on it.
        select: u8,
        /// The SPI devices of the header that are there.
        seen: Vec<PathBuf>,
    },
    /// rppal drives the buses 0 to 6 with the chip selects 0 to 15.
    #[error("select `{bus}.{select}`: buses go from 0 to 6 and chip selects from 0 to 15")]
    NoSuchSelect {
        /// The SPI bus.
        bus: u8,
        /// The chip select on it.
        select: u8,
    },
    /// The device does not take SPI mode 1, or a setting.
    #[error("/dev/spidev{bus}.{select} does not take SPI mode 1 with 8 bits, which every ADS1299 needs")]
    SpiMode {
        /// The SPI bus.
        bus: u8,
        /// The chip select on it.
        select: u8,
    },
    /// Transfers must fit into spidev's own memory.
    #[error(
        "spidev takes at most {bufsiz} bytes per transfer and {needed} are needed: remove `spidev.bufsiz` from \
         /boot/firmware/cmdline.txt, or set it to 4096 or more, and restart"
    )]
    Bufsiz {
        /// What `/sys/module/spidev/parameters/bufsiz` says.
        bufsiz: usize,
        /// What the longest chain needs.
        needed: usize,
    },
    /// The account may not open the device.
    #[error("{}: permission denied: {}", path.display(), joining(group, owner.as_deref()))]
    Permission {
        /// The device.
        path: PathBuf,
        /// The group that has the device on Pi OS: `spi` or `gpio`.
        group: &'static str,
        /// The group that has it here, where that can be told.
        owner: Option<String>,
    },
    /// No GPIO chip at all.
    #[error(
        "there is no /dev/gpiochip*: this kernel has no GPIO, or a container hides it; where there is no Pi, \
         `bus = \"simulated\"` takes its place"
    )]
    NoGpioChip,
    /// The GPIO chip that the configuration names is not there.
    #[error("{} is not there; known: {}", path.display(), chips(seen))]
    NoSuchChip {
        /// What was named.
        path: PathBuf,
        /// The chips there are.
        seen: Vec<SeenChip>,
    },
    /// None of the GPIO chips has the label.
    #[error("no GPIO chip has the label {}; seen: {}; name one of these as `gpio_chip`", labels(wanted), chips(seen))]
    NoChipWithLabel {
        /// Any of these would do.
        wanted: Vec<String>,
        /// The chips there are.
        seen: Vec<SeenChip>,
    },
    /// The line number is too large.
    #[error("{line}: {} ({label}) has the lines 0 to {}", chip.display(), n_lines.saturating_sub(1))]
    NoSuchLine {
        /// The line.
        line: Line,
        /// The chip's device.
        chip: PathBuf,
        /// The chip's label.
        label: String,
        /// How many lines it has.
        n_lines: u32,
    },
    /// One line cannot do two things.
    #[error("{line} is also {also}: each needs a GPIO of its own")]
    LineTwice {
        /// The line.
        line: Line,
        /// Its other use.
        also: &'static str,
    },
    /// Somebody has the line.
    #[error("{line} is taken by {}: {}", consumer_or_unknown(consumer), freeing(consumer))]
    LineBusy {
        /// The line.
        line: Line,
        /// Who has it, as the kernel knows it; may be empty.
        consumer: String,
    },
    /// The kernel does not speak version 2 of the GPIO character device.
    #[error("this kernel does not know version 2 of the GPIO character device: Linux 5.10 or newer is needed")]
    OldKernel,
    /// The operating system refused for a reason of its own.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The device.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A GPIO chip of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenChip {
    /// Its device.
    pub path: PathBuf,
    /// Its label, or why that cannot be read.
    pub label: Result<String, io::ErrorKind>,
}

impl fmt::Display for SeenChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Ok(label) => write!(f, "{} ({label})", self.path.display()),
            Err(kind) => write!(f, "{} ({kind})", self.path.display()),
        }
    }
}

impl BusError {
    /// The `errno` behind it; what the real-time thread can carry away.
    pub(super) fn errno(&self) -> i32 {
        use rustix::io::Errno;
        let errno = match self {
            BusError::NoSpiDevice { .. }
            | BusError::NoGpioChip
            | BusError::NoSuchChip { .. }
            | BusError::NoChipWithLabel { .. } => Errno::NOENT,
            BusError::NoSuchSelect { .. } | BusError::SpiMode { .. } | BusError::NoSuchLine { .. } => Errno::INVAL,
            BusError::Bufsiz { .. } => Errno::MSGSIZE,
            BusError::Permission { .. } => Errno::ACCESS,
            BusError::LineTwice { .. } | BusError::LineBusy { .. } => Errno::BUSY,
            BusError::OldKernel => Errno::NOTTY,
            BusError::Io { source, .. } => return source.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
        };
        errno.raw_os_error()
    }
}

/// What makes the SPI device appear (device-tree overlays of the Raspberry Pi kernel, `overlays/README`).
fn enabling(bus: u8, select: u8) -> String {
    let overlay = match (bus, select) {
        (0, 0..=1) => "dtparam=spi=on".to_owned(),
        (1, 0..=2) => format!("dtoverlay=spi1-{}cs", select + 1),
        (2 | 3 | 5, 0..=1) => format!("dtoverlay=spi{bus}-{}cs-pi5", select + 1),
        (0..=3 | 5, _) => {
            return format!("bus {bus} has a chip select {select} only with a device-tree overlay made for it");
        }
        _ => return format!("the header of a Pi 5 has the buses 0, 1, 2, 3 and 5, and no bus {bus}"),
    };
    format!("enable SPI with {overlay} in /boot/firmware/config.txt and restart")
}

fn there_are(seen: &[PathBuf]) -> String {
    match seen {
        [] => String::new(),
        [one] => format!(" (there is {})", one.display()),
        many => format!(" (there are {})", join(many.iter().map(|path| path.display().to_string()))),
    }
}

/// How the account gets at the device.
fn joining(group: &str, owner: Option<&str>) -> String {
    if let Some("root") = owner {
        return format!(
            "it belongs to root alone; on Pi OS a udev rule gives it to group `{group}` \
             (/usr/lib/udev/rules.d/99-com.rules)"
        );
    }
    let group = owner.unwrap_or(group);
    format!(
        "biosigd's account is not in group `{group}`: `sudo usermod -aG {group} ACCOUNT` and log in again, or for the \
         service SupplementaryGroups={group}"
    )
}

fn chips(seen: &[SeenChip]) -> String {
    if seen.is_empty() { "no GPIO chip at all".to_owned() } else { join(seen.iter().map(ToString::to_string)) }
}

fn labels(wanted: &[String]) -> String {
    wanted.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(" or ")
}

fn consumer_or_unknown(consumer: &str) -> String {
    if consumer.is_empty() { "somebody who left no name".to_owned() } else { format!("`{consumer}`") }
}

/// How a line comes free: the kernel's own users are named after their drivers.
fn freeing(consumer: &str) -> &'static str {
    if consumer.starts_with("biosigd") {
        "another biosigd runs; stop that one, or choose another GPIO"
    } else if consumer.starts_with("spi") {
        "it is a chip select; choose another GPIO, or an SPI overlay that leaves it alone"
    } else {
        "stop that program, remove its overlay from /boot/firmware/config.txt, or choose another GPIO"
    }
}

fn join(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// The situation that the system's refusal to open `path` stands for.
pub(super) fn of_open(path: &Path, group: &'static str, source: io::Error) -> BusError {
    if source.kind() == io::ErrorKind::PermissionDenied {
        return BusError::Permission { path: path.to_owned(), group, owner: owner_of(path) };
    }
    BusError::Io { path: path.to_owned(), source }
}

/// The name of the group that has `path`.
fn owner_of(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let group = std::fs::metadata(path).ok()?.gid().to_string();
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    // group(5): name:password:number:members
    let mut lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.get(2) == Some(&group.as_str())).and_then(|fields| Some((*fields.first()?).to_owned()))
}
