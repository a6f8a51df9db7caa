//! What an output may replace, and what becomes of it when something fails.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{CHUNKS, PROGRAM, Place, Run, Tmpfs, plaintext, skipped};

#[test]
fn nothing_is_replaced_without_force() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    place.write("out", "precious");
    place.fails(&["encrypt", "in", "-o", "out"], 8, &["out exists already", "-f"]);
    place.fails(&["decrypt", "in.seal", "-o", "out"], 8, &["-f"]);
    place.fails(&["decrypt", "in.seal"], 8, &["in exists already"]);
    place.fails(&["cat", "in.seal", "-o", "out"], 8, &[]);
    assert_eq!(place.read("out"), b"precious");
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "out"]);
    assert_eq!(place.read("out"), plain);
}

#[test]
fn a_failed_decrypt_with_force_leaves_the_old_file() {
    let place = Place::new();
    place.seal("in", 10);
    place.edit("in.seal", |object| object[CHUNKS] ^= 1);
    place.write("out", "precious");
    place.fails(&["decrypt", "-f", "in.seal", "-o", "out"], 6, &[]);
    assert_eq!(place.read("out"), b"precious");
    assert_eq!(place.names(), ["in", "in.seal", "out"]);
}

#[test]
fn the_input_is_never_the_output_by_any_name() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    symlink("in", place.path("link")).unwrap();
    fs::hard_link(place.path("in"), place.path("hard")).unwrap();
    for (input, output) in [
        ("in", "in"),
        ("in", "link"),
        ("in", "hard"),
        ("link", "in"),
        ("hard", "./in"),
    ] {
        place.fails(&["encrypt", "-f", input, "-o", output], 2, &["the output is the input"]);
        place.fails(&["encrypt", input, "-o", output], 2, &["the output is the input"]);
    }
    // Neither is another input of the same call.
    place.fails(
        &["encrypt", "-f", "in", "in.seal"],
        2,
        &["the output is the input in.seal"],
    );
    place.fails(
        &["cat", "-f", "in.seal", "-o", "in.seal"],
        2,
        &["the output is the input"],
    );
    assert_eq!(place.read("in"), plain);
}

#[test]
fn redirection_does_not_get_around_that() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    let stdin = || Stdio::from(File::open(place.path("in")).unwrap());
    let stdout = || Stdio::from(File::options().append(true).open(place.path("in")).unwrap());
    let by_stdout = place.command(&["encrypt", "in", "-o", "-"]).stdout(stdout()).output();
    Run::from(by_stdout.unwrap()).failed(2, &["the output is the input in"]);
    let by_stdin = place.command(&["encrypt", "-", "-fo", "in"]).stdin(stdin()).output();
    Run::from(by_stdin.unwrap()).failed(2, &["the output is the input standard input"]);
    let by_both = place
        .command(&["encrypt", "-"])
        .stdin(stdin())
        .stdout(stdout())
        .output();
    Run::from(by_both.unwrap()).failed(2, &["the output is the input"]);
    assert_eq!(place.read("in"), plain);
}

