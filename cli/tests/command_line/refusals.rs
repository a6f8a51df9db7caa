//! Each kind of failure has its exit code and its own text, and leaves nothing behind.

use crate::common::{C, CHUNKS, COPY, PAYLOAD, Place, fix_checksums};

/// Damages the object of a 3-chunk file, and has every reading command refuse it.
fn refused(damage: impl FnOnce(&mut Vec<u8>), code: i32, words: &[&str]) {
    let place = Place::new();
    place.seal("in", 2 * C + 100);
    place.edit("in.seal", damage);
    std::fs::remove_file(place.path("in")).unwrap();
    place.fails(&["decrypt", "in.seal"], code, words);
    place.fails(&["decrypt", "in.seal", "-o", "-"], code, words);
    place.fails(&["verify", "in.seal"], code, words);
    place.fails(&["cat", "in.seal"], code, words);
    let object = place.read("in.seal");
    place.run_with(&["decrypt", "-"], &object).failed(code, words);
    place.run_with(&["verify", "-"], &object).failed(code, words);
    place.run_with(&["cat", "-"], &object).failed(code, words);
    assert_eq!(place.names(), ["in.seal"]);
}

#[test]
fn what_is_no_object_is_told_from_one_that_was_mangled() {
    refused(
        |object| *object = b"a text".to_vec(),
        3,
        &["not a sealstone object; check the name"],
    );
    refused(|object| object.clear(), 3, &["not a sealstone object: it is empty"]);
    refused(
        |object| *object = b"\x1f\x8b\x08 and so on".to_vec(),
        3,
        &["not a sealstone object: it is gzip data", "gzip -d"],
    );
    refused(|object| assert_eq!(object.remove(4), b'\r'), 3, &["line ends"]);
    refused(|object| *object = b"iVNTVA0KGgoAAQ4A".to_vec(), 3, &["base64"]);
    refused(
        |object| *object = [&[0xFF, 0xFE], object.as_slice()].concat(),
        3,
        &["UTF-16"],
    );
}

#[test]
fn an_object_that_is_sealed_again_is_noted() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    let run = place.ok(&["encrypt", "-q", "in.seal"]);
    assert!(
        run.stderr.contains("in.seal: it is a sealstone object already"),
        "{run:?}"
    );
    place.ok(&["decrypt", "-qf", "in.seal.seal"]);
    place.ok(&["decrypt", "-qf", "in.seal"]);
    assert_eq!(place.read("in"), plain);
    place.write("NOTE.SEAL", place.read("in.seal"));
    place.ok(&["decrypt", "-q", "NOTE.SEAL"]);
    assert_eq!(place.read("NOTE"), plain);
}

#[test]
fn another_version_is_named() {
    refused(
        |object| {
            object[8] = 77;
            object[COPY + 8] = 77;
        },
        3,
        &["version 77", "newer sealstone"],
    );
}

#[test]
fn a_damaged_header_is_told_from_damaged_data() {
    refused(
        |object| {
            object[100] ^= 1;
            object[COPY + 100] ^= 1;
        },
        6,
        &["header is damaged", "checksum", "another copy of the object"],
    );
    refused(
        |object| object.truncate(5000),
        6,
        &["ends inside its header: only 5000 of 8192", "download it again"],
    );
    refused(
        |object| object[CHUNKS] ^= 1,
        6,
        &["chunk 0 at offset 8248", "another copy"],
    );
    refused(
        |object| object[CHUNKS + C + 16 + 5] ^= 1,
        6,
        &["chunk 1 at offset 24648 does not verify"],
    );
}

#[test]
fn a_cut_and_an_appendix_are_told_apart() {
    refused(
        |object| object.truncate(PAYLOAD + 10),
        6,
        &["truncated", "after 0 bytes"],
    );
    refused(
        |object| object.truncate(CHUNKS + C + 16),
        6,
        &["truncated: it ends after 16384 bytes", "download it again"],
    );
    refused(
        |object| object.push(0),
        6,
        &["trailing data", "ends at offset 41164", "something was appended"],
    );
    let long = vec![7; 2 * C];
    refused(move |object| object.extend(long), 6, &["at offset"]);
}

