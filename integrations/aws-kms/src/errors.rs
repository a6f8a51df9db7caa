//! Maps the client's errors to the engine's error classes, with advice.
//!
//! Parts of an error that quote a request or a response are dropped, because they may hold a data key.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId;
use sealstone::error::{ProviderError, ProviderErrorClass};

use crate::endpoint::{EXPOSED, Exposed};
use crate::{ID, KmsKey};

/// An operation of KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    GenerateDataKey,
    Encrypt,
    Decrypt,
    ReEncrypt,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::ReEncrypt => "ReEncrypt",
        }
    }

    const fn permission(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "kms:GenerateDataKey",
            Self::Encrypt => "kms:Encrypt",
            Self::Decrypt => "kms:Decrypt",
            Self::ReEncrypt => "kms:ReEncryptFrom and kms:ReEncryptTo",
        }
    }
}

/// An error of `class` that concerns `key`, if a key was named.
pub(crate) fn failure<'k>(
    class: ProviderErrorClass,
    key: impl Into<Option<&'k KmsKey>>,
    message: impl Into<String>,
) -> ProviderError {
    let error = ProviderError::new(class, ID, message);
    match key.into() {
        Some(key) => error.with_key_id(key.to_string()),
        None => error,
    }
}

/// Converts the client's error.
pub(crate) fn failed<E>(operation: Operation, key: Option<&KmsKey>, error: SdkError<E, HttpResponse>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) if !answer.raw().status().is_success() => {
            let status = answer.raw().status().as_u16();
            refused(operation, key, status, answer.into_err())
        }
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => unreadable(operation, key),
        SdkError::TimeoutError(_) => {
            let message = format!("{}: KMS did not answer in time; check the network", operation.name());
            failure(ProviderErrorClass::Unavailable, key, message)
        }
        SdkError::DispatchFailure(ref dispatch) => {
            // A connection that ended early has another kind, but a known one.
            let is_network = dispatch.is_io() || dispatch.is_timeout() || dispatch.as_other().is_some();
            not_sent(operation, key, is_network, error.into_source().ok())
        }
        other => not_sent(operation, key, false, other.into_source().ok()),
    }
}

