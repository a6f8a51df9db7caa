//! No key is used with a nonce twice: over many objects, by many threads at once, whole, abandoned, and in parts.
//!
//! A chunk's key and nonce are derived from the commitment's inputs and the chunk's index. Opening shows that the index
//! is the position, so a pair of commitment and position represents a pair of key and nonce.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::thread;

use crate::common::campaign::{Chance, cases};
use crate::common::{C, CHUNKS, SEALED, decryptor, encryptor, plaintext, pool};
use sealstone::parts::SealedPart;
use sealstone::{Encryptor, Executor};

const THREADS: usize = 16;
const LONGEST: usize = 4 * C + 100;

/// Half of the commitment, and the position of a chunk.
type Sealed = (u128, usize);

#[test]
fn no_key_meets_a_nonce_twice() {
    let wanted = cases(30_000);
    let plain = plaintext(LONGEST);
    let encryptors =
        [Executor::serial(), pool(1), pool(2), pool(3)].map(|executor| encryptor().with_executor(executor));
    let found: Vec<Vec<Sealed>> = thread::scope(|scope| {
        let work = |number: usize| {
            let (plain, encryptors) = (&plain, &encryptors);
            move || {
                let mut chance = Chance::new(&format!("nonces of thread {number}"));
                let mut chunks = Vec::new();
                while chunks.len() < wanted / THREADS {
                    let len = if chance.below(4) == 0 {
                        chance.below(LONGEST)
                    } else {
                        chance.below(100)
                    };
                    let object = seal(chance.of(encryptors), &plain[..len], &mut chance);
                    record(&object, &plain[..len], &mut chunks);
                }
                chunks
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let mut met = HashSet::new();
    for pair in found.into_iter().flatten() {
        assert!(met.insert(pair), "a pair of key and nonce twice");
    }
    println!("campaign: nonces cases={}", met.len());
}

/// The object, or what an abandoned writer has written of it.
fn seal(encryptor: &Encryptor, plain: &[u8], chance: &mut Chance) -> Vec<u8> {
    match chance.below(4) {
        0 => encryptor.seal(plain).unwrap(),
        1 => in_parts(encryptor, plain, chance),
        way => {
            let mut sink = Vec::new();
            let mut writer = encryptor.writer(&mut sink).unwrap();
            for piece in plain.chunks(1 + chance.below(2 * C)) {
                writer.write_all(piece).unwrap();
            }
            if way == 2 {
                writer.finish().unwrap();
            } else {
                writer.flush().unwrap();
                drop(writer);
            }
            sink
        }
    }
}

/// The parts sealed in random order and joined in theirs. A part that is abandoned is lost, and the object with it.
fn in_parts(encryptor: &Encryptor, plain: &[u8], chance: &mut Chance) -> Vec<u8> {
    let sealer = encryptor.begin().unwrap().parts(2 * C as u64).unwrap();
    let sealer = sealer.with_plaintext_len(plain.len() as u64).unwrap();
    let mut parts: Vec<_> = (0..).zip(plain.chunks(2 * C)).collect();
    if parts.is_empty() {
        parts.push((0, &[]));
    }
    for at in (1..parts.len()).rev() {
        parts.swap(at, chance.below(at + 1));
    }
    let seal = |(number, plain)| sealer.part(number).unwrap().seal(plain).unwrap();
    let mut sealed: Vec<_> = parts.iter().copied().map(seal).collect();
    for &(number, _) in &parts {
        assert!(sealer.part(number).is_err(), "a part is given out once");
    }
    sealed.sort_by_key(SealedPart::number);
    sealed.iter().flat_map(|part| part.bytes().to_vec()).collect()
}

/// Notes each chunk, after opening has shown that its place is its index.
fn record(object: &[u8], plain: &[u8], chunks: &mut Vec<Sealed>) {
    if object.len() < CHUNKS {
        return;
    }
    let mut opened = Vec::new();
    let whole = decryptor().reader(object).unwrap().read_to_end(&mut opened).is_ok();
    assert!(plain.starts_with(&opened) && (!whole || opened == plain));
    let commitment = u128::from_be_bytes(object[CHUNKS - 32..CHUNKS - 16].try_into().unwrap());
    let sealed = object[CHUNKS..].len().div_ceil(SEALED);
    assert_eq!(sealed, opened.len() / C + usize::from(whole));
    chunks.extend((0..sealed).map(|place| (commitment, place)));
}