#[test]
fn parts_of_two_objects_do_not_fit_together() {
    let place = Place::new();
    place.seal("a", 100);
    place.seal("b", 100);
    let (a, b) = (place.read("a.seal"), place.read("b.seal"));
    place.write("mixed.seal", [&a[..PAYLOAD], &b[PAYLOAD..]].concat());
    place.fails(&["decrypt", "mixed.seal"], 6, &["header belongs to another payload"]);

    // The slots of one in the header of the other.
    let mut object = b;
    for copy in [0, COPY] {
        object[copy + 76..copy + COPY - 32].copy_from_slice(&a[76..COPY - 32]);
    }
    fix_checksums(&mut object);
    place.write("mixed.seal", object);
    place.fails(&["decrypt", "mixed.seal"], 6, &["commitment failed", "local:default#"]);
    assert!(!place.path("mixed").exists());
}

#[test]
fn one_damaged_header_copy_is_survived_and_reported() {
    for (copy, name) in [(0, "first"), (1, "second")] {
        let place = Place::new();
        let plain = place.seal("in", 2 * C);
        place.edit("in.seal", |object| object[copy * COPY + 50] ^= 1);
        let named = format!("the {name} header copy is damaged");
        let run = place.ok(&["decrypt", "-q", "in.seal", "-o", "out"]);
        assert!(run.stderr.contains("warning") && run.stderr.contains(&named), "{run:?}");
        assert_eq!(place.read("out"), plain);
        let run = place.ok(&["cat", "-q", "in.seal", "--range", "5..9"]);
        assert!(run.stdout == plain[5..9] && run.stderr.contains(&named));
        place.fails(&["verify", "in.seal"], 6, &[&named, "all data is unaltered"]);
        let run = place.ok(&["inspect", "in.seal"]);
        assert!(run.text().contains("damaged"), "{run:?}");
    }
}

#[test]
fn a_stale_header_copy_is_survived_and_reported() {
    let place = Place::new();
    let plain = place.seal("in", 10);
    place.edit("in.seal", |object| {
        object[COPY + 19] = 1;
        fix_checksums(object);
    });
    let named = "the first header copy is stale";
    let run = place.ok(&["decrypt", "-q", "in.seal", "-o", "-"]);
    assert!(run.stdout == plain && run.stderr.contains(named), "{run:?}");
    place.fails(&["verify", "in.seal"], 6, &[named]);
}

