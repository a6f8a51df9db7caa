//! Writing an object at once, and what every way of writing begins with.

use futures_util::{StreamExt, stream};
use sealstone::EncryptionContext;
use sealstone::parts::RunningParts;

use super::super::object_store::path::Path;
use super::super::object_store::{
    Attributes, Extensions, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use super::EncryptedStore;
use super::errors::refused;
use super::header::with_header;
use super::upload::{PART, part_len, send_all};
use crate::config::HeaderPlace;
use crate::context::ObjectContext;
use crate::error::StoreError;

impl<S: ObjectStore> EncryptedStore<S> {
    /// The encryption context of the object at `location`, of which the caller has passed a part.
    pub(super) fn context(&self, location: &Path, extensions: &Extensions) -> Result<EncryptionContext> {
        let context = self
            .config
            .context(location.as_ref(), extensions.get::<ObjectContext>());
        context.map_err(refused)
    }

    /// Begins an object: its parts, and the attributes to store it with.
    pub(super) async fn begin(
        &self,
        location: &Path,
        attributes: Attributes,
        extensions: &Extensions,
    ) -> Result<(RunningParts, Attributes)> {
        let sealstone = |error| refused(StoreError::sealstone(location, error));
        let context = self.context(location, extensions)?;
        let encryptor = self.config.encryptor(location.as_ref(), context);
        let object = encryptor.begin_async().await.map_err(sealstone)?;
        let (object, attributes) = match self.config.place.metadata_key() {
            None => (object, attributes),
            Some(key) => {
                let (header, payload) = object.detach();
                (payload, with_header(location, attributes, &header, key)?)
            }
        };
        Ok((object.running_parts().map_err(sealstone)?, attributes))
    }

    pub(super) async fn put(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_large = payload.content_length() > 2 * PART;
        if is_large && self.config.place == HeaderPlace::Attached && opts.mode == PutMode::Overwrite {
            // On disks, sealing and writing overlap, and only a few parts are in memory. Other stores would see more
            // requests than the caller's.
            return self.put_in_parts(location, payload, opts).await;
        }
        let sealstone = |error| refused(StoreError::sealstone(location, error));
        let (parts, attributes) = self.begin(location, opts.attributes, &opts.extensions).await?;
        let part = parts.last_part(payload.content_length()).map_err(sealstone)?;
        let sealed = part
            .seal_async(payload.into_iter().collect())
            .await
            .map_err(sealstone)?;
        let opts = PutOptions { attributes, ..opts };
        self.store.put_opts(location, sealed.into_bytes().into(), opts).await
    }

    async fn put_in_parts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let opts = PutMultipartOptions {
            tags: opts.tags,
            attributes: opts.attributes,
            extensions: opts.extensions,
        };
        let mut upload = self.begin_upload(location, opts).await?;
        let part_len = part_len(payload.content_length() as u64);
        send_all(stream::iter(payload).map(Ok).boxed(), &mut upload, part_len).await
    }
}
