//! Progress at a terminal and elsewhere.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rustix::termios::{tcgetwinsize, tcsetwinsize};

use crate::common::terminal::Terminal;
use crate::common::{C, CHUNKS, PROGRAM, Place, wait};

#[test]
fn progress_is_shown_at_a_terminal_and_taken_away_again() {
    let place = Place::new();
    let plain = vec![0; 8 * 1024 * 1024];
    place.write("in", &plain);
    place.ok(&["encrypt", "-q", "in"]);
    let object = place.read("in.seal");
    for (progress, shown) in [("auto", true), ("always", true), ("never", false)] {
        let terminal = Terminal::new();
        let mut command = place.command(&["decrypt", "-", "-o", "-", "--progress", progress]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(terminal.line())
            .spawn()
            .unwrap();
        drop(command);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&object[..CHUNKS + 100 * (C + 16)]).unwrap();
        if shown {
            terminal.wait_for("/s");
        } else {
            std::thread::sleep(Duration::from_millis(300));
        }
        stdin.write_all(&object[CHUNKS + 100 * (C + 16)..]).unwrap();
        drop(stdin);
        assert_eq!(wait(&mut child), Some(0));
        terminal.wait_for("decrypted standard input -> standard output");
        // Clearing the line is the bar's own way to write.
        assert_eq!(
            terminal.screen().contains("\x1b[2K"),
            shown,
            "{progress}: {:?}",
            terminal.screen()
        );
    }
}

#[test]
fn progress_without_a_terminal_is_shown_only_when_asked_for() {
    let place = Place::new();
    place.write("in", vec![0; 4 * 1024 * 1024]);
    let run = place.ok(&["encrypt", "-q", "in", "-o", "a"]);
    assert!(!run.stderr.contains("MiB"), "{run:?}");
    let run = place.ok(&["encrypt", "-q", "in", "-o", "b", "--progress", "always"]);
    // A log has lines, and a terminal that cannot take one back has them too.
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !is_about_the_disk(line)).collect();
    assert!(
        matches!(lines[..], [line] if line.starts_with("sealstone: in: 100%, 4.00 MiB of 4.00 MiB, ") && line.ends_with("/s")),
        "{run:?}"
    );
    let controls = run.stderr.matches(char::is_control).count();
    assert_eq!(controls, run.stderr.lines().count(), "{run:?}");
    for (progress, lines) in [("auto", 0), ("always", 1)] {
        let terminal = Terminal::new();
        let mut command = place.command(&["encrypt", "-qf", "in", "-o", "b", "--progress", progress]);
        let mut child = command.env("TERM", "dumb").stderr(terminal.line()).spawn().unwrap();
        assert_eq!(wait(&mut child), Some(0));
        if lines == 1 {
            terminal.wait_for("/s\r\n");
        }
        let screen = terminal.screen();
        let shown = screen.lines().filter(|line| !is_about_the_disk(line)).count();
        assert_eq!((shown, screen.contains('\x1b')), (lines, false), "{screen:?}");
    }
}

/// A slow disk adds a line.
fn is_about_the_disk(line: &str) -> bool {
    line.contains("writing to disk")
}

