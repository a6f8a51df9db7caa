//! A token bucket.

use std::time::Instant;

use super::settings::Rate;

/// Fills at a steady rate up to its burst. Each call takes a token.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let burst = rate.burst.map_or_else(|| rate.per_second.max(1.0), f64::from);
        Self {
            per_second: rate.per_second,
            burst,
            tokens: burst,
            filled: now,
        }
    }

    /// Takes a token. Returns `false` if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(
            Rate {
                per_second: 10.0,
                burst: Some(3),
            },
            start,
        );
        let taken = |bucket: &mut Bucket, at: Duration| (0..10).filter(|_| bucket.take(start + at)).count();
        assert_eq!(taken(&mut bucket, Duration::ZERO), 3);
        assert_eq!(taken(&mut bucket, Duration::from_millis(50)), 0);
        assert_eq!(taken(&mut bucket, Duration::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, Duration::from_secs(60)), 3);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = Bucket::new(
            Rate {
                per_second: 1000.0,
                burst: Some(1),
            },
            start,
        );
        assert!(bucket.take(start));
        assert!(!bucket.take(start - Duration::from_secs(5)));
        assert!(!bucket.take(start));
    }
}
