//! Terminals and signals. A program of its own: it changes how its process takes signals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod progress;
mod questions;
mod screen;
mod signals;
