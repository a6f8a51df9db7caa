//! Valid objects from the oracle, of which each vector breaks one thing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::common::oracle::{self, Core, Header, Slot};
use crate::common::plaintext;
use crate::vector::hex;

pub const C: usize = 16 * 1024;
pub const SEALED: usize = C + 16;
/// Salt and commitment.
pub const PREFIX: usize = 56;
pub const COPY: usize = 4096;
/// Where a header's context begins.
pub const CONTEXT: usize = 76;

pub const KEK: [u8; 32] = [7; 32];
pub const OTHER_KEK: [u8; 32] = [8; 32];
pub const NONCE: [u8; 24] = [4; 24];
pub const PASSPHRASE: &str = "correct horse ß";

/// The parts of an object.
#[derive(Debug, Clone)]
pub struct Object {
    pub core: Core,
    pub data_key: [u8; 32],
    pub salt: [u8; 24],
    pub generation: u64,
    pub plain: Vec<u8>,
    pub pairs: BTreeMap<String, String>,
    /// Keys of the pairs that are not stored.
    pub supplied: Vec<String>,
    /// Instead of the raw key's slot.
    pub slots: Option<Vec<Slot>>,
}

impl Object {
    /// `len` bytes, in chunks of 16 KiB, for the raw key.
    pub fn new(len: usize) -> Self {
        Self {
            core: [1, 14, 0],
            data_key: [1; 32],
            salt: [2; 24],
            generation: 0,
            plain: plaintext(len),
            pairs: BTreeMap::new(),
            supplied: Vec::new(),
            slots: None,
        }
    }

    pub fn with_core(mut self, core: Core) -> Self {
        self.core = core;
        self
    }

    pub fn with_pairs(mut self, list: &[(&str, &str)]) -> Self {
        self.pairs = pairs(list);
        self
    }

    pub fn with_supplied(mut self, key: &str) -> Self {
        self.supplied.push(key.to_owned());
        self
    }

    pub fn with_slots(mut self, slots: impl Into<Vec<Slot>>) -> Self {
        self.slots = Some(slots.into());
        self
    }

    pub fn with_data_key(mut self, byte: u8) -> Self {
        self.data_key = [byte; 32];
        self
    }

    pub fn with_salt(mut self, byte: u8) -> Self {
        self.salt = [byte; 24];
        self
    }

    /// The key that opens it, as a vector names it.
    pub fn key(&self) -> String {
        raw_key(&KEK)
    }

    pub fn canonical(&self) -> Vec<u8> {
        oracle::canonical(&self.pairs)
    }

    /// A slot for a raw key.
    pub fn raw_slot(&self, kek: &[u8; 32]) -> Slot {
        self.slot(kek, "raw", &oracle::raw_key_id(kek))
    }

    pub fn slot(&self, kek: &[u8; 32], provider: &str, key_id: &str) -> Slot {
        oracle::wrap(kek, &NONCE, provider, key_id, &self.canonical(), &self.data_key)
    }

    pub fn passphrase_slot(&self, key_id: &str) -> Slot {
        let kek = oracle::passphrase_kek(key_id, PASSPHRASE).expect("a right key id");
        self.slot(&kek, "passphrase", key_id)
    }

    pub fn payload(&self) -> Vec<u8> {
        oracle::seal_payload(&self.data_key, self.core, &self.salt, &self.plain)
    }

    pub fn header(&self) -> Header {
        let payload = self.payload();
        let stored = self.pairs.iter().map(|(key, value)| {
            let stored = !self.supplied.contains(key);
            (key.clone(), stored.then(|| value.clone()))
        });
        Header {
            version: 1,
            core: self.core,
            generation: self.generation,
            salt: self.salt,
            commitment: payload[24..PREFIX].try_into().expect("32 bytes"),
            context: stored.collect(),
            slots: self.slots.clone().unwrap_or_else(|| vec![self.raw_slot(&KEK)]),
        }
    }

    pub fn attached(&self) -> Vec<u8> {
        [self.header().attached(), self.payload()].concat()
    }

    /// The header's fields, without padding and checksum.
    pub fn fields(&self) -> Vec<u8> {
        let mut fields = self.header().detached();
        fields.truncate(fields.len() - 32);
        fields
    }

    /// The fields up to the context, the context, the slots.
    pub fn field_parts(&self) -> [Vec<u8>; 3] {
        let mut start = self.fields();
        let mut context = start.split_off(CONTEXT);
        let stored = self.header().context;
        let len = stored.iter().map(|(key, value)| {
            let value = value.as_ref().map_or(0, |value| 2 + value.len());
            3 + key.len() + value
        });
        let slots = context.split_off(2 + len.sum::<usize>());
        [start, context, slots]
    }
}

/// Both copies of an attached header with these fields.
pub fn attached_of(fields: &[u8]) -> Vec<u8> {
    copy_of(fields).repeat(2)
}

/// One copy, padded, with its checksum.
pub fn copy_of(fields: &[u8]) -> Vec<u8> {
    let mut copy = fields.to_vec();
    copy.resize(COPY - 32, 0);
    with_checksum(copy)
}

pub fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

pub fn raw_key(kek: &[u8; 32]) -> String {
    format!("raw {}", hex(kek))
}

pub fn pairs(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
    owned.collect()
}

pub fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    [&len.to_be_bytes(), bytes].concat()
}
