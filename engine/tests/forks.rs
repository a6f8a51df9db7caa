//! Forks: neither process can continue what the other began, and objects of each have their own keys.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/forking.rs"]
#[allow(unreachable_pub, reason = "as `common`")]
mod forking;

use std::collections::HashSet;
use std::io::{self, Write};

use common::campaign::cases;
use common::{C, CHUNKS, decryptor, encryptor, plaintext, pool};
use forking::in_a_child;
use sealstone::stream::EncryptWriter;
use sealstone::{Error, Executor};

fn message(result: &Result<(), Error>) -> Vec<u8> {
    format!("{result:?}").into_bytes()
}

/// The typed error of a stream's error.
fn written(result: io::Result<()>) -> Result<(), Error> {
    result.map_err(|error| Error::from_io("writing", error))
}

/// One test, because a fork must not happen beside other tests' threads.
#[test]
fn an_object_begun_before_a_fork_continues_in_one_process_only() {
    each_way_of_sealing_knows_its_process();
    objects_of_forks_have_keys_of_their_own();
}

fn each_way_of_sealing_knows_its_process() {
    let forked = message(&Err(Error::Forked));
    let plain = plaintext(100 * C);

    let begun = encryptor().begin().unwrap();
    let mut begun = Some(begun);
    let reported = in_a_child(|| {
        let mut out = vec![0; CHUNKS + 101 * (C + 16)];
        let sealed = begun.take().unwrap().seal_into(&plain, &mut out).map(drop);
        // A refused fork has sealed nothing.
        assert!(out[CHUNKS..].iter().all(|&byte| byte == 0));
        message(&sealed)
    });
    assert_eq!(reported, forked);
    let mut object = vec![0; CHUNKS + 100 + 16];
    begun.unwrap().seal_into(&plain[..100], &mut object).unwrap();
    assert_eq!(decryptor().open(&object).unwrap(), plain[..100]);

    let parts = encryptor().begin().unwrap().parts(2 * C as u64).unwrap();
    assert_eq!(
        in_a_child(|| message(&parts.part(0).unwrap().seal(&plain[..2 * C]).map(drop))),
        forked
    );
    assert!(parts.part(0).unwrap().seal(&plain[..2 * C]).is_ok());

    for executor in [Executor::serial(), pool(1), pool(3)] {
        let mut writer = encryptor().with_executor(executor).writer(Vec::new()).unwrap();
        writer.write_all(&plain[..20 * C + 7]).unwrap();
        writer.flush().unwrap();
        assert_eq!(
            in_a_child(|| goes_on(&mut writer, &plain)),
            [&forked[..], b", ", &forked].concat()
        );
        // The process that began it continues normally.
        writer.write_all(&plain[20 * C + 7..]).unwrap();
        let object = writer.finish().unwrap();
        assert_eq!(decryptor().open(&object).unwrap(), plain);
    }
}

/// The writer's errors for more bytes, and then again.
fn goes_on(writer: &mut EncryptWriter<Vec<u8>>, plain: &[u8]) -> Vec<u8> {
    let write = |writer: &mut EncryptWriter<Vec<u8>>| {
        let result = writer.write_all(&plain[..50 * C]).and_then(|()| writer.flush());
        message(&written(result))
    };
    let first = write(writer);
    [&first[..], b", ", &write(writer)].concat()
}

fn objects_of_forks_have_keys_of_their_own() {
    let wanted = cases(200);
    let encryptor = encryptor();
    let (mut met, mut count) = (HashSet::new(), 0);
    while count < wanted {
        let seal = || encryptor.seal(b"made after the fork").unwrap();
        for object in [in_a_child(seal), seal()] {
            assert_eq!(decryptor().open(&object).unwrap(), b"made after the fork");
            assert!(
                met.insert(object[CHUNKS - 56..CHUNKS].to_vec()),
                "a salt and a commitment twice"
            );
        }
        count += 1;
    }
    println!("campaign: forks cases={count} objects={}", met.len());
}
