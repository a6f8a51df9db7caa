//! A key service for the tests: the mock, and calls of an administrator.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;

use sealstone_kms_mock::{Fault, InjectedError, MockKms, MockKmsBuilder};
use serde_json::Value;

use crate::common::Place;

/// A directory whose program finds a key service with the keys `alias/one` and `alias/two`.
pub(crate) struct Service {
    place: Place,
    pub(crate) mock: MockKms,
}

impl Deref for Service {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

pub(crate) const ONE: &str = "aws-kms:alias/one";
pub(crate) const TWO: &str = "aws-kms:alias/two";

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(MockKms::builder())
    }

    pub(crate) fn with(builder: MockKmsBuilder) -> Self {
        let mock = builder.key("alias/one").key("alias/two").start().unwrap();
        let mut place = Place::new();
        // What every AWS tool reads.
        place.environment = vec![
            ("AWS_ENDPOINT_URL_KMS", mock.endpoint()),
            ("AWS_REGION", mock.region().to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIATESTS".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "not a secret".to_owned()),
        ];
        Self { place, mock }
    }

    /// The key ARN of an alias.
    pub(crate) fn arn(&self, alias: &str) -> String {
        let answer = self.admin("DescribeKey", &serde_json::json!({ "KeyId": alias }));
        answer["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// What the service was asked for by `run`: operation and error code, if it was refused.
    pub(crate) fn calls_of(&self, run: impl FnOnce()) -> Vec<(String, Option<String>)> {
        let before = self.mock.audit_events().len();
        run();
        let text = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
        let events = self.mock.audit_events().into_iter().skip(before);
        events
            .map(|event| (text(&event, "eventName").unwrap(), text(&event, "errorCode")))
            .collect()
    }

    /// An administrator's call.
    pub(crate) fn admin(&self, operation: &str, body: &Value) -> Value {
        let address = self.mock.endpoint();
        let address = address.strip_prefix("http://").unwrap();
        let body = body.to_string();
        let credential = format!("AKIAADMIN/20260101/{}/kms/aws4_request", self.mock.region());
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: TrentService.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={credential}, SignedHeaders=host;x-amz-date, Signature={}\r\nContent-Length: {}\r\n\r\n{body}",
            "0".repeat(64),
            body.len()
        );
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{operation}: {answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

/// Errors of this kind in the place of answers of an operation.
pub(crate) fn failing(operation: &str, kind: &str) -> Fault {
    Fault {
        op: Some(operation.to_owned()),
        error: Some(InjectedError {
            kind: kind.to_owned(),
            message: None,
            status: None,
        }),
        ..Fault::default()
    }
}
