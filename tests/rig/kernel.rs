//! What stands in for the kernel: which descriptors of the program are devices, and a thread that turns the board's
//! edges into events when their time has come.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use biosigd::rt::Role;
use rustix::io::Errno;
use rustix::thread::{ClockId, Timespec, clock_nanosleep_absolute};

use crate::board::{self, Board, Pin, Selected};
use crate::gpio::{self, Requests};
use crate::request;
use crate::settings::Settings;
use crate::spi::{Device, Segment};
use crate::truth::Truth;

/// The stand-in; one in the process, from the first call on that it is asked about.
pub(crate) struct Kernel {
    settings: Settings,
    state: Mutex<State>,
    /// Rung when the next edge may come sooner than the thread believes.
    changed: Condvar,
}

struct State {
    board: Box<dyn Board>,
    spis: BTreeMap<RawFd, Device>,
    /// GPIO chips, as places in the settings.
    chips: BTreeMap<RawFd, usize>,
    requests: Requests,
    /// The board's pins as they were last, in the order of `PINS`.
    pins: [bool; 3],
    truth: Truth,
}

/// The state, locked. A thread that has it may close files of its own on the way (reading the kernel's clock for the first
/// time can open one), which comes back to [`Kernel::close`].
struct Inside<'a>(MutexGuard<'a, State>);

