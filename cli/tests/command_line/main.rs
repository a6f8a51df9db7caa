//! The command line as its users see it: files and streams go in, files, streams, messages and exit codes come out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
#[path = "../common/mod.rs"]
mod common;
mod composite;
mod context;
mod detached;
mod header_reads;
mod help;
mod inspect;
mod key_ring;
mod keys;
mod outputs;
mod padded;
mod passphrases;
mod ranges;
mod refusals;
mod rewrap;
mod round_trips;
mod sparse;
mod special_files;
mod streams;
