//! Which process this is, so that no fork is taken for the process it was forked from.
//!
//! ```text
//! parent   page: 1 ---fork---> child   page: empty, and takes 2        (the next number is copied with the memory)
//! ```
//!
//! A process id alone does not tell: a fork into a new PID namespace can have its parent's id, and the id of a process
//! that has ended is given out again. On Linux the mark is a number in a page that the kernel empties in every copy of
//! the memory (`MADV_WIPEONFORK`), whatever call makes the copy. A child that *shares* the memory (`vfork`, `CLONE_VM`)
//! shares the mark, and the counters that the mark guards.
#![cfg_attr(target_os = "linux", allow(unsafe_code, reason = "argued at each block"))]

/// A process, unlike every other whose memory was copied to or from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
    /// 0 where the kernel empties no pages.
    mark: u64,
}

/// The process that this is: two loads and one call of the operating system.
pub(crate) fn process() -> Process {
    Process {
        // Enough by itself where a process cannot become two, and for most forks where there is no mark.
        id: if cfg!(unix) { std::process::id() } else { 0 },
        mark: mark::current(),
    }
}

#[cfg(target_os = "linux")]
mod mark {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use rustix::mm::{Advice, MapFlags, ProtFlags};

    /// The page that forks find empty: null before the first use, [`NO_PAGE`] if the kernel has none. Not a `OnceLock`:
    /// a fork in the middle of its initialization would wait forever for a thread that it does not have.
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
    static NO_PAGE: AtomicU64 = AtomicU64::new(0);
    /// The number that the next process with an empty page takes. Each copy of the memory goes on from here, so a
    /// process has another number than those that its memory comes from.
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
            // A page that another thread was faster to make is left unused: it is one, once.
            let first = PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
            page = first.map_or_else(|by_another_thread| by_another_thread, |_| made);
        }
        // SAFETY: what `PAGE` holds once it is not null is a static, or a page that `make` gave: aligned, at least 8
        // bytes long, never unmapped. Every value of its bytes is an `AtomicU64`, zeros included, and this process
        // accesses it as one only. The kernel's emptying is done in the copy before the copy runs.
        unsafe { &*page }
    }

    /// A page of zeros that copies of the memory have as zeros again; `None` on kernels before 4.14, and where memory
    /// is out.
    fn make() -> Option<*mut AtomicU64> {
        /// Rounded up by the kernel to its own page, here and in the advice.
        const LEN: usize = 4096;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address and MAP_FIXED the kernel chooses a place where nothing is.
        let page = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), LEN, access, MapFlags::PRIVATE) }.ok()?;
        // SAFETY: the page is the one that was just made, and nothing refers to it yet.
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