thread_local! {
    /// Whether this thread has the state.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The board's pins and their levels while nobody drives them: pulled down and up as boards have it.
const PINS: [(Pin, bool); 3] = [(Pin::Start, false), (Pin::Reset, true), (Pin::PowerDown, true)];

impl Kernel {
    /// The stand-in, made when it is first asked for; `None` in a program that is not to be tested.
    pub(crate) fn get() -> Option<&'static Kernel> {
        static KERNEL: OnceLock<Option<Kernel>> = OnceLock::new();
        thread_local! {
            /// Making it opens files, which comes back here.
            static MAKING: Cell<bool> = const { Cell::new(false) };
        }
        if MAKING.get() {
            return None;
        }
        MAKING.set(true);
        let mut is_new = false;
        let kernel = KERNEL.get_or_init(|| {
            let settings = Settings::read()?.unwrap_or_else(|error| {
                eprintln!("rig: {error}");
                std::process::abort()
            });
            is_new = true;
            Some(Kernel::new(settings))
        });
        MAKING.set(false);
        if let (Some(kernel), true) = (kernel, is_new) {
            std::thread::spawn(|| kernel.run());
        }
        kernel.as_ref()
    }

    fn new(settings: Settings) -> Kernel {
        for name in settings
            .spi
            .iter()
            .map(|name| format!("spidev{name}"))
            .chain(settings.chips.iter().map(|(name, _)| name.clone()))
        {
            let made =
                std::fs::create_dir_all(&settings.dev).and_then(|()| std::fs::write(settings.dev.join(name), ""));
            made.expect("`dev` can be made");
        }
        let state = State {
            board: board::build(&settings),
            spis: BTreeMap::new(),
            chips: BTreeMap::new(),
            requests: Requests::new(),
            pins: PINS.map(|(_, high)| high),
            truth: Truth::default(),
        };
        Kernel { settings, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> Inside<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        INSIDE.set(true);
        Inside(state)
    }

    /// The thread: as late as the machine makes it, with the times of the edges themselves.
    fn run(&self) {
        // Interrupts come before every thread. Where that is refused edges come later, and stay what they are.
        let refused = biosigd::rt::enter(&Role { name: "rig", core: None, priority: Some(90) });
        drop(refused);
        // Whatever this thread closes is its own.
        INSIDE.set(true);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            state.catch_up(&self.settings);
            state = match state.board.next_edge_ns() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at_ns) => {
                    let left = Duration::from_nanos(at_ns.saturating_sub(now_ns()));
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The directory that a listing of `/dev` shows.
    pub(crate) fn dev(&self) -> &std::path::Path {
        &self.settings.dev
    }

    /// Opens `path` if it is one of ours: a new descriptor, or the error.
    pub(crate) fn open(&self, path: &str) -> Option<Result<RawFd, Errno>> {
        if let Some(text) = self.settings.files.get(path) {
            return Some(file_of(text));
        }
        let name = path.strip_prefix("/dev/")?;
        if self.settings.faults.denied.iter().any(|denied| denied == path) {
            return Some(Err(Errno::ACCESS));
        }
        if let Some(name) = name.strip_prefix("spidev") {
            let select = self.settings.spi.iter().position(|known| known == name);
            return Some(select.ok_or(Errno::NOENT).and_then(|select| {
                let descriptor = request::device().map_err(|_| Errno::NFILE)?.into_raw_fd();
                self.lock().spis.insert(descriptor, Device::new(select));
                Ok(descriptor)
            }));
        }
        name.strip_prefix("gpiochip")?;
        let chip = self.settings.chips.iter().position(|(known, _)| known == name);
        Some(chip.ok_or(Errno::NOENT).and_then(|chip| {
            let descriptor = request::device().map_err(|_| Errno::NFILE)?.into_raw_fd();
            self.lock().chips.insert(descriptor, chip);
            Ok(descriptor)
        }))
    }

    /// Forgets a descriptor that is about to be closed; lines that it held are free, and pins float.
    pub(crate) fn close(&self, descriptor: RawFd) {
        if INSIDE.get() {
            // A file of the rig's own.
            return;
        }
        let mut state = self.lock();
        state.spis.remove(&descriptor);
        state.chips.remove(&descriptor);
        let Some(request) = state.requests.remove(&descriptor) else { return };
        state.truth.events_overflowed += request.n_overflowed();
        state.drive_pins(&self.settings);
        drop(state);
        self.changed.notify_one();
        // Its own descriptors are closed by a call that comes back here: only now.
        drop(request);
    }

    /// Whether the descriptor is an SPI device, and if so the segments of `message`.
    pub(crate) fn segments(&self, descriptor: RawFd, message: &[u8]) -> Option<Result<Vec<Segment>, Errno>> {
        let bufsiz = self.settings.files.get("/sys/module/spidev/parameters/bufsiz");
        let bufsiz = bufsiz.and_then(|text| text.trim().parse().ok()).unwrap_or(4096);
        Some(self.lock().spis.get(&descriptor)?.segments(message, bufsiz))
    }

    /// Whether the descriptor is any of ours.
    pub(crate) fn has(&self, descriptor: RawFd) -> bool {
        let state = self.lock();
        state.spis.contains_key(&descriptor)
            || state.chips.contains_key(&descriptor)
            || state.requests.contains_key(&descriptor)
    }

    /// An ioctl on one of our descriptors, messages left out: `_IOC_NR`, whether the program writes, and its structure,
    /// which is copied in and out.
    pub(crate) fn ioctl(&self, descriptor: RawFd, number: u32, writes: bool, fields: &mut [u8]) -> Result<(), Errno> {
        let mut state = self.lock();
        if let Some(device) = state.spis.get_mut(&descriptor) {
            return device.setting(number, writes, fields);
        }
        state.gpio(&self.settings, descriptor, number, fields)?;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// An SPI message: the segments, and what they send, joined; what is received goes into `rx`.
    pub(crate) fn message(
        &self,
        descriptor: RawFd,
        segments: &[Segment],
        tx: &[u8],
        rx: &mut [u8],
    ) -> Result<(), Errno> {
        let mut state = self.lock();
        let State { spis, truth, .. } = &mut *state;
        let Some(device) = spis.get(&descriptor) else { return Err(Errno::NOTTY) };
        truth.transfers += 1;
        let faults = &self.settings.faults;
        if truth.transfers >= faults.spi_fail_from && is_turn(truth.transfers, faults.spi_fail_every) {
            truth.transfers_failed += 1;
            return Err(faults.spi_errno.map_or(Errno::IO, Errno::from_raw_os_error));
        }
        let Some(segment) = segments.first() else { return Ok(()) };
        let (select, is_mode_1) = (device.select, device.is_mode_1());
        let at_ns = state.catch_up(&self.settings);
        let hold_us = segments.last().map_or(0, |segment| segment.hold_us);
        if is_mode_1 {
            state.board.transfer(Selected { at_ns, select, clock_hz: segment.clock_hz, hold_us }, tx, rx);
        } else {
            // The chips see other bits than were meant; nobody answers.
            state.truth.transfers_in_wrong_mode += 1;
            rx.fill(0);
        }
        drop(state);
        self.changed.notify_one();
        if self.settings.wire_time {
            let wire_ns = tx.len() as u64 * 8_000_000_000 / u64::from(segment.clock_hz) + u64::from(hold_us) * 1000;
            sleep_until(at_ns + wire_ns);
        }
        let mut state = self.lock();
        let now_ns = state.catch_up(&self.settings);
        state.board.returned(now_ns);
        Ok(())
    }

    /// Writes the truth.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.catch_up(&self.settings);
        state.truth.board = state.board.truth();
        let open: u64 = state.requests.values().map(request::Request::n_overflowed).sum();
        state.truth.events_overflowed += open;
        let truth = std::mem::take(&mut state.truth);
        // The file is closed by a call that comes back here: only without the lock.
        drop(state);
        truth.write(&self.settings.truth);
    }
}

impl Deref for Inside<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl DerefMut for Inside<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

impl State {
    /// Lets the board come up to now, and its edges with it; answers what now was.
    fn catch_up(&mut self, settings: &Settings) -> u64 {
        let now_ns = now_ns();
        let State { board, requests, truth, .. } = self;
        let Some(line) = settings.drdy_line else {
            board.advance(now_ns, &mut |_| {});
            return now_ns;
        };
        board.advance(now_ns, &mut |at_ns| {
            let Some(request) =
                requests.values_mut().find(|request| request.lines.iter().any(|one| one.number == line))
            else {
                return;
            };
            truth.edges += 1;
            if is_turn(truth.edges, settings.faults.latch_every) {
                truth.edges_latched += 1;
                return;
            }
            let merges = is_turn(truth.edges, settings.faults.coalesce_every);
            truth.edges_coalesced += u64::from(merges);
            request.edge(line, at_ns, merges);
            if let Some((other, every)) = settings.faults.crosstalk {
                if is_turn(truth.edges, every) {
                    request.edge(other, at_ns, false);
                }
            }
        });
        now_ns
    }

    fn gpio(&mut self, settings: &Settings, descriptor: RawFd, number: u32, argument: &mut [u8]) -> Result<(), Errno> {
        if let Some(chip) = self.chips.get(&descriptor) {
            match (number, argument.len()) {
                (gpio::GET_CHIPINFO, 68) => gpio::chip_info(settings, *chip, argument),
                // The board hangs on the first chip; the lines of the others are nobody's.
                (_, _) if *chip != 0 => return Err(Errno::INVAL),
                (gpio::GET_LINEINFO, 256) => gpio::line_info(settings, &self.requests, argument)?,
                (gpio::GET_LINE, 592) => {
                    gpio::request(settings, &mut self.requests, argument)?;
                    self.drive_pins(settings);
                }
                _ => return Err(Errno::NOTTY),
            }
            return Ok(());
        }
        let Some(request) = self.requests.get_mut(&descriptor) else { return Err(Errno::NOTTY) };
        match (number, argument.len()) {
            (gpio::GET_VALUES, 16) => {
                let drdy = self.board.drdy();
                // Pulled up where nothing drives it.
                gpio::values(request, argument, |line| Some(line) != settings.drdy_line || drdy);
            }
            (gpio::SET_VALUES, 16) => {
                gpio::set_values(request, argument)?;
                self.drive_pins(settings);
            }
            _ => return Err(Errno::NOTTY),
        }
        Ok(())
    }

    /// Gives the board those levels of its pins that have changed.
    fn drive_pins(&mut self, settings: &Settings) {
        let at_ns = self.catch_up(settings);
        let lines = [settings.start_line, settings.reset_line, settings.power_down_line];
        for (i, (pin, rest)) in PINS.into_iter().enumerate() {
            let driven = self.requests.values().flat_map(|request| &request.lines);
            let driven = driven.filter(|line| line.is_output()).find(|line| Some(line.number) == lines[i]);
            let high = driven.map_or(rest, |line| line.high);
            if high != self.pins[i] {
                self.pins[i] = high;
                self.board.set_pin(at_ns, pin, high);
            }
        }
    }
}

/// Whether the `n`-th is one of each `every`.
fn is_turn(n: u64, every: u64) -> bool {
    every > 0 && n % every == 0
}

fn now_ns() -> u64 {
    biosigd::rt::now_ns()
}

fn sleep_until(at_ns: u64) {
    let at = Timespec {
        tv_sec: i64::try_from(at_ns / 1_000_000_000).expect("years"),
        tv_nsec: i64::try_from(at_ns % 1_000_000_000).expect("below a second"),
    };
    while clock_nanosleep_absolute(ClockId::Monotonic, &at) == Err(Errno::INTR) {}
}

/// A file with `text` in it, at its beginning.
fn file_of(text: &str) -> Result<RawFd, Errno> {
    let file = rustix::fs::memfd_create("rig", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::io::write(&file, text.as_bytes())?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into_raw_fd())
}