/// The error for a request that did not reach KMS.
fn not_sent(
    operation: Operation,
    key: Option<&KmsKey>,
    is_network: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
) -> ProviderError {
    use ProviderErrorClass::{Configuration, Denied, Unavailable};
    let first = source
        .as_ref()
        .map(|source| -> &(dyn Error + 'static) { source.as_ref() });
    let underneath = || first.into_iter().flat_map(causes);
    if underneath().any(|cause| cause.is::<Exposed>()) {
        return failure(Configuration, key, format!("{}: {EXPOSED}", operation.name()));
    }
    let credentials: Option<&CredentialsError> = underneath().find_map(|cause| cause.downcast_ref());
    let says = |text: &str| underneath().any(|cause| cause.to_string().starts_with(text));
    let late = "the AWS credentials did not come in time";
    let (class, what) = match (credentials, first) {
        (Some(CredentialsError::CredentialsNotLoaded(_)), _) => (
            Denied,
            "there are no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in \
             with `aws sso login`"
                .to_owned(),
        ),
        (Some(CredentialsError::ProviderTimedOut(_)), _) => (Unavailable, late.to_owned()),
        (Some(error), _) => {
            let message = format!(
                "the AWS credentials cannot be had ({}); sign in again, or check the profile",
                chain(error)
            );
            (Denied, message)
        }
        (None, Some(error)) if is_network => {
            let message = format!(
                "KMS cannot be reached ({}); check the network, the region and the endpoint",
                chain(error)
            );
            (Unavailable, message)
        }
        // The client has no public types for these.
        _ if says("identity resolver timed out") => (Unavailable, late.to_owned()),
        _ => {
            // Anything else may quote the whole request, and so the data key of an Encrypt: nothing of it is kept.
            let (class, message) = if says("failed to apply endpoint") {
                (Configuration, "the endpoint that is configured is not a URL")
            } else {
                (Unavailable, "the request could not be sent; check the endpoint and the AWS configuration")
            };
            return failure(class, key, format!("{}: {message}", operation.name()));
        }
    };
    let mut failure = failure(class, key, format!("{}: {what}", operation.name()));
    failure.source = source.map(Arc::from);
    failure
}

/// The client's reason is dropped because it might quote the response.
fn unreadable(operation: Operation, key: Option<&KmsKey>) -> ProviderError {
    let message = format!("{}: KMS's answer cannot be read; check the endpoint", operation.name());
    failure(ProviderErrorClass::Unavailable, key, message)
}

/// An error that KMS returned.
fn refused<E>(operation: Operation, key: Option<&KmsKey>, status: u16, error: E) -> ProviderError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map_or_else(|| format!("HTTP status {status}"), printable);
    let (class, advice) = classify(operation, &code, status);
    let mut message = format!("{}: {advice} ({code}", operation.name());
    if let Some(said) = error.message().filter(|said| !said.is_empty()) {
        message = format!("{message}: {}", printable(said));
    }
    if let Some(request) = error.meta().request_id() {
        message = format!("{message}; request {}", printable(request));
    }
    message.push(')');
    failure(class, key, message).with_source(KmsError {
        code,
        source: Box::new(error),
    })
}

/// An error that KMS returned: the source of a [`ProviderError`], from which `downcast_ref` takes it.
#[derive(Debug)]
pub struct KmsError {
    code: String,
    source: Box<dyn Error + Send + Sync>,
}

impl KmsError {
    /// The error's code, such as `DisabledException`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for KmsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

fn classify(operation: Operation, code: &str, status: u16) -> (ProviderErrorClass, String) {
    use ProviderErrorClass::{
        BadCiphertext, Configuration, Denied, KeyState, NotFound, OtherKey, Throttled, Unavailable,
    };
    let (class, advice) = match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => {
            let message = format!(
                "the caller may not; it needs {} by the key's policy or by IAM, for this encryption context",
                operation.permission()
            );
            return (Denied, message);
        }
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            (Denied, "the AWS credentials have expired; sign in again")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => (
            Denied,
            "the AWS credentials were refused; check the profile, the region and the clock",
        ),
        "IncorrectKeyException" => (
            OtherKey,
            "the data key was wrapped under another KMS key; offer the one that the slot names, if it is yours",
        ),
        "NotFoundException" => (
            NotFound,
            "there is no such key or alias; check its name, account and region",
        ),
        "DisabledException" | "KMSInvalidStateException" => (
            KeyState,
            "the key cannot be used now; enable it, or cancel its deletion",
        ),
        "InvalidCiphertextException" => (
            BadCiphertext,
            "the wrapped data key was altered, or the encryption context is not the one it was wrapped under",
        ),
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "SlowDown" => (Throttled, "KMS asks for fewer calls"),
        "KMSInternalException"
        | "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => (Unavailable, "KMS failed"),
        "InvalidKeyUsageException" => (
            Configuration,
            "the key is not one that encrypts symmetrically; use one of key spec SYMMETRIC_DEFAULT",
        ),
        _ => match status {
            403 => (Denied, "KMS refused the caller"),
            429 => (Throttled, "KMS asks for fewer calls"),
            500.. => (Unavailable, "KMS failed"),
            _ => (
                Configuration,
                "KMS does not take the request; check the key's name and the encryption context",
            ),
        },
    };
    (class, advice.to_owned())
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// An error and its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in causes(error) {
        let text = printable(error.to_string());
        // Wrappers often repeat the text of what they wrap.
        if !texts.last().is_some_and(|last| last.ends_with(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// Text from the service, limited to one line and safe for a terminal.
fn printable(text: impl AsRef<str>) -> String {
    const LIMIT: usize = 1000;
    let shown = |char: char| if char.is_control() { ' ' } else { char };
    text.as_ref().chars().take(LIMIT).map(shown).collect()
}
