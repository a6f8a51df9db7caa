//! Sockets, pipes, devices and files as descriptors, wherever they stand.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::{place, refused, sh, shell};
use crate::common::{plaintext, skipped};

#[test]
fn a_directory_is_no_stream() {
    let (place, _) = place();
    refused(&place, "sealstone encrypt - -o b <.", &["it is a directory"]);
    refused(&place, "sealstone encrypt /dev/fd/7 -o b 7<.", &["it is a directory"]);
}

/// A connection may be what is read and what is written: ssh and inetd make it so.
#[test]
fn a_socket_is_read_and_written() {
    let (place, plain) = place();
    let (mut near, far) = UnixStream::pair().unwrap();
    let far = OwnedFd::from(far);
    let mut child = place
        .command(&["encrypt", "-", "-qo", "-"])
        .stdin(far.try_clone().unwrap())
        .stdout(far)
        .spawn()
        .unwrap();
    let sent = plain.clone();
    let mut writer = near.try_clone().unwrap();
    let feeder = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut object = Vec::new();
    near.read_to_end(&mut object).unwrap();
    feeder.join().unwrap();
    assert_eq!(crate::common::wait(&mut child), Some(0));
    assert_eq!(place.run_with(&["decrypt", "-q", "-"], &object).stdout, plain);
    // By a name too, which cannot be opened.
    for args in [
        ["encrypt", "/dev/stdin", "-qfo", "d"],
        ["encrypt", "/dev/fd/0", "-qfo", "d"],
    ] {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut child = place.command(&args).stdin(OwnedFd::from(far)).spawn().unwrap();
        near.write_all(b"data").unwrap();
        drop(near);
        assert_eq!(crate::common::wait(&mut child), Some(0));
        assert_eq!(place.ok(&["cat", "-q", "d"]).stdout, b"data");
    }
}

/// As Node and ssh leave their pipes.
#[test]
fn a_pipe_that_does_not_wait_is_waited_for() {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (place, _) = place();
    let plain = plaintext(3 << 20);
    let ((input, mut feed), (mut result, output)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    for end in [input.as_fd(), output.as_fd()] {
        fcntl_setfl(end, fcntl_getfl(end).unwrap() | OFlags::NONBLOCK).unwrap();
    }
    let mut child = place
        .command(&["encrypt", "-", "-qo", "-"])
        .stdin(OwnedFd::from(input))
        .stdout(OwnedFd::from(output))
        .spawn()
        .unwrap();
    let sent = plain.clone();
    let feeder = std::thread::spawn(move || {
        for piece in sent.chunks(700_000) {
            std::thread::sleep(std::time::Duration::from_millis(20));
            feed.write_all(piece).unwrap();
        }
    });
    // The pipe is full for a while.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut object = Vec::new();
    result.read_to_end(&mut object).unwrap();
    feeder.join().unwrap();
    assert_eq!(crate::common::wait(&mut child), Some(0));
    assert!(place.run_with(&["decrypt", "-q", "-"], &object).stdout == plain);
}

#[test]
fn a_descriptor_is_read_from_where_it_stands() {
    let (place, plain) = place();
    for name in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let run = sh(
            &place,
            &format!("{{ head -c 10 >/dev/null; sealstone encrypt {name} -qfo d; }} <in"),
        );
        // A program may read more than it was asked for; what is left is what counts.
        assert_eq!(run.code, Some(0), "{run:?}");
        let rest = place.ok(&["cat", "-q", "d"]).stdout;
        assert!(
            rest.len() < plain.len() && plain.ends_with(&rest),
            "{name}: {}",
            rest.len()
        );
    }
}

