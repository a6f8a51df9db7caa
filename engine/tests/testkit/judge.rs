//! The engine's results for a test object, read in every possible way.

use std::io::Read;
use std::sync::Arc;

use sealstone::error::CompositeError;
use sealstone::keys::{Argon2Limits, IntermediateKeys};
use sealstone::range::RangeReader;
use sealstone::stream::DecryptReader;
use sealstone::{
    Backend, Decryptor, EncryptionContext, Error, Executor, ExpectedContext, Header, KeyProvider, KeyRing, Passphrase,
    RawKey, Unlocked,
};

use crate::common::{oracle, pool};
use crate::vector::{Vector, digest};

/// The words for the results, as `vectors/README.md` explains them.
pub const CLASSES: [&str; 13] = [
    "success",
    "magic",
    "version",
    "header",
    "context",
    "no-key",
    "unwrap",
    "commitment",
    "payload",
    "chunk",
    "truncated",
    "trailing",
    "range",
];

pub fn class(error: &Error) -> &'static str {
    match error {
        Error::Composite(error) => composite_class(error),
        Error::NotSealstone { .. } => "magic",
        Error::UnsupportedVersion { .. } => "version",
        Error::HeaderDamaged { .. } | Error::HeaderTruncated { .. } | Error::HeaderTooLarge { .. } => "header",
        Error::ContextMismatch(_) => "context",
        Error::NoUsableKey { .. } => "no-key",
        Error::Provider(_) => "unwrap",
        Error::CommitmentMismatch { .. } => "commitment",
        Error::HeaderOfAnotherPayload => "payload",
        Error::ChunkAltered { .. } => "chunk",
        Error::Truncated { .. } => "truncated",
        Error::TrailingData { .. } => "trailing",
        Error::RangeOutOfBounds { .. } => "range",
        _ => "of no class",
    }
}

fn composite_class(error: &CompositeError) -> &'static str {
    match error {
        CompositeError::ManifestLength { .. }
        | CompositeError::ManifestAltered
        | CompositeError::InvalidManifest { .. }
        | CompositeError::Duplicate { .. }
        | CompositeError::ComponentCount { .. }
        | CompositeError::ComponentTooShort { .. }
        | CompositeError::NoteTooLong { .. }
        | CompositeError::NoRoomForManifest { .. } => "manifest",
        CompositeError::PayloadLength { .. } | CompositeError::NotPaddedLength { .. } => "length",
        CompositeError::ComponentExchanged { .. } => "component",
        CompositeError::ChunkAltered { .. } => "chunk",
        CompositeError::PaddingAltered { .. } => "padding",
        CompositeError::InvalidReceipt { .. } | CompositeError::ReceiptAltered { .. } => "receipt",
        CompositeError::ReceiptOfAnotherPart { .. } => "label",
        _ => "of no class",
    }
}

/// Where an error says that a composite object is damaged.
fn place(error: &Error) -> Option<String> {
    match error {
        Error::Composite(CompositeError::ComponentExchanged { component, .. }) => {
            Some(format!("component {component}"))
        }
        Error::Composite(CompositeError::ChunkAltered { component, chunk, .. }) => {
            Some(format!("component {component} chunk {chunk}"))
        }
        _ => None,
    }
}

/// What came out, and how it ended.
struct Outcome {
    way: String,
    plain: Vec<u8>,
    end: Result<(), Error>,
    /// Whether all verified bytes must have been returned.
    whole_prefix: bool,
}

/// How the engine's results differ from those that the vector states.
pub fn faults(vector: &Vector) -> Vec<String> {
    outcomes(vector)
        .into_iter()
        .filter_map(|outcome| fault(vector, &outcome).map(|what| format!("{}, {}: {what}", vector.name, outcome.way)))
        .collect()
}

fn fault(vector: &Vector, outcome: &Outcome) -> Option<String> {
    let found = outcome.end.as_ref().map_or_else(class, |()| "success");
    if !vector.expect.iter().any(|class| class == found) {
        return Some(format!("{found}, not {:?}: {:?}", vector.expect, outcome.end));
    }
    let at = outcome.end.as_ref().err().and_then(place);
    if vector.at.is_some() && at != vector.at {
        return Some(format!("at {at:?}, not {:?}", vector.at));
    }
    // Where the rest of the plaintext is known to nobody, at least it is not longer.
    if outcome.plain.len() > vector.plaintext.0 {
        return Some(format!("{} bytes came out", outcome.plain.len()));
    }
    let whole = outcome.whole_prefix || vector.succeeds();
    (whole && digest(&outcome.plain) != vector.plaintext).then(|| "other bytes came out".to_owned())
}

fn outcomes(vector: &Vector) -> Vec<Outcome> {
    let mut all = Vec::new();
    for &backend in Backend::ALL {
        let decryptor = decryptor(vector).with_backend(backend);
        let way = |name: &str| format!("{name} with {backend:?}");
        match &vector.range {
            Some(range) => {
                all.push(ranged(&way("range"), vector, &decryptor, range));
            }
            None if is_composite(vector) => {
                all.extend(at_offsets(&way, vector, &decryptor));
                let parallel = decryptor.clone().with_executor(pool(2));
                all.extend(at_offsets(&|name| way(&format!("{name} of a pool")), vector, &parallel));
                all.extend(in_memory(&way("in memory"), vector, &decryptor));
            }
            None => {
                all.push(streamed(&way("stream"), vector, &decryptor, true));
                let parallel = decryptor.clone().with_executor(pool(2));
                all.push(streamed(&way("stream of a pool"), vector, &parallel, false));
                all.extend(in_memory(&way("in memory"), vector, &decryptor));
            }
        }
    }
    all
}

