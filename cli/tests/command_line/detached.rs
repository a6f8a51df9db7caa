//! `--header`: the header in a file of its own, and the payload alone.

use serde_json::{Value, json};

use crate::common::{C, Place};

/// A plaintext `in` of `len` bytes, its payload `in.seal` and its header `in.header`.
fn seal_apart(place: &Place, len: usize) -> Vec<u8> {
    let plain = crate::common::plaintext(len);
    place.write("in", &plain);
    place.ok(&["encrypt", "-q", "in", "--header", "in.header"]);
    plain
}

const APART: [&str; 2] = ["--header", "in.header"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &APART].concat()
}

#[test]
fn a_payload_and_its_header_are_read_together() {
    for len in [0, 1, C, 3 * C + 5] {
        let place = Place::new();
        let plain = seal_apart(&place, len);
        assert_eq!(place.names(), ["in", "in.header", "in.seal"]);
        assert_eq!(place.read("in.seal").len(), 56 + len + 16 * (len / C + 1));
        assert!(place.read("in.header").len() < 1024);
        place.ok(&with(&["decrypt", "-q", "in.seal", "-o", "out"]));
        assert!(place.read("out") == plain);
        assert!(place.ok(&with(&["cat", "-q", "in.seal"])).stdout == plain);
        let range = format!("{}..{}", len / 3, len / 2);
        let cut = place.ok(&with(&["cat", "-q", "in.seal", "--range", &range]));
        assert!(cut.stdout == plain[len / 3..len / 2]);
        place.ok(&with(&["verify", "-q", "in.seal"]));
        let piped = place.run_with(&with(&["decrypt", "-q", "-"]), &place.read("in.seal"));
        assert!(piped.stdout == plain, "{}", piped.stderr);
    }
}

#[test]
fn streams_are_sealed_apart_as_well() {
    let place = Place::new();
    let run = place.run_with(&["encrypt", "-q", "-", "-o", "-", "--header", "h"], b"text");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    place.write("payload", &run.stdout);
    assert_eq!(place.ok(&["cat", "-q", "payload", "--header", "h"]).stdout, b"text");
}

#[test]
fn inspect_shows_a_header_with_and_without_its_payload() {
    let place = Place::new();
    seal_apart(&place, 1000);
    let facts = |args: &[&str]| -> Value { serde_json::from_slice(&place.ok(args).stdout).unwrap() };
    let both = facts(&with(&["inspect", "--json", "in.seal"]));
    assert_eq!(both["claimed_plaintext_len"], 1000);
    assert_eq!(
        (&both["payload_offset"], &both["header_copies"]),
        (&json!(0), &json!([]))
    );
    let alone = facts(&with(&["inspect", "--json"]));
    assert_eq!(alone["claimed_plaintext_len"], Value::Null);
    assert_eq!(alone["salt"], both["salt"]);
    assert!(place.ok(&with(&["inspect"])).text().contains("stored apart"));
    assert_eq!(place.run(&["inspect"]).code, Some(2));
}

#[test]
fn a_header_that_is_there_is_kept_and_nothing_is_written() {
    let place = Place::new();
    seal_apart(&place, 10);
    let (header, payload) = (place.read("in.header"), place.read("in.seal"));
    for force in [&[][..], &["-f"]] {
        let args = with(&[&["encrypt", "in", "-o", "other"][..], force].concat());
        place.fails(&args, 8, &["in.header exists already"]);
    }
    place.fails(&with(&["encrypt", "-f", "in"]), 8, &["in.header"]);
    assert_eq!((place.read("in.header"), place.read("in.seal")), (header, payload));
    assert_eq!(place.names(), ["in", "in.header", "in.seal"]);
}

#[test]
fn a_payload_that_cannot_be_written_leaves_no_header() {
    let place = Place::new();
    place.write("in", [1; 100]);
    place.write("in.seal", "old");
    place.fails(&["encrypt", "in", "--header", "h"], 8, &["in.seal exists already"]);
    place.fails(&["encrypt", "in", "-o", "same", "--header", "same"], 2, &["one file"]);
    place.fails(&["encrypt", "in", "-o", "same", "--header", "./same"], 2, &["one file"]);
    place.fails(&["encrypt", "in", "-o", "new", "--header", "absent/h"], 4, &[]);
    assert_eq!(place.names(), ["in", "in.seal"]);
}

#[test]
fn what_no_header_fits_is_refused() {
    let place = Place::new();
    seal_apart(&place, 100);
    place.write("b", "b");
    place.fails(&["encrypt", "in", "b", "--header", "h"], 2, &["one input"]);
    place.fails(&["encrypt", "b", "--header", "-"], 2, &["--header"]);
    place.fails(&with(&["verify", "in.seal", "b"]), 2, &["one input"]);
    place.fails(
        &["decrypt", "in.seal", "-o", "out", "--header", "absent"],
        4,
        &["absent"],
    );
    place.fails(&["verify", "in.seal"], 3, &["--header"]);
    // An output does not replace the header that it is read with.
    place.fails(
        &with(&["decrypt", "in.seal", "-f", "-o", "in.header"]),
        2,
        &["in.header"],
    );

    place.ok(&["encrypt", "-q", "in", "-o", "other.seal", "--header", "other.header"]);
    place.fails(
        &["decrypt", "in.seal", "-o", "out", "--header", "other.header"],
        6,
        &["belongs to another payload"],
    );
    place.ok(&["encrypt", "-q", "b"]);
    place.fails(&["verify", "in.seal", "--header", "b.seal"], 6, &["the header b.seal"]);
    place.write("long", vec![0; 65_537]);
    place.fails(&["verify", "in.seal", "--header", "long"], 3, &["no detached header"]);
    place.edit("in.header", |header| header[30] ^= 1);
    place.fails(
        &with(&["decrypt", "in.seal", "-o", "out"]),
        6,
        &["in.header", "checksum"],
    );
    assert!(!place.names().contains(&"out".to_owned()));
}
