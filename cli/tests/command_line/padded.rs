//! Objects in containers that hold more: devices, and files that were made longer.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::{C, CHUNKS, Place, plaintext, skipped};

/// Zeros, and what was there before.
fn paddings() -> [Vec<u8>; 4] {
    let old = plaintext(5 * C + 77)[7..].to_vec();
    [vec![0; 100], vec![0; 4 * C + 9], old[..100].to_vec(), old]
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn the_error_names_the_length_that_opens_the_object() {
    let place = Place::new();
    // Of one thread, and of several.
    for len in [0, C, 2 * C + 5, (1 << 20) + 333] {
        let plain = place.seal("in", len);
        let object = place.read("in.seal");
        let length = object.len().to_string();
        for padding in paddings() {
            place.write("padded", [object.as_slice(), &padding].concat());
            let option = format!("--object-length {length}");
            for args in [
                &["decrypt", "padded", "-o", "out"][..],
                &["decrypt", "padded", "-o", "-"],
                &["cat", "padded"],
                &["cat", "--range=-1", "padded"],
                &["verify", "padded"],
                &["rekey", "padded", "--to", "local:default", "-o", "out"],
            ] {
                let run = place.fails(args, 6, &["more bytes follow", &option]);
                assert!(run.stdout.len() < plain.len().max(1) + C, "{args:?}");
            }
            let piped = place.run_with(&["verify", "-"], &place.read("padded"));
            piped.failed(6, &[&option]);
            let failed = json(&place.run(&["verify", "--json", "padded"]).stdout);
            assert_eq!(failed["object_length"], object.len());
            assert_eq!(place.names(), ["in", "in.seal", "padded"]);

            let of = |args: &[&str]| {
                place
                    .ok(&[args, &["-q", "padded", "--object-length", &length]].concat())
                    .stdout
            };
            assert!(of(&["decrypt", "-o", "-"]) == plain && of(&["cat"]) == plain);
            assert!(of(&["cat", "--range=-1"]) == plain[len.saturating_sub(1)..]);
            of(&["verify"]);
            of(&["decrypt", "-o", "out"]);
            of(&["rekey", "--to", "local:default", "-o", "again"]);
            assert!(place.read("out") == plain);
            assert!(place.ok(&["cat", "-q", "again"]).stdout == plain);
            let args = ["cat", "-q", "-", "--object-length", &length];
            assert!(place.run_with(&args, &place.read("padded")).stdout == plain);
            for name in ["out", "again", "padded"] {
                fs::remove_file(place.path(name)).unwrap();
            }
        }
        fs::remove_file(place.path("in.seal")).unwrap();
    }
}

#[test]
fn a_payload_alone_is_found_as_well() {
    let place = Place::new();
    let plain = plaintext(C + 5);
    place.write("in", &plain);
    let sealed = json(&place.ok(&["encrypt", "--json", "in", "--header", "head"]).stdout);
    let payload = place.read("in.seal");
    assert_eq!(sealed["object_length"], payload.len());
    place.write("padded", [payload.as_slice(), &[0; 5000]].concat());
    let length = payload.len().to_string();
    place.fails(
        &["verify", "padded", "--header", "head"],
        6,
        &[&format!("--object-length {length}")],
    );
    let opened = place.ok(&["cat", "-q", "padded", "--header", "head", "--object-length", &length]);
    assert!(opened.stdout == plain);
}

#[test]
fn encrypt_and_inspect_say_how_long_the_object_is() {
    let place = Place::new();
    place.write("in", plaintext(2 * C + 5));
    let sealed = json(&place.ok(&["encrypt", "--json", "in"]).stdout);
    let object = place.read("in.seal");
    assert_eq!(sealed["object_length"], object.len());
    let facts = |args: &[&str]| json(&place.ok(&[&["inspect", "--json"], args].concat()).stdout);
    let whole = facts(&["in.seal"]);
    assert_eq!(whole["claimed_final_chunk_offset"], CHUNKS + 2 * (C + 16));
    assert_eq!(
        (&whole["padded"], &whole["claimed_plaintext_len"]),
        (&false.into(), &(2 * C + 5).into())
    );

    place.write("padded", [object.as_slice(), &[0; 9000]].concat());
    let padded = facts(&["padded"]);
    assert_eq!(
        (&padded["padded"], &padded["claimed_plaintext_len"]),
        (&true.into(), &Value::Null)
    );
    assert!(
        place
            .ok(&["inspect", "padded"])
            .text()
            .contains("`sealstone verify` finds its end")
    );
    let cut = facts(&["padded", "--object-length", &object.len().to_string()]);
    assert_eq!(cut["claimed_final_chunk_offset"], whole["claimed_final_chunk_offset"]);
    assert_eq!(cut["claimed_plaintext_len"], whole["claimed_plaintext_len"]);
}

#[test]
fn a_length_that_fits_no_input_is_refused() {
    let place = Place::new();
    place.seal("in", 10);
    place.write("b", "b");
    place.ok(&["encrypt", "-q", "b"]);
    let len = place.read("in.seal").len();
    place.fails(
        &["verify", "in.seal", "--object-length", &(len + 1).to_string()],
        2,
        &["more than the", &len.to_string()],
    );
    place.fails(
        &["verify", "in.seal", "--object-length", &(len - 1).to_string()],
        6,
        &[],
    );
    place.fails(
        &["inspect", "in.seal", "b.seal", "--object-length", "1"],
        2,
        &["one input"],
    );
    place.fails(
        &["verify", "in.seal", "b.seal", "--object-length", "1"],
        2,
        &["one input"],
    );
    // An altered object has no other end.
    place.edit("in.seal", |object| object[CHUNKS] ^= 1);
    let run = place.fails(&["verify", "in.seal"], 6, &["chunk 0", "does not verify"]);
    assert!(!run.stderr.contains("--object-length"), "{run:?}");
}

/// A loop device, detached when dropped.
struct Device(PathBuf);

impl Device {
    fn attach(place: &Place, len: usize) -> Option<Self> {
        place.write("image", plaintext(len));
        let made = place
            .any_command("losetup")
            .args(["--find", "--show", "image"])
            .output()
            .ok()?;
        let name = String::from_utf8(made.stdout).unwrap();
        made.status.success().then(|| Self(name.trim().into()))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup")
            .arg("--detach")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_device_holds_an_object_and_says_how_long_it_is() {
    let place = Place::new();
    let Some(device) = Device::attach(&place, 1 << 22) else {
        return skipped(
            "a_device_holds_an_object_and_says_how_long_it_is",
            "a loop device needs root, losetup and /dev/loop-control",
        );
    };
    let plain = plaintext((1 << 20) + 1234);
    place.write("in", &plain);
    let run = place.ok(&["encrypt", "in", "-o", device.name()]);
    let length = (CHUNKS + plain.len() + 16 * (plain.len() / C + 1)).to_string();
    assert!(run.stderr.contains(&format!("--object-length {length}")), "{run:?}");
    // On the disk, and not on its way there.
    place.ok(&["encrypt", "-q", "in"]);
    let image = place.read("image");
    assert_eq!(image.len(), 1 << 22);
    let told = json(&place.ok(&["encrypt", "--json", "in", "-o", device.name()]).stdout);
    assert_eq!(told["object_length"].to_string(), length);

    place.fails(&["verify", device.name()], 6, &[&format!("--object-length {length}")]);
    place.fails(&["cat", device.name()], 6, &[&format!("--object-length {length}")]);
    let with_length = ["--object-length", &length];
    place.ok(&[&["verify", device.name()][..], &with_length].concat());
    place.ok(&[&["decrypt", "-q", device.name(), "-o", "out"][..], &with_length].concat());
    assert!(place.read("out") == plain);
    let range = place.ok(&["cat", "-q", device.name(), "--range", "70000..70010"]);
    assert_eq!(range.stdout, plain[70_000..70_010]);
    let end = place.ok(&[&["cat", "-q", device.name(), "--range=-5"][..], &with_length].concat());
    assert_eq!(end.stdout, plain[plain.len() - 5..]);
    // Whose key opens it can be changed there, too.
    place.write("key", [7; 32]);
    place.ok(&[
        "rewrap",
        device.name(),
        "--key",
        "local:default",
        "--to",
        "raw:file:key",
    ]);
    let with_key = |args: &[&str], key| place.run(&[args, &["--key", key], &with_length].concat());
    assert!(with_key(&["cat", "-q", device.name()], "raw:file:key").stdout == plain);
    assert_eq!(with_key(&["verify", device.name()], "local:default").code, Some(7));
    let facts = json(
        &place
            .ok(&[&["inspect", "--json", device.name()][..], &with_length].concat())
            .stdout,
    );
    assert_eq!(facts["claimed_plaintext_len"], plain.len());
}
