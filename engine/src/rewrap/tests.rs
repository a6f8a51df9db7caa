mod choice;
mod planned;
mod power;
mod scripted;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::in_place::{HeaderFile, begin, rewrite};
use super::{Rewrap, Rewrapped, SlotChoice, plan};
use crate::context::{EncryptionContext, ExpectedContext};
use crate::decrypt::Decryptor;
use crate::encrypt::Encryptor;
use crate::error::{Error, Result};
use crate::header::{ATTACHED_LEN, COPY_LEN, Header, ObjectHeader};
use crate::keys::RawKey;
use crate::positioned::{ReadAt, WriteAt, write_all_at};

const PLAIN: &[u8] = b"not to be lost";

/// One call that changes the file or makes it durable.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Write(usize, Vec<u8>),
    Sync,
}

/// A file in memory that records the calls, and fails from one of them on.
#[derive(Debug, Default)]
struct Recorded {
    bytes: Mutex<Vec<u8>>,
    calls: Mutex<Vec<Call>>,
    fails_at: Option<usize>,
}

impl Recorded {
    fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: Mutex::new(bytes.to_vec()),
            ..Self::default()
        }
    }

    fn record(&self, call: Call) -> io::Result<()> {
        let mut calls = self.calls.lock().unwrap();
        if self.fails_at.is_some_and(|at| calls.len() >= at) {
            return Err(io::Error::other("as the test wants it"));
        }
        calls.push(call);
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl ReadAt for Recorded {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.lock().unwrap().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.lock().unwrap().size()
    }
}

impl WriteAt for Recorded {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap();
        // A failing write has written a part.
        let fails = self.fails_at == Some(self.calls.lock().unwrap().len());
        let bytes = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        let recorded = self.record(Call::Write(offset, bytes.to_vec()));
        if fails {
            self.calls.lock().unwrap().push(Call::Write(offset, bytes.to_vec()));
        }
        if fails || recorded.is_ok() {
            self.bytes.lock().unwrap()[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        recorded.map(|()| bytes.len())
    }
}

impl HeaderFile for Recorded {
    fn sync(&self) -> io::Result<()> {
        self.record(Call::Sync)
    }
}

fn key(byte: u8) -> Arc<RawKey> {
    Arc::new(RawKey::from_slice(&[byte; 32]).unwrap())
}

/// Replaces key 1 by key 2, or 2 by 3.
fn rotation(from: u8) -> Rewrap {
    let old = key(from);
    Rewrap::new(Decryptor::new(old.clone())).replace(SlotChoice::Key(old), key(from + 1))
}

fn run(file: &impl HeaderFile, rewrap: &Rewrap) -> Result<Rewrapped> {
    rewrite(file, &begin(file)?, |header, repairs| {
        pollster::block_on(plan::plan(rewrap, header, repairs, None))
    })
}

fn sealed() -> Vec<u8> {
    Encryptor::new(key(1)).seal(PLAIN).unwrap()
}

/// A context that fills the header, so that every sector of the header changes with it.
fn wide(byte: u8) -> EncryptionContext {
    EncryptionContext::new().with("k", char::from(b'a' + byte).to_string().repeat(3500))
}

/// The same change as `rotation`, affecting every sector.
fn wide_rotation(from: u8) -> Rewrap {
    let old = key(from);
    Rewrap::new(Decryptor::new(old.clone()).with_context(ExpectedContext::AcceptStored))
        .replace(SlotChoice::Key(old), key(from + 1))
        .with_context(wide(from + 1))
}

fn sealed_wide() -> Vec<u8> {
    Encryptor::new(key(1)).with_context(wide(1)).seal(PLAIN).unwrap()
}

/// Whether the content of a disk opens with one of the keys. Remembers the headers that it has seen.
#[derive(Default)]
struct Opening(HashMap<Vec<u8>, bool>);

impl Opening {
    fn opens(&mut self, disk: &[u8]) -> bool {
        let Ok(found) = ObjectHeader::parse(&disk[..ATTACHED_LEN]) else {
            return false;
        };
        let header = found.header().to_detached().unwrap();
        *self.0.entry(header).or_insert_with(|| {
            (1..=3).any(|byte| {
                Decryptor::new(key(byte))
                    .with_context(ExpectedContext::AcceptStored)
                    .open(disk)
                    .is_ok_and(|plain| plain == PLAIN)
            })
        })
    }
}

fn damaged(object: &[u8], copy: usize) -> Vec<u8> {
    let mut object = object.to_vec();
    object[copy * COPY_LEN + 100] ^= 1;
    object
}

/// The object as completed and interrupted rewraps leave it.
fn starts() -> Vec<Vec<u8>> {
    let object = sealed_wide();
    let half = Recorded {
        fails_at: Some(2),
        ..Recorded::new(&object)
    };
    run(&half, &wide_rotation(1)).unwrap_err();
    // The second copy is written, so the first is stale.
    let stale_first = half.bytes();
    let mut stale_second = stale_first.clone();
    let (first, second) = stale_second[..ATTACHED_LEN].split_at_mut(COPY_LEN);
    first.swap_with_slice(second);
    vec![
        damaged(&object, 0),
        damaged(&object, 1),
        stale_first,
        stale_second,
        object,
    ]
}

#[test]
fn each_failing_call_is_an_error_and_leaves_an_object_that_opens() {
    for start in starts() {
        let mut opening = Opening::default();
        let whole = Recorded::new(&start);
        run(&whole, &wide_rotation(1)).unwrap();
        let calls = whole.calls().len();
        for fails_at in 0..calls {
            let file = Recorded {
                fails_at: Some(fails_at),
                ..Recorded::new(&start)
            };
            let error = run(&file, &wide_rotation(1)).unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error}");
            assert!(opening.opens(&file.bytes()));
            assert!((fails_at..=fails_at + 1).contains(&file.calls().len()));
        }
        let enough = Recorded {
            fails_at: Some(calls),
            ..Recorded::new(&start)
        };
        run(&enough, &wide_rotation(1)).unwrap();
    }
}

