//! Random alterations of objects, and every bit of some. If an object is accepted, its plaintext is right, and whatever
//! is returned before a refusal is a verified beginning of it.

use std::io::Read;

use crate::common::campaign::{Chance, cases, full};
use crate::common::{C, decryptor, encryptor, plaintext, pool};
use sealstone::{ChunkSize, Encryptor, Executor, Suite, Unlocked};
use sha2::{Digest, Sha256};

const PREFIX: usize = 56;
const COPY: usize = 4096;

/// An object, and another with the same key, length and settings.
struct Sample {
    plain: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
    other: Vec<u8>,
    /// Plaintext bytes of a chunk.
    chunk: usize,
    /// Opens payloads with the object's header, on this thread or in a pool.
    serial: Unlocked,
    pooled: Unlocked,
}

impl Sample {
    fn new(encryptor: &Encryptor, chunk: usize, len: usize, pool: &Executor) -> Self {
        let plain = plaintext(len);
        let mut header = encryptor.seal(&plain).unwrap();
        let payload = header.split_off(2 * COPY);
        let parsed = sealstone::ObjectHeader::parse(&header).unwrap().header().clone();
        let serial = decryptor().unlock(parsed).unwrap();
        Self {
            other: encryptor.seal(&plain).unwrap().split_off(2 * COPY),
            pooled: serial.clone().with_executor(pool.clone()),
            plain,
            header,
            payload,
            chunk,
            serial,
        }
    }

    fn sealed(&self) -> usize {
        self.chunk + 16
    }

    /// Plaintext bytes before the first chunk that differs.
    fn verifiable(&self, altered: &[u8]) -> usize {
        let alike = altered
            .iter()
            .zip(&self.payload)
            .take_while(|(left, right)| left == right);
        alike.count().saturating_sub(PREFIX) / self.sealed() * self.chunk
    }
}

fn samples() -> Vec<Sample> {
    let pool = pool(2);
    let mut all = Vec::new();
    for (suite, size) in [
        (Suite::Aes256Gcm, ChunkSize::KiB16),
        (Suite::ChaCha20Poly1305, ChunkSize::KiB16),
        (Suite::Aes256Gcm, ChunkSize::KiB64),
    ] {
        let encryptor = encryptor().with_suite(suite).with_chunk_size(size);
        for len in [0, 1, 15, 16, 17, 33, 100] {
            all.push(Sample::new(&encryptor, size.bytes(), len, &pool));
        }
    }
    // These take longer: a refused chunk is tried at a few hundred lengths, to distinguish trailing data from damage.
    for len in [C, C + 1, 2 * C + 100, 4 * C - 1] {
        all.push(Sample::new(&encryptor(), C, len, &pool));
    }
    all
}

/// One case in 32 uses an object of full chunks.
fn choose<'a>(samples: &'a [Sample], chance: &mut Chance) -> &'a Sample {
    let (short, long) = samples.split_at(samples.len() - 4);
    if chance.below(32) == 0 {
        chance.of(long)
    } else {
        chance.of(short)
    }
}

#[test]
fn no_altered_payload_is_accepted() {
    let samples = samples();
    let mut chance = Chance::new("mutations of payloads");
    let (mut altered, mut tried) = (Vec::new(), 0);
    for _ in 0..cases(50_000) {
        let sample = choose(&samples, &mut chance);
        altered.clear();
        altered.extend_from_slice(&sample.payload);
        alter(&mut altered, sample, &mut chance);
        if altered != sample.payload {
            refused(sample, &altered, &mut chance);
            tried += 1;
        }
    }
    println!("campaign: altered_payloads cases={tried}");
}

/// Alters the payload once, or a few times.
fn alter(payload: &mut Vec<u8>, sample: &Sample, chance: &mut Chance) {
    let times = if chance.below(4) == 0 { 1 + chance.below(4) } else { 1 };
    for _ in 0..times {
        if payload.is_empty() {
            return;
        }
        alter_once(payload, sample, chance);
    }
}

