//! One stream has one role.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Command;

use super::{place, refused, sh};
use crate::common::Run;

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

/// It is not lost either where no one waits for it, or where it cannot be written.
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
