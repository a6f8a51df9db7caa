//! Jobs on an executor whose results leave in the order of submission.
//!
//! ```text
//! caller's thread   submit 0, 1, 2 -------------------> next() = 0, then 1, then 2
//!                        \   \   \                        ^ puts them in order, waits
//! pool's threads          job job job -> bounded channel -/    never block: the channel has room for all
//! ```

use std::collections::BTreeMap;
use std::fmt;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};

#[cfg(feature = "threads")]
use super::results::Results;
use super::{Executor, Inner};
#[cfg(feature = "threads")]
use crate::error::Result;

/// Runs jobs on an executor and returns their results in the order of submission. Bounded: the caller must take a
/// result before it submits beyond the limit.
pub(crate) struct Ordered<T> {
    executor: Executor,
    limit: usize,
    submitted: u64,
    taken: u64,
    done: BTreeMap<u64, T>,
    #[cfg(feature = "threads")]
    results: Results<std::thread::Result<T>>,
}

impl<T: Send + 'static> Ordered<T> {
    /// `job_bytes` is the memory that a job holds, in bytes.
    pub(crate) fn new(executor: Executor, job_bytes: usize) -> Self {
        /// Memory of all jobs in progress, in bytes, whatever the number of threads.
        const MEMORY: usize = 32 << 20;
        /// One that runs, and more in reserve: if the caller's thread shares cores with the pool's, it may have to wait
        /// for as long as several jobs take.
        const JOBS_PER_THREAD: usize = 8;
        let limit = if executor.is_serial() {
            1
        } else {
            (JOBS_PER_THREAD * executor.thread_count())
                .min(MEMORY / job_bytes)
                .max(2)
        };
        Self {
            executor,
            limit,
            submitted: 0,
            taken: 0,
            done: BTreeMap::new(),
            #[cfg(feature = "threads")]
            results: Results::new(limit),
        }
    }

    /// The largest number of jobs in progress.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a result must be taken before the next job.
    pub(crate) const fn is_full(&self) -> bool {
        self.submitted - self.taken >= self.limit as u64
    }

    /// Whether no job is in progress and no result is waiting.
    pub(crate) const fn is_empty(&self) -> bool {
        self.submitted == self.taken
    }

    /// How many jobs run at a time.
    #[cfg(feature = "threads")]
    pub(crate) fn thread_count(&self) -> usize {
        self.executor.thread_count()
    }

    /// Whether jobs run on the caller's thread.
    pub(crate) const fn is_serial(&self) -> bool {
        self.executor.is_serial()
    }

    /// Accepts a result that the caller computed, as if it were a job's. Must not be called while [`Ordered::is_full`].
    pub(crate) fn put(&mut self, result: T) {
        let number = self.number();
        self.done.insert(number, result);
    }

    fn number(&mut self) -> u64 {
        debug_assert!(!self.is_full());
        let number = self.submitted;
        self.submitted += 1;
        number
    }

    /// Starts a job. Must not be called while [`Ordered::is_full`].
    pub(crate) fn submit(&mut self, job: impl FnOnce() -> T + Send + 'static) {
        match &self.executor.0 {
            Inner::Serial => self.put(job()),
            #[cfg(feature = "threads")]
            Inner::Pool(pool) => {
                let pool = pool.clone();
                let job = self.numbered(job);
                pool.spawn(job);
            }
        }
    }

    /// Starts the jobs that `next_job` returns until it returns `None`, and waits until they have run, so that they may
    /// borrow. Results that must be taken to make room are passed to `take`; the others stay.
    ///
    /// # Errors
    /// As `next_job` and `take`. The jobs that were started have run by then.
    #[cfg(feature = "threads")]
    pub(crate) fn submit_borrowing<J: FnOnce() -> T + Send>(
        &mut self,
        mut next_job: impl FnMut() -> Result<Option<J>>,
        mut take: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let Inner::Pool(pool) = &self.executor.0 else {
            unreachable!("without a pool there is nothing to share")
        };
        let pool = pool.clone();
        pool.in_place_scope(|scope| {
            while let Some(job) = next_job()? {
                if self.is_full() {
                    self.next().map_or(Ok(()), &mut take)?;
                }
                let job = self.numbered(job);
                scope.spawn(|_| job());
            }
            Ok(())
        })
    }

    /// Wraps a job so that it sends its result under the next number.
    #[cfg(feature = "threads")]
    fn numbered<J: FnOnce() -> T + Send>(&mut self, job: J) -> impl FnOnce() + Send + use<J, T> {
        let number = self.number();
        let sending = self.results.sending();
        move || {
            // A panic must reach the caller's thread; in a spawned job it would end the process.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            sending.send(number, result);
        }
    }

    /// Waits for the result of the oldest job; `None` if no job is in progress.
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

    /// The polling form of [`Ordered::next`]: if the oldest job has not finished, the task is woken whenever a job
    /// finishes.
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

    /// Accepts the results that have arrived, and has the task woken at the next one.
    #[cfg(all(feature = "threads", feature = "tokio"))]
    fn receive_done(&mut self, cx: &Context<'_>) {
        if self.done.contains_key(&self.taken) {
            return;
        }
        let Self { results, done, .. } = self;
        results.take_or_wake(cx.waker(), |number, result| accept(done, number, result));
    }

    #[cfg(all(not(feature = "threads"), feature = "tokio"))]
    fn receive_done(&mut self, _: &Context<'_>) {}

    #[cfg(feature = "threads")]
    fn receive(&mut self) {
        let (number, result) = self.wait();
        accept(&mut self.done, number, result);
    }

    /// Waits for a result. A caller that is itself a thread of a pool, of this one or another, runs that pool's jobs
    /// meanwhile: if it slept, a pool of one thread would wait for itself, and two such pools for each other.
    #[cfg(feature = "threads")]
    fn wait(&self) -> (u64, std::thread::Result<T>) {
        const CLOSED: &str = "this side holds a sender, so the channel is open";
        let receiver = self.results.receiver();
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

/// Keeps a job's result; resumes a job's panic.
#[cfg(feature = "threads")]
fn accept<T>(done: &mut BTreeMap<u64, T>, number: u64, result: std::thread::Result<T>) {
    match result {
        Ok(result) => done.insert(number, result),
        Err(panic) => std::panic::resume_unwind(panic),
    };
}

impl<T> fmt::Debug for Ordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ordered({} in progress on {:?})",
            self.submitted - self.taken,
            self.executor
        )
    }
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn squares(executor: Executor, count: u64) -> Vec<u64> {
        let mut ordered = Ordered::new(executor, 1);
        let mut results = Vec::new();
        for number in 0..count {
            if ordered.is_full() {
                results.extend(ordered.next());
            }
            ordered.submit(move || {
                // The first of each pair finishes last.
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

    /// All orders in which four jobs can finish, each with one of the jobs, or none, panicking. For a caller that waits
    /// without a task, nothing else can differ.
    #[test]
    fn results_leave_in_order_whatever_the_order_in_which_jobs_end() {
        const JOBS: usize = 4;
        let executor = Executor::threads(JOBS).unwrap();
        let orders = (0..JOBS.pow(4)).map(|code| [code % JOBS, code / 4 % JOBS, code / 16 % JOBS, code / 64]);
        let orders = orders.filter(|order| (0..JOBS).all(|job| order.contains(&job)));
        for (order, panics) in orders.flat_map(|order| (0..=JOBS).map(move |panics| (order, panics))) {
            let mut ordered = Ordered::new(executor.clone(), 1);
            let gates: Vec<_> = (0..JOBS)
                .map(|job| {
                    let (open, opened) = crossbeam_channel::bounded::<()>(1);
                    ordered.submit(move || {
                        opened.recv().unwrap();
                        assert!(job != panics, "a job that panics");
                        job
                    });
                    open
                })
                .collect();
            let mut given = 0;
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for (ended, job) in order.into_iter().enumerate() {
                    gates[job].send(()).unwrap();
                    while ordered.results.receiver().len() <= ended {
                        std::thread::yield_now();
                    }
                }
                while let Some(result) = ordered.next() {
                    assert_eq!(result, given);
                    given += 1;
                }
            }));
            assert_eq!(ended.is_err(), panics < JOBS, "{order:?}");
            assert!(given <= panics.min(JOBS));
        }
    }
}
