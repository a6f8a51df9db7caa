//! The audit log: one event for each call, in CloudTrail's format.
//!
//! ```text
//! {"eventVersion":"1.11","userIdentity":{...},"eventTime":"...","eventSource":"kms.amazonaws.com","eventName":"Decrypt",...}
//! ```
//!
//! One JSON object per line, to a file or to standard output; the last ones can be kept in memory. Events contain the
//! encryption context exactly as sent, and never a plaintext or a ciphertext.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::call::Call;
use crate::error::KmsError;

/// The destination of events: nowhere by default.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    sink: Option<Sink>,
    keep: usize,
    written: Mutex<Written>,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
}

/// The events kept in memory. The lock also keeps lines apart.
#[derive(Default)]
struct Written {
    last: VecDeque<Vec<u8>>,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events", self.last.len())
    }
}

/// What is found out about a call while it is answered.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) parameters: Option<Box<RawValue>>,
    pub(crate) response: Option<serde_json::Value>,
    pub(crate) additional: AdditionalData,
    /// ARNs of keys and of aliases, the key first.
    pub(crate) resources: Vec<String>,
}

impl Findings {
    /// Names the key that a call changed where the answer does not.
    pub(crate) fn with_changed_key(mut self) -> Self {
        if let (None, Some(arn)) = (&self.response, self.resources.first()) {
            self.response = Some(serde_json::json!({ "keyId": arn }));
        }
        self
    }
}

/// Which key materials were used.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdditionalData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_key_material_id: Option<String>,
}

/// The circumstances of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) caller_arn: &'a str,
    pub(crate) now: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_version: &'static str,
    user_identity: UserIdentity<'a>,
    event_time: String,
    event_source: &'static str,
    event_name: &'static str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'a str,
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    request_parameters: Option<&'a RawValue>,
    response_elements: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_event_data: Option<&'a AdditionalData>,
    #[serde(rename = "requestID")]
    request_id: &'a str,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    resources: Vec<Resource<'a>>,
    event_type: &'static str,
    management_event: bool,
    recipient_account_id: &'a str,
    event_category: &'static str,
    tls_details: TlsDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    principal_id: &'a str,
    arn: &'a str,
    account_id: &'a str,
    access_key_id: &'a str,
    user_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    account_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ARN")]
    arn: &'a str,
}

/// Without TLS, the version and the cipher suite are absent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TlsDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher_suite: Option<&'a str>,
    client_provided_host_header: &'a str,
}

impl AuditLog {
    /// Appends to a file. A new file is readable by its owner only.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(crate) fn to_file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self {
            sink: Some(Sink::File(file)),
            ..Self::default()
        })
    }

    /// Writes to standard output.
    pub(crate) fn to_stdout() -> Self {
        Self {
            sink: Some(Sink::Stdout),
            ..Self::default()
        }
    }

    /// Also keeps the last `events` in memory.
    pub(crate) fn keeping(self, events: usize) -> Self {
        Self { keep: events, ..self }
    }

    /// The events kept in memory, oldest first.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let written = self.written();
        let lines = written.last.iter();
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// The same events as one document in the form of CloudTrail's files: `{"Records": [...]}`.
    pub(crate) fn export(&self) -> serde_json::Value {
        serde_json::json!({ "Records": self.events() })
    }

    /// Whether events are written or kept.
    pub(crate) fn is_on(&self) -> bool {
        self.sink.is_some() || self.keep > 0
    }

    /// Writes the event of one call.
    ///
    /// # Errors
    /// `KMSInternalException` if it cannot be written: a call that is not recorded is not answered.
    pub(crate) fn record(
        &self,
        call: &Call<'_>,
        setting: Setting<'_>,
        findings: &Findings,
        error: Option<&KmsError>,
    ) -> Result<(), KmsError> {
        if !self.is_on() {
            return Ok(());
        }
        let failed = |_| KmsError::internal("The audit log cannot be written.");
        let mut line = serde_json::to_vec(&Event::new(call, setting, findings, error)).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        let mut written = self.written();
        match &self.sink {
            None => Ok(()),
            Some(Sink::Stdout) => io::stdout().lock().write_all(&line),
            Some(Sink::File(file)) => (&*file).write_all(&line),
        }
        .map_err(failed)?;
        if self.keep > 0 {
            if written.last.len() == self.keep {
                written.last.pop_front();
            }
            written.last.push_back(line);
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Event<'a> {
    fn new(call: &'a Call<'_>, setting: Setting<'a>, findings: &'a Findings, error: Option<&'a KmsError>) -> Self {
        let resource = |arn| Resource {
            account_id: setting.account,
            kind: "AWS::KMS::Key",
            arn,
        };
        Self {
            event_version: "1.11",
            user_identity: UserIdentity {
                kind: "IAMUser",
                principal_id: call.access_key,
                arn: setting.caller_arn,
                account_id: setting.account,
                access_key_id: call.access_key,
                user_name: call.access_key,
            },
            event_time: timestamp(setting.now),
            event_source: "kms.amazonaws.com",
            event_name: call.operation.name(),
            aws_region: setting.region,
            source_ip_address: call.source_ip,
            user_agent: call.user_agent.get(..1024).unwrap_or(call.user_agent),
            // The one name that differs between CloudTrail and the API.
            error_code: error.map(|error| match error.kind.as_str() {
                "AccessDeniedException" => "AccessDenied",
                kind => kind,
            }),
            error_message: error
                .map(|error| error.message.as_str())
                .filter(|message| !message.is_empty()),
            request_parameters: findings.parameters.as_deref(),
            response_elements: findings.response.as_ref(),
            additional_event_data: Some(&findings.additional).filter(|additional| !additional.is_empty()),
            request_id: call.request_id,
            event_id: Uuid::new_v4().to_string(),
            read_only: call.operation.is_read_only(),
            resources: findings.resources.iter().map(|arn| resource(arn.as_str())).collect(),
            event_type: "AwsApiCall",
            management_event: true,
            recipient_account_id: setting.account,
            event_category: "Management",
            tls_details: TlsDetails {
                tls_version: call.tls.map(|tls| tls.version),
                cipher_suite: call.tls.map(|tls| tls.cipher_suite.as_str()),
                client_provided_host_header: call.host,
            },
        }
    }
}

impl AdditionalData {
    /// Of an operation that uses one material.
    pub(crate) fn one(key_material_id: String) -> Self {
        Self {
            key_material_id: Some(key_material_id),
            ..Self::default()
        }
    }

    fn is_empty(&self) -> bool {
        let Self {
            key_material_id,
            source_key_material_id,
            destination_key_material_id,
        } = self;
        key_material_id.is_none() && source_key_material_id.is_none() && destination_key_material_id.is_none()
    }
}

/// RFC 3339 in whole seconds. A time beyond its range becomes 1970.
pub(crate) fn timestamp(time: Duration) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(0);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}
