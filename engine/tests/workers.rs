//! Composite objects sealed by many processes at once, which are killed at random times and whose parts are sealed again
//! with other bytes.
//!
//! ```text
//! coordinator (this test)   header --> directory <-- component, receipt   workers (this program again, `worker`)
//!                           commitment, part ------------------------->   in their environment, which storage cannot write
//! ```
//!
//! Whatever was killed, and whatever storage puts in the place of a component, the object opens to what the coordinator
//! chose or not at all. Of all that reached the disk, also of workers that were killed, no two chunks share key and nonce:
//! keys and nonces are those of the second implementation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::campaign::{Chance, cases};
use common::{C, SEALED, decryptor, encryptor, oracle};
use sealstone::composite::{CompositeObject, Padding, Receipt};
use sealstone::{Header, Suite};

/// Workers that run at once, at least.
const WORKERS: usize = 8;
const LONGEST: usize = 5 * C;
/// The variable that has a worker's job.
const JOB: &str = "SEALSTONE_TEST_JOB";
const COMMITMENT: &str = "SEALSTONE_TEST_COMMITMENT";

#[test]
fn killed_and_retried_workers_never_make_another_object() {
    let rounds = cases(50);
    let mut chance = Chance::new("workers");
    let mut found = Found::default();
    for _ in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        round(directory.path(), &mut chance, &mut found);
    }
    let Found {
        workers,
        killed,
        torn,
        refused,
        met,
    } = found;
    println!(
        "campaign: workers cases={rounds} workers={workers} killed={killed} torn={torn} refused={refused} nonces={}",
        met.len()
    );
}

/// What all rounds found.
#[derive(Default)]
struct Found {
    workers: usize,
    killed: usize,
    /// Components and manifests that were killed amid their bytes.
    torn: usize,
    /// Objects with other components than those that were chosen.
    refused: usize,
    met: HashSet<([u8; 32], [u8; 12])>,
}

/// One sealing of one part: another one has other bytes.
#[derive(Debug, Clone)]
struct Attempt {
    part: usize,
    number: usize,
    len: usize,
    seed: u64,
}

impl Attempt {
    fn job(&self) -> String {
        let Self {
            part,
            number,
            len,
            seed,
        } = self;
        format!("seal {part} {number} {len} {seed}")
    }

    fn plaintext(&self) -> Vec<u8> {
        let mut chance = Chance::new(&format!("part of {}", self.seed));
        (0..self.len).map(|_| chance.byte()).collect()
    }

    fn stored(&self, directory: &Path) -> Vec<u8> {
        fs::read(component_path(directory, self.number)).unwrap_or_default()
    }

    /// Of a worker that came to its end.
    fn receipt(&self, directory: &Path) -> Option<Receipt> {
        let bytes = fs::read(receipt_path(directory, self.number)).ok()?;
        Some(Receipt::from_bytes(&bytes).unwrap())
    }
}

fn component_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.component"))
}

fn receipt_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.receipt"))
}

fn end_path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.end"))
}

fn label(part: usize) -> Vec<u8> {
    format!("part {part}").into_bytes()
}

/// One object, from its header to its end.
fn round(directory: &Path, chance: &mut Chance, found: &mut Found) {
    let encryptor = encryptor().with_suite(*chance.of(&Suite::ALL));
    let object = encryptor.begin_composite(Padding::None).unwrap();
    fs::write(directory.join("header"), object.header().to_detached().unwrap()).unwrap();

    let parts = WORKERS + chance.below(4);
    let attempts = seal_parts(directory, &object, parts, chance, found);
    let chosen: Vec<_> = (0..parts)
        .map(|part| {
            let complete = attempts.iter().filter(|attempt| attempt.part == part);
            let complete = complete.filter(|attempt| attempt.receipt(directory).is_some());
            chance.of(&complete.cloned().collect::<Vec<_>>()).clone()
        })
        .collect();
    let ends = complete(directory, &object, &chosen, chance, found);

    let plaintext: Vec<u8> = chosen.iter().flat_map(|attempt| attempt.plaintext()).collect();
    let stored: Vec<_> = chosen.iter().map(|attempt| attempt.stored(directory)).collect();
    for end in &ends {
        assert!(
            open(&object, &stored, end).unwrap() == plaintext,
            "what was chosen opens"
        );
    }
    // Storage shows other sealings than those that were chosen: whole ones and torn ones.
    let end = chance.of(&ends);
    for attempt in &attempts {
        let mut exchanged = stored.clone();
        exchanged[attempt.part] = attempt.stored(directory);
        if exchanged != stored {
            assert!(open(&object, &exchanged, end).is_none(), "{attempt:?} was not chosen");
            found.refused += 1;
        }
    }
    let mut swapped = stored.clone();
    swapped.swap(chance.below(parts), chance.below(parts));
    assert!(swapped == stored || open(&object, &swapped, end).is_none());

    record(directory, &object, &attempts, found);
}