fn alter_once(payload: &mut Vec<u8>, sample: &Sample, chance: &mut Chance) {
    let at = chance.below(payload.len());
    let run = at + chance.below((payload.len() - at).min(64));
    match chance.below(14) {
        0..=3 => payload[at] ^= 1 << chance.below(8),
        4 => payload[at] = chance.byte(),
        5 => {
            let to = chance.below(payload.len());
            payload.swap(at, to);
        }
        6 => payload[at..run].fill(0),
        7 => payload.truncate(at),
        8 => payload.insert(at, chance.byte()),
        9 => drop(payload.drain(at..run)),
        10 => payload.extend((0..1 + chance.below(40)).map(|at| at.to_le_bytes()[0])),
        11 => splice(payload, &sample.other, at, run),
        12 => move_chunks(payload, sample, chance),
        _ => {
            let copied = payload[at..run].to_vec();
            payload.splice(at..at, copied);
        }
    }
}

/// The same bytes of another object, at the same offset.
fn splice(payload: &mut [u8], other: &[u8], at: usize, run: usize) {
    let run = run.min(other.len());
    if at < run {
        payload[at..run].copy_from_slice(&other[at..run]);
    }
}

/// A chunk that is omitted, repeated, or exchanged with another one or one of the other object.
fn move_chunks(payload: &mut Vec<u8>, sample: &Sample, chance: &mut Chance) {
    let body = payload.split_off(PREFIX.min(payload.len()));
    let mut chunks: Vec<_> = body.chunks(sample.sealed()).collect();
    if chunks.is_empty() {
        return;
    }
    let (one, two) = (chance.below(chunks.len()), chance.below(chunks.len()));
    let foreign: Vec<_> = sample.other[PREFIX..].chunks(sample.sealed()).collect();
    match chance.below(4) {
        0 => drop(chunks.remove(one)),
        1 => chunks.insert(one, chunks[two]),
        2 => chunks.swap(one, two),
        _ => chunks[one] = foreign[one.min(foreign.len() - 1)],
    }
    payload.extend(chunks.concat());
}

/// Opens it in one of the possible ways, which must refuse it or return a true slice.
fn refused(sample: &Sample, altered: &[u8], chance: &mut Chance) {
    let verifiable = sample.verifiable(altered);
    match chance.below(16) {
        0 => streamed(sample, &sample.pooled, altered, verifiable),
        1..=5 => streamed(sample, &sample.serial, altered, verifiable),
        6..=9 => ranged(sample, altered, chance),
        10..=12 => assert!(sample.serial.verify(altered).is_err()),
        _ => in_memory(sample, altered),
    }
}

fn streamed(sample: &Sample, unlocked: &Unlocked, altered: &[u8], verifiable: usize) {
    let mut out = Vec::new();
    if let Ok(mut reader) = unlocked.reader(altered) {
        assert!(reader.read_to_end(&mut out).is_err(), "a clean end");
        assert!(reader.read(&mut [0; 1]).is_err(), "the error is permanent");
    }
    assert!(sample.plain.starts_with(&out) && out.len() <= verifiable);
}

fn in_memory(sample: &Sample, altered: &[u8]) {
    let mut buffer = vec![0xAA; altered.len()];
    assert!(sample.serial.open_into(altered, &mut buffer).is_err());
    // Only what was decrypted before the fault is wiped.
    let kept = buffer.iter().position(|&byte| byte == 0xAA).unwrap_or(buffer.len());
    assert!(buffer[..kept].iter().all(|&byte| byte == 0), "the buffer is cleared");
    assert!(buffer[kept..].iter().all(|&byte| byte == 0xAA), "or as it was");
}

