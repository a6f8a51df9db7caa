//! The keys of one object's components, manifest and receipts, all derived from its data key.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cipher::{Backend, ChunkCipher};
use crate::data_key::{ContentKeys, DataKey};
use crate::header::{Core, Purpose};
use crate::layout::{Layout, PREFIX_LEN, SALT_LEN};
use crate::opener::Opener;
use crate::sealer::Sealer;
use crate::secret::Secret;

/// The data key of a composite object. A plain object's data key is wiped once its chunk key is derived; this one is
/// kept, because every component has its own salt and key.
pub(crate) struct CompositeKeys {
    data_key: DataKey,
    core: Core,
    backend: Backend,
    /// Whether the object was completed by anyone who shares these keys.
    completed: AtomicBool,
}

impl CompositeKeys {
    pub(crate) const fn new(data_key: DataKey, core: Core, backend: Backend) -> Self {
        Self {
            data_key,
            core,
            backend,
            completed: AtomicBool::new(false),
        }
    }

    pub(super) fn is_completed(&self) -> bool {
        self.completed.load(Ordering::Relaxed)
    }

    /// Notes that the object is complete; returns whether it was before.
    pub(super) fn complete(&self) -> bool {
        self.completed.swap(true, Ordering::Relaxed)
    }

    pub(crate) const fn core(&self) -> Core {
        self.core
    }

    pub(crate) const fn layout(&self) -> Layout {
        Layout::new(self.core.chunk_size)
    }

    fn derive(&self, purpose: Purpose, salt: &[u8; SALT_LEN]) -> ContentKeys {
        let Core { suite, chunk_size, .. } = self.core;
        ContentKeys::derive(&self.data_key, suite, chunk_size, salt, &self.core.context(purpose))
    }

    fn cipher(&self, keys: &ContentKeys) -> ChunkCipher {
        ChunkCipher::new(self.backend, self.core.suite, keys)
    }

    /// Seals one component, or a manifest, under a salt that was drawn for it; also its first 56 bytes.
    pub(crate) fn sealer(&self, purpose: Purpose, salt: &[u8; SALT_LEN], verified: bool) -> (Sealer, [u8; PREFIX_LEN]) {
        let keys = self.derive(purpose, salt);
        let sealer = Sealer::new(self.cipher(&keys), self.layout());
        let prefix = prefix(salt, &keys);
        if verified {
            // Derived a second time, so that verifying does not share what went wrong while deriving.
            let verifier = self.cipher(&self.derive(purpose, salt));
            return (sealer.with_verifier(verifier), prefix);
        }
        (sealer, prefix)
    }

    /// Opens the component with this salt, which begins at `start` in the object; also its first 56 bytes.
    pub(crate) fn component_opener(&self, salt: &[u8; SALT_LEN], start: u64) -> (Opener, [u8; PREFIX_LEN]) {
        self.opener(Purpose::Component, salt, start)
    }

    /// Opens the manifest with this salt; also its first 56 bytes.
    pub(super) fn manifest_opener(&self, salt: &[u8; SALT_LEN]) -> (Opener, [u8; PREFIX_LEN]) {
        self.opener(Purpose::Manifest, salt, 0)
    }

    fn opener(&self, purpose: Purpose, salt: &[u8; SALT_LEN], start: u64) -> (Opener, [u8; PREFIX_LEN]) {
        let keys = self.derive(purpose, salt);
        let opener = Opener::new(self.cipher(&keys), self.layout(), start);
        (opener, prefix(salt, &keys))
    }

    /// The key of the receipts' MACs.
    pub(crate) fn receipt_key(&self) -> Secret<32> {
        self.data_key.expand(&self.core.context(Purpose::Receipt))
    }
}

fn prefix(salt: &[u8; SALT_LEN], keys: &ContentKeys) -> [u8; PREFIX_LEN] {
    let mut prefix = [0; PREFIX_LEN];
    prefix[..SALT_LEN].copy_from_slice(salt);
    prefix[SALT_LEN..].copy_from_slice(keys.commitment());
    prefix
}

impl fmt::Debug for CompositeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompositeKeys").finish_non_exhaustive()
    }
}
