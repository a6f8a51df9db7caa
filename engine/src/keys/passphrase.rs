//! A key derived from a passphrase with Argon2id (RFC 9106).
//!
//! ```text
//! key id = "argon2id,m=" KiB ",t=" passes ",p=" lanes ",salt=" 32 hex digits
//! ```
//!
//! The key id encodes how the key is derived, in exactly one spelling: numbers are decimal without leading zeros.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

use super::{BoxFuture, KeyMatch, KeyProvider, wrap};
use crate::context::EncryptionContext;
use crate::data_key::DataKey;
use crate::error::{ProviderError, ProviderErrorClass};
use crate::header::WrappedKey;
use crate::hex;
use crate::registry;
use crate::secret::{Secret, random_array};
use crate::suite::KEY_LEN;

/// Bytes of the salt.
const SALT_LEN: usize = 16;
/// The cost of new slots: the second recommendation of RFC 9106.
const WRITTEN: Cost = Cost {
    memory_kib: 65_536,
    passes: 3,
    lanes: 4,
};

/// Limits on the Argon2id cost that an object may demand when it is opened with a passphrase. The cost comes from the
/// header, which is not authenticated at that point.
///
/// Too high a cost stalls the reader. Sealstone never writes a cost that is too low, so such an object may be an
/// attempt to find the passphrase: its author can test guesses at that low cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Limits {
    /// The largest memory, in KiB.
    pub memory_kib: u32,
    /// The largest number of passes over it.
    pub passes: u32,
    /// The largest number of lanes.
    pub lanes: u32,
    /// The smallest memory, in KiB.
    pub least_memory_kib: u32,
    /// The smallest number of passes over it.
    pub least_passes: u32,
}

/// At most 256 MiB, 10 passes and 16 lanes; at least 19 MiB and 2 passes, the least that OWASP recommends.
impl Default for Argon2Limits {
    fn default() -> Self {
        Self {
            memory_kib: 262_144,
            passes: 10,
            lanes: 16,
            least_memory_kib: 19_456,
            least_passes: 2,
        }
    }
}

/// A passphrase. Wiped when dropped, never printed.
///
/// Wrapping and unwrapping each run Argon2id, which takes 64 MiB and a large fraction of a second on the thread that
/// polls the future.
///
/// Programs that report failures to untrusted parties must use a [`Decryptor`](crate::Decryptor), not
/// [`KeyProvider::unwrap_key`] directly: a slot can be crafted to unwrap under many passphrases, and learning whether
/// it did reveals whether the passphrase is one of them. A `Decryptor` returns the same error for a slot that does not
/// unwrap and for one with another payload's key.
pub struct Passphrase {
    passphrase: Zeroizing<String>,
    limits: Argon2Limits,
    written: Cost,
}

impl Passphrase {
    /// The provider id of passphrases.
    pub const ID: &'static str = registry::PASSPHRASE;

    /// Creates a provider from a passphrase, which is used as is: neither trimmed nor normalized.
    ///
    /// # Errors
    /// Class `Configuration` if `passphrase` is empty.
    pub fn new(passphrase: String) -> Result<Self, ProviderError> {
        let passphrase = Zeroizing::new(passphrase);
        if passphrase.is_empty() {
            return Err(failed(
                ProviderErrorClass::Configuration,
                "an empty passphrase protects nothing",
            ));
        }
        Ok(Self {
            passphrase,
            limits: Argon2Limits::default(),
            written: WRITTEN,
        })
    }

