//! A clock that tests can move: key deletion and rotation take days.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's clock, and how far it was moved forward.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead: Mutex<Duration>,
}

impl Clock {
    /// Time since 1970-01-01 UTC.
    pub(crate) fn now(&self) -> Duration {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        system + *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it forward; it never goes back.
    pub(crate) fn advance(&self, by: Duration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead = ahead.saturating_add(by);
    }
}
