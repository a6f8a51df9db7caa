//! Encryption headers, from requests and into responses.

use hyper::http::Extensions;
use s3s::dto::ServerSideEncryption;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use sealstone::{Header, Unlocked};
use sealstone_s3_sse::{CustomerKey, ServerSide, names};

use crate::bucket::Setting;
use crate::connection::Connection;
use crate::policy::{Policy, Request};
use crate::sse::{self, BucketDefault, CustomerHeaders};

use super::{Gateway, Target, errors};

/// The customer's key in these fields, which many inputs of s3s have.
macro_rules! customer {
    ($input:expr) => {
        $crate::sse::CustomerHeaders::new(
            $input.sse_customer_algorithm.take(),
            $input.sse_customer_key.take(),
            $input.sse_customer_key_md5.take(),
        )
    };
}

/// The encryption that these fields ask for, which many inputs of s3s have.
macro_rules! requested_sse {
    ($gateway:expr, $extensions:expr, $input:expr) => {{
        let customer = $crate::s3::encryption::customer!($input);
        $crate::sse::SseRequest {
            mode: $input
                .server_side_encryption
                .take()
                .map(|mode| mode.as_str().to_owned()),
            kms_key: $input.ssekms_key_id.take(),
            context: $input.ssekms_encryption_context.take(),
            bucket_key: $input.bucket_key_enabled.take(),
            customer: $gateway.customer_key($extensions, customer)?,
        }
    }};
}

/// Refuses what the bucket's policy denies, before anything else is said about the headers.
macro_rules! check_policy {
    ($gateway:expr, $target:expr, $input:expr) => {
        $gateway
            .check_policy(
                $target,
                &$crate::policy::Request {
                    mode: $input.server_side_encryption.as_ref().map(|mode| mode.as_str()),
                    kms_key: $input.ssekms_key_id.as_deref(),
                    customer_algorithm: $input.sse_customer_algorithm.as_deref(),
                },
            )
            .await
    };
}

/// Puts an object's encryption into a response, whose fields many outputs of s3s have.
macro_rules! report_sse {
    ($output:expr, $sse:expr) => {{
        let sse: $crate::s3::encryption::Reported = $sse;
        $output.server_side_encryption = sse.mode;
        $output.ssekms_key_id = sse.kms_key;
        $output.bucket_key_enabled = sse.bucket_key;
        $output.sse_customer_algorithm = sse.customer_algorithm;
        $output.sse_customer_key_md5 = sse.customer_md5;
    }};
}

pub(super) use {check_policy, customer, report_sse, requested_sse};

/// An object's encryption, as responses describe it.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) mode: Option<ServerSideEncryption>,
    pub(super) kms_key: Option<String>,
    pub(super) bucket_key: Option<bool>,
    pub(super) customer_algorithm: Option<String>,
    pub(super) customer_md5: Option<String>,
}

impl Reported {
    pub(super) fn of(mode: &ServerSide, header: &Header) -> Self {
        let mut headers = mode.response_headers(header);
        Self {
            mode: headers
                .remove(names::SERVER_SIDE_ENCRYPTION)
                .map(ServerSideEncryption::from),
            kms_key: headers.remove(names::KMS_KEY_ID),
            bucket_key: headers.remove(names::BUCKET_KEY_ENABLED).map(|value| value == "true"),
            customer_algorithm: headers.remove(names::CUSTOMER_ALGORITHM),
            customer_md5: headers.remove(names::CUSTOMER_KEY_MD5),
        }
    }
}

impl Gateway {
    /// The customer's key of a request, which must have come over an encrypted connection.
    pub(super) fn customer_key(
        &self,
        extensions: &Extensions,
        headers: CustomerHeaders,
    ) -> S3Result<Option<CustomerKey>> {
        let encrypted = extensions
            .get::<Connection>()
            .is_some_and(|connection| connection.encrypted);
        let allowed = encrypted || self.options.insecure_customer_keys;
        headers.key(allowed).map_err(errors::of_request)
    }

    /// The bucket's default encryption.
    pub(super) async fn bucket_default(&self, bucket: &str) -> S3Result<BucketDefault> {
        Ok(self.configured_default(bucket).await?.unwrap_or_default())
    }

    /// The bucket's default encryption, if it was set.
    pub(super) async fn configured_default(&self, bucket: &str) -> S3Result<Option<BucketDefault>> {
        let stored = self
            .settings
            .get(&*self.backend, &self.keys.ring(), bucket, Setting::Encryption)
            .await;
        let Some(stored) = stored.map_err(errors::of_object)? else {
            return Ok(None);
        };
        let default = serde_json::from_slice(&stored);
        default
            .map(Some)
            .map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, Box::new(error)))
    }

    /// Whether the bucket's policy allows to write an object that is encrypted as the request asks.
    pub(super) async fn check_policy(&self, target: &Target, request: &Request<'_>) -> S3Result<()> {
        let bucket = &target.at.bucket;
        let stored = self
            .settings
            .get(&*self.backend, &self.keys.ring(), bucket, Setting::Policy)
            .await;
        let Some(stored) = stored.map_err(errors::of_object)? else {
            return Ok(());
        };
        // It was parsed before it was stored; whatever cannot be parsed now denies everything.
        let policy = Policy::parse(&stored, bucket);
        match policy {
            Ok(policy) if !policy.denies(&target.name.arn(), request) => Ok(()),
            _ => Err(s3_error!(AccessDenied, "The bucket's policy denies it.")),
        }
    }

    /// The mode that an object opens under, given the request's key. Uses no key.
    pub(super) fn mode_of(
        &self,
        target: &Target,
        header: &Header,
        customer: Option<CustomerKey>,
    ) -> S3Result<ServerSide> {
        let mode = sse::of_object(&self.keys, header, customer).map_err(errors::of_request)?;
        let matches = mode.decryptor(&target.name, header);
        matches.map_err(|error| errors::of_request(error.into()))?;
        Ok(mode)
    }

    /// Unlocks an object.
    pub(super) async fn unlock(&self, target: &Target, header: &Header, mode: &ServerSide) -> S3Result<Unlocked> {
        let unlocked = sse::unlock(&self.keys, &target.name, header, mode).await;
        unlocked.map_err(errors::of_request)?.map_err(errors::of_engine)
    }
}
