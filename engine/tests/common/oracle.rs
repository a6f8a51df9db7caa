//! A second implementation of the format, as a reference for the engine.
//!
//! Written from `FORMAT.md` and the two C2SP specifications that it names, serial and simple throughout. It shares no
//! code with the engine except the RustCrypto primitives. Numbers in brackets are requirements. `None` means refused.

use std::collections::BTreeMap;

use aes::Aes256;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::aead::{AeadInOut, KeyInit};

use aes_gcm::{Aes256Gcm, Tag};
use argon2::Argon2;
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

/// What an object's chunks are sealed under (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentKeys {
    pub key: [u8; 32],
    pub base_nonce: [u8; 12],
    pub commitment: [u8; 32],
}

/// The header's suite, log2 of the chunk size, and flags.
pub type Core = [u8; 3];

pub fn payload_context(core: Core) -> Vec<u8> {
    [b"sealstone/object@v1".as_slice(), &core].concat()
}

/// [P-2]
pub fn derive(data_key: &[u8; 32], core: Core, salt: &[u8; 24], context: &[u8]) -> ContentKeys {
    let prefix = match core {
        [1 | 2, 14, _] => "c2sp.org/chunked-encryption@v1+",
        _ => "sealstone/chunked@v1+",
    };
    let name = match core[0] {
        1 => "AEAD_AES_256_GCM",
        2 => "AEAD_CHACHA20_POLY1305",
        suite => panic!("no suite {suite}"),
    };
    let info = [prefix.as_bytes(), name.as_bytes(), &[0], salt, context].concat();
    // HKDF-Expand: T(1) = HMAC(info | 1), T(2) = HMAC(T(1) | info | 2).
    let first = hmac_sha512(data_key, &[&info, &[1]]);
    let second = hmac_sha512(data_key, &[&first, &info, &[2]]);
    let output = [first, second].concat();
    ContentKeys {
        key: array(&output[..32]),
        base_nonce: array(&output[32..44]),
        commitment: array(&output[44..76]),
    }
}

/// [P-1], [P-5]
pub fn seal_payload(data_key: &[u8; 32], core: Core, salt: &[u8; 24], plaintext: &[u8]) -> Vec<u8> {
    let keys = derive(data_key, core, salt, &payload_context(core));
    [&salt[..], &keys.commitment, &seal_chunks(&keys, core, plaintext)].concat()
}

/// The payload after salt and commitment.
pub fn seal_chunks(keys: &ContentKeys, core: Core, plaintext: &[u8]) -> Vec<u8> {
    let chunk_len = 1 << core[1];
    let mut sealed = Vec::new();
    for index in 0..=plaintext.len() / chunk_len {
        let end = plaintext.len().min((index + 1) * chunk_len);
        let chunk = &plaintext[index * chunk_len..end];
        sealed.extend(seal(core[0], &keys.key, &nonce(keys, index), &[], chunk));
    }
    sealed
}

/// [O-3], [O-6], [O-7], [O-8]
pub fn open_payload(data_key: &[u8; 32], core: Core, payload: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = payload.split_first_chunk::<24>()?;
    let (commitment, mut chunks) = rest.split_first_chunk::<32>()?;
    let keys = derive(data_key, core, salt, &payload_context(core));
    if keys.commitment != *commitment {
        return None;
    }
    let sealed_len = (1 << core[1]) + 16;
    let mut plaintext = Vec::new();
    for index in 0.. {
        let (chunk, rest) = chunks.split_at(chunks.len().min(sealed_len));
        plaintext.extend(open(core[0], &keys.key, &nonce(&keys, index), &[], chunk)?);
        chunks = rest;
        if chunk.len() < sealed_len {
            break;
        }
    }
    Some(plaintext)
}

pub fn nonce(keys: &ContentKeys, index: usize) -> [u8; 12] {
    let mut nonce = keys.base_nonce;
    for (byte, counter) in nonce[4..].iter_mut().zip((index as u64).to_be_bytes()) {
        *byte ^= counter;
    }
    nonce
}

/// The content of a header (section 4). Maps keep the keys of contexts in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub version: u8,
    pub core: Core,
    pub generation: u64,
    pub salt: [u8; 24],
    pub commitment: [u8; 32],
    /// A supplied pair has no value.
    pub context: BTreeMap<String, Option<String>>,
    pub slots: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub provider: String,
    pub key_id: String,
    pub wrapped: Vec<u8>,
}

impl Header {
    /// [H-6]
    pub fn detached(&self) -> Vec<u8> {
        let mut copy = self.fields();
        copy.extend(Sha256::digest(&copy));
        copy
    }

    /// [H-5]
    pub fn attached(&self) -> Vec<u8> {
        let mut copy = self.fields();
        assert!(copy.len() <= 4096 - 32, "the header fits");
        copy.resize(4096 - 32, 0);
        copy.extend(Sha256::digest(&copy));
        copy.repeat(2)
    }

