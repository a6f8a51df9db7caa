//! Rules of the service, with no wire in between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod grants;
mod keys;
mod regions;
mod requests;
mod state;
mod states;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Service, ServiceConfig, StartError};
use crate::audit::AuditLog;
use crate::call::Call;
use crate::clock::Clock;
use crate::error::KmsError;
use crate::operation::Operation;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A service, and the clock to move.
struct Kms {
    service: Service,
    clock: Arc<Clock>,
}

impl Kms {
    fn new() -> Self {
        Self::with(ServiceConfig::default()).unwrap()
    }

    /// With the last events kept in memory.
    fn audited(events: usize) -> Self {
        Self::with(ServiceConfig {
            audit: AuditLog::default().keeping(events),
            ..ServiceConfig::default()
        })
        .unwrap()
    }

    fn with(config: ServiceConfig) -> Result<Self, StartError> {
        let clock = Arc::clone(&config.clock);
        Service::new(config).map(|service| Self { service, clock })
    }

    fn send(&self, access_key: &str, operation: &str, body: &[u8]) -> Result<Value, KmsError> {
        self.send_in("us-east-1", access_key, operation, body)
    }

    fn send_in(&self, region: &str, access_key: &str, operation: &str, body: &[u8]) -> Result<Value, KmsError> {
        let answer = self.service.call(&Call {
            operation: Operation::from_name(operation)?,
            body,
            access_key,
            region,
            request_id: "the-request-id",
            source_ip: "192.0.2.1",
            user_agent: "a client",
            host: "localhost:8600",
            tls: None,
        })?;
        Ok(match answer.as_slice() {
            [] => Value::Null,
            text => serde_json::from_slice(text).unwrap(),
        })
    }

    fn call_as(&self, access_key: &str, operation: &str, body: &Value) -> Result<Value, KmsError> {
        self.send(access_key, operation, body.to_string().as_bytes())
    }

    fn call_in(&self, region: &str, operation: &str, body: &Value) -> Result<Value, KmsError> {
        self.send_in(region, "AKID", operation, body.to_string().as_bytes())
    }

    fn try_call(&self, operation: &str, body: &Value) -> Result<Value, KmsError> {
        self.call_as("AKID", operation, body)
    }

    #[track_caller]
    fn call(&self, operation: &str, body: &Value) -> Value {
        self.try_call(operation, body)
            .unwrap_or_else(|error| panic!("{operation} {body}: {error:?}"))
    }

    /// The message of an error of this kind.
    #[track_caller]
    fn fails(&self, operation: &str, body: &Value, kind: &str) -> String {
        let error = self.try_call(operation, body).expect_err(operation);
        assert_eq!(error.kind, kind, "{operation} {body}: {}", error.message);
        error.message
    }

    /// The ARN of a new key.
    fn key(&self) -> String {
        text(&self.call("CreateKey", &json!({}))["KeyMetadata"]["Arn"])
    }

    /// The answer of `GenerateDataKey`.
    #[track_caller]
    fn data_key(&self, key: &str, context: &Value) -> Value {
        self.call("GenerateDataKey", &data_key(key, context))
    }

    fn decrypts(&self, blob: &Value) -> bool {
        self.try_call("Decrypt", &json!({ "CiphertextBlob": blob })).is_ok()
    }

    fn last_event(&self) -> Value {
        self.service.audit().events().pop().unwrap()
    }
}

fn data_key(key: &str, context: &Value) -> Value {
    json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The id at the end of a key's ARN.
fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}
