//! Details of some errors.

use std::fmt;

/// How an object was changed in transit, as its first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferDamage {
    /// Line ends were translated, as a copy in text mode does.
    LineEnds,
    /// It is the base64 text of an object.
    Base64,
    /// It was re-encoded as UTF-16, as some shells do on redirection.
    Utf16,
    /// It was re-encoded as UTF-8 from a single-byte encoding, or its eighth bits were cleared.
    Text,
}

impl fmt::Display for TransferDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineEnds => "it looks like one whose line ends were translated; copy it in binary mode",
            Self::Base64 => "it looks like the base64 text of one; decode it first",
            Self::Utf16 => "it looks like one re-encoded as UTF-16, as a shell's redirection can do; write it with -o",
            Self::Text => "it looks like one re-encoded as text; copy it in binary mode",
        })
    }
}

/// How the caller's encryption context differs from the object's: keys only, never values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextMismatch {
    /// Keys that the object has and the caller did not give.
    pub missing: Vec<String>,
    /// Keys that the caller gave and the object does not have.
    pub unexpected: Vec<String>,
    /// Keys whose values differ.
    pub different: Vec<String>,
}

impl fmt::Display for ContextMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the encryption context does not match:")?;
        let mut separator = " ";
        for (what, keys) in [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("different value for", &self.different),
        ] {
            if !keys.is_empty() {
                write!(f, "{separator}{what} {}", keys.join(", "))?;
                separator = "; ";
            }
        }
        Ok(())
    }
}
