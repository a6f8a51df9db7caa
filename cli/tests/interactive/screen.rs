//! What is and is not written to a terminal.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;

use crate::common::terminal::Terminal;
use crate::common::{Place, wait};

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
    let run = crate::common::Run::from(export(&["keys", "export", "default"]));
    run.failed(2, &["would be shown on the terminal", "-o -"]);
    assert!(!terminal.screen().contains("secret"));
    assert!(export(&["keys", "export", "default", "-o", "-"]).status.success());
    terminal.wait_for("\"secret\"");
}