/// Has every part sealed, some of them several times.
fn seal_parts(
    directory: &Path,
    object: &CompositeObject,
    parts: usize,
    chance: &mut Chance,
    found: &mut Found,
) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut missing: Vec<usize> = (0..parts).collect();
    // Not more than half of the workers are killed, so this ends.
    while !missing.is_empty() {
        // The parts that are missing, and some again that are not: a worker that was thought to be lost.
        let again = (0..WORKERS.saturating_sub(missing.len()) / 2).map(|_| chance.below(parts));
        let wave: Vec<_> = missing.iter().copied().chain(again.collect::<Vec<_>>()).collect();
        let wave = wave.into_iter().zip(attempts.len()..).map(|(part, number)| Attempt {
            part,
            number,
            len: match chance.below(8) {
                0 => *chance.of(&[0, 1, C - 1, C, C + 1]),
                _ => chance.below(LONGEST),
            },
            seed: chance.next(),
        });
        let wave: Vec<_> = wave.collect();
        let running = wave.iter().map(|attempt| {
            let path = component_path(directory, attempt.number);
            Running::start(directory, object, &attempt.job(), path, attempt.len, chance)
        });
        run(running.collect(), found);
        attempts.extend(wave);
        missing.retain(|&part| {
            let of_part = attempts.iter().filter(|attempt| attempt.part == part);
            !of_part.into_iter().any(|attempt| attempt.receipt(directory).is_some())
        });
    }
    attempts
}

/// The whole ends of the object: the coordinator's, and that of one which was about to be killed and begun again.
fn complete(
    directory: &Path,
    object: &CompositeObject,
    chosen: &[Attempt],
    chance: &mut Chance,
    found: &mut Found,
) -> Vec<Vec<u8>> {
    let numbers = chosen.iter().map(|attempt| format!(" {}", attempt.number));
    let job = format!("complete{}", numbers.collect::<String>());
    let first = Running::start(directory, object, &job, end_path(directory, 0), 400, chance);
    run(vec![first], found);
    let receipts: Vec<_> = (0..)
        .zip(chosen)
        .map(|(part, attempt)| (label(part), attempt.receipt(directory).unwrap()))
        .collect();
    let end = object.complete(&receipts, b"chosen").unwrap().bytes;
    fs::write(end_path(directory, 1), &end).unwrap();
    let first = fs::read(end_path(directory, 0)).unwrap_or_default();
    let whole = |bytes: &Vec<u8>| bytes.len() == end.len();
    [first, end.clone()].into_iter().filter(whole).collect()
}

fn open(object: &CompositeObject, components: &[Vec<u8>], end: &[u8]) -> Option<Vec<u8>> {
    let payload = [&components.concat()[..], end].concat();
    decryptor().unlock(object.header().clone()).unwrap().open(&payload).ok()
}

/// A worker, and when it is killed.
struct Running {
    child: Child,
    doom: Option<Doom>,
    killed: bool,
}

/// A worker is killed after this instant, and once the file has so many bytes.
struct Doom {
    after: Instant,
    file: PathBuf,
    written: u64,
}

impl Running {
    fn start(
        directory: &Path,
        object: &CompositeObject,
        job: &str,
        file: PathBuf,
        len: usize,
        chance: &mut Chance,
    ) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["worker", "--exact", "--ignored"])
            .current_dir(directory)
            .env(JOB, job)
            .env(COMMITMENT, hex(object.commitment()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let now = Instant::now();
        let doom = match chance.below(4) {
            0 => Some((chance.below(60), 0)),
            1 => Some((0, 1 + chance.below(len + 1))),
            _ => None,
        };
        let doom = doom.map(|(millis, written)| Doom {
            after: now + Duration::from_millis(millis as u64),
            file,
            written: written as u64,
        });
        Self {
            child,
            doom,
            killed: false,
        }
    }

    /// Whether it goes on.
    fn go_on(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            assert!(self.killed || status.success(), "a worker failed: {status}");
            return false;
        }
        if self.doom.as_ref().is_some_and(Doom::is_due) {
            self.doom = None;
            self.child.kill().unwrap();
            self.killed = true;
        }
        true
    }
}

impl Doom {
    fn is_due(&self) -> bool {
        let written = fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        Instant::now() >= self.after && written >= self.written
    }
}

fn run(mut running: Vec<Running>, found: &mut Found) {
    found.workers += running.len();
    while !running.is_empty() {
        thread::sleep(Duration::from_micros(500));
        running.retain_mut(|worker| {
            let goes_on = worker.go_on();
            found.killed += usize::from(!goes_on && worker.killed);
            goes_on
        });
    }
}

