//! The bytes of an intermediate key's slot.
//!
//! ```text
//! provider    = "intermediate"
//! key id      = inner provider ":" inner key id
//! wrapped key = count[1] | { len[2] context key } ...       the scope: ascending, distinct, not empty
//!             | len[2] intermediate key, as the inner provider wrapped it
//!             | nonce[24] | ciphertext[32] | tag[16]        the data key, wrapped by the intermediate key
//! AAD         = "sealstone/intermediate@v1" | len[2] provider | len[2] key id
//!             | the wrapped key's bytes before the nonce | canonical context
//! ```

use super::ID;
use crate::cipher::xaes::OVERHEAD;
use crate::context::{EncryptionContext, RESERVED_KEY};
use crate::error::{Error, Result};
use crate::header::WrappedKey;
use crate::suite::KEY_LEN;
use crate::wire::{MAX_FIELD_LEN, WireReader, put_prefixed};

/// Bytes of a data key wrapped by an intermediate key.
const LOCAL_LEN: usize = OVERHEAD + KEY_LEN;

/// The pair in every intermediate key's own context. It marks the key in a key service's policies and logs as not being
/// a data key. No object's context can have this pair, so no object can have an intermediate key unwrapped as its own.
const OWN_PAIR: (&str, &str) = (RESERVED_KEY, "intermediate@v1");

/// Which pairs of an object's context an intermediate key is bound to: their keys, ascending and distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope(Vec<String>);

impl Scope {
    /// `None` if a slot cannot hold it: over 255 keys, an empty one, one of 64 KiB or more, or the reserved one.
    pub(super) fn new(mut keys: Vec<String>) -> Option<Self> {
        keys.sort_unstable();
        keys.dedup();
        (keys.len() <= u8::MAX.into() && keys.iter().all(|key| is_scope_key(key))).then_some(Self(keys))
    }

    /// A scope to compare slots with. It has no limits: a key that no slot can hold matches no slot.
    pub(super) const fn required(keys: Vec<String>) -> Self {
        Self(keys)
    }

    /// The first key of `required` that this scope lacks.
    pub(super) fn lacks<'a>(&self, required: &'a Self) -> Option<&'a str> {
        let missing = required.0.iter().find(|key| !self.0.contains(key));
        missing.map(String::as_str)
    }

    /// The intermediate key's own context, or the key of the pair that the object's context lacks.
    pub(super) fn own_context<'a>(&'a self, context: &EncryptionContext) -> Result<EncryptionContext, &'a str> {
        let (key, value) = OWN_PAIR;
        let mut own = EncryptionContext::new().with(key, value);
        for key in &self.0 {
            own = own.with(key, context.value(key).ok_or(key.as_str())?);
        }
        Ok(own)
    }
}

fn is_scope_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= MAX_FIELD_LEN && key != OWN_PAIR.0
}

/// A parsed slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot<'a> {
    pub(super) scope: Scope,
    /// The intermediate key, wrapped by the inner provider.
    pub(super) inner: WrappedKey,
    /// The wrapped key's bytes before the local wrap.
    pub(super) head: &'a [u8],
    /// The data key, wrapped by the intermediate key.
    pub(super) local: &'a [u8],
}

impl<'a> Slot<'a> {
    /// # Errors
    /// [`Error::HeaderDamaged`] for slots that encoding never writes.
    pub(super) fn parse(slot: &'a WrappedKey) -> Result<Self> {
        let mut reader = WireReader::new(&slot.ciphertext);
        let names = slot
            .key_id
            .split_once(':')
            .filter(|_| slot.key_id.len() <= MAX_FIELD_LEN);
        let (provider, key_id) = names.ok_or_else(|| reader.damaged("a key id that names no provider's key"))?;
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..reader.u8()? {
            let key = reader.prefixed_str()?;
            if !is_scope_key(key) || keys.last().is_some_and(|last| last.as_str() >= key) {
                return Err(reader.damaged("context keys that are not sorted, distinct and usable"));
            }
            keys.push(key.to_owned());
        }
        let inner = WrappedKey::new(provider, key_id, reader.prefixed()?);
        let local = reader.rest();
        if local.len() != LOCAL_LEN {
            return Err(reader.damaged("a wrap of another length"));
        }
        let head = &slot.ciphertext[..slot.ciphertext.len() - LOCAL_LEN];
        Ok(Self {
            scope: Scope(keys),
            inner,
            head,
            local,
        })
    }
}

/// The slot's key id.
pub(super) fn key_id(inner: &WrappedKey) -> String {
    inner.name()
}

/// The wrapped key's bytes before the local wrap.
///
/// # Errors
/// [`Error::HeaderTooLarge`] if the inner provider's wrap is of 64 KiB or more.
pub(super) fn head(scope: &Scope, inner: &WrappedKey) -> Result<Vec<u8>> {
    let count = u8::try_from(scope.0.len()).map_err(|_| Error::HeaderTooLarge {
        need: scope.0.len(),
        limit: u8::MAX.into(),
    })?;
    let mut head = vec![count];
    for key in &scope.0 {
        put_prefixed(&mut head, key.as_bytes())?;
    }
    put_prefixed(&mut head, &inner.ciphertext)?;
    head.reserve_exact(LOCAL_LEN);
    Ok(head)
}

