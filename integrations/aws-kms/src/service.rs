//! The calls to KMS, and the checks of every response.
//!
//! ```text
//! call -> turn (limit) -> client, made by the first call -> KMS -> key ARN allowed? -> 32 bytes? a ciphertext?
//! ```

use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::keys::KeyMatch;
use sealstone::{DataKey, EncryptionContext};
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::time::Instant;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use zeroize::Zeroizing;

use crate::KmsKey;
use crate::errors::{Operation, failed, failure};
use crate::key::{is_key_arn, is_same_key};
use crate::limit::Limit;
use crate::settings::Settings;

/// The longest ciphertext that KMS accepts or returns.
const MAX_CIPHERTEXT_LEN: usize = 6144;

/// KMS, reached with these settings.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) limit: Limit,
    client: OnceCell<Client>,
}

/// An encryption context in the form that KMS accepts.
pub(crate) type Context = Option<HashMap<String, String>>;

/// Converts a context to the form that KMS accepts.
pub(crate) fn pairs(context: &EncryptionContext) -> Context {
    let pairs = context.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    (!context.is_empty()).then(|| pairs.collect())
}

/// A ciphertext, and the ARN of the key that it is under, according to KMS.
pub(crate) struct Sealed {
    pub(crate) key_arn: String,
    pub(crate) ciphertext: Vec<u8>,
}

/// One side of a ReEncrypt.
pub(crate) struct Side<'a> {
    pub(crate) key: &'a KmsKey,
    pub(crate) context: &'a Context,
}

impl Service {
    pub(crate) fn new(settings: Settings, limit: Limit) -> Self {
        Self {
            settings,
            limit,
            client: OnceCell::new(),
        }
    }

    pub(crate) async fn generate(
        &self,
        key: &KmsKey,
        context: Context,
        deadline: Instant,
    ) -> Result<(DataKey, Sealed), ProviderError> {
        let (_turn, client) = self.begin(Some(key), deadline).await?;
        let mut answer = client
            .generate_data_key()
            .key_id(key.id())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(context)
            .send()
            .await
            .map_err(|error| failed(Operation::GenerateDataKey, Some(key), error))?;
        let data_key = data_key(Some(key), answer.plaintext.take())?;
        Ok((data_key, self.sealed(key, answer.key_id, answer.ciphertext_blob)?))
    }

    pub(crate) async fn encrypt(
        &self,
        key: &KmsKey,
        data_key: &DataKey,
        context: Context,
        deadline: Instant,
    ) -> Result<Sealed, ProviderError> {
        let (_turn, client) = self.begin(Some(key), deadline).await?;
        // At trace level the client logs whole requests, and this one contains the key.
        let answer = client
            .encrypt()
            .key_id(key.id())
            .plaintext(Blob::new(data_key.expose().as_slice()))
            .set_encryption_context(context)
            .send()
            .with_subscriber(NoSubscriber::new())
            .await
            .map_err(|error| failed(Operation::Encrypt, Some(key), error))?;
        self.sealed(key, answer.key_id, answer.ciphertext_blob)
    }

    /// Decrypts under `key`, or under the key that the ciphertext itself names. Returns the data key and the ARN of the
    /// key that KMS used.
    pub(crate) async fn decrypt(
        &self,
        key: Option<&KmsKey>,
        ciphertext: &[u8],
        context: Context,
        deadline: Instant,
    ) -> Result<(DataKey, String), ProviderError> {
        check_ciphertext(key, ciphertext)?;
        let (_turn, client) = self.begin(key, deadline).await?;
        let mut answer = client
            .decrypt()
            .set_key_id(key.map(|key| key.id().to_owned()))
            .ciphertext_blob(Blob::new(ciphertext))
            .set_encryption_context(context)
            .send()
            .await
            .map_err(|error| failed(Operation::Decrypt, key, error))?;
        let data_key = data_key(key, answer.plaintext.take())?;
        Ok((data_key, self.answered(key, answer.key_id)?))
    }

