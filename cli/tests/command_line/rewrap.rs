//! `rewrap` and `rekey`: who may decrypt, changed in place and over many files; and a new object of an old one.

use std::sync::Arc;

use sealstone::rewrap::LockedObject;
use sealstone::{Decryptor, KeyRing, ObjectHeader, Rewrap};
use sha2::{Digest, Sha256};

use crate::common::{C, COPY, PAYLOAD, Place, plaintext};

/// A place with two raw keys and an object for the default key of the ring.
fn place() -> Place {
    let place = Place::new();
    place.write("a.key", [1; 32]);
    place.write("b.key", [2; 32]);
    place.seal("in", 3 * C + 7);
    place
}

const A: &str = "raw:file:a.key";
const B: &str = "raw:file:b.key";

/// Whether `key` decrypts the object to what was encrypted.
fn opens(place: &Place, object: &str, key: &str) -> bool {
    let run = place.run(&["decrypt", "-q", object, "-o", "-", "--key", key]);
    assert!(matches!(run.code, Some(0 | 4 | 7)), "{run:?}");
    run.code == Some(0) && run.stdout == plaintext(3 * C + 7)
}

#[test]
fn from_a_local_key_to_a_raw_one_and_back() {
    let place = place();
    let before = place.read("in.seal");
    let run = place.ok(&["rewrap", "in.seal", "--key", "local:default", "--to", A]);
    assert!(
        run.stderr.starts_with("sealstone: rewrapped in.seal: sealed for raw:"),
        "{run:?}"
    );
    assert!(opens(&place, "in.seal", A) && !opens(&place, "in.seal", "local:default"));
    let run = place.ok(&["rewrap", "in.seal", "--key", A, "--to", "local:default"]);
    assert!(run.stderr.contains("sealed for local:default#"), "{run:?}");
    assert!(!opens(&place, "in.seal", A) && opens(&place, "in.seal", "local:default"));
    assert!(place.read("in.seal")[PAYLOAD..] == before[PAYLOAD..]);
}

#[test]
fn keys_are_added_and_removed() {
    let place = place();
    place.ok(&["rewrap", "-q", "in.seal", "--add", A, "--add", B]);
    for key in ["local:default", A, B] {
        assert!(opens(&place, "in.seal", key));
    }
    place.ok(&[
        "rewrap",
        "-q",
        "in.seal",
        "--remove",
        A,
        "--remove",
        "local:default",
        "--key",
        B,
    ]);
    assert!(!opens(&place, "in.seal", A) && !opens(&place, "in.seal", "local:default") && opens(&place, "in.seal", B));
    let run = place.fails(
        &["rewrap", "in.seal", "--key", B, "--remove", B],
        2,
        &["no slot would be left", "--add"],
    );
    assert!(opens(&place, "in.seal", B), "{run:?}");
}

#[test]
fn a_slot_is_removed_by_the_name_that_is_reported() {
    let place = place();
    let run = place.ok(&["rewrap", "--json", "in.seal", "--add", A]);
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["result"], "rewrapped");
    assert_eq!(report["generation"], 1);
    let slot = report["slots"][1].as_str().unwrap();
    assert!(slot.starts_with("raw:"));
    place.ok(&["rewrap", "-q", "in.seal", "--remove", slot]);
    assert!(!opens(&place, "in.seal", A) && opens(&place, "in.seal", "local:default"));
    // What is not there any more is no error.
    let run = place.ok(&["rewrap", "in.seal", "--remove", slot]);
    assert!(run.stderr.contains("unchanged (already) in.seal"), "{run:?}");
}

#[test]
fn a_rotated_key_moves_to_its_newest_version() {
    let place = place();
    place.ok(&["keys", "rotate", "default"]);
    let rotate = ["rewrap", "in.seal", "--key", "local:default", "--to", "local:default"];
    assert!(place.ok(&rotate).stderr.contains("rewrapped"));
    assert!(place.ok(&rotate).stderr.contains("unchanged (already)"));
    assert!(opens(&place, "in.seal", "local:default"));
}

