//! The functions of the C library that the program's calls meet instead of the real ones. All that is unsafe about the
//! rig is here, and nothing else is: a program's memory becomes slices, and results become `errno`.
//!
//! Variadic functions are defined with the fixed arguments that their callers pass: on x86-64 and AArch64 Linux both are
//! passed alike, and an argument that was not passed is not looked at.
#![allow(unsafe_code, reason = "a library that takes the place of C functions cannot be written without")]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::slice;
use std::sync::Once;

use rustix::io::Errno;

use crate::disk;
use crate::kernel::Kernel;
use crate::spi::Segment;

/// `_IOC_TYPE` of spidev and of GPIO chips.
const SPI: c_ulong = b'k' as c_ulong;
const GPIO: c_ulong = 0xB4;

/// # Safety
/// As open(2): `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: unsafe because of the pointer; sound because the caller keeps open(2)'s promise about it.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As open(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_at(libc::AT_FDCWD, path, flags, mode) }
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn openat(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_at(dir, path, flags, mode) }
}

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_at(dir, path, flags, mode) }
}

/// # Safety
/// `path` is a C string.
unsafe fn open_at(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: unsafe because of the pointer; sound because our caller promises a C string.
    let text = unsafe { CStr::from_ptr(path) }.to_str().unwrap_or_default();
    // Other files are not looked at, so that the rig does not begin before it is needed.
    if ["/dev/spidev", "/dev/gpiochip", "/sys/", "/proc/"].iter().any(|start| text.starts_with(start)) {
        if let Some(opened) = kernel().and_then(|kernel| kernel.open(text)) {
            return answer(opened);
        }
    }
    // SAFETY: unsafe because it is a system call with a pointer; sound because these are the caller's own arguments.
    let result = unsafe { libc::syscall(libc::SYS_openat, dir, path, flags | libc::O_LARGEFILE, mode) };
    int(result)
}

/// # Safety
/// As close(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    if let Some(kernel) = begun() {
        kernel.close(descriptor);
    }
    // SAFETY: unsafe because somebody may still use the descriptor; sound because the caller owns it.
    int(unsafe { libc::syscall(libc::SYS_close, descriptor) })
}

/// # Safety
/// As fdatasync(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    if let Some(errno) = disk::fault("sync") {
        return answer(Err(Errno::from_raw_os_error(errno)));
    }
    // SAFETY: unsafe because it is a system call; sound because it has no pointer.
    int(unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) })
}

/// # Safety
/// As pwrite(2): `bytes` are as many as it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(descriptor: c_int, bytes: *const c_void, n_bytes: usize, at: i64) -> isize {
    if let Some(errno) = disk::fault("write") {
        return answer(Err(Errno::from_raw_os_error(errno))) as isize;
    }
    // SAFETY: unsafe because of the pointer; sound because these are the caller's own arguments.
    let result = unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, bytes, n_bytes, at) };
    isize::try_from(result).unwrap_or(-1)
}

/// # Safety
/// As ioctl(2): `argument` points to what `request` says.
#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let kind = (request >> 8) & 0xFF;
    let n_bytes = ((request >> 16) & 0x3FFF) as usize;
    let number = (request & 0xFF) as u32;
    let is_ours = n_bytes > 0 && (kind == SPI || kind == GPIO);
    if let Some(kernel) = begun().filter(|kernel| is_ours && kernel.has(descriptor)) {
        // SAFETY: unsafe because the length is the request's word for it; sound because that word is what the kernel
        // itself would go by, and the program waits until the call is over.
        let fields = unsafe { slice::from_raw_parts_mut(argument.cast::<u8>(), n_bytes) };
        if kind == SPI && number == 0 {
            let segments = kernel.segments(descriptor, fields).unwrap_or(Err(Errno::NOTTY));
            // SAFETY: as the fields: the addresses in them are what the kernel would go by.
            return answer(segments.and_then(|segments| unsafe { message(kernel, descriptor, &segments) }));
        }
        let writes = request >> 30 & 1 == 1;
        let done = kernel.ioctl(descriptor, number, writes, fields);
        return answer(done.map(|()| 0));
    }
    // SAFETY: unsafe because of the pointer; sound because these are the caller's own arguments.
    int(unsafe { libc::syscall(libc::SYS_ioctl, descriptor, request, argument) })
}

/// Joins what the segments send, and spreads what comes back.
///
/// # Safety
/// The addresses of the segments are the program's, and as long as they say.
unsafe fn message(kernel: &Kernel, descriptor: RawFd, segments: &[Segment]) -> Result<RawFd, Errno> {
    let mut tx = Vec::new();
    for segment in segments {
        match segment.tx {
            0 => tx.resize(tx.len() + segment.n_bytes, 0),
            // SAFETY: unsafe because of the address; sound because our caller promises it.
            address => tx.extend(unsafe { slice::from_raw_parts(address as *const u8, segment.n_bytes) }),
        }
    }
    let mut rx = vec![0; tx.len()];
    kernel.message(descriptor, segments, &tx, &mut rx)?;
    let mut rest = rx.as_slice();
    for segment in segments {
        let (own, after) = rest.split_at(segment.n_bytes);
        if segment.rx != 0 {
            // SAFETY: unsafe because of the address; sound because our caller promises it, and that nobody else looks
            // there meanwhile.
            unsafe { slice::from_raw_parts_mut(segment.rx as *mut u8, segment.n_bytes) }.copy_from_slice(own);
        }
        rest = after;
    }
    Ok(RawFd::try_from(tx.len()).unwrap_or(RawFd::MAX))
}

/// A listing of `/dev` shows the rig's devices.
///
/// # Safety
/// As opendir(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    // SAFETY: unsafe because of the pointer; sound because the caller promises a C string.
    let is_dev = unsafe { CStr::from_ptr(path) } == c"/dev";
    let instead = kernel().filter(|_| is_dev).map(|kernel| [kernel.dev().as_os_str().as_bytes(), b"\0"].concat());
    let path = instead.as_ref().map_or(path, |path| path.as_ptr().cast());
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: unsafe because of the pointers; sound because the path is a C string either way, and the new descriptor is
    // nobody else's.
    unsafe {
        match int(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags)) {
            -1 => std::ptr::null_mut(),
            descriptor => libc::fdopendir(descriptor),
        }
    }
}

/// The stand-in for the kernel; whatever it knows is written when the program ends.
fn kernel() -> Option<&'static Kernel> {
    static ONCE: Once = Once::new();
    let kernel = Kernel::get()?;
    ONCE.call_once(|| {
        BEGUN.store(true, std::sync::atomic::Ordering::Release);
        // SAFETY: unsafe because it is a call into C; sound because the function lives as long as the program.
        let refused = unsafe { libc::atexit(at_exit) };
        assert!(refused == 0, "the rig hears of the end");
    });
    Some(kernel)
}

/// Whether any device was looked for. `Release` and `Acquire`: who sees it set also sees the stand-in.
static BEGUN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The stand-in, once a device was looked for; calls before that are none of its business.
fn begun() -> Option<&'static Kernel> {
    if BEGUN.load(std::sync::atomic::Ordering::Acquire) { Kernel::get() } else { None }
}

extern "C" fn at_exit() {
    if let Some(kernel) = Kernel::get() {
        kernel.end();
    }
}

fn answer(result: Result<RawFd, Errno>) -> c_int {
    result.unwrap_or_else(|error| {
        // SAFETY: unsafe because of the pointer; sound because the C library keeps it for each thread.
        unsafe { *libc::__errno_location() = error.raw_os_error() };
        -1
    })
}

/// The result of a system call whose `errno` is set already.
fn int(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}
