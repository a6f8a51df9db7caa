//! The AEADs: our objects in memory against the bare crates on the same bytes, which stay in the processor's last-level
//! cache. Ours also writes a header and derives keys each time, which is half a percent of its time.
//!
//! Crates that work only in place seal and open a copy, and the copying is not timed.

use std::sync::Arc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aws_lc_rs::aead as aws_lc;
use chacha20poly1305::ChaCha20Poly1305;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use sealstone::{Backend, ChunkSize, Decryptor, Encryptor, Suite};
use sealstone_benches::setup::{self, parameters, some_of, thread_counts};

const LEN: usize = 4 << 20;
const TAG: usize = 16;
const KEY: [u8; 32] = [7; 32];
const CHUNKS: [usize; 6] = [16 << 10, 1 << 20, 4 << 10, 64 << 10, 256 << 10, 4 << 20];

/// A bare AEAD on one chunk.
trait Bare: Sync {
    /// Seals `plain` into `out`, which has room for the tag.
    fn seal(&self, nonce: [u8; 12], plain: &[u8], out: &mut [u8]);
    /// Opens `sealed` into `out`.
    fn open(&self, nonce: [u8; 12], sealed: &[u8], out: &mut [u8]);
}

impl Bare for aws_lc::LessSafeKey {
    fn seal(&self, nonce: [u8; 12], plain: &[u8], out: &mut [u8]) {
        let (out, tag) = out.split_at_mut(plain.len());
        let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
        self.seal_out_of_place_scatter(nonce, aws_lc::Aad::empty(), plain, out, &[], tag)
            .expect("lengths agree");
    }

    fn open(&self, nonce: [u8; 12], sealed: &[u8], out: &mut [u8]) {
        let (sealed, tag) = sealed.split_at(out.len());
        let nonce = aws_lc::Nonce::assume_unique_for_key(nonce);
        self.open_separate_gather(nonce, aws_lc::Aad::empty(), sealed, tag, out)
            .expect("unaltered");
    }
}

/// A bare AEAD that works in place: each chunk is its plaintext, and 16 bytes for the tag.
trait InPlace {
    fn seal(&self, nonce: [u8; 12], chunk: &mut [u8]);
    fn open(&self, nonce: [u8; 12], chunk: &mut [u8]);
}

impl InPlace for ring::aead::LessSafeKey {
    fn seal(&self, nonce: [u8; 12], chunk: &mut [u8]) {
        let (plain, tag) = chunk.split_at_mut(chunk.len() - TAG);
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
        let made = self.seal_in_place_separate_tag(nonce, ring::aead::Aad::empty(), plain);
        tag.copy_from_slice(made.expect("a short chunk").as_ref());
    }

    fn open(&self, nonce: [u8; 12], chunk: &mut [u8]) {
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
        self.open_in_place(nonce, ring::aead::Aad::empty(), chunk)
            .expect("unaltered");
    }
}

/// The RustCrypto crates.
struct RustCrypto<A>(A);

impl<A: AeadInOut<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16>> InPlace
    for RustCrypto<A>
{
    fn seal(&self, nonce: [u8; 12], chunk: &mut [u8]) {
        let (plain, tag) = chunk.split_at_mut(chunk.len() - TAG);
        let made = self.0.encrypt_inout_detached(&nonce.into(), &[], plain.into());
        tag.copy_from_slice(&made.expect("a short chunk"));
    }

    fn open(&self, nonce: [u8; 12], chunk: &mut [u8]) {
        let (sealed, tag) = chunk.split_at_mut(chunk.len() - TAG);
        let tag = (&*tag).try_into().expect("a tag's length");
        let opened = self.0.decrypt_inout_detached(&nonce.into(), &[], sealed.into(), tag);
        opened.expect("unaltered");
    }
}

fn nonce(chunk: usize) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(chunk as u64).to_be_bytes());
    nonce
}

