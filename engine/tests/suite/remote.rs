//! Objects in stores with ranged requests: what to fetch, opening what was fetched, and a store that changes.
#![allow(clippy::single_range_in_vec_init, reason = "one range is meant")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{C, SEALED, decryptor, encryptor, plaintext, seal_fixed};
use proptest::prelude::*;
use sealstone::format::Layout;
use sealstone::positioned::{ReadAt, SizeOnly};
use sealstone::{ChunkSize, Error};

fn layout() -> Layout {
    Layout::new(ChunkSize::KiB16)
}

/// The payload bytes that are needed, with gaps up to `max_gap` included, by marking each byte.
fn brute_force(ranges: &[Range<u64>], len: u64, max_gap: u64) -> Vec<Range<u64>> {
    let size = usize::try_from(layout().payload_len(len).unwrap()).unwrap();
    let mut needed = vec![false; size];
    for range in ranges.iter().filter(|range| !range.is_empty() || range.end == len) {
        // A range that reaches the end needs the final chunk, which may be empty.
        let last = if range.end == len { len } else { range.end - 1 };
        for chunk in range.start / C as u64..=last / C as u64 {
            let start = 56 + usize::try_from(chunk).unwrap() * SEALED;
            needed[start..size.min(start + SEALED)].fill(true);
        }
    }
    let mut runs: Vec<Range<u64>> = Vec::new();
    for at in (0..size as u64).filter(|&at| needed[usize::try_from(at).unwrap()]) {
        match runs.last_mut() {
            Some(run) if at - run.end <= max_gap => run.end = at + 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn coalescing_is_what_marking_every_byte_gives(
        len in 0..20 * C as u64,
        pairs in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..8),
        max_gap in prop_oneof![Just(0), 0..5 * SEALED as u64, Just(SEALED as u64), Just(u64::MAX)],
    ) {
        let ranges: Vec<_> = pairs
            .into_iter()
            .map(|(a, b)| (a % (len + 1), b % (len + 1)))
            .map(|(a, b)| a.min(b)..a.max(b))
            .collect();
        let got = layout().ciphertext_ranges(ranges.clone(), len, max_gap).unwrap();
        prop_assert_eq!(got, brute_force(&ranges, len, max_gap));
    }

    #[test]
    fn planned_fetches_open_to_the_ranges(
        pairs in proptest::collection::vec((0..=7 * C, 0..=7 * C), 1..6),
        max_gap in 0..3 * SEALED as u64,
    ) {
        let plain = plaintext(7 * C);
        let object = seal_fixed(&encryptor(), 1, 2, &plain);
        let ranges: Vec<_> = pairs.into_iter().map(|(a, b)| a.min(b) as u64..a.max(b) as u64).collect();
        let reader = decryptor().range_reader(object.as_slice()).unwrap();
        let fetches = reader.ciphertext_ranges(ranges.clone(), max_gap).unwrap();
        for range in ranges {
            let need = reader.ciphertext_ranges([range.clone()], 0).unwrap();
            let fetch = fetches.iter().find(|fetch| {
                need.iter().all(|need| fetch.start <= need.start && need.end <= fetch.end)
            });
            let fetch = fetch.cloned().unwrap_or(0..0);
            let bytes = &object[usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap()];
            let opened = reader.open_fetched(range.clone(), fetch.start, bytes).unwrap();
            let slice = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            prop_assert!(opened == plain[slice]);
        }
    }
}

#[test]
fn ranges_that_cannot_be_are_refused_by_the_plan() {
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    for wrong in [0..11, 11..11, 5..4] {
        let plan = layout().ciphertext_ranges([0..1, wrong.clone()], 10, 0);
        assert!(matches!(plan, Err(Error::RangeOutOfBounds { .. })), "{wrong:?}");
    }
    assert!(layout().ciphertext_ranges([3..3], 10, 0).unwrap().is_empty());
    assert!(layout().ciphertext_ranges([], 10, 0).unwrap().is_empty());
}

/// A client that fetches by itself, with the header and the payload's length, and makes one request.
#[test]
fn a_client_without_a_source_fetches_once_and_opens() {
    let plain = plaintext(9 * C + 100);
    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let mut payload = Vec::new();
    object.detach().1.pipe(plain.as_slice(), &mut payload).unwrap();

    let store = SizeOnly {
        size: payload.len() as u64,
    };
    let reader = decryptor().unlock(header).unwrap().range_reader(store).unwrap();
    assert_eq!(reader.claimed_len(), plain.len() as u64);
    // Not yet known to be past the end, because the end was not verified.
    let len = plain.len() as u64;
    let past = || {
        let range = 0..len + 1;
        let opened = reader.open_fetched(range.clone(), 56, &payload[56..]).map(|_| ());
        [opened, reader.ciphertext_ranges([range], 0).map(|_| ())]
    };
    for refused in past() {
        assert!(matches!(refused, Err(Error::NotFetched { .. })), "{refused:?}");
    }
    let ranges = [100..200, 3 * C as u64..3 * C as u64 + 5, 9 * C as u64 + 10..len];
    let fetches = reader.ciphertext_ranges(ranges.clone(), u64::MAX).unwrap();
    assert_eq!(fetches, [56..payload.len() as u64]);
    let fetched = &payload[56..];
    for range in ranges {
        let opened = reader.open_fetched(range.clone(), 56, fetched).unwrap();
        assert!(opened == plain[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]);
    }
    // Bytes that were not fetched are reported as missing, whichever way they are requested.
    for (from, bytes) in [
        (57, &fetched[1..]),
        (56, &fetched[..SEALED - 1]),
        (56, &[]),
        (u64::MAX, fetched),
    ] {
        let refused = reader.open_fetched(0..1, from, bytes);
        assert!(
            matches!(refused, Err(Error::NotFetched { start: 56, .. })),
            "{refused:?}"
        );
    }
    assert!(reader.open_fetched(5..5, 0, &[]).unwrap().is_empty());
    assert!(matches!(reader.read_range(0..1), Err(Error::NotFetched { .. })));
    // One of the ranges reached the end, and so verified it.
    assert_eq!(reader.verified_len().unwrap(), len);
    for refused in past() {
        assert!(matches!(refused, Err(Error::RangeOutOfBounds { .. })), "{refused:?}");
    }
}

#[test]
fn altered_fetched_bytes_are_refused() {
    let object = seal_fixed(&encryptor(), 1, 2, &plaintext(3 * C));
    let reader = decryptor().range_reader(object.as_slice()).unwrap();
    let fetch = reader.ciphertext_ranges([C as u64..C as u64 + 1], 0).unwrap().remove(0);
    let mut bytes = object[usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap()].to_vec();
    let past = reader.open_fetched(0..3 * C as u64 + 1, fetch.start, &bytes);
    assert!(matches!(past, Err(Error::RangeOutOfBounds { .. })));
    bytes[77] ^= 1;
    let refused = reader.open_fetched(C as u64..C as u64 + 1, fetch.start, &bytes);
    assert!(matches!(refused, Err(Error::ChunkAltered { chunk: 1, offset }) if offset == fetch.start));
}

/// A store whose object is replaced before the read number `replaced_at`.
struct Replaced {
    bytes: Vec<u8>,
    reads: AtomicUsize,
    replaced_at: usize,
}

impl ReadAt for Replaced {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.bytes.read_at(buffer, offset)
    }

    fn size(&self) -> std::io::Result<u64> {
        self.bytes.size()
    }

    fn version(&self) -> Option<String> {
        // A client learns it from the last response, so there is none before the first.
        match self.reads.load(Ordering::SeqCst) {
            0 => None,
            reads if reads < self.replaced_at => Some("one".into()),
            _ => Some("two".into()),
        }
    }
}

