//! Reading composite objects: everything equals slices of the plaintext, with one key call and few requests.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealstone::composite::{Padding, plaintext_len_of_padded};
use sealstone::error::CompositeError;
use sealstone::file::IfExists;
use sealstone::format::ChunkSize;
use sealstone::positioned::{ReadAt, SizeOnly};
use sealstone::{Backend, Decryptor, Error, RawKey, Rewrap, Suite, Unlocked};

use super::{LENS, Stored, composite_error};
use crate::common::{C, Counting, decryptor, encryptor, executors, plaintext, unlocked};

#[test]
fn every_way_of_reading_gives_the_plaintext_of_all_components() {
    let stored = Stored::seal(&LENS);
    for executor in executors() {
        let decryptor = decryptor().with_executor(executor);
        assert!(decryptor.open(&stored.bytes).unwrap() == stored.plain);
        let mut buffer = vec![1; stored.plain.len() + 3];
        assert_eq!(
            decryptor.open_into(&stored.bytes, &mut buffer).unwrap(),
            stored.plain.len()
        );
        assert!(buffer[..stored.plain.len()] == stored.plain);
        let unlocked = unlocked(&decryptor, &stored.bytes);
        let mut streamed = Vec::new();
        let len = unlocked.pipe_at(&stored.bytes, &mut streamed).unwrap();
        assert!(streamed == stored.plain && len == stored.plain.len() as u64);
        assert_eq!(unlocked.verify(&stored.bytes).unwrap(), len);
        let known = unlocked.load_manifest(&stored.bytes).unwrap();
        assert_eq!(known.plaintext_len(stored.bytes.len() as u64).unwrap(), len);
        let manifest = known.manifest().unwrap();
        assert_eq!(
            (manifest.component_count(), manifest.note()),
            (LENS.len(), &b"a note"[..])
        );
        assert_eq!(
            manifest.payload_len() + 8192,
            stored.bytes.len() as u64,
            "the manifest knows the payload's length"
        );
        let ranges: Vec<_> = manifest
            .plaintext_ranges()
            .map(|range| range.end - range.start)
            .collect();
        assert!(ranges.into_iter().eq(LENS.map(|len| len as u64)));
    }
}

#[test]
fn every_suite_chunk_size_and_backend_joins_components() {
    for suite in Suite::ALL {
        for size in ChunkSize::ALL {
            for &backend in Backend::ALL {
                let encryptor = encryptor()
                    .with_suite(suite)
                    .with_chunk_size(size)
                    .with_backend(backend)
                    .with_verify_writes(true);
                let stored = Stored::seal_with(&encryptor, &[size.bytes(), 0, 3], b"");
                assert!(decryptor().open(&stored.bytes).unwrap() == stored.plain);
            }
        }
    }
}

