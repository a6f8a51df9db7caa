//! Standard streams and other descriptors: closed ones, wrong ones, and those that would have two roles.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use common::{PROGRAM, Place, Run, plaintext, skipped};

/// A command line for a shell, in which `sealstone` is the program under test.
fn shell(place: &Place, shell: &str, line: &str) -> Run {
    let script = format!("sealstone() {{ {PROGRAM} \"$@\"; }}; {line}");
    Run::from(place.any_command(shell).args(["-c", &script]).output().unwrap())
}

fn sh(place: &Place, line: &str) -> Run {
    shell(place, "sh", line)
}

/// A file, its object, and keys to use with it.
fn place() -> (Place, Vec<u8>) {
    let place = Place::new();
    let plain = place.seal("in", 100_000);
    place.write("phrase", "correct horse\n");
    place.write("raw", [7; 32]);
    place.ok(&["encrypt", "-q", "in", "--header", "head", "-o", "body"]);
    (place, plain)
}

/// Refused for what is wrong with a descriptor, with nothing read or written.
#[track_caller]
fn refused(place: &Place, line: &str, words: &[&str]) {
    let names = place.names();
    let run = sh(place, line);
    assert!(run.stdout.is_empty(), "{line}: {run:?}");
    run.failed(2, words);
    assert_eq!(place.names(), names, "{line}");
}

#[test]
fn a_closed_stream_is_not_an_empty_one() {
    let (place, _) = place();
    for line in [
        "sealstone encrypt - -o b <&-",
        "sealstone encrypt /dev/stdin -o b <&-",
        "sealstone encrypt in - -o . <&-",
        "sealstone encrypt in -o b -k passphrase:fd:0 <&-",
        "sealstone encrypt in -o b -k passphrase:file:/dev/stdin <&-",
        "sealstone encrypt in -o b -k raw:file:/dev/fd/0 <&-",
        "sealstone decrypt - -o b <&-",
        "sealstone decrypt body --header /dev/stdin -o b <&-",
        "sealstone rekey - --to local:default -o b <&-",
        "sealstone cat - <&-",
        "sealstone verify - <&-",
        "sealstone verify in.seal - <&-",
        "sealstone inspect - <&-",
    ] {
        refused(&place, line, &["standard input is closed"]);
    }
    for line in [
        "sealstone encrypt in -o - >&-",
        "sealstone encrypt - <in >&-",
        "sealstone encrypt in -o b --header /dev/stdout >&-",
        "sealstone encrypt in -o b --json >&-",
        "sealstone decrypt in.seal -o - >&-",
        "sealstone decrypt in.seal -o /dev/stdout >&-",
        "sealstone decrypt in.seal -o /dev/fd/1 >&-",
        "sealstone rekey in.seal --to local:default -o - >&-",
        "sealstone cat in.seal >&-",
        "sealstone verify in.seal --json >&-",
        "sealstone inspect in.seal >&-",
        "sealstone inspect --header head >&-",
        "sealstone keys list >&-",
        "sealstone keys new other --json >&-",
        "sealstone completions bash >&-",
        "sealstone --version >&-",
        "sealstone encrypt --help >&-",
    ] {
        refused(&place, line, &["standard output is closed"]);
    }
    for line in [
        "sealstone encrypt /dev/fd/9 -o b",
        "sealstone encrypt in -o /dev/fd/9",
        "sealstone encrypt in -o b -k passphrase:fd:9",
        "sealstone encrypt in -o b -k raw:file:/dev/fd/9",
        "sealstone encrypt in -o b --header /dev/fd/9",
        "sealstone decrypt body -o b --header /dev/fd/9",
    ] {
        refused(&place, line, &["descriptor 9 is closed"]);
    }
    assert!(!fs::read_to_string(place.ring()).unwrap().contains("other"));
}

/// Nor are the program's own descriptors those that the user means.
#[test]
fn a_descriptor_of_the_program_itself_is_closed_for_the_user() {
    let (place, _) = place();
    for number in 3..10 {
        let words = format!("descriptor {number} is closed");
        for args in [
            format!("/dev/fd/{number} -o b"),
            format!("in -o b -k passphrase:fd:{number}"),
        ] {
            // The test's own are handed down.
            refused(&place, &format!("sealstone encrypt {args} {number}>&-"), &[&words]);
        }
    }
}

