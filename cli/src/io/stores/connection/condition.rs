//! A condition for the end of an upload in parts, which object_store 0.14 cannot set.
//!
//! S3 takes the same conditions for CompleteMultipartUpload as for PutObject. The header is not signed, as object_store's
//! own conditional completion does not sign it either.

use std::io;

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};

use super::super::failure::StoreError;

/// When an upload takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::io::stores) enum Condition {
    /// Always.
    None,
    /// If there is no object of its name.
    Absent,
    /// If the object is still the one with this `ETag`.
    Version(String),
}

/// Connects clients that set the condition.
#[derive(Debug, Clone)]
pub(super) struct Conditional {
    header: Option<(&'static str, HeaderValue)>,
}

impl Conditional {
    /// # Errors
    /// If the version cannot be part of a request: without it the condition would be lost.
    pub(super) fn new(condition: &Condition) -> Result<Self, StoreError> {
        let header = match condition {
            Condition::None => None,
            Condition::Absent => Some(("if-none-match", HeaderValue::from_static("*"))),
            Condition::Version(version) => {
                let version = HeaderValue::from_str(version).map_err(|_| {
                    StoreError::new(
                        io::ErrorKind::InvalidData,
                        "the object's version cannot be part of a request",
                    )
                })?;
                Some(("if-match", version))
            }
        };
        Ok(Self { header })
    }
}

impl HttpConnector for Conditional {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(match &self.header {
            None => client,
            Some(header) => HttpClient::new(Completing {
                client,
                header: header.clone(),
            }),
        })
    }
}

/// Adds a header to the request that completes an upload.
#[derive(Debug)]
struct Completing {
    client: HttpClient,
    header: (&'static str, HeaderValue),
}

#[async_trait]
impl HttpService for Completing {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let completes = query.split('&').any(|pair| pair.starts_with("uploadId="));
        if completes && request.method() == object_store::signer::Method::POST {
            let (name, value) = &self.header;
            request.headers_mut().insert(*name, value.clone());
        }
        self.client.execute(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use object_store::client::HttpRequestBody;
    use object_store::signer::Method;

    use super::super::super::runtime::wait;
    use super::*;

    /// Keeps the headers of the last request.
    #[derive(Debug, Default)]
    struct Store(Arc<Mutex<object_store::HeaderMap>>);

    #[async_trait]
    impl HttpService for Store {
        async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            *self.0.lock().unwrap() = request.headers().clone();
            Ok(HttpResponse::new(Bytes::new().into()))
        }
    }

    #[test]
    fn a_version_that_no_request_can_name_is_refused() {
        let version = Condition::Version("a\nb".to_owned());
        assert!(Conditional::new(&version).is_err());
    }

    #[test]
    fn only_the_end_of_an_upload_has_the_condition() {
        for (condition, name, value) in [
            (Condition::Absent, "if-none-match", "*"),
            (Condition::Version("\"tag\"".to_owned()), "if-match", "\"tag\""),
        ] {
            let seen = Arc::default();
            let service = Completing {
                client: HttpClient::new(Store(Arc::clone(&seen))),
                header: Conditional::new(&condition).unwrap().header.unwrap(),
            };
            for (method, query, has_it) in [
                (Method::POST, "uploadId=1", true),
                (Method::POST, "uploads=", false),
                (Method::PUT, "partNumber=1&uploadId=1", false),
                (Method::DELETE, "uploadId=1", false),
                (Method::GET, "", false),
            ] {
                let mut request = HttpRequest::new(HttpRequestBody::empty());
                *request.method_mut() = method;
                *request.uri_mut() = format!("http://host/bucket/key?{query}").parse().unwrap();
                wait(service.call(request)).unwrap();
                let found = seen.lock().unwrap().get(name).cloned();
                assert_eq!(found.is_some_and(|found| found == value), has_it, "{query}");
            }
        }
    }
}
