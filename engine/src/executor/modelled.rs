//! `results.rs` on loom's threads and primitives, which explore every interleaving.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use self::results::Results;

#[path = "results.rs"]
#[expect(clippy::duplicate_mod, reason = "once on the real primitives, and once on these")]
mod results;

/// The primitives that `results.rs` uses, with a channel that is a queue under loom's lock.
mod sync {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    pub(super) use loom::sync::{Arc, Mutex};
    pub(super) use std::sync::PoisonError;

    pub(super) struct Queue<T>(Arc<Mutex<VecDeque<T>>>);
    pub(super) use Queue as Receiver;
    pub(super) use Queue as Sender;

    impl<T> Clone for Queue<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Queue<T> {
        pub(super) fn try_send(&self, item: T) -> Result<(), Infallible> {
            self.0.lock().expect("no thread panics with the lock").push_back(item);
            Ok(())
        }

        pub(super) fn try_recv(&self) -> Result<T, ()> {
            self.0
                .lock()
                .expect("no thread panics with the lock")
                .pop_front()
                .ok_or(())
        }
    }

    pub(super) fn bounded<T>(_: usize) -> (Sender<T>, Receiver<T>) {
        let queue = Queue(Arc::new(Mutex::new(VecDeque::new())));
        (queue.clone(), queue)
    }
}

/// Runs `model` in every interleaving, or in those with at most `preemptions` preemptions; returns their number. loom
/// fails the model if all threads are blocked.
fn explored(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        model();
    });
    count.load(Ordering::Relaxed)
}

/// Starts `jobs` threads, each of which sends its number as its result.
fn start(results: &Results<u64>, jobs: u64) {
    for number in 0..jobs {
        let sending = results.sending();
        loom::thread::spawn(move || sending.send(number, number));
    }
}

/// Waits as a task does, until `wanted` results have arrived.
fn wait_for(results: &Results<u64>, wanted: usize) -> Vec<u64> {
    let mut found = Vec::new();
    loom::future::block_on(poll_fn(|cx| {
        results.take_or_wake(cx.waker(), |number, result| {
            assert_eq!(number, result);
            found.push(result);
        });
        if found.len() < wanted {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }));
    found
}

#[test]
fn no_interleaving_of_jobs_and_task_leaves_the_task_asleep() {
    let one = explored(None, || {
        let results = Results::new(1);
        start(&results, 1);
        assert_eq!(wait_for(&results, 1), [0]);
    });
    let two = explored(Some(2), || {
        let results = Results::new(2);
        start(&results, 2);
        let mut found = wait_for(&results, 2);
        found.sort_unstable();
        assert_eq!(found, [0, 1]);
    });
    // A task that stops waiting: results that are never taken do no harm.
    let left = explored(Some(2), || {
        let results = Results::new(2);
        start(&results, 2);
        let _ = wait_for(&results, 1);
    });
    println!(
        "campaign: interleavings cases={} one={one} two={two} left={left}",
        one + two + left
    );
}
