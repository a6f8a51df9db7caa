//! Where a result is to go, as the command line names it.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use sealstone::format::ATTACHED_LEN;

use super::extent::is_block_device;
use super::location::StoreUrl;
use super::{Descriptor, is_standard};

/// Where the result is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Standard output; whether it was asked for by name.
    Stdout {
        /// Whether it was asked for by name.
        by_name: bool,
    },
    /// A file or a device.
    Path(PathBuf),
    /// An object in a store.
    Store(StoreUrl),
}

impl Place {
    /// The place that `-o` names.
    pub(crate) fn named(path: &Path) -> Self {
        if is_standard(path) || Descriptor::named(path) == Some(Descriptor::STDOUT) {
            return Self::Stdout { by_name: true };
        }
        StoreUrl::of(path).map_or_else(|| Self::Path(path.to_owned()), Self::Store)
    }

    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout { .. })
    }

    /// Whether it is a device such as a disk, whose length is its own.
    pub(crate) fn is_device(&self) -> bool {
        let metadata = match self {
            Self::Stdout { .. } => Descriptor::STDOUT.writing().ok().map(|stdout| stdout.metadata()),
            Self::Path(path) => Some(fs::metadata(path)),
            Self::Store(_) => None,
        };
        metadata.is_some_and(|metadata| metadata.is_ok_and(|metadata| is_block_device(&metadata)))
    }

    /// How long an object of `len` bytes is there: a store keeps the header in its metadata, not in front of it.
    pub(crate) fn stored_len(&self, len: Option<u64>) -> Option<u64> {
        match self {
            Self::Store(_) => len?.checked_sub(ATTACHED_LEN as u64),
            Self::Stdout { .. } | Self::Path(_) => len,
        }
    }

    /// As messages show it.
    pub(crate) fn display(&self) -> String {
        match self {
            Self::Stdout { .. } => "standard output".to_owned(),
            Self::Path(path) => crate::text::path(path),
            Self::Store(url) => url.to_string(),
        }
    }

    /// Its name, if it has one.
    pub(crate) fn path(&self) -> Option<Cow<'_, Path>> {
        match self {
            Self::Stdout { .. } => None,
            Self::Path(path) => Some(Cow::Borrowed(path)),
            Self::Store(url) => Some(Cow::Owned(url.to_name())),
        }
    }
}