#[test]
fn calls_stand_in_the_order_of_the_format() {
    let shape = |start: &[u8], rewrap: &Rewrap| -> String {
        let file = Recorded::new(start);
        run(&file, rewrap).unwrap();
        let letter = |call: &Call| match call {
            Call::Write(0, bytes) if bytes.len() == COPY_LEN => '1',
            Call::Write(COPY_LEN, bytes) if bytes.len() == COPY_LEN => '2',
            Call::Write(..) => '?',
            Call::Sync => 's',
        };
        file.calls().iter().map(letter).collect()
    };
    let repair = Rewrap::new(
        Decryptor::new(key(1))
            .with_key(key(2))
            .with_context(ExpectedContext::AcceptStored),
    );
    let [first, second, stale_first, stale_second, whole] = starts().try_into().unwrap();
    for (start, change, none) in [
        (&whole, "s2s1s", "s"),
        (&first, "s1s2s1s", "s1s"),
        (&second, "s2s2s1s", "s2s"),
    ] {
        assert_eq!(shape(start, &wide_rotation(1)), change);
        assert_eq!(shape(start, &repair), none);
    }
    // An interrupted rewrap has already written the new slots.
    assert_eq!(shape(&stale_first, &wide_rotation(1)), "s1s");
    assert_eq!(shape(&stale_second, &wide_rotation(1)), "s2s");
    assert_eq!(shape(&stale_first, &wide_rotation(2)), "s1s2s1s");
}

/// A pipe cannot be synced, and that is reported.
#[cfg(unix)]
#[test]
fn a_file_is_synced_by_the_system() {
    let (_reader, writer) = io::pipe().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(writer));
    assert!(HeaderFile::sync(&file).is_err());
    assert!(HeaderFile::sync(&tempfile::tempfile().unwrap()).is_ok());
}

#[test]
fn a_plan_that_fails_writes_nothing() {
    let object = sealed();
    let too_large = (0..15).fold(Rewrap::new(Decryptor::new(key(1))), |rewrap, byte| {
        rewrap.add_key(key(byte + 10))
    });
    let too_large = too_large.with_context(EncryptionContext::new().with("k", "v".repeat(3000)));
    let last = Rewrap::new(Decryptor::new(key(1))).remove(SlotChoice::Key(key(1)));
    for (rewrap, expected) in [
        (too_large, "only 4096 are available"),
        (last, "no slot"),
        (rotation(5), "no usable key"),
    ] {
        let file = Recorded::new(&object);
        let error = run(&file, &rewrap).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(file.calls(), [Call::Sync]);
        assert_eq!(file.bytes(), object);
    }
}