#[test]
fn a_passphrase_takes_another_ones_place() {
    let place = place();
    place.write("old", "correct horse\n");
    place.write("new", "battery staple\n");
    let (old, new) = ("passphrase:file:old", "passphrase:file:new");
    place.ok(&["rewrap", "-q", "in.seal", "--key", "local:default", "--to", old]);
    let change = ["rewrap", "in.seal", "--key", old, "--to", new];
    assert!(
        place
            .ok(&change)
            .stderr
            .contains("rewrapped in.seal: sealed for a passphrase")
    );
    assert!(place.ok(&change).stderr.contains("unchanged (already)"));
    assert!(!opens(&place, "in.seal", old) && opens(&place, "in.seal", new));
    place.fails(&["rewrap", "in.seal", "--key", old, "--add", A], 7, &["passphrase"]);
}

#[test]
fn the_context_is_changed_for_every_slot_or_not_at_all() {
    let place = Place::new();
    place.write("a.key", [1; 32]);
    place.write("in", "secret");
    let keys = ["--key", "local:default", "--key", A];
    place.ok(&[&["encrypt", "-q", "in", "--context", "bucket=a"], &keys[..]].concat());
    let change = [
        "rewrap",
        "in.seal",
        "--context",
        "bucket=a",
        "--set-context",
        "bucket=b",
    ];
    let before = place.read("in.seal");
    let only_one = [&change[..], &["--key", "local:default"]].concat();
    place.fails(&only_one, 7, &["raw:", "--key raw:file:PATH", "--drop-unreachable"]);
    assert!(place.read("in.seal") == before);

    place.ok(&[&change[..], &keys[..]].concat());
    for key in ["local:default", A] {
        let run = place.ok(&[
            "decrypt",
            "-q",
            "in.seal",
            "-o",
            "-",
            "--context",
            "bucket=b",
            "--key",
            key,
        ]);
        assert_eq!(run.stdout, b"secret");
    }
    // Asked for again it is done, though the object has the old context no more.
    let run = place.ok(&[&change[..], &keys[..]].concat());
    assert!(run.stderr.contains("unchanged (already)"), "{run:?}");

    let dropping = [
        "--set-context-supplied",
        "pin=1",
        "--drop-unreachable",
        "--key",
        "local:default",
    ];
    place.ok(&[&["rewrap", "-q", "in.seal", "--accept-context"], &dropping[..]].concat());
    place.ok(&["verify", "-q", "in.seal", "--context", "pin=1"]);
    place.fails(
        &["verify", "in.seal", "--context", "pin=1", "--key", A],
        7,
        &["no usable key"],
    );
    place.ok(&["rewrap", "-q", "in.seal", "--context", "pin=1", "--clear-context"]);
    place.ok(&["verify", "-q", "in.seal"]);
}

#[test]
fn a_damaged_header_copy_is_repaired() {
    for copy in [0, 1] {
        let place = place();
        let whole = place.read("in.seal");
        place.edit("in.seal", |object| object[copy * COPY + 50] ^= 1);
        place.fails(
            &["verify", "in.seal"],
            6,
            &["header copy is damaged", "sealstone rewrap"],
        );
        let run = place.ok(&["rewrap", "in.seal"]);
        assert!(run.stderr.contains("repaired in.seal"), "{run:?}");
        place.ok(&["verify", "-q", "in.seal"]);
        assert!(place.read("in.seal") == whole);
    }
}

