//! Errors by cause. Each carries what a person needs to act: the chunk, the offset, the key id, the context keys.
//!
//! Every error is `Clone`, so that a reader or writer that failed once can return the same error forever.

mod composite;
mod detail;
mod io_error;
mod part;
mod provider;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::composite::CompositeError;
pub use self::detail::{ContextMismatch, TransferDamage};
pub use self::part::PartError;
pub use self::provider::{ProviderError, ProviderErrorClass};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why sealing or opening failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The input does not begin as a sealstone object does.
    NotSealstone {
        /// How it may have been changed in transit, if its first bytes show this.
        hint: Option<TransferDamage>,
    },
    /// The object has a format version that this build does not read.
    UnsupportedVersion {
        /// The version byte found.
        version: u8,
    },
    /// No copy of the header can be read.
    HeaderDamaged {
        /// What is wrong with it.
        reason: &'static str,
        /// Where in the header copy, in bytes.
        offset: usize,
    },
    /// The input ends inside the header.
    HeaderTruncated {
        /// Bytes present.
        have: usize,
        /// Bytes that a header takes.
        need: usize,
    },
    /// Slots and context together do not fit into a header.
    HeaderTooLarge {
        /// Bytes needed.
        need: usize,
        /// Bytes available.
        limit: usize,
    },
    /// More keys, or more passphrases, than one object can have.
    TooManySlots {
        /// Which kind of slot is too many: `"slots"` or `"passphrase slots"`.
        kind: &'static str,
        /// The largest number allowed.
        limit: usize,
    },
    /// A context pair that no header can carry.
    InvalidContext {
        /// The pair's key.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The header belongs to another payload.
    HeaderOfAnotherPayload,
    /// The caller's encryption context does not match the object's. No key provider was called.
    ContextMismatch(ContextMismatch),
    /// None of the offered keys fits a slot of the object. No key provider was called.
    NoUsableKey {
        /// The object's slots, as `provider:key id`.
        slots: Vec<String>,
        /// Why the offered keys do not fit, as their providers report it.
        reasons: Vec<String>,
    },
    /// A key provider failed.
    Provider(ProviderError),
    /// The unwrapped key is not the one that this payload was sealed under. Passphrase slots never cause this error:
    /// they report a wrong passphrase instead.
    CommitmentMismatch {
        /// The slot it came from, as `provider:key id`.
        slot: String,
    },
    /// The change would leave no slot, and the object could never be opened again.
    LastSlot,
    /// Slots that must be bound to the new context, for which no usable key was offered.
    UnreachableSlots {
        /// The slots, as `provider:key id`.
        slots: Vec<String>,
    },
    /// Slots that do not hold this object's data key. Sealstone never writes such slots: someone added them to the
    /// header.
    ForeignSlots {
        /// The slots, as `provider:key id`.
        slots: Vec<String>,
    },
    /// The change would leave only these slots, none of which was opened: they may not open the object.
    UnprovedSlots {
        /// The slots, as `provider:key id`.
        slots: Vec<String>,
    },
    /// Several slots would become one, and only opening the object can tell which of them holds its data key.
    AmbiguousSlots {
        /// The slots, as `provider:key id`.
        slots: Vec<String>,
    },
    /// The header's slots would cause more key provider calls than a genuine header needs.
    TooManyProviderCalls {
        /// The largest number of calls.
        limit: usize,
    },
    /// Another process holds a lock on the object's file, to rewrap the object or to keep others from doing so.
    Locked {
        /// How long the call waited for the lock.
        waited: Duration,
    },
    /// The header was rewritten 2^64 - 1 times, and cannot be rewritten again.
    GenerationLimit,
    /// A chunk's tag does not verify: the chunk was altered, moved or cut.
    ChunkAltered {
        /// The chunk's index, from 0.
        chunk: u64,
        /// Where its sealed bytes begin in the object, in bytes.
        offset: u64,
    },
    /// A chunk was sealed incorrectly: opening it again did not return its plaintext. The machine is faulty. Reported
    /// only with [`Encryptor::with_verify_writes`](crate::Encryptor::with_verify_writes).
    SealedWrongly {
        /// The chunk's index, from 0.
        chunk: u64,
    },
    /// The process was forked after the object's key was created. If both processes continued the object, they would
    /// seal different chunks under the same nonce, so only the one that started it can. Start a new object here.
    Forked,
    /// An earlier call on this reader or writer panicked, in its source, its sink or elsewhere. Its state is unknown,
    /// and it cannot continue.
    Poisoned,
    /// The payload ends before its final chunk.
    Truncated {
        /// Plaintext bytes in the whole chunks before the cut.
        after: u64,
    },
    /// Bytes follow the object's verified end.
    TrailingData {
        /// Where the object ends and the other bytes begin, in bytes.
        offset: u64,
    },
    /// The plaintext is longer than 4 PiB - 1 byte, or takes more than 2^38 chunks.
    ObjectTooLarge,
    /// A range reaches past the end of the plaintext.
    RangeOutOfBounds {
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// The plaintext's length, in bytes: verified, except when planning what to fetch, which uses the claimed
        /// length.
        len: u64,
    },
    /// The caller's buffer is shorter than the result.
    BufferTooSmall {
        /// Bytes needed.
        need: u64,
        /// Bytes given.
        have: u64,
    },
    /// The input became longer or shorter while it was read.
    SourceChanged {
        /// The length it had at first, in bytes.
        expected: u64,
    },
    /// The source reports another version than before, such as another `ETag`.
    SourceVersionChanged {
        /// The version it had at first.
        expected: String,
        /// The version it has now.
        found: String,
    },
    /// Bytes that the caller had to fetch are missing from those it provided.
    NotFetched {
        /// Where in the source they begin, in bytes.
        start: u64,
        /// Where they end, in bytes.
        end: u64,
    },
    /// A part of an object was refused.
    Part(PartError),
    /// A composite object was not read, or not joined.
    Composite(CompositeError),
    /// The output already exists, and replacing it was not requested.
    OutputExists(PathBuf),
    /// The output already exists and cannot be replaced, though it may be possible to write into it.
    OutputNotReplaceable {
        /// The output.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Reading, writing or another operating system call failed.
    Io {
        /// What was being done.
        action: &'static str,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// The operating system's random generator failed. There is no fallback.
    Random,
    /// The caller cancelled the operation with [`Progress::cancel`](crate::Progress::cancel).
    Cancelled,
}

impl Error {
    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_retryable(),
            Self::Locked { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealstone { hint: None } => f.write_str("not a sealstone object"),
            Self::NotSealstone { hint: Some(hint) } => write!(f, "not a sealstone object: {hint}"),
            Self::UnsupportedVersion { version } => write!(
                f,
                "format version {version} is not supported; a newer sealstone may read it"
            ),
            Self::HeaderDamaged { reason, offset } => {
                write!(f, "the header is damaged: {reason} at byte {offset}")
            }
            Self::HeaderTruncated { have, need } => {
                write!(
                    f,
                    "the object ends inside its header: only {have} of {need} bytes are present"
                )
            }
            Self::HeaderTooLarge { need, limit } => write!(
                f,
                "keys and context need {need} bytes of header, but only {limit} are available; \
                 use fewer keys or a shorter context"
            ),
            Self::TooManySlots { kind, limit } => write!(f, "an object has at most {limit} {kind}"),
            Self::InvalidContext { key, reason } => write!(f, "context key {key:?}: {reason}"),
            Self::HeaderOfAnotherPayload => {
                f.write_str("the header belongs to another payload: salt or commitment differ")
            }
            Self::ContextMismatch(mismatch) => mismatch.fmt(f),
            Self::NoUsableKey { slots, reasons } => {
                write!(f, "no usable key: the object is sealed for {}", slots.join(", "))?;
                if !reasons.is_empty() {
                    write!(f, " ({})", reasons.join("; "))?;
                }
                Ok(())
            }
            Self::Provider(error) => error.fmt(f),
            Self::CommitmentMismatch { slot } => write!(
                f,
                "the key in slot {slot} is not the one this payload was sealed under (commitment failed): \
                 the slot or the payload was exchanged"
            ),
            Self::LastSlot => f.write_str("no slot would be left, and the object could never be opened again"),
            Self::UnreachableSlots { slots } => write!(
                f,
                "these slots must be bound to the new context, but no key was offered for them: {}",
                slots.join(", ")
            ),
            Self::ForeignSlots { slots } => write!(
                f,
                "these slots do not hold this object's data key, so someone else added them to the header: {}",
                slots.join(", ")
            ),
            Self::UnprovedSlots { slots } => write!(
                f,
                "only slots would be left that no offered key opens, and that may not hold this object's data key: {}",
                slots.join(", ")
            ),
            Self::AmbiguousSlots { slots } => write!(
                f,
                "several slots would become one, and only opening the object can tell which holds its data key: {}",
                slots.join(", ")
            ),
            Self::TooManyProviderCalls { limit } => write!(
                f,
                "the header's slots need more than {limit} key provider calls; \
                 offer fewer keys, or remove slots by name"
            ),
            Self::Locked { waited } => write!(
                f,
                "another process still holds the object's lock after {} s; try again when it has finished",
                waited.as_secs()
            ),
            Self::GenerationLimit => f.write_str("the header cannot be rewritten any more: its generation is 2^64 - 1"),
            Self::ChunkAltered { chunk, offset } => write!(
                f,
                "chunk {chunk} at offset {offset} does not verify: it was altered, moved or cut"
            ),
            Self::SealedWrongly { chunk } => write!(
                f,
                "chunk {chunk} was sealed incorrectly and not written: this machine's memory or processor is faulty"
            ),
            Self::Forked => f.write_str(
                "the object was started before this process was forked, and only that process can continue it: \
                 start a new object here",
            ),
            Self::Poisoned => f.write_str("an earlier call panicked and left its work incomplete: start again"),
            Self::Truncated { after } => write!(
                f,
                "the object is truncated: it ends after {after} bytes of plaintext, without its final chunk"
            ),
            Self::TrailingData { offset } => write!(
                f,
                "trailing data: the object ends at offset {offset}, and more bytes follow"
            ),
            Self::ObjectTooLarge => {
                f.write_str("too large: an object holds at most 4 PiB - 1 byte in at most 2^38 chunks")
            }
            Self::RangeOutOfBounds { start, end, len } => write!(
                f,
                "range {start}..{end} reaches past the end: the plaintext has {len} bytes"
            ),
            Self::BufferTooSmall { need, have } => {
                write!(f, "the buffer holds {have} bytes, {need} are needed")
            }
            Self::SourceChanged { expected } => write!(
                f,
                "the input changed while it was read: it had {expected} bytes at first"
            ),
            Self::SourceVersionChanged { expected, found } => write!(
                f,
                "the input changed between two reads: it was version {expected}, and is now version {found}"
            ),
            Self::NotFetched { start, end } => write!(f, "bytes {start}..{end} of the input were not fetched"),
            Self::Part(error) => error.fmt(f),
            Self::Composite(error) => error.fmt(f),
            Self::OutputExists(path) => write!(f, "{} exists already", path.display()),
            Self::OutputNotReplaceable { path, reason } => {
                write!(f, "{} cannot be replaced: {reason}", path.display())
            }
            Self::Io { action, source } => write!(f, "{action}: {source}"),
            Self::Random => f.write_str("the operating system's random generator failed"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source.as_ref()),
            Self::Provider(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<PartError> for Error {
    fn from(error: PartError) -> Self {
        Self::Part(error)
    }
}

impl From<CompositeError> for Error {
    fn from(error: CompositeError) -> Self {
        Self::Composite(error)
    }
}
