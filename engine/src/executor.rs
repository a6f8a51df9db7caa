//! Where work runs: the only file that names rayon. A serial twin of everything is always there.
//!
//! ```text
//! caller's thread   submit 0, 1, 2 -------------------> next() = 0, then 1, then 2
//!                        \   \   \                        ^ puts them in order, waits
//! pool's threads          job job job -> bounded channel -/    never block: the channel has room for all
//! ```

use std::collections::BTreeMap;
use std::fmt;

#[cfg(feature = "threads")]
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(all(feature = "threads", feature = "tokio"))]
use std::task::Waker;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

#[cfg(feature = "threads")]
use crate::error::Error;
use crate::error::Result;

/// Where batches are sealed and opened: on the caller's thread, or on a rayon pool.
///
/// A pool pays from about 512 KiB on; below that a batch or two are all there is.
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
    /// The caller's thread.
    #[must_use]
    pub const fn serial() -> Self {
        Self(Inner::Serial)
    }

    /// A new pool of `threads` threads; as many as the machine has cores for 0.
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

    /// The caller's own pool, which may be shared with other work.
    #[cfg(feature = "threads")]
    #[must_use]
    pub const fn pool(pool: Arc<rayon::ThreadPool>) -> Self {
        Self(Inner::Pool(pool))
    }

    /// How many threads work.
    #[must_use]
    pub fn width(&self) -> usize {
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
    /// One of the errors that tasks gave.
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

    /// Runs `worker` once on each thread; workers share their work among themselves.
    ///
    /// # Errors
    /// The first error that a worker gave.
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

/// Runs jobs on an executor and gives their results back in the order of submission. Bounded: the caller takes a
/// result before it submits beyond the limit.
pub(crate) struct Ordered<T> {
    executor: Executor,
    limit: usize,
    submitted: u64,
    taken: u64,
    done: BTreeMap<u64, T>,
    #[cfg(feature = "threads")]
    channel: Channel<T>,
    /// The task to wake when a job ends, if one waits.
    #[cfg(all(feature = "threads", feature = "tokio"))]
    waiting: Arc<Mutex<Option<Waker>>>,
}

#[cfg(feature = "threads")]
type Channel<T> = (
    crossbeam_channel::Sender<(u64, std::thread::Result<T>)>,
    crossbeam_channel::Receiver<(u64, std::thread::Result<T>)>,
);

impl<T: Send + 'static> Ordered<T> {
    /// `job_bytes` is how much memory a job holds.
    pub(crate) fn new(executor: Executor, job_bytes: usize) -> Self {
        /// Bytes of all jobs under way, however many threads there are.
        const MEMORY: usize = 32 << 20;
        // One job for each thread, and one each to go on with while the caller handles a result.
        let limit = if executor.is_serial() {
            1
        } else {
            (2 * executor.width()).min(MEMORY / job_bytes).max(2)
        };
        Self {
            executor,
            limit,
            submitted: 0,
            taken: 0,
            done: BTreeMap::new(),
            #[cfg(feature = "threads")]
            channel: crossbeam_channel::bounded(limit),
            #[cfg(all(feature = "threads", feature = "tokio"))]
            waiting: Arc::default(),
        }
    }

    /// The largest number of jobs under way.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a result must be taken before the next job.
    pub(crate) const fn is_full(&self) -> bool {
        self.submitted - self.taken >= self.limit as u64
    }

    /// Whether no job is under way and no result waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.submitted == self.taken
    }

    /// Starts a job; not while [`Ordered::is_full`].
    pub(crate) fn submit(&mut self, job: impl FnOnce() -> T + Send + 'static) {
        debug_assert!(!self.is_full());
        let number = self.submitted;
        self.submitted += 1;
        match &self.executor.0 {
            Inner::Serial => {
                self.done.insert(number, job());
            }
            #[cfg(feature = "threads")]
            Inner::Pool(pool) => {
                let sender = self.channel.0.clone();
                #[cfg(feature = "tokio")]
                let waiting = self.waiting.clone();
                pool.spawn(move || {
                    // A panic must reach the caller's thread; in a spawned job it would end the process.
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                    // The channel has room for every job under way. It is closed if the caller has gone.
                    let _ = sender.try_send((number, result));
                    // After the result is there, so that the task finds it.
                    #[cfg(feature = "tokio")]
                    wake(&waiting);
                });
            }
        }
    }

    /// The result of the oldest job, waited for; `None` if there is none under way.
    pub(crate) fn next(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        loop {
            if let Some(result) = self.done.remove(&self.taken) {
                self.taken += 1;
                return Some(result);
            }
            self.receive();
        }
    }

    /// [`Ordered::next`] for a task: if the oldest job is not done, the task is woken whenever one is.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        self.receive_done(cx);
        match self.done.remove(&self.taken) {
            Some(result) => {
                self.taken += 1;
                Poll::Ready(Some(result))
            }
            None => Poll::Pending,
        }
    }

    /// Takes in the results that are there, and has the task woken at the next one.
    #[cfg(all(feature = "threads", feature = "tokio"))]
    fn receive_done(&mut self, cx: &Context<'_>) {
        if self.done.contains_key(&self.taken) {
            return;
        }
        // Before looking: a job that ends between the two then wakes the task.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        drop(waiting);
        while let Ok((number, result)) = self.channel.1.try_recv() {
            self.accept(number, result);
        }
    }

    #[cfg(all(not(feature = "threads"), feature = "tokio"))]
    fn receive_done(&mut self, _: &Context<'_>) {}

    #[cfg(feature = "threads")]
    fn receive(&mut self) {
        let (number, result) = self.wait();
        self.accept(number, result);
    }

    #[cfg(feature = "threads")]
    fn accept(&mut self, number: u64, result: std::thread::Result<T>) {
        match result {
            Ok(result) => self.done.insert(number, result),
            Err(panic) => std::panic::resume_unwind(panic),
        };
    }

    /// Waits for a result. A caller that is itself a thread of a pool, of this one or another, runs that pool's jobs
    /// meanwhile: if it slept, a pool of one thread would wait for itself, and two such pools for each other.
    #[cfg(feature = "threads")]
    fn wait(&self) -> (u64, std::thread::Result<T>) {
        const CLOSED: &str = "this side holds a sender, so the channel is open";
        let receiver = &self.channel.1;
        loop {
            match rayon::yield_now() {
                None => return receiver.recv().expect(CLOSED),
                Some(rayon::Yield::Executed) => {
                    if let Ok(received) = receiver.try_recv() {
                        return received;
                    }
                }
                Some(rayon::Yield::Idle) => {
                    let pause = std::time::Duration::from_micros(100);
                    if let Ok(received) = receiver.recv_timeout(pause) {
                        return received;
                    }
                }
            }
        }
    }

    #[cfg(not(feature = "threads"))]
    fn receive(&mut self) {
        unreachable!("serial results are done when submitted")
    }
}

