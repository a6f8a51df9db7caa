//! What `sealstone encrypt` does to a file, without the AEAD: workers claim runs of chunks, read them, and write them
//! where their sealed bytes would be. Sealing cannot be faster than this with the same way of moving bytes.
//!
//! `crypto-free-twin IN OUT THREADS`

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

const BATCH: u64 = 256 * 1024;
const SEALED: u64 = BATCH + 16 * 16;
const HEAD: u64 = 8192 + 56;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, output, threads] = arguments.as_slice() else {
        return Err("crypto-free-twin IN OUT THREADS".into());
    };
    let (input, output) = (File::open(input)?, File::create_new(output)?);
    let len = input.metadata()?.len();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.parse::<usize>()?)
            .map(|_| scope.spawn(|| work(&input, &output, len, &next)))
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    output.sync_all()?;
    Ok(())
}

fn work(input: &File, output: &File, len: u64, next: &AtomicU64) -> std::io::Result<()> {
    let mut buffer = vec![0; usize::try_from(SEALED).expect("a small batch")];
    loop {
        let batch = next.fetch_add(1, Ordering::Relaxed);
        let offset = batch * BATCH;
        if offset >= len {
            return Ok(());
        }
        let plain = usize::try_from(BATCH.min(len - offset)).expect("a small batch");
        input.read_exact_at(&mut buffer[..plain], offset)?;
        let sealed = plain + 16 * plain.div_ceil(16 * 1024);
        output.write_all_at(&buffer[..sealed], HEAD + batch * SEALED)?;
    }
}
