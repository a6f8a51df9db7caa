//! Descriptors that the program was started with, by their numbers.
//!
//! ```text
//! closed 0, 1 or 2 -> seen by `look`, before std opens /dev/null in its place -> `duplicate` refuses it
//! ```
#![allow(unsafe_code, reason = "argued at each block")]

use std::fs::File;
use std::io;

/// What an open file may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// Another descriptor of the same open file: position, mode of access and append flag are shared with the one that
/// the program was given. Fails if it was given none of this number.
#[cfg(unix)]
pub(crate) fn duplicate(descriptor: u32) -> io::Result<File> {
    use std::os::fd::{FromRawFd, OwnedFd};
    let closed = || io::Error::from_raw_os_error(libc::EBADF);
    let descriptor = i32::try_from(descriptor).map_err(|_| closed())?;
    if !start::was_open(descriptor) {
        return Err(closed());
    }
    // SAFETY: a call with three numbers. A descriptor that is not open is an error, and the others stay as they are.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, start::STANDARD) };
    if copy == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and new, so nothing else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(copy) }))
}

/// The same for standard input and output. A handle that is missing fails when it is used.
#[cfg(windows)]
pub(crate) fn duplicate(descriptor: u32) -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    let copy = match descriptor {
        0 => io::stdin().as_handle().try_clone_to_owned(),
        1 => io::stdout().as_handle().try_clone_to_owned(),
        2 => io::stderr().as_handle().try_clone_to_owned(),
        _ => Err(io::ErrorKind::Unsupported.into()),
    };
    copy.map(File::from)
}

/// Whether `file` was opened for this.
pub(crate) fn access_of(file: &File, access: Access) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use rustix::fs::{OFlags, fcntl_getfl};
        let flags = fcntl_getfl(file)?;
        // A descriptor that only names a file.
        #[cfg(target_os = "linux")]
        if flags.contains(OFlags::PATH) {
            return Ok(false);
        }
        let mode = flags & OFlags::ACCMODE;
        Ok(mode == OFlags::RDWR
            || mode
                == match access {
                    Access::Read => OFlags::RDONLY,
                    Access::Write => OFlags::WRONLY,
                })
    }
    #[cfg(not(unix))]
    {
        let _ = (file, access);
        Ok(true)
    }
}

/// What was open when the program was started.
#[cfg(unix)]
mod start {
    use std::sync::atomic::{AtomicU8, Ordering};

    /// How many standard descriptors there are, from 0.
    pub(super) const STANDARD: i32 = 3;

    /// Bit N: standard descriptor N was closed.
    static CLOSED: AtomicU8 = AtomicU8::new(0);

    /// Run by the loader before `main`, and so before std opens /dev/null for each standard descriptor that is
    /// closed. Later, that would look like a /dev/null that the caller passed: Python's `DEVNULL` and daemons open it as
    /// std does.
    #[used]
    // SAFETY: the loader calls each pointer in this section as a C function; this one takes no arguments and returns
    // nothing, as `look` does.
    #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
    // SAFETY: the same of ELF's section.
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        for descriptor in 0..STANDARD {
            if flags(descriptor) == -1 {
                CLOSED.fetch_or(1 << descriptor, Ordering::Relaxed);
            }
        }
    }

    /// Whether the program was given this descriptor. Those that it opened itself are closed on exec, all of them, and
    /// one that it was given cannot be.
    pub(super) fn was_open(descriptor: i32) -> bool {
        if descriptor < STANDARD {
            return CLOSED.load(Ordering::Relaxed) >> descriptor & 1 == 0;
        }
        let flags = flags(descriptor);
        flags != -1 && flags & libc::FD_CLOEXEC == 0
    }

    fn flags(descriptor: i32) -> i32 {
        // SAFETY: a call with two numbers, which changes nothing; a descriptor that is not open is an error. It needs
        // nothing of std, which is not set up when `look` runs.
        unsafe { libc::fcntl(descriptor, libc::F_GETFD) }
    }
}
