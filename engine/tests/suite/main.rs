//! The integration tests, as modules of one program, because most of a program's cost is linking.
//!
//! Tests that need a process of their own (forks, namespaces, counted allocations, searched memory) are separate
//! programs beside this directory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(unix)]
mod access;
#[cfg(feature = "tokio")]
mod async_adapters;
mod boundaries;
mod callers_values;
#[path = "../common/mod.rs"]
mod common;
mod composite;
mod cut_ranges;
mod detached;
mod dispatch;
#[path = "../common/field.rs"]
#[allow(unreachable_pub, reason = "as `common`")]
mod field;
mod files;
mod foreign_slots;
mod format_coverage;
mod golden;
#[cfg(feature = "tokio")]
#[path = "../common/grudging.rs"]
#[allow(unreachable_pub, reason = "as `common`")]
mod grudging;
mod io_faults;
mod layers;
mod machines;
#[cfg(feature = "mmap")]
mod mapped;
mod model;
mod mutations;
mod nonces;
mod oracle;
mod padded;
mod panics;
mod partitioning;
mod parts;
#[cfg(feature = "threads")]
mod pipeline;
mod ranges;
mod rekey;
mod remote;
mod reserved_key;
mod rewrap;
#[cfg(feature = "tokio")]
mod serving;
mod sparse;
mod tamper;
mod two_keys;
mod unlock;
mod unlocked;
mod vectors;
