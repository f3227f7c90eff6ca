//! The SPI devices: one `/dev/spidev*` for each chip select.

use std::fs;
use std::io;
use std::path::PathBuf;

use rppal::spi::{Bus, Mode, Segment, SlaveSelect, Spi};

use super::BusError;
use super::error::of_open;
use crate::source::ads1299::wire::{Shape, WireError};

/// What a device is opened with; every transfer brings its own clock. At this one every chip takes commands byte on
/// byte (datasheet SBAS499C, "tSDECODE").
const CLOCK_HZ: u32 = 2_000_000;

/// Chips of the longest chain.
const CHIPS_MAX: usize = 8;

/// The longest transfer: that in which start-up looks for a chip behind the last one.
const TRANSFER_BYTES_MAX: usize = 1 // RDATA
    + CHIPS_MAX * 27 // one frame of each chip
    + 1 // a bit between chips
    + 1; // the first byte behind them

/// What spidev must take at once, for any board. It rounds each transfer up to the alignment of DMA on arm64
/// (`ARCH_DMA_MINALIGN`).
pub const BUFSIZ_MIN: usize = TRANSFER_BYTES_MAX.next_multiple_of(128);

/// Opens the device of each select in SPI mode 1.
pub(super) fn open_all(selects: &[(u8, u8)]) -> Result<Vec<Spi>, BusError> {
    let spis = selects.iter().map(|(bus, select)| open(*bus, *select)).collect::<Result<Vec<_>, _>>()?;
    let bufsiz = fs::read_to_string("/sys/module/spidev/parameters/bufsiz");
    // A spidev that does not say takes 4096 bytes.
    let bufsiz = bufsiz.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(4096);
    if bufsiz < BUFSIZ_MIN {
        return Err(BusError::Bufsiz { bufsiz, needed: BUFSIZ_MIN });
    }
    Ok(spis)
}

fn open(bus: u8, select: u8) -> Result<Spi, BusError> {
    use SlaveSelect as Ss;
    const BUSES: [Bus; 7] = [Bus::Spi0, Bus::Spi1, Bus::Spi2, Bus::Spi3, Bus::Spi4, Bus::Spi5, Bus::Spi6];
    #[rustfmt::skip]
    const SELECTS: [Ss; 16] = [
        Ss::Ss0, Ss::Ss1, Ss::Ss2, Ss::Ss3, Ss::Ss4, Ss::Ss5, Ss::Ss6, Ss::Ss7,
        Ss::Ss8, Ss::Ss9, Ss::Ss10, Ss::Ss11, Ss::Ss12, Ss::Ss13, Ss::Ss14, Ss::Ss15,
    ];
    let (Some(spi_bus), Some(slave)) = (BUSES.get(usize::from(bus)), SELECTS.get(usize::from(select))) else {
        return Err(BusError::NoSuchSelect { bus, select });
    };
    Spi::new(*spi_bus, *slave, CLOCK_HZ, Mode::Mode1).map_err(|error| match error {
        rppal::spi::Error::Io(source) if source.kind() == io::ErrorKind::NotFound => {
            BusError::NoSpiDevice { bus, select, seen: devices_seen() }
        }
        rppal::spi::Error::Io(source) => of_open(&PathBuf::from(format!("/dev/spidev{bus}.{select}")), "spi", source),
        _ => BusError::SpiMode { bus, select },
    })
}

/// The SPI devices of the header; bus 10 is the boot EEPROM's.
fn devices_seen() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with("spidev") && !name.starts_with("spidev10."))
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// One transfer, with its own clock and its own hold of the select. spidev answers whole transfers or errors, so that a
/// short one is only one whose `tx` and `rx` differ in length.
///
/// Fast because the one segment lives on the stack and rppal hands its address to the kernel: one call of the kernel
/// and no allocation. rppal's `set_clock_speed` before each transfer would be a second call.
///
/// Real time: no allocation, no locks, no logging; waits for the transfer alone.
pub(super) fn transfer(spi: &Spi, shape: Shape, tx: &[u8], rx: &mut [u8]) -> Result<(), WireError> {
    if tx.len() != rx.len() {
        return Err(WireError::Short { got: tx.len().min(rx.len()), wanted: tx.len().max(rx.len()) });
    }
    let segment = Segment::with_settings(Some(rx), Some(tx), shape.clock_hz, shape.hold_us, 8, false);
    spi.transfer_segments(&[segment]).map_err(|error| {
        const TIMED_OUT: i32 = rustix::io::Errno::TIMEDOUT.raw_os_error();
        let errno = match error {
            rppal::spi::Error::Io(error) => error.raw_os_error(),
            _ => None,
        };
        match errno.unwrap_or(rustix::io::Errno::IO.raw_os_error()) {
            TIMED_OUT => WireError::SpiTimeout,
            errno => WireError::Spi(errno),
        }
    })
}
