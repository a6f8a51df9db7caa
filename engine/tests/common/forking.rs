//! Forks, and processes in namespaces of their own.
#![allow(unsafe_code, dead_code, clippy::unwrap_used)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

/// Forks; returns what the child's `work` returns, or that it panicked.
pub fn in_a_child(work: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let [mut read, write] = pipe();
    // SAFETY: the child has only this thread. It takes no lock that another thread may have held (the allocator handles
    // its own), and leaves by `_exit`, so that nothing of the test harness runs twice.
    let child = unsafe { libc::fork() };
    if child == 0 {
        say_and_exit(&write, work);
    }
    assert!(child > 0, "{}", io::Error::last_os_error());
    drop(write);
    let mut reported = Vec::new();
    read.read_to_end(&mut reported).unwrap();
    assert_eq!(wait_for(child), 0);
    reported
}

pub fn pipe() -> [File; 2] {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both descriptors, which are ours alone from here on.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        ends.map(|end| File::from(OwnedFd::from_raw_fd(end)))
    }
}

/// Ends a child with what its `work` returns, or that it panicked.
pub fn say_and_exit(mut write: &File, work: impl FnOnce() -> Vec<u8>) -> ! {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let reported = write.write_all(&done.unwrap_or_else(|_| b"it panicked".to_vec()));
    // SAFETY: it takes only a number, and does not return.
    unsafe { libc::_exit(i32::from(reported.is_err())) }
}

/// Waits for a child to end; returns its status.
pub fn wait_for(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is written to where the pointer points, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}
