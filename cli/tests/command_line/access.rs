//! Who may access an output, and when it was last modified.
#![cfg(unix)]

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::common::{PROGRAM, Place, Run, Tmpfs, skipped};

const NOBODY: u32 = 65_534;

fn then() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5_000)
}

fn metadata(place: &Place, name: &str) -> Metadata {
    fs::metadata(place.path(name)).unwrap()
}

fn mode(place: &Place, name: &str) -> u32 {
    metadata(place, name).mode() & 0o7777
}

fn chmod(place: &Place, name: &str, mode: u32) {
    fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// Sets mode and time.
fn stamp(place: &Place, name: &str, mode: u32) {
    // Before the mode, which may forbid it.
    let file = File::options().append(true).open(place.path(name)).unwrap();
    file.set_modified(then()).unwrap();
    chmod(place, name, mode);
}

/// Runs with this umask what must succeed.
fn with_umask(place: &Place, mask: &str, args: &str) {
    let script = format!("umask {mask}; exec {PROGRAM} {args}");
    let run = Run::from(place.any_command("sh").args(["-c", &script]).output().unwrap());
    assert_eq!(run.code, Some(0), "{args}: {run:?}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn mode_and_time_go_from_file_to_object_and_back() {
    let place = Place::new();
    for input_mode in [0o600, 0o640, 0o664, 0o755, 0o444] {
        place.write("in", "text");
        stamp(&place, "in", input_mode);
        place.ok(&["encrypt", "-q", "in"]);
        place.ok(&["encrypt", "-q", "in", "-o", "payload", "--header", "head"]);
        place.ok(&["decrypt", "-q", "in.seal", "-o", "out"]);
        for name in ["in.seal", "payload", "head", "out"] {
            let modified = metadata(&place, name).modified().unwrap();
            assert_eq!((mode(&place, name), modified), (input_mode, then()), "{name}");
            fs::remove_file(place.path(name)).unwrap();
        }
        fs::remove_file(place.path("in")).unwrap();
    }
}

#[test]
fn setuid_and_setgid_do_not_go_along() {
    let place = Place::new();
    place.write("in", "text");
    chmod(&place, "in", 0o6755);
    place.ok(&["encrypt", "-q", "in"]);
    assert_eq!(mode(&place, "in.seal"), 0o755);
    chmod(&place, "in.seal", 0o6755);
    place.ok(&["decrypt", "-q", "in.seal", "-o", "out"]);
    assert_eq!(mode(&place, "out"), 0o755);
}

#[test]
fn an_empty_file_has_mode_and_time_too() {
    let place = Place::new();
    place.write("in", "");
    stamp(&place, "in", 0o640);
    place.ok(&["encrypt", "-q", "in"]);
    assert_eq!(
        (mode(&place, "in.seal"), metadata(&place, "in.seal").modified().unwrap()),
        (0o640, then())
    );
}

#[test]
fn without_preserving_the_umask_counts_and_plaintext_stays_as_private_as_its_object() {
    let place = Place::new();
    place.seal("in", 10);
    stamp(&place, "in", 0o640);
    for (mask, by_umask) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        with_umask(&place, mask, "encrypt -q --no-preserve in -o out");
        assert_eq!(mode(&place, "out"), by_umask, "{mask}");
        assert!(metadata(&place, "out").modified().unwrap() > then());
        fs::remove_file(place.path("out")).unwrap();
        for object in [0o600, 0o604, 0o644, 0o666] {
            stamp(&place, "in.seal", object);
            for args in ["decrypt --no-preserve", "cat", "rekey --to local:default"] {
                with_umask(&place, mask, &format!("{args} -q in.seal -o out"));
                assert_eq!(mode(&place, "out"), by_umask & object, "{mask} {object:o} {args}");
                assert!(metadata(&place, "out").modified().unwrap() > then());
                fs::remove_file(place.path("out")).unwrap();
            }
        }
    }
}

#[test]
fn of_streams_the_umask_counts_and_of_a_redirected_object_its_mode() {
    let place = Place::new();
    place.seal("in", 10);
    with_umask(&place, "022", "encrypt -q - -o out < in");
    assert_eq!(mode(&place, "out"), 0o644);
    fs::remove_file(place.path("out")).unwrap();
    with_umask(&place, "022", "encrypt -q in -o - > out");
    fs::remove_file(place.path("out")).unwrap();
    stamp(&place, "in.seal", 0o600);
    with_umask(&place, "022", "decrypt -q - -o out < in.seal");
    assert_eq!(mode(&place, "out"), 0o600);
    assert!(metadata(&place, "out").modified().unwrap() > then());
    fs::remove_file(place.path("out")).unwrap();
    with_umask(&place, "022", "decrypt -q - -o out < in.seal | cat");
    let piped = format!("umask 022; cat in.seal | {PROGRAM} decrypt -qf - -o piped");
    let run = place.any_command("sh").args(["-c", &piped]).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(mode(&place, "piped"), 0o644);
}

#[test]
fn what_replaces_a_file_is_open_to_the_same_users() {
    let place = Place::new();
    place.seal("in", 10);
    chmod(&place, "in", 0o666);
    chmod(&place, "in.seal", 0o666);
    for old in [0o600, 0o640, 0o604, 0o664, 0o400] {
        for args in [
            "encrypt -qf in -o old",
            "encrypt -qf --no-preserve in -o old",
            "encrypt -qf - -o old < in",
            "decrypt -qf in.seal -o old",
            "decrypt -qf --no-preserve in.seal -o old",
            "cat -qf in.seal -o old",
            "rekey -qf in.seal --to local:default -o old",
        ] {
            place.write("old", "old");
            chmod(&place, "old", old);
            with_umask(&place, "022", args);
            assert_eq!(mode(&place, "old"), old, "{args}");
            fs::remove_file(place.path("old")).unwrap();
        }
    }
}

#[test]
fn what_replaces_a_file_has_its_owner_and_group() {
    if !is_root() {
        return skipped(
            "what_replaces_a_file_has_its_owner_and_group",
            "giving files away needs root",
        );
    }
    let place = Place::new();
    place.seal("in", 10);
    place.write("old", "old");
    chown(place.path("old"), Some(NOBODY), Some(1234)).unwrap();
    chmod(&place, "old", 0o640);
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "old"]);
    let old = metadata(&place, "old");
    assert_eq!((old.uid(), old.gid(), mode(&place, "old")), (NOBODY, 1234, 0o640));
    // Root acts for the owner of a new file, too.
    place.ok(&["encrypt", "-q", "old", "-o", "new"]);
    let new = metadata(&place, "new");
    assert_eq!((new.uid(), new.gid(), mode(&place, "new")), (NOBODY, 1234, 0o640));
    place.ok(&["encrypt", "-q", "--no-preserve", "old", "-o", "own"]);
    assert_eq!(metadata(&place, "own").uid(), 0);
}

