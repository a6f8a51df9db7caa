//! The encryption context: string pairs that every wrap of the data key is bound to.
//!
//! ```text
//! canonical  count[2] | key len[2] key | value len[2] value | ...    sorted by key; what wraps are bound to
//! stored     count[2] | 0 | key len[2] key | value len[2] value      a pair in the header
//!                     | 1 | key len[2] key                           a pair whose value must be supplied again
//! ```
//!
//! Every string is length-prefixed, so two different contexts never have the same encoding. Key services write the
//! context into their audit logs: put nothing secret into it.
//!
//! The key `sealstone:key` is reserved and no object's context has it: it marks wrapped keys that are not data keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{ContextMismatch, Error, Result};
use crate::wire::{MAX_FIELD_LEN, WireReader, put_prefixed};

/// The largest number of pairs.
pub const MAX_CONTEXT_PAIRS: usize = 256;
pub(crate) const RESERVED_KEY: &str = EncryptionContext::RESERVED_KEY;

/// String pairs that an object's wrapped keys are bound to, chosen when sealing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionContext {
    pairs: BTreeMap<String, String>,
    supplied: BTreeSet<String>,
}

impl EncryptionContext {
    /// The key that marks the contexts of intermediate keys. No object's context can have it, so that an intermediate key
    /// is never unwrapped as a data key.
    pub const RESERVED_KEY: &'static str = "sealstone:key";

    /// A context without pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair that the header stores. A key given twice keeps the later value.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.supplied.remove(&key);
        self.pairs.insert(key, value.into());
        self
    }

    /// Adds a pair whose key the header stores, and whose value must be supplied again to open the object.
    #[must_use]
    pub fn with_supplied(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.supplied.insert(key.clone());
        self.pairs.insert(key, value.into());
        self
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.pairs.get(key).map(String::as_str)
    }

    /// Whether the context has no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The canonical encoding, which wrapped keys are bound to. Providers whose service takes bytes pass it as
    /// associated data.
    ///
    /// # Errors
    /// [`Error::InvalidContext`] for a string of 64 KiB or more, or more than 65,535 pairs, which cannot be encoded.
    pub fn canonical_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        put_count(&mut out, &self.pairs)?;
        for (key, value) in &self.pairs {
            put_string(&mut out, key, key)?;
            put_string(&mut out, key, value)?;
        }
        Ok(out)
    }

    /// Checks that an object can have this context.
    ///
    /// # Errors
    /// [`Error::InvalidContext`] for an empty key, a string of 64 KiB or more, more than 256 pairs, or the reserved key
    /// `sealstone:key`.
    pub fn validate(&self) -> Result<()> {
        if self.pairs.contains_key(RESERVED_KEY) {
            return Err(invalid(RESERVED_KEY, "reserved for intermediate keys: use another key"));
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<()> {
        if let Some((key, _)) = self.iter().nth(MAX_CONTEXT_PAIRS) {
            return Err(invalid(key, "more than 256 pairs"));
        }
        for (key, value) in self.iter() {
            if key.is_empty() {
                return Err(invalid(key, "a key must not be empty"));
            }
            if key.len().max(value.len()) > MAX_FIELD_LEN {
                return Err(invalid(key, TOO_LONG));
            }
        }
        Ok(())
    }

    /// The part of the context that the header stores.
    #[must_use]
    pub fn to_stored(&self) -> StoredContext {
        let pairs = self.pairs.iter().map(|(key, value)| {
            let value = (!self.supplied.contains(key)).then(|| value.clone());
            (key.clone(), value)
        });
        StoredContext { pairs: pairs.collect() }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for EncryptionContext {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .fold(Self::new(), |context, (key, value)| context.with(key, value))
    }
}

/// The context as a header stores it, without the values that must be supplied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredContext {
    pairs: BTreeMap<String, Option<String>>,
}

impl StoredContext {
    /// The pairs, sorted by key; `None` where the value must be supplied.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Whether the context has no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// # Errors
    /// As [`EncryptionContext::canonical_bytes`].
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        put_count(out, &self.pairs)?;
        for (key, value) in &self.pairs {
            out.push(u8::from(value.is_none()));
            put_string(out, key, key)?;
            if let Some(value) = value {
                put_string(out, key, value)?;
            }
        }
        Ok(())
    }

    pub(crate) fn parse(reader: &mut WireReader<'_>) -> Result<Self> {
        let count = usize::from(reader.u16()?);
        if count > MAX_CONTEXT_PAIRS {
            return Err(reader.damaged("too many context pairs"));
        }
        let mut pairs = BTreeMap::new();
        for _ in 0..count {
            let kind = reader.u8()?;
            let key = reader.prefixed_str()?;
            let value = match kind {
                0 => Some(reader.prefixed_str()?.to_owned()),
                1 => None,
                _ => return Err(reader.damaged("a context pair of unknown kind")),
            };
            if key.is_empty() {
                return Err(reader.damaged("an empty context key"));
            }
            if key == RESERVED_KEY {
                return Err(reader.damaged("the reserved context key sealstone:key"));
            }
            if pairs
                .last_key_value()
                .is_some_and(|(last, _): (&String, _)| last.as_str() >= key)
            {
                return Err(reader.damaged("context keys that are not sorted and distinct"));
            }
            pairs.insert(key.to_owned(), value);
        }
        Ok(Self { pairs })
    }
}

