//! The integration tests, as modules of one program. `ending.rs` is a separate program, because it counts its process's
//! threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod bad_input;
mod binary;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod faults;
mod keep_alive;
mod semantics;
mod tls;
