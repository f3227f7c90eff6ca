//! `/dev/spidev*`: modes, and messages (Linux `drivers/spi/spidev.c`).

use rustix::io::Errno;

use crate::fields::{u16_at, u32_at, u64_at};

/// One open device.
#[derive(Debug)]
pub(crate) struct Device {
    /// The board's select.
    pub(crate) select: usize,
    mode: u32,
    bits: u8,
    clock_hz: u32,
}

/// One `struct spi_ioc_transfer` of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// Addresses in the program; 0: none.
    pub(crate) tx: u64,
    pub(crate) rx: u64,
    pub(crate) n_bytes: usize,
    pub(crate) clock_hz: u32,
    pub(crate) hold_us: u16,
    bits: u8,
    cs_change: u8,
}

/// Bytes of `struct spi_ioc_transfer`.
const SEGMENT_BYTES: usize = 32;

/// SPI mode 1, most significant bit first, select active low.
const MODE_1: u32 = 1;

impl Device {
    pub(crate) fn new(select: usize) -> Device {
        // What the device tree of Pi OS gives.
        Device { select, mode: 0, bits: 8, clock_hz: 125_000_000 }
    }

    /// Whether the chips understand what comes.
    pub(crate) fn is_mode_1(&self) -> bool {
        self.mode == MODE_1 && self.bits == 8
    }

    /// Every ioctl but the message; `number` as `SPI_IOC_*` has it.
    pub(crate) fn setting(&mut self, number: u32, writes: bool, argument: &mut [u8]) -> Result<(), Errno> {
        const MODE: u32 = 1;
        const LSB_FIRST: u32 = 2;
        const BITS: u32 = 3;
        const CLOCK: u32 = 4;
        const MODE32: u32 = 5;
        /// CPHA, CPOL, CS high, loop: what RP1's driver takes (`SPI_LSB_FIRST` and dual lines are refused).
        const MODES: u32 = 0b10_0111;
        match (number, argument.len()) {
            (MODE, 1) if writes => self.set_mode(u32::from(argument[0]), MODES)?,
            (MODE32, 4) if writes => self.set_mode(u32_at(argument, 0), MODES)?,
            (MODE, 1) => argument[0] = self.mode.to_ne_bytes()[0],
            (MODE32, 4) => argument.copy_from_slice(&self.mode.to_ne_bytes()),
            (LSB_FIRST, 1) if writes && argument[0] != 0 => return Err(Errno::INVAL),
            (LSB_FIRST, 1) if writes => {}
            (LSB_FIRST, 1) => argument[0] = 0,
            (BITS, 1) if writes => self.bits = argument[0],
            (BITS, 1) => argument[0] = self.bits,
            (CLOCK, 4) if writes && u32_at(argument, 0) == 0 => return Err(Errno::INVAL),
            (CLOCK, 4) if writes => self.clock_hz = u32_at(argument, 0),
            (CLOCK, 4) => argument.copy_from_slice(&self.clock_hz.to_ne_bytes()),
            _ => return Err(Errno::NOTTY),
        }
        Ok(())
    }

    fn set_mode(&mut self, mode: u32, allowed: u32) -> Result<(), Errno> {
        if mode & !allowed != 0 {
            return Err(Errno::INVAL);
        }
        self.mode = mode;
        Ok(())
    }

    /// The segments of a message, refused as spidev refuses them.
    pub(crate) fn segments(&self, message: &[u8], bufsiz: usize) -> Result<Vec<Segment>, Errno> {
        if message.len() % SEGMENT_BYTES != 0 {
            return Err(Errno::INVAL);
        }
        let segments: Vec<Segment> = message
            .chunks(SEGMENT_BYTES)
            .map(|bytes| Segment {
                tx: u64_at(bytes, 0),
                rx: u64_at(bytes, 8),
                n_bytes: u32_at(bytes, 16) as usize,
                clock_hz: rp1_clock_hz(match u32_at(bytes, 20) {
                    0 => self.clock_hz,
                    clock_hz => clock_hz,
                }),
                hold_us: u16_at(bytes, 24),
                bits: bytes[26],
                cs_change: bytes[27],
            })
            .collect();
        // Each part is rounded up for DMA.
        let total: usize = segments.iter().map(|segment| segment.n_bytes.next_multiple_of(128)).sum();
        if total > bufsiz {
            return Err(Errno::MSGSIZE);
        }
        let fits = |segment: &Segment| [0, 8].contains(&segment.bits) && segment.cs_change == 0;
        if segments.iter().all(fits) { Ok(segments) } else { Err(Errno::INVAL) }
    }
}

/// What RP1 makes of a wish: 200 MHz by the first even divisor that is not too fast.
fn rp1_clock_hz(wish_hz: u32) -> u32 {
    let steps = (2..=65_534).step_by(2).map(|divisor| 200_000_000 / divisor);
    steps.into_iter().find(|step_hz| *step_hz <= wish_hz).unwrap_or(3_051)
}
