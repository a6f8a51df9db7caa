//! Composite objects, which other programs make with the library: read by every command, from files and not from pipes.

use std::fs::File;
use std::sync::Arc;

use sealstone::composite::Padding;
use sealstone::{Encryptor, RawKey};
use serde_json::{Value, json};

use crate::common::{C, PAYLOAD, Place, Run, plaintext, run_with};

const KEY: [&str; 2] = ["--key", "raw:file:a.key"];
/// Components on both sides of the boundaries of chunks, and empty ones at every place.
const LENS: [usize; 8] = [0, 1, C - 1, C, 0, C + 1, 3 * C + 5, 0];
const MIB: usize = 1024 * 1024;
const FROM_A_PIPE: [&str; 2] = ["composite object cannot be read from a pipe", "name a file"];

/// The object `in.seal`, and the same as `in.header` and `in.payload`.
struct Sealed {
    place: Place,
    plain: Vec<u8>,
    /// Where each component begins in the payload, and what follows the last.
    starts: Vec<usize>,
}

fn seal(lens: &[usize], padding: Padding) -> Sealed {
    let place = Place::new();
    place.write("a.key", [1; 32]);
    place.write("b.key", [2; 32]);
    let key = Arc::new(RawKey::from_slice(&[1; 32]).unwrap());
    let object = Encryptor::new(key).begin_composite(padding).unwrap();
    let plain = plaintext(lens.iter().sum());
    let (mut rest, mut payload) = (plain.as_slice(), Vec::new());
    let (mut receipts, mut starts) = (Vec::new(), vec![0]);
    for (number, &len) in lens.iter().enumerate() {
        let label = number.to_string();
        let (piece, after) = rest.split_at(len);
        let sealed = object.component(label.as_bytes()).unwrap().seal(piece).unwrap();
        payload.extend_from_slice(&sealed.bytes);
        receipts.push((label, sealed.receipt));
        starts.push(payload.len());
        rest = after;
    }
    payload.extend_from_slice(&object.complete(&receipts, b"a note").unwrap().bytes);
    let header = object.header();
    place.write("in.header", header.to_detached().unwrap());
    place.write("in.seal", [&header.to_attached().unwrap(), &payload[..]].concat());
    place.write("in.payload", payload);
    Sealed { place, plain, starts }
}

fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &KEY].concat()
}

impl Sealed {
    fn ok(&self, args: &[&str]) -> Run {
        self.place.ok(&with_key(args))
    }

    fn fails(&self, args: &[&str], words: &[&str]) -> Run {
        self.place.fails(&with_key(args), 6, words)
    }

    /// Where a byte of a component's first chunk is in the object.
    fn in_component(&self, number: usize) -> usize {
        PAYLOAD + self.starts[number] + 56
    }
}

