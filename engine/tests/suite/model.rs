//! Random sequences of operations, compared with the same operations on a `Vec<u8>`.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::common::campaign::{Counted, cases};
use crate::common::{C, decryptor, encryptor, plaintext, pool, unlocked};
use proptest::prelude::*;
use sealstone::composite::Padding;
use sealstone::parts::SealedPart;
use sealstone::range::RangeReader;
use sealstone::rewrap::SlotChoice;
use sealstone::{Decryptor, Encryptor, Error, Executor, Header, RawKey, Rewrap, Unlocked};

/// An operation on a writer.
#[derive(Debug, Clone)]
enum Writing {
    Write(usize),
    Flush,
}

/// An operation on a finished object.
#[derive(Debug, Clone)]
enum Reading {
    Read(usize),
    Seek(u64),
    SeekFromEnd(u64),
    Range(u64, usize),
    Suffix(u64),
    Bytes,
}

fn writing() -> impl Strategy<Value = Writing> {
    prop_oneof![
        4 => (0..2 * C).prop_map(Writing::Write),
        1 => Just(Writing::Write(C)),
        1 => Just(Writing::Write(20 * C)),
        1 => Just(Writing::Flush),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    let far = 30 * C as u64;
    prop_oneof![
        (0..2 * C).prop_map(Reading::Read),
        (0..far).prop_map(Reading::Seek),
        (0..far).prop_map(Reading::SeekFromEnd),
        ((0..far), (0..3 * C)).prop_map(|(start, len)| Reading::Range(start, len)),
        (0..far).prop_map(Reading::Suffix),
        Just(Reading::Bytes),
    ]
}

/// A component's length.
fn component() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => 0..5 * C,
        1 => prop::sample::select(vec![0, 1, C - 1, C, C + 1]),
    ]
}

fn executor(threads: usize) -> Executor {
    if threads == 0 {
        Executor::serial()
    } else {
        pool(threads)
    }
}

/// Writes in these steps; returns the object and its expected plaintext.
fn written(encryptor: &Encryptor, steps: &[Writing]) -> (Vec<u8>, Vec<u8>) {
    let mut writer = encryptor.writer(Vec::new()).unwrap();
    let mut model = Vec::new();
    for step in steps {
        match step {
            Writing::Write(len) => {
                let bytes = plaintext(model.len() % 7 + len);
                writer.write_all(&bytes).unwrap();
                model.extend_from_slice(&bytes);
            }
            Writing::Flush => writer.flush().unwrap(),
        }
    }
    (writer.finish().unwrap(), model)
}

/// Reads in these steps and compares with the model at each one.
fn check_reading(unlocked: &Unlocked, object: &[u8], model: &[u8], steps: &[Reading]) {
    let mut source = Cursor::new(object);
    source.set_position(unlocked.object_header().payload_start());
    let mut reader = unlocked.reader(source).unwrap();
    let ranges = unlocked.range_reader(object).unwrap();
    let len = model.len() as u64;
    let slice =
        |from: u64, to: u64| &model[usize::try_from(from.min(len)).unwrap()..usize::try_from(to.min(len)).unwrap()];
    for step in steps {
        let position = reader.position();
        match *step {
            Reading::Read(count) => {
                let mut buffer = vec![0; count];
                let mut read = 0;
                while read < count {
                    match reader.read(&mut buffer[read..]).unwrap() {
                        0 => break,
                        more => read += more,
                    }
                }
                assert!(buffer[..read] == *slice(position, position + count as u64));
            }
            Reading::Bytes => {
                let bytes = reader.next_bytes().unwrap().unwrap_or_default();
                assert!(bytes == *slice(position, position + bytes.len() as u64));
                assert!(!bytes.is_empty() || position >= len);
            }
            Reading::Seek(to) => assert_eq!(reader.seek(SeekFrom::Start(to)).unwrap(), to),
            Reading::SeekFromEnd(back) => {
                let sought = reader.seek(SeekFrom::End(-i64::try_from(back).unwrap()));
                assert_eq!(sought.ok(), len.checked_sub(back));
            }
            Reading::Range(..) | Reading::Suffix(_) => check_range(&ranges, model, step),
        }
    }
}