#[test]
fn the_highest_generation_is_the_last() {
    let object = sealed();
    let mut header = ObjectHeader::parse(&object).unwrap().header().clone();
    header.generation = u64::MAX - 1;
    let last = rotation(1).header(&header).unwrap().unwrap();
    assert_eq!(last.generation(), u64::MAX);
    assert!(matches!(rotation(2).header(&last), Err(Error::GenerationLimit)));
    // A rewrap that changes nothing still succeeds.
    assert!(rotation(1).header(&last).unwrap().is_none());

    let attached = [&last.to_attached().unwrap(), &object[ATTACHED_LEN..]].concat();
    let file = Recorded::new(&attached);
    assert!(matches!(run(&file, &rotation(2)), Err(Error::GenerationLimit)));
    assert_eq!(file.bytes(), attached);
}

/// A sparse file's calls, and how long they took.
struct Counted<'a> {
    file: &'a File,
    writes: Mutex<Vec<(u64, usize)>>,
    syncs: Mutex<usize>,
}

impl ReadAt for Counted<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl WriteAt for Counted<'_> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.writes.lock().unwrap().push((offset, bytes.len()));
        self.file.write_at(bytes, offset)
    }
}

impl HeaderFile for Counted<'_> {
    fn sync(&self) -> io::Result<()> {
        *self.syncs.lock().unwrap() += 1;
        self.file.sync_all()
    }
}

fn object_of(plaintext_len: u64, directory: &Path) -> File {
    let file = tempfile::tempfile_in(directory).unwrap();
    let encryptor = Encryptor::new(key(1));
    let start = encryptor.begin().unwrap().unsealed().unwrap().start;
    write_all_at(&file, &start, 0).unwrap();
    file.set_len(encryptor.object_len(plaintext_len).unwrap()).unwrap();
    file
}

/// 100 GB that take no room: in memory if possible.
#[test]
fn what_a_rewrap_costs_does_not_depend_on_the_objects_size() {
    let memory = Path::new("/dev/shm");
    let temporary = std::env::temp_dir();
    let directory = if memory.is_dir() { memory } else { &temporary };
    let mut costs = Vec::new();
    for len in [10, 100_000_000_000] {
        let file = object_of(len, directory);
        let size = file.size().unwrap();
        // Bytes that must not change, directly after the header and far from it.
        for offset in [size - 9, ATTACHED_LEN as u64 + 56] {
            write_all_at(&file, b"untouched", offset).unwrap();
        }
        let size = file.size().unwrap();
        let mut fastest = Duration::MAX;
        for turn in 0..20 {
            let counted = Counted {
                file: &file,
                writes: Mutex::default(),
                syncs: Mutex::default(),
            };
            let (from, to) = if turn % 2 == 0 { (1, 2) } else { (2, 1) };
            let rewrap = Rewrap::new(Decryptor::new(key(from))).replace(SlotChoice::Key(key(from)), key(to));
            let start = Instant::now();
            assert!(run(&counted, &rewrap).unwrap().changed);
            fastest = fastest.min(start.elapsed());
            costs.push((
                counted.writes.into_inner().unwrap(),
                counted.syncs.into_inner().unwrap(),
            ));
        }
        assert_eq!(file.size().unwrap(), size);
        for offset in [size - 9, ATTACHED_LEN as u64 + 56] {
            let mut bytes = [0; 9];
            file.read_at(&mut bytes, offset).unwrap();
            assert!(len == 10 || bytes == *b"untouched");
        }
        let _ = writeln!(io::stderr(), "rewrap of an object of {len} bytes: {fastest:?}");
        if directory == memory {
            assert!(fastest < Duration::from_millis(10), "{fastest:?}");
        }
    }
    assert!(
        costs
            .iter()
            .all(|(writes, syncs)| writes.as_slice() == [(4096, 4096), (0, 4096)] && *syncs == 3)
    );
}

/// A file that writes little at a time, and is interrupted in between.
struct Halting {
    file: Recorded,
    turn: Mutex<usize>,
}

impl ReadAt for Halting {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = buffer.len().min(1000);
        self.file.read_at(&mut buffer[..len], offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

impl WriteAt for Halting {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut turn = self.turn.lock().unwrap();
        *turn += 1;
        if turn.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.file.write_at(&bytes[..bytes.len().min(300)], offset)
    }
}

impl HeaderFile for Halting {
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn short_writes_and_interruptions_are_continued() {
    let halting = Halting {
        file: Recorded::new(&sealed()),
        turn: Mutex::default(),
    };
    assert!(run(&halting, &rotation(1)).unwrap().changed);
    let bytes = halting.file.bytes();
    assert_eq!(Decryptor::new(key(2)).open(&bytes).unwrap(), PLAIN);
    assert_eq!(bytes[..COPY_LEN], bytes[COPY_LEN..ATTACHED_LEN]);
}
