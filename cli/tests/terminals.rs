//! What happens at a terminal: progress, passphrases, and what is not written to one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{C, CHUNKS, PROGRAM, Place, wait};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr, tcgetwinsize, tcsetwinsize};

/// A terminal, and a person in front of it.
struct Terminal {
    keyboard: File,
    line: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let line = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { keyboard, line, screen }
    }

    fn line(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// A command whose terminal this is. `setsid` makes it so, and becomes the program.
    fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.any_command("setsid");
        command.args(["--ctty", PROGRAM]).args(args).stdin(self.line());
        command
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.screen().contains(text) {
            assert!(Instant::now() < end, "{text:?} is not on the screen: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Answers a question as soon as the program reads without echo.
    fn answer(&mut self, question: &str, answer: &str) {
        self.answer_number(1, question, answer);
    }

    /// The same of one that is asked for the given time.
    fn answer_number(&mut self, number: usize, question: &str, answer: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.screen().matches(question).count() < number {
            assert!(Instant::now() < end, "{question:?} is not asked: {}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
        let end = Instant::now() + Duration::from_secs(60);
        while self.echoes() {
            assert!(Instant::now() < end, "the answer would be shown");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Seals with the given answers to the two questions.
fn seal(place: &Place, first: &str, second: Option<&str>) -> (Option<i32>, String) {
    let mut terminal = Terminal::new();
    let args = ["encrypt", "-q", "in", "--key", "passphrase"];
    let mut child = terminal.command(place, &args).spawn().unwrap();
    terminal.answer("New passphrase: ", first);
    if let Some(second) = second {
        terminal.answer("The same again: ", second);
    }
    let code = wait(&mut child);
    assert!(!terminal.screen().contains("horse"), "{}", terminal.screen());
    assert!(terminal.echoes());
    (code, stderr(&mut child))
}

#[test]
fn a_new_passphrase_is_asked_for_twice() {
    let place = Place::new();
    place.write("in", "secret");
    let (code, told) = seal(&place, "correct horse", Some("correct house"));
    assert!(code == Some(2) && told.contains("differ"), "{code:?} {told}");
    let (code, told) = seal(&place, "", None);
    assert!(code == Some(2) && told.contains("empty"), "{code:?} {told}");
    assert_eq!(place.names(), ["in"]);
    let (code, told) = seal(&place, "correct horse", Some("correct horse"));
    assert_eq!((code, told.as_str()), (Some(0), ""));
    place.write("phrase", "correct horse");
    let opened = place.ok(&["decrypt", "-q", "in.seal", "-o", "-", "--key", "passphrase:file:phrase"]);
    assert_eq!(opened.stdout, b"secret");
}

#[test]
fn reading_asks_if_nothing_else_fits() {
    let place = Place::new();
    place.write("in", "secret");
    place.write("phrase", "correct horse");
    place.ok(&["encrypt", "-q", "in", "--key", "passphrase:file:phrase"]);
    for (answers, code) in [
        (&["correct horse"][..], 0),
        (&["wrong", "correct horse"], 0),
        (&["wrong", "wronger", "correct horse"], 0),
        (&["wrong", "wronger", "wrongest"], 7),
        (&[""], 7),
        (&["wrong", ""], 7),
    ] {
        for args in [
            &["cat", "-q", "in.seal"][..],
            &["cat", "-q", "in.seal", "--key", "passphrase"],
        ] {
            let mut terminal = Terminal::new();
            let mut child = terminal.command(&place, args).spawn().unwrap();
            for (index, answer) in answers.iter().enumerate() {
                terminal.answer_number(index + 1, "Passphrase of in.seal: ", answer);
            }
            assert_eq!(wait(&mut child), Some(code));
            let told = stderr(&mut child);
            let wrong = answers.iter().filter(|answer| answer.starts_with("wrong")).count();
            assert_eq!(
                told.matches("sealstone: ").count(),
                wrong + usize::from(answers.ends_with(&[""])),
                "{told}"
            );
            assert_eq!(told.matches("wrong passphrase").count(), wrong, "{told}");
            assert!(!told.contains("argon2id"), "{told}");
            let mut opened = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut opened).unwrap();
            assert_eq!(opened == b"secret", code == 0);
        }
    }
    assert!(!place.ring().exists());
    // A key that fits saves the question; a context that does not, too.
    place.ok(&[
        "encrypt",
        "-qf",
        "in",
        "--key",
        "passphrase:file:phrase",
        "--key",
        "local:default",
    ]);
    let terminal = Terminal::new();
    assert!(
        terminal
            .command(&place, &["cat", "in.seal"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let other = ["cat", "in.seal", "--key", "passphrase", "--context", "a=1"];
    assert_eq!(
        terminal.command(&place, &other).output().unwrap().status.code(),
        Some(6)
    );
}

/// The object with the context and slots of another one, in both copies of its header.
fn with_slots_of(object: &[u8], other: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let mut object = object.to_vec();
    for copy in [0, 4096] {
        object[copy + 76..copy + 4064].copy_from_slice(&other[copy + 76..copy + 4064]);
        let checksum = sha2::Sha256::digest(&object[copy..copy + 4064]);
        object[copy + 4064..copy + 4096].copy_from_slice(&checksum);
    }
    object
}

/// A slot can be made to unwrap under many passphrases. Whether one is among them must not be seen in what is asked.
#[test]
fn a_passphrase_that_unwraps_a_slot_of_another_object_is_wrong() {
    let place = Place::new();
    place.write("in", "secret");
    place.write("phrase", "correct horse");
    let objects = ["a.seal", "b.seal"].map(|name| {
        place.ok(&["encrypt", "-q", "in", "-o", name, "--key", "passphrase:file:phrase"]);
        place.read(name)
    });
    place.write("in.seal", with_slots_of(&objects[0], &objects[1]));
    let seen = ["correct horse", "wrong"].map(|answer| {
        let mut terminal = Terminal::new();
        let mut child = terminal.command(&place, &["cat", "-q", "in.seal"]).spawn().unwrap();
        for number in 1..=3 {
            terminal.answer_number(number, "Passphrase of in.seal: ", answer);
        }
        let code = wait(&mut child);
        let questions = terminal.screen().matches("Passphrase of").count();
        (code, stderr(&mut child), questions)
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!((seen[0].0, seen[0].1.matches("wrong passphrase").count()), (Some(7), 3));
}

#[test]
fn without_a_terminal_there_is_another_way_to_give_a_passphrase() {
    let place = Place::new();
    place.write("in", "1");
    place.write("phrase", "correct horse");
    place.ok(&["encrypt", "-q", "in", "--key", "passphrase:file:phrase"]);
    for args in [&["cat", "in.seal"][..], &["encrypt", "-f", "in", "--key", "passphrase"]] {
        let run = common::Run::from(
            place
                .any_command("setsid")
                .args(["-w", PROGRAM])
                .args(args)
                .output()
                .unwrap(),
        );
        run.failed(
            7,
            &["no terminal", "--key passphrase:file:PATH", "--passphrase-command"],
        );
    }
}

/// What one object was opened with opens the next without a question, and is asked for again where it does not.
#[test]
fn one_answer_does_for_all_objects_that_it_opens() {
    let mut place = Place::new();
    place.write("in", "secret");
    for (name, phrase) in [("a", "correct horse"), ("b", "correct horse"), ("c", "correct house")] {
        place.environment = vec![("SEALSTONE_PASSPHRASE_COMMAND", format!("echo '{phrase}'"))];
        place.ok(&["encrypt", "-q", "in", "-o", name, "--key", "passphrase"]);
    }
    place.environment.clear();
    let mut terminal = Terminal::new();
    let mut child = terminal
        .command(&place, &["verify", "-q", "a", "b", "c"])
        .spawn()
        .unwrap();
    terminal.answer("Passphrase of a: ", "correct horse");
    terminal.answer("Passphrase of c: ", "correct house");
    assert_eq!(wait(&mut child), Some(0));
    assert!(!terminal.screen().contains("of b"), "{}", terminal.screen());
}

#[test]
fn an_interrupt_at_the_question_gives_the_echo_back() {
    let place = Place::new();
    place.write("in", "secret");
    let mut terminal = Terminal::new();
    let mut child = terminal
        .command(&place, &["encrypt", "in", "--key", "passphrase"])
        .spawn()
        .unwrap();
    terminal.wait_for("New passphrase: ");
    while terminal.echoes() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The key that sends SIGINT.
    terminal.keyboard.write_all(&[3]).unwrap();
    assert_eq!(wait(&mut child), Some(130));
    assert_eq!(stderr(&mut child), "");
    assert!(terminal.echoes());
    assert_eq!(place.names(), ["in"]);
}

#[test]
fn a_signal_at_the_question_gives_the_echo_back() {
    let place = Place::new();
    place.write("in", "secret");
    let terminal = Terminal::new();
    let mut child = terminal
        .command(&place, &["encrypt", "in", "--key", "passphrase"])
        .spawn()
        .unwrap();
    terminal.wait_for("New passphrase: ");
    while terminal.echoes() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut child), Some(143));
    assert!(terminal.echoes());
}

#[test]
fn an_object_is_not_written_to_a_terminal_by_mistake() {
    let place = Place::new();
    place.write("in", "1");
    let terminal = Terminal::new();
    let at = |args: &[&str]| {
        let mut command = place.command(args);
        command
            .stdin(File::open(place.path("in")).unwrap())
            .stdout(terminal.line());
        command.output().unwrap()
    };
    let refused = at(&["encrypt", "-"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("-o -"));
    assert_eq!(terminal.screen(), "");
    assert!(at(&["encrypt", "-", "-o", "-"]).status.success());
    terminal.wait_for("SST");
}

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
    assert!(
        run.stderr.starts_with("sealstone: in: 100%, 4.00 MiB of 4.00 MiB, "),
        "{run:?}"
    );
    // A log has lines, and a terminal that cannot take one back has them too.
    assert!(
        run.stderr.ends_with("/s\n") && run.stderr.matches(char::is_control).count() == 1,
        "{run:?}"
    );
    for (progress, lines) in [("auto", 0), ("always", 1)] {
        let terminal = Terminal::new();
        let mut command = place.command(&["encrypt", "-qf", "in", "-o", "b", "--progress", progress]);
        let mut child = command.env("TERM", "dumb").stderr(terminal.line()).spawn().unwrap();
        assert_eq!(wait(&mut child), Some(0));
        if lines == 1 {
            terminal.wait_for("/s\r\n");
        }
        let screen = terminal.screen();
        assert_eq!(
            (screen.lines().count(), screen.contains('\x1b')),
            (lines, false),
            "{screen:?}"
        );
    }
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

#[cfg(feature = "aws-kms")]
#[test]
fn progress_says_that_it_waits_for_a_key_service() {
    use sealstone_kms_mock::Fault;
    const WORDS: &str = "waiting for AWS KMS";
    let service = common::kms::Service::new();
    service.write("in", "1");
    let hang = Fault {
        hang: true,
        ..Fault::default()
    };
    service.mock.faults().add(hang).unwrap();
    let terminal = Terminal::new();
    let mut command = service.command(&["encrypt", "in", "-k", common::kms::ONE]);
    let mut child = command.stderr(terminal.line()).spawn().unwrap();
    terminal.wait_for(&format!("in: {WORDS}"));
    // The signal takes the bar away.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(wait(&mut child), Some(143));
    assert_eq!(service.names(), ["in"]);
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

/// The name is typed again, in plain sight; secrets of keys are not shown.
#[test]
fn keys_are_deleted_by_their_name_and_not_exported_to_a_terminal() {
    let place = Place::new();
    place.ok(&["keys", "new", "default"]);
    place.ok(&["keys", "new", "work"]);
    for (answer, code) in [("wrk", 2), ("", 2), ("work", 0)] {
        let mut terminal = Terminal::new();
        let mut child = terminal
            .command(&place, &["keys", "delete", "work", "--all"])
            .stderr(terminal.line())
            .spawn()
            .unwrap();
        terminal.wait_for("Type the name of the key to delete it: ");
        assert!(
            terminal.screen().contains("can never be decrypted again"),
            "{}",
            terminal.screen()
        );
        terminal.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
        assert_eq!(wait(&mut child), Some(code));
        assert_eq!(
            place.run(&["keys", "rotate", "work"]).code,
            Some(if code == 0 { 4 } else { 0 })
        );
    }
    let terminal = Terminal::new();
    let export = |args: &[&str]| terminal.command(&place, args).stdout(terminal.line()).output().unwrap();
    let run = common::Run::from(export(&["keys", "export", "default"]));
    run.failed(2, &["would be shown on the terminal", "-o -"]);
    assert!(!terminal.screen().contains("secret"));
    assert!(export(&["keys", "export", "default", "-o", "-"]).status.success());
    terminal.wait_for("\"secret\"");
}