fn case(suite: Suite, threads: usize, chunk: usize) -> String {
    parameters(&[
        ("suite", &suite_name(suite)),
        ("threads", &threads),
        ("chunk_bytes", &chunk),
        ("bytes", &LEN),
    ])
}

fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        _ => "AES-256-GCM",
    }
}

fn pool(threads: usize) -> Arc<ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Arc::new(pool.expect("threads start"))
}

fn bare_aws_lc(criterion: &mut Criterion) {
    for (suite, algorithm) in [
        (Suite::Aes256Gcm, &aws_lc::AES_256_GCM),
        (Suite::ChaCha20Poly1305, &aws_lc::CHACHA20_POLY1305),
    ] {
        let key = aws_lc::LessSafeKey::new(aws_lc::UnboundKey::new(algorithm, &KEY).expect("32 bytes"));
        let sizes = if suite == Suite::Aes256Gcm {
            &CHUNKS[..]
        } else {
            &CHUNKS[..2]
        };
        for chunk in some_of(sizes) {
            for threads in thread_counts() {
                bare(
                    criterion,
                    "aws-lc-rs",
                    &key,
                    &case(suite, threads, chunk),
                    chunk,
                    &pool(threads),
                );
            }
        }
    }
}

fn bare(criterion: &mut Criterion, tool: &str, key: &impl Bare, case: &str, chunk: usize, pool: &ThreadPool) {
    let plain = setup::plaintext(LEN);
    let mut sealed = vec![0; LEN / chunk * (chunk + TAG)];
    let mut opened = vec![0; LEN];
    let seal = |sealed: &mut [u8]| {
        let work = |(number, (plain, out)): (usize, (&[u8], &mut [u8]))| key.seal(nonce(number), plain, out);
        let chunks = plain
            .par_chunks(chunk)
            .zip(sealed.par_chunks_mut(chunk + TAG))
            .enumerate();
        pool.install(|| chunks.for_each(work));
    };
    let open = |sealed: &[u8], opened: &mut [u8]| {
        let work = |(number, (sealed, out)): (usize, (&[u8], &mut [u8]))| key.open(nonce(number), sealed, out);
        let chunks = sealed
            .par_chunks(chunk + TAG)
            .zip(opened.par_chunks_mut(chunk))
            .enumerate();
        pool.install(|| chunks.for_each(work));
    };
    seal(&mut sealed);
    open(&sealed, &mut opened);
    assert!(opened == plain, "{tool} opens what it seals");
    timed(criterion, "primitive/seal", tool, case, || seal(&mut sealed));
    timed(criterion, "primitive/open", tool, case, || open(&sealed, &mut opened));
}

