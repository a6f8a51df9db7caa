//! Writes or components, rewraps and reads in any order, compared with a vector of bytes and a list of keys that should open it.
#![no_main]

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sealstone::composite::Padding;
use sealstone::format::ATTACHED_LEN;
use sealstone::rewrap::SlotChoice;
use sealstone::{ChunkSize, Decryptor, Encryptor, KeyProvider, Rewrap, Suite};
use sealstone_fuzz::{executor, key, plaintext};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    suite: bool,
    pool: bool,
    composite: bool,
    writes: Vec<Step>,
    changes: Vec<(Change, u8, u8)>,
    reads: Vec<(u32, u16)>,
}

#[derive(Debug, arbitrary::Arbitrary)]
enum Step {
    Bytes(u16),
    Flush,
}

#[derive(Debug, Clone, Copy, arbitrary::Arbitrary)]
enum Change {
    Add,
    Remove,
    Replace,
}

fuzz_target!(|input: Input| {
    let (mut object, plain) = if input.composite {
        joined(&input)
    } else {
        sealed(&input)
    };
    let mut keys = vec![0u8];
    for &(change, old, new) in input.changes.iter().take(6) {
        rewrap(&mut object, &mut keys, change, old % 4, new % 4);
    }
    for number in 0..4u8 {
        let opened = Decryptor::new(key(number)).open(&object);
        assert_eq!(opened.is_ok(), keys.contains(&number));
        assert!(opened.is_err() || opened.is_ok_and(|opened| opened == plain));
    }
    if input.composite {
        read_composite(&input, &object, &plain, keys[0]);
    } else {
        read(&input, &object, &plain, keys[0]);
    }
});

fn encryptor(input: &Input) -> Encryptor {
    let suite = if input.suite {
        Suite::Aes256Gcm
    } else {
        Suite::ChaCha20Poly1305
    };
    Encryptor::new(key(0))
        .with_suite(suite)
        .with_chunk_size(ChunkSize::KiB16)
        .with_executor(executor(input.pool))
}

/// An object written in pieces, and its plaintext.
fn sealed(input: &Input) -> (Vec<u8>, Vec<u8>) {
    let mut writer = encryptor(input).writer(Vec::new()).expect("a writer");
    let mut plain = Vec::new();
    for write in input.writes.iter().take(6) {
        match write {
            Step::Bytes(len) => {
                let piece = plaintext(plain.len(), usize::from(*len));
                writer.write_all(piece).expect("a vector takes all");
                plain.extend_from_slice(piece);
            }
            Step::Flush => writer.flush().expect("a vector takes all"),
        }
    }
    (writer.finish().expect("a vector takes all"), plain)
}

/// An object with a component for each write and an empty one at the end, and its plaintext. For a flush, a component is
/// sealed that the manifest does not name.
fn joined(input: &Input) -> (Vec<u8>, Vec<u8>) {
    let object = encryptor(input).begin_composite(Padding::None).expect("it begins");
    let mut stored = object.header().to_attached().expect("one slot fits");
    let (mut plain, mut receipts) = (Vec::new(), Vec::new());
    for write in input.writes.iter().take(6).chain([&Step::Bytes(0)]) {
        let component = object.component(b"part").expect("it is not complete");
        match write {
            Step::Bytes(len) => {
                let piece = plaintext(plain.len(), usize::from(*len));
                let sealed = component.seal(piece).expect("it is short");
                stored.extend_from_slice(&sealed.bytes);
                receipts.push((b"part", sealed.receipt));
                plain.extend_from_slice(piece);
            }
            Step::Flush => drop(component.seal(b"not named")),
        }
    }
    let end = object.complete(&receipts, b"").expect("all receipts are its own");
    stored.extend_from_slice(&end.bytes);
    (stored, plain)
}

fn rewrap(object: &mut Vec<u8>, keys: &mut Vec<u8>, change: Change, old: u8, new: u8) {
    // All keys, because one of the remaining slots must be opened.
    let first = Decryptor::new(key(keys[0]));
    let decryptor = keys[1..]
        .iter()
        .fold(first, |decryptor, &number| decryptor.with_key(key(number)));
    let header = Decryptor::read_header(object.as_slice()).expect("it has one");
    let of = |number: u8| -> Arc<dyn KeyProvider> { key(number) };
    let rewrap = match change {
        Change::Add => Rewrap::new(decryptor).add_key(of(new)),
        Change::Remove => Rewrap::new(decryptor).remove(SlotChoice::Key(of(old))),
        Change::Replace => Rewrap::new(decryptor).replace(SlotChoice::Key(of(old)), of(new)),
    };
    let mut expected = keys.clone();
    if matches!(change, Change::Remove | Change::Replace) {
        expected.retain(|&number| number != old);
    }
    let adds = matches!(change, Change::Add) || matches!(change, Change::Replace) && keys.contains(&old);
    if adds && !expected.contains(&new) {
        expected.push(new);
    }
    match rewrap.header(header.header()) {
        Ok(Some(header)) => {
            let header = header.to_attached().expect("four slots fit");
            object[..ATTACHED_LEN].copy_from_slice(&header);
            *keys = expected;
        }
        Ok(None) => {}
        Err(_) => assert!(expected.is_empty() || !keys.contains(&old)),
    }
}

fn read(input: &Input, object: &[u8], plain: &[u8], number: u8) {
    let decryptor = Decryptor::new(key(number)).with_executor(executor(input.pool));
    let mut reader = decryptor.reader(Cursor::new(object)).expect("it opens");
    for &(at, len) in input.reads.iter().take(4) {
        let at = at as usize % (plain.len() + 1);
        let end = plain.len().min(at + usize::from(len));
        reader.seek(SeekFrom::Start(at as u64)).expect("inside");
        let mut read = vec![0; end - at];
        reader.read_exact(&mut read).expect("all is there");
        assert_eq!(read, plain[at..end]);
    }
}

fn read_composite(input: &Input, object: &[u8], plain: &[u8], number: u8) {
    let decryptor = Decryptor::new(key(number)).with_executor(executor(input.pool));
    let ranges = decryptor.range_reader(object).expect("it opens");
    for &(at, len) in input.reads.iter().take(4) {
        let at = at as usize % (plain.len() + 1);
        let end = plain.len().min(at + usize::from(len));
        let read = ranges.read_range(at as u64..end as u64).expect("inside");
        assert!(read == plain[at..end]);
        let read = ranges.read_suffix(u64::from(len)).expect("its end verifies");
        assert!(read == plain[plain.len() - plain.len().min(usize::from(len))..]);
    }
}
