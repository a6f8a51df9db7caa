//! `inspect`: all that a header says, without any key.

use serde_json::{Value, json};

use crate::common::{COPY, PAYLOAD, Place};

fn inspected(place: &Place, name: &str) -> Value {
    let run = place.ok(&["inspect", "--json", name]);
    serde_json::from_slice(&run.stdout).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_fact_is_there() {
    let place = Place::new();
    place.write("in", vec![1; 200_000]);
    place.write("raw", [7; 32]);
    let keys = ["--key", "local:default", "--key", "raw:file:raw"];
    let context = ["--context", "a=1", "--context-supplied", "b=2", "--chunk-size", "64K"];
    place.ok(&[
        &["encrypt", "-q", "in", "--suite", "chacha20-poly1305"],
        &keys[..],
        &context,
    ]
    .concat());
    std::fs::remove_file(place.ring()).unwrap();
    let (facts, object) = (inspected(&place, "in.seal"), place.read("in.seal"));
    for (name, value) in [
        ("version", json!(object[8])),
        ("suite", json!("AEAD_CHACHA20_POLY1305")),
        ("chunk_size", json!(65_536)),
        ("claimed_plaintext_len", json!(200_000)),
        ("generation", json!(0)),
        ("header_copies", json!(["whole", "whole"])),
        ("payload_offset", json!(PAYLOAD)),
        ("salt", json!(hex(&object[PAYLOAD..PAYLOAD + 24]))),
        ("commitment", json!(hex(&object[PAYLOAD + 24..PAYLOAD + 56]))),
        (
            "payload_context",
            json!(hex(&[b"sealstone/object@v1", &object[9..12]].concat())),
        ),
    ] {
        assert_eq!(facts[name], value, "{name}");
    }
    let pairs = json!([
        {"key": "a", "value": "1", "supplied": false},
        {"key": "b", "value": null, "supplied": true}
    ]);
    assert_eq!(facts["context"], pairs);
    assert_eq!(facts["slots"][0]["provider"], "local");
    assert!(facts["slots"][0]["key_id"].as_str().unwrap().starts_with("default#"));
    assert_eq!(facts["slots"][1]["provider"], "raw");

    let text = place.ok(&["inspect", "in.seal"]);
    let lines: Vec<_> = text.text().lines().collect();
    assert!(
        lines[0].starts_with("in.seal: opens with local:default, the raw key "),
        "{text:?}"
    );
    assert_eq!(
        lines[1],
        "  plaintext          195.31 KiB (200000 bytes), as the object's length claims"
    );
    assert_eq!(lines[2], "  bound to           a=1, b (its value must be supplied)");
    for words in [
        "nothing here is verified",
        "AEAD_CHACHA20_POLY1305",
        "200000 bytes",
        "a=1",
        "local:default#",
        "raw:",
    ] {
        assert!(text.text().contains(words), "{words}: {text:?}");
    }
}

#[test]
fn a_damaged_copy_and_an_impossible_length_are_shown() {
    let place = Place::new();
    place.seal("in", 10);
    place.edit("in.seal", |object| {
        object[COPY + 3] ^= 1;
        object.truncate(PAYLOAD + 56 + 3);
    });
    let facts = inspected(&place, "in.seal");
    assert_eq!(facts["header_copies"][0], "whole");
    assert!(facts["header_copies"][1].as_str().unwrap().starts_with("damaged"));
    assert_eq!(facts["claimed_plaintext_len"], Value::Null);
}

#[test]
fn several_objects_and_pipes_are_inspected() {
    let place = Place::new();
    place.seal("a", 1);
    place.seal("b", 2);
    let run = place.run(&["inspect", "--json", "a.seal", "absent", "b.seal"]);
    assert_eq!((run.code, run.text().lines().count()), (Some(4), 3));
    let piped = place.run_with(&["inspect", "--json", "-"], &place.read("a.seal"));
    let facts: Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(facts["input"], "standard input");
}