#[test]
fn a_stream_that_is_open_the_wrong_way_is_refused() {
    let (place, _) = place();
    for line in [
        "sealstone encrypt - -o b 0>/dev/null",
        "sealstone encrypt /dev/stdin -o b 0>/dev/null",
        "sealstone encrypt in -o b -k passphrase:fd:0 0>/dev/null",
        "sealstone decrypt - -o b 0>/dev/null",
        "sealstone verify - 0>/dev/null",
        "sealstone inspect - 0>/dev/null",
    ] {
        refused(&place, line, &["standard input is not open for reading"]);
    }
    for line in [
        "sealstone encrypt in -o - 1<in",
        "sealstone decrypt in.seal -o - 1<in",
        "sealstone cat in.seal 1<in",
        "sealstone inspect in.seal 1<in",
        "sealstone verify in.seal --json 1<in",
        "sealstone keys list 1<in",
    ] {
        refused(&place, line, &["standard output is not open for writing"]);
    }
    refused(
        &place,
        "sealstone encrypt in -o /dev/fd/5 5<in",
        &["descriptor 5 is not open for writing"],
    );
    refused(
        &place,
        "sealstone rewrap /dev/fd/5 --set-context a=1 5<in.seal",
        &["descriptor 5 is not open for writing"],
    );
    refused(
        &place,
        "sealstone encrypt in -o b -k passphrase:fd:5 5>/dev/null",
        &["descriptor 5 is not open for reading"],
    );
}

/// std opens /dev/null for reading and writing in the place of a closed descriptor. So do others, and mean it.
#[test]
fn a_null_device_that_is_meant_is_no_closed_stream() {
    let (place, plain) = place();
    for redirection in ["</dev/null", "<>/dev/null"] {
        let run = sh(&place, &format!("sealstone encrypt - -qfo empty.seal {redirection}"));
        assert_eq!(run.code, Some(0), "{redirection}: {run:?}");
        assert!(place.ok(&["cat", "empty.seal", "-q"]).stdout.is_empty());
    }
    for redirection in [">/dev/null", "1<>/dev/null"] {
        for args in [
            "decrypt in.seal -qo -",
            "verify in.seal --json",
            "inspect in.seal",
            "keys list",
        ] {
            let run = sh(&place, &format!("sealstone {args} {redirection}"));
            assert_eq!(run.code, Some(0), "{args} {redirection}: {run:?}");
        }
    }
    assert_eq!(place.read("in"), plain);
}

