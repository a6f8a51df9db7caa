//! Sealing and opening in memory against the bare AEAD: the same bytes, chunk length and number of threads.
//!
//! The two sides alternate, and the ratio is computed for each turn, so that a drift of the machine's speed does not
//! matter.
//!
//! `memory-ratio [--json]` prints a line for sealing and one for opening, on one thread and on two: as text, or as JSON
//! with the seconds of every turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealstone::{Decryptor, Encryptor, Executor, RawKey};

const CHUNK: usize = 16 * 1024;
const SEALED: usize = CHUNK + 16;
const CHUNKS: usize = 8 * 1024;
const TURNS: usize = 9;

fn main() {
    let json = std::env::args().nth(1).is_some_and(|argument| argument == "--json");
    let report = if json { report_json } else { report };
    for threads in [1, 2] {
        let executor = executor(threads);
        let (seal, open) = measure(&executor, threads);
        report("seal", threads, &seal);
        report("open", threads, &open);
    }
}

fn executor(threads: usize) -> Executor {
    match threads {
        1 => Executor::serial(),
        _ => Executor::threads(threads).expect("threads start"),
    }
}

/// Pairs of seconds, bare AEAD and ours, for sealing and for opening.
fn measure(executor: &Executor, threads: usize) -> (Vec<Pair>, Vec<Pair>) {
    let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
    let encryptor = Encryptor::new(key.clone()).with_executor(executor.clone());
    let decryptor = Decryptor::new(key).with_executor(executor.clone());
    let bare = bare_key();
    let mut plain = vec![0x5A; CHUNKS * CHUNK];
    let len = encryptor.object_len(plain.len() as u64).expect("a small object");
    let mut object = vec![0; usize::try_from(len).expect("a small object")];
    let mut bare_sealed = vec![0; CHUNKS * SEALED];
    let (mut seal, mut open) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let bare_seal = timed(|| bare_seal(&bare, &plain, &mut bare_sealed, threads));
        let ours_seal = timed(|| {
            let new = encryptor.begin().expect("a raw key");
            new.seal_into(&plain, &mut object).expect("room enough");
        });
        let bare_open = timed(|| bare_open(&bare, &bare_sealed, &mut plain, threads));
        let ours_open = timed(|| {
            decryptor.open_into(&object, &mut plain).expect("unaltered");
        });
        // The first turn warms up.
        if turn > 0 {
            seal.push((bare_seal, ours_seal));
            open.push((bare_open, ours_open));
        }
    }
    (seal, open)
}

type Pair = (Duration, Duration);

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn bare_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes"))
}

fn nonce(chunk: usize) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&(chunk as u64).to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Runs `work` on equal shares of both buffers, one per thread, and passes the share's first chunk.
fn shared<'a>(
    (from, from_chunk): (&'a [u8], usize),
    (to, to_chunk): (&'a mut [u8], usize),
    threads: usize,
    work: impl Fn(usize, &'a [u8], &'a mut [u8]) + Sync,
) {
    let share = CHUNKS / threads;
    std::thread::scope(|scope| {
        let parts = from.chunks(share * from_chunk).zip(to.chunks_mut(share * to_chunk));
        for (number, (from, to)) in parts.enumerate() {
            let work = &work;
            scope.spawn(move || work(number * share, from, to));
        }
    });
}

fn bare_seal(key: &LessSafeKey, plain: &[u8], sealed: &mut [u8], threads: usize) {
    shared((plain, CHUNK), (sealed, SEALED), threads, |first, plain, sealed| {
        for (number, (plain, out)) in plain.chunks(CHUNK).zip(sealed.chunks_mut(SEALED)).enumerate() {
            let (out, tag) = out.split_at_mut(CHUNK);
            key.seal_out_of_place_scatter(nonce(first + number), Aad::empty(), plain, out, &[], tag)
                .expect("lengths agree");
        }
    });
}

fn bare_open(key: &LessSafeKey, sealed: &[u8], plain: &mut [u8], threads: usize) {
    shared((sealed, SEALED), (plain, CHUNK), threads, |first, sealed, plain| {
        for (number, (sealed, out)) in sealed.chunks(SEALED).zip(plain.chunks_mut(CHUNK)).enumerate() {
            let (sealed, tag) = sealed.split_at(CHUNK);
            key.open_separate_gather(nonce(first + number), Aad::empty(), sealed, tag, out)
                .expect("unaltered");
        }
    });
}

fn report(what: &str, threads: usize, pairs: &[Pair]) {
    let bytes = (CHUNKS * CHUNK) as f64;
    let mut ratios: Vec<f64> = pairs
        .iter()
        .map(|(bare, ours)| bare.as_secs_f64() / ours.as_secs_f64())
        .collect();
    let mut speeds: Vec<f64> = pairs.iter().map(|(_, ours)| bytes / ours.as_secs_f64() / 1e9).collect();
    ratios.sort_by(f64::total_cmp);
    speeds.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    println!(
        "{what}, {threads} thread(s): {:.2} GB/s, {:.3} of the bare AEAD (min {:.3}, max {:.3})",
        speeds[middle],
        ratios[middle],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

fn report_json(what: &str, threads: usize, pairs: &[Pair]) {
    let bare: Vec<f64> = pairs.iter().map(|(bare, _)| bare.as_secs_f64()).collect();
    let ours: Vec<f64> = pairs.iter().map(|(_, ours)| ours.as_secs_f64()).collect();
    println!(
        "{{\"case\":\"{what}\",\"threads\":{threads},\"bytes\":{},\"chunk_bytes\":{CHUNK},\"bare_s\":{bare:?},\"ours_s\":{ours:?}}}",
        CHUNKS * CHUNK
    );
}