fn in_place_crates(criterion: &mut Criterion) {
    use ring::aead::{AES_256_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
    let ring = |algorithm| LessSafeKey::new(UnboundKey::new(algorithm, &KEY).expect("32 bytes"));
    let aes_gcm = RustCrypto(Aes256Gcm::new(&KEY.into()));
    let chacha = RustCrypto(ChaCha20Poly1305::new(&KEY.into()));
    let keys: [(Suite, &str, Box<dyn InPlace>); 4] = [
        (Suite::Aes256Gcm, "ring", Box::new(ring(&AES_256_GCM))),
        (Suite::ChaCha20Poly1305, "ring", Box::new(ring(&CHACHA20_POLY1305))),
        (Suite::Aes256Gcm, "aes-gcm", Box::new(aes_gcm)),
        (Suite::ChaCha20Poly1305, "chacha20poly1305", Box::new(chacha)),
    ];
    for (suite, tool, key) in &keys {
        let sizes = if *tool == "ring" && *suite == Suite::Aes256Gcm {
            &CHUNKS[..]
        } else {
            &CHUNKS[..2]
        };
        for chunk in some_of(sizes) {
            in_place(criterion, tool, key.as_ref(), &case(*suite, 1, chunk), chunk);
        }
    }
}

fn in_place(criterion: &mut Criterion, tool: &str, key: &dyn InPlace, case: &str, chunk: usize) {
    let each = |buffer: &mut [u8], work: &dyn Fn([u8; 12], &mut [u8])| {
        for (number, chunk) in buffer.chunks_mut(chunk + TAG).enumerate() {
            work(nonce(number), chunk);
        }
    };
    let plain = setup::plaintext(LEN / chunk * (chunk + TAG));
    let mut sealed = plain.clone();
    each(&mut sealed, &|nonce, chunk| key.seal(nonce, chunk));
    let mut opened = sealed.clone();
    each(&mut opened, &|nonce, chunk| key.open(nonce, chunk));
    let texts = |buffer: &[u8]| {
        buffer
            .chunks(chunk + TAG)
            .flat_map(|piece| piece[..chunk].to_vec())
            .collect::<Vec<_>>()
    };
    assert!(texts(&opened) == texts(&plain), "{tool} opens what it seals");

    let mut buffer = plain;
    timed(criterion, "primitive/seal", tool, case, || {
        each(&mut buffer, &|nonce, chunk| key.seal(nonce, chunk));
    });
    let mut group = criterion.benchmark_group("primitive/open");
    group.throughput(Throughput::Bytes(LEN as u64));
    group.bench_function(BenchmarkId::new(tool, case), |bencher| {
        let open = |buffer: &mut Vec<u8>| each(buffer, &|nonce, chunk| key.open(nonce, chunk));
        bencher.iter_batched_ref(|| sealed.clone(), open, BatchSize::PerIteration);
    });
    group.finish();
}

fn ours(criterion: &mut Criterion) {
    for &backend in Backend::ALL {
        let tool = match backend {
            Backend::RustCrypto => "sealstone (RustCrypto)",
            _ => "sealstone",
        };
        for suite in Suite::ALL {
            let all = backend == Backend::default() && suite == Suite::Aes256Gcm;
            let sizes = [ChunkSize::KiB16, ChunkSize::MiB1, ChunkSize::KiB64, ChunkSize::KiB256];
            for chunk in some_of(if all { &sizes[..] } else { &sizes[..1] }) {
                for threads in thread_counts() {
                    object(criterion, tool, backend, suite, chunk, threads);
                }
            }
        }
    }
}

fn object(criterion: &mut Criterion, tool: &str, backend: Backend, suite: Suite, chunk: ChunkSize, threads: usize) {
    let executor = setup::executor(threads);
    let encryptor = Encryptor::new(setup::raw_key())
        .with_backend(backend)
        .with_suite(suite)
        .with_chunk_size(chunk)
        .with_executor(executor.clone());
    let decryptor = Decryptor::new(setup::raw_key())
        .with_backend(backend)
        .with_executor(executor);
    let plain = setup::plaintext(LEN);
    let mut sealed = encryptor.seal(&plain).expect("sealed");
    let mut opened = vec![0; LEN];
    decryptor.open_into(&sealed, &mut opened).expect("opened");
    assert!(opened == plain, "{tool} opens what it seals");
    let case = case(suite, threads, chunk.bytes());
    timed(criterion, "primitive/seal", tool, &case, || {
        let object = encryptor.begin().expect("a raw key");
        object.seal_into(&plain, &mut sealed).expect("room enough");
    });
    timed(criterion, "primitive/open", tool, &case, || {
        decryptor.open_into(&sealed, &mut opened).expect("unaltered");
    });
}

fn timed(criterion: &mut Criterion, group: &str, tool: &str, case: &str, mut work: impl FnMut()) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Bytes(LEN as u64));
    group.bench_function(BenchmarkId::new(tool, case), |bencher| bencher.iter(&mut work));
    group.finish();
}

criterion_group! { name = benches; config = setup::criterion(); targets = bare_aws_lc, in_place_crates, ours }
criterion_main!(benches);
