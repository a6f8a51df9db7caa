//! Ranges of 1 B, 4 KiB and 1 MiB, at random offsets and sequentially: from a file in the page cache, and from a source
//! that takes 20 ms for each fetch. Times are per range.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fast_floe::random_access::Reader;
use sealstone::positioned::ReadAt;
use sealstone::{Decryptor, Encryptor};
use sealstone_benches::setup::{self, parameters, some_of};

const LEN: usize = 64 << 20;
const LENS: [usize; 3] = [4096, 1, 1 << 20];
const LATENCY: Duration = Duration::from_millis(20);
/// The length of our chunks, of cobblestone's, and of fast-floe's segments here.
const CHUNK: u32 = 16 * 1024;

/// Reads the range at an offset into a buffer of its length.
type Read<'a> = Box<dyn FnMut(&mut [u8], u64) + 'a>;

/// Where ranges begin: multiples of their length in order, or anywhere.
struct Offsets {
    random: bool,
    state: u64,
    len: u64,
}

impl Offsets {
    fn next(&mut self) -> u64 {
        let places = LEN as u64 - self.len + 1;
        if self.random {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.state >> 16) % places
        } else {
            self.state = (self.state + self.len) % places;
            self.state
        }
    }
}

fn stored(object: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(object).expect("written");
    // For readers that begin at the file's cursor.
    file.rewind().expect("a file");
    file
}

fn cached(criterion: &mut Criterion) {
    let plaintext = setup::plaintext(LEN);
    let key = setup::raw_key();
    let ours = stored(&Encryptor::new(key.clone()).seal(&plaintext).expect("sealed"));
    let ours = Decryptor::new(key).range_reader(ours).expect("opened");

    let floe_key = fast_floe::Key::from_bytes([7; 32]);
    let segments = fast_floe::Parameters::with_segment_length(CHUNK).expect("a segment's length");
    let floe = stored(&fast_floe::encrypt(&floe_key, b"", segments, &plaintext).expect("sealed"));
    let mut floe = Reader::new(floe, &floe_key, b"").expect("opened");

    let cobble_key = cobblestone::Key256::from_bytes(&[7; 32]);
    let cobble = stored(&cobblestone::encrypt(&cobble_key, b"", &plaintext).expect("sealed"));
    let mut cobble = cobblestone::RandomAccessDecryptor::new(&cobble_key, b"", cobble).expect("opened");

    let mut readers: Vec<(&str, Read<'_>)> = vec![
        (
            "sealstone",
            Box::new(|buffer, offset| {
                assert_eq!(ours.read_at(buffer, offset).expect("read"), buffer.len());
            }),
        ),
        (
            "fast-floe",
            Box::new(|buffer, offset| {
                let end = offset + buffer.len() as u64;
                assert_eq!(floe.read_range_into(offset..end, buffer).expect("read"), buffer.len());
            }),
        ),
        (
            "cobblestone",
            Box::new(|buffer, offset| cobble.read_exact_at(buffer, offset).expect("read")),
        ),
    ];
    for len in some_of(&LENS) {
        for (order, random) in [("random", true), ("sequential", false)] {
            for (tool, read) in &mut readers {
                let mut group = criterion.benchmark_group(format!("range/{order}, cached file"));
                group.throughput(Throughput::Elements(1));
                let mut offsets = Offsets {
                    random,
                    state: 1,
                    len: len as u64,
                };
                let mut buffer = vec![0; len];
                let (first, len) = (offsets.next(), buffer.len());
                read(&mut buffer, first);
                let start = usize::try_from(first).expect("within the plaintext");
                assert!(buffer == plaintext[start..start + len], "{tool} reads the plaintext");
                let case = parameters(&[("range_bytes", &len), ("bytes", &LEN), ("chunk_bytes", &CHUNK)]);
                group.bench_function(BenchmarkId::new(*tool, case), |bencher| {
                    bencher.iter(|| {
                        read(&mut buffer, offsets.next());
                        black_box(&buffer);
                    });
                });
                group.finish();
            }
        }
    }
}

/// A remote source: each read takes 20 ms, whatever its length.
struct Far {
    object: Vec<u8>,
    fetches: AtomicU64,
}

impl ReadAt for Far {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        sleep(LATENCY);
        self.object.read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.object.size()
    }
}

/// Reads like the client of a store: it asks what to fetch, fetches that in one request, and has it opened.
fn far(criterion: &mut Criterion) {
    let plaintext = setup::plaintext(LEN);
    let key = setup::raw_key();
    let object = Encryptor::new(key.clone()).seal(&plaintext).expect("sealed");
    let far = Far {
        object,
        fetches: AtomicU64::new(0),
    };
    let reader = Decryptor::new(key).range_reader(&far).expect("opened");
    let read = |offset: u64, len: usize| {
        let range = offset..offset + len as u64;
        let fetches = reader
            .ciphertext_ranges([range.clone()], 0)
            .expect("within the plaintext");
        let [fetch] = fetches.as_slice() else {
            panic!("one range is {} fetches", fetches.len())
        };
        let mut fetched = vec![0; usize::try_from(fetch.end - fetch.start).expect("a short range")];
        far.read_at(&mut fetched, fetch.start).expect("fetched");
        reader.open_fetched(range, fetch.start, &fetched).expect("opened")
    };
    let mut group = criterion.benchmark_group("range/random, 20 ms away");
    group.throughput(Throughput::Elements(1));
    for len in some_of(&LENS) {
        let mut offsets = Offsets {
            random: true,
            state: 1,
            len: len as u64,
        };
        let before = far.fetches.load(Ordering::Relaxed);
        let first = offsets.next();
        let start = usize::try_from(first).expect("within the plaintext");
        assert!(
            read(first, len) == plaintext[start..start + len],
            "what was read is the plaintext"
        );
        let fetches = far.fetches.load(Ordering::Relaxed) - before;
        assert_eq!(fetches, 1, "a range is one fetch");
        let case = parameters(&[
            ("range_bytes", &len),
            ("latency_ms", &LATENCY.as_millis()),
            ("fetches", &fetches),
        ]);
        group.bench_function(BenchmarkId::new("sealstone", case), |bencher| {
            bencher.iter(|| read(offsets.next(), len));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = setup::criterion(); targets = cached, far }
criterion_main!(benches);