#[test]
fn files_with_keys_are_never_replaced() {
    let place = Place::new();
    place.seal("in", 10);
    place.write("raw", [7; 32]);
    place.write("phrase", "correct horse\n");
    let ring = fs::read(place.ring()).unwrap();
    symlink(place.ring(), place.path("link")).unwrap();
    let ring_name = place.ring().to_str().unwrap().to_owned();
    for (key, output) in [
        ("local:default", ring_name.as_str()),
        ("local:default", "link"),
        ("raw:file:raw", "link"),
        ("raw:file:raw", "raw"),
        ("passphrase:file:phrase", "phrase"),
    ] {
        place.fails(
            &["encrypt", "-f", "in", "--key", key, "-o", output],
            2,
            &["holds a key"],
        );
        place.fails(
            &["decrypt", "-f", "in.seal", "--key", key, "-o", output],
            2,
            &["holds a key"],
        );
    }
    assert_eq!(fs::read(place.ring()).unwrap(), ring);
    assert_eq!(
        (place.read("raw"), place.read("phrase")),
        (vec![7; 32], b"correct horse\n".to_vec())
    );
    // Nor is the ring that the very call makes.
    fs::remove_file(place.ring()).unwrap();
    let run = place.run(&["encrypt", "-f", "in", "-o", &ring_name]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(fs::read_to_string(place.ring()).unwrap().contains("default"));
}

#[test]
fn links_stay_and_their_files_are_written() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    fs::create_dir(place.path("dir")).unwrap();
    place.write("dir/old", "precious");
    symlink("dir/old", place.path("to-old")).unwrap();
    symlink("dir/new", place.path("to-new")).unwrap();
    symlink("to-new", place.path("to-link")).unwrap();
    symlink("loop", place.path("loop")).unwrap();
    place.fails(&["decrypt", "in.seal", "-o", "to-old"], 8, &["dir/old exists already"]);
    place.ok(&["decrypt", "-q", "in.seal", "-o", "to-link"]);
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "to-old"]);
    place.fails(&["decrypt", "-f", "in.seal", "-o", "loop"], 1, &["symbolic links"]);
    for name in ["dir/old", "dir/new"] {
        assert_eq!(place.read(name), plain);
        assert!(!place.path(name).is_symlink());
    }
    for name in ["to-old", "to-new", "to-link"] {
        assert!(place.path(name).is_symlink(), "{name}");
    }
}

/// Unmounts when dropped, or makes a file changeable again.
struct Undo(Command);

impl Drop for Undo {
    fn drop(&mut self) {
        let _ = self.0.status();
    }
}

fn undo(program: &str, args: &[&str], path: &Path) -> Undo {
    let mut command = Command::new(program);
    command.args(args).arg(path);
    Undo(command)
}

/// The input is a pipe that is never written: whoever waited for it would wait for ever.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_replaced_is_found_before_the_work() {
    const TEST: &str = "an_output_that_cannot_be_replaced_is_found_before_the_work";
    let place = Place::new();
    let plain = place.seal("in", 10);
    assert!(
        Command::new("mkfifo")
            .arg(place.path("fifo"))
            .status()
            .unwrap()
            .success()
    );
    let refused = |output: &str, reason: &str| {
        for args in [
            ["encrypt", "-f", "fifo", "-o", output],
            ["decrypt", "-f", "fifo", "-o", output],
            ["cat", "-f", "fifo", "-o", output],
        ] {
            place.fails(&args, 2, &["cannot be replaced", reason, "-o - >FILE"]);
        }
        assert_eq!(place.read(output), b"precious");
    };
    place.write("other", "precious");
    let mounted = place.write("mounted", "");
    let mount = Command::new("mount")
        .arg("--bind")
        .arg(place.path("other"))
        .arg(&mounted)
        .output();
    if mount.is_ok_and(|output| output.status.success()) {
        let _undo = undo("umount", &[], &mounted);
        refused("mounted", "it is a mount point");
        // As is advised.
        let output = File::options().write(true).truncate(true).open(&mounted).unwrap();
        let run = place
            .command(&["decrypt", "-q", "in.seal", "-o", "-"])
            .stdout(output)
            .output();
        assert_eq!(Run::from(run.unwrap()).code, Some(0));
        assert_eq!(place.read("other"), plain);
    } else {
        skipped(TEST, "a bind mount needs root");
    }
    for flag in ["i", "a"] {
        let fixed = place.write("fixed", "precious");
        let set = Command::new("chattr").arg(format!("+{flag}")).arg(&fixed).output();
        if !set.is_ok_and(|output| output.status.success()) {
            skipped(
                TEST,
                "this file system has no immutable files, or root alone may make them",
            );
            break;
        }
        let _undo = undo("chattr", &[&format!("-{flag}")], &fixed);
        refused("fixed", "immutable");
    }
    if !rustix::process::geteuid().is_root() {
        return skipped(TEST, "becoming another user needs root");
    }
    place.write("sticky", "precious");
    fs::copy(place.ring(), place.path("ring")).unwrap();
    let script = format!(
        "chmod 711 .. && chmod 1777 . && chown 65534 ring && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
         {PROGRAM} decrypt -f fifo -o sticky --keyring ring"
    );
    let run = Run::from(place.any_command("sh").args(["-c", &script]).output().unwrap());
    if run.stderr.contains("setpriv:") {
        return skipped(TEST, "there is no setpriv, or the program is not for all to run");
    }
    run.failed(2, &["cannot be replaced", "another user"]);
    assert_eq!(place.read("sticky"), b"precious");
}

