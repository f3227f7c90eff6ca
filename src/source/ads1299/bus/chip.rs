//! The GPIO chip of the header, found by its label, and requests for its lines (Linux GPIO character device, version 2:
//! Documentation/userspace-api/gpio/chardev.rst).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gpiocdev_uapi::v2;

use super::error::{SeenChip, of_open};
use super::settings::Line;
use super::{BusError, ChipChoice};

/// The chip that a Pi 5's header hangs on.
const RP1_LABEL: &str = "pinctrl-rp1";

/// The labels of the header's chips: Pi 5, Pi 4, those before.
pub const HEADER_LABELS: [&str; 3] = [RP1_LABEL, "pinctrl-bcm2711", "pinctrl-bcm2835"];

/// An open GPIO chip.
#[derive(Debug)]
pub(super) struct Chip {
    device: File,
    pub(super) path: PathBuf,
    pub(super) label: String,
    n_lines: u32,
}

impl Chip {
    /// Finds the chip and opens it.
    pub(super) fn find(choice: &ChipChoice) -> Result<Chip, BusError> {
        let wanted: Vec<String> = match choice {
            ChipChoice::Path(path) => return Chip::at(path),
            ChipChoice::Label(label) => vec![label.clone()],
            ChipChoice::Auto => HEADER_LABELS.map(str::to_owned).to_vec(),
        };
        let (mut seen, mut refused) = (Vec::new(), None);
        for path in paths()? {
            match Chip::open(&path) {
                Ok(chip) if wanted.contains(&chip.label) => return Ok(chip),
                Ok(chip) => seen.push(SeenChip { path, label: Ok(chip.label) }),
                Err(error) => {
                    seen.push(SeenChip { path: path.clone(), label: Err(error.kind()) });
                    refused.get_or_insert((path, error));
                }
            }
        }
        match refused {
            _ if seen.is_empty() => Err(BusError::NoGpioChip),
            // Behind one that may not be opened the right one can hide.
            Some((path, error)) => Err(of_open(&path, "gpio", error)),
            None => Err(BusError::NoChipWithLabel { wanted, seen }),
        }
    }

    /// Opens the chip at `path`.
    fn at(path: &Path) -> Result<Chip, BusError> {
        Chip::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BusError::NoSuchChip { path: path.to_owned(), seen: chips_seen() },
            _ => of_open(path, "gpio", error),
        })
    }

    fn open(path: &Path) -> io::Result<Chip> {
        let device = File::open(path)?;
        let info = v2::get_chip_info(&device).map_err(system_error)?;
        let label = String::from(&info.label);
        Ok(Chip { device, path: path.to_owned(), label, n_lines: info.num_lines })
    }

    /// Whether SPI of this machine comes from RP1 too.
    pub(super) fn is_rp1(&self) -> bool {
        self.label == RP1_LABEL
    }

    /// Asks for `lines` in one request, for which the kernel counts together. `consumer` is what the kernel tells others
    /// who ask for the same lines, and the name of the interrupt's thread.
    pub(super) fn request(
        &self,
        lines: &[Line],
        consumer: &str,
        config: v2::LineConfig,
        event_buffer_size: u32,
    ) -> Result<File, BusError> {
        for line in lines {
            if line.number >= self.n_lines {
                let (chip, label) = (self.path.clone(), self.label.clone());
                return Err(BusError::NoSuchLine { line: *line, chip, label, n_lines: self.n_lines });
            }
        }
        let numbers: Vec<u32> = lines.iter().map(|line| line.number).collect();
        let request = v2::LineRequest {
            offsets: v2::Offsets::from_slice(&numbers),
            consumer: v2::Name::from(consumer),
            config,
            num_lines: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            event_buffer_size,
            ..v2::LineRequest::default()
        };
        v2::get_line(&self.device, request).map_err(|error| self.refusal(lines, system_error(error)))
    }

    /// Why the request for `lines` was refused.
    fn refusal(&self, lines: &[Line], source: io::Error) -> BusError {
        match source.kind() {
            io::ErrorKind::ResourceBusy => {
                for line in lines {
                    let info = v2::get_line_info(&self.device, line.number);
                    if let Some(info) = info.ok().filter(|info| info.flags.contains(v2::LineFlags::USED)) {
                        return BusError::LineBusy { line: *line, consumer: String::from(&info.consumer) };
                    }
                }
                BusError::Io { path: self.path.clone(), source }
            }
            _ if source.raw_os_error() == Some(rustix::io::Errno::NOTTY.raw_os_error()) => BusError::OldKernel,
            _ => of_open(&self.path, "gpio", source),
        }
    }
}

/// The GPIO chips of this machine.
#[must_use]
pub fn chips_seen() -> Vec<SeenChip> {
    let see = |path: PathBuf| {
        let label = Chip::open(&path).map(|chip| chip.label).map_err(|error| error.kind());
        SeenChip { path, label }
    };
    paths().unwrap_or_default().into_iter().map(see).collect()
}

/// Every `/dev/gpiochip*`, in the order of their numbers.
fn paths() -> Result<Vec<PathBuf>, BusError> {
    let dev = Path::new("/dev");
    let mut numbered: Vec<(u32, PathBuf)> = fs::read_dir(dev)
        .map_err(|source| BusError::Io { path: dev.to_owned(), source })?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("gpiochip")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// The error of the uAPI crate as one of the standard library.
fn system_error(error: v2::Error) -> io::Error {
    io::Error::from_raw_os_error(errno(&error))
}

/// Its number; a read that is no whole event is `EIO`.
///
/// Real time: no allocation, no locks, no waiting, no logging.
pub(super) fn errno(error: &v2::Error) -> i32 {
    match error {
        v2::Error::Os(errno) => errno.0,
        v2::Error::UnderRead(_) => rustix::io::Errno::IO.raw_os_error(),
    }
}