/// The associated data of the local wrap: the slot's names, all of its other bytes, and the object's whole context.
///
/// # Errors
/// [`Error::HeaderTooLarge`] for names of 64 KiB or more; [`Error::InvalidContext`].
pub(super) fn aad(provider: &str, key_id: &str, head: &[u8], context: &EncryptionContext) -> Result<Vec<u8>> {
    let mut aad = b"sealstone/intermediate@v1".to_vec();
    put_prefixed(&mut aad, provider.as_bytes())?;
    put_prefixed(&mut aad, key_id.as_bytes())?;
    aad.extend_from_slice(head);
    aad.extend_from_slice(&context.canonical_bytes()?);
    Ok(aad)
}

/// The cache id of an intermediate key for reading: everything that the inner provider receives to unwrap it.
///
/// # Errors
/// As [`aad`].
pub(super) fn reading_id(inner: &WrappedKey, own: &EncryptionContext) -> Result<Vec<u8>> {
    let mut id = Vec::with_capacity(inner.ciphertext.len() + inner.key_id.len() + 128);
    put_prefixed(&mut id, inner.key_id.as_bytes())?;
    put_prefixed(&mut id, &inner.ciphertext)?;
    id.extend_from_slice(&own.canonical_bytes()?);
    Ok(id)
}

/// Joins the parts of a slot.
pub(super) fn join(key_id: &str, mut head: Vec<u8>, local: &[u8]) -> WrappedKey {
    head.extend_from_slice(local);
    WrappedKey::new(ID, key_id, head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(keys: &[&str]) -> Scope {
        Scope::new(keys.iter().copied().map(str::to_owned).collect()).unwrap()
    }

    fn slot() -> WrappedKey {
        let inner = WrappedKey::new("kms", "arn:aws:kms:1", [9; 5]);
        let head = head(&scope(&["bucket", "tenant"]), &inner).unwrap();
        join(&key_id(&inner), head, &[7; LOCAL_LEN])
    }

    #[test]
    fn an_intermediate_slot_has_the_bytes_that_the_format_says() {
        let expected = [
            &b"\x02\x00\x06bucket\x00\x06tenant\x00\x05"[..],
            &[9; 5],
            &[7; LOCAL_LEN],
        ]
        .concat();
        let slot = slot();
        assert_eq!(slot.ciphertext, expected);
        assert_eq!(
            (slot.provider.as_str(), slot.key_id.as_str()),
            ("intermediate", "kms:arn:aws:kms:1")
        );
        let parsed = Slot::parse(&slot).unwrap();
        assert_eq!(parsed.inner, WrappedKey::new("kms", "arn:aws:kms:1", [9; 5]));
        assert_eq!(parsed.scope, scope(&["tenant", "bucket", "tenant"]));
        let aad = aad(ID, "k:i", parsed.head, &EncryptionContext::new()).unwrap();
        let expected = [
            b"sealstone/intermediate@v1\x00\x0cintermediate\x00\x03k:i",
            parsed.head,
            &[0, 0],
        ]
        .concat();
        assert_eq!(aad, expected);
    }

    #[test]
    fn intermediate_slots_that_encoding_never_writes_are_refused() {
        let good = slot();
        for len in 0..good.ciphertext.len() {
            let cut = WrappedKey::new(ID, &good.key_id, &good.ciphertext[..len]);
            assert!(Slot::parse(&cut).is_err(), "{len}");
        }
        let longer = [&good.ciphertext[..], &[0]].concat();
        let body = [&b"\x00\x01i"[..], &[7; LOCAL_LEN]].concat();
        let with_keys = |keys: &[u8]| [keys, &body].concat();
        assert!(Slot::parse(&WrappedKey::new(ID, "kms:", with_keys(&[0]))).is_ok());
        for ciphertext in [
            longer,
            with_keys(b"\x01\x00\x00"),
            with_keys(b"\x02\x00\x01b\x00\x01a"),
            with_keys(b"\x02\x00\x01a\x00\x01a"),
            with_keys(b"\x01\x00\x01\xff"),
            with_keys(b"\x01\x00\x0dsealstone:key"),
        ] {
            assert!(
                Slot::parse(&WrappedKey::new(ID, "kms:1", ciphertext.clone())).is_err(),
                "{ciphertext:?}"
            );
        }
        assert!(Slot::parse(&WrappedKey::new(ID, "kms", good.ciphertext)).is_err());
    }

    #[test]
    fn a_scope_that_no_slot_holds_is_refused() {
        let numbered = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert!(Scope::new(numbered(255)).is_some());
        for keys in [
            numbered(256),
            vec![String::new()],
            vec!["x".repeat(65_536)],
            vec![OWN_PAIR.0.to_owned()],
        ] {
            assert!(Scope::new(keys).is_none());
        }
    }
}