/// What the caller expects of an object's encryption context when opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedContext {
    /// The object has these pairs and no others.
    Exact(EncryptionContext),
    /// The object has these pairs, and possibly other stored ones.
    Contains(EncryptionContext),
    /// Any stored context. The keys are still bound to it, but nothing shows that the object is the one the caller
    /// means.
    AcceptStored,
}

/// Exactly no pairs.
impl Default for ExpectedContext {
    fn default() -> Self {
        Self::Exact(EncryptionContext::new())
    }
}

impl ExpectedContext {
    /// Compares with what a header stores and returns the whole context, supplied values included.
    ///
    /// # Errors
    /// [`Error::ContextMismatch`] naming the keys that differ; [`Error::InvalidContext`] for pairs that no object can
    /// have.
    pub fn resolve(&self, stored: &StoredContext) -> Result<EncryptionContext> {
        let none = EncryptionContext::new();
        let (given, may_omit) = match self {
            Self::Exact(given) => (given, false),
            Self::Contains(given) => (given, true),
            Self::AcceptStored => (&none, true),
        };
        given.validate()?;
        let mut mismatch = ContextMismatch::default();
        let mut whole = EncryptionContext::new();
        for (key, stored_value) in stored.iter() {
            match (stored_value, given.value(key)) {
                (Some(stored_value), Some(given_value)) if stored_value != given_value => {
                    mismatch.different.push(key.to_owned());
                }
                (Some(value), Some(_)) => whole = whole.with(key, value),
                (Some(value), None) if may_omit => whole = whole.with(key, value),
                (None, Some(value)) => whole = whole.with_supplied(key, value),
                (_, None) => mismatch.missing.push(key.to_owned()),
            }
        }
        for (key, _) in given.iter() {
            if !stored.pairs.contains_key(key) {
                mismatch.unexpected.push(key.to_owned());
            }
        }
        if mismatch == ContextMismatch::default() {
            Ok(whole)
        } else {
            Err(Error::ContextMismatch(mismatch))
        }
    }
}

fn invalid(key: &str, reason: &'static str) -> Error {
    Error::InvalidContext {
        key: key.chars().take(64).collect(),
        reason,
    }
}

const TOO_LONG: &str = "longer than 65,535 bytes";

fn put_count<V>(out: &mut Vec<u8>, pairs: &BTreeMap<String, V>) -> Result<()> {
    let last = pairs.last_key_value().map_or("", |(key, _)| key);
    let count = u16::try_from(pairs.len()).map_err(|_| invalid(last, "more than 65,535 pairs"))?;
    out.extend_from_slice(&count.to_be_bytes());
    Ok(())
}

