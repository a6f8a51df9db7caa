//! Keys: the ring and its first use, raw keys, passphrases; which of them reading tries; no secret where others see it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{Place, run_with};

#[test]
fn the_first_use_makes_the_ring_and_says_so_even_if_told_to_be_quiet() {
    let place = Place::new();
    place.write("in", "1");
    let run = place.ok(&["encrypt", "-q", "in"]);
    for words in [
        "made the key default",
        place.ring().to_str().unwrap(),
        "keep a copy",
        "lost",
    ] {
        assert!(run.stderr.contains(words), "{run:?}");
    }
    assert!(place.ok(&["encrypt", "-qf", "in"]).stderr.is_empty());
}

#[test]
fn the_ring_is_where_option_environment_or_user_say() {
    let place = Place::new();
    place.write("in", "1");
    let home = place.ring().parent().unwrap().to_owned();
    let sealed = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = place.command(&["encrypt", "-qf", "in"]);
        let ran = command
            .args(args)
            .env_remove("SEALSTONE_KEYRING")
            .envs(set.iter().copied())
            .output();
        assert!(ran.unwrap().status.success());
    };
    let config = home.join("xdg");
    let at = |path: &str| home.join(path).to_str().unwrap().to_owned();
    sealed(
        &[("SEALSTONE_KEYRING", &at("env.json"))],
        &["--keyring", &at("option.json")],
    );
    assert!(home.join("option.json").exists() && !home.join("env.json").exists());
    sealed(&[("SEALSTONE_KEYRING", &at("env.json"))], &[]);
    assert!(home.join("env.json").exists());
    if cfg!(target_os = "linux") {
        sealed(&[("XDG_CONFIG_HOME", config.to_str().unwrap())], &[]);
        assert!(config.join("sealstone/keyring.json").exists() && !home.join(".config").exists());
        sealed(&[("XDG_CONFIG_HOME", "relative")], &[]);
        assert!(home.join(".config/sealstone/keyring.json").exists());
    }
}

/// As programs that start others write it: `HOME= SEALSTONE_KEYRING= sealstone ...`
#[cfg(target_os = "linux")]
#[test]
fn a_variable_that_is_set_to_nothing_counts_as_unset() {
    let place = Place::new();
    let home = place.ring().parent().unwrap().to_owned();
    let run = |blank: &[&str]| {
        let mut command = place.command(&["keys", "new", "a"]);
        command.envs(blank.iter().map(|name| (*name, "")));
        common::Run::from(command.output().unwrap())
    };
    assert_eq!(
        run(&["SEALSTONE_KEYRING", "XDG_CONFIG_HOME", "SEALSTONE_PASSPHRASE_COMMAND"]).code,
        Some(0)
    );
    assert!(home.join(".config/sealstone/keyring.json").exists());
    let mut command = place.command(&["keys", "list", "-v"]);
    command.env("HOME", "").env_remove("SEALSTONE_KEYRING");
    let run = common::Run::from(command.output().unwrap());
    assert!(matches!(run.code, Some(0 | 2 | 4)), "{run:?}");
}

#[test]
fn reading_never_makes_a_ring() {
    let place = Place::new();
    place.seal("in", 10);
    fs::remove_file(place.ring()).unwrap();
    for args in [
        &["decrypt", "in.seal", "-o", "out"][..],
        &["verify", "in.seal"],
        &["cat", "in.seal"],
    ] {
        place.fails(
            args,
            7,
            &[
                "no usable key",
                "local:default#",
                "there is no key ring",
                "--keyring FILE",
            ],
        );
        place.fails(
            &[args, &["--key", "local:default"]].concat(),
            4,
            &["there is no key ring"],
        );
        place.fails(
            &[args, &["--keyring", "none"]].concat(),
            4,
            &["there is no key ring none"],
        );
    }
    place.ok(&["inspect", "in.seal"]);
    place.fails(&["keys", "list"], 4, &["no key ring"]);
    place.fails(&["keys", "rotate", "default"], 4, &["no key ring"]);
    assert!(!place.ring().exists() && !place.path("out").exists());
}

