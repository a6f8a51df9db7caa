//! The integration tests, as modules of one program, because most of a program's cost is linking the AWS SDK.
//!
//! `answers`, beside this directory, needs the log of a whole process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod conformance;
mod environment;
mod fault_campaign;
mod sdk;
mod service;