/// Appends a string of the pair `key`.
fn put_string(out: &mut Vec<u8>, key: &str, string: &str) -> Result<()> {
    put_prefixed(out, string.as_bytes()).map_err(|_| invalid(key, TOO_LONG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mismatch(expected: &ExpectedContext, object: &EncryptionContext) -> ContextMismatch {
        match expected.resolve(&object.to_stored()) {
            Err(Error::ContextMismatch(mismatch)) => mismatch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pairs_that_concatenate_alike_encode_differently() {
        let left = EncryptionContext::new().with("a", "bc");
        let right = EncryptionContext::new().with("ab", "c");
        assert_ne!(left.canonical_bytes().unwrap(), right.canonical_bytes().unwrap());
    }

    #[test]
    fn exact_names_each_differing_key() {
        let object = EncryptionContext::new().with("a", "1").with("b", "2").with("c", "3");
        let given = EncryptionContext::new().with("b", "x").with("c", "3").with("d", "4");
        let found = mismatch(&ExpectedContext::Exact(given), &object);
        assert_eq!(found.missing, ["a"]);
        assert_eq!(found.different, ["b"]);
        assert_eq!(found.unexpected, ["d"]);
        let text = Error::ContextMismatch(found).to_string();
        assert_eq!(
            text,
            "the encryption context does not match: missing a; unexpected d; different value for b"
        );
    }

    #[test]
    fn contains_takes_the_other_stored_pairs_from_the_header() {
        let object = EncryptionContext::new().with("a", "1").with("b", "2");
        let rule = ExpectedContext::Contains(EncryptionContext::new().with("b", "2"));
        assert_eq!(rule.resolve(&object.to_stored()).unwrap(), object);
        let rule = ExpectedContext::Contains(EncryptionContext::new().with("z", "2"));
        assert_eq!(mismatch(&rule, &object).unexpected, ["z"]);
    }

    #[test]
    fn a_supplied_value_is_not_stored_and_must_be_given() {
        let object = EncryptionContext::new()
            .with("a", "1")
            .with_supplied("path", "/secret/place");
        let mut encoded = Vec::new();
        object.to_stored().encode(&mut encoded).unwrap();
        assert!(!encoded.windows(13).any(|window| window == b"/secret/place"));
        assert_eq!(mismatch(&ExpectedContext::AcceptStored, &object).missing, ["path"]);
        let rule = ExpectedContext::Contains(EncryptionContext::new().with("path", "/secret/place"));
        let whole = rule.resolve(&object.to_stored()).unwrap();
        assert_eq!(whole.canonical_bytes().unwrap(), object.canonical_bytes().unwrap());
    }

    #[test]
    fn the_default_accepts_only_an_empty_context() {
        let rule = ExpectedContext::default();
        assert!(rule.resolve(&StoredContext::default()).is_ok());
        let object = EncryptionContext::new().with("a", "1");
        assert_eq!(mismatch(&rule, &object).missing, ["a"]);
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        let none = EncryptionContext::new;
        let many = |count: usize| (0..count).map(|i| (format!("{i}"), "")).collect::<EncryptionContext>();
        for context in [
            none().with("", "x"),
            none().with("k", "x".repeat(65_536)),
            none().with_supplied("k", "x".repeat(65_536)),
            none().with("x".repeat(65_536), ""),
            many(257),
            many(65_536),
        ] {
            assert!(matches!(context.validate(), Err(Error::InvalidContext { .. })));
            let encodable = context.value("").is_some() || context.iter().count() == 257;
            assert_eq!(context.canonical_bytes().is_ok(), encodable);
            // Refused even if the stored context has exactly the same pairs.
            for rule in [
                ExpectedContext::Exact(context.clone()),
                ExpectedContext::Contains(context.clone()),
            ] {
                let resolved = rule.resolve(&context.to_stored());
                assert!(matches!(resolved, Err(Error::InvalidContext { .. })));
            }
        }
        let longest = none().with("k", "x".repeat(65_535));
        assert_eq!(longest.canonical_bytes().unwrap().len(), 2 + 2 + 1 + 2 + 65_535);
        assert!(longest.validate().is_ok() && many(256).validate().is_ok());
    }

    /// The key marks wrapped keys that are not data keys: an object with it could pass one off as the other.
    #[test]
    fn the_reserved_key_is_in_no_objects_context() {
        let reserved = EncryptionContext::new().with(RESERVED_KEY, "intermediate@v1");
        for context in [
            reserved.clone(),
            EncryptionContext::new().with_supplied(RESERVED_KEY, ""),
        ] {
            assert!(matches!(context.validate(), Err(Error::InvalidContext { key, .. }) if key == RESERVED_KEY));
            let mut encoded = Vec::new();
            context.to_stored().encode(&mut encoded).unwrap();
            match StoredContext::parse(&mut WireReader::new(&encoded)) {
                Err(Error::HeaderDamaged { reason, .. }) => assert!(reason.contains(RESERVED_KEY), "{reason}"),
                other => panic!("{other:?}"),
            }
            for rule in [
                ExpectedContext::Exact(context.clone()),
                ExpectedContext::Contains(context),
            ] {
                let resolved = rule.resolve(&StoredContext::default());
                assert!(matches!(resolved, Err(Error::InvalidContext { .. })), "{resolved:?}");
            }
        }
        // Intermediate keys are bound to it, so it must encode. Other keys with the prefix are allowed.
        assert!(reserved.canonical_bytes().is_ok());
        assert!(EncryptionContext::new().with("sealstone:keys", "").validate().is_ok());
    }

    #[test]
    fn parsing_refuses_what_encoding_never_writes() {
        for (bytes, reason) in [
            (&[0, 1, 2, 0, 1, b'a', 0, 0][..], "unknown kind"),
            (&[0, 1, 0, 0, 0, 0, 0], "empty context key"),
            (&[0, 2, 1, 0, 1, b'b', 1, 0, 1, b'a'], "not sorted"),
            (&[0, 2, 1, 0, 1, b'a', 1, 0, 1, b'a'], "not sorted"),
            (&[0, 1, 1, 0, 1, 0xFF], "not UTF-8"),
            (b"\0\x01\x01\0\x0dsealstone:key", "reserved"),
            (&[0xFF, 0xFF], "too many"),
            (&[0, 1, 1, 0xFF, 0xFF, b'a'], "past the end"),
        ] {
            match StoredContext::parse(&mut WireReader::new(bytes)) {
                Err(Error::HeaderDamaged { reason: found, .. }) => assert!(found.contains(reason), "{found}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
    }

    fn contexts() -> impl Strategy<Value = EncryptionContext> {
        let pair = ("[a-c]{1,3}", "[a-c]{0,3}", any::<bool>());
        proptest::collection::vec(pair, 0..4).prop_map(|pairs| {
            pairs
                .into_iter()
                .fold(EncryptionContext::new(), |context, (key, value, stored)| {
                    if stored {
                        context.with(key, value)
                    } else {
                        context.with_supplied(key, value)
                    }
                })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn different_contexts_never_encode_alike(left in contexts(), right in contexts()) {
            let same = left.iter().eq(right.iter());
            prop_assert_eq!(left.canonical_bytes().unwrap() == right.canonical_bytes().unwrap(), same);
        }

        #[test]
        fn stored_encoding_is_canonical(context in contexts()) {
            let stored = context.to_stored();
            let mut encoded = Vec::new();
            stored.encode(&mut encoded).unwrap();
            let mut reader = WireReader::new(&encoded);
            prop_assert_eq!(StoredContext::parse(&mut reader).unwrap(), stored);
            prop_assert!(reader.rest().is_empty());
        }
    }
}
