//! Operations that s3s does not have, or whose bodies it does not parse: `UpdateObjectEncryption`,
//! `PutBucketEncryption` with blocked encryption types, and the reading of those.

use hyper::{HeaderMap, Method, StatusCode, Uri};
use s3s::route::S3Route;
use s3s::xml::{DeError, Deserializer};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use sealstone_s3_sse::{Mode, ServerSide};

use crate::backend::Condition;
use crate::bucket::Setting;
use crate::connection::{Identified, Observer};
use crate::domains::Domains;
use crate::objects;
use crate::sse::{BucketDefault, DefaultMode};

use super::{Gateway, Target, attributes, errors};

/// The longest body of these operations, in bytes.
const MAX_BODY: usize = 64 * 1024;

const MALFORMED: &str = "The XML you provided was not well-formed or did not validate against our published schema";

/// The route of these operations.
#[derive(Debug, Clone)]
pub(super) struct RawOperations(pub(super) Gateway);

#[async_trait::async_trait]
impl S3Route for RawOperations {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut hyper::http::Extensions) -> bool {
        let is_encryption = |pair: &str| pair.split('=').next() == Some("encryption");
        [Method::GET, Method::PUT].contains(method)
            && uri.query().is_some_and(|query| query.split('&').any(is_encryption))
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let Some(credentials) = &request.credentials else {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        };
        let (bucket, key) = self.0.path_of(request)?;
        if let Some(observer) = request.extensions.get::<Observer>() {
            observer.report(Identified {
                access_key: credentials.access_key.clone(),
                operation: match (request.method == Method::GET, key.is_empty()) {
                    (true, _) => "GetBucketEncryption",
                    (false, true) => "PutBucketEncryption",
                    (false, false) => "UpdateObjectEncryption",
                },
                bucket,
                key: Some(key).filter(|key| !key.is_empty()),
            });
        }
        Ok(())
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let (bucket, key) = self.0.path_of(&request)?;
        let mut body = std::mem::take(&mut request.input);
        let body = body.store_all_limited(MAX_BODY).await;
        let body = body.map_err(|_| s3_error!(IncompleteBody, "The body is too long, or ended early."))?;
        match (request.method.as_str(), key.is_empty()) {
            ("GET", true) => self.0.bucket_encryption(&bucket).await,
            ("PUT", true) => self.0.set_bucket_encryption(&bucket, &body).await,
            ("PUT", false) => self.0.update_object_encryption(&bucket, &key, &body).await,
            _ => Err(s3_error!(MethodNotAllowed)),
        }
    }
}

/// What `UpdateObjectEncryption` asks for.
struct Update {
    key: String,
    bucket_key: bool,
}

impl Gateway {
    /// The bucket and key of a request, in either style of path.
    fn path_of(&self, request: &S3Request<Body>) -> S3Result<(String, String)> {
        let path = percent_encoding::percent_decode_str(request.uri.path()).decode_utf8();
        let path = path.map_err(|_| s3_error!(InvalidURI))?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let host = request
            .headers
            .get(hyper::header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri.host()).unwrap_or_default();
        let domains = Domains::new(&self.options.domains).unwrap_or_default();
        match domains.bucket(host) {
            Some(bucket) => Ok((bucket, path.to_owned())),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                Ok((bucket.to_owned(), key.to_owned()))
            }
        }
    }

    async fn bucket_encryption(&self, bucket: &str) -> S3Result<S3Response<Body>> {
        self.backend.head_bucket(bucket).await.map_err(errors::of_backend)?;
        let default = self.configured_default(bucket).await?.ok_or_else(|| {
            // The status that s3s has for this code is another one.
            errors::error(
                "ServerSideEncryptionConfigurationNotFoundError",
                404,
                "The server side encryption configuration was not found",
            )
        })?;
        let (algorithm, key, bucket_keys) = match &default.mode {
            DefaultMode::S3 => ("AES256", None, false),
            DefaultMode::Kms { key, bucket_keys } => ("aws:kms", key.as_deref(), *bucket_keys),
        };
        let key = key.map(|key| format!("<KMSMasterKeyID>{}</KMSMasterKeyID>", escaped(key)));
        let blocked = if default.blocks_customer_keys { "SSE-C" } else { "NONE" };
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{}</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{bucket_keys}</BucketKeyEnabled><BlockedEncryptionTypes><EncryptionType>{blocked}</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>",
            key.unwrap_or_default()
        );
        let mut response = S3Response::new(Body::from(xml));
        let content_type = hyper::header::HeaderValue::from_static("application/xml");
        response.headers.insert(hyper::header::CONTENT_TYPE, content_type);
        Ok(response)
    }

    async fn set_bucket_encryption(&self, bucket: &str, body: &[u8]) -> S3Result<S3Response<Body>> {
        self.backend.head_bucket(bucket).await.map_err(errors::of_backend)?;
        let default = parse_configuration(body)?;
        if let DefaultMode::Kms { key: Some(key), .. } = &default.mode {
            // A name that no request could use. Whether the key exists is asked with the first object, as in S3.
            self.keys.kms(key).map_err(|error| errors::of_provider(&error))?;
        }
        let stored = serde_json::to_vec(&default);
        let stored = stored.map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, Box::new(error)))?;
        self.set(bucket, Setting::Encryption, Some(stored)).await?;
        Ok(S3Response::new(Body::empty()))
    }

    /// Another key for the same payload: the data is not touched, and the `ETag` stays where the store keeps it.
    async fn update_object_encryption(&self, bucket: &str, key: &str, body: &[u8]) -> S3Result<S3Response<Body>> {
        let target = Target::new(bucket, key)?;
        let update = parse_update(body)?;
        if !update.key.starts_with("arn:") || !update.key.contains(":key/") {
            return Err(errors::invalid_argument("The key must be named by its full key ARN."));
        }
        let stored = self.backend.head(&target.at).await.map_err(errors::of_backend)?;
        let header = objects::header(&stored).map_err(errors::of_object)?;
        if Mode::of(&header) == Ok(Mode::Customer) {
            return Err(s3_error!(
                InvalidRequest,
                "The encryption of objects with customer provided keys cannot be updated."
            ));
        }
        let from = self.mode_of(&target, &header, None)?;
        let provider = |error: sealstone::error::ProviderError| errors::of_provider(&error);
        let to = if update.bucket_key {
            ServerSide::kms_with_bucket_keys(self.keys.bucket_keys(&update.key).map_err(provider)?)
        } else {
            ServerSide::kms(self.keys.kms(&update.key).map_err(provider)?)
        };
        let rewrap = from.copying(&target.name, &header, &to.map_err(provider)?, &target.name);
        let rewrap = rewrap.map_err(|error| errors::of_request(error.into()))?;
        let rewrapped = rewrap.header_async(&header).await.map_err(errors::of_engine)?;
        if let Some(rewrapped) = rewrapped {
            let attributes = attributes::with_header(stored.attributes.clone(), &rewrapped)?;
            let unchanged = Condition::Match(stored.etag.clone());
            let at = &target.at;
            let copied = self
                .backend
                .copy(at, &stored.etag, at, attributes, None, unchanged)
                .await;
            copied.map_err(errors::of_backend)?;
        }
        Ok(S3Response::with_status(Body::empty(), StatusCode::OK))
    }
}