/// Through a reader of ranges, and through the bytes of one range that the caller fetches.
#[test]
fn every_range_of_a_composite_object_is_that_slice() {
    let lens = [0, 1, C - 1, C, 0, 0, C + 1, 2, 0];
    let stored = Stored::seal(&lens);
    let unlocked = unlocked(&decryptor(), &stored.bytes)
        .load_manifest(&stored.bytes)
        .unwrap();
    let ranges = unlocked.range_reader(&stored.bytes).unwrap();
    let mut borders: Vec<usize> = vec![0];
    for len in lens {
        borders.push(borders.last().unwrap() + len);
    }
    let near = |at: usize| at.saturating_sub(1)..=(at + 1).min(stored.plain.len());
    let mut places: Vec<usize> = borders.iter().copied().flat_map(near).collect();
    places.extend([C / 2, C + C / 2]);
    places.sort_unstable();
    places.dedup();
    for &start in &places {
        for &end in places.iter().filter(|&&end| end >= start) {
            let (from, to) = (start as u64, end as u64);
            let expected = &stored.plain[start..end];
            assert!(ranges.read_range(from..to).unwrap() == expected, "{start}..{end}");

            // One fetch for one range, however many components it passes.
            let plan = ranges.ciphertext_ranges(std::iter::once(from..to), 0).unwrap();
            let opener = unlocked.range(stored.bytes.len() as u64, from..to).unwrap();
            let fetch = opener.ciphertext_range();
            assert!(plan.iter().eq((start < end).then_some(fetch)));
            let bytes = &stored.bytes[index(fetch.start)..index(fetch.end)];
            let opened = ranges.open_fetched(from..to, fetch.start, bytes).unwrap();
            assert!(opened == expected, "{start}..{end} as bytes");
            assert!(opener.open(bytes).unwrap() == expected, "{start}..{end} at once");
            let mut read = Vec::new();
            opener.reader(bytes).read_to_end(&mut read).unwrap();
            assert!(read == expected, "{start}..{end} as a stream");
            let mut machine = opener.stream_opener();
            let mut pushed = Vec::new();
            for mut piece in bytes.chunks(7001) {
                while !piece.is_empty() {
                    machine.push(&mut piece).unwrap();
                    while let Some(plain) = machine.pull().unwrap() {
                        pushed.extend_from_slice(&plain);
                    }
                }
            }
            machine
                .finish()
                .for_each(|plain| pushed.extend_from_slice(&plain.unwrap()));
            assert!(pushed == expected, "{start}..{end} pushed");
        }
    }
    let len = stored.plain.len() as u64;
    assert_eq!(ranges.verified_len().unwrap(), len);
    assert!(ranges.read_suffix(5).unwrap() == stored.plain[stored.plain.len() - 5..]);
    assert!(matches!(
        ranges.read_range(0..len + 1),
        Err(Error::RangeOutOfBounds { .. })
    ));
}

fn unlocked_of(stored: &Stored) -> Unlocked {
    unlocked(&decryptor(), &stored.bytes)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// A range that was cut off in the middle of a seam is no end of the plaintext.
#[test]
fn a_range_whose_bytes_end_early_is_truncated() {
    let stored = Stored::seal(&[C, 5, C + 9]);
    let unlocked = unlocked(&decryptor(), &stored.bytes)
        .load_manifest(&stored.bytes)
        .unwrap();
    let opener = unlocked.range(stored.bytes.len() as u64, ..).unwrap();
    let fetch = index(opener.ciphertext_range().start)..index(opener.ciphertext_range().end);
    for cut in (fetch.start..fetch.end).step_by(13) {
        let mut read = Vec::new();
        let ended = opener.reader(&stored.bytes[fetch.start..cut]).read_to_end(&mut read);
        let error = Error::from_io("reading", ended.unwrap_err());
        assert!(
            matches!(error, Error::Truncated { after } if after == read.len() as u64),
            "{cut}: {error}"
        );
        assert!(stored.plain.starts_with(&read));
    }
}

/// Counts reads, and shows a version that can change.
struct Source {
    bytes: Vec<u8>,
    reads: AtomicUsize,
    /// After so many reads another version is there.
    changes_after: usize,
}

impl ReadAt for Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    fn version(&self) -> Option<String> {
        let changed = self.reads.load(Ordering::Relaxed) > self.changes_after;
        Some(if changed { "second" } else { "first" }.to_owned())
    }
}

impl Source {
    fn new(bytes: &[u8], changes_after: usize) -> Self {
        Self {
            bytes: bytes.to_vec(),
            reads: AtomicUsize::new(0),
            changes_after,
        }
    }
}