    /// [H-1]
    fn fields(&self) -> Vec<u8> {
        let mut out = b"\x89SST\r\n\x1a\n".to_vec();
        out.push(self.version);
        out.extend(self.core);
        out.extend(self.generation.to_be_bytes());
        out.extend(self.salt);
        out.extend(self.commitment);
        out.extend(count(self.context.len()));
        for (key, value) in &self.context {
            out.push(u8::from(value.is_none()));
            out.extend(string(key.as_bytes()));
            out.extend(value.iter().flat_map(|value| string(value.as_bytes())));
        }
        out.push(u8::try_from(self.slots.len()).expect("at most 16 slots"));
        for slot in &self.slots {
            out.extend(string(slot.provider.as_bytes()));
            out.extend(string(slot.key_id.as_bytes()));
            out.extend(string(&slot.wrapped));
        }
        out
    }

    /// The header of an object whose two copies are equal.
    pub fn parse_attached(header: &[u8]) -> Option<Self> {
        Self::parse_fields(header).filter(|parsed| parsed.attached() == header)
    }

    pub fn parse_detached(header: &[u8]) -> Option<Self> {
        Self::parse_fields(header).filter(|parsed| parsed.detached() == header)
    }

    /// The caller must encode the result again, which checks everything else [H-9].
    fn parse_fields(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let mut header = Self {
            version: bytes.split_off(..9)?[8],
            core: array(bytes.split_off(..3)?),
            generation: u64::from_be_bytes(array(bytes.split_off(..8)?)),
            salt: array(bytes.split_off(..24)?),
            commitment: array(bytes.split_off(..32)?),
            context: BTreeMap::new(),
            slots: Vec::new(),
        };
        for _ in 0..parse_count(bytes)? {
            let supplied = *bytes.split_off_first()? == 1;
            let key = parse_text(bytes)?;
            let value = if supplied { None } else { Some(parse_text(bytes)?) };
            header.context.insert(key, value);
        }
        for _ in 0..*bytes.split_off_first()? {
            header.slots.push(Slot {
                provider: parse_text(bytes)?,
                key_id: parse_text(bytes)?,
                wrapped: parse_string(bytes)?.to_vec(),
            });
        }
        Some(header)
    }
}

/// The context in the form that wraps are bound to (section 5).
pub fn canonical(pairs: &BTreeMap<String, String>) -> Vec<u8> {
    let strings = pairs.iter().flat_map(|(key, value)| [key, value]);
    let strings = strings.flat_map(|text| string(text.as_bytes()));
    count(pairs.len()).into_iter().chain(strings).collect()
}

/// [W-3], [W-4]; the caller draws `nonce`.
pub fn wrap(kek: &[u8; 32], nonce: &[u8; 24], provider: &str, key_id: &str, context: &[u8], data_key: &[u8]) -> Slot {
    Slot {
        provider: provider.to_owned(),
        key_id: key_id.to_owned(),
        wrapped: xaes_seal(kek, nonce, &wrap_aad(provider, key_id, context), data_key),
    }
}

fn xaes_seal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let (key, gcm_nonce) = xaes_derive(key, nonce);
    [&nonce[..], &seal(1, &key, &gcm_nonce, aad, plain)].concat()
}

/// [W-4], [W-5]
pub fn unwrap(kek: &[u8; 32], slot: &Slot, context: &[u8]) -> Option<[u8; 32]> {
    let (nonce, sealed) = slot.wrapped.split_first_chunk::<24>()?;
    let (key, gcm_nonce) = xaes_derive(kek, nonce);
    let aad = wrap_aad(&slot.provider, &slot.key_id, context);
    open(1, &key, &gcm_nonce, &aad, sealed)?.try_into().ok()
}

pub fn wrap_aad(provider: &str, key_id: &str, context: &[u8]) -> Vec<u8> {
    let names = [string(provider.as_bytes()), string(key_id.as_bytes())].concat();
    [b"sealstone/wrap@v1".as_slice(), &names, context].concat()
}

/// [W-11]: a data key under an intermediate key; `head` is the scope and the wrapped intermediate key.
pub fn wrap_intermediate(key: &[u8; 32], key_id: &str, head: &[u8], context: &[u8], data_key: &[u8; 32]) -> Slot {
    let aad = intermediate_aad("intermediate", key_id, head, context);
    Slot {
        provider: "intermediate".to_owned(),
        key_id: key_id.to_owned(),
        wrapped: [head, &xaes_seal(key, &[6; 24], &aad, data_key)].concat(),
    }
}

fn intermediate_aad(provider: &str, key_id: &str, head: &[u8], context: &[u8]) -> Vec<u8> {
    let names = [string(provider.as_bytes()), string(key_id.as_bytes())].concat();
    [b"sealstone/intermediate@v1", &*names, head, context].concat()
}

