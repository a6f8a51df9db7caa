//! Copying and renaming: on the server where that keeps the header and its keys, or else by opening and sealing again.

use super::super::object_store::path::Path;
use super::super::object_store::{
    CopyMode, CopyOptions, Extensions, GetOptions, GetResult, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, RenameOptions, RenameTargetMode, Result,
};
use super::EncryptedStore;
use super::errors::refused;
use super::upload::{part_len, send_all};
use crate::config::ServerCopies;
use crate::context::ObjectContext;
use crate::error::StoreError;

/// The largest object that is put at once, unless a part of it would replace what is there, in bytes.
const AT_ONCE: u64 = 8 * 1024 * 1024;
/// The largest object that is copied through memory because its copy must not replace anything, in bytes.
const MAX_AT_ONCE: u64 = 256 * 1024 * 1024;

impl<S: ObjectStore> EncryptedStore<S> {
    pub(super) async fn copy(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        // A context is not checked on the server.
        let has_context = options.extensions.get::<ObjectContext>().is_some();
        if !has_context && self.copies_on_server(from, to, options.mode == CopyMode::Create) {
            return self.store.copy_opts(from, to, options).await;
        }
        self.copy_again(from, to, options).await
    }

    pub(super) async fn rename(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let creates = options.target_mode == RenameTargetMode::Create;
        let has_context = options.extensions.get::<ObjectContext>().is_some();
        if !has_context && self.copies_on_server(from, to, creates) {
            return self.store.rename_opts(from, to, options).await;
        }
        let copy = CopyOptions {
            mode: if creates { CopyMode::Create } else { CopyMode::Overwrite },
            extensions: options.extensions,
        };
        self.copy_again(from, to, copy).await?;
        if from == to {
            return Ok(());
        }
        self.store.delete(from).await
    }

    /// Whether the store's own copy is an object that opens at `to`.
    fn copies_on_server(&self, from: &Path, to: &Path, creates: bool) -> bool {
        let config = &self.config;
        let [from, to] = [from.as_ref(), to.as_ref()];
        let is_plaintext = [from, to].map(|path| config.is_plaintext(path));
        if is_plaintext[0] != is_plaintext[1] {
            return false;
        }
        let keeps_header = match config.copies {
            ServerCopies::All => true,
            ServerCopies::Replacing => !creates,
            ServerCopies::None => false,
        };
        is_plaintext[0] || (keeps_header && config.path_key.is_none() && config.keys.rule(from) == config.keys.rule(to))
    }

    /// Opens the object at `from`, and seals it for `to`.
    async fn copy_again(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let get = GetOptions {
            extensions: options.extensions.clone(),
            ..GetOptions::default()
        };
        let source = self.get_opts(from, get).await?;
        match options.mode {
            CopyMode::Create if source.meta.size > MAX_AT_ONCE => Err(refused(StoreError::CopyTooLarge {
                location: from.to_string(),
                limit: MAX_AT_ONCE,
            })),
            CopyMode::Create => self.put_again(source, to, PutMode::Create, options.extensions).await,
            CopyMode::Overwrite if source.meta.size <= AT_ONCE => {
                self.put_again(source, to, PutMode::Overwrite, options.extensions).await
            }
            CopyMode::Overwrite => self.upload_again(source, to, options.extensions).await,
        }
    }

    async fn put_again(&self, source: GetResult, to: &Path, mode: PutMode, extensions: Extensions) -> Result<()> {
        let options = PutOptions {
            mode,
            attributes: source.attributes.clone(),
            extensions,
            ..PutOptions::default()
        };
        let plaintext = source.bytes().await?;
        self.put_opts(to, plaintext.into(), options).await.map(drop)
    }

    async fn upload_again(&self, source: GetResult, to: &Path, extensions: Extensions) -> Result<()> {
        let options = PutMultipartOptions {
            attributes: source.attributes.clone(),
            extensions,
            ..PutMultipartOptions::default()
        };
        let mut upload = self.put_multipart_opts(to, options).await?;
        let part_len = part_len(source.meta.size);
        send_all(source.into_stream(), &mut upload, part_len).await.map(drop)
    }
}