#[test]
fn what_is_missing_or_a_directory_is_refused() {
    let place = Place::new();
    place.fails(&["encrypt", "absent"], 4, &["absent: opening the input"]);
    place.fails(&["decrypt", "absent.seal"], 4, &[]);
    place.fails(&["inspect", "absent.seal"], 4, &[]);
    std::fs::create_dir(place.path("dir")).unwrap();
    place.fails(
        &["encrypt", "dir"],
        2,
        &["tar -c dir | sealstone encrypt - -o dir.tar.seal"],
    );
    place.fails(&["decrypt", "dir", "-o", "out"], 2, &["directory"]);
    place.write("in", "1");
    // Each names what is not there.
    for args in [
        &["encrypt", "in", "-o", "no/such"][..],
        &["encrypt", "in", "-k", "raw:file:no/such"],
        &["encrypt", "in", "-k", "passphrase:file:no/such"],
        &["encrypt", "in", "-k", "local:work", "--keyring", "no/such"],
        &["encrypt", "in", "--header", "no/such"],
        &["decrypt", "in", "-o", "out", "--header", "no/such"],
        &["inspect", "no/such"],
        &["inspect", "--header", "no/such"],
        &["cat", "no/such"],
        &["rewrap", "no/such"],
        &["rekey", "no/such", "-o", "out", "--to", "local:default"],
        &["keys", "list", "--keyring", "no/such"],
        &["keys", "import", "no/such"],
        &["verify", "in", "--passphrase-command", "no/such"],
    ] {
        let run = place.run(args);
        assert!(
            !run.stderr.contains("No such file") || run.stderr.contains("no/such"),
            "{args:?}: {run:?}"
        );
        if args != ["verify", "in", "--passphrase-command", "no/such"] {
            run.failed(4, &["no/such"]);
        }
    }
    assert_eq!(place.names(), ["dir", "in"]);
    for args in [
        &["encrypt"][..],
        &["encrypt", "in", "--chunk-size", "1"],
        &["melt"],
        &[],
    ] {
        assert_eq!(place.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_failed_decrypt_into_a_pipe_says_how_much_is_out() {
    let place = Place::new();
    let plain = place.seal("in", 40 * C);
    place.edit("in.seal", |object| object[CHUNKS + 33 * (C + 16)] ^= 1);
    for run in [
        place.run(&["decrypt", "in.seal", "-o", "-", "--threads", "1"]),
        place.run_with(&["decrypt", "-"], &place.read("in.seal")),
    ] {
        let said = format!("{} verified bytes were written", run.stdout.len());
        run.failed(6, &["chunk 33", &said]);
        assert!(plain.starts_with(&run.stdout));
    }
}

/// What a header, a file name or an argument has in it, wherever it is shown.
#[test]
fn what_comes_from_elsewhere_does_not_command_the_terminal() {
    let place = Place::new();
    let hostile = "\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}x";
    let harmless = |text: &str| {
        let bad =
            |char: char| (char.is_control() && char != '\n') || hostile.chars().skip(9).any(|other| other == char);
        assert!(!text.replace('x', "").contains(bad), "{text:?}");
    };
    let name = format!("in{hostile}");
    place.write(&name, "1");
    place.ok(&[
        "encrypt",
        "-q",
        &name,
        "-o",
        "in.seal",
        "--context",
        &format!("{hostile}={hostile}"),
    ]);
    place.write(&format!("{name}.seal"), place.read("in.seal"));
    let object = format!("{name}.seal");
    let other = place.write(&format!("{name}.txt"), "x");
    for args in [
        &["inspect", &object][..],
        &["verify", "--accept-context", &object],
        &["decrypt", "in.seal", "-o", "out"],
        &["decrypt", "-f", &object, "-o", "out", "--accept-context"],
        &["inspect", other.to_str().unwrap()],
        &["encrypt", "in.seal", "--key", &format!("raw:file:{name}")],
        &["decrypt", &format!("--{name}")],
        &["cat", "in.seal", "--range", &name],
        &["keys", "new", &name],
        &["verify", &format!("{object}.absent")],
    ] {
        let run = place.run(args);
        let told = format!("{}{}", run.text(), run.stderr);
        assert!(
            told.contains("31m\\u{7f}") || told.contains("31m\\u{202e}"),
            "{args:?}: {told}"
        );
        harmless(&told);
        let run = place.run(&[args, &["--json"]].concat());
        harmless(&format!("{}{}", run.text(), run.stderr));
    }
    // Nothing is lost for a parser.
    let run = place.ok(&["inspect", "--json", &object]);
    let facts: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(facts["context"][0]["value"], hostile);
    assert_eq!(facts["input"], object);
}

#[test]
fn all_objects_under_a_prefix_are_those_of_one_prefix_in_a_store() {
    let place = Place::new();
    for (line, words) in [
        ("verify -r directory", "for files, use find DIR"),
        ("verify -r -", "is for objects in stores"),
        ("verify -r s3://b/object", "a prefix ends in a slash, as s3://b/object/"),
        ("verify -r s3://b/a/ s3://b/c/", "one bucket or prefix"),
        ("verify -r s3://b/ --accept-context", "--accept-context is not for"),
        ("encrypt -r s3://b/", "--in-place"),
        ("encrypt -r --in-place s3://b/ --header h", "--header is not for"),
        ("rekey -r s3://b/ --to local:a", "--in-place"),
        ("rekey -r s3://b/ -o out --to local:a", "--output is not for"),
        ("rewrap -r s3://b/ --add local:a", "--key OLD and --to NEW"),
        (
            "rewrap -r s3://b/ --key local:a --to local:b --clear-context",
            "--clear-context is not for",
        ),
        // No person can be asked about one of many objects.
        ("verify -r s3://b/ -k passphrase", "passphrase:file:PATH"),
    ] {
        place.fails(&line.split(' ').collect::<Vec<_>>(), 2, &[words]);
    }
    for (line, option) in [
        ("verify s3://b/ --jobs 2", "--recursive"),
        ("verify -r s3://b/ --jobs 0", "--jobs"),
        ("encrypt --in-place s3://b/", "--recursive"),
        ("rekey s3://b/a --to local:a", "--output"),
    ] {
        let run = place.run(&line.split(' ').collect::<Vec<_>>());
        assert!(run.code == Some(2) && run.stderr.contains(option), "{line}: {run:?}");
    }
}
