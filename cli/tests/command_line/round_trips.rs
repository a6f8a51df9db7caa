//! What goes in comes out: files, pipes, nothing at all, several at once.

use crate::common::{C, CHUNKS, Place, plaintext};

const LENGTHS: [usize; 8] = [0, 1, C - 1, C, C + 1, 5 * C, 1024 * 1024 - 1, 2 * 1024 * 1024 + 3];

#[test]
fn every_length_by_file_and_by_pipe() {
    let place = Place::new();
    for len in LENGTHS {
        let plain = place.seal("in", len);
        let object = place.read("in.seal");
        assert_eq!(object.len(), CHUNKS + len + 16 * (len / C + 1));
        place.ok(&["decrypt", "-q", "in.seal", "-o", "out"]);
        assert_eq!(place.read("out"), plain);

        let sealed = place.run_with(&["encrypt", "-q", "-"], &plain);
        assert_eq!(
            (sealed.code, sealed.stdout.len()),
            (Some(0), object.len()),
            "{}",
            sealed.stderr
        );
        for object in [&sealed.stdout, &object] {
            let opened = place.run_with(&["decrypt", "-q", "-"], object);
            assert_eq!((opened.code, opened.stdout.as_slice()), (Some(0), plain.as_slice()));
        }
        let by_name = place.run_with(&["decrypt", "-q", "-", "-fo", "out"], &object);
        assert_eq!((by_name.code, place.read("out")), (Some(0), plain));
        for name in ["in", "in.seal", "out"] {
            std::fs::remove_file(place.path(name)).unwrap();
        }
    }
}

#[test]
fn verified_writes_give_what_opens() {
    let place = Place::new();
    let plain = plaintext(3 * 1024 * 1024 + 17);
    place.write("in", &plain);
    place.ok(&["encrypt", "-q", "--verify-writes", "in"]);
    place.ok(&["decrypt", "-q", "in.seal", "-o", "out"]);
    assert_eq!(place.read("out"), plain);
    let sealed = place.run_with(&["encrypt", "-q", "--verify-writes", "-"], &plain);
    let opened = place.run_with(&["decrypt", "-q", "-"], &sealed.stdout);
    assert_eq!((opened.code, opened.stdout), (Some(0), plain));
}

#[test]
fn every_setting_opens_again() {
    let place = Place::new();
    let plain = plaintext(3 * 1024 * 1024 + 17);
    place.write("in", &plain);
    for size in ["16K", "64K", "256K", "1M"] {
        for suite in ["aes-256-gcm", "chacha20-poly1305"] {
            for threads in ["0", "1", "3"] {
                let args = [
                    "encrypt",
                    "-fq",
                    "in",
                    "--chunk-size",
                    size,
                    "--suite",
                    suite,
                    "--threads",
                    threads,
                ];
                place.ok(&args);
                place.ok(&["decrypt", "-fq", "in.seal", "-o", "out", "--threads", threads]);
                assert_eq!(place.read("out"), plain, "{size} {suite} {threads}");
            }
        }
    }
}

#[test]
fn decrypt_takes_the_ending_away_again() {
    let place = Place::new();
    let plain = place.seal("a.txt", 100);
    std::fs::remove_file(place.path("a.txt")).unwrap();
    place.ok(&["decrypt", "a.txt.seal"]);
    assert_eq!(place.read("a.txt"), plain);
    std::fs::rename(place.path("a.txt.seal"), place.path("b.bin")).unwrap();
    place.fails(&["decrypt", "b.bin"], 2, &["b.bin", ".seal", "-o"]);
}

#[test]
fn several_inputs_are_all_tried_and_the_first_failure_counts() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        place.write(name, name);
    }
    place.ok(&["encrypt", "-q", "a", "b", "c"]);
    for name in ["a", "b", "c"] {
        std::fs::remove_file(place.path(name)).unwrap();
    }
    place.edit("a.seal", |object| object[CHUNKS] ^= 1);
    std::fs::remove_file(place.path("b.seal")).unwrap();
    let run = place.fails(
        &["decrypt", "a.seal", "b.seal", "c.seal"],
        6,
        &["a.seal: chunk 0", "b.seal: opening"],
    );
    assert!(run.stderr.contains("decrypted c.seal"), "{run:?}");
    assert_eq!(place.names(), ["a.seal", "c", "c.seal"]);
    place.fails(&["decrypt", "b.seal", "a.seal"], 4, &[]);
}