/// Checks each chunk that reached the disk with the second implementation, and that its key met its nonce never before.
fn record(directory: &Path, object: &CompositeObject, attempts: &[Attempt], found: &mut Found) {
    let header = object.header().to_detached().unwrap();
    let header = oracle::Header::parse_detached(&header).unwrap();
    let context = oracle::canonical(&[].into());
    let data_key = oracle::unwrap(&[7; 32], &header.slots[0], &context).unwrap();
    let mut check = |stored: &[u8], kind: &str, plaintext: Option<&[u8]>| {
        let Some((salt, rest)) = stored.split_first_chunk::<24>() else {
            return;
        };
        let context = [kind.as_bytes(), &header.core].concat();
        let keys = oracle::derive(&data_key, header.core, salt, &context);
        let (commitment, chunks) = rest.split_at(rest.len().min(32));
        assert!(keys.commitment.starts_with(commitment));
        for (index, sealed) in chunks.chunks(SEALED).enumerate() {
            let nonce = oracle::nonce(&keys, index);
            assert!(found.met.insert((keys.key, nonce)), "a pair of key and nonce twice");
            if let Some(plaintext) = plaintext
                && sealed.len() == SEALED
            {
                let opened = oracle::open(header.core[0], &keys.key, &nonce, &[], sealed).unwrap();
                assert!(plaintext[index * C..].starts_with(&opened), "the place is the index");
            }
        }
    };
    for attempt in attempts {
        let stored = attempt.stored(directory);
        check(&stored, "sealstone/component@v1", Some(&attempt.plaintext()));
        found.torn += usize::from(!stored.is_empty() && attempt.receipt(directory).is_none());
    }
    for number in [0, 1] {
        let end = fs::read(end_path(directory, number)).unwrap_or_default();
        check(&end[..end.len().saturating_sub(4)], "sealstone/manifest@v1", None);
    }
}

#[test]
#[ignore = "a worker of the test above, which starts it in a process and gives it a job"]
fn worker() {
    let job = env::var(JOB).unwrap();
    let words: Vec<&str> = job.split(' ').collect();
    let number = |word: &str| word.parse::<usize>().unwrap();
    match words[..] {
        ["seal", part, attempt, len, seed] => seal(&Attempt {
            part: number(part),
            number: number(attempt),
            len: number(len),
            seed: seed.parse().unwrap(),
        }),
        ["complete", ref numbers @ ..] => {
            let receipts = numbers
                .iter()
                .map(|word| fs::read(receipt_path(Path::new(""), number(word))).unwrap());
            let receipts = (0..)
                .zip(receipts)
                .map(|(part, bytes)| (label(part), Receipt::from_bytes(&bytes).unwrap()));
            let end = resumed().complete(&receipts.collect::<Vec<_>>(), b"chosen").unwrap();
            let mut file = File::create_new(end_path(Path::new(""), 0)).unwrap();
            io::copy(&mut Slow::new(&end.bytes, 64), &mut file).unwrap();
        }
        _ => panic!("no job: {job}"),
    }
}

/// The object whose header storage has, if it is the one that this worker was sent for.
fn resumed() -> CompositeObject {
    let header = Header::from_detached(&fs::read("header").unwrap()).unwrap();
    let commitment = oracle::unhex(&env::var(COMMITMENT).unwrap()).unwrap();
    let unlocked = decryptor().unlock(header).unwrap();
    unlocked.composite(&commitment.try_into().unwrap()).unwrap()
}

/// Seals one part, each attempt in one of several ways; then there is a receipt.
fn seal(attempt: &Attempt) {
    let plaintext = attempt.plaintext();
    let component = resumed().component(&label(attempt.part)).unwrap();
    let mut file = File::create_new(component_path(Path::new(""), attempt.number)).unwrap();
    let mut source = Slow::new(&plaintext, 4096);
    let receipt = match attempt.number % 3 {
        0 => component.pipe(source, file).unwrap(),
        1 => {
            let mut writer = component.writer(file).unwrap();
            io::copy(&mut source, &mut writer).unwrap();
            writer.finish().unwrap().1
        }
        _ => {
            let sealed = component.seal(&plaintext).unwrap();
            io::copy(&mut Slow::new(&sealed.bytes, 4096), &mut file).unwrap();
            sealed.receipt
        }
    };
    // A receipt appears whole, or not at all.
    let path = receipt_path(Path::new(""), attempt.number);
    fs::write(path.with_extension("new"), receipt.to_bytes()).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

/// Bytes that come in pieces, with time between them to be killed in.
struct Slow<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl<'a> Slow<'a> {
    const fn new(rest: &'a [u8], piece: usize) -> Self {
        Self { rest, piece }
    }
}

impl Read for Slow<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        thread::sleep(Duration::from_micros(300));
        let len = buf.len().min(self.piece);
        self.rest.read(&mut buf[..len])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
