//! A single pass through the hot path, for counting its instructions: `benches/instructions` runs it under callgrind.
//!
//! `hot-path CASE MIB` moves that many MiB of plaintext, as one object in chunks of 16 KiB, on one thread:
//!
//! | case | what it does |
//! |---|---|
//! | `bare-seal`, `bare-open` | the AEAD alone, chunk by chunk |
//! | `seal`, `open` | the object in memory |
//! | `writer`, `reader` | as a stream, in pieces of 64 KiB |
//! | `range` | 4 KiB of each chunk, which opens every chunk |

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealstone::{Decryptor, Encryptor, RawKey};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CHUNK: usize = 16 * 1024;
const TAG: usize = 16;
const PIECE: usize = 64 * 1024;
const READ: usize = 4 * 1024;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [case, mib] = arguments.as_slice() else {
        return Err("hot-path CASE MIB".into());
    };
    let plain = vec![0x5A; mib.parse::<usize>()? << 20];
    match case.as_str() {
        "bare-seal" => drop(black_box(bare_sealed(&plain)?)),
        "bare-open" => bare_open(&bare_sealed(&plain)?, plain)?,
        "seal" => drop(black_box(encryptor()?.seal(&plain)?)),
        "open" => drop(black_box(decryptor()?.open(&encryptor()?.seal(&plain)?)?)),
        "writer" => write(&plain)?,
        "reader" => read(&encryptor()?.seal(&plain)?)?,
        "range" => ranges(encryptor()?.seal(&plain)?, plain.len())?,
        _ => return Err(format!("no case {case}").into()),
    }
    Ok(())
}

fn key() -> Result<Arc<RawKey>> {
    Ok(Arc::new(RawKey::from_slice(&[7; 32]).ok_or("32 bytes")?))
}

fn encryptor() -> Result<Encryptor> {
    Ok(Encryptor::new(key()?))
}

fn decryptor() -> Result<Decryptor> {
    Ok(Decryptor::new(key()?))
}

fn bare_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes"))
}

fn nonce(chunk: usize) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&(chunk as u64).to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn bare_sealed(plain: &[u8]) -> Result<Vec<u8>> {
    let key = bare_key();
    let mut sealed = vec![0; plain.len() / CHUNK * (CHUNK + TAG)];
    for (number, (plain, out)) in plain.chunks(CHUNK).zip(sealed.chunks_mut(CHUNK + TAG)).enumerate() {
        let (out, tag) = out.split_at_mut(CHUNK);
        key.seal_out_of_place_scatter(nonce(number), Aad::empty(), plain, out, &[], tag)?;
    }
    Ok(sealed)
}

fn bare_open(sealed: &[u8], mut plain: Vec<u8>) -> Result<()> {
    let key = bare_key();
    for (number, (sealed, out)) in sealed.chunks(CHUNK + TAG).zip(plain.chunks_mut(CHUNK)).enumerate() {
        let (sealed, tag) = sealed.split_at(CHUNK);
        key.open_separate_gather(nonce(number), Aad::empty(), sealed, tag, out)?;
    }
    drop(black_box(plain));
    Ok(())
}

fn write(plain: &[u8]) -> Result<()> {
    let mut writer = encryptor()?.writer(io::sink())?;
    for piece in plain.chunks(PIECE) {
        writer.write_all(piece)?;
    }
    writer.finish()?;
    Ok(())
}

fn read(object: &[u8]) -> Result<()> {
    let mut reader = decryptor()?.reader(object)?;
    let mut piece = vec![0; PIECE];
    while reader.read(&mut piece)? > 0 {
        black_box(&piece);
    }
    Ok(())
}

fn ranges(object: Vec<u8>, len: usize) -> Result<()> {
    let reader = decryptor()?.range_reader(object)?;
    let mut piece = vec![0; READ];
    for offset in (0..len).step_by(CHUNK) {
        if reader.read_at(&mut piece, offset as u64)? != READ {
            return Err("a range is short".into());
        }
        black_box(&piece);
    }
    Ok(())
}
