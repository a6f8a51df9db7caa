//! Passphrases from files, descriptors and programs.

use std::fs;
use std::path::Path;

use crate::common::{Place, run_with};

/// An object whose passphrase slot unwraps, but to the key of another payload, could be made for many passphrases at once:
/// neither words nor code tell whether this one is among them.
#[test]
fn a_passphrase_that_unwraps_another_key_is_a_wrong_one() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/vectors");
    let object = |name: &str| {
        let vector = fs::read(vectors.join(name)).unwrap();
        let start = vector.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
        vector[start..].to_vec()
    };
    let place = Place::new();
    place.write("unwraps", "correct horse ß");
    place.write("wrong", "correct horse s");
    place.write("raw", [1; 32]);
    place.write("in.seal", object("unwrap-passphrase-other-data-key"));
    for command in [
        &["decrypt", "in.seal", "-o", "out"][..],
        &["cat", "in.seal"],
        &["cat", "in.seal", "--range", "0..5"],
        &["verify", "in.seal"],
        &["rewrap", "in.seal", "--remove", "local:gone"],
        &["rekey", "in.seal", "-o", "out", "--to", "raw:file:raw"],
    ] {
        let run = |file: &str| {
            let run = place.run(&[command, &["--key", &format!("passphrase:file:{file}")]].concat());
            run.failed(7, &["wrong passphrase"]);
            (run.code, run.stdout, run.stderr)
        };
        assert_eq!(run("unwraps"), run("wrong"), "{command:?}");
    }
    // The same passphrase opens what is sound, at the lowest cost there may be; one of less is not tried.
    let open = [
        "cat",
        "in.seal",
        "-q",
        "--accept-context",
        "--key",
        "passphrase:file:unwraps",
    ];
    place.write("in.seal", object("good-slot-passphrase-at-floor"));
    place.ok(&open);
    place.write("in.seal", object("passphrase-memory-below-floor"));
    let below = place.run(&open);
    assert!(below.code != Some(0) && below.stdout.is_empty());
    assert!(
        below.stderr.contains("19455 KiB") && below.stderr.contains("less than 19456 KiB"),
        "{below:?}"
    );
}

#[test]
fn a_passphrase_comes_from_a_file_or_a_descriptor() {
    let place = Place::new();
    place.write("in", "secret");
    place.write("phrase", "correct horse\n");
    place.write("dos", "correct horse\r\n");
    place.write("wrong", "correct house\n");
    place.write("empty", "\n");
    place.ok(&["encrypt", "-q", "in", "--key", "passphrase:file:phrase"]);
    let opens = |key: &str| place.run(&["decrypt", "-q", "in.seal", "-o", "-", "--key", key]);
    assert_eq!(opens("passphrase:file:dos").stdout, b"secret");
    opens("passphrase:file:wrong").failed(7, &["wrong passphrase"]);
    opens("passphrase:file:empty").failed(2, &["empty"]);
    opens("passphrase:file:absent").failed(4, &["absent"]);
    place.fails(
        &["encrypt", "-f", "in", "--key", "passphrase:file:empty"],
        2,
        &["empty"],
    );
    if cfg!(unix) {
        let by_descriptor = place.command(&["decrypt", "-q", "in.seal", "-o", "-", "--key", "passphrase:fd:0"]);
        let run = run_with(by_descriptor, b"correct horse");
        assert_eq!(
            (run.code, run.stdout.as_slice()),
            (Some(0), &b"secret"[..]),
            "{}",
            run.stderr
        );
        let both = ["encrypt", "-", "-o", "out", "--key", "passphrase:fd:0"];
        place.run_with(&both, b"correct horse").failed(2, &["standard input"]);
        place.fails(
            &["encrypt", "-f", "in", "--key", "passphrase:fd:99"],
            2,
            &["descriptor 99 is closed"],
        );
    }
}

