//! Standard streams and other descriptors: closed ones, and those open the wrong way.
#![cfg(unix)]

mod kinds;
mod roles;

use std::fs;

use crate::common::{PROGRAM, Place, Run};

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
