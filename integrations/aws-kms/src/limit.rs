//! Limits on concurrent calls and on calls per second.
//!
//! ```text
//! call -> waits for a place among `concurrent` -> waits for its turn, one in each `interval` -> is made
//! ```
//!
//! First come, first served. A turn is taken only when it has come, so callers that gave up do not delay others.

use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

#[derive(Debug, Default)]
pub(crate) struct Limit {
    concurrent: Option<Semaphore>,
    pace: Option<Pace>,
}

/// The call did not get its turn in time.
#[derive(Debug)]
pub(crate) struct NoTurn;

impl Limit {
    pub(crate) fn new(concurrent: Option<usize>, per_second: Option<u32>) -> Self {
        Self {
            concurrent: concurrent.map(|calls| Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))),
            pace: per_second.map(|calls| Pace {
                interval: Duration::from_secs(1) / calls.max(1),
                next: Mutex::new(Instant::now()),
            }),
        }
    }

    /// Waits for the call's turn. Hold the result until the call has ended.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, NoTurn> {
        timeout_at(deadline, self.wait()).await.map_err(|_| NoTurn)?
    }

    async fn wait(&self) -> Result<Option<SemaphorePermit<'_>>, NoTurn> {
        let place = match &self.concurrent {
            Some(places) => Some(places.acquire().await.map_err(|_| NoTurn)?),
            None => None,
        };
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
        Ok(place)
    }
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    /// When the next call may be made. The caller that waits for it holds the lock; the others queue.
    next: Mutex<Instant>,
}

impl Pace {
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(concurrent: Option<usize>, per_second: Option<u32>) -> Limit {
        Limit::new(concurrent, per_second)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn turns_are_spaced() {
        let limit = limit(None, Some(50));
        let start = Instant::now();
        for _ in 0..4 {
            limit.turn(later()).await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
    }

    /// Whether they were dropped or timed out.
    #[tokio::test]
    async fn callers_who_gave_up_delay_no_others() {
        let limit = limit(None, Some(5));
        limit.turn(later()).await.unwrap();
        for _ in 0..1000 {
            drop(Box::pin(limit.turn(later())));
        }
        assert!(limit.turn(soon()).await.is_err());
        let start = Instant::now();
        limit.turn(later()).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_place_that_does_not_come_free_in_time_is_no_turn() {
        let limit = limit(Some(1), None);
        let place = limit.turn(later()).await.unwrap();
        assert!(limit.turn(soon()).await.is_err());
        drop(place);
        assert!(limit.turn(soon()).await.is_ok());
    }

    #[test]
    fn zero_is_one() {
        let limit = limit(Some(0), Some(0));
        assert_eq!(limit.concurrent.unwrap().available_permits(), 1);
        assert_eq!(limit.pace.unwrap().interval, Duration::from_secs(1));
    }
}
