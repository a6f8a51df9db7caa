//! Shared by the targets: keys, objects that are sealed once, and edits of their bytes.

mod edits;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock, Mutex};

use sealstone::format::ATTACHED_LEN;
use sealstone::{ChunkSize, DataKey, Decryptor, Encryptor, Executor, Header, NewObject, RawKey, hazmat};
use sha2::{Digest, Sha256};

pub use self::edits::{Altered, Edit, Grid};

/// Keys 0 to 3.
pub fn key(number: u8) -> Arc<RawKey> {
    static KEYS: LazyLock<[Arc<RawKey>; 4]> =
        LazyLock::new(|| [1, 2, 3, 4].map(|byte| Arc::new(RawKey::from_slice(&[byte; 32]).expect("32 bytes"))));
    KEYS[usize::from(number % 4)].clone()
}

pub fn decryptor() -> Decryptor {
    Decryptor::new(key(0))
}

/// The caller's thread, or two others.
pub fn executor(pool: bool) -> Executor {
    static POOL: LazyLock<Executor> = LazyLock::new(|| Executor::threads(2).expect("two threads start"));
    if pool { POOL.clone() } else { Executor::serial() }
}

/// `len` bytes, starting at `start`, without a period that chunks could share.
pub fn plaintext(start: usize, len: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..0x5_0000).flat_map(|_| next()).collect()
    });
    &BYTES[start..start + len]
}

/// An object under a fixed data key and salt.
pub struct Object {
    pub plaintext: &'static [u8],
    pub header: Header,
    /// Header and payload.
    pub attached: Vec<u8>,
}

impl Object {
    /// Objects of the same length with different `number`s differ in everything.
    fn new(number: u8, size: ChunkSize, len: usize) -> Self {
        let encryptor = Encryptor::new(key(0)).with_chunk_size(size);
        let data_key = DataKey::from_slice(&[number + 1; 32]).expect("32 bytes");
        let new: NewObject = hazmat::begin(&encryptor, &data_key, [number; 24]).expect("sealing begins");
        let (header, plaintext) = (new.header().clone(), plaintext(usize::from(number), len));
        let object_len = encryptor.object_len(len as u64).expect("it is short");
        let mut attached = vec![0; usize::try_from(object_len).expect("it is short")];
        new.seal_into(plaintext, &mut attached).expect("it is sealed");
        Self {
            plaintext,
            header,
            attached,
        }
    }

    /// Sealed at the first request.
    pub fn cached(number: u8, size: ChunkSize, len: usize) -> &'static Self {
        type Cache = HashMap<(u8, ChunkSize, usize), &'static Object>;
        static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
        let mut cache = CACHE.lock().expect("nothing panics in it");
        let make = || &*Box::leak(Box::new(Self::new(number, size, len)));
        cache.entry((number, size, len)).or_insert_with(make)
    }

    pub fn payload(&self) -> &[u8] {
        &self.attached[ATTACHED_LEN..]
    }
}

/// Appends the checksum to the content of a header.
pub fn with_checksum(content: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(content);
    [content, &digest].concat()
}

/// A source that returns at most `piece` bytes at a time.
pub struct Pieces<'a> {
    pub bytes: &'a [u8],
    pub piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.piece);
        self.bytes.read(&mut buf[..len])
    }
}