#[test]
fn keys_are_made_listed_and_rotated_and_never_replaced() {
    let place = Place::new();
    place.write("in", "secret");
    place.fails(
        &["encrypt", "in", "--key", "local:work"],
        4,
        &["sealstone keys new work"],
    );
    assert!(!place.ring().exists());
    place.ok(&["keys", "new", "work"]);
    place.ok(&["encrypt", "-q", "in", "--key", "local:work", "-o", "old.seal"]);
    place.fails(&["keys", "new", "work"], 8, &["has a key work already", "rotate"]);
    place.fails(&["keys", "rotate", "absent"], 4, &["absent", "it has work"]);
    assert_eq!(place.run(&["keys", "new", "not a name"]).code, Some(2));
    place.ok(&["keys", "rotate", "work"]);
    place.ok(&["encrypt", "-q", "in", "--key", "local:work", "-o", "new.seal"]);
    for object in ["old.seal", "new.seal"] {
        assert_eq!(place.ok(&["decrypt", "-q", object, "-o", "-"]).stdout, b"secret");
    }
    place.ok(&["keys", "new", "default"]);
    let list = place.ok(&["keys", "list"]);
    let lines: Vec<_> = list.text().lines().collect();
    assert_eq!(lines[0], format!("key ring {}", place.ring().display()));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let today = common::Run::from(
        place
            .any_command("date")
            .args(["-u", "-d", &format!("@{now}"), "+%F"])
            .output()
            .unwrap(),
    );
    let today = today.text().trim();
    assert!(
        lines[1].starts_with(&format!("default  1 version, made {today}, id ")),
        "{list:?}"
    );
    assert!(
        lines[2].starts_with(&format!("work     2 versions, made {today}, newest {today}, id ")),
        "{list:?}"
    );
    let secrets: serde_json::Value = serde_json::from_str(&fs::read_to_string(place.ring()).unwrap()).unwrap();
    let secret = secrets["keys"][0]["versions"][0]["secret"].as_str().unwrap();
    let json = place.ok(&["keys", "list", "--json"]);
    for line in json.text().lines() {
        let key: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(key["name"].is_string() && key["versions"][0]["id"].is_string());
        assert_eq!(key["ring"], place.ring().to_str().unwrap());
    }
    assert!(!json.text().contains(secret) && !list.text().contains(secret));
}

