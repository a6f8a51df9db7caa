//! Criterion's settings, and machine-readable names of cases.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use sealstone::{Executor, RawKey};

/// Whether this run only shows that the benches work.
#[must_use]
pub fn is_quick() -> bool {
    std::env::var_os("SEALSTONE_BENCH_QUICK").is_some()
}

/// Ten samples in about a second, or in a tenth of one.
#[must_use]
pub fn criterion() -> Criterion {
    let (warm_up, measurement) = if is_quick() { (10, 50) } else { (200, 800) };
    Criterion::default()
        .sample_size(10)
        .without_plots()
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measurement))
        .configure_from_args()
}

/// `all`, or its first two in a quick run.
#[must_use]
pub fn some_of<T: Copy>(all: &[T]) -> Vec<T> {
    let count = if is_quick() { all.len().min(2) } else { all.len() };
    all[..count].to_vec()
}

/// Parameters as `name=value,...`; the harness reads them back.
#[must_use]
pub fn parameters(pairs: &[(&str, &dyn Display)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// A key that costs nothing to use.
///
/// # Panics
/// Never: the key has the right length.
#[must_use]
pub fn raw_key() -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"))
}

/// Bytes that do not repeat, from a multiplicative generator with a fixed seed.
#[must_use]
pub fn plaintext(len: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// 1, and as many threads as the machine has cores.
#[must_use]
pub fn thread_counts() -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 { vec![1, cores] } else { vec![1] }
}

/// An executor with this many threads: the caller's own for 1.
///
/// # Panics
/// If threads cannot be started.
#[must_use]
pub fn executor(threads: usize) -> Executor {
    match threads {
        1 => Executor::serial(),
        _ => Executor::threads(threads).expect("threads start"),
    }
}
