//! What helps a person at the shell: help, manual pages, completions.

use crate::common::Place;

const COMMANDS: [&str; 11] = [
    "encrypt",
    "decrypt",
    "cat",
    "inspect",
    "verify",
    "rewrap",
    "rekey",
    "keys",
    "completions",
    "man",
    "keys delete",
];

/// Also where a terminal is narrow, and no word is cut.
#[test]
fn help_is_wrapped_at_words_under_headings_with_two_examples() {
    let place = Place::new();
    let help = |command: &str, columns: &str| {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let run = crate::common::Run::from(place.command(&args).env("COLUMNS", columns).output().unwrap());
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{command}");
        run.text().to_owned()
    };
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for command in COMMANDS {
        let (narrow, wide) = (help(command, "60"), help(command, "200"));
        let (narrow, examples) = narrow.split_once("Examples:\n").unwrap();
        // The line that shows how the command is called stays one.
        let mut lines = narrow.lines().filter(|line| !line.starts_with("Usage: "));
        assert!(lines.all(|line| line.chars().count() <= 60), "{narrow}");
        let mut lines = wide.lines().filter(|line| !line.starts_with("Usage: "));
        assert!(lines.all(|line| line.chars().count() <= 100), "{wide}");
        assert_eq!(
            words(narrow),
            words(wide.split_once("Examples:\n").unwrap().0),
            "{command}"
        );
        assert!(examples.matches("sealstone ").count() >= 2, "{command}: {examples}");
        assert!(
            narrow.contains("\nKeys:") && narrow.contains("\nMessages:"),
            "{command}: {narrow}"
        );
    }
    for heading in ["Output:", "Context:", "Sealing:"] {
        assert!(help("encrypt", "80").contains(heading));
    }
}

/// A page for each command, which `man` can show.
#[test]
fn manual_pages_are_written() {
    let place = Place::new();
    let told = place.ok(&["man", "share/man/man1"]);
    assert!(told.stderr.contains("share/man/man1"), "{told:?}");
    let pages = std::fs::read_dir(place.path("share/man/man1")).unwrap();
    let mut names: Vec<_> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for command in COMMANDS {
        let name = format!("sealstone-{}.1", command.replace(' ', "-"));
        assert!(names.contains(&name), "{name}: {names:?}");
        let page = std::fs::read_to_string(place.path("share/man/man1").join(name)).unwrap();
        assert!(page.contains(".TH ") && page.contains("Examples:"), "{page}");
    }
    place.write("file", "");
    place.fails(&["man", "file"], 8, &["writing the manual pages into file"]);
}

/// A real bash, as it breaks words: at colons and equals signs too.
#[cfg(target_os = "linux")]
#[test]
fn bash_completes_keys_and_objects() {
    let place = Place::new();
    place.ok(&["keys", "new", "work"]);
    place.ok(&["keys", "new", "default"]);
    place.ok(&["keys", "new", "other", "--keyring", "elsewhere.json"]);
    for name in ["a.seal", "b c.seal", "note.txt", "X.SEAL", "key.raw"] {
        place.write(name, "");
    }
    std::fs::create_dir(place.path("sub")).unwrap();
    let program = std::path::Path::new(crate::common::PROGRAM).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    // What readline hands over, made of the line as bash itself does it.
    let script = r#"
        source <(sealstone completions bash) || exit 9
        complete -p sealstone > /dev/null || exit 8
        COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDS=() COMP_CWORD=0
        rest=$1 word=
        while [[ -n $rest ]]; do
            char=${rest:0:1} rest=${rest:1}
            case $char in
                ' ') [[ -n $word ]] && COMP_WORDS+=("$word"); word= ;;
                [:=]) [[ -n $word ]] && COMP_WORDS+=("$word"); COMP_WORDS+=("$char"); word= ;;
                *) word+=$char ;;
            esac
        done
        if [[ -n $word || $1 == *' ' ]]; then COMP_WORDS+=("$word"); current=$word; else current=; fi
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _sealstone sealstone "$current" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let complete = |line: &str| {
        let mut command = place.any_command("bash");
        let run = command
            .env("PATH", &path)
            .args(["--norc", "-c", script, "bash", line])
            .output();
        let run = crate::common::Run::from(run.unwrap());
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{line}: {run:?}");
        run.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete("sealstone encr"), ["encrypt"]);
    assert_eq!(complete("sealstone encrypt --chunk"), ["--chunk-size"]);
    assert_eq!(complete("sealstone encrypt -k loc"), ["local:default", "local:work"]);
    assert_eq!(complete("sealstone encrypt -k local:"), ["default", "work"]);
    assert_eq!(complete("sealstone encrypt -k local:wo"), ["work"]);
    assert_eq!(complete("sealstone encrypt --key=local:wo"), ["work"]);
    assert_eq!(
        complete("sealstone rewrap a.seal -k local:default --to local:w"),
        ["work"]
    );
    assert_eq!(complete("sealstone encrypt -k raw:file:k"), ["key.raw"]);
    assert_eq!(
        complete("sealstone encrypt --keyring elsewhere.json -k local:"),
        ["other"]
    );
    assert_eq!(complete("sealstone keys rotate w"), ["work"]);
    assert_eq!(complete("sealstone decrypt b"), ["b c.seal"]);
    for command in ["decrypt", "verify", "cat", "inspect", "rekey", "rewrap"] {
        let found = complete(&format!("sealstone {command} "));
        for name in ["a.seal", "b c.seal", "X.SEAL", "sub/"] {
            assert!(
                found.iter().any(|found| found == name),
                "{command}: {name} is not in {found:?}"
            );
        }
        assert!(
            !found.iter().any(|name| name == "note.txt" || name == "key.raw"),
            "{found:?}"
        );
    }
    assert!(complete("sealstone encrypt n").contains(&"note.txt".to_owned()));
    // A ring that cannot be read is no reason to say anything.
    std::fs::write(place.ring(), "damaged").unwrap();
    assert_eq!(
        complete("sealstone keys rotate w"),
        Vec::<String>::from([String::new()])
    );
}

/// The ring decides whether it was a key's name: what is none may be a secret, and is not repeated.
#[test]
fn a_key_without_its_kind_is_suggested() {
    let place = Place::new();
    place.ok(&["keys", "new", "work"]);
    place.write("in", "1");
    let run = place.run(&["encrypt", "in", "-k", "work"]);
    assert!(
        run.code == Some(2) && run.stderr.contains("tip: ") && run.stderr.contains("local:work"),
        "{run:?}"
    );
    let run = place.run(&["encrypt", "in", "-k", "wrk"]);
    assert!(
        run.code == Some(2) && !run.stderr.contains("wrk") && run.stderr.contains("local:NAME"),
        "{run:?}"
    );
    for key in ["local:not a name", "local:a/b", "local:"] {
        let run = place.run(&["encrypt", "in", "-k", key]);
        assert!(run.code == Some(2) && run.stderr.contains("key name"), "{run:?}");
    }
    assert_eq!(place.names(), ["in"]);
}
