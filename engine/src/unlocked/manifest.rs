//! The manifest of a composite object, read from its end.
//!
//! ```text
//! object   ... | padding | sealed manifest | length[4]
//!                      one read of the last 64 KiB has it, unless there are more than about 2,000 components
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::Unlocked;
use crate::buffer::buffer_len;
use crate::composite::{CompositeKeys, Manifest, manifest_tail, open_manifest, read_manifest};
use crate::error::{CompositeError, Error, Result};
use crate::layout::PREFIX_LEN;
use crate::opener::Opener;
use crate::positioned::{PinnedVersion, ReadAt, read_full_at};

/// Bytes of padding that are read at a time.
const PADDING_READ: u64 = 64 * 1024;

/// The keys of a composite object, and its manifest once that was read.
#[derive(Clone)]
pub(super) struct UnlockedComposite {
    keys: Arc<CompositeKeys>,
    manifest: Option<Arc<Manifest>>,
    /// The version that the source stated when the manifest was read from it.
    version: Option<Arc<str>>,
}

impl UnlockedComposite {
    pub(super) fn new(keys: CompositeKeys) -> Self {
        Self {
            keys: Arc::new(keys),
            manifest: None,
            version: None,
        }
    }
}

impl Unlocked {
    /// Whether the object consists of components and a manifest.
    #[must_use]
    pub const fn is_composite(&self) -> bool {
        self.composite.is_some()
    }

    /// The manifest of a composite object, if it was read.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.composite.as_ref()?.manifest.as_deref()
    }

    /// Reads the manifest of the object in `source` and returns an `Unlocked` that knows it. Returns a clone if the
    /// object is plain or the manifest is known already. A server can keep the result as long as the stored object does
    /// not change.
    ///
    /// # Errors
    /// [`CompositeError::ManifestLength`], [`CompositeError::ManifestAltered`], [`CompositeError::InvalidManifest`],
    /// [`CompositeError::PayloadLength`], [`Error::Truncated`], [`Error::SourceVersionChanged`], [`Error::Io`].
    pub fn load_manifest(&self, source: &(impl ReadAt + ?Sized)) -> Result<Self> {
        self.load_pinned(source, &PinnedVersion::default())
    }

    /// [`Unlocked::load_manifest`], from the pinned version of the source.
    pub(crate) fn load_pinned(&self, source: &(impl ReadAt + ?Sized), version: &PinnedVersion) -> Result<Self> {
        let Some(composite) = &self.composite else {
            return Ok(self.clone());
        };
        if let Some(known) = &composite.version {
            version.note(known);
            version.check(source)?;
        }
        if composite.manifest.is_some() {
            return Ok(self.clone());
        }
        let manifest = read_manifest(&composite.keys, self.opener().payload_start(), source, version)?;
        Ok(self.with_manifest(composite, manifest, version.noted()))
    }

    fn with_manifest(&self, composite: &UnlockedComposite, manifest: Manifest, version: Option<&str>) -> Self {
        Self {
            composite: Some(UnlockedComposite {
                keys: composite.keys.clone(),
                manifest: Some(Arc::new(manifest)),
                version: version.map(Arc::from),
            }),
            ..self.clone()
        }
    }

    /// The bytes to fetch for [`Unlocked::open_manifest`] from an object of `object_len` bytes: its last 64 KiB.
    #[must_use]
    pub fn manifest_tail(&self, object_len: u64) -> Range<u64> {
        manifest_tail(self.opener().payload_start(), object_len)
    }

    /// Opens the manifest from bytes that the caller fetched from the object's end: `tail` begins at `offset` and ends at
    /// `object_len`. Returns an `Unlocked` that knows the manifest. Read the rest from the same version of the stored
    /// object: pin its `ETag`.
    ///
    /// # Errors
    /// [`Error::NotFetched`] if the manifest is longer than `tail`, or `tail` does not end at `object_len`. It names the
    /// bytes to fetch. Retry once: a second one means that the stored object changed.
    /// [`CompositeError::NotComposite`]; as [`Unlocked::load_manifest`].
    pub fn open_manifest(&self, object_len: u64, offset: u64, tail: &[u8]) -> Result<Self> {
        let composite = self.composite.as_ref().ok_or(CompositeError::NotComposite)?;
        let payload_start = self.opener().payload_start();
        let payload_len = self.opener().payload_len(object_len)?;
        let manifest = open_manifest(&composite.keys, payload_start, payload_len, offset, tail)?;
        Ok(self.with_manifest(composite, manifest, None))
    }

    pub(crate) fn composite_keys(&self) -> Option<&Arc<CompositeKeys>> {
        self.composite.as_ref().map(|composite| &composite.keys)
    }

    pub(crate) fn needs_manifest(&self) -> bool {
        self.is_composite() && self.manifest().is_none()
    }

    /// # Errors
    /// [`CompositeError::ManifestNotLoaded`].
    pub(super) fn manifest_arc(&self) -> Result<Arc<Manifest>> {
        let manifest = self.composite.as_ref().and_then(|composite| composite.manifest.clone());
        manifest.ok_or_else(|| CompositeError::ManifestNotLoaded.into())
    }

    /// The plaintext's length, if the manifest fits a payload of `payload_len` bytes.
    pub(super) fn composite_plaintext_len(&self, payload_len: u64) -> Result<u64> {
        let manifest = self.manifest_arc()?;
        check_payload_len(&manifest, payload_len)?;
        Ok(manifest.plaintext_len())
    }

    /// The opener of component `number`, and the component's first 56 bytes.
    pub(super) fn component_opener(&self, number: usize) -> Option<(Opener, [u8; PREFIX_LEN])> {
        let keys = self.composite_keys()?;
        let component = self.manifest()?.components().get(number)?;
        let start = self.opener().payload_start() + component.sealed_start;
        let (opener, prefix) = keys.component_opener(&component.salt, start);
        Some((opener.of_component(number), prefix))
    }

    /// Checks that padding, if there is any, is zero.
    ///
    /// # Errors
    /// [`CompositeError::PaddingAltered`], [`Error::SourceChanged`], [`Error::Io`].
    pub(crate) fn check_padding(&self, source: &(impl ReadAt + ?Sized), version: &PinnedVersion) -> Result<()> {
        let Some(manifest) = self.manifest() else { return Ok(()) };
        let start = self.opener().payload_start();
        let mut padding = manifest.padding().start + start..manifest.padding().end + start;
        let mut buffer = vec![0; buffer_len((padding.end - padding.start).min(PADDING_READ))?];
        while !padding.is_empty() {
            let len = buffer.len().min(buffer_len(padding.end - padding.start)?);
            if read_full_at(source, &mut buffer[..len], padding.start)? < len {
                let expected = start + manifest.payload_len();
                return Err(Error::SourceChanged { expected });
            }
            version.check(source)?;
            if buffer[..len].iter().any(|&byte| byte != 0) {
                let offset = padding.start;
                return Err(CompositeError::PaddingAltered { offset }.into());
            }
            padding.start += len as u64;
        }
        Ok(())
    }
}

/// # Errors
/// [`CompositeError::PayloadLength`].
fn check_payload_len(manifest: &Manifest, found: u64) -> Result<()> {
    let expected = manifest.payload_len();
    if expected == found {
        return Ok(());
    }
    Err(CompositeError::PayloadLength { expected, found }.into())
}