#[test]
fn ten_thousand_components_are_opened_by_one_key_call_and_two_requests() {
    let stored = Stored::seal(&[3; 10_000]);
    let counting = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let unlocked = unlocked(&Decryptor::new(counting.clone()), &stored.bytes);
    let source = Source::new(&stored.bytes, usize::MAX);
    let known = unlocked.load_manifest(&source).unwrap();
    assert_eq!(source.reads.load(Ordering::Relaxed), 2);
    let few = Stored::seal(&[3; 2_000]);
    let source = Source::new(&few.bytes, usize::MAX);
    drop(unlocked_of(&few).load_manifest(&source).unwrap());
    assert_eq!(source.reads.load(Ordering::Relaxed), 1);

    // Without a source: the caller fetches the end, and more of it if the manifest is longer.
    let size = stored.bytes.len() as u64;
    let tail = unlocked.manifest_tail(size);
    let Err(Error::NotFetched { start, end }) =
        unlocked.open_manifest(size, tail.start, &stored.bytes[index(tail.start)..])
    else {
        panic!("64 KiB do not hold 10,000 entries")
    };
    assert_eq!(end, size);
    let fetched = unlocked
        .open_manifest(size, start, &stored.bytes[index(start)..])
        .unwrap();
    let ranges = fetched.range_reader(SizeOnly { size }).unwrap();
    let plan = ranges.ciphertext_ranges(std::iter::once(14_999..15_002), 100).unwrap();
    let [fetch] = plan.as_slice() else { panic!("{plan:?}") };
    let bytes = &stored.bytes[index(fetch.start)..index(fetch.end)];
    assert!(ranges.open_fetched(14_999..15_002, fetch.start, bytes).unwrap() == stored.plain[14_999..15_002]);

    assert!(known.open(&stored.bytes).unwrap() == stored.plain);
    assert_eq!(counting.calls(), 1);
}

#[test]
fn a_change_between_manifest_and_body_is_an_error() {
    let stored = Stored::seal(&[C, 7]);
    let unlocked = unlocked(&decryptor(), &stored.bytes);
    let changed = |result: Result<_, Error>| matches!(result, Err(Error::SourceVersionChanged { .. }));
    // Its first read is the manifest's.
    let source = || Source::new(&stored.bytes, 1);
    let ranges = unlocked.range_reader(source()).unwrap();
    assert!(changed(ranges.read_range(..).map(drop)));
    assert!(changed(unlocked.verify(&source()).map(drop)));
    assert!(changed(unlocked.pipe_at(&source(), io::sink()).map(drop)));
    // Also if the manifest was loaded before, by itself.
    let loaded = || {
        let source = Source::new(&stored.bytes, 1);
        let known = unlocked.load_manifest(&source).unwrap();
        source.reads.store(2, Ordering::Relaxed);
        (known, source)
    };
    let (known, source) = loaded();
    assert!(changed(known.range_reader(&source).map(drop)));
    let (known, source) = loaded();
    assert!(changed(known.verify(&source).map(drop)));
    let (known, source) = loaded();
    assert!(changed(known.pipe_at(&source, io::sink()).map(drop)));
    let long = Stored::seal(&[1; 3_000]);
    assert!(changed(
        unlocked_of(&long).load_manifest(&Source::new(&long.bytes, 1)).map(drop)
    ));
}

#[test]
fn a_pipe_is_refused_by_name() {
    let stored = Stored::seal(&[C, 7]);
    let counting = Arc::new(Counting::new(RawKey::from_slice(&[7; 32]).unwrap()));
    let decryptor = Decryptor::new(counting.clone());
    let refused = |result: Result<(), Error>| composite_error(result.unwrap_err()) == CompositeError::NotSeekable;
    assert!(refused(decryptor.reader(stored.bytes.as_slice()).map(drop)));
    assert!(refused(decryptor.pipe(stored.bytes.as_slice(), io::sink()).map(drop)));
    assert_eq!(counting.calls(), 0, "refused before the key is asked for");
    let unlocked = unlocked(&decryptor, &stored.bytes);
    assert!(refused(unlocked.reader(&stored.bytes[8192..]).map(drop)));
    assert!(refused(unlocked.pipe(&stored.bytes[8192..], io::sink()).map(drop)));
    let mut machine = unlocked.stream_opener();
    assert!(refused(machine.push(&mut &stored.bytes[8192..])));
    assert!(refused(machine.pull().map(drop)));
    let found = unlocked.find_end(&stored.bytes);
    assert_eq!(composite_error(found.unwrap_err()), CompositeError::NoEndSearch);
}

