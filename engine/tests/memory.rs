//! Memory use of the whole process. This test therefore has its own process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod common;

use std::io::Write;

use common::encryptor;
use sealstone::Executor;

#[test]
fn a_thousand_writers_given_4_kib_each_stay_under_64_mib() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let executor = Executor::threads(2).unwrap();
    let encryptor = encryptor().with_executor(executor);
    let before = resident();
    let writers: Vec<_> = (0..1000)
        .map(|_| {
            let mut writer = encryptor.writer(std::io::sink()).unwrap();
            writer.write_all(&[7; 4096]).unwrap();
            writer
        })
        .collect();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for {} writers", writers.len());
    for writer in writers {
        writer.finish().unwrap();
    }
}