    /// Sets the limits on the work that an object may demand.
    #[must_use]
    pub const fn with_limits(mut self, limits: Argon2Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A passphrase whose new slots cost almost nothing, for tests.
    #[cfg(test)]
    pub(crate) fn cheap(passphrase: &str) -> Self {
        let written = Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        Self {
            written,
            limits: NO_FLOOR,
            ..Self::new(passphrase.to_owned()).unwrap()
        }
    }

    fn check_limits(&self, cost: Cost) -> Result<(), ProviderError> {
        let Argon2Limits {
            memory_kib,
            passes,
            lanes,
            least_memory_kib,
            least_passes,
        } = self.limits;
        let message = if cost.memory_kib > memory_kib || cost.passes > passes || cost.lanes > lanes {
            let limits = Cost {
                memory_kib,
                passes,
                lanes,
            };
            format!("the object demands Argon2id with {cost}, over the limit of {limits}; raise it to open the object")
        } else if cost.memory_kib < least_memory_kib || cost.passes < least_passes {
            format!(
                "the object demands Argon2id with {cost}, less than {least_memory_kib} KiB and {least_passes} passes: \
                 it may be an attempt to find the passphrase; lower the limit only if you know who made the object"
            )
        } else {
            return Ok(());
        };
        Err(failed(ProviderErrorClass::Configuration, message))
    }

    fn wrap_now(&self, data_key: &DataKey, context: &EncryptionContext) -> Result<WrappedKey, ProviderError> {
        let salt = random_array().map_err(|error| wrap::random_failed(Self::ID, error))?;
        let recipe = Recipe {
            cost: self.written,
            salt,
        };
        let key = recipe.derive(&self.passphrase)?;
        wrap::wrap_data_key(&key, Self::ID, &recipe.to_string(), context, data_key)
    }

    fn unwrap_now(&self, wrapped: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderError> {
        let recipe =
            Recipe::parse(&wrapped.key_id).ok_or_else(|| failed(ProviderErrorClass::BadCiphertext, MALFORMED))?;
        self.check_limits(recipe.cost)?;
        let key = recipe.derive(&self.passphrase)?;
        wrap::unwrap_data_key(&key, wrapped, context, WRONG)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl KeyProvider for Passphrase {
    fn id(&self) -> &str {
        Self::ID
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        match Recipe::parse(&slot.key_id) {
            Some(_) => KeyMatch::Guessable(WRONG.to_owned()),
            None => KeyMatch::No(Some(MALFORMED.to_owned())),
        }
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move { self.wrap_now(data_key, context) })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move { self.unwrap_now(wrapped, context) })
    }
}

const WRONG: &str = "wrong passphrase (or a supplied context value that differs)";
const MALFORMED: &str = "the passphrase slot's key id is malformed";

/// No lower limits, so that tests can use cheap slots.
#[cfg(test)]
const NO_FLOOR: Argon2Limits = Argon2Limits {
    memory_kib: 262_144,
    passes: 10,
    lanes: 16,
    least_memory_kib: 0,
    least_passes: 0,
};

/// The cost of one run of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} KiB, {} passes and {} lanes",
            self.memory_kib, self.passes, self.lanes
        )
    }
}

/// How a key is derived from the passphrase, as the key id encodes it.
#[derive(Debug, PartialEq, Eq)]
struct Recipe {
    cost: Cost,
    salt: [u8; SALT_LEN],
}

impl Recipe {
    /// Parses a key id; `None` unless formatting the result returns the same text and Argon2 accepts the numbers.
    fn parse(key_id: &str) -> Option<Self> {
        let (memory_kib, rest) = key_id.strip_prefix("argon2id,m=")?.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, salt_hex) = rest.split_once(",salt=")?;
        let mut salt = [0; SALT_LEN];
        let decoded = hex::decode_into(salt_hex.as_bytes(), &mut salt);
        let cost = Cost {
            memory_kib: memory_kib.parse().ok()?,
            passes: passes.parse().ok()?,
            lanes: lanes.parse().ok()?,
        };
        let recipe = Self { cost, salt };
        (decoded && recipe.to_string() == key_id && recipe.params().is_ok()).then_some(recipe)
    }

    const fn params(&self) -> argon2::Result<Params> {
        Params::new(self.cost.memory_kib, self.cost.passes, self.cost.lanes, Some(KEY_LEN))
    }

    fn derive(&self, passphrase: &str) -> Result<Secret<KEY_LEN>, ProviderError> {
        let unusable = |error: argon2::Error| {
            failed(
                ProviderErrorClass::Configuration,
                format!("Argon2id cannot run: {error}"),
            )
        };
        let params = self.params().map_err(unusable)?;
        let mut memory = blocks(params.block_count())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hashed = Ok(());
        let key = Secret::init_with(|key| {
            hashed =
                argon2.hash_password_into_with_memory(passphrase.as_bytes(), &self.salt, key, memory.as_mut_slice());
        });
        hashed.map_err(unusable).map(|()| key)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost {
            memory_kib,
            passes,
            lanes,
        } = self.cost;
        let salt = hex::encode(&self.salt);
        write!(f, "argon2id,m={memory_kib},t={passes},p={lanes},salt={salt}")
    }
}

