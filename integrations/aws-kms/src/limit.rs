//! How many calls there are at once, and in a second.
//!
//! ```text
//! call -> waits for a place among `concurrent` -> waits for its turn, one in each `interval` -> is made
//! ```
//!
//! A call whose turn would come after its time is over fails at once and takes no turn: a burst that nobody waits for
//! any more must not keep those waiting who come after it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

#[derive(Debug, Default)]
pub(crate) struct Limit {
    concurrent: Option<Semaphore>,
    pace: Option<Pace>,
}

/// There is no turn before the call's time is over.
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

    /// Waits for the call's turn; what is returned is kept until the call has ended.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, NoTurn> {
        let place = match &self.concurrent {
            Some(places) => Some(places.acquire().await.map_err(|_| NoTurn)?),
            None => None,
        };
        if let Some(pace) = &self.pace {
            sleep_until(pace.take(deadline)?).await;
        }
        Ok(place)
    }
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    /// When the next call may be made that takes a turn.
    next: Mutex<Instant>,
}

impl Pace {
    fn take(&self, deadline: Instant) -> Result<Instant, NoTurn> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = Instant::now().max(*next);
        if turn >= deadline {
            return Err(NoTurn);
        }
        *next = turn + self.interval;
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spaced_and_none_is_given_away_after_the_deadline() {
        let pace = Pace {
            interval: Duration::from_millis(100),
            next: Mutex::new(Instant::now()),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let turns: Vec<Instant> = (0..5).map(|_| pace.take(deadline).unwrap()).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] >= pace.interval));

        let next = *pace.next.lock().unwrap();
        for _ in 0..1000 {
            assert!(pace.take(turns[2]).is_err());
        }
        assert_eq!(*pace.next.lock().unwrap(), next);
    }

    #[test]
    fn zero_is_one() {
        let limit = Limit::new(Some(0), Some(0));
        assert_eq!(limit.concurrent.unwrap().available_permits(), 1);
        assert_eq!(limit.pace.unwrap().interval, Duration::from_secs(1));
    }
}