fn ranged(sample: &Sample, altered: &[u8], chance: &mut Chance) {
    let Ok(reader) = sample.serial.range_reader(altered) else {
        return;
    };
    let (from, len) = (chance.below(sample.plain.len() + 2), chance.below(2 * C));
    let mut buffer = vec![0xAA; len];
    match reader.read_at(&mut buffer, from as u64) {
        Ok(read) => {
            assert!(sample.plain[from.min(sample.plain.len())..].starts_with(&buffer[..read]));
            // A short read means that there is an end, which must be the true one.
            assert!(read == len || from + read >= sample.plain.len());
        }
        Err(_) => assert!(buffer.iter().all(|&byte| byte == 0), "the buffer is cleared"),
    }
    if let Ok(all) = reader.read_range(..) {
        // Salt and commitment are compared by whatever reads them, and ranges do not read them [O-4].
        assert!(all == sample.plain && altered[PREFIX..] == sample.payload[PREFIX..]);
    }
    if let Ok(len) = reader.verified_len() {
        assert_eq!(len, sample.plain.len() as u64, "another end was verified");
    }
}

#[test]
fn no_altered_header_gives_another_plaintext() {
    let samples = samples();
    let mut chance = Chance::new("mutations of headers");
    let (mut tried, mut opened) = (0, 0);
    for _ in 0..cases(50_000) / 5 {
        let sample = choose(&samples, &mut chance);
        let mut header = sample.header.clone();
        alter_header(&mut header, sample, &mut chance);
        if header == sample.header {
            continue;
        }
        tried += 1;
        let object = [&header[..], &sample.payload].concat();
        match decryptor().open(&object) {
            Ok(plain) => {
                assert!(plain == sample.plain);
                opened += 1;
            }
            Err(_) => assert!(decryptor().verify(object.as_slice()).is_err()),
        }
    }
    println!("campaign: altered_headers cases={tried} harmless={opened}");
}

/// One copy, or both in the same way, with corrected checksums.
fn alter_header(header: &mut [u8], sample: &Sample, chance: &mut Chance) {
    // Padding is most of a copy, and the fields before it matter more.
    let used = header[..COPY - 32].iter().rposition(|&byte| byte != 0).unwrap() + 3;
    let at = if chance.below(8) == 0 {
        chance.below(COPY)
    } else {
        chance.below(used)
    };
    let byte = if chance.below(2) == 0 {
        header[at] ^ 1 << chance.below(8)
    } else {
        chance.byte()
    };
    match chance.below(4) {
        0 => header[COPY * chance.below(2) + at] = byte,
        // Salt and commitment of the other object.
        1 => both_copies(header, |copy| copy[20..76].copy_from_slice(&sample.other[..PREFIX])),
        _ => both_copies(header, |copy| copy[at.min(COPY - 33)] = byte),
    }
}

fn both_copies(header: &mut [u8], alter: impl Fn(&mut [u8])) {
    for copy in header.chunks_mut(COPY) {
        let (fields, checksum) = copy.split_at_mut(COPY - 32);
        alter(fields);
        checksum.copy_from_slice(&Sha256::digest(fields));
    }
}

/// A body under another object's header: both are intact, but do not belong together.
#[test]
fn no_header_opens_another_body() {
    let samples = samples();
    let mut tried = 0;
    for header in &samples {
        for body in &samples {
            let object = [&header.header[..], &body.payload].concat();
            assert!(decryptor().open(&object).is_ok() == std::ptr::eq(header, body));
            tried += 1;
        }
        assert!(header.serial.open(&header.other).is_err());
        tried += 1;
    }
    println!("campaign: exchanged_headers cases={tried}");
}

/// In the full form every bit; otherwise one in 61, different ones for each seed.
#[test]
fn every_bit_of_three_chunks_is_refused() {
    let sample = Sample::new(&encryptor(), C, 2 * C + 100, &pool(2));
    let mut chance = Chance::new("every bit");
    let step = if full() { 1 } else { 61 };
    let (mut altered, mut tried) = (sample.payload.clone(), 0);
    for bit in (chance.below(step)..sample.payload.len() * 8).step_by(step) {
        altered[bit / 8] ^= 1 << (bit % 8);
        streamed(&sample, &sample.serial, &altered, sample.verifiable(&altered));
        altered[bit / 8] ^= 1 << (bit % 8);
        tried += 1;
    }
    assert!(altered == sample.payload);
    println!("campaign: every_bit cases={tried}");
}
