//! Passphrases that a person types.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::terminal::{Terminal, stderr};
use crate::common::{PROGRAM, Place, wait};

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
        let run = crate::common::Run::from(
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
