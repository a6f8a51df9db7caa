//! Whole objects in memory and as streams, ours and those of other crates, each in the fastest form that it documents.
//! The chunk length is the crate's own if it has only one.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::iter;

use aead_stream::{DecryptorBE32, EncryptorBE32};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::KeyInit;
use age::x25519::Identity;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fast_floe::Parameters;
use fast_floe::low_level::{start_decryption, start_encryption};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};
use sealstone::{Backend, Decryptor, Encryptor};
use sealstone_benches::setup::{self, executor, parameters, plaintext, raw_key, some_of, thread_counts};

const KEY: [u8; 32] = [7; 32];
const TAG: usize = 16;
const OUR_CHUNK: usize = 16 * 1024;
/// Bytes of one call of `write` and of `read`.
const PIECE: usize = 1 << 20;

/// Bytes of plaintext. 1 GiB and 4 GiB take much time and memory, and run only on request.
fn sizes() -> Vec<usize> {
    let mut sizes = some_of(&[1 << 20, 64 << 20, 64 << 10]);
    if std::env::var_os("SEALSTONE_BENCH_LARGE").is_some() {
        sizes.extend([1 << 30, 4 << 30]);
    }
    sizes
}

fn case(bytes: usize, threads: usize, chunk: usize) -> String {
    parameters(&[("bytes", &bytes), ("threads", &threads), ("chunk_bytes", &chunk)])
}

fn timed(criterion: &mut Criterion, what: &str, tool: &str, (bytes, case): (usize, &str), mut work: impl FnMut()) {
    let mut group = criterion.benchmark_group(format!("throughput/{what}"));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(BenchmarkId::new(tool, case), |bencher| {
        bencher.iter(&mut work);
    });
    group.finish();
}

/// Reads everything in pieces; returns the number of bytes.
fn drained(mut reader: impl Read, piece: &mut [u8]) -> usize {
    let count = || reader.read(piece).expect("read");
    iter::repeat_with(count).take_while(|count| *count > 0).sum()
}

/// Writes everything in pieces.
fn poured(writer: &mut impl Write, plain: &[u8]) {
    for piece in plain.chunks(PIECE) {
        writer.write_all(piece).expect("written");
    }
}

fn ours(criterion: &mut Criterion) {
    for bytes in sizes() {
        for threads in thread_counts() {
            our_size(criterion, "sealstone", Backend::default(), bytes, threads);
        }
    }
    our_size(criterion, "sealstone (RustCrypto)", Backend::RustCrypto, 1 << 20, 1);
}

fn our_size(criterion: &mut Criterion, tool: &str, backend: Backend, bytes: usize, threads: usize) {
    let executor = executor(threads);
    let encryptor = Encryptor::new(raw_key())
        .with_backend(backend)
        .with_executor(executor.clone());
    let decryptor = Decryptor::new(raw_key()).with_backend(backend).with_executor(executor);
    let plain = plaintext(bytes);
    let mut object = encryptor.seal(&plain).expect("sealed");
    let mut opened = vec![0; bytes];
    decryptor.open_into(&object, &mut opened).expect("opened");
    assert!(opened == plain, "what was opened is what was sealed");

    let case = case(bytes, threads, OUR_CHUNK);
    let case = (bytes, case.as_str());
    timed(criterion, "seal into buffer", tool, case, || {
        let new = encryptor.begin().expect("a raw key");
        new.seal_into(&plain, &mut object).expect("room enough");
    });
    timed(criterion, "open into buffer", tool, case, || {
        decryptor.open_into(&object, &mut opened).expect("unaltered");
    });
    timed(criterion, "seal", tool, case, || {
        drop(black_box(encryptor.seal(&plain).expect("sealed")));
    });
    timed(criterion, "open", tool, case, || {
        drop(black_box(decryptor.open(&object).expect("opened")));
    });
    timed(criterion, "write", tool, case, || {
        let mut writer = encryptor.writer(io::sink()).expect("a raw key");
        poured(&mut writer, &plain);
        writer.finish().expect("finished");
    });
    let shared = Bytes::from(plain);
    timed(criterion, "write bytes", tool, case, || {
        let mut writer = encryptor.writer(io::sink()).expect("a raw key");
        for start in (0..bytes).step_by(PIECE) {
            let piece = shared.slice(start..bytes.min(start + PIECE));
            writer.write_bytes(piece).expect("written");
        }
        writer.finish().expect("finished");
    });
    let mut piece = vec![0; PIECE];
    timed(criterion, "read", tool, case, || {
        let reader = decryptor.reader(object.as_slice()).expect("a raw key");
        assert_eq!(drained(reader, &mut piece), bytes);
    });
}

