//! Each header is read once: a header may be on a disk that is slow to seek, or far away.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{C, PAYLOAD, Place, skipped};

/// How many bytes the program read from all files, as the kernel counted; `None` if it does not say.
fn bytes_read(place: &Place, args: &[&str]) -> Option<usize> {
    let mut child = place.command(args).stdout(Stdio::null()).spawn().unwrap();
    let of_process = |file| format!("/proc/{}/{file}", child.id());
    let end = Instant::now() + Duration::from_secs(60);
    // Until it is waited for, the counters of a process that ended can be read.
    while !fs::read_to_string(of_process("stat")).unwrap().contains(") Z ") {
        assert!(Instant::now() < end, "the program does not end");
        sleep(Duration::from_millis(5));
    }
    let counters = fs::read_to_string(of_process("io"));
    assert!(child.wait().unwrap().success(), "{args:?}");
    let counters = counters.ok()?;
    let read = counters.lines().find_map(|line| line.strip_prefix("rchar: "));
    Some(read.unwrap().parse().unwrap())
}

#[test]
fn a_header_is_read_once() {
    let place = Place::new();
    let len = 3 * C + 100;
    place.seal("in", len);
    place.ok(&["encrypt", "-q", "in", "--header", "head", "-o", "body"]);
    let detached_len = place.read("head").len();
    for command in [
        &["decrypt", "-qf", "-o", "out"][..],
        &["decrypt", "-q", "-o", "-"],
        &["cat", "-q"],
        &["verify", "-q"],
        &["rekey", "-qf", "-o", "new", "--to", "local:default"],
    ] {
        // The payload, the keys, and what the system itself reads, are the same in both runs.
        let attached = bytes_read(&place, &[command, &["in.seal"]].concat());
        let detached = bytes_read(&place, &[command, &["body", "--header", "head"]].concat());
        let (Some(attached), Some(detached)) = (attached, detached) else {
            return skipped("a_header_is_read_once", "counters of other processes cannot be read");
        };
        let header = (attached + detached_len).checked_sub(detached).unwrap();
        assert!(
            (PAYLOAD..PAYLOAD + 512).contains(&header),
            "{command:?}: {header} bytes"
        );
    }
    let inspected = bytes_read(&place, &["inspect", "in.seal"]).unwrap();
    let help = bytes_read(&place, &["inspect", "--help"]).unwrap();
    assert!(
        (PAYLOAD..PAYLOAD + 512).contains(&(inspected - help)),
        "{inspected} {help}"
    );
}