#[test]
fn a_stream_that_is_not_used_may_be_closed() {
    let (place, plain) = place();
    for line in [
        "sealstone encrypt in -qfo b <&-",
        "sealstone encrypt in -qfo b >&-",
        "sealstone encrypt in -qfo b 2>&-",
        "sealstone encrypt in -qfo b <&- >&- 2>&-",
        "sealstone encrypt - -qfo b <in >&-",
        "sealstone encrypt in -fo b 0>/dev/null 1</dev/null 2</dev/null",
    ] {
        let run = sh(&place, line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        assert!(place.ok(&["cat", "-q", "b"]).stdout == plain, "{line}");
    }
}

/// What is opened first would be descriptor 2, and messages would be written into it.
#[test]
fn messages_for_a_closed_standard_error_are_written_nowhere() {
    let (place, plain) = place();
    for closed in ["2>&-", "<&- 2>&-", "<&- >&- 2>&-"] {
        let run = sh(&place, &format!("sealstone encrypt in -vfo b {closed}"));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(place.ok(&["cat", "-q", "b"]).stdout == plain);
        let run = sh(
            &place,
            &format!("sealstone decrypt b -vfo out --progress always {closed}"),
        );
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(place.read("out"), plain);
        for args in ["decrypt absent.seal", "decrypt", "encrypt in -k hunter2"] {
            let run = sh(&place, &format!("sealstone {args} {closed}"));
            assert!([Some(2), Some(4)].contains(&run.code), "{args}: {run:?}");
        }
    }
    // A report that was asked for has nowhere to go.
    let run = sh(&place, "sealstone decrypt in.seal --json -o - 2>&-");
    assert_eq!((run.code, run.stdout.len()), (Some(2), 0), "{run:?}");
    assert_eq!(place.read("in"), plain);
}

#[test]
fn one_stream_is_not_both_the_data_and_the_key() {
    let (place, plain) = place();
    for line in [
        "printf 'pass\\ndata' | sealstone encrypt - -k passphrase:file:/dev/stdin -o d",
        "printf 'pass\\ndata' | sealstone encrypt - -k raw:file:/dev/stdin -o d",
        "printf 'pass\\ndata' | sealstone encrypt /dev/stdin -k passphrase:fd:0 -o d",
        "printf 'pass\\ndata' | sealstone encrypt - -k passphrase:fd:0 -o d",
        "printf 'pass\\ndata' | sealstone encrypt - -k passphrase:file:/proc/self/fd/0 -o d",
        "printf 'pass\\ndata' | sealstone encrypt /dev/fd/3 -k passphrase:fd:0 -o d 3<&0",
        "cat in.seal | sealstone decrypt - -k passphrase:fd:0 -o d",
        "cat in.seal | sealstone decrypt - -k passphrase:fd:3 -o d 3<&0",
        "cat in.seal | sealstone verify - -k raw:file:/dev/stdin",
        "cat in.seal | sealstone cat - -k passphrase:fd:0",
        "cat in.seal | sealstone rekey - --to passphrase:fd:0 -o d",
        "sealstone decrypt - -k passphrase:fd:0 -o d <in.seal",
        "sealstone encrypt - -k passphrase:file:/dev/stdin -o d <in",
    ] {
        refused(&place, line, &["the input and a key", "read once only", "3<FILE"]);
    }
    let fifo = Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(fifo.unwrap().success());
    refused(
        &place,
        "sealstone encrypt fifo -k passphrase:file:./fifo -o d",
        &["the input and a key"],
    );
    // What the refusal advises.
    let line = "printf data | sealstone encrypt - -k passphrase:fd:3 -qo d 3<phrase";
    assert_eq!(sh(&place, line).code, Some(0));
    let run = sh(&place, "sealstone cat - -q -k passphrase:file:/dev/fd/3 <d 3<phrase");
    assert_eq!((run.code, run.text()), (Some(0), "data"), "{run:?}");
    assert_eq!(place.read("in"), plain);
}

#[test]
fn one_stream_has_no_other_two_roles_either() {
    let (place, _) = place();
    for (line, words) in [
        (
            "cat body | sealstone decrypt - --header /dev/stdin -o d",
            "the input and the header",
        ),
        ("sealstone decrypt body --header body -o d", "the input and the header"),
        (
            "cat head | sealstone inspect - --header /dev/fd/0",
            "the input and the header",
        ),
        (
            "cat head | sealstone decrypt body --header /dev/stdin -k passphrase:fd:0 -o d",
            "the header and a key",
        ),
        ("cat in.seal | sealstone verify - /dev/stdin", "cannot be two inputs"),
        ("cat in.seal | sealstone inspect - -", "cannot be two inputs"),
        (
            "cat phrase | sealstone rekey in.seal -k passphrase:fd:0 --to passphrase:fd:0 -o d",
            "cannot be two keys",
        ),
        (
            "cat phrase | sealstone rewrap in.seal -k passphrase:fd:0 --add passphrase:fd:0",
            "cannot be two keys",
        ),
        (
            "sealstone encrypt in --header /dev/stdout -o -",
            "cannot go to one file",
        ),
        ("sealstone encrypt in --header ./d -o d", "cannot go to one file"),
        (
            "sealstone encrypt in --header /dev/fd/4 -o /dev/fd/1 4>&1",
            "cannot go to one file",
        ),
    ] {
        refused(&place, line, &[words]);
    }
    let fifo = Command::new("mkfifo").arg(place.path("fifo")).status();
    assert!(fifo.unwrap().success());
    for line in [
        "sealstone encrypt fifo -o fifo",
        "sealstone encrypt - -o /dev/fd/3 <>fifo 3<>fifo",
        "sealstone encrypt in -k passphrase:file:fifo -o fifo",
        "sealstone encrypt - -o /dev/fd/0 <>fifo",
    ] {
        refused(&place, line, &["the output is "]);
    }
}

#[test]
fn a_report_is_not_written_into_what_is_read() {
    let (place, _) = place();
    let object = place.read("in.seal");
    for line in [
        "sealstone verify in.seal --json >>in.seal",
        "sealstone inspect in.seal 1<>in.seal",
        "sealstone inspect - <in.seal >>in.seal",
        "sealstone encrypt in --json -o b >>in",
        "sealstone decrypt in.seal --json -o b -k raw:file:raw >>raw",
    ] {
        // JSON goes to standard error then.
        let run = sh(&place, line);
        assert_eq!(run.code, Some(2), "{line}: {run:?}");
        assert!(
            run.stderr.contains("the report would be written into"),
            "{line}: {run:?}"
        );
        assert!(!place.path("b").exists());
    }
    assert!(place.read("in.seal") == object);
    assert_eq!(place.read("raw"), [7; 32]);
}

/// Nor is it lost where nobody waits for it, or where it cannot be written.
#[test]
fn a_report_is_written_or_it_is_an_error() {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let (place, plain) = place();
    if fs::exists("/dev/full").unwrap() {
        for line in [
            "sealstone --version >/dev/full",
            "sealstone cat --help >/dev/full",
            "sealstone verify in.seal --json >/dev/full",
            "sealstone decrypt in.seal -o - --json 2>/dev/full",
        ] {
            assert_eq!(sh(&place, line).code, Some(1), "{line}");
        }
    }
    for on_stderr in [false, true] {
        let (mut result, output) = std::io::pipe().unwrap();
        fcntl_setfl(&output, fcntl_getfl(&output).unwrap() | OFlags::NONBLOCK).unwrap();
        // Full, but for a few bytes.
        let mut filled = 0;
        while let Ok(count) = (&output).write(&[b'\n'; 4096]) {
            filled += count;
        }
        result.read_exact(&mut [0; 4096]).unwrap();
        filled += (&output).write(&[b'\n'; 4000]).unwrap();
        filled -= 4096;
        let args = [
            "decrypt",
            "in.seal",
            "-qfo",
            if on_stderr { "-" } else { "out" },
            "--json",
        ];
        let mut command = place.command(&args);
        let command = if on_stderr {
            command.stderr(OwnedFd::from(output))
        } else {
            command.stdout(OwnedFd::from(output))
        };
        let child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let reader = std::thread::spawn(move || {
            let mut report = String::new();
            result.read_to_string(&mut report).unwrap();
            report
        });
        let output = Run::from(child.wait_with_output().unwrap());
        assert_eq!(output.code, Some(0), "{output:?}");
        // The command's own copy of the pipe.
        *command = place.command(&[]);
        let report = reader.join().unwrap();
        assert!(report.len() > filled && report.ends_with("}\n"), "{report:?}");
        assert!(!on_stderr || output.stdout == plain);
    }
}

#[test]
fn a_directory_is_no_stream() {
    let (place, _) = place();
    refused(&place, "sealstone encrypt - -o b <.", &["it is a directory"]);
    refused(&place, "sealstone encrypt /dev/fd/7 -o b 7<.", &["it is a directory"]);
}

/// It would be locked up with itself.
#[test]
fn a_key_is_not_encrypted_under_itself() {
    let (place, _) = place();
    let ring = place.ring();
    let ring = ring.to_str().unwrap();
    fs::hard_link(place.path("raw"), place.path("same")).unwrap();
    for args in [
        ["encrypt", "raw", "-k", "raw:file:raw"],
        ["encrypt", "raw", "-k", "raw:file:same"],
        ["encrypt", "phrase", "-k", "passphrase:file:phrase"],
        ["encrypt", ring, "-k", "local:default"],
    ] {
        place.fails(&args, 2, &["the input and a key", "another key"]);
    }
    place.ok(&["encrypt", "-q", ring, "-k", "raw:file:raw", "-o", "ring.seal"]);
    place.ok(&["encrypt", "-q", "raw", "-k", "passphrase:file:phrase"]);
    // Stored files are read as often as they are named.
    place.ok(&["verify", "-q", "in.seal", "in.seal"]);
    let twice = [
        "rekey",
        "raw.seal",
        "-k",
        "passphrase:file:phrase",
        "--to",
        "passphrase:file:phrase",
        "-qo",
        "d",
    ];
    place.ok(&twice);
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
    assert_eq!(common::wait(&mut child), Some(0));
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
        assert_eq!(common::wait(&mut child), Some(0));
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
    assert_eq!(common::wait(&mut child), Some(0));
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
