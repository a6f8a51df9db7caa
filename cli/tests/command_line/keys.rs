//! Raw keys, several keys, and secrets that no one else may see.

use std::fs;

use crate::common::Place;

#[test]
fn a_raw_key_opens_and_another_is_the_wrong_key() {
    let place = Place::new();
    place.write("in", "secret");
    place.write("raw", [7; 32]);
    place.write("hex", "07".repeat(32) + "\n");
    place.write("other", [8; 32]);
    place.write("short", [8; 31]);
    place.ok(&["encrypt", "-q", "in", "--key", "raw:file:raw"]);
    let run = place.ok(&["decrypt", "-q", "in.seal", "-o", "-", "--key", "raw:file:hex"]);
    assert_eq!(run.stdout, b"secret");
    let other = ["decrypt", "in.seal", "-o", "out", "--key", "raw:file:other"];
    place.fails(&other, 7, &["no usable key", "wrong key", "--key raw:file:PATH"]);
    place.fails(
        &["decrypt", "in.seal", "-o", "out"],
        7,
        &["raw:", "add --key raw:file:PATH"],
    );
    place.fails(
        &["encrypt", "-f", "in", "--key", "raw:file:short"],
        1,
        &["does not hold a raw key"],
    );
    place.fails(&["encrypt", "-f", "in", "--key", "raw:file:absent"], 4, &["absent"]);
    assert!(!place.ring().exists() && !place.path("out").exists());
}

#[test]
fn any_of_several_keys_opens() {
    let place = Place::new();
    place.write("in", "secret");
    place.write("raw", [7; 32]);
    place.write("phrase", "correct horse");
    place.write("other", [8; 32]);
    let (raw, phrase) = ("raw:file:raw", "passphrase:file:phrase");
    place.ok(&[
        "encrypt",
        "-q",
        "in",
        "--key",
        "local:default",
        "--key",
        raw,
        "--key",
        phrase,
    ]);
    for keys in [
        &[][..],
        &["--key", raw],
        &["--key", phrase],
        &["--key", "raw:file:other", "--key", raw],
    ] {
        let run = place.ok(&[&["decrypt", "-q", "in.seal", "-o", "-"], keys].concat());
        assert_eq!(run.stdout, b"secret");
    }
    let run = place.fails(
        &["verify", "in.seal", "--key", "raw:file:other"],
        7,
        &["no usable key: the object is sealed"],
    );
    for word in [
        "local:default#",
        "raw:",
        "a passphrase",
        "--key passphrase",
        "--key raw:file:PATH",
    ] {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    let twice = ["encrypt", "-f", "in", "--key", phrase, "--key", phrase];
    place.fails(&twice, 2, &["at most 1 passphrase slots"]);
}

#[test]
fn a_secret_on_the_command_line_is_refused() {
    let place = Place::new();
    place.write("in", "1");
    for key in ["passphrase:hunter2", "raw:hunter2"] {
        let run = place.run(&["encrypt", "in", "--key", key]);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("every user could see it"), "{run:?}");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
    assert_eq!(place.names(), ["in"]);
}

/// What other users can see of the process, and what its own user can, unless it is root.
#[cfg(target_os = "linux")]
#[test]
fn secrets_are_neither_in_the_arguments_nor_in_the_environment() {
    use std::io::Write;
    use std::process::Stdio;
    let place = Place::new();
    place.write("phrase", "correct horse");
    let mut command = place.command(&["encrypt", "-q", "-", "-o", "out", "--key", "passphrase:file:phrase"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds: when it is written, the key is there.
    stdin.write_all(&[0; 300_000]).unwrap();
    let about = |what: &str| fs::read(format!("/proc/{}/{what}", child.id()));
    let mut seen = about("cmdline").unwrap();
    assert!(!seen.is_empty());
    seen.extend(about("environ").unwrap_or_default());
    assert!(!seen.windows(7).any(|bytes| bytes == b"correct"));
    let limits = String::from_utf8(about("limits").unwrap()).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    drop(stdin);
    assert_eq!(crate::common::wait(&mut child), Some(0));
}