/// The directory is ours, the file is not: it can be replaced, and not be given to its owner.
#[test]
fn what_cannot_be_kept_is_reported_and_opens_the_file_to_no_one_else() {
    const TEST: &str = "what_cannot_be_kept_is_reported_and_opens_the_file_to_no_one_else";
    let setpriv = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let allowed = Command::new("setpriv")
        .args(setpriv)
        .args([PROGRAM, "--version"])
        .output();
    if !is_root() || !allowed.is_ok_and(|output| output.status.success()) {
        return skipped(
            TEST,
            "becoming another user needs root, setpriv and a program that all may run",
        );
    }
    let place = Place::new();
    place.seal("in", 10);
    let script = format!(
        "chmod 711 .. && cp ../home/ring.json ring && chmod 600 ring && chown -R 65534 . && exec setpriv {} {PROGRAM} \
         decrypt -qf in.seal -o old --keyring ring",
        setpriv.join(" ")
    );
    for (old, new) in [(0o660, 0o600), (0o644, 0o644), (0o604, 0o600)] {
        place.write("old", "old");
        chmod(&place, "old", old);
        let script = script.replace("exec", "chown 4321:1234 old && exec");
        let run = Run::from(place.any_command("sh").args(["-c", &script]).output().unwrap());
        assert_eq!(run.code, Some(0), "{run:?}");
        for what in [
            "the owner of the file that it replaces",
            "the group of the file that it replaces",
        ] {
            assert!(run.stderr.contains(what), "{run:?}");
        }
        assert_eq!(
            (metadata(&place, "old").uid(), mode(&place, "old")),
            (NOBODY, new),
            "{old:o}"
        );
    }
}

