//! The integration tests, as modules of one program: linking the AWS SDK is most of what a program costs.
//!
//! `answers`, beside this directory, takes the whole process for its log.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod conformance;
mod environment;
mod fault_campaign;
mod sdk;
mod service;