fn fast_floe(criterion: &mut Criterion) {
    let key = fast_floe::Key::from_bytes(KEY);
    for bytes in sizes() {
        for chunk in [OUR_CHUNK, 1 << 20] {
            let segments = Parameters::with_segment_length(u32::try_from(chunk).expect("a length")).expect("a length");
            let plain = plaintext(bytes);
            let object = fast_floe::encrypt(&key, b"", segments, &plain).expect("sealed");
            assert!(fast_floe::decrypt(&key, b"", &object).expect("opened") == plain);
            let name = case(bytes, 1, chunk);
            let case = (bytes, name.as_str());
            timed(criterion, "seal", "fast-floe", case, || {
                drop(black_box(
                    fast_floe::encrypt(&key, b"", segments, &plain).expect("sealed"),
                ));
            });
            timed(criterion, "open", "fast-floe", case, || {
                drop(black_box(fast_floe::decrypt(&key, b"", &object).expect("opened")));
            });
            timed(criterion, "write", "fast-floe", case, || {
                let writer = fast_floe::io::EncryptWriter::new(io::sink(), &key, b"", segments);
                let mut writer = writer.expect("a key");
                poured(&mut writer, &plain);
                writer.finish().expect("finished");
            });
            let mut piece = vec![0; PIECE];
            timed(criterion, "read", "fast-floe", case, || {
                let reader = fast_floe::io::DecryptReader::new(object.as_slice(), &key, b"");
                assert_eq!(drained(reader.expect("a key"), &mut piece), bytes);
            });
            for threads in thread_counts() {
                floe_forks(criterion, &key, segments, &plain, threads);
            }
        }
    }
}

/// fast-floe's low-level states, one for each share of the segments, as its documentation recommends for threads.
fn floe_forks(criterion: &mut Criterion, key: &fast_floe::Key, segments: Parameters, plain: &[u8], threads: usize) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads start");
    let layout = segments.plaintext_layout(plain.len() as u64).expect("a length");
    let (long, short) = (
        segments.ciphertext_segment_length(),
        segments.plaintext_segment_length(),
    );
    let (mut sealed, mut opened) = (vec![0; plain.len() / short * long + long], vec![0; plain.len()]);
    let at = |position: usize| layout.segment_for_position(position as u64).expect("a segment");
    let seal = |sealed: &mut [u8]| {
        let (state, header) = start_encryption(key, b"", segments).expect("a key");
        let shared = state.into_shared();
        let pieces = plain.par_chunks(short).zip(sealed.par_chunks_mut(long)).enumerate();
        pool.install(|| {
            pieces.for_each_init(
                || shared.fork(),
                |state, (position, (plain, out))| {
                    state
                        .encrypt_segment_into(plain, at(position), out)
                        .expect("room enough");
                },
            );
        });
        header
    };
    let header = seal(&mut sealed);
    let open = |sealed: &[u8], opened: &mut [u8]| {
        let shared = start_decryption(key, b"", segments, &header)
            .expect("a key")
            .into_shared();
        let pieces = sealed.par_chunks(long).zip(opened.par_chunks_mut(short)).enumerate();
        pool.install(|| {
            pieces.for_each_init(
                || shared.fork(),
                |state, (position, (sealed, out))| {
                    let sealed = &sealed[..out.len() + (long - short)];
                    state
                        .decrypt_segment_into(sealed, at(position), out)
                        .expect("unaltered");
                },
            );
        });
    };
    open(&sealed, &mut opened);
    assert!(opened == plain, "what was opened is what was sealed");
    let name = case(plain.len(), threads, long);
    let case = (plain.len(), name.as_str());
    timed(criterion, "open into buffer", "fast-floe", case, || {
        open(&sealed, &mut opened);
    });
    timed(criterion, "seal into buffer", "fast-floe", case, || {
        seal(&mut sealed);
    });
}

