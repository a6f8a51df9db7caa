//! A component of a composite object against the payload of a plain one: the same 256 MiB, sealed and opened on one thread
//! and on two. Then the time for each of 10,000 components of 1 KiB.
//!
//! The two sides alternate, and the ratio is computed for each turn, so that a drift of the machine's speed does not
//! matter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealstone::composite::Padding;
use sealstone::{Decryptor, Encryptor, Executor, RawKey};

const LEN: usize = 256 << 20;
const TURNS: usize = 9;
const SMALL: u32 = 10_000;
const SMALL_LEN: usize = 1024;

fn main() {
    for threads in [1, 2] {
        let executor = match threads {
            1 => Executor::serial(),
            _ => Executor::threads(threads).expect("threads start"),
        };
        whole(&executor, threads);
    }
    many_small();
}

/// One component beside a plain payload.
fn whole(executor: &Executor, threads: usize) {
    let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
    let encryptor = Encryptor::new(key.clone()).with_executor(executor.clone());
    let decryptor = Decryptor::new(key).with_executor(executor.clone());
    let mut plain = vec![0x5A; LEN];
    let plain_object = encryptor.seal(&plain).expect("sealed");
    let composite = joined(&encryptor, &[&plain]);
    let (mut seal, mut open) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let object = encryptor.begin_composite(Padding::None).expect("a raw key");
        let sealed = [
            timed(|| drop(encryptor.seal(&plain).expect("sealed"))),
            timed(|| drop(object.component(b"1").expect("begun").seal(&plain).expect("sealed"))),
        ];
        let opened = [&plain_object, &composite].map(|object| {
            timed(|| {
                decryptor.open_into(object, &mut plain).expect("unaltered");
            })
        });
        // The first turn warms up.
        if turn > 0 {
            seal.push(sealed);
            open.push(opened);
        }
    }
    report("seal", threads, &seal);
    report("open", threads, &open);
}

fn many_small() {
    let key = Arc::new(RawKey::from_slice(&[7; 32]).expect("32 bytes"));
    let encryptor = Encryptor::new(key.clone());
    let plain = vec![0x5A; SMALL_LEN];
    let pieces = vec![plain.as_slice(); SMALL as usize];
    let mut object = Vec::new();
    let sealed = timed(|| object = joined(&encryptor, &pieces));
    let opened = timed(|| drop(Decryptor::new(key).open(&object).expect("unaltered")));
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(SMALL);
    println!(
        "{SMALL} components of {SMALL_LEN} bytes: sealed in {:.2} us each, opened in {:.2} us each",
        each(sealed),
        each(opened)
    );
}

/// A composite object of these components.
fn joined(encryptor: &Encryptor, pieces: &[&[u8]]) -> Vec<u8> {
    let object = encryptor.begin_composite(Padding::None).expect("a raw key");
    let mut stored = object.header().to_attached().expect("one slot fits");
    let mut receipts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let sealed = object.component(b"").expect("begun").seal(piece).expect("sealed");
        stored.extend_from_slice(&sealed.bytes);
        receipts.push((b"", sealed.receipt));
    }
    stored.extend(object.complete(&receipts, b"").expect("its own receipts").bytes);
    stored
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The median ratio of speeds, component to payload, and its range.
fn report(what: &str, threads: usize, turns: &[[Duration; 2]]) {
    let mut ratios: Vec<f64> = turns
        .iter()
        .map(|[payload, component]| payload.as_secs_f64() / component.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "{what}, {threads} thread(s): a component has {:.3} of a payload's speed ({:.3} to {:.3})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
}
