//! The end of a mock, alone in its process because it counts threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{Client, PATIENCE, request};
use sealstone_kms_mock::MockKms;

#[test]
fn a_mock_ends_at_once_with_its_connections_and_threads() {
    assert!(threads().is_empty());
    let kms = MockKms::builder().control().start().unwrap();
    let url = kms.endpoint();
    let mut idle = Client::new(&url);
    assert_eq!(idle.call("ListKeys", "{}").status, 200);
    let mut halfway = Client::new(&url);
    halfway.send(&request("ListKeys", b"{}")[..30]);
    assert!(!threads().is_empty());

    let start = Instant::now();
    drop(kms);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the end of a mock took {:?}",
        start.elapsed()
    );
    assert_eq!(idle.until_the_end().0, b"");
    assert_eq!(halfway.until_the_end().0, b"");
    assert!(TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err());
    // A joined thread can be visible for a moment.
    while !threads().is_empty() {
        assert!(start.elapsed() < PATIENCE, "threads were left: {:?}", threads());
        std::thread::yield_now();
    }
}

/// The mock's threads in this process.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("kms-mock")).collect()
}
