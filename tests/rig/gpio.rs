//! `/dev/gpiochip*`: its ioctls, and those of a request (Linux `include/uapi/linux/gpio.h`, version 2).

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use rustix::io::Errno;

use crate::fields::{put, put_text, text_at, u32_at, u64_at};
use crate::request::{Line, Request};
use crate::settings::Settings;

/// The requests that the program has, by descriptor, on the chip that the board hangs on.
pub(crate) type Requests = BTreeMap<RawFd, Request>;

/// Numbers of the ioctls, `_IOC_NR`.
pub(crate) const GET_CHIPINFO: u32 = 0x01;
pub(crate) const GET_LINEINFO: u32 = 0x05;
pub(crate) const GET_LINE: u32 = 0x07;
pub(crate) const GET_VALUES: u32 = 0x0E;
pub(crate) const SET_VALUES: u32 = 0x0F;

/// `struct gpiochip_info`.
pub(crate) fn chip_info(settings: &Settings, chip: usize, info: &mut [u8]) {
    let (name, label) = &settings.chips[chip];
    put_text(info, 0..32, name);
    put_text(info, 32..64, label);
    put(info, 64, settings.n_lines.to_ne_bytes());
}

/// `struct gpio_v2_line_info`.
pub(crate) fn line_info(settings: &Settings, requests: &Requests, info: &mut [u8]) -> Result<(), Errno> {
    const USED: u64 = 1;
    let number = u32_at(info, 64);
    if number >= settings.n_lines {
        return Err(Errno::INVAL);
    }
    let ours = requests.values().find_map(|request| {
        let line = request.lines.iter().find(|line| line.number == number)?;
        Some((request.consumer.clone(), line.flags))
    });
    let theirs = || settings.faults.busy.iter().find(|(line, _)| *line == number).map(|(_, who)| (who.clone(), 0));
    let taken = ours.or_else(theirs);
    let (consumer, flags) = taken.map_or((String::new(), 0), |(consumer, flags)| (consumer, flags | USED));
    info.fill(0);
    put_text(info, 0..32, &format!("GPIO{number}"));
    put_text(info, 32..64, &consumer);
    put(info, 64, number.to_ne_bytes());
    put(info, 72, flags.to_ne_bytes());
    Ok(())
}

/// `struct gpio_v2_line_request`.
pub(crate) fn request(settings: &Settings, requests: &mut Requests, argument: &mut [u8]) -> Result<RawFd, Errno> {
    let n_lines = u32_at(argument, 560) as usize;
    if !(1..=64).contains(&n_lines) {
        return Err(Errno::INVAL);
    }
    let mut lines = Vec::new();
    for i in 0..n_lines {
        let number = u32_at(argument, 4 * i);
        if number >= settings.n_lines {
            return Err(Errno::INVAL);
        }
        let taken =
            requests.values().flat_map(|request| &request.lines).chain(&lines).any(|line| line.number == number)
                || settings.faults.busy.iter().any(|(line, _)| *line == number);
        if taken {
            return Err(Errno::BUSY);
        }
        let (flags, high) = line_config(&argument[288..560], i);
        lines.push(Line::new(number, flags, high));
    }
    let (request, descriptor) =
        Request::new(lines, text_at(argument, 256..288), u32_at(argument, 564)).map_err(|_| Errno::NFILE)?;
    requests.insert(descriptor.as_raw_fd(), request);
    put(argument, 588, descriptor.as_raw_fd().to_ne_bytes());
    Ok(descriptor.into_raw_fd())
}

/// The flags and the output level that `struct gpio_v2_line_config` has for line `i` of the request.
fn line_config(config: &[u8], i: usize) -> (u64, bool) {
    const ATTRIBUTE_FLAGS: u32 = 1;
    const ATTRIBUTE_VALUES: u32 = 2;
    let (mut flags, mut high) = (u64_at(config, 0), false);
    for attribute in config[32..].chunks(24).take(u32_at(config, 8) as usize) {
        let value = u64_at(attribute, 8);
        if u64_at(attribute, 16) >> i & 1 == 0 {
            continue;
        }
        match u32_at(attribute, 0) {
            ATTRIBUTE_FLAGS => flags = value,
            ATTRIBUTE_VALUES => high = value >> i & 1 == 1,
            _ => {}
        }
    }
    (flags, high)
}

/// `struct gpio_v2_line_values`, read; `level` is that of a line that the program does not drive.
pub(crate) fn values(request: &Request, argument: &mut [u8], level: impl Fn(u32) -> bool) {
    let mask = u64_at(argument, 8);
    let mut bits = 0_u64;
    for (i, line) in request.lines.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1) {
        let high = if line.is_output() { line.high } else { level(line.number) };
        bits |= u64::from(high) << i;
    }
    put(argument, 0, bits.to_ne_bytes());
}

/// `struct gpio_v2_line_values`, written.
pub(crate) fn set_values(request: &mut Request, argument: &[u8]) -> Result<(), Errno> {
    let (bits, mask) = (u64_at(argument, 0), u64_at(argument, 8));
    for (i, line) in request.lines.iter_mut().enumerate().filter(|(i, _)| mask >> i & 1 == 1) {
        if !line.is_output() {
            return Err(Errno::PERM);
        }
        line.high = bits >> i & 1 == 1;
    }
    Ok(())
}
