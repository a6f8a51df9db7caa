//! The test kit: objects with one fault each, or none, as files to test any implementation with.
//!
//! The oracle creates them, `vectors/` stores them, and the engine accepts or refuses each as its lines state. With
//! `SEALSTONE_WRITE_VECTORS=1` the files are written again.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking")]

mod access;
#[path = "../common/mod.rs"]
mod common;
mod completions;
mod good;
mod headers;
mod judge;
mod object;
mod payloads;
mod ranges;
mod vector;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use vector::Vector;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn made() -> Vec<Vector> {
    [
        good::all(),
        headers::all(),
        access::all(),
        payloads::all(),
        ranges::all(),
    ]
    .concat()
}

fn kept() -> Vec<Vector> {
    kept_in(&directory())
}

/// Composite objects have a directory of their own, with another maker: the second implementation.
fn composite() -> Vec<Vector> {
    kept_in(&directory().join("composite/objects"))
}

fn kept_in(directory: &Path) -> Vec<Vector> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    let read = |name: &String| fs::read(directory.join(name)).unwrap();
    let parse = |name: &String| Vector::parse(name, &read(name)).unwrap_or_else(|| panic!("{name} is no test object"));
    names.iter().map(parse).collect()
}

#[test]
fn the_files_are_what_the_oracle_makes() {
    let mut made = made();
    made.sort_by(|left, right| left.name.cmp(&right.name));
    if std::env::var_os("SEALSTONE_WRITE_VECTORS").is_some() {
        for vector in &made {
            fs::write(directory().join(&vector.name), vector.to_bytes()).unwrap();
        }
    }
    let kept = kept();
    let names = |vectors: &[Vector]| vectors.iter().map(|vector| vector.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&made), names(&kept));
    for (made, kept) in made.iter().zip(&kept) {
        assert!(made == kept, "{}: not what the oracle makes", made.name);
    }
}

#[test]
fn each_object_is_of_its_own_and_there_are_enough() {
    let kept = kept();
    let distinct: BTreeSet<_> = kept
        .iter()
        .map(|vector| {
            (
                &vector.header,
                &vector.body,
                &vector.keys,
                &vector.rule,
                &vector.context,
                &vector.range,
            )
        })
        .collect();
    assert_eq!(distinct.len(), kept.len());
    let faulty = |vectors: &[Vector]| vectors.iter().filter(|vector| !vector.succeeds()).count();
    assert!(faulty(&kept) >= 150, "{}", faulty(&kept));
    assert!(faulty(&composite()) >= 80, "{}", faulty(&composite()));
    let classes: BTreeSet<_> = kept
        .iter()
        .flat_map(|vector| &vector.expect)
        .map(String::as_str)
        .collect();
    assert_eq!(classes, BTreeSet::from(judge::CLASSES), "each class has an object");
}

/// Objects of the second implementation: all of their faults are refused, and named.
#[test]
fn the_engine_takes_and_refuses_composite_objects_as_the_second_implementation_does() {
    let kept = composite();
    let wrong: Vec<_> = kept.iter().flat_map(judge::faults).collect();
    println!("campaign: composite_objects cases={} wrong={}", kept.len(), wrong.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_engine_accepts_and_refuses_as_the_files_state() {
    let kept = kept();
    let wrong: Vec<_> = kept.iter().flat_map(judge::faults).collect();
    println!("campaign: test_objects cases={} wrong={}", kept.len(), wrong.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
