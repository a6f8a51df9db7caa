//! Hostile headers and manifests: bounded memory and no panic, whatever they claim.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use common::{Counting, decryptor, encryptor, plaintext, unlocked};
use proptest::prelude::*;
use sealstone::composite::{MAX_COMPONENTS, Padding};
use sealstone::error::CompositeError;
use sealstone::{Decryptor, Error, Header, ObjectHeader, RawKey};
use sha2::Digest;

/// Sums allocated bytes, and records how many were in use at most.
struct Summing;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Summing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Summing = Summing;

/// Bytes that parsing and opening a header may allocate in total.
const LIMIT: usize = 1 << 20;

/// One test at a time, so that no other allocates meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap()
}

/// No other test may allocate at the same time.
fn allocated_by(work: impl FnOnce()) -> usize {
    let before = ALLOCATED.load(Ordering::Relaxed);
    work();
    ALLOCATED.load(Ordering::Relaxed) - before
}

/// How many more bytes were in use at once than before. No other test may allocate at the same time.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let digest = sha2::Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

#[test]
fn no_header_allocates_over_1_mib_or_calls_a_provider_more_than_twice() {
    let _alone = alone();
    let object = encryptor().seal(&plaintext(100)).unwrap();
    let start = &object[..76];

    // Claims as many and as long items as the fields can express.
    let claims: [&[u8]; 6] = [
        &[0xFF; 8],
        &[0, 0, 0xFF],
        &[0, 0, 16, 0xFF, 0xFF],
        &[1, 0, 0, 0xFF, 0xFF],
        &[0, 1, 0, 0xFF, 0xFF, b'a'],
        &[0, 0, 1, 0, 3, b'r', b'a', b'w', 0xFF, 0xFF],
    ];
    for claim in claims {
        for padding in [0, 4000, 60_000] {
            let body = [start, claim, &vec![0; padding]].concat();
            let header = resealed(body);
            let cost = allocated_by(|| assert!(Header::from_detached(&header).is_err()));
            assert!(cost < LIMIT, "{claim:?} allocated {cost} bytes");
        }
    }

    // The largest header that parses: 16 slots of 4,000 bytes.
    let mut body = [start, &[0, 0, 16]].concat();
    for _ in 0..16 {
        body.extend_from_slice(&[0, 3]);
        body.extend_from_slice(b"raw");
        body.extend_from_slice(&[0, 4]);
        body.extend_from_slice(b"none");
        body.extend_from_slice(&4000u16.to_be_bytes());
        body.extend_from_slice(&[7; 4000]);
    }
    let header = resealed(body);
    let cost = allocated_by(|| {
        let parsed = Header::from_detached(&header).unwrap();
        assert_eq!(parsed.slots().len(), 16);
    });
    assert!(cost < LIMIT, "{cost}");

    // Opened with a provider that claims every slot may be its own.
    let mut counting = Counting::new(RawKey::from_slice(&[7; 32]).unwrap());
    counting.always_maybe = true;
    let counting = std::sync::Arc::new(counting);
    let parsed = Header::from_detached(&header).unwrap();
    let payload = parsed.payload_prefix().unwrap();
    let result = Decryptor::new(counting.clone())
        .unlock(parsed)
        .and_then(|unlocked| unlocked.reader(payload.as_slice()));
    assert!(result.is_err());
    assert_eq!(counting.calls(), 2);

    // Arbitrary bytes with a valid beginning and checksum.
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    let bytes = proptest::collection::vec(any::<u8>(), 0..3000);
    runner
        .run(&bytes, |bytes| {
            let attached = [&object[..76], &bytes, &vec![0; 4096 - 76 - 32 - bytes.len()]].concat();
            let copy = resealed(attached);
            let both = [copy.as_slice(), &copy, &object[8192..]].concat();
            let cost = allocated_by(|| {
                let _ = ObjectHeader::parse(&both);
                let _ = decryptor().open(&both);
            });
            prop_assert!(cost < LIMIT, "{} bytes allocated", cost);
            Ok(())
        })
        .unwrap();
}

/// The largest manifest takes 2 MiB; it is read, opened and parsed, and no buffer is larger than its content.
#[test]
fn a_manifest_of_65536_components_allocates_under_16_mib_and_a_claimed_one_nothing() {
    let _alone = alone();
    let object = encryptor().begin_composite(Padding::None).unwrap();
    let mut stored = object.header().to_attached().unwrap();
    let mut receipts = Vec::new();
    for _ in 0..MAX_COMPONENTS {
        let sealed = object.component(b"").unwrap().seal(b"").unwrap();
        stored.extend_from_slice(&sealed.bytes);
        receipts.push((b"", sealed.receipt));
    }
    stored.extend(object.complete(&receipts, &[7; 256]).unwrap().bytes);
    let unlocked = unlocked(&decryptor(), &stored);
    let cost = allocated_by(|| {
        let unlocked = unlocked.load_manifest(&stored).unwrap();
        assert_eq!(unlocked.manifest().unwrap().component_count(), MAX_COMPONENTS);
    });
    assert!(cost < 16 << 20, "the largest manifest allocated {cost} bytes");

    // Each component has its own cipher, and few of them are in memory at once.
    let known = unlocked.load_manifest(&stored).unwrap();
    let peak = peak_of(|| assert!(known.open(&stored).unwrap().is_empty()));
    assert!(peak < 16 << 20, "{peak} bytes were in use at once");

    // Claims of as much, and of as much as the field can express, in a short object.
    let longest = stored.last_chunk::<4>().unwrap();
    for claim in [longest, &[0xFF; 4]] {
        let short = [&stored[..8192 + 1000], claim].concat();
        let cost = allocated_by(|| {
            let refused = unlocked.load_manifest(&short).map(drop);
            assert!(matches!(
                refused,
                Err(Error::Composite(CompositeError::ManifestLength { .. }))
            ));
        });
        assert!(cost < LIMIT, "a claim allocated {cost} bytes");
    }
}