fn facts(place: &Place, args: &[&str]) -> Value {
    let run = place.ok(&[&["inspect", "--json"], args].concat());
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn a_composite_file_is_read_as_a_whole_by_every_command() {
    for (lens, padding) in [
        (&LENS[..], Padding::None),
        (&[0], Padding::None),
        (&[0], Padding::PlaintextLength),
        (&[5 * MIB, C + 3], Padding::PlaintextLength),
    ] {
        let sealed = seal(lens, padding);
        for input in [&["in.seal"][..], &["in.payload", "--header", "in.header"]] {
            let args = |args: &[&'static str]| [args, input].concat();
            for threads in ["1", "2"] {
                sealed.ok(&args(&["decrypt", "-qf", "-o", "out", "--threads", threads]));
                assert!(sealed.place.read("out") == sealed.plain);
                let piped = sealed.ok(&args(&["decrypt", "-q", "-o", "-", "--threads", threads]));
                assert!(piped.stdout == sealed.plain);
            }
            sealed.ok(&args(&["decrypt", "-qf", "-o", "out", "--sparse=never"]));
            assert!(sealed.place.read("out") == sealed.plain);
            assert!(sealed.ok(&args(&["cat", "-q"])).stdout == sealed.plain);
            let verified = sealed.ok(&args(&["verify", "--json"]));
            let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
            assert_eq!(verified["bytes"], sealed.plain.len());
        }
    }
}

#[test]
fn every_range_over_seams_is_the_slice() {
    let sealed = seal(&LENS, Padding::None);
    let len = sealed.plain.len();
    for (range, slice) in [
        ("0..1".to_owned(), 0..1),
        ("0..2".to_owned(), 0..2),
        (format!("{}..{}", C - 1, C + 1), C - 1..C + 1),
        (format!("{}..{}", C, 2 * C), C..2 * C),
        (format!("{}..{}", 2 * C, 2 * C), 2 * C..2 * C),
        (format!("1..{}", 3 * C + 7), 1..3 * C + 7),
        (format!("..{len}"), 0..len),
        (format!("{}..", len - 3), len - 3..len),
        (format!("-{}", 4 * C), len - 4 * C..len),
        ("-0".to_owned(), len..len),
    ] {
        let run = sealed.ok(&["cat", "-q", "in.seal", &format!("--range={range}")]);
        assert!(run.stdout == sealed.plain[slice], "{range}");
    }
    let past = format!("0..{}", len + 1);
    let run = sealed.place.run(&with_key(&["cat", "in.seal", "--range", &past]));
    run.failed(2, &[&format!("the plaintext has {len} bytes")]);
    assert!(run.stdout.is_empty());
}

/// Neither a key is read nor an output begun.
#[test]
fn a_composite_object_from_a_pipe_is_refused_first() {
    let sealed = seal(&LENS, Padding::None);
    let names = sealed.place.names();
    let apart = ["--header", "in.header"];
    for (input, header) in [("in.seal", &[][..]), ("in.payload", &apart)] {
        let bytes = sealed.place.read(input);
        for command in [
            &["decrypt", "-", "-o", "out"][..],
            &["decrypt", "-"],
            &["cat", "-"],
            &["cat", "-", "--range=0..1"],
            &["cat", "-", "--range=-1", "-o", "out"],
            &["verify", "-"],
            &["rekey", "-", "-o", "out", "--to", "raw:file:b.key"],
        ] {
            let args = [command, header, &["--key", "raw:file:absent"]].concat();
            let run = sealed.place.run_with(&args, &bytes);
            run.failed(2, &FROM_A_PIPE);
            assert!(run.stdout.is_empty() && sealed.place.names() == names, "{command:?}");
        }
    }
    let facts = sealed
        .place
        .run_with(&["inspect", "--json", "-"], &sealed.place.read("in.seal"));
    let facts: Value = serde_json::from_slice(&facts.stdout).unwrap();
    assert_eq!(facts["payload_kind"], "composite");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_on_standard_input_is_read_by_its_descriptors_name() {
    let sealed = seal(&LENS, Padding::None);
    let mut command = sealed.place.command(&with_key(&["cat", "-q", "/dev/stdin"]));
    let file = File::open(sealed.place.path("in.seal")).unwrap();
    let run = Run::from(command.stdin(file).output().unwrap());
    assert!(run.code == Some(0) && run.stdout == sealed.plain, "{}", run.stderr);
    let piped = sealed.place.command(&with_key(&["cat", "-q", "/dev/stdin"]));
    run_with(piped, &sealed.place.read("in.seal")).failed(2, &FROM_A_PIPE);
}

#[test]
fn damage_is_named_by_component_and_chunk() {
    let sealed = seal(&LENS, Padding::None);
    // The second chunk of the largest component.
    let offset = sealed.in_component(6) + C + 16;
    sealed.place.edit("in.seal", |object| object[offset] ^= 1);
    let words = [
        "chunk 1 of component 6",
        &format!("at offset {offset}"),
        "get another copy",
    ];
    sealed.fails(&["verify", "in.seal"], &words);
    sealed.fails(&["decrypt", "in.seal", "-o", "out"], &words);
    sealed.fails(&["rekey", "in.seal", "-o", "out", "--to", "raw:file:b.key"], &words);
    assert!(!sealed.place.path("out").exists());
    // What is before it is authentic, and not the whole.
    let whole = ["cat", "in.seal", "--threads", "1"];
    let run = sealed.fails(&whole, &[words[0], "are not the whole"]);
    let before = LENS[..6].iter().sum::<usize>() + C;
    assert!(run.stdout == sealed.plain[..before], "{}", run.stdout.len());
    let range = format!("--range=0..{before}");
    assert!(sealed.ok(&["cat", "-q", "in.seal", &range]).stdout == sealed.plain[..before]);
    let range = format!("--range=0..{}", before + 1);
    sealed.fails(&["cat", "in.seal", &range], &words);
}

/// The first bytes of a component are in its manifest as well, so that a range needs none of them.
#[test]
fn whole_reads_verify_what_no_range_has() {
    let sealed = seal(&[5 * MIB, 7], Padding::PlaintextLength);
    let object = sealed.place.read("in.seal");
    let (component, padding) = (sealed.in_component(1) - 56, PAYLOAD + sealed.starts[2]);
    for (offset, words) in [
        (component, "component 1 at offset"),
        (component + 55, "component 1 at offset"),
        (padding, "padding"),
    ] {
        let mut altered = object.clone();
        altered[offset] ^= 1;
        sealed.place.write("in.seal", altered);
        for command in [
            &["verify"][..],
            &["cat"],
            &["cat", "--range=0.."],
            &["decrypt", "-o", "out"],
            &["decrypt", "-o", "-"],
        ] {
            sealed.fails(&[command, &["in.seal"]].concat(), &[words, "get another copy"]);
        }
        let run = sealed.ok(&["cat", "-q", "in.seal", "--range=-9"]);
        assert!(run.stdout == sealed.plain[5 * MIB - 2..]);
    }
    assert!(!sealed.place.path("out").exists());
}

#[test]
fn what_does_not_end_where_the_object_does_is_refused_and_can_be_cut() {
    let sealed = seal(&LENS, Padding::None);
    let object = sealed.place.read("in.seal");
    let len = object.len().to_string();
    for more in [&[0_u8; 5000][..], &[0xFF; 16], &plaintext(70_000), &[1]] {
        sealed.place.write("in.seal", [&object, more].concat());
        for command in ["verify", "cat"] {
            let run = sealed.fails(&[command, "in.seal"], &["--object-length N", "get another copy"]);
            assert!(run.stdout.is_empty());
        }
        sealed.ok(&["verify", "in.seal", "--object-length", &len]);
        let range = sealed.ok(&["cat", "-q", "in.seal", "--range=-5", "--object-length", &len]);
        assert!(range.stdout == sealed.plain[sealed.plain.len() - 5..]);
    }
    let text = sealed.place.write("in.seal", [&object[..], &[0; 16]].concat());
    let text = sealed.place.ok(&["inspect", text.to_str().unwrap()]);
    assert!(text.text().contains("whose end cannot be searched for"), "{text:?}");
    for len in [object.len() - 1, PAYLOAD + sealed.starts[3], PAYLOAD + 1, PAYLOAD] {
        sealed.place.write("in.seal", &object[..len]);
        for command in [&["verify", "in.seal"][..], &["decrypt", "in.seal", "-o", "out"]] {
            sealed.fails(command, &[]);
        }
    }
    assert!(!sealed.place.path("out").exists());
}

#[test]
fn inspect_shows_the_kind_and_no_length_that_it_cannot_know() {
    let sealed = seal(&LENS, Padding::None);
    let apart = ["in.payload", "--header", "in.header"];
    for args in [&["in.seal"][..], &apart, &["--header", "in.header"]] {
        let facts = facts(&sealed.place, args);
        assert_eq!(facts["payload_kind"], "composite");
        assert_eq!(facts["claimed_plaintext_len"], Value::Null);
        assert_eq!(facts["claimed_final_chunk_offset"], Value::Null);
        let text = sealed.place.ok(&[&["inspect"], args].concat());
        assert!(text.text().contains("payload kind       composite\n"), "{text:?}");
        assert!(text.text().contains("its manifest is sealed"), "{text:?}");
        assert!(!text.text().contains("final chunk"), "{text:?}");
    }

    let sealed = seal(&[5 * MIB, 7], Padding::PlaintextLength);
    for args in [&["in.seal"][..], &apart] {
        let facts = facts(&sealed.place, args);
        assert_eq!(facts["payload_kind"], "padded composite");
        assert_eq!(facts["claimed_plaintext_len"], 5 * MIB + 7);
        assert_eq!(facts["claimed_final_chunk_offset"], Value::Null);
    }
    let text = sealed.place.ok(&["inspect", "in.seal"]);
    assert!(
        text.text().contains("(5242887 bytes), as the object's length claims"),
        "{text:?}"
    );
    // No padded object has this length.
    sealed.place.edit("in.seal", |object| object.truncate(PAYLOAD + 511));
    assert_eq!(facts(&sealed.place, &["in.seal"])["claimed_plaintext_len"], Value::Null);

    sealed.place.seal("plain", 10);
    assert_eq!(facts(&sealed.place, &["plain.seal"])["payload_kind"], "plain");
}

#[test]
fn a_composite_object_is_rewrapped_in_place() {
    let sealed = seal(&LENS, Padding::None);
    let payload = sealed.place.read("in.payload");
    sealed.ok(&[
        "rewrap",
        "-q",
        "in.seal",
        "--to",
        "raw:file:b.key",
        "--set-context",
        "a=b",
    ]);
    assert!(sealed.place.read("in.seal")[PAYLOAD..] == payload);
    sealed.place.fails(
        &with_key(&["verify", "in.seal", "--accept-context"]),
        7,
        &["no usable key"],
    );
    let args = ["cat", "-q", "in.seal", "--key", "raw:file:b.key", "--context", "a=b"];
    assert!(sealed.place.ok(&args).stdout == sealed.plain);
    // A damaged copy is repaired as that of a plain object is.
    sealed.place.edit("in.seal", |object| object[30] ^= 1);
    let run = sealed
        .place
        .ok(&["rewrap", "in.seal", "--key", "raw:file:b.key", "--context", "a=b"]);
    assert!(run.stderr.contains("repaired"), "{run:?}");
    assert_eq!(facts(&sealed.place, &["in.seal"])["payload_kind"], "composite");
}

#[test]
fn rekeying_makes_a_plain_object() {
    for padding in [Padding::None, Padding::PlaintextLength] {
        let sealed = seal(&[5 * MIB, C + 1], padding);
        for input in [&["in.seal"][..], &["in.payload", "--header", "in.header"]] {
            sealed.ok(&[&["rekey", "-qf", "-o", "new.seal", "--to", "raw:file:b.key"], input].concat());
            let new = facts(&sealed.place, &["new.seal"]);
            assert_eq!(new["payload_kind"], "plain");
            assert_eq!(new["claimed_plaintext_len"], json!(sealed.plain.len()));
            let run = sealed.place.ok(&["cat", "-q", "new.seal", "--key", "raw:file:b.key"]);
            assert!(run.stdout == sealed.plain);
        }
    }
}

#[test]
fn another_objects_header_opens_nothing() {
    let (sealed, other) = (seal(&LENS, Padding::None), seal(&LENS, Padding::None));
    sealed.place.write("in.header", other.place.read("in.header"));
    for command in [&["verify"][..], &["cat"], &["decrypt", "-o", "out"]] {
        let args = [command, &["in.payload", "--header", "in.header"]].concat();
        let run = sealed.fails(&args, &["the manifest does not verify"]);
        assert!(run.stdout.is_empty());
    }
    assert!(!sealed.place.path("out").exists());
}
