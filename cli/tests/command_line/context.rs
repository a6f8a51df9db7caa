//! The encryption context: what is not the object's own is refused, and the keys that differ are named.

use crate::common::Place;

fn sealed() -> Place {
    let place = Place::new();
    place.write("in", "secret");
    let stored = ["--context", "bucket=a=b", "--context", "tenant=7"];
    place.ok(&[&["encrypt", "-q", "in", "--context-supplied", "pin=1234"], &stored[..]].concat());
    place
}

fn opens(place: &Place, args: &[&str]) {
    let run = place.ok(&[&["decrypt", "-q", "in.seal", "-o", "-"], args].concat());
    assert_eq!(run.stdout, b"secret");
}

fn refused(place: &Place, args: &[&str], words: &[&str]) {
    for command in ["decrypt", "cat", "verify"] {
        let mut all = vec![command, "in.seal"];
        if command != "verify" {
            all.extend(["-o", "out"]);
        }
        all.extend(args);
        place.fails(&all, 6, words);
    }
    assert!(!place.path("out").exists());
}

#[test]
fn all_pairs_open_however_they_are_given() {
    let place = sealed();
    opens(
        &place,
        &[
            "--context",
            "bucket=a=b",
            "--context",
            "tenant=7",
            "--context-supplied",
            "pin=1234",
        ],
    );
    opens(
        &place,
        &[
            "--context",
            "bucket=a=b",
            "--context",
            "tenant=7",
            "--context",
            "pin=1234",
        ],
    );
}

#[test]
fn accepting_the_shown_pairs_still_takes_the_supplied_ones() {
    let place = sealed();
    opens(&place, &["--accept-context", "--context-supplied", "pin=1234"]);
    opens(
        &place,
        &["--accept-context", "--context", "pin=1234", "--context", "tenant=7"],
    );
    refused(&place, &["--accept-context"], &["missing pin", "--context"]);
    refused(
        &place,
        &["--accept-context", "--context", "pin=1234", "--context", "tenant=8"],
        &["different value for tenant"],
    );
}

#[test]
fn the_keys_that_differ_are_named_and_values_are_not() {
    let place = sealed();
    refused(
        &place,
        &[],
        &["missing bucket, pin, tenant", "sealstone inspect", "--accept-context"],
    );
    refused(
        &place,
        &[
            "--context",
            "bucket=a",
            "--context",
            "tenant=7",
            "--context",
            "pin=1234",
            "--context",
            "more=1",
        ],
        &["unexpected more", "different value for bucket"],
    );
    let run = place.run(&["verify", "in.seal", "--context", "pin=1234"]);
    assert!(!run.stderr.contains("1234") && !run.stderr.contains("a=b"), "{run:?}");
}

#[test]
fn a_wrong_supplied_value_is_no_key_at_all() {
    let place = sealed();
    refused(
        &place,
        &["--accept-context", "--context-supplied", "pin=1235"],
        &["context"],
    );
    let run = place.run(&["inspect", "in.seal"]);
    assert!(!run.text().contains("1234") && run.text().contains("pin (its value must be supplied)"));
}

#[test]
fn pairs_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.write("in", "1");
    place.fails(
        &["encrypt", "in", "--context", "a=1", "--context-supplied", "a=2"],
        2,
        &["given twice"],
    );
    for pair in ["a", "=1"] {
        assert_eq!(place.run(&["encrypt", "in", "--context", pair]).code, Some(2));
    }
    let long = format!("a={}", "x".repeat(5000));
    place.fails(&["encrypt", "in", "--context", &long], 2, &["shorter context"]);
    assert_eq!(place.names(), ["in"]);
}
