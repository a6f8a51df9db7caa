//! Two processes seal one object. One of them is killed, and its part is sealed again.
//!
//! The coordinator starts this program again for each part. A directory stands for the storage, which need not be trusted.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sealstone::composite::{Padding, Receipt};
use sealstone::{Decryptor, Encryptor, Header, KeyRing};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => coordinate(),
        [part, commitment] => seal_part(part, &unhex(commitment)?),
        _ => Err("usage: composite [PART COMMITMENT]".into()),
    }
}

fn coordinate() -> Result<()> {
    let plaintext: Vec<u8> = (0..3_000_000u32).map(|n| n.to_be_bytes()[2]).collect();
    let (first, second) = plaintext.split_at(1_000_000);

    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let ring = Arc::new(KeyRing::create_or_open(&path("keyring.json"), "jobs")?.0);
    let object = Encryptor::new(ring.clone()).begin_composite(Padding::None)?;
    fs::write(path("header"), object.header().to_detached()?)?;

    // The commitment goes to the workers directly: storage must not be able to replace it together with the header.
    let worker = |part| start(directory.path(), part, object.commitment());
    let mut one = worker("1")?;
    let mut two = worker("2")?;

    // The second worker is killed in the middle of its part: its input has not ended. What it sealed does no harm.
    let mut input = two.stdin.take().ok_or("a pipe")?;
    input.write_all(&second[..500_000])?;
    two.kill()?;
    two.wait()?;
    assert!(!path("2.receipt").exists());
    finish(&mut one, first)?;

    // Another worker seals the part again. These could be other bytes: each sealing has its own salt, and with it its own key.
    finish(&mut worker("2")?, second)?;

    // Receipts name the sealings that make up the object. Sizes reported by storage are never used.
    let mut receipts = Vec::new();
    for part in ["1", "2"] {
        receipts.push((part, Receipt::from_bytes(&fs::read(path(&format!("{part}.receipt")))?)?));
    }
    let end = object.complete(&receipts, b"")?;

    let parts = [fs::read(path("1"))?, fs::read(path("2"))?, end.bytes];
    fs::write(
        path("object"),
        [object.header().to_attached()?, parts.concat()].concat(),
    )?;
    let opened = Decryptor::new(ring).open(&fs::read(path("object"))?)?;
    assert!(opened == plaintext);
    println!(
        "2 parts sealed by 3 processes, one of them killed: {} bytes opened",
        opened.len()
    );
    Ok(())
}

/// Starts a worker, which seals its standard input.
fn start(directory: &Path, part: &str, commitment: &[u8]) -> Result<Child> {
    let commitment: String = commitment.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Command::new(env::current_exe()?);
    command.args([part, &commitment]).current_dir(directory);
    Ok(command.stdin(Stdio::piped()).spawn()?)
}

/// Sends a worker the rest of its part, and waits for it.
fn finish(worker: &mut Child, plaintext: &[u8]) -> Result<()> {
    worker.stdin.take().ok_or("a pipe")?.write_all(plaintext)?;
    let status = worker.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("a worker failed: {status}").into())
}

/// A worker: unwraps the data key itself, and seals nothing if this is not the header that it was started for.
fn seal_part(part: &str, commitment: &[u8]) -> Result<()> {
    let ring = Arc::new(KeyRing::open(Path::new("keyring.json"))?);
    let header = Header::from_detached(&fs::read("header")?)?;
    let object = Decryptor::new(ring).unlock(header)?.composite(commitment.try_into()?)?;

    let component = object.component(part.as_bytes())?;
    let receipt = component.pipe(io::stdin().lock(), File::create(part)?)?;

    // The receipt appears whole, and only after the component.
    fs::write(format!("{part}.new"), receipt.to_bytes())?;
    fs::rename(format!("{part}.new"), format!("{part}.receipt"))?;
    Ok(())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?))
        .collect()
}