/// On a file system without files that have no name, the output has a temporary one while it is written.
#[test]
fn an_output_is_private_while_it_is_written() {
    let place = Place::new();
    place.seal("in", 3 << 20);
    chmod(&place, "in.seal", 0o666);
    place.write("old", "old");
    chmod(&place, "old", 0o666);
    let mut child = (place
        .command(&["decrypt", "-qf", "-", "-o", "old"])
        .stdin(Stdio::piped()))
    .spawn()
    .unwrap();
    let object = place.read("in.seal");
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &object[..2 << 20]).unwrap();
    let descriptors = format!("/proc/{}/fd", child.id());
    let directory = fs::canonicalize(place.path("")).unwrap();
    let mut open = 0;
    for _ in 0..500 {
        let entries = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(&directory)))
        {
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            assert_eq!(metadata.mode() & 0o077, 0, "{:?}", fs::read_link(entry.path()));
            open += 1;
        }
        if open > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::io::Write::write_all(&mut stdin, &object[2 << 20..]).unwrap();
    drop(stdin);
    assert_eq!(crate::common::wait(&mut child), Some(0));
    assert_eq!(mode(&place, "old"), 0o666);
    if open == 0 {
        skipped(
            "an_output_is_private_while_it_is_written",
            "another process's descriptors are not shown here",
        );
    }
}

/// A file system without modes shows the same ones for all files.
#[test]
fn a_file_system_that_has_no_modes_is_written_and_reported() {
    const TEST: &str = "a_file_system_that_has_no_modes_is_written_and_reported";
    let place = Place::new();
    place.seal("in", 10);
    chmod(&place, "in.seal", 0o600);
    let script = "truncate -s 4M image && mkfs.vfat image && mkdir dir && mount -o loop,umask=022 image dir";
    let mounted = place.any_command("sh").args(["-c", script]).output().unwrap();
    if !mounted.status.success() {
        return skipped(
            TEST,
            "mounting a FAT file system needs root, mkfs.vfat and a loop device",
        );
    }
    let run = place.run(&["decrypt", "-q", "in.seal", "-o", "dir/out"]);
    let opened = fs::read(place.path("dir/out"));
    let unmounted = place.any_command("umount").arg("dir").status().unwrap();
    assert!(unmounted.success());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("lets others access it"), "{run:?}");
    assert_eq!(opened.unwrap(), place.read("in"));
}

/// A file system in memory has names for all files at once, as network file systems do, if `O_TMPFILE` is taken away.
#[test]
fn replacing_keeps_the_mode_on_a_file_system_in_memory() {
    let place = Place::new();
    let dir = place.path("dir");
    let Some(_tmpfs) = Tmpfs::mount("replacing_keeps_the_mode_on_a_file_system_in_memory", &dir, "size=1m") else {
        return;
    };
    place.seal("in", 10);
    place.write("dir/old", "old");
    chmod(&place, "dir/old", 0o640);
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "dir/old"]);
    assert_eq!(mode(&place, "dir/old"), 0o640);
}

/// As `sudo HOME=...` does it.
#[test]
fn roots_rotation_takes_no_ring_from_its_owner() {
    if !is_root() {
        return skipped(
            "roots_rotation_takes_no_ring_from_its_owner",
            "giving files away needs root",
        );
    }
    let place = Place::new();
    place.ok(&["keys", "new", "work"]);
    let home = place.ring().parent().unwrap().to_owned();
    let _ = fs::remove_file(home.join("ring.json.lock"));
    for path in [&home, &place.ring()] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // It may as well be refused.
    place.run(&["keys", "rotate", "work"]);
    for entry in fs::read_dir(home).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{:?}", entry.path());
    }
}
