//! `decrypt --sparse`: zeros of the plaintext take no room in the output.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::common::{Place, Run, plaintext};

const LEN: usize = 6 << 20;
const DATA: usize = 1 << 20;

/// Zeros with data in their middle.
fn plain() -> Vec<u8> {
    let mut plain = vec![0; LEN];
    plain[3 << 20..][..DATA].copy_from_slice(&plaintext(DATA));
    plain
}

/// Bytes on the disk.
fn taken(place: &Place, name: &str) -> usize {
    let blocks = fs::metadata(place.path(name)).unwrap().blocks();
    usize::try_from(blocks).unwrap() * 512
}

fn sealed() -> Place {
    let place = Place::new();
    place.write("in", plain());
    place.ok(&["encrypt", "-q", "in"]);
    place
}

#[test]
fn a_file_has_holes_unless_they_are_not_wanted() {
    let place = sealed();
    for (number, (option, holes)) in [
        (&[][..], true),
        (&["--sparse=auto"], true),
        (&["--sparse=always"], true),
        (&["--sparse", "never"], false),
    ]
    .into_iter()
    .enumerate()
    {
        for threads in ["1", "3"] {
            let (file, piped) = (format!("file-{number}-{threads}"), format!("piped-{number}-{threads}"));
            let args = |input: &'static str, output| {
                [&["decrypt", "-q", input, "-o", output, "--threads", threads], option].concat()
            };
            place.ok(&args("in.seal", &file));
            let run = place.run_with(&args("-", &piped), &place.read("in.seal"));
            assert_eq!(run.code, Some(0), "{run:?}");
            for name in [&file, &piped] {
                assert!(place.read(name) == plain(), "{option:?}");
                let taken = taken(&place, name);
                assert_eq!(
                    taken < DATA + (1 << 16),
                    holes,
                    "{option:?}: {name} takes {taken} bytes"
                );
                assert!(taken >= DATA);
            }
        }
    }
}

#[test]
fn what_is_replaced_shows_through_no_hole() {
    let place = sealed();
    place.write("old", plaintext(LEN + 999));
    let kept = File::open(place.path("old")).unwrap();
    place.ok(&["decrypt", "-qf", "in.seal", "-o", "old"]);
    assert!(place.read("old") == plain());
    assert!(taken(&place, "old") < DATA + (1 << 16));
    assert_eq!(kept.metadata().unwrap().len(), (LEN + 999) as u64);
}

#[test]
fn a_stream_has_no_holes() {
    let place = sealed();
    let always = ["decrypt", "in.seal", "-o", "-", "--sparse=always"];
    place.fails(&always, 2, &["--sparse=always"]);
    assert!(place.ok(&["decrypt", "-q", "in.seal", "-o", "-"]).stdout == plain());
    // A file that the shell opened may hold anything.
    place.write("out", vec![7; LEN + 5]);
    let stdout = || Stdio::from(File::options().write(true).open(place.path("out")).unwrap());
    let run = (place.command(&["decrypt", "-q", "in.seal", "-o", "-"]).stdout(stdout())).output();
    assert_eq!(Run::from(run.unwrap()).code, Some(0));
    let out = place.read("out");
    assert!(out[..LEN] == plain() && out[LEN..] == [7; 5]);
    let run = place.command(&always).stdout(stdout()).output();
    Run::from(run.unwrap()).failed(2, &["--sparse=always"]);
}

#[test]
fn zeros_alone_and_short_files_keep_their_length() {
    let place = Place::new();
    for len in [0, 1, 4095, 4096, 4097, 3 * 16_384, (2 << 20) + 4096] {
        place.write("in", vec![0; len]);
        place.ok(&["encrypt", "-qf", "in"]);
        place.ok(&["decrypt", "-qf", "in.seal", "-o", "out"]);
        assert_eq!(place.read("out"), vec![0; len]);
        assert!(taken(&place, "out") <= 4096, "{len}");
    }
}
