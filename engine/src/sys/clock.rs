//! A clock for ages that keeps running while the machine is suspended.

use std::time::Instant;

/// Returns a clock that starts at this call. On Linux it includes the time for which the machine is suspended, which
/// `Instant::now` does not.
#[cfg(target_os = "linux")]
pub(crate) fn clock() -> impl Fn() -> Instant + Send + Sync + 'static {
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    fn since_boot() -> Duration {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
        // Neither is negative: the clock begins at 0, and a second has 10^9 nanoseconds.
        Duration::new(tv_sec.try_into().unwrap_or(0), tv_nsec.try_into().unwrap_or(0))
    }

    let (start, boot) = (Instant::now(), since_boot());
    move || start.checked_add(since_boot().saturating_sub(boot)).unwrap_or(start)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn clock() -> impl Fn() -> Instant + Send + Sync + 'static {
    Instant::now
}
