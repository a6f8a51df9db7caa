//! A key service for the tests: the mock, and calls of an administrator.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use sealstone_kms_mock::{Audit, MockKms, MockKmsBuilder};
use serde_json::Value;

use super::{Place, Run};

/// A directory, and a key service with the keys `alias/one` and `alias/two`.
pub struct Service {
    pub place: Place,
    pub mock: MockKms,
}

pub const ONE: &str = "aws-kms:alias/one";
pub const TWO: &str = "aws-kms:alias/two";

impl Service {
    pub fn new() -> Self {
        Self::with(MockKms::builder())
    }

    pub fn with(builder: MockKmsBuilder) -> Self {
        let builder = builder.key("alias/one").key("alias/two").audit(Audit::Memory);
        Self {
            place: Place::new(),
            mock: builder.start().unwrap(),
        }
    }

    /// The program, with the settings that every AWS tool reads.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command
            .env("AWS_ENDPOINT_URL_KMS", self.mock.endpoint())
            .env("AWS_REGION", self.mock.region())
            .env("AWS_ACCESS_KEY_ID", "AKIATESTS")
            .env("AWS_SECRET_ACCESS_KEY", "not a secret");
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().unwrap())
    }

    pub fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run
    }

    pub fn fails(&self, args: &[&str], code: i32, words: &[&str]) -> Run {
        let run = self.run(args);
        run.failed(code, words);
        run
    }

    /// The key ARN of an alias.
    pub fn arn(&self, alias: &str) -> String {
        let answer = self.admin("DescribeKey", &serde_json::json!({ "KeyId": alias }));
        answer["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// What the service was asked for by `run`: operation and error code, if it was refused.
    pub fn calls_of(&self, run: impl FnOnce()) -> Vec<(String, Option<String>)> {
        let before = self.mock.audit_events().len();
        run();
        let text = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
        let events = self.mock.audit_events().into_iter().skip(before);
        events
            .map(|event| (text(&event, "eventName").unwrap(), text(&event, "errorCode")))
            .collect()
    }

    /// An administrator's call.
    pub fn admin(&self, operation: &str, body: &Value) -> Value {
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
