//! How many threads an input is worth.

use std::cell::OnceCell;
use std::num::NonZero;
use std::thread::available_parallelism;

use sealstone::Executor;

use crate::exit::Failure;

/// Below this many bytes, starting threads costs more than they save.
const SMALL: u64 = 1024 * 1024;

/// The threads of this process, started when first needed and shared by all inputs.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: usize,
    pool: OnceCell<Executor>,
}

impl Workers {
    /// `threads` threads; one for each core for 0.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        };
        Self {
            threads,
            pool: OnceCell::new(),
        }
    }

    /// Where to work on an input of `len` bytes, if that is known.
    pub(crate) fn executor(&self, len: Option<u64>) -> Result<Executor, Failure> {
        if self.threads == 1 || len.is_some_and(|len| len < SMALL) {
            return Ok(Executor::serial());
        }
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = Executor::threads(self.threads)?;
        Ok(self.pool.get_or_init(|| pool).clone())
    }
}