/// Text as the content of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn parse_configuration(body: &[u8]) -> S3Result<BucketDefault> {
    let mut rules = Vec::new();
    let parsed = Deserializer::new(body).named_element("ServerSideEncryptionConfiguration", |xml| {
        xml.for_each_element(|xml, name| match name {
            b"Rule" => {
                rules.push(parse_rule(xml)?);
                Ok(())
            }
            _ => Err(DeError::UnexpectedTagName),
        })
    });
    match (parsed, rules.pop()) {
        (Ok(()), Some(rule)) if rules.is_empty() => rule.into_default(),
        _ => Err(s3_error!(MalformedXML, "{MALFORMED}")),
    }
}

/// A rule of a bucket's configuration.
#[derive(Default)]
struct Rule {
    algorithm: Option<String>,
    key: Option<String>,
    bucket_keys: bool,
    blocked: Vec<String>,
}

fn parse_rule(xml: &mut Deserializer<'_>) -> Result<Rule, DeError> {
    let mut rule = Rule::default();
    xml.for_each_element(|xml, name| match name {
        b"ApplyServerSideEncryptionByDefault" => xml.for_each_element(|xml, name| match name {
            b"SSEAlgorithm" => {
                rule.algorithm = Some(xml.content()?);
                Ok(())
            }
            b"KMSMasterKeyID" => {
                rule.key = Some(xml.content()?);
                Ok(())
            }
            _ => Err(DeError::UnexpectedTagName),
        }),
        b"BucketKeyEnabled" => {
            rule.bucket_keys = xml.content()?;
            Ok(())
        }
        b"BlockedEncryptionTypes" => xml.for_each_element(|xml, name| match name {
            b"EncryptionType" => {
                rule.blocked.push(xml.content()?);
                Ok(())
            }
            _ => Err(DeError::UnexpectedTagName),
        }),
        _ => Err(DeError::UnexpectedTagName),
    })?;
    Ok(rule)
}

impl Rule {
    fn into_default(self) -> S3Result<BucketDefault> {
        let mode = match (self.algorithm.as_deref(), self.key) {
            (None | Some("AES256"), None) => DefaultMode::S3,
            (Some("AES256"), Some(_)) => {
                return Err(errors::invalid_argument(
                    "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
                ));
            }
            (Some("aws:kms"), key) => DefaultMode::Kms {
                key,
                bucket_keys: self.bucket_keys,
            },
            (Some("aws:kms:dsse"), _) => return Err(s3_error!(NotImplemented, "aws:kms:dsse is not implemented.")),
            _ => return Err(s3_error!(MalformedXML, "{MALFORMED}")),
        };
        let blocked: Vec<&str> = self.blocked.iter().map(String::as_str).collect();
        let blocks_customer_keys = match &blocked[..] {
            [] | ["NONE"] => false,
            ["SSE-C"] => true,
            _ => return Err(s3_error!(MalformedXML, "{MALFORMED}")),
        };
        Ok(BucketDefault {
            mode,
            blocks_customer_keys,
        })
    }
}

fn parse_update(body: &[u8]) -> S3Result<Update> {
    let (mut key, mut bucket_key) = (None, false);
    let parsed = Deserializer::new(body).named_element("ObjectEncryption", |xml| {
        xml.for_each_element(|xml, name| match name {
            b"SSE-KMS" => xml.for_each_element(|xml, name| match name {
                b"KMSKeyArn" => {
                    key = Some(xml.content()?);
                    Ok(())
                }
                b"BucketKeyEnabled" => {
                    bucket_key = xml.content()?;
                    Ok(())
                }
                _ => Err(DeError::UnexpectedTagName),
            }),
            _ => Err(DeError::UnexpectedTagName),
        })
    });
    match (parsed, key) {
        (Ok(()), Some(key)) => Ok(Update { key, bucket_key }),
        _ => Err(s3_error!(MalformedXML, "{MALFORMED}")),
    }
}