#[test]
fn several_inputs_go_into_a_directory() {
    let place = Place::new();
    std::fs::create_dir(place.path("dir")).unwrap();
    std::fs::create_dir(place.path("x")).unwrap();
    place.write("a", "1");
    place.write("b", "2");
    place.write("x/a", "3");
    place.ok(&["encrypt", "-q", "a", "b", "-o", "dir"]);
    place.ok(&["encrypt", "-q", "x/a", "-o", "x"]);
    assert!(place.path("dir/a.seal").exists() && place.path("dir/b.seal").exists() && place.path("x/a.seal").exists());
    place.fails(&["encrypt", "a", "b", "-o", "nowhere"], 2, &["directory"]);
    place.fails(&["encrypt", "a", "b", "-o", "-"], 2, &["directory"]);
    place.fails(&["encrypt", "-", "-"], 2, &["once"]);
    place.fails(
        &["encrypt", "-f", "a", "x/a", "-o", "dir"],
        2,
        &["x/a", "another input's"],
    );
    let opened = place.ok(&["decrypt", "-q", "dir/a.seal", "-o", "-"]);
    assert_eq!(opened.stdout, b"1");
}

#[test]
fn results_are_told_to_people_and_to_scripts() {
    let place = Place::new();
    place.write("in", plaintext(2 * 1024 * 1024));
    place.ok(&["encrypt", "in", "-qo", "first"]);
    let run = place.ok(&["encrypt", "in", "--threads", "2"]);
    for words in ["encrypted in -> in.seal: 2.00 MiB in ", " s (", "iB/s)"] {
        assert!(run.stderr.contains(words), "{run:?}");
    }
    assert!(run.stdout.is_empty());
    let run = place.ok(&["encrypt", "in", "-vf", "--threads", "2"]);
    assert!(run.stderr.contains("/s, aws-lc-rs, 2 threads)"), "{run:?}");
    assert!(place.ok(&["encrypt", "in", "-fq"]).stderr.is_empty());

    let run = place.ok(&["encrypt", "in", "-f", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(
        (&told["ok"], &told["bytes"]),
        (&true.into(), &2_097_152.into()),
        "{told}"
    );
    assert!(run.stderr.is_empty(), "{run:?}");
    // Data keeps standard output to itself.
    let run = place.ok(&["decrypt", "in.seal", "--json", "-o", "-"]);
    assert_eq!(run.stdout, place.read("in"));
    let told: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(told["output"], "standard output");
    let run = place.run(&["decrypt", "absent.seal", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&told["ok"], &told["exit_code"]), (&false.into(), &4.into()));
    run.failed(4, &["absent.seal"]);
}

#[test]
fn completions_are_printed_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = place.ok(&["completions", shell]);
        assert!(
            run.text().contains("sealstone") && run.text().contains("SEALSTONE_COMPLETE"),
            "{shell}"
        );
    }
}

/// Linux lets a file name be any bytes. JSON has them in base64, and `--key` takes them.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_come_through() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes).to_owned();
    let run = |args: &[OsString]| {
        let run = crate::common::Run::from(place.command(&[]).args(args).output().unwrap());
        let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        (run.code, told)
    };
    std::fs::write(place.path("").join(name(b"in\xFF")), "secret").unwrap();
    std::fs::write(place.path("").join(name(b"key\xFE")), [7; 32]).unwrap();
    std::fs::write(place.path("").join(name(b"phrase\xFE")), "correct horse").unwrap();
    let keys = [
        "-k".into(),
        name(b"raw:file:key\xFE"),
        "-k".into(),
        name(b"passphrase:file:phrase\xFE"),
    ];
    let (code, told) = run(&[&["encrypt".into(), "--json".into(), name(b"in\xFF")], &keys[..]].concat());
    assert_eq!(code, Some(0));
    for (member, value) in [
        ("input", "in\\xff"),
        ("input_bytes", "aW7/"),
        ("output", "in\\xff.seal"),
        ("output_bytes", "aW7/LnNlYWw="),
    ] {
        assert_eq!(told[member], value, "{told}");
    }
    for key in keys.chunks(2) {
        let args = [&["verify".into(), "--json".into(), name(b"in\xFF.seal")], key].concat();
        let (code, told) = run(&args);
        assert_eq!((code, &told["input_bytes"]), (Some(0), &"aW7/LnNlYWw=".into()));
    }
    let (code, told) = run(&["inspect".into(), "--json".into(), name(b"in\xFF.seal")]);
    assert_eq!((code, &told["input_bytes"]), (Some(0), &"aW7/LnNlYWw=".into()));
    let (code, told) = run(&["verify".into(), "--json".into(), name(b"absent\xFF")]);
    assert_eq!((code, &told["input_bytes"]), (Some(4), &"YWJzZW50/w==".into()));
    let (_, told) = run(&["inspect".into(), "--json".into(), "absent".into()]);
    assert_eq!(told.get("input_bytes"), None);
}