fn cobblestone(criterion: &mut Criterion) {
    let key = cobblestone::Key256::from_bytes(&KEY);
    for bytes in sizes() {
        let plain = plaintext(bytes);
        let object = cobblestone::encrypt(&key, b"", &plain).expect("sealed");
        assert!(cobblestone::decrypt(&key, b"", &object).expect("opened") == plain);
        let name = case(bytes, 1, OUR_CHUNK);
        let case = (bytes, name.as_str());
        timed(criterion, "seal", "cobblestone", case, || {
            drop(black_box(cobblestone::encrypt(&key, b"", &plain).expect("sealed")));
        });
        timed(criterion, "open", "cobblestone", case, || {
            drop(black_box(cobblestone::decrypt(&key, b"", &object).expect("opened")));
        });
        timed(criterion, "write", "cobblestone", case, || {
            let mut writer = cobblestone::EncryptWriter::new(&key, b"", io::sink());
            poured(&mut writer, &plain);
            writer.finish().expect("finished");
        });
        let mut piece = vec![0; PIECE];
        timed(criterion, "read", "cobblestone", case, || {
            let reader = cobblestone::DecryptReader::new(&key, b"", object.as_slice());
            assert_eq!(drained(reader, &mut piece), bytes);
        });
    }
}

fn age(criterion: &mut Criterion) {
    let identity = Identity::generate();
    let recipient = identity.to_public();
    for bytes in sizes() {
        let plain = plaintext(bytes);
        let write = |sink: &mut dyn Write| {
            let encryptor = age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient));
            let mut writer = encryptor.expect("a recipient").wrap_output(sink).expect("written");
            poured(&mut writer, &plain);
            writer.finish().expect("finished");
        };
        let mut object = Vec::new();
        write(&mut object);
        let read = |piece: &mut [u8]| {
            let decryptor = age::Decryptor::new(object.as_slice()).expect("a header");
            let reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity));
            drained(reader.expect("a recipient"), piece)
        };
        let name = case(bytes, 1, 64 * 1024);
        let case = (bytes, name.as_str());
        timed(criterion, "write", "age crate", case, || write(&mut io::sink()));
        let mut piece = vec![0; PIECE];
        timed(criterion, "read", "age crate", case, || {
            assert_eq!(read(&mut piece), bytes);
        });
    }
}

/// STREAM over RustCrypto's AES-256-GCM, in place. The copy into the buffer is timed, because it supports nothing else.
fn aead_stream(criterion: &mut Criterion) {
    let key = &KEY.into();
    let prefix = &[0; 7].into();
    for bytes in some_of(&[1 << 20, 64 << 20]) {
        let plain = plaintext(bytes);
        let name = case(bytes, 1, OUR_CHUNK);
        let case = (bytes, name.as_str());
        let (mut buffer, mut sealed) = (Vec::with_capacity(OUR_CHUNK + TAG), Vec::with_capacity(2 * bytes));
        let mut seal = |sealed: &mut Vec<u8>| {
            let mut stream = EncryptorBE32::<Aes256Gcm>::from_aead(Aes256Gcm::new(key), prefix);
            sealed.clear();
            for chunk in plain.chunks(OUR_CHUNK) {
                buffer.clear();
                buffer.extend_from_slice(chunk);
                stream.encrypt_next_in_place(b"", &mut buffer).expect("a short stream");
                sealed.extend_from_slice(&buffer);
            }
        };
        seal(&mut sealed);
        timed(criterion, "seal into buffer", "aead-stream", case, || seal(&mut sealed));
        let (mut buffer, mut opened) = (Vec::with_capacity(OUR_CHUNK + TAG), Vec::with_capacity(bytes));
        let mut open = |opened: &mut Vec<u8>| {
            let mut stream = DecryptorBE32::<Aes256Gcm>::from_aead(Aes256Gcm::new(key), prefix);
            opened.clear();
            for chunk in sealed.chunks(OUR_CHUNK + TAG) {
                buffer.clear();
                buffer.extend_from_slice(chunk);
                stream.decrypt_next_in_place(b"", &mut buffer).expect("unaltered");
                opened.extend_from_slice(&buffer);
            }
        };
        open(&mut opened);
        assert!(opened == plain, "what was opened is what was sealed");
        timed(criterion, "open into buffer", "aead-stream", case, || open(&mut opened));
    }
}

criterion_group! {
    name = benches;
    config = setup::criterion();
    targets = ours, fast_floe, cobblestone, age, aead_stream
}
criterion_main!(benches);