/// [W-11], [W-12], [W-13], over an inner provider that wraps locally.
pub fn unwrap_intermediate(kek: &[u8; 32], slot: &Slot, pairs: &BTreeMap<String, String>) -> Option<[u8; 32]> {
    let (provider, key_id) = slot.key_id.split_once(':')?;
    let (head, local) = slot.wrapped.split_at_checked(slot.wrapped.len().checked_sub(72)?)?;
    let (&scope_len, mut rest) = head.split_first()?;
    let mut own = BTreeMap::from([("sealstone:key".to_owned(), "intermediate@v1".to_owned())]);
    for _ in 0..scope_len {
        let key = parse_text(&mut rest)?;
        own.insert(key.clone(), pairs.get(&key)?.clone());
    }
    let inner = Slot {
        provider: provider.to_owned(),
        key_id: key_id.to_owned(),
        wrapped: parse_string(&mut rest)?.to_vec(),
    };
    let intermediate = unwrap(kek, &inner, &canonical(&own)).filter(|_| rest.is_empty())?;
    let (nonce, sealed) = local.split_first_chunk::<24>()?;
    let (key, gcm_nonce) = xaes_derive(&intermediate, nonce);
    let aad = intermediate_aad(&slot.provider, &slot.key_id, head, &canonical(pairs));
    open(1, &key, &gcm_nonce, &aad, sealed)?.try_into().ok()
}

/// [W-7]
pub fn raw_key_id(kek: &[u8; 32]) -> String {
    let mac = hmac_sha512(kek, &[b"sealstone/raw-key-id@v1"]);
    mac[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// [W-8], [W-9]
pub fn passphrase_kek(key_id: &str, passphrase: &str) -> Option<[u8; 32]> {
    let costs = key_id.strip_prefix("argon2id,m=")?;
    let (memory, costs) = costs.split_once(",t=")?;
    let (passes, costs) = costs.split_once(",p=")?;
    let (lanes, salt) = costs.split_once(",salt=")?;
    let params = argon2::Params::new(
        memory.parse().ok()?,
        passes.parse().ok()?,
        lanes.parse().ok()?,
        Some(32),
    );
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.ok()?);
    let mut kek = [0; 32];
    argon
        .hash_password_into(passphrase.as_bytes(), &unhex(salt)?, &mut kek)
        .ok()?;
    Some(kek)
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// c2sp.org/XAES-256-GCM: the key is the CMAC of one block for each of its halves; GCM gets the nonce's second half.
pub fn xaes_derive(key: &[u8; 32], nonce: &[u8; 24]) -> ([u8; 32], [u8; 12]) {
    let aes = Aes256::new(key.into());
    let encrypt = |block: u128| {
        let mut block = block.to_be_bytes();
        aes.encrypt_block((&mut block).into());
        block
    };
    let l = u128::from_be_bytes(encrypt(0));
    let k1 = if l >> 127 == 1 { l << 1 ^ 0x87 } else { l << 1 };
    let half = |counter: u8| {
        let message = [&[0, counter, b'X', 0], &nonce[..12]].concat();
        encrypt(u128::from_be_bytes(array(&message)) ^ k1)
    };
    (array(&[half(1), half(2)].concat()), array(&nonce[12..]))
}

pub fn seal(suite: u8, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let buffer = sealed.as_mut_slice().into();
    let tag = match suite {
        1 => Aes256Gcm::new(key.into()).encrypt_inout_detached(nonce.into(), aad, buffer),
        _ => ChaCha20Poly1305::new(key.into()).encrypt_inout_detached(nonce.into(), aad, buffer),
    };
    sealed.extend(tag.expect("a short message"));
    sealed
}

pub fn open(suite: u8, key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, tag) = sealed.split_last_chunk::<16>()?;
    let (mut plain, tag) = (body.to_vec(), Tag::from(*tag));
    let buffer = plain.as_mut_slice().into();
    match suite {
        1 => Aes256Gcm::new(key.into()).decrypt_inout_detached(nonce.into(), aad, buffer, &tag),
        _ => ChaCha20Poly1305::new(key.into()).decrypt_inout_detached(nonce.into(), aad, buffer, &tag),
    }
    .ok()?;
    Some(plain)
}

fn hmac_sha512(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 64] {
    let mut mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn count(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("at most 65,535").to_be_bytes()
}

/// `len[2]` and the bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    [&count(bytes.len()), bytes].concat()
}

fn parse_count(bytes: &mut &[u8]) -> Option<usize> {
    Some(u16::from_be_bytes(array(bytes.split_off(..2)?)).into())
}

fn parse_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = parse_count(bytes)?;
    bytes.split_off(..len)
}

fn parse_text(bytes: &mut &[u8]) -> Option<String> {
    String::from_utf8(parse_string(bytes)?.to_vec()).ok()
}

/// Bytes whose number is known.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("N bytes")
}
