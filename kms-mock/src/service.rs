//! The service: from a call to an answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::call::Call;
use crate::clock::Clock;
use crate::error::KmsError;
use crate::mock::Audit;

#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceConfig {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) audit: Audit,
    pub(crate) state: Option<PathBuf>,
    pub(crate) seeds: Option<PathBuf>,
}

/// All keys, and what may be done with them.
#[derive(Debug)]
pub(crate) struct Service {}

impl Service {
    pub(crate) fn new(config: ServiceConfig, clock: Arc<Clock>) -> Result<Self, KmsError> {
        let _ = (
            config.account,
            config.region,
            config.audit,
            config.state,
            config.seeds,
            clock,
        );
        Ok(Self {})
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

    pub(crate) fn ensure_alias(&self, name: &str) -> Result<(), KmsError> {
        let _ = name;
        Ok(())
    }

    pub(crate) fn set_propagation_delay(&self, delay: Duration) {
        let _ = delay;
    }

    pub(crate) fn audit_events(&self) -> Vec<Value> {
        Vec::new()
    }
}
