//! Identifies this process, so that a fork is not mistaken for its parent.
//!
//! ```text
//! parent   page: 1 ---fork---> child   page: empty, and takes 2        (the next number is copied with the memory)
//! ```
//!
//! A process id is not enough: a fork into a new PID namespace can have its parent's id, and the id of an ended process
//! is reused. On Linux the mark is a number in a page that the kernel zeroes in every copy of the memory
//! (`MADV_WIPEONFORK`), whatever call makes the copy. A child that *shares* the memory (`vfork`, `CLONE_VM`) shares the
//! mark, and also the counters that the mark guards.
#![cfg_attr(target_os = "linux", allow(unsafe_code, reason = "argued at each block"))]

/// A process, distinct from every other whose memory was copied to or from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
    /// 0 where the kernel zeroes no pages.
    mark: u64,
}

/// Identifies the current process: two loads and one system call.
pub(crate) fn process() -> Process {
    Process {
        // Sufficient where processes cannot fork, and for most forks where there is no mark.
        id: if cfg!(unix) { std::process::id() } else { 0 },
        mark: mark::current(),
    }
}

#[cfg(target_os = "linux")]
mod mark {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use rustix::mm::{Advice, MapFlags, ProtFlags};

    /// The page that forks find zeroed: null before the first use, [`NO_PAGE`] if the kernel does not support it. Not a
    /// `OnceLock`: a fork during its initialization would wait forever for a thread that the fork does not have.
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
    static NO_PAGE: AtomicU64 = AtomicU64::new(0);
    /// The number that the next process with a zeroed page takes. Each copy of the memory continues from here, so a
    /// process has another number than the processes that its memory came from.
    static NEXT: AtomicU64 = AtomicU64::new(1);

    pub(super) fn current() -> u64 {
        let page = page();
        if ptr::eq(page, &raw const NO_PAGE) {
            return 0;
        }
        match page.load(Ordering::Relaxed) {
            0 => {
                let next = NEXT.fetch_add(1, Ordering::Relaxed);
                let taken = page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
                taken.map_or_else(|by_another_thread| by_another_thread, |_| next)
            }
            mark => mark,
        }
    }

    fn page() -> &'static AtomicU64 {
        let mut page = PAGE.load(Ordering::Acquire);
        if page.is_null() {
            let made = make().unwrap_or_else(|| (&raw const NO_PAGE).cast_mut());
            // If another thread was faster, this page stays unused: one page, once.
            let first = PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
            page = first.map_or_else(|by_another_thread| by_another_thread, |_| made);
        }
        // SAFETY: a non-null `PAGE` is a static, or a page from `make`: aligned, at least 8 bytes long, never unmapped.
        // Every value of its bytes is a valid `AtomicU64`, zeros included, and this process accesses it only as one.
        // The kernel zeroes the copy before the copy runs.
        unsafe { &*page }
    }

    /// Maps a page of zeros that is zeroed again in copies of the memory; `None` on kernels before 4.14, and if memory
    /// is exhausted.
    fn make() -> Option<*mut AtomicU64> {
        /// Rounded up by the kernel to its page size, here and in the advice.
        const LEN: usize = 4096;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address and MAP_FIXED, the kernel chooses an unused address.
        let page = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), LEN, access, MapFlags::PRIVATE) }.ok()?;
        // SAFETY: the page was just mapped, and nothing refers to it yet.
        unsafe { rustix::mm::madvise(page, LEN, Advice::LinuxWipeOnFork) }.ok()?;
        Some(page.cast())
    }
}

#[cfg(not(target_os = "linux"))]
mod mark {
    pub(super) const fn current() -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_on_every_thread() {
        let this = process();
        let seen: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(process)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|&other| other == this), "{this:?} {seen:?}");
    }
}