/// Argon2's memory. Allocated here because Argon2 does not wipe its own, and the key can be computed from it.
fn blocks(count: usize) -> Result<Zeroizing<Vec<Block>>, ProviderError> {
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|error| {
        failed(
            ProviderErrorClass::Unavailable,
            "there is not enough memory for Argon2id",
        )
        .with_source(error)
    })?;
    blocks.resize(count, Block::new());
    Ok(Zeroizing::new(blocks))
}

fn failed(class: ProviderErrorClass, message: impl Into<String>) -> ProviderError {
    ProviderError::new(class, Passphrase::ID, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Conformance;

    const SALT: &str = "000102030405060708090a0b0c0d0e0f";

    fn unwrap_error(passphrase: &Passphrase, wrapped: &WrappedKey) -> ProviderError {
        pollster::block_on(passphrase.unwrap_key(wrapped, &EncryptionContext::new())).unwrap_err()
    }

    #[test]
    fn a_passphrase_conforms() {
        let [passphrase, other, twin] = ["correct horse", "wrong horse", "correct horse"].map(Passphrase::cheap);
        Conformance::new(&passphrase, &other).with_twin(&twin).assert();
    }

    #[test]
    fn new_slots_say_the_written_cost_and_a_salt_of_their_own() {
        let passphrase = Passphrase::new("correct horse".to_owned()).unwrap();
        let context = EncryptionContext::new();
        let wrapped = pollster::block_on(passphrase.generate_key(&context)).unwrap().wrapped;
        let salt = wrapped.key_id.strip_prefix("argon2id,m=65536,t=3,p=4,salt=").unwrap();
        assert!(hex::is_lower(salt, 32));
        let other = pollster::block_on(passphrase.rewrap_key(&wrapped, &context, &context)).unwrap();
        assert_ne!(wrapped.key_id, other.key_id);
    }

    /// OpenSSL computed the expected key.
    #[test]
    fn keys_are_those_of_another_implementation() {
        let recipe = Recipe::parse(&format!("argon2id,m=64,t=3,p=4,salt={SALT}")).unwrap();
        let key = recipe.derive("correct horse").unwrap();
        let expected = "9bd6201406d26eb54e97961ba73c80c0a6fd3571471dda9b048f09a058c13e9e";
        assert_eq!(hex::encode(key.expose()), expected);
    }

    #[test]
    fn the_key_depends_on_each_part_of_the_recipe() {
        let derive = |text: &str, passphrase: &str| {
            let recipe = Recipe::parse(&format!("argon2id,{text}")).unwrap();
            *recipe.derive(passphrase).unwrap().expose()
        };
        let mut keys = vec![derive(&format!("m=16,t=1,p=1,salt={SALT}"), "x")];
        keys.push(derive(&format!("m=17,t=1,p=1,salt={SALT}"), "x"));
        keys.push(derive(&format!("m=16,t=2,p=1,salt={SALT}"), "x"));
        keys.push(derive(&format!("m=16,t=1,p=2,salt={SALT}"), "x"));
        keys.push(derive(&format!("m=16,t=1,p=1,salt={}", SALT.replace("0f", "0e")), "x"));
        keys.push(derive(&format!("m=16,t=1,p=1,salt={SALT}"), "X"));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn a_wrong_passphrase_is_called_one() {
        let wrapped = pollster::block_on(Passphrase::cheap("right").generate_key(&EncryptionContext::new()));
        let error = unwrap_error(&Passphrase::cheap("wrong"), &wrapped.unwrap().wrapped);
        assert_eq!(error.class, ProviderErrorClass::BadCiphertext);
        assert_eq!(
            error.message,
            "wrong passphrase (or a supplied context value that differs)"
        );
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let error = Passphrase::new(String::new()).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Configuration);
    }

    #[test]
    fn key_ids_have_one_spelling() {
        let good = format!("argon2id,m=65536,t=3,p=4,salt={SALT}");
        assert_eq!(Recipe::parse(&good).unwrap().to_string(), good);
        let passphrase = Passphrase::cheap("x");
        assert_eq!(
            passphrase.matches(&WrappedKey::new(Passphrase::ID, &good, [])),
            KeyMatch::Guessable(WRONG.to_owned())
        );
        for bad in [
            String::new(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=65536", "m=065536"),
            good.replace("m=65536", "m=+65536"),
            good.replace("m=65536", "m=-1"),
            good.replace("m=65536", "m=4294967296"),
            good.replace("m=65536", "m=31"),
            good.replace("t=3", "t=0"),
            good.replace("p=4", "p=0"),
            good.replace("p=4", "p=99999999"),
            good.replace("t=3,p=4", "p=4,t=3"),
            good.replace(SALT, &SALT.to_uppercase()),
            good.replace(SALT, &SALT[2..]),
            format!("{good},"),
            format!(" {good}"),
        ] {
            let slot = WrappedKey::new(Passphrase::ID, &bad, []);
            assert!(matches!(passphrase.matches(&slot), KeyMatch::No(Some(_))), "{bad}");
            assert_eq!(
                unwrap_error(&passphrase, &slot).class,
                ProviderErrorClass::BadCiphertext
            );
        }
    }

    /// The first cost would take 4 TiB: the test would not finish if anything were allocated or run.
    #[test]
    fn cost_over_the_limits_is_refused_before_any_work() {
        let passphrase = Passphrase::cheap("x");
        for cost in [
            "m=4294967295,t=1,p=1",
            "m=262145,t=1,p=1",
            "m=8,t=11,p=1",
            "m=136,t=1,p=17",
        ] {
            let slot = WrappedKey::new(Passphrase::ID, format!("argon2id,{cost},salt={SALT}"), []);
            let error = unwrap_error(&passphrase, &slot);
            assert_eq!(error.class, ProviderErrorClass::Configuration, "{cost}");
            assert!(error.message.contains("raise it"), "{error}");
        }
    }

    #[test]
    fn cost_below_the_floor_is_refused_before_any_work() {
        let passphrase = Passphrase::new("x".to_owned()).unwrap();
        let class = |passphrase: &Passphrase, cost: &str| {
            let slot = WrappedKey::new(Passphrase::ID, format!("argon2id,{cost},salt={SALT}"), [0; 72]);
            let error = unwrap_error(passphrase, &slot);
            let is_floor = error.message.contains("lower the limit only if");
            assert_eq!(error.class == ProviderErrorClass::Configuration, is_floor, "{error}");
            error.class
        };
        for below in ["m=19455,t=2,p=1", "m=19456,t=1,p=1", "m=262144,t=1,p=1", "m=8,t=10,p=1"] {
            assert_eq!(class(&passphrase, below), ProviderErrorClass::Configuration, "{below}");
        }
        assert_eq!(class(&passphrase, "m=19456,t=2,p=1"), ProviderErrorClass::BadCiphertext);
        let lowered = passphrase.with_limits(Argon2Limits {
            least_memory_kib: 8,
            least_passes: 1,
            ..Argon2Limits::default()
        });
        assert_eq!(class(&lowered, "m=8,t=1,p=1"), ProviderErrorClass::BadCiphertext);
    }

    #[test]
    fn raised_limits_allow_more() {
        let passphrase = Passphrase::cheap("x");
        let slot = WrappedKey::new(Passphrase::ID, format!("argon2id,m=8,t=11,p=1,salt={SALT}"), [0; 72]);
        assert_eq!(
            unwrap_error(&passphrase, &slot).class,
            ProviderErrorClass::Configuration
        );
        let raised = passphrase.with_limits(Argon2Limits { passes: 11, ..NO_FLOOR });
        assert_eq!(unwrap_error(&raised, &slot).class, ProviderErrorClass::BadCiphertext);
    }

    #[test]
    fn debug_shows_nothing_of_the_passphrase() {
        let text = format!("{:?}", Passphrase::cheap("correct horse"));
        assert!(!text.contains("horse") && text.contains("limits"), "{text}");
    }
}