    /// One ReEncrypt. Also returns the ARN of the source key.
    pub(crate) async fn re_encrypt(
        &self,
        ciphertext: &[u8],
        from: Side<'_>,
        to: Side<'_>,
        deadline: Instant,
    ) -> Result<(Option<String>, Sealed), ProviderError> {
        check_ciphertext(Some(from.key), ciphertext)?;
        let (_turn, client) = self.begin(Some(from.key), deadline).await?;
        let answer = client
            .re_encrypt()
            .source_key_id(from.key.id())
            .set_source_encryption_context(from.context.clone())
            .ciphertext_blob(Blob::new(ciphertext))
            .destination_key_id(to.key.id())
            .set_destination_encryption_context(to.context.clone())
            .send()
            .await
            .map_err(|error| {
                let mut error = failed(Operation::ReEncrypt, Some(from.key), error);
                // The error may be about either key.
                error.message = format!("to {}: {}", to.key, error.message);
                error
            })?;
        let sealed = self.sealed(to.key, answer.key_id, answer.ciphertext_blob)?;
        Ok((answer.source_key_id, sealed))
    }

    /// Waits for the call's turn, to be held until it ends; also returns the client.
    async fn begin(
        &self,
        key: Option<&KmsKey>,
        deadline: Instant,
    ) -> Result<(Option<SemaphorePermit<'_>>, &Client), ProviderError> {
        let turn = self.limit.turn(deadline).await.map_err(|_| {
            let message = "the limit on calls did not let this one through in time";
            failure(ProviderErrorClass::Throttled, key, message)
        })?;
        let client = self.client.get_or_try_init(|| self.settings.connect(key)).await?;
        Ok((turn, client))
    }

    /// Refuses a key of a region other than the client's: KMS would look up its id or alias in the wrong region.
    pub(crate) async fn check_region(&self, key: &KmsKey) -> Result<(), ProviderError> {
        let client = self.client.get_or_try_init(|| self.settings.connect(Some(key))).await?;
        let here = client.config().region().map(AsRef::as_ref);
        match key.region() {
            Some(region) if here != Some(region) => {
                let here = here.unwrap_or("no region");
                let message =
                    format!("it is a key of {region}, and this client calls {here}: build a client of {region}");
                Err(failure(ProviderErrorClass::Configuration, key, message))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_allowed(&self, arn: &str) -> bool {
        let allowed = self.settings.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|key| is_same_key(key.id(), arn)))
    }

    /// The ARN of the key that KMS used, according to its response.
    fn answered(&self, asked: Option<&KmsKey>, arn: Option<String>) -> Result<String, ProviderError> {
        let Some(arn) = arn.filter(|arn| is_key_arn(arn)) else {
            return Err(senseless(asked, "no key ARN"));
        };
        let is_another = asked.is_some_and(|key| matches!(key.matches(&arn), KeyMatch::No(_)));
        if is_another || !self.is_allowed(&arn) {
            let message = format!("KMS used {arn}, which is not the requested key or not an allowed one");
            return Err(failure(ProviderErrorClass::Denied, asked, message));
        }
        Ok(arn)
    }

    fn sealed(&self, key: &KmsKey, arn: Option<String>, blob: Option<Blob>) -> Result<Sealed, ProviderError> {
        let key_arn = self.answered(Some(key), arn)?;
        let ciphertext = blob.map(Blob::into_inner).unwrap_or_default();
        if !is_ciphertext(&ciphertext) {
            return Err(senseless(Some(key), "no wrapped key"));
        }
        Ok(Sealed { key_arn, ciphertext })
    }
}

/// Moves the key out of the response, and wipes the response.
fn data_key(key: Option<&KmsKey>, plaintext: Option<Blob>) -> Result<DataKey, ProviderError> {
    let bytes = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
    DataKey::from_slice(&bytes).ok_or_else(|| senseless(key, "no data key of 32 bytes"))
}

/// Refuses a ciphertext that KMS cannot have returned, without sending it.
fn check_ciphertext(key: Option<&KmsKey>, ciphertext: &[u8]) -> Result<(), ProviderError> {
    if is_ciphertext(ciphertext) {
        return Ok(());
    }
    let message = format!(
        "a ciphertext of KMS has 1 to {MAX_CIPHERTEXT_LEN} bytes, not {}",
        ciphertext.len()
    );
    Err(failure(ProviderErrorClass::BadCiphertext, key, message))
}

fn is_ciphertext(bytes: &[u8]) -> bool {
    (1..=MAX_CIPHERTEXT_LEN).contains(&bytes.len())
}

fn senseless(key: Option<&KmsKey>, what: &str) -> ProviderError {
    let message = format!("the answer has {what}; is this the endpoint of KMS?");
    failure(ProviderErrorClass::BadCiphertext, key, message)
}
