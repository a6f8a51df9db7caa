//! Devices, pipes, and files that the kernel makes up, read and written.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};
use std::thread;

use crate::common::{Place, Run, skipped};

#[test]
fn a_device_is_written_and_not_replaced() {
    let place = Place::new();
    place.seal("in", 100_000);
    place.ok(&["encrypt", "-q", "in", "-o", "/dev/null"]);
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "/dev/null"]);
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    if !fs::metadata("/dev/full").is_ok_and(|metadata| metadata.file_type().is_char_device()) {
        return skipped("a_device_is_written_and_not_replaced", "there is no /dev/full");
    }
    place.fails(&["decrypt", "in.seal", "-o", "/dev/full"], 1, &["No space left"]);
    place.fails(&["encrypt", "in", "-o", "/dev/full"], 1, &["No space left"]);
    place.fails(&["cat", "in.seal", "-o", "/dev/full"], 1, &["No space left"]);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for args in [
        &["decrypt", "in.seal", "-o", "-"][..],
        &["inspect", "in.seal"],
        &["keys", "list"],
        &["completions", "bash"],
        &["verify", "in.seal", "--json"],
    ] {
        let run = Run::from(place.command(args).stdout(full()).output().unwrap());
        run.failed(1, &["No space left"]);
    }
}

#[test]
fn a_fifo_is_written_and_read_as_a_stream() {
    let place = Place::new();
    let plain = place.seal("in", 300_000);
    let made = Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(made.unwrap().success());
    let mut child = place
        .command(&["decrypt", "-q", "in.seal", "-o", "fifo"])
        .spawn()
        .unwrap();
    let mut read = Vec::new();
    File::open(place.path("fifo")).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!((crate::common::wait(&mut child), &read), (Some(0), &plain));
    assert!(fs::metadata(place.path("fifo")).unwrap().file_type().is_fifo());

    let mut child = place
        .command(&["encrypt", "-q", "fifo", "-o", "out.seal"])
        .spawn()
        .unwrap();
    fs::write(place.path("fifo"), &plain).unwrap();
    assert_eq!(crate::common::wait(&mut child), Some(0));
    assert_eq!(place.ok(&["cat", "-q", "out.seal"]).stdout, plain);
}

#[test]
fn a_file_that_the_kernel_makes_up_is_read_to_its_end() {
    let place = Place::new();
    let Ok(version) = fs::read("/proc/version") else {
        return skipped(
            "a_file_that_the_kernel_makes_up_is_read_to_its_end",
            "there is no /proc",
        );
    };
    place.ok(&["encrypt", "-q", "/proc/version", "-o", "out.seal"]);
    assert_eq!(place.ok(&["cat", "-q", "out.seal"]).stdout, version);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_length_lies_is_read_to_its_end() {
    let place = Place::new();
    let names = ["/sys/kernel/mm/transparent_hugepage/enabled", "/sys/class/net/lo/mtu"];
    for name in names.into_iter().filter(|name| fs::exists(name).unwrap()) {
        let content = fs::read(name).unwrap();
        assert_ne!(fs::metadata(name).unwrap().len(), content.len() as u64, "{name}");
        for args in [
            &["encrypt", "-qf", name, "-o", "out.seal"][..],
            &["encrypt", "-qf", "/dev/fd/0", "-o", "out.seal"],
            &["encrypt", "-qf", "-", "-o", "out.seal"],
        ] {
            let run = place.command(args).stdin(File::open(name).unwrap()).output();
            assert_eq!(Run::from(run.unwrap()).code, Some(0), "{args:?}");
            assert_eq!(place.ok(&["cat", "-q", "out.seal"]).stdout, content, "{args:?}");
        }
        place.ok(&["encrypt", "-q", name, "-o", "body", "--header", "head"]);
        let opened = place.ok(&["cat", "-q", "body", "--header", "head"]);
        assert_eq!(opened.stdout, content, "{name}");
        fs::remove_file(place.path("head")).unwrap();
        fs::remove_file(place.path("body")).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_written_by_whatever_name_it_has() {
    let place = Place::new();
    let plain = place.seal("in", 100_000);
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let run = place.ok(&["decrypt", "-q", "in.seal", "-o", name]);
        assert!(run.stdout == plain, "{name}");
    }
}

/// As wide as everybody may make them by default; more processes of the user may use up what he may.
#[cfg(target_os = "linux")]
#[test]
fn pipes_are_made_wide() {
    use rustix::pipe::fcntl_getpipe_size;
    const WIDE: usize = 1 << 20;
    let by_itself = fcntl_getpipe_size(std::io::pipe().unwrap().0).unwrap();
    assert!(by_itself < WIDE);
    let place = Place::new();
    // Enough that something is written before all is read.
    let plain = place.seal("in", 8 << 20);
    for (args, input) in [
        (["encrypt", "-", "-o", "-"], plain),
        (["decrypt", "-", "-o", "-"], place.read("in.seal")),
    ] {
        let mut child = (place.command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()))
            .spawn()
            .unwrap();
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut writer = File::from(stdin.as_fd().try_clone_to_owned().unwrap());
        let feeder = thread::spawn(move || writer.write_all(&input));
        stdout.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(fcntl_getpipe_size(&stdin).unwrap(), WIDE, "{args:?}: the input");
        assert_eq!(fcntl_getpipe_size(&stdout).unwrap(), WIDE, "{args:?}: the output");
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = feeder.join().unwrap();
    }
}