#[test]
fn all_files_are_tried_and_the_first_failure_is_the_exit_code() {
    let place = place();
    for name in ["x", "y", "z"] {
        place.seal(name, 3 * C + 7);
    }
    place.edit("y.seal", |object| object[..PAYLOAD].fill(0));
    let files = ["x.seal", "y.seal", "missing.seal", "z.seal"];
    let rewrap = [&["rewrap"], &files[..], &["--key", "local:default", "--to", A]].concat();
    let run = place.fails(
        &rewrap,
        3,
        &[
            "rewrapped x.seal",
            "y.seal: not a sealstone",
            "missing.seal: ",
            "rewrapped z.seal",
        ],
    );
    assert!(run.stderr.contains("2 of 4 are as asked for"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 5);
    assert!(opens(&place, "x.seal", A) && opens(&place, "z.seal", A));
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let place = place();
    for name in ["x", "y"] {
        place.seal(name, 3 * C + 7);
    }
    let change = ["--key", "local:default", "--to", A, "--add", B];
    place.ok(&[&["rewrap", "-q", "x.seal"], &change[..]].concat());
    // The second copy was written, and the first was not.
    let old = place.read("y.seal");
    place.ok(&[&["rewrap", "-q", "y.seal"], &change[..]].concat());
    place.edit("y.seal", |object| object[..COPY].copy_from_slice(&old[..COPY]));
    let run = place.ok(&[&["rewrap", "x.seal", "y.seal", "in.seal"], &change[..]].concat());
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(lines[0].contains("unchanged (already) x.seal"), "{lines:?}");
    assert!(
        lines[1].contains("repaired y.seal") && lines[1].contains("the first header copy is stale"),
        "{lines:?}"
    );
    assert!(lines[2].contains("rewrapped in.seal"), "{lines:?}");
    for object in ["x.seal", "y.seal", "in.seal"] {
        assert!(opens(&place, object, A) && opens(&place, object, B) && !opens(&place, object, "local:default"));
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let place = place();
    assert_eq!(place.run(&["rewrap", "in.seal", "--to", A]).code, Some(2));
    assert_eq!(place.run(&["rewrap", "in.seal", "--remove", "work"]).code, Some(2));
    let both = ["rewrap", "in.seal", "--set-context", "a=1", "--clear-context"];
    assert_eq!(place.run(&both).code, Some(2));
    place.fails(&["rewrap", "-"], 2, &["in place"]);
    place.fails(&["rewrap", "in.seal", "--key", A, "--to", B], 7, &["no usable key"]);
    assert!(opens(&place, "in.seal", "local:default"));
}

#[test]
fn a_rekeyed_object_has_another_payload_and_the_same_plaintext() {
    let place = place();
    place.write("plain", "secret");
    let sealing = [
        "--context",
        "a=1",
        "--chunk-size",
        "64K",
        "--suite",
        "chacha20-poly1305",
    ];
    place.ok(&[&["encrypt", "-q", "plain"], &sealing[..]].concat());
    let rekey = ["rekey", "plain.seal", "-o", "new.seal", "--to", A, "--context", "a=1"];
    let run = place.ok(&rekey);
    assert!(run.stderr.contains("rekeyed plain.seal -> new.seal"), "{run:?}");
    let opened = place.ok(&["decrypt", "-q", "new.seal", "-o", "-", "--key", A, "--context", "a=1"]);
    assert_eq!(opened.stdout, b"secret");
    let [old, new] = ["plain.seal", "new.seal"].map(|name| place.read(name));
    assert!(old[PAYLOAD..] != new[PAYLOAD..] && old[8..12] == new[8..12] && old.len() == new.len());
    place.fails(&rekey, 8, &["exists already"]);
    place.fails(
        &[
            "rekey",
            "plain.seal",
            "-fo",
            "plain.seal",
            "--to",
            A,
            "--context",
            "a=1",
        ],
        2,
        &["is the input"],
    );

    place.edit("in.seal", |object| *object.last_mut().unwrap() ^= 1);
    place.fails(&["rekey", "in.seal", "-o", "none", "--to", A], 6, &["does not verify"]);
    assert!(!place.path("none").exists());
}

/// Starts the command and lets it come to the lock that this process holds. A command that is slower than that finds
/// what the test expects all the same.
fn waiting(place: &Place, args: &[&str]) -> std::process::Child {
    let child = place.command(args).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    child
}

#[test]
fn slots_are_chosen_by_the_header_that_is_there_when_the_lock_is_had() {
    let place = place();
    place.ok(&["keys", "new", "alice"]);
    let path = place.path("in.seal");
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let locked = LockedObject::lock(&file, LockedObject::DEFAULT_WAIT).unwrap();
    let child = waiting(&place, &["rewrap", "in.seal", "--remove", "local:alice"]);
    // Another rewrap, which held the lock first, lets alice in.
    let ring = |name| Arc::new(KeyRing::create_or_open(&place.ring(), name).unwrap().0);
    let rewrap = Rewrap::new(Decryptor::new(ring("default"))).add_key(ring("alice"));
    assert!(locked.rewrap(&rewrap).unwrap().changed);
    let run = crate::common::Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    // Any key of the ring would open it by the slot that is left: the header tells whose that is.
    let header = ObjectHeader::parse(&place.read("in.seal")).unwrap();
    let names: Vec<_> = header.header().slots().iter().map(|slot| &slot.key_id).collect();
    assert!(names.len() == 1 && names[0].starts_with("default#"), "{names:?}");
}

#[test]
fn the_file_that_has_the_name_is_rewrapped_and_not_one_that_had_it() {
    let place = place();
    let path = place.path("in.seal");
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    file.lock().unwrap();
    let child = waiting(&place, &["rewrap", "in.seal", "--add", A]);
    std::fs::copy(&path, place.path("new.seal")).unwrap();
    std::fs::rename(place.path("new.seal"), &path).unwrap();
    file.unlock().unwrap();
    let run = crate::common::Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(opens(&place, "in.seal", A));
}

/// Someone who can write storage puts another object's slot into the header.
#[test]
fn another_objects_slot_is_named_and_dropped_only_on_request() {
    let place = Place::new();
    let context = ["--context", "place=hot"];
    for name in ["in", "other"] {
        place.write(name, plaintext(3 * C + 7));
        place.ok(&[&["encrypt", "-q", name], &context[..]].concat());
    }
    let header = |name: &str| {
        ObjectHeader::parse(&place.read(name))
            .unwrap()
            .header()
            .to_detached()
            .unwrap()
    };
    // One slot each, after the same context: the slot is what follows `count`, up to the checksum.
    let slot_of = |header: &[u8]| {
        let at = header.windows(5).position(|window| window == b"local").unwrap() - 2;
        (at, header[at..header.len() - 32].to_vec())
    };
    let (at, own) = slot_of(&header("in.seal"));
    let (_, foreign) = slot_of(&header("other.seal"));
    let mut copy = [&header("in.seal")[..at - 1], &[2], &foreign, &own].concat();
    copy.resize(COPY - 32, 0);
    copy.extend(Sha256::digest(&copy));
    place.edit("in.seal", |object| {
        object[..PAYLOAD].copy_from_slice(&[&copy[..], &copy].concat());
    });
    place.ok(&[&["verify", "-q", "in.seal"], &context[..]].concat());

    let before = place.read("in.seal");
    let change = [&["rewrap", "in.seal", "--set-context", "place=archive"], &context[..]].concat();
    place.fails(
        &change,
        6,
        &[
            "do not hold this object's data key",
            "local:default#",
            "--drop-unreachable",
        ],
    );
    assert!(place.read("in.seal") == before);
    let run = place.ok(&[&change[..], &["--drop-unreachable"]].concat());
    assert!(run.stderr.contains("dropped slot local:default#"), "{run:?}");
    let run = place.ok(&["decrypt", "-q", "in.seal", "-o", "-", "--context", "place=archive"]);
    assert!(run.stdout == plaintext(3 * C + 7));
}