#[cfg(all(feature = "threads", feature = "tokio"))]
fn wake(waiting: &Mutex<Option<Waker>>) {
    let waker = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Without the lock: the waker is foreign code.
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> fmt::Debug for Ordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ordered({} under way on {:?})",
            self.submitted - self.taken,
            self.executor
        )
    }
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn squares(executor: Executor, count: u64) -> Vec<u64> {
        let mut ordered = Ordered::new(executor, 1);
        let mut results = Vec::new();
        for number in 0..count {
            if ordered.is_full() {
                results.extend(ordered.next());
            }
            ordered.submit(move || {
                // The first of each pair ends last.
                std::thread::sleep(Duration::from_micros(200 * (1 - number % 2)));
                number * number
            });
        }
        results.extend(std::iter::from_fn(|| ordered.next()));
        results
    }

    #[test]
    fn results_leave_in_order() {
        let expected: Vec<u64> = (0..100).map(|n| n * n).collect();
        assert_eq!(squares(Executor::serial(), 100), expected);
        for threads in [1, 2, 8] {
            assert_eq!(squares(Executor::threads(threads).unwrap(), 100), expected);
        }
    }

    #[test]
    fn a_call_from_inside_a_pool_of_one_thread_ends() {
        let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
        let executor = Executor::pool(pool.clone());
        let results = pool.install(|| squares(executor.clone(), 20));
        assert_eq!(results.len(), 20);
        pool.install(|| executor.on_each_worker(|| Ok(()))).unwrap();
        pool.install(|| executor.try_for_each(vec![1, 2, 3], |_| Ok(())))
            .unwrap();
    }

    #[test]
    fn pools_whose_threads_wait_for_each_other_end() {
        let pools =
            [1, 1].map(|threads| Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()));
        let [first, second] = &pools;
        std::thread::scope(|scope| {
            for (inside, other) in [(first, second), (second, first)] {
                scope.spawn(move || inside.install(|| squares(Executor::pool(other.clone()), 50)));
            }
        });
    }

    #[test]
    fn a_panicking_job_panics_on_the_callers_thread() {
        let executor = Executor::threads(2).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut ordered = Ordered::new(executor, 1);
            ordered.submit(|| panic!("job"));
            ordered.next()
        }));
        assert!(caught.is_err());
    }

    #[test]
    fn the_first_error_of_a_worker_is_given() {
        for executor in [Executor::serial(), Executor::threads(3).unwrap()] {
            let result = executor.on_each_worker(|| Err(Error::Cancelled));
            assert!(matches!(result, Err(Error::Cancelled)));
            let result = executor.try_for_each(vec![0, 1, 2, 3], |n| if n == 2 { Err(Error::Random) } else { Ok(()) });
            assert!(matches!(result, Err(Error::Random)));
        }
    }
}