/// A passphrase is there to be typed one day, when the file is lost.
#[test]
fn a_passphrase_that_cannot_be_typed_again_is_not_sealed_with() {
    let place = Place::new();
    place.write("in", "secret");
    let encrypt = ["encrypt", "in", "--key", "passphrase:file:phrase"];
    for (text, words) in [
        ("\u{FEFF}correct horse\n", "byte order mark"),
        ("correct\nhorse\n", "more than one line"),
        ("correct horse\n\n", "more than one line"),
        ("correct horse\r\n\r\n", "more than one line"),
        ("correct\0horse", "NUL"),
    ] {
        place.write("phrase", text);
        place.fails(&encrypt, 2, &["phrase", words, "nothing was encrypted"]);
        let command = [
            "encrypt",
            "in",
            "-k",
            "passphrase",
            "--passphrase-command",
            "cat phrase",
        ];
        if !words.contains("line") {
            place.fails(&command, 2, &["passphrase command cat", words]);
        }
    }
    assert_eq!(place.names(), ["in", "phrase"]);
    // The same file, saved by an editor that puts the mark there, opens.
    place.write("phrase", "correct horse");
    place.ok(&[&["-q"], &encrypt[..]].concat());
    place.write("phrase", "\u{FEFF}correct horse\r\n");
    place.ok(&["verify", "-q", "in.seal", "--key", "passphrase:file:phrase"]);
    place.ok(&["verify", "-q", "in.seal", "--passphrase-command", "cat phrase"]);
    place.write("phrase", "wrong");
    let run = place.fails(&["verify", "in.seal", "--key", "passphrase:file:phrase"], 7, &[]);
    assert!(
        run.stderr.starts_with("sealstone: in.seal: wrong passphrase"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("argon2id"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_program_of_the_callers_choice_has_the_passphrase() {
    let mut place = Place::new();
    place.write("in", "secret");
    place.write(
        "phrase",
        "correct horse\nand a note, which password managers keep after it\n",
    );
    let sealing = ["encrypt", "-q", "in", "-k", "passphrase", "--passphrase-command"];
    place.ok(&[&sealing[..], &["cat phrase"]].concat());
    // Words as in a shell, but none is run: a path with a space, a variable that is none.
    let verify = |command: &str| place.run(&["verify", "-q", "in.seal", "--passphrase-command", command]);
    assert_eq!(verify("printf 'correct horse'").code, Some(0));
    assert_eq!(
        verify("sh -c \"printf '%s\\n' correct\\ horse; head -c 200000 /dev/zero\"").code,
        Some(0)
    );
    verify("echo correct horse; true").failed(7, &["wrong passphrase"]);
    verify("echo wrong").failed(7, &["wrong passphrase"]);
    verify("false").failed(7, &["the passphrase command false failed (exit status: 1)"]);
    let run = verify("sh -c 'echo hunter2; exit 3'");
    run.failed(7, &["passphrase command sh failed (exit status: 3)"]);
    assert!(!run.stderr.contains("hunter2"), "{run:?}");
    verify("absent-program").failed(4, &["absent-program"]);
    verify("'unbalanced").failed(2, &["quote"]);
    verify("true").failed(2, &["empty"]);
    verify("head -c 5000 /dev/zero").failed(1, &["4096"]);
    verify("printf '\\377'").failed(1, &["UTF-8"]);
    // Data on standard input is none of its business.
    let object = place.read("in.seal");
    let piped = ["cat", "-q", "-", "--passphrase-command", "sh -c 'cat >&2; cat phrase'"];
    assert_eq!(place.run_with(&piped, &object).stdout, b"secret");
    place.fails(
        &["encrypt", "-f", "in", "--passphrase-command", "cat phrase"],
        2,
        &["--key passphrase"],
    );
    // The environment names one for all commands, and nothing is nothing.
    place.environment = vec![("SEALSTONE_PASSPHRASE_COMMAND", "cat phrase".to_owned())];
    place.ok(&["verify", "-q", "in.seal"]);
    place.ok(&["encrypt", "-q", "in", "-o", "b"]);
    let other = ["verify", "-q", "in.seal", "--passphrase-command", "echo wrong"];
    place.fails(&other, 7, &["wrong"]);
    place.environment = vec![("SEALSTONE_PASSPHRASE_COMMAND", String::new())];
    let run = crate::common::Run::from(
        place
            .any_command("setsid")
            .args(["-w", crate::common::PROGRAM, "verify", "in.seal"])
            .output()
            .unwrap(),
    );
    run.failed(7, &["there is no terminal"]);
}