/// What is shown at the terminal is the plaintext alone, and what is typed there is left alone.
#[test]
fn progress_does_not_share_a_terminal_with_plaintext() {
    let place = Place::new();
    let plain = "a line of text\n".repeat(200_000) + "the last line\n";
    place.write("in", &plain);
    place.ok(&["encrypt", "-q", "in"]);
    let object = place.read("in.seal");
    for progress in ["auto", "always"] {
        for args in [
            &["decrypt", "-", "-qo", "-"][..],
            &["cat", "-", "-q"],
            &["cat", "-", "-q", "-o", "/dev/stdout"],
        ] {
            let terminal = Terminal::new();
            let mut command = place.command(args);
            let mut child = command
                .args(["--progress", progress])
                .stdin(Stdio::piped())
                .stdout(terminal.line())
                .stderr(terminal.line())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            // Time enough for a bar to be shown.
            for part in [&object[..CHUNKS + 100 * (C + 16)], &object[CHUNKS + 100 * (C + 16)..]] {
                stdin.write_all(part).unwrap();
                std::thread::sleep(Duration::from_millis(300));
            }
            drop(stdin);
            assert_eq!(wait(&mut child), Some(0));
            terminal.wait_for("the last line");
            assert!(terminal.screen().replace("\r\n", "\n") == plain, "{args:?} {progress}");
        }
        let mut terminal = Terminal::new();
        let mut command = place.command(&["encrypt", "-", "-qfo", "out", "--progress", progress]);
        let mut child = command.stdin(terminal.line()).stderr(terminal.line()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        terminal.keyboard.write_all(b"typed\n").unwrap();
        terminal.wait_for("typed");
        std::thread::sleep(Duration::from_millis(300));
        // The key that ends the input.
        terminal.keyboard.write_all(&[4]).unwrap();
        assert_eq!(wait(&mut child), Some(0));
        assert_eq!(terminal.screen(), "typed\r\n");
        assert_eq!(place.ok(&["cat", "-q", "out"]).stdout, b"typed\n");
    }
}

#[test]
fn progress_says_that_it_derives_a_key() {
    const WORDS: &str = "deriving the key from the passphrase";
    let place = Place::new();
    place.write("in", vec![0; 1024 * 1024]);
    place.write("phrase", "correct horse");
    let key = "passphrase:file:phrase";
    let run = place.ok(&["encrypt", "-q", "in", "--progress", "always", "-k", key]);
    assert!(run.stderr.starts_with(&format!("sealstone: in: {WORDS}\n")), "{run:?}");
    for args in [
        &["encrypt", "-qf", "in"][..],
        &["decrypt", "-qf", "in.seal"],
        &["verify", "-q", "in.seal"],
        &["cat", "-qf", "in.seal", "-o", "out"],
    ] {
        let terminal = Terminal::new();
        let mut command = place.command(args);
        command
            .args(["--progress", "always", "-k", key])
            .stderr(terminal.line());
        assert_eq!(wait(&mut command.spawn().unwrap()), Some(0));
        terminal.wait_for(WORDS);
    }
}

/// The terminal is the shell's then, and whoever types at it is not disturbed.
#[test]
fn progress_is_not_drawn_in_the_background() {
    let place = Place::new();
    place.write("in", vec![0; 4 * 1024 * 1024]);
    place.ok(&["keys", "new", "default"]);
    for (end, shown) in [("", true), (" & wait", false)] {
        let terminal = Terminal::new();
        let line = format!("set -m; {{ sleep 0.5; cat in; }} | {PROGRAM} encrypt - -qfo out --progress always{end}");
        let mut command = place.any_command("setsid");
        command.args(["--ctty", "--wait", "sh", "-c", &line]);
        let mut child = command
            .stdin(terminal.line())
            .stdout(terminal.line())
            .stderr(terminal.line())
            .spawn()
            .unwrap();
        assert_eq!(wait(&mut child), Some(0));
        assert!(place.path("out").exists());
        std::fs::remove_file(place.path("out")).unwrap();
        if shown {
            terminal.wait_for("standard input");
        }
        let screen = terminal.screen();
        assert_eq!(screen.contains("\x1b[2K"), shown, "{screen:?}");
    }
}

/// The line is as wide as the terminal at most: one that wraps cannot be taken back.
#[test]
fn progress_fits_the_terminal() {
    let place = Place::new();
    let names = [
        "in",
        "a file with a long name, longer than a narrow terminal is wide",
        "漢字漢字漢字漢字漢字漢字漢字漢字漢字",
    ];
    let bytes = vec![0; 3 * 1024 * 1024];
    place.write("phrase", "correct horse");
    place.ok(&["keys", "new", "default"]);
    for columns in [12_u16, 20, 40, 60, 80, 120] {
        for name in names {
            place.write(name, &bytes);
            let terminal = Terminal::new();
            let mut size = tcgetwinsize(&terminal.line).unwrap();
            (size.ws_col, size.ws_row) = (columns, 24);
            tcsetwinsize(&terminal.line, size).unwrap();
            for input in [name, "-"] {
                let mut command = place.command(&["encrypt", "-qf", input, "-o", "out", "--progress", "always"]);
                if input == "in" {
                    command.args(["-k", "passphrase:file:phrase"]);
                }
                let mut child = command.stdin(Stdio::piped()).stderr(terminal.line()).spawn().unwrap();
                let mut stdin = child.stdin.take().unwrap();
                if input == "-" {
                    stdin.write_all(&bytes).unwrap();
                    std::thread::sleep(Duration::from_millis(400));
                }
                drop(stdin);
                assert_eq!(wait(&mut child), Some(0));
            }
            terminal.wait_for("\x1b[2K");
            let screen = terminal.screen();
            // Neither a second line, nor one to go back to.
            assert!(
                !screen.contains('\n') && !screen.contains("\x1b[1A"),
                "{columns}: {screen:?}"
            );
            for line in screen.split(['\r', '\x1b']) {
                let line = line.strip_prefix("[2K").unwrap_or(line);
                let width: usize = line.chars().map(|char| 1 + usize::from(char > '\u{2E80}')).sum();
                assert!(width <= usize::from(columns), "{columns}: {line:?}");
            }
        }
    }
}
