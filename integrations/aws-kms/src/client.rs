//! A KMS client for wrapped keys that are not in slots.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use sealstone::error::ProviderError;
use sealstone::{DataKey, EncryptionContext};
use tokio::time::Instant;

use crate::KmsKey;
use crate::runtime::OwnRuntime;
use crate::service::{Sealed, Service, pairs};

/// A client of KMS for data keys that are stored outside of slots, such as those of another format.
///
/// The key is named with each call. Responses are checked like those for [`AwsKms`](crate::AwsKms): the key that KMS
/// used must be the named one, and one of [`allow_only`](crate::KmsBuilder::allow_only) if that was set.
///
/// Calls run on the client's own small runtime. Dropping a future ends its call.
///
/// ```no_run
/// use sealstone::EncryptionContext;
/// use sealstone::error::ProviderError;
/// use sealstone_aws_kms::{DecryptWith, KmsClient, KmsKey};
///
/// # async fn example(ciphertext: &[u8]) -> Result<(), ProviderError> {
/// let key: KmsKey = "alias/backups".parse()?;
/// let client = KmsClient::builder().region("eu-west-1").build()?;
/// let context = EncryptionContext::new().with("bucket", "backups");
/// let decrypted = client.decrypt(DecryptWith::Key(&key), ciphertext, &context).await?;
/// println!("unwrapped by {}", decrypted.key_arn);
/// # Ok(())
/// # }
/// ```
pub struct KmsClient {
    service: Arc<Service>,
    runtime: OwnRuntime,
}

/// The key to decrypt a ciphertext with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecryptWith<'a> {
    /// This one; ciphertexts of other keys are refused. Use it whenever the key is known.
    Key(&'a KmsKey),
    /// The one that the ciphertext names. Anyone who can write the ciphertext then chooses the key, and its owner
    /// learns the caller and the encryption context: limit the keys with [`allow_only`](crate::KmsBuilder::allow_only),
    /// or compare [`Decrypted::key_arn`] with the key that the stored metadata names. The limit is enforced after the
    /// call.
    AnyKey,
}

/// A decrypted data key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decrypted {
    /// The data key.
    pub data_key: DataKey,
    /// The ARN of the key that KMS used.
    pub key_arn: String,
}

/// An encrypted data key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encrypted {
    /// The ciphertext from KMS: 1 to 6,144 bytes.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key that KMS used, never an alias.
    pub key_arn: String,
}

impl KmsClient {
    pub(crate) fn new(service: Service) -> Result<Self, ProviderError> {
        Ok(Self {
            service: Arc::new(service),
            runtime: OwnRuntime::start(None)?,
        })
    }

    /// Generates a data key of 32 bytes and encrypts it under `key`, with one GenerateDataKey.
    ///
    /// # Errors
    /// As [`KeyProvider::generate_key`](sealstone::KeyProvider::generate_key) of an [`AwsKms`](crate::AwsKms).
    pub async fn generate_data_key(
        &self,
        key: &KmsKey,
        context: &EncryptionContext,
    ) -> Result<(DataKey, Encrypted), ProviderError> {
        let (asked, context) = (key.clone(), pairs(context));
        let call = |service: Arc<Service>, deadline| async move {
            service.check_region(&asked).await?;
            service.generate(&asked, context, deadline).await
        };
        let (data_key, sealed) = self.run(Some(key), call).await?;
        Ok((data_key, sealed.into()))
    }

    /// Encrypts a data key under `key`, with one Encrypt.
    ///
    /// # Errors
    /// As [`KeyProvider::wrap_key`](sealstone::KeyProvider::wrap_key) of an [`AwsKms`](crate::AwsKms).
    pub async fn encrypt(
        &self,
        key: &KmsKey,
        data_key: &DataKey,
        context: &EncryptionContext,
    ) -> Result<Encrypted, ProviderError> {
        let (asked, context) = (key.clone(), pairs(context));
        let data_key = DataKey::init_with(|copy| copy.copy_from_slice(data_key.expose()));
        let call = |service: Arc<Service>, deadline| async move {
            service.check_region(&asked).await?;
            service.encrypt(&asked, &data_key, context, deadline).await
        };
        Ok(self.run(Some(key), call).await?.into())
    }

    /// Decrypts a data key of 32 bytes, with one Decrypt.
    ///
    /// # Errors
    /// Class `BadCiphertext` for altered bytes, another context, and a plaintext that is not 32 bytes; `OtherKey` if
    /// the ciphertext is under another key than the named one; `Denied` if KMS used a key that is not allowed; and as
    /// [`KeyProvider::unwrap_key`](sealstone::KeyProvider::unwrap_key) of an [`AwsKms`](crate::AwsKms).
    pub async fn decrypt(
        &self,
        with: DecryptWith<'_>,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Decrypted, ProviderError> {
        let key = match with {
            DecryptWith::Key(key) => Some(key),
            DecryptWith::AnyKey => None,
        };
        let (asked, ciphertext, context) = (key.cloned(), ciphertext.to_owned(), pairs(context));
        let call = |service: Arc<Service>, deadline| async move {
            if let Some(key) = &asked {
                service.check_region(key).await?;
            }
            service.decrypt(asked.as_ref(), &ciphertext, context, deadline).await
        };
        let (data_key, key_arn) = self.run(key, call).await?;
        Ok(Decrypted { data_key, key_arn })
    }

    async fn run<T, F>(
        &self,
        key: Option<&KmsKey>,
        work: impl FnOnce(Arc<Service>, Instant) -> F,
    ) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let service = Arc::clone(&self.service);
        let timeout = service.settings.timeout;
        self.runtime
            .run(timeout, key, move |deadline| work(service, deadline))
            .await
    }
}

impl From<Sealed> for Encrypted {
    fn from(sealed: Sealed) -> Self {
        let Sealed { key_arn, ciphertext } = sealed;
        Self { ciphertext, key_arn }
    }
}

impl fmt::Debug for KmsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsClient")
            .field("settings", &self.service.settings)
            .field("limit", &self.service.limit)
            .finish_non_exhaustive()
    }
}
