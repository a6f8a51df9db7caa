//! A signal in the middle, and a reader that leaves: the right exit code, and nothing left behind.
#![cfg(unix)]

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{C, PROGRAM, Place, Run, skipped, wait};

/// More than a pipe and the program's buffers hold: when it is written, the program is in the middle.
const MIDDLE: usize = 20 * 1024 * 1024;

/// Starts a program that gets so much input and waits for more.
///
/// The tests may have been started with signals ignored, as jobs in the background are, and a child would inherit that.
/// What is caught here is as by default in the child.
fn in_the_middle(mut command: Command, input: &[u8]) -> (Child, ChildStdin) {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        signal_hook::flag::register(signal.as_raw(), Arc::default()).unwrap();
    }
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    (child, stdin)
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_interrupted_encrypt_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let place = Place::new();
        let command = place.command(&["encrypt", "-", "-o", "out", "--progress", "always"]);
        let (mut child, _stdin) = in_the_middle(command, &vec![0; MIDDLE]);
        send(&child, signal);
        assert_eq!(wait(&mut child), Some(code));
        assert!(place.names().is_empty(), "{:?}", place.names());
    }
}

#[test]
fn an_interrupted_decrypt_leaves_nothing_and_the_old_output() {
    let place = Place::new();
    place.seal("in", MIDDLE);
    place.write("out", "precious");
    let object = place.read("in.seal");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let command = place.command(&["decrypt", "-", "-fo", "out"]);
        let (mut child, _stdin) = in_the_middle(command, &object[..object.len() - C]);
        send(&child, signal);
        assert_eq!(wait(&mut child), Some(code));
        assert_eq!((place.names().len(), place.read("out")), (3, b"precious".to_vec()));
    }
}

#[test]
fn a_kill_leaves_nothing_where_files_need_no_name() {
    let place = Place::new();
    let (mut child, _stdin) = in_the_middle(place.command(&["encrypt", "-", "-o", "out"]), &vec![0; MIDDLE]);
    let temporary = place.names();
    send(&child, Signal::KILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    if temporary.is_empty() {
        assert!(place.names().is_empty());
    } else {
        skipped(
            "a_kill_leaves_nothing_where_files_need_no_name",
            "this file system has no files without names",
        );
        assert!(!place.path("out").exists());
    }
}

#[test]
fn a_limit_of_file_sizes_is_an_error_that_leaves_nothing() {
    let place = Place::new();
    place.write("in", vec![0; 100_000]);
    // In units of 512 bytes, or of 1024: 64 KiB at most.
    let script = format!("ulimit -f 64; exec {PROGRAM} encrypt in -o out");
    let run = Run::from(place.any_command("sh").args(["-c", &script]).output().unwrap());
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("File too large"), "{}", run.stderr);
    assert_eq!(place.names(), ["in"]);
}

/// Asked for by a limit that allows it; the shell shows that one would be made here.
#[test]
#[cfg(target_os = "linux")]
fn a_crash_in_the_middle_dumps_no_core() {
    let place = Place::new();
    let allowed = "ulimit -S -c $(ulimit -H -c)";
    let mut shell = place.any_command("sh");
    let status = shell
        .args(["-c", &format!("{allowed}; kill -ABRT $$")])
        .status()
        .unwrap();
    let (made, test) = (status.core_dumped(), "a_crash_in_the_middle_dumps_no_core");
    if !made {
        skipped(test, "nothing dumps a core here: the limit, or the system's pattern");
    }
    let mut command = place.any_command("sh");
    command.args(["-c", &format!("{allowed}; exec {PROGRAM} encrypt -q - -o out")]);
    let (mut child, _stdin) = in_the_middle(command, &vec![0; MIDDLE]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert!(
        core.split_whitespace().eq("Max core file size 0 0 bytes".split(' ')),
        "{core}"
    );
    send(&child, Signal::ABORT);
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_so() {
    let place = Place::new();
    let mut command = place.any_command("sh");
    command.args(["-c", &format!("trap '' INT; exec {PROGRAM} encrypt -q - -o out")]);
    let (mut child, mut stdin) = in_the_middle(command, &vec![0; MIDDLE]);
    send(&child, Signal::INT);
    stdin.write_all(&[0; 1_000_000]).unwrap();
    drop(stdin);
    assert_eq!(wait(&mut child), Some(0));
    assert_eq!(place.names(), ["out"]);
}

#[test]
fn a_reader_that_leaves_ends_us_quietly() {
    let place = Place::new();
    let plain = place.seal("in", MIDDLE);
    for args in [
        &["decrypt", "in.seal", "-o", "-"][..],
        &["decrypt", "in.seal", "-o", "-", "--threads", "1"],
        &["encrypt", "in", "-o", "-"],
        &["cat", "in.seal"],
    ] {
        let mut child = place.command(args).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 10];
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        assert_eq!(wait(&mut child), Some(141), "{args:?}");
        assert_eq!(stderr(&mut child), "", "{args:?}");
        assert!(args[0] == "encrypt" || plain.starts_with(&first));
    }
    // Text is no different.
    for args in [&["completions", "bash"][..], &["inspect", "in.seal"], &["keys", "list"]] {
        let mut command = place.any_command("sh");
        let script = format!("{{ sleep 0.2; {PROGRAM} {}; echo $? >&2; }} | true", args.join(" "));
        let run = Run::from(command.args(["-c", &script]).output().unwrap());
        assert_eq!(run.stderr, "141\n", "{args:?}");
    }
}