#[test]
fn no_length_is_answered_before_the_manifest_fits() {
    let stored = Stored::seal(&[C, 7]);
    let unlocked = unlocked(&decryptor(), &stored.bytes);
    let size = stored.bytes.len() as u64;
    let unknown = |result: Result<(), Error>| composite_error(result.unwrap_err()) == CompositeError::ManifestNotLoaded;
    assert!(unknown(unlocked.plaintext_len(size).map(drop)));
    assert!(unknown(unlocked.range(size, ..).map(drop)));
    let known = unlocked.load_manifest(&stored.bytes).unwrap();
    assert_eq!(known.plaintext_len(size).unwrap(), C as u64 + 7);
    for other in [size - 1, size + 1, size + 16] {
        let wrong = composite_error(known.plaintext_len(other).unwrap_err());
        assert!(matches!(wrong, CompositeError::PayloadLength { .. }), "{wrong}");
        assert!(known.range(other, ..).is_err());
        assert!(known.range_reader(SizeOnly { size: other }).is_err());
    }
}

#[test]
fn files_are_opened_verified_rekeyed_and_rewrapped_as_plain_ones_are() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let stored = Stored::seal(&LENS);
    std::fs::write(path("object"), &stored.bytes).unwrap();
    let other = Arc::new(RawKey::from_slice(&[8; 32]).unwrap());

    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path("object"))
        .unwrap();
    Rewrap::new(decryptor()).add_key(other.clone()).file(&file).unwrap();
    let theirs = Decryptor::new(other.clone());
    for executor in executors() {
        let theirs = theirs.clone().with_executor(executor);
        let opened = theirs
            .open_path(path("object"), path("plain"), IfExists::Replace)
            .unwrap();
        assert_eq!(opened.plaintext_len, stored.plain.len() as u64);
        assert!(std::fs::read(path("plain")).unwrap() == stored.plain);
        let file = std::fs::File::open(path("object")).unwrap();
        assert_eq!(theirs.verify(&file).unwrap().plaintext_len, opened.plaintext_len);
    }
    // A rekeyed object is a plain one.
    theirs
        .rekey_path(path("object"), path("rekeyed"), &encryptor(), IfExists::Fail)
        .unwrap();
    let rekeyed = std::fs::read(path("rekeyed")).unwrap();
    assert!(decryptor().reader(rekeyed.as_slice()).is_ok());
    assert!(decryptor().open(&rekeyed).unwrap() == stored.plain);
}

#[test]
fn a_padded_objects_length_tells_its_plaintexts() {
    for len in [0, 1, C - 1, C, 100_000] {
        let object = encryptor().begin_composite(Padding::PlaintextLength).unwrap();
        let stored = Stored::join(&object, &[len], &[9; 256]);
        let payload_len = stored.bytes.len() as u64 - 8192;
        assert_eq!(
            plaintext_len_of_padded(ChunkSize::KiB16, payload_len).unwrap(),
            len as u64
        );
        assert!(decryptor().open(&stored.bytes).unwrap() == plaintext(len));
        let mut streamed = Vec::new();
        unlocked(&decryptor(), &stored.bytes)
            .pipe_at(&stored.bytes, &mut streamed)
            .unwrap();
        assert!(streamed == stored.plain);
    }
    // Two components of the least size.
    let object = encryptor().begin_composite(Padding::PlaintextLength).unwrap();
    let stored = Stored::join(&object, &[5 << 20, 3], b"");
    let payload_len = stored.bytes.len() as u64 - 8192;
    assert_eq!(
        plaintext_len_of_padded(ChunkSize::KiB16, payload_len).unwrap(),
        (5 << 20) + 3
    );
    assert!(decryptor().open(&stored.bytes).unwrap() == stored.plain);
}
