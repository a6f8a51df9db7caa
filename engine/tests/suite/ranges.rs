//! Ranged reads: the same as slicing, from the covering chunks only, and never past an unverified end.

use std::sync::Mutex;

use crate::common::{C, CHUNKS, LENGTHS, SEALED, decryptor, encryptor, plaintext, seal_fixed};
use sealstone::positioned::ReadAt;
use sealstone::{ChunkSize, Error, Header};

/// Records what was fetched.
struct Recording<'a> {
    inner: &'a [u8],
    fetched: Mutex<Vec<(u64, usize)>>,
}

impl ReadAt for Recording<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.fetched.lock().unwrap().push((offset, buffer.len()));
        self.inner.read_at(buffer, offset)
    }

    fn size(&self) -> std::io::Result<u64> {
        self.inner.size()
    }
}

#[test]
fn every_range_of_a_small_object_is_that_slice() {
    for len in LENGTHS {
        let plain = plaintext(len);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        let reader = decryptor().range_reader(object.as_slice()).unwrap();
        let mut edges: Vec<usize> = [
            0,
            1,
            100,
            C - 1,
            C,
            C + 1,
            2 * C,
            16 * C - 1,
            16 * C,
            16 * C + 1,
            len / 2,
        ]
        .into_iter()
        .chain([len.saturating_sub(1), len])
        .filter(|&edge| edge <= len)
        .collect();
        edges.sort_unstable();
        edges.dedup();
        for &start in &edges {
            for &end in edges.iter().filter(|&&end| end >= start) {
                let got = reader.read_range(start as u64..end as u64).unwrap();
                assert!(got == plain[start..end], "{len}: {start}..{end}");
                let mut buffer = vec![0; end - start];
                assert_eq!(reader.read_at(&mut buffer, start as u64).unwrap(), end - start);
                assert!(buffer == plain[start..end]);
            }
            assert!(reader.read_range(start as u64..).unwrap() == plain[start..]);
            assert!(reader.read_range(..start as u64).unwrap() == plain[..start]);
            assert!(reader.read_suffix(start as u64).unwrap() == plain[len - start..]);
        }
        assert!(reader.read_suffix(u64::MAX).unwrap() == plain);
        assert_eq!(reader.verified_len().unwrap(), len as u64);
    }
}

#[test]
fn a_range_past_the_end_or_reversed_is_a_typed_error() {
    let plain = plaintext(C + 10);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let reader = decryptor().range_reader(object.as_slice()).unwrap();
    let end = plain.len() as u64;
    for (from, to) in [(0, end + 1), (end + 1, end + 1), (end, u64::MAX), (5, 4)] {
        match reader.read_range(from..to) {
            Err(Error::RangeOutOfBounds { start, end: found, len }) => {
                assert_eq!((start, found, len), (from, to, end));
            }
            other => panic!("{from}..{to}: {other:?}"),
        }
    }
    assert!(reader.read_range(0..=u64::MAX).is_err());
    assert!(reader.read_range(end..end).unwrap().is_empty());
    assert_eq!(reader.read_at(&mut [0; 10], end).unwrap(), 0);
    assert_eq!(reader.read_at(&mut [0; 10], u64::MAX).unwrap(), 0);
    let mut buffer = [0; 10];
    assert_eq!(reader.read_at(&mut buffer, end - 3).unwrap(), 3);
    assert!(buffer[..3] == plain[plain.len() - 3..]);
}

#[test]
fn only_the_covering_chunks_are_fetched() {
    let plain = plaintext(100 * C + 5);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let source = Recording {
        inner: &object,
        fetched: Mutex::default(),
    };
    let reader = decryptor().range_reader(&source).unwrap();
    let fetched = |range: std::ops::Range<usize>| {
        source.fetched.lock().unwrap().clear();
        assert!(reader.read_range(range.start as u64..range.end as u64).unwrap() == plain[range]);
        source.fetched.lock().unwrap().clone()
    };
    let at = |chunk: usize| (CHUNKS + chunk * SEALED) as u64;
    assert_eq!(fetched(50 * C..50 * C + 1), [(at(50), SEALED)]);
    assert_eq!(fetched(50 * C - 1..50 * C + 1), [(at(49), 2 * SEALED)]);
    assert_eq!(fetched(100 * C..100 * C + 5), [(at(100), 21)]);
    assert_eq!(fetched(10 * C..10 * C), []);

    // A buffer that ends where the object does: reading it verifies the end.
    let fresh = decryptor().range_reader(&source).unwrap();
    source.fetched.lock().unwrap().clear();
    assert_eq!(fresh.read_at(&mut [0; 5], 100 * C as u64).unwrap(), 5);
    assert_eq!(*source.fetched.lock().unwrap(), [(at(100), 21)]);
}