/// Reads one range and compares it with the model.
fn check_range(ranges: &RangeReader<&[u8]>, model: &[u8], step: &Reading) {
    let len = model.len() as u64;
    let slice = |from: u64, to: u64| &model[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
    match *step {
        Reading::Range(start, count) => {
            let end = start + count as u64;
            match ranges.read_range(start..end) {
                Ok(bytes) => assert!(end <= len && bytes == *slice(start, end)),
                Err(Error::RangeOutOfBounds { len: reported, .. }) => assert!(reported == len && end > len),
                Err(other) => panic!("{other}"),
            }
        }
        Reading::Suffix(count) => {
            assert!(ranges.read_suffix(count).unwrap() == *slice(len.saturating_sub(count), len));
        }
        _ => panic!("no range: {step:?}"),
    }
}

/// Reads a composite object, which has ranges and whole reads: every step that is no range is a whole read.
fn check_composite(unlocked: &Unlocked, object: &[u8], model: &[u8], steps: &[Reading]) {
    let ranges = unlocked.range_reader(object).unwrap();
    for step in steps {
        match step {
            Reading::Range(..) | Reading::Suffix(_) => check_range(&ranges, model, step),
            Reading::Read(_) | Reading::Bytes => assert!(unlocked.open(object).unwrap() == model),
            Reading::Seek(_) | Reading::SeekFromEnd(_) => {
                let mut streamed = Vec::new();
                unlocked.pipe_at(object, &mut streamed).unwrap();
                assert!(streamed == model);
            }
        }
    }
}

/// Cases of each property in the quick form.
const QUICK: usize = 300;

static WRITTEN: Counted = Counted::new("model_of_writes_and_reads");
static REWRAPPED: Counted = Counted::new("model_of_rewraps");
static IN_PARTS: Counted = Counted::new("model_of_parts");
static COMPOSITE: Counted = Counted::new("model_of_composite_objects");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(cases(QUICK)).unwrap()))]

    #[test]
    fn written_in_any_way_and_read_in_any_way(
        steps in proptest::collection::vec(writing(), 0..8),
        reads in proptest::collection::vec(reading(), 0..12),
        threads in 0usize..3,
    ) {
        let (object, model) = written(&encryptor().with_executor(executor(threads)), &steps);
        check_reading(&unlocked(&decryptor().with_executor(executor(threads)), &object), &object, &model, &reads);
        WRITTEN.case_of(cases(QUICK));
    }

    /// A rewrap between two readings changes which keys open the object, and not what is read.
    #[test]
    fn rewrapped_in_between(
        steps in proptest::collection::vec(writing(), 0..4),
        reads in proptest::collection::vec(reading(), 0..6),
        rewraps in proptest::collection::vec(1u8..4, 1..5),
    ) {
        let (object, model) = written(&encryptor(), &steps);
        let mut header = Decryptor::read_header(object.as_slice()).unwrap().header().clone();
        let mut holder: u8 = 7;
        for next in rewraps {
            let (old, new) = (raw(holder), raw(next));
            let rewrap = Rewrap::new(Decryptor::new(old.clone())).replace(SlotChoice::Key(old), new);
            header = rewrap.header(&header).unwrap().unwrap_or(header);
            holder = next;
        }
        let rewrapped = [header.to_attached().unwrap().as_slice(), &object[8192..]].concat();
        check_reading(&unlocked(&Decryptor::new(raw(holder)), &rewrapped), &rewrapped, &model, &reads);
        if holder != 7 {
            prop_assert!(decryptor().open(&rewrapped).is_err());
        }
        REWRAPPED.case_of(cases(QUICK));
    }

    /// Parts in any order, some abandoned and the object started again, join to what one writer writes.
    #[test]
    fn sealed_in_parts_in_any_order(
        len in 0..12 * C,
        chunks in 1usize..4,
        order in proptest::collection::vec(any::<u32>(), 16),
        given_up in any::<bool>(),
        reads in proptest::collection::vec(reading(), 0..6),
    ) {
        let model = plaintext(len);
        if given_up {
            let upload = encryptor().begin().unwrap().detach().1.parts(C as u64).unwrap();
            drop(upload.part(3).unwrap());
            prop_assert!(upload.part(3).is_err(), "a part that was lost is not given out again");
        }
        let upload = encryptor().begin().unwrap().detach().1.parts((chunks * C) as u64).unwrap();
        let header: Header = upload.header().clone();
        let mut pieces: Vec<(usize, &[u8])> = model.chunks(chunks * C).enumerate().collect();
        if pieces.is_empty() {
            pieces.push((0, &[]));
        }
        let last = pieces.len() - 1;
        pieces.sort_by_key(|(number, _)| order[number % 16]);
        let mut sealed: Vec<SealedPart> = pieces.iter().map(|&(number, piece)| {
            let part = upload.part(number as u64).unwrap();
            if number == last { part.seal_last(piece) } else { part.seal(piece) }.unwrap()
        }).collect();
        prop_assert_eq!(upload.finish().unwrap(), len as u64);
        sealed.sort_by_key(SealedPart::number);
        let payload: Vec<u8> = sealed.iter().flat_map(|part| part.bytes().to_vec()).collect();
        check_reading(&decryptor().unlock(header).unwrap(), &payload, &model, &reads);
        IN_PARTS.case_of(cases(QUICK));
    }

    /// Components of any length, sealed in any order by the process that began the object and by another, some of them
    /// again with other bytes: the object is what its completion named, also after a rewrap.
    #[test]
    fn components_sealed_in_any_order_and_again(
        components in proptest::collection::vec((component(), 0usize..3, any::<u32>()), 1..9),
        reads in proptest::collection::vec(reading(), 1..6),
        threads in 0usize..3,
        rewrapped in any::<bool>(),
    ) {
        let encryptor = encryptor().with_executor(executor(threads));
        let object = encryptor.begin_composite(Padding::None).unwrap();
        let resumed = decryptor().unlock(object.header().clone()).unwrap();
        let resumed = resumed.composite(object.commitment()).unwrap();
        let model = plaintext(components.iter().map(|&(len, ..)| len).sum());
        let mut rest = model.as_slice();
        let mut sealed: Vec<_> = components.iter().enumerate().map(|(number, &(len, again, order))| {
            let (piece, after) = rest.split_at(len);
            rest = after;
            for lost in 0..again {
                // What is sealed and not named is of no consequence.
                drop(resumed.component(&[u8::try_from(number).unwrap()]).unwrap().seal(&plaintext(len + lost)).unwrap());
            }
            (order, number, piece)
        }).collect();
        sealed.sort_unstable();
        let mut sealed: Vec<_> = sealed.into_iter().map(|(order, number, piece)| {
            let object = if order % 2 == 0 { &object } else { &resumed };
            let label = u8::try_from(number).unwrap();
            (number, object.component(&[label]).unwrap().seal(piece).unwrap())
        }).collect();
        sealed.sort_by_key(|&(number, _)| number);
        let receipts: Vec<_> = sealed.iter().zip(0u8..).map(|((_, one), label)| ([label], one.receipt.clone())).collect();
        let end = resumed.complete(&receipts, b"").unwrap();
        let mut stored = object.header().to_attached().unwrap();
        sealed.iter().for_each(|(_, one)| stored.extend_from_slice(&one.bytes));
        stored.extend_from_slice(&end.bytes);
        let mut holder = 7;
        if rewrapped {
            let rewrap = Rewrap::new(decryptor()).replace(SlotChoice::Key(raw(7)), raw(1));
            let header = rewrap.header(object.header()).unwrap().unwrap();
            stored[..8192].copy_from_slice(&header.to_attached().unwrap());
            prop_assert!(decryptor().open(&stored).is_err());
            holder = 1;
        }
        let decryptor = Decryptor::new(raw(holder)).with_executor(executor(threads));
        check_composite(&unlocked(&decryptor, &stored), &stored, &model, &reads);
        COMPOSITE.case_of(cases(QUICK));
    }
}

fn raw(byte: u8) -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}
