//! `cat`: any range of the plaintext, from files and from pipes.

use crate::common::{C, CHUNKS, Place};

const LEN: usize = 5 * 1024 * 1024 / 2 + 11;

#[test]
fn every_form_of_range_is_the_slice() {
    let place = Place::new();
    let plain = place.seal("in", LEN);
    let object = place.read("in.seal");
    let (whole, mib) = (LEN.to_string(), 1024 * 1024);
    let cases = [
        ("0..0".to_owned(), 0..0),
        ("0..1".to_owned(), 0..1),
        ("5..9".to_owned(), 5..9),
        (format!("{}..{}", C - 1, C + 1), C - 1..C + 1),
        (format!("{}..{}", C, 3 * C), C..3 * C),
        (format!("100..{}", 2 * mib + 100), 100..2 * mib + 100),
        (format!("..{C}"), 0..C),
        (format!("{}..", LEN - 3), LEN - 3..LEN),
        (format!("{whole}.."), LEN..LEN),
        (format!("{whole}..{whole}"), LEN..LEN),
        (format!("..{whole}"), 0..LEN),
        ("..".to_owned(), 0..LEN),
        ("-0".to_owned(), LEN..LEN),
        ("-1".to_owned(), LEN - 1..LEN),
        (format!("-{}", 3 * C), LEN - 3 * C..LEN),
        ("-9999999".to_owned(), 0..LEN),
    ];
    for (range, slice) in cases {
        let option = format!("--range={range}");
        let by_file = place.ok(&["cat", "-q", "in.seal", &option]);
        assert!(by_file.stdout == plain[slice.clone()], "{range} of the file");
        let by_pipe = place.run_with(&["cat", "-q", "-", &option], &object);
        assert_eq!(by_pipe.code, Some(0), "{range}: {}", by_pipe.stderr);
        assert!(by_pipe.stdout == plain[slice], "{range} of the pipe");
    }
    assert_eq!(place.ok(&["cat", "-q", "in.seal"]).stdout, plain);
    place.ok(&["cat", "-q", "in.seal", "--range", "7..", "-o", "out"]);
    assert_eq!(place.read("out"), &plain[7..]);
}

#[test]
fn one_past_the_end_is_refused_and_nothing_is_left() {
    let place = Place::new();
    place.seal("in", 100);
    let object = place.read("in.seal");
    for range in [
        "0..101",
        "100..101",
        "101..",
        "101..102",
        "9999999999999..9999999999999",
    ] {
        let words = ["reaches past the end: the plaintext has 100 bytes"];
        let run = place.fails(&["cat", "in.seal", "-o", "out", "--range", range], 2, &words);
        assert!(run.stdout.is_empty());
        place
            .run_with(&["cat", "-", "--range", range, "-o", "out"], &object)
            .failed(2, &words);
    }
    assert_eq!(place.names(), ["in", "in.seal"]);
    for range in ["7..3", "x", "1..2..3"] {
        assert_eq!(
            place.run(&["cat", "in.seal", "--range", range]).code,
            Some(2),
            "{range}"
        );
    }
}

#[test]
fn a_range_is_refused_for_damage_within_it_and_an_open_one_for_a_damaged_end() {
    let place = Place::new();
    let plain = place.seal("in", 4 * C + 10);
    place.edit("in.seal", |object| {
        object[CHUNKS + C + 16] ^= 1;
        *object.last_mut().unwrap() ^= 1;
    });
    let run = place.ok(&["cat", "-q", "in.seal", "--range", "10..16384"]);
    assert_eq!(run.stdout, &plain[10..C]);
    let run = place.fails(
        &["cat", "in.seal", "--range", "10..16385"],
        6,
        &["chunk 1", "nothing was written"],
    );
    assert!(run.stdout.is_empty());
    let run = place.run_with(
        &["cat", "-", "--range", "10..16385", "--threads", "1"],
        &place.read("in.seal"),
    );
    run.failed(6, &["chunk 1", "16374 verified bytes were written"]);
    assert_eq!(run.stdout, &plain[10..C]);
    for range in ["--range=0..", "--range=-1", "--range=999999..1000000"] {
        let run = place.fails(&["cat", "in.seal", range], 6, &["chunk 4"]);
        assert!(run.stdout.is_empty(), "{range}");
    }
}

#[test]
fn of_a_stream_only_a_short_end_can_be_kept() {
    let place = Place::new();
    place.seal("in", 10);
    let object = place.read("in.seal");
    let run = place.run_with(&["cat", "-", "--range=-16777217"], &object);
    run.failed(2, &["of a stream", "from a file"]);
    assert_eq!(
        place.ok(&["cat", "-q", "in.seal", "--range=-16777217"]).stdout.len(),
        10
    );
}

#[test]
fn several_objects_become_one_output_or_none() {
    let place = Place::new();
    let (a, b) = (place.seal("a", 2 * C + 5), place.seal("b", 7));
    let both = [a.as_slice(), &b, &a].concat();
    let args = ["cat", "-q", "a.seal", "b.seal", "a.seal"];
    assert_eq!(place.ok(&args).stdout, both);
    place.ok(&[&args[..], &["-o", "out"]].concat());
    assert_eq!(place.read("out"), both);
    place.fails(
        &["cat", "a.seal", "b.seal", "--range", "1..2"],
        2,
        &["--range is for one object"],
    );
    place.fails(
        &["cat", "a.seal", "absent", "b.seal", "-o", "none"],
        4,
        &["absent: ", "1 more not begun"],
    );
    assert!(!place.path("none").exists());
    let run = place.run(&["cat", "a.seal", "absent", "b.seal"]);
    assert_eq!((run.code, run.stdout), (Some(4), a));
}

#[test]
fn a_range_in_units() {
    let place = Place::new();
    let plain = place.seal("in", 3 * 1024 * 1024);
    for (range, bytes) in [
        ("1K..2K", 1024..2048),
        ("1MiB..1025k", 1_048_576..1_049_600),
        ("2M..", 2_097_152..3_145_728),
    ] {
        assert!(place.ok(&["cat", "-q", "in.seal", "--range", range]).stdout == plain[bytes]);
    }
    assert!(place.ok(&["cat", "-q", "in.seal", "--range=-1K"]).stdout == plain[plain.len() - 1024..]);
    assert_eq!(place.run(&["cat", "in.seal", "--range", "1KB..2KB"]).code, Some(2));
}
