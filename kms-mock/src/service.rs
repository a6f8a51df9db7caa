//! The service: from a call to an answer. Stand-in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::AuditLog;
use crate::call::Call;
use crate::clock::Clock;
use crate::error::KmsError;
use crate::store::Seed;

#[derive(Debug, Default)]
pub(crate) struct ServiceConfig {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) clock: Arc<Clock>,
    pub(crate) audit: AuditLog,
    pub(crate) state: Option<PathBuf>,
    pub(crate) seeds: Vec<Seed>,
    pub(crate) max_context_bytes: usize,
}

/// All keys, and what may be done with them.
#[derive(Debug)]
pub(crate) struct Service {
    audit: AuditLog,
}

impl Service {
    pub(crate) fn new(config: ServiceConfig) -> Result<Self, String> {
        let _ = (
            config.account,
            config.region,
            config.clock,
            config.state,
            config.seeds,
            config.max_context_bytes,
        );
        Ok(Self { audit: config.audit })
    }

    /// Answers a call, and writes it into the audit log: the JSON text, empty for operations that answer nothing.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, KmsError> {
        let _ = (
            call.access_key,
            call.region,
            call.source_ip,
            call.user_agent,
            call.host,
            call.request_id,
        );
        Ok(b"{}".to_vec())
    }

    /// Writes a call into the audit log that was refused before it came here.
    pub(crate) fn refused(&self, call: &Call<'_>, error: &KmsError) {
        let _ = (call, error);
    }

    pub(crate) fn ensure_alias(&self, name: &str) -> Result<String, KmsError> {
        Ok(name.to_owned())
    }

    pub(crate) fn set_propagation_delay(&self, delay: Duration) {
        let _ = delay;
    }

    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
    }
}
