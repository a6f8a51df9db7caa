//! Where work runs. Only this module uses rayon, and everything has a serial counterpart.
//!
//! ```text
//! try_for_each     one task, all items          slices in memory
//! on_each_worker   one worker a thread          files: workers divide the work among themselves
//! Ordered          job after job, in order      streams
//! ```

#[cfg(all(test, target_arch = "x86_64", feature = "threads", feature = "tokio"))]
mod modelled;
mod ordered;
#[cfg(feature = "threads")]
mod results;

/// The primitives that `results` uses; its tests substitute others.
#[cfg(feature = "threads")]
mod sync {
    pub(super) use crossbeam_channel::{Receiver, Sender, bounded};
    #[cfg(feature = "tokio")]
    pub(super) use std::sync::{Arc, Mutex, PoisonError};
}

use std::fmt;
#[cfg(feature = "threads")]
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use self::ordered::Ordered;
#[cfg(feature = "threads")]
use crate::error::Error;
use crate::error::Result;

/// Where batches are sealed and opened: on the caller's thread, or on a rayon pool.
///
/// A pool pays off from about 512 KiB: less is only one or two batches.
#[derive(Clone, Default)]
pub struct Executor(Inner);

#[derive(Clone, Default)]
enum Inner {
    #[default]
    Serial,
    #[cfg(feature = "threads")]
    Pool(Arc<rayon::ThreadPool>),
}

impl Executor {
    /// Runs work on the caller's thread.
    #[must_use]
    pub const fn serial() -> Self {
        Self(Inner::Serial)
    }

    /// Creates a pool of `threads` threads; 0 means one per core.
    ///
    /// # Errors
    /// [`Error::Io`] if the threads cannot be started.
    #[cfg(feature = "threads")]
    pub fn threads(threads: usize) -> Result<Self> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("sealstone-{number}"))
            .build()
            .map(|pool| Self::pool(Arc::new(pool)))
            .map_err(|error| Error::from_io("starting threads", std::io::Error::other(error)))
    }

    /// Uses the caller's own pool, which may be shared with other work.
    #[cfg(feature = "threads")]
    #[must_use]
    pub const fn pool(pool: Arc<rayon::ThreadPool>) -> Self {
        Self(Inner::Pool(pool))
    }

    /// The number of threads that chunks are sealed or opened on.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match &self.0 {
            Inner::Serial => 1,
            #[cfg(feature = "threads")]
            Inner::Pool(pool) => pool.current_num_threads(),
        }
    }

    /// Whether work runs on the caller's thread.
    pub(crate) const fn is_serial(&self) -> bool {
        matches!(self.0, Inner::Serial)
    }

    /// Runs `task` on every item, and stops early after an error.
    ///
    /// # Errors
    /// One of the errors that tasks returned.
    pub(crate) fn try_for_each<T: Send>(
        &self,
        items: Vec<T>,
        task: impl Fn(T) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        match &self.0 {
            #[cfg(feature = "threads")]
            Inner::Pool(pool) if items.len() > 1 => {
                use rayon::iter::{IntoParallelIterator, ParallelIterator};
                pool.install(|| items.into_par_iter().try_for_each(&task))
            }
            _ => items.into_iter().try_for_each(task),
        }
    }

    /// Runs `worker` once on each thread; the workers divide the work among themselves.
    ///
    /// # Errors
    /// The first error that a worker returned.
    pub(crate) fn on_each_worker(&self, worker: impl Fn() -> Result<()> + Sync) -> Result<()> {
        match &self.0 {
            Inner::Serial => worker(),
            #[cfg(feature = "threads")]
            Inner::Pool(pool) => {
                let failure = Mutex::new(None);
                let run = || {
                    if let Err(error) = worker() {
                        failure
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                };
                pool.scope(|scope| {
                    for _ in 1..pool.current_num_threads() {
                        scope.spawn(|_| run());
                    }
                    run();
                });
                failure
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner)
                    .map_or(Ok(()), Err)
            }
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Serial => f.write_str("Executor::serial()"),
            #[cfg(feature = "threads")]
            Inner::Pool(pool) => write!(f, "Executor::pool({} threads)", pool.current_num_threads()),
        }
    }
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_worker_is_returned() {
        for executor in [Executor::serial(), Executor::threads(3).unwrap()] {
            let result = executor.on_each_worker(|| Err(Error::Cancelled));
            assert!(matches!(result, Err(Error::Cancelled)));
            let result = executor.try_for_each(vec![0, 1, 2, 3], |n| if n == 2 { Err(Error::Random) } else { Ok(()) });
            assert!(matches!(result, Err(Error::Random)));
        }
    }
}
