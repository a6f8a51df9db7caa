//! Passes results from the jobs to the caller.
//!
//! ```text
//! job      1. its result into the channel      2. wakes the task that waits
//! caller   1. registers its task            2. takes what is in the channel; if that is not enough, sleeps
//! ```
//!
//! In this order no task sleeps forever: a job that finishes between the caller's steps finds the task, and the result
//! of an earlier one is in the channel. All that threads share is in this file, and `sync` is the standard library's
//! and crossbeam's, or loom's: a test explores all interleavings of this file.

#[cfg(feature = "tokio")]
use std::task::Waker;

#[cfg(feature = "tokio")]
use super::sync::{Arc, Mutex, PoisonError};
use super::sync::{Receiver, Sender, bounded};

/// The task to wake when a job finishes, if one is waiting.
#[cfg(feature = "tokio")]
type Waiting = Arc<Mutex<Option<Waker>>>;

/// The caller's end.
pub(super) struct Results<T> {
    sender: Sender<(u64, T)>,
    receiver: Receiver<(u64, T)>,
    #[cfg(feature = "tokio")]
    waiting: Waiting,
}

/// A job's end.
pub(super) struct Sending<T> {
    sender: Sender<(u64, T)>,
    #[cfg(feature = "tokio")]
    waiting: Waiting,
}

impl<T> Results<T> {
    /// With room for `limit` results that have not been taken.
    pub(super) fn new(limit: usize) -> Self {
        let (sender, receiver) = bounded(limit);
        Self {
            sender,
            receiver,
            #[cfg(feature = "tokio")]
            waiting: Waiting::default(),
        }
    }

    pub(super) fn sending(&self) -> Sending<T> {
        Sending {
            sender: self.sender.clone(),
            #[cfg(feature = "tokio")]
            waiting: self.waiting.clone(),
        }
    }

    /// Where results arrive, for a caller that waits without a task. Never closed, because this side holds a sender.
    #[cfg_attr(all(test, feature = "tokio"), allow(dead_code, reason = "not in the model"))]
    pub(super) const fn receiver(&self) -> &Receiver<(u64, T)> {
        &self.receiver
    }

    /// Passes the results that have arrived to `take`, and has the task woken at the next one.
    #[cfg(feature = "tokio")]
    pub(super) fn take_or_wake(&self, waker: &Waker, mut take: impl FnMut(u64, T)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get_or_insert_with(|| waker.clone()).clone_from(waker);
        drop(waiting);
        while let Ok((number, result)) = self.receiver.try_recv() {
            take(number, result);
        }
    }
}

impl<T> Sending<T> {
    /// Sends the result of job `number`. Does nothing if the caller is gone.
    pub(super) fn send(self, number: u64, result: T) {
        // The channel has room for every job in progress.
        let _ = self.sender.try_send((number, result));
        #[cfg(feature = "tokio")]
        {
            let waker = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Without holding the lock, because the waker is foreign code.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
