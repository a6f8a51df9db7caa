//! The wrapper over stores in memory and on disk, with each version of `object_store`: the cases are one source.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::single_range_in_vec_init, reason = "one range is meant")]
#![allow(clippy::duplicate_mod, reason = "one source for all versions of object_store")]

mod common;
#[cfg(feature = "test-object-store-0-13")]
mod v0_13;
#[cfg(feature = "object-store-0-14")]
mod v0_14;
