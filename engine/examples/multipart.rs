//! A multipart upload sealed by two threads, with its header in the object's metadata; then a ranged read of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealstone::parts::SealedPart;
use sealstone::{Decryptor, Encryptor, Header, KeyRing, Result};

const PART: usize = 1 << 20;

fn main() -> Result<()> {
    let file: Vec<u8> = (0..10 * PART + 12_345)
        .map(|i| u8::try_from(i % 251).unwrap_or(0))
        .collect();
    let ring = Arc::new(KeyRing::in_memory("uploads")?);

    let (header, object) = Encryptor::new(ring.clone()).begin()?.detach();
    let metadata = header.to_metadata()?;
    let upload = object.parts(PART as u64)?;
    let pieces: Vec<&[u8]> = file.chunks(PART).collect();
    let next = AtomicU64::new(0);

    // Each worker claims a part, seals it, and uploads it; here the store is a list.
    let mut stored: Vec<SealedPart> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<SealedPart>> {
                    let mut sealed = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(piece) = usize::try_from(number).ok().and_then(|number| pieces.get(number)) else {
                            return Ok(sealed);
                        };
                        let part = upload.part(number)?;
                        let is_last = number + 1 == pieces.len() as u64;
                        sealed.push(if is_last {
                            part.seal_last(piece)?
                        } else {
                            part.seal(piece)?
                        });
                    }
                })
            })
            .collect();
        let sealed: Result<Vec<_>> = workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"))
            .collect();
        sealed.map(|sealed| sealed.concat())
    })?;
    assert_eq!(upload.finish()?, file.len() as u64);

    // The store joins the parts by their numbers.
    stored.sort_by_key(SealedPart::number);
    let payload: Vec<u8> = stored.iter().flat_map(|part| part.bytes().iter().copied()).collect();

    let unlocked = Decryptor::new(ring).unlock(Header::from_metadata(&metadata)?)?;
    assert!(unlocked.open(&payload)? == file);
    let range = unlocked
        .range_reader(payload.as_slice())?
        .read_range(5_000_000..5_000_010)?;
    assert_eq!(range, file[5_000_000..5_000_010]);
    println!(
        "{} parts, {} bytes of metadata, all opened again",
        stored.len(),
        metadata.values().map(String::len).sum::<usize>()
    );
    Ok(())
}