#[test]
fn a_directory_that_cannot_be_written_stays_as_it_is() {
    const TEST: &str = "a_directory_that_cannot_be_written_stays_as_it_is";
    let place = Place::new();
    place.seal("in", 10);
    let dir = place.path("dir");
    if let Some(tmpfs) = Tmpfs::mount(TEST, &dir, "size=1m") {
        tmpfs.make_read_only();
        place.fails(
            &["encrypt", "in", "-o", "dir/out"],
            1,
            &["creating the output", "Read-only"],
        );
        place.fails(
            &["decrypt", "in.seal", "-o", "dir/out"],
            1,
            &["creating the output", "Read-only"],
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    } else {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).unwrap();
        place.fails(
            &["encrypt", "in", "-o", "dir/out"],
            7,
            &["creating the output", "denied"],
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }
}

#[test]
fn a_full_disk_keeps_nothing_of_the_output() {
    let place = Place::new();
    let dir = place.path("dir");
    let Some(_tmpfs) = Tmpfs::mount("a_full_disk_keeps_nothing_of_the_output", &dir, "size=1m") else {
        return;
    };
    let plain = plaintext(3 * 1024 * 1024);
    place.write("in", &plain);
    place.ok(&["encrypt", "-q", "in"]);
    for args in [
        ["encrypt", "in", "-o", "dir/out"],
        ["decrypt", "in.seal", "-o", "dir/out"],
        ["cat", "in.seal", "-o", "dir/out"],
    ] {
        place.fails(&args, 1, &["No space left"]);
    }
    place
        .run_with(&["encrypt", "-", "-o", "dir/out"], &plain)
        .failed(1, &["No space left"]);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    // The room is free again.
    fs::write(dir.join("other"), &plain[..900 * 1024]).unwrap();
}

/// A process that cannot be dumped owns less of `/proc` than others do, and names its output through it.
#[test]
fn a_user_with_no_rights_can_write_too() {
    const TEST: &str = "a_user_with_no_rights_can_write_too";
    let place = Place::new();
    let plain = place.seal("in", 10);
    fs::write(place.path("ring"), fs::read(place.ring()).unwrap()).unwrap();
    let script = format!(
        "chmod 711 .. && chown -R 65534 . && chmod 600 ring && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
         {PROGRAM} decrypt -q in.seal -o out --keyring ring"
    );
    let allowed = Command::new("setpriv")
        .args(["--reuid", "65534", PROGRAM, "--version"])
        .output();
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || !allowed.is_ok_and(|output| output.status.success()) {
        return skipped(
            TEST,
            "becoming another user needs root, setpriv and a program that all may run",
        );
    }
    let run = Run::from(place.any_command("sh").args(["-c", &script]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(place.read("out"), plain);
}

#[test]
fn a_directory_that_is_not_there_is_said_before_the_work() {
    let place = Place::new();
    place.seal("in", 10);
    place.fails(
        &["encrypt", "in", "-o", "missing/"],
        2,
        &["there is no directory missing/"],
    );
    place.fails(&["decrypt", "in.seal", "-o", "missing/"], 2, &["there is no directory"]);
    assert_eq!(place.names(), ["in", "in.seal"]);
}