#[test]
fn a_detached_header_needs_no_fetch_of_the_payloads_prefix() {
    let plain = plaintext(3 * C);
    let object = encryptor().begin().unwrap();
    let header = object.header().to_detached().unwrap();
    let mut payload = Vec::new();
    let mut writer = object.detach().1.writer(&mut payload).unwrap();
    std::io::Write::write_all(&mut writer, &plain).unwrap();
    writer.finish().unwrap();

    let header = Header::from_detached(&header).unwrap();
    let source = Recording {
        inner: &payload,
        fetched: Mutex::default(),
    };
    let reader = decryptor().unlock(header).unwrap().range_reader(&source).unwrap();
    assert!(source.fetched.lock().unwrap().is_empty());
    assert!(reader.read_range(C as u64..C as u64 + 7).unwrap() == plain[C..C + 7]);
    assert_eq!(*source.fetched.lock().unwrap(), [((56 + SEALED) as u64, SEALED)]);
}

#[test]
fn the_end_is_verified_before_any_answer_relative_to_it() {
    let plain = plaintext(5 * C + 100);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    let mut altered = object.clone();
    *altered.last_mut().unwrap() ^= 1;
    let cut = object[..object.len() - 1].to_vec();
    let extended = [object.as_slice(), &[0; 9]].concat();
    for damaged in [altered, cut, extended] {
        let reader = decryptor().range_reader(damaged.as_slice()).unwrap();
        assert!(reader.verified_len().is_err());
        assert!(reader.read_suffix(1).is_err());
        assert!(reader.read_range(3..).is_err());
        assert!(reader.read_range(..).is_err());
        let past = reader.read_range(0..plain.len() as u64 + 1000);
        assert!(
            !matches!(past, Err(Error::RangeOutOfBounds { .. })),
            "no length is claimed that was not verified"
        );
        assert!(past.is_err());
        assert!(reader.read_at(&mut vec![0; 10 * C], 0).is_err());
        // The middle verifies without saying anything about the end.
        assert!(reader.read_range(C as u64..2 * C as u64).unwrap() == plain[C..2 * C]);
    }
}

#[test]
fn an_altered_chunk_fails_the_ranges_that_touch_it_and_clears_the_buffer() {
    let plain = plaintext(40 * C);
    let mut object = seal_fixed(&encryptor(), 1, 2, &plain);
    object[CHUNKS + 20 * SEALED] ^= 1;
    let reader = decryptor().range_reader(object.as_slice()).unwrap();
    for (start, len) in [(20 * C, 1), (19 * C, C + 1), (0, 40 * C)] {
        let mut buffer = vec![0xAA; len];
        let error = reader.read_at(&mut buffer, start as u64).unwrap_err();
        assert!(matches!(error, Error::ChunkAltered { chunk: 20, .. }));
        assert!(buffer.iter().all(|&byte| byte == 0));
    }
    assert!(reader.read_range(21 * C as u64..22 * C as u64).is_ok());
}

#[test]
fn many_threads_share_one_reader() {
    let plain = plaintext(64 * C + 17);
    for size in [ChunkSize::KiB16, ChunkSize::KiB256] {
        let object = seal_fixed(&encryptor().with_chunk_size(size), 1, 2, &plain);
        let reader = decryptor().range_reader(object.as_slice()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (reader, plain) = (&reader, &plain);
                scope.spawn(move || {
                    for step in 0..100 {
                        let start = (thread * 7919 + step * 104_729) % plain.len();
                        let end = (start + 1 + step * 997).min(plain.len());
                        let got = reader.read_range(start as u64..end as u64).unwrap();
                        assert!(got == plain[start..end]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_source_that_shrinks_is_a_typed_error() {
    struct Shrunk(Vec<u8>);
    impl ReadAt for Shrunk {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
            self.0.read_at(buffer, offset)
        }
        fn size(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64 + 5 * SEALED as u64)
        }
    }
    let object = seal_fixed(&encryptor(), 1, 2, &plaintext(3 * C));
    let claimed = (object.len() + 5 * SEALED) as u64;
    let reader = decryptor().range_reader(Shrunk(object)).unwrap();
    match reader.verified_len() {
        Err(Error::SourceChanged { expected }) => assert_eq!(expected, claimed),
        other => panic!("{other:?}"),
    }
}