fn outcome(way: &str, result: Result<Vec<u8>, Error>) -> Outcome {
    let (plain, end) = match result {
        Ok(plain) => (plain, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    Outcome {
        way: way.to_owned(),
        plain,
        end,
        whole_prefix: false,
    }
}

fn reader<'a>(vector: &'a Vector, decryptor: &Decryptor) -> Result<DecryptReader<&'a [u8]>, Error> {
    let body = vector.body.as_slice();
    match &vector.header {
        Some(header) => decryptor.unlock(Header::from_detached(header)?)?.reader(body),
        None => decryptor.reader(body),
    }
}

fn range_reader<'a>(vector: &'a Vector, decryptor: &Decryptor) -> Result<RangeReader<&'a [u8]>, Error> {
    let body = vector.body.as_slice();
    match &vector.header {
        Some(header) => decryptor.unlock(Header::from_detached(header)?)?.range_reader(body),
        None => decryptor.range_reader(body),
    }
}

fn streamed(way: &str, vector: &Vector, decryptor: &Decryptor, whole_prefix: bool) -> Outcome {
    let mut plain = Vec::new();
    let end = reader(vector, decryptor).and_then(|mut reader| {
        let read = reader.read_to_end(&mut plain);
        read.map(drop).map_err(|error| Error::from_io("reading", error))
    });
    Outcome {
        way: way.to_owned(),
        plain,
        end,
        whole_prefix,
    }
}

/// Whether the object is to be read through a source of random access, because its header says that it is composite.
fn is_composite(vector: &Vector) -> bool {
    let header = match &vector.header {
        Some(header) => Header::from_detached(header).ok(),
        None => Decryptor::read_header(&vector.body)
            .ok()
            .map(|read| read.header().clone()),
    };
    header.is_some_and(|header| header.payload_kind().is_composite())
}

fn unlock(vector: &Vector, decryptor: &Decryptor) -> Result<Unlocked, Error> {
    match &vector.header {
        Some(header) => decryptor.unlock(Header::from_detached(header)?),
        None => decryptor.unlock(Decryptor::read_header(&vector.body)?),
    }
}

/// In order, and from several threads into a buffer.
fn at_offsets(way: &dyn Fn(&str) -> String, vector: &Vector, decryptor: &Decryptor) -> [Outcome; 2] {
    let mut plain = Vec::new();
    let end = unlock(vector, decryptor).and_then(|unlocked| unlocked.pipe_at(&vector.body, &mut plain));
    let in_order = Outcome {
        way: way("in order"),
        plain,
        end: end.map(drop),
        whole_prefix: false,
    };
    let opened = unlock(vector, decryptor).and_then(|unlocked| unlocked.open(&vector.body));
    [in_order, outcome(&way("at once"), opened)]
}

/// Attached only.
fn in_memory(way: &str, vector: &Vector, decryptor: &Decryptor) -> Option<Outcome> {
    vector
        .header
        .is_none()
        .then(|| outcome(way, decryptor.open(&vector.body)))
}

fn ranged(way: &str, vector: &Vector, decryptor: &Decryptor, range: &str) -> Outcome {
    let (start, end) = range.split_once("..").expect("a range");
    let bound = |text: &str| (!text.is_empty()).then(|| text.parse::<u64>().unwrap());
    let read = || {
        let reader = range_reader(vector, decryptor)?;
        let start = bound(start).unwrap_or(0);
        let bytes = match bound(end) {
            Some(end) => reader.read_range(start..end),
            None => reader.read_range(start..),
        };
        bytes.map(Vec::from)
    };
    outcome(way, read())
}

fn decryptor(vector: &Vector) -> Decryptor {
    let mut keys = vector.keys.iter().map(|key| provider(key));
    let first = Decryptor::new(keys.next().expect("a key"));
    let context: EncryptionContext = vector.context.iter().collect();
    let rule = match vector.rule.as_str() {
        "exact" => ExpectedContext::Exact(context),
        "contains" => ExpectedContext::Contains(context),
        "accept-stored" if context.is_empty() => ExpectedContext::AcceptStored,
        rule => panic!("no rule {rule}"),
    };
    keys.fold(first, Decryptor::with_key)
        .with_context(rule)
        .with_executor(Executor::serial())
}

pub fn provider(key: &str) -> Arc<dyn KeyProvider> {
    let words: Vec<_> = key.split(' ').collect();
    let raw = |digits: &str| RawKey::from_slice(&oracle::unhex(digits).unwrap()).unwrap();
    match words.as_slice() {
        ["raw", digits] => Arc::new(raw(digits)),
        ["local", name, id, digits] => Arc::new(ring(name, id, digits)),
        ["intermediate-raw", digits, scope] => {
            Arc::new(IntermediateKeys::new(Arc::new(raw(digits)), scope.split(',')).unwrap())
        }
        ["passphrase-with-floor", ..] => Arc::new(passphrase(&key["passphrase-with-floor ".len()..])),
        ["passphrase", ..] => Arc::new(passphrase(&key["passphrase ".len()..]).with_limits(NO_FLOOR)),
        _ => panic!("no key {key}"),
    }
}

/// For objects that were made to open quickly.
const NO_FLOOR: Argon2Limits = Argon2Limits {
    memory_kib: 262_144,
    passes: 10,
    lanes: 16,
    least_memory_kib: 0,
    least_passes: 0,
};

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn ring(name: &str, id: &str, digits: &str) -> KeyRing {
    let file = tempfile::NamedTempFile::new().unwrap();
    let version = format!(r#"{{"id": "{id}", "created": 0, "secret": "{digits}"}}"#);
    let ring = format!(r#"{{"format": 1, "keys": [{{"name": "{name}", "versions": [{version}]}}]}}"#);
    std::fs::write(file.path(), ring).unwrap();
    KeyRing::open(file.path()).unwrap()
}