fn replaced(object: &[u8], replaced_at: usize) -> Replaced {
    Replaced {
        bytes: object.to_vec(),
        reads: AtomicUsize::new(0),
        replaced_at,
    }
}

fn assert_changed(error: &Error) {
    match error {
        Error::SourceVersionChanged { expected, found } => {
            assert_eq!((expected.as_str(), found.as_str()), ("one", "two"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_version_that_changes_between_fetches_is_refused() {
    let plain = plaintext(40 * C);
    let object = seal_fixed(&encryptor(), 1, 2, &plain);
    // The first read is the header's; the versions of `&S` and `Arc<S>` are those of S.
    let source = replaced(&object, 3);
    let reader = decryptor().range_reader(&source).unwrap();
    assert!(reader.read_range(0..10).unwrap() == plain[..10]);
    assert_changed(&reader.read_range(0..10).unwrap_err());
    let reader = decryptor().range_reader(Arc::new(replaced(&object, 2))).unwrap();
    let mut buffer = [7; 10];
    assert_changed(&reader.read_at(&mut buffer, 0).unwrap_err());
    assert_eq!(buffer, [0; 10]);
    assert_changed(&reader.verified_len().unwrap_err());

    // Within one read, because the range takes several fetches.
    let reader = decryptor().range_reader(replaced(&object, 3)).unwrap();
    assert_changed(&reader.read_range(..).unwrap_err());
    assert_changed(&decryptor().verify(&replaced(&object, 3)).unwrap_err());
    assert!(decryptor().verify(&replaced(&object, usize::MAX)).is_ok());
}

#[test]
fn with_a_detached_header_the_first_fetch_states_the_version() {
    let plain = plaintext(3 * C);
    let object = encryptor().begin().unwrap();
    let header = object.header().clone();
    let mut payload = Vec::new();
    object.detach().1.pipe(plain.as_slice(), &mut payload).unwrap();
    let decryptor = decryptor().unlock(header).unwrap();
    let reader = decryptor.range_reader(replaced(&payload, 2)).unwrap();
    assert!(reader.read_range(0..10).unwrap() == plain[..10]);
    assert_changed(&reader.read_range(0..10).unwrap_err());
}
