//! Errors of the parts of an object.

use std::fmt;

/// Why a part was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartError {
    /// The part length is zero, not a multiple of the chunk size, or more than an object holds.
    Size {
        /// The length asked for, in bytes of plaintext.
        part_len: u64,
        /// The object's chunk size, in bytes.
        chunk_len: usize,
    },
    /// The part was handed out or added before. A retry sends its sealed bytes again.
    Duplicate {
        /// The part's number, from 0.
        part: u64,
    },
    /// The part's plaintext is longer or shorter than the part must be.
    Length {
        /// The part's number, from 0.
        part: u64,
        /// Bytes of plaintext that the part must have; for a last part, at most.
        need: u64,
        /// Bytes of plaintext that it had, as far as they were read.
        have: u64,
    },
    /// The part lies after the last one.
    AfterLast {
        /// The part's number, from 0.
        part: u64,
        /// The last part's number.
        last: u64,
    },
    /// The part was not sealed; or no part was marked as the last one, and this is the first that could be.
    Missing {
        /// The part's number, from 0.
        part: u64,
    },
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { part_len, chunk_len } => write!(
                f,
                "a part of {part_len} bytes is not a whole number of {chunk_len}-byte chunks, or is too large"
            ),
            Self::Duplicate { part } => write!(
                f,
                "part {part} was already handed out: each part is sealed once, and a retry sends its sealed bytes again"
            ),
            Self::Length { part, need, have } => {
                write!(f, "part {part} has {have} bytes of plaintext, but must have {need}")
            }
            Self::AfterLast { part, last } => write!(f, "part {part} lies after part {last}, which is the last"),
            Self::Missing { part } => write!(f, "part {part} is missing"),
        }
    }
}