#[test]
fn a_descriptor_is_written_where_it_stands() {
    let (place, plain) = place();
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        for args in [
            "decrypt in.seal -q",
            "cat in.seal -q",
            "decrypt -qf in.seal",
            "cat -qf in.seal",
        ] {
            place.write("log", "before ");
            let line = format!("{{ printf 'more '; sealstone {args} -o {name}; printf ' after'; }} >>log");
            let run = sh(&place, &line);
            assert_eq!(run.code, Some(0), "{line}: {run:?}");
            assert!(
                place.read("log") == [b"before more ", plain.as_slice(), b" after"].concat(),
                "{line}"
            );
        }
    }
    place.write("log", "before ");
    let run = sh(
        &place,
        "sealstone decrypt in.seal -qo /dev/fd/7 7>>log; printf ' after' >>log",
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(place.read("log") == [b"before ", plain.as_slice(), b" after"].concat());
    std::os::unix::fs::symlink("/dev/fd/7", place.path("link")).unwrap();
    let run = sh(
        &place,
        "{ printf 'begin '; sealstone decrypt in.seal -qfo link 7>&1; } >log",
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(place.read("log") == [b"begin ", plain.as_slice()].concat());
    assert!(place.path("link").is_symlink());
    // Data keeps standard output to itself, by this name as well.
    let run = place.ok(&["decrypt", "in.seal", "--json", "-o", "/dev/stdout"]);
    assert!(run.stdout == plain && run.stderr.contains("\"ok\":true"), "{run:?}");
    // The header too.
    let run = sh(
        &place,
        "sealstone encrypt in --json --header /dev/fd/1 -qo body2 >head2",
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    place.ok(&["decrypt", "-q", "body2", "--header", "head2", "-o", "out"]);
    assert_eq!(place.read("out"), plain);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_process_has_open_is_not_replaced() {
    let (place, _) = place();
    place.write("log", "precious");
    let run = sh(&place, "exec 7>>log; sealstone decrypt -f in.seal -o /proc/$$/fd/7");
    run.failed(2, &["open in another process"]);
    assert_eq!(place.read("log"), b"precious");
}

#[test]
fn no_output_is_a_file_among_the_devices() {
    let (place, _) = place();
    for line in [
        "sealstone encrypt /dev/null",
        "sealstone encrypt /dev/stdin </dev/null",
        "sealstone encrypt /dev/fd/0 </dev/null",
        "sealstone encrypt in -o /dev/sealstone-test",
        "sealstone encrypt in -o /dev",
        "sealstone decrypt in.seal -o /dev/sealstone-test",
        "sealstone encrypt in -o b --header /dev/sealstone-test",
    ] {
        refused(&place, line, &["among the devices", "name the output with -o"]);
    }
    for name in [
        "/dev/null.seal",
        "/dev/stdin.seal",
        "/dev/in.seal",
        "/dev/sealstone-test",
    ] {
        assert!(!fs::exists(name).unwrap(), "{name}");
    }
    // Where programs share memory, files are meant.
    if !fs::exists("/dev/shm").unwrap() {
        return skipped("no_output_is_a_file_among_the_devices", "there is no /dev/shm");
    }
    let shared = tempfile::tempdir_in("/dev/shm").unwrap();
    let name = shared.path().join("out");
    place.ok(&["decrypt", "-q", "in.seal", "-o", name.to_str().unwrap()]);
    assert_eq!(fs::read(name).unwrap(), place.read("in"));
}

#[test]
fn process_substitution_is_read_and_written() {
    let (place, plain) = place();
    if Command::new("bash").arg("--version").output().is_err() {
        return skipped("process_substitution_is_read_and_written", "there is no bash");
    }
    for line in [
        "sealstone encrypt -q <(cat in) -o y.seal && sealstone decrypt -q y.seal -o y",
        "sealstone decrypt -q <(cat in.seal) -o y",
        "sealstone cat -q <(cat in.seal) >y",
        "sealstone rekey -q <(cat in.seal) --to local:default -o y.seal && sealstone decrypt -q y.seal -o y",
        "sealstone decrypt -q body --header <(cat head) -o y",
        "sealstone decrypt -q <(cat body) --header <(cat head) -o y",
        "sealstone encrypt -q <(cat in) -k raw:file:<(cat raw) -o y.seal && \
         sealstone decrypt -q <(cat y.seal) -k raw:file:<(cat raw) -o y",
        "sealstone encrypt -q in -k passphrase:file:<(cat phrase) -o y.seal && \
         sealstone decrypt -q y.seal -k passphrase:file:<(cat phrase) -o y",
        "sealstone decrypt -q in.seal -o >(cat >y)",
        "sealstone encrypt -q in -o >(sealstone decrypt -q - -o y)",
        "sealstone encrypt -q in -o y.seal --header >(cat >y.head) && until test -s y.head; do sleep 0.1; done && \
         sealstone decrypt -q y.seal --header y.head -o y; rm y.head",
    ] {
        let run = shell(&place, "bash", line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        // bash does not wait for what it writes to.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while fs::read(place.path("y")).unwrap_or_default() != plain {
            assert!(std::time::Instant::now() < end, "{line}: {run:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        fs::remove_file(place.path("y")).unwrap();
        let _ = fs::remove_file(place.path("y.seal"));
    }
    for args in [
        "verify <(cat in.seal)",
        "inspect <(cat in.seal)",
        "inspect --header <(cat head)",
    ] {
        let run = shell(&place, "bash", &format!("sealstone {args}"));
        assert_eq!(run.code, Some(0), "{args}: {run:?}");
    }
    // One key for several objects, and for what to add to them and remove.
    place.ok(&["encrypt", "-q", "in", "-k", "raw:file:raw", "-o", "a.seal"]);
    fs::copy(place.path("a.seal"), place.path("b.seal")).unwrap();
    place.write("raw2", [8; 32]);
    for line in [
        "sealstone rewrap -q a.seal b.seal -k raw:file:<(cat raw) --to raw:file:<(cat raw2)",
        "sealstone rewrap -q a.seal b.seal -k raw:file:raw2 --add raw:file:raw --remove raw:file:<(cat raw2)",
        "sealstone verify -q a.seal b.seal -k raw:file:<(cat raw)",
    ] {
        let run = shell(&place, "bash", line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
    }
    let run = shell(&place, "bash", "sealstone encrypt <(cat in)");
    run.failed(2, &["name the output with -o"]);
}

#[test]
fn keys_are_moved_through_the_descriptors_that_are_named() {
    let (place, _) = place();
    let ring = place.path("copy.json");
    place.ok(&["keys", "new", "work"]);
    let run = sh(&place, "sealstone keys export work -o /dev/fd/3 3>copy.json");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        fs::read(&ring).unwrap(),
        place.ok(&["keys", "export", "-q", "work"]).stdout
    );
    for line in [
        "sealstone keys export work -o /dev/fd/3 3<copy.json",
        "sealstone keys import - <&-",
        "sealstone keys import /dev/fd/3 3>>other.json",
    ] {
        let run = sh(&place, line);
        assert_eq!(run.code, Some(2), "{line}: {run:?}");
    }
    let run = sh(&place, "sealstone keys import /dev/fd/3 3<copy.json");
    assert!(
        run.code == Some(0) && run.stderr.contains("has all of them already"),
        "{run:?}"
    );
}