#[test]
fn keys_move_between_rings_and_open_there() {
    let (here, there) = (Place::new(), Place::new());
    here.ok(&["keys", "new", "work"]);
    here.ok(&["keys", "new", "other"]);
    here.write("in", "secret");
    here.ok(&["encrypt", "-q", "in", "-k", "local:work"]);
    there.write("in.seal", here.read("in.seal"));
    let export = ["keys", "export", "work", "-o", "work.json"];
    let run = here.ok(&export);
    assert!(run.stderr.contains("work.json") && run.stdout.is_empty(), "{run:?}");
    here.fails(&export, 8, &["work.json exists already"]);
    here.fails(&["keys", "export", "absent", "-o", "b.json"], 4, &["absent"]);
    here.fails(&["keys", "export", "work", "-o", "no/b.json"], 4, &["no/b.json"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(here.path("work.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // What is exported is a ring, too.
    here.ok(&["verify", "-q", "in.seal", "--keyring", "work.json"]);

    // To standard output, as it is no terminal.
    let content = here.ok(&["keys", "export", "-q", "work"]).stdout;
    assert_eq!(content, here.read("work.json"));
    let run = there.run_with(&["keys", "import", "-"], &content);
    assert!(
        run.code == Some(0) && run.stderr.contains("imported the key work"),
        "{run:?}"
    );
    assert_eq!(there.ok(&["decrypt", "-q", "in.seal", "-o", "-"]).stdout, b"secret");
    let run = there.run_with(&["keys", "import", "-"], &content);
    assert!(
        run.code == Some(0) && run.stderr.contains("has all of them already"),
        "{run:?}"
    );

    // Another key of the same name is another key.
    here.ok(&["keys", "new", "default"]);
    there.ok(&["keys", "new", "default"]);
    here.ok(&["encrypt", "-q", "in", "-o", "mine.seal"]);
    let exported = here.ok(&["keys", "export", "-q", "default"]).stdout;
    let before = fs::read(there.ring()).unwrap();
    there
        .run_with(&["keys", "import", "-"], &exported)
        .failed(1, &["another key named default", "--as NAME"]);
    assert_eq!(fs::read(there.ring()).unwrap(), before);
    let run = there.run_with(&["keys", "import", "-", "--as", "laptop", "--json"], &exported);
    let key: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(key["name"], "laptop");
    there.write("mine.seal", here.read("mine.seal"));
    there.ok(&["verify", "-q", "mine.seal"]);
    for (content, words) in [(&b"damaged"[..], "damaged"), (b"", "damaged")] {
        there.run_with(&["keys", "import", "-"], content).failed(1, &[words]);
    }
    there.fails(&["keys", "import", "absent"], 4, &["absent"]);
}

#[test]
fn a_key_is_deleted_only_on_purpose() {
    let place = Place::new();
    place.ok(&["keys", "new", "default"]);
    place.ok(&["keys", "new", "work"]);
    place.write("in", "1");
    place.ok(&["encrypt", "-q", "in", "-k", "local:work"]);
    let ids = || {
        let list = place.ok(&["keys", "list", "--json"]);
        let keys = list
            .text()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let work = keys.into_iter().find(|key| key["name"] == "work").unwrap();
        let versions = work["versions"].as_array().unwrap().clone();
        versions
            .into_iter()
            .map(|version| version["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = ids().remove(0);
    let before = fs::read(place.ring()).unwrap();
    assert_eq!(place.run(&["keys", "delete", "work"]).code, Some(2));
    place.fails(
        &["keys", "delete", "work", "--yes", "--version", &first],
        2,
        &["only version", "--all"],
    );
    place.fails(
        &["keys", "delete", "work", "--yes", "--version", "zz"],
        4,
        &["no version zz"],
    );
    place.fails(&["keys", "delete", "absent", "--yes", "--all"], 4, &["absent"]);
    #[cfg(unix)]
    {
        let mut asked = place.any_command("setsid");
        let asked = asked
            .args(["-w", common::PROGRAM, "keys", "delete", "work", "--all"])
            .output()
            .unwrap();
        common::Run::from(asked).failed(2, &["can never be decrypted", "no terminal", "--yes"]);
    }
    assert_eq!(fs::read(place.ring()).unwrap(), before);
    place.ok(&["keys", "rotate", "work"]);
    place.ok(&["verify", "-q", "in.seal"]);
    let run = place.ok(&["keys", "delete", "work", "--yes", "--version", &first[..8]]);
    assert!(run.stderr.contains(&first) && run.stderr.contains("copies"), "{run:?}");
    assert!(ids().len() == 1 && ids()[0] != first);
    place.fails(&["verify", "in.seal"], 7, &["local:work"]);
    place.ok(&["keys", "delete", "work", "--yes", "--all"]);
    place.fails(
        &["keys", "delete", "default", "--yes", "--all"],
        1,
        &["no key but default", "remove the file"],
    );
}

#[test]
fn a_key_of_the_same_name_from_another_ring_is_told_apart() {
    let (here, there) = (Place::new(), Place::new());
    there.seal("in", 10);
    here.seal("mine", 10);
    here.write("in.seal", there.read("in.seal"));
    here.fails(
        &["decrypt", "in.seal"],
        7,
        &["a key named default, but another one", "--keyring FILE"],
    );
}

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
    let run = common::Run::from(
        place
            .any_command("setsid")
            .args(["-w", common::PROGRAM, "verify", "in.seal"])
            .output()
            .unwrap(),
    );
    run.failed(7, &["there is no terminal"]);
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
    assert_eq!(common::wait(&mut child), Some(0));
}
