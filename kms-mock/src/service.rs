//! The service: from a call to an answer.
//!
//! ```text
//! Call -> may the caller use this operation? -> input: types, constraints -> the operation -> answer or error
//!                                                            |                        |
//!                                                       parameters                findings -> audit log, either way
//! ```
//!
//! **Permissions.** An access key `K` is the user `arn:aws:iam::ACCOUNT:user/K`, and every user may do everything, as
//! under a key policy that delegates to IAM. Access keys that begin with `GRANTEE` have only the permissions that
//! grants give their ARN, for testing grants and their constraints.

mod aliases;
mod crypto;
mod deletion;
mod exchange;
mod grants;
mod input;
mod keys;
mod lookup;
mod output;
mod policies;
mod regions;
mod reply;
mod rotation;
mod tags;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;

use self::exchange::Exchange;
use self::input::Input;
use self::output::{json, nothing};
use self::reply::{Refused, Reply};
use crate::audit::{AuditLog, Findings, Setting};
use crate::call::Call;
use crate::clock::Clock;
use crate::error::KmsError;
use crate::operation::Operation;
use crate::store::{Region, Seed, StateFileError, Store};

/// The real service's limit for one key.
pub(crate) const ON_DEMAND_ROTATIONS: u32 = 25;

/// Bytes of parameters that the audit log keeps: more than any valid request without a policy has.
const MAX_LOGGED: usize = 32 * 1024;

/// All keys and the operations on them.
#[derive(Debug)]
pub(crate) struct Service {
    account: String,
    /// The region of keys that no call created.
    region: Region,
    /// The limit for one key.
    max_on_demand_rotations: AtomicU32,
    max_context_bytes: usize,
    clock: Arc<Clock>,
    audit: AuditLog,
    store: Store,
    /// Milliseconds.
    propagation_delay: AtomicU64,
}

/// The configuration of a service.
#[derive(Debug)]
pub(crate) struct ServiceConfig {
    /// 12 digits.
    pub(crate) account: String,
    /// The region of keys that no call created.
    pub(crate) region: Region,
    pub(crate) clock: Arc<Clock>,
    pub(crate) audit: AuditLog,
    /// The file that keeps all changes.
    pub(crate) state: Option<PathBuf>,
    pub(crate) seeds: Vec<Seed>,
    /// The limit on the bytes of all keys and values of an encryption context, at most 65,535.
    pub(crate) max_context_bytes: usize,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            account: "000000000000".into(),
            region: Region::parse("us-east-1").expect("the letters are those of a region"),
            clock: Arc::default(),
            audit: AuditLog::default(),
            state: None,
            seeds: Vec::new(),
            max_context_bytes: 8 * 1024,
        }
    }
}

/// Why a service cannot start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The state file cannot be used.
    State { path: PathBuf, reason: StateFileError },
    /// A key cannot be created.
    Seed { alias: String, reason: KmsError },
}

impl Service {
    /// Reads the state file, and creates the keys of the seeds whose aliases do not exist.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn new(config: ServiceConfig) -> Result<Self, StartError> {
        let store = match config.state {
            None => Store::new(),
            Some(path) => {
                let opened = Store::open(path.clone(), &config.account);
                let (store, time) = opened.map_err(|reason| StartError::State { path, reason })?;
                config.clock.advance(time.saturating_sub(config.clock.now()));
                store
            }
        };
        let service = Self {
            account: config.account,
            region: config.region,
            max_on_demand_rotations: AtomicU32::new(ON_DEMAND_ROTATIONS),
            max_context_bytes: config.max_context_bytes.min(usize::from(u16::MAX)),
            clock: config.clock,
            audit: config.audit,
            store,
            propagation_delay: AtomicU64::new(0),
        };
        for seed in &config.seeds {
            service.ensure_seed(seed).map_err(|reason| StartError::Seed {
                alias: seed.alias.clone(),
                reason,
            })?;
        }
        Ok(service)
    }

    /// Creates a key with this alias unless it exists. Returns the key's ARN.
    ///
    /// # Errors
    /// As `CreateAlias` for an invalid name.
    pub(crate) fn ensure_alias(&self, alias: &str) -> Result<String, KmsError> {
        self.ensure_seed(&Seed::of_alias(alias))
    }

    /// From now on, changes of keys' states and grants used without a token take effect after `delay`.
    pub(crate) fn set_propagation_delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.propagation_delay.store(delay, Ordering::Relaxed);
    }

    /// Sets how often one key may be rotated on demand, earlier rotations included.
    pub(crate) fn set_on_demand_rotations(&self, limit: u32) {
        self.max_on_demand_rotations.store(limit, Ordering::Relaxed);
    }

    /// Rotates and deletes keys that are due, and records the time in the state file, so that the clock does not fall
    /// back.
    ///
    /// # Errors
    /// `KMSInternalException` if the state cannot be written.
    pub(crate) fn settle(&self) -> Result<(), KmsError> {
        self.store.change(self.clock.now(), |_| Ok(()))
    }

    /// The audit log, for the events that it keeps in memory.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// Answers a call and records it in the audit log. Returns the JSON text, which is empty for operations without an
    /// answer.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, KmsError> {
        let exchange = Exchange::new(self, call);
        let Served { answer, mut findings } = self.answer(&exchange);
        if answer.is_ok() && !call.operation.is_read_only() {
            findings = findings.with_changed_key();
        }
        self.record(&exchange, &findings, answer.as_ref().err())?;
        answer
    }

    /// Records a call in the audit log that was refused before the service saw it.
    pub(crate) fn refused(&self, call: &Call<'_>, error: &KmsError) {
        // The caller gets the refusal either way.
        let _ = self.record(&Exchange::new(self, call), &Findings::default(), Some(error));
    }

    fn record(&self, exchange: &Exchange<'_>, findings: &Findings, error: Option<&KmsError>) -> Result<(), KmsError> {
        let setting = Setting {
            account: &self.account,
            region: exchange.call.region,
            caller_arn: &exchange.caller,
            now: exchange.now,
        };
        self.audit.record(exchange.call, setting, findings, error)
    }

    fn answer(&self, exchange: &Exchange<'_>) -> Served {
        let operation = exchange.call.operation;
        if Region::parse(exchange.call.region).is_none() {
            let message = "Credential should be scoped to a valid region.";
            return Served::refused(KmsError::new("InvalidSignatureException", message));
        }
        if exchange.is_grantee() && !operation.is_grantable() {
            return Served::refused(exchange.denied(operation.name(), "*"));
        }
        match operation {
            Operation::CancelKeyDeletion => self.serve(exchange, Self::cancel_key_deletion, json),
            Operation::CreateAlias => self.serve(exchange, Self::create_alias, nothing),
            Operation::CreateGrant => self.serve(exchange, Self::create_grant, json),
            Operation::CreateKey => self.serve(exchange, Self::create_key, json),
            Operation::Decrypt => self.serve(exchange, Self::decrypt, json),
            Operation::DeleteAlias => self.serve(exchange, Self::delete_alias, nothing),
            Operation::DescribeKey => self.serve(exchange, Self::describe_key, json),
            Operation::DisableKey => self.serve(exchange, Self::disable_key, nothing),
            Operation::DisableKeyRotation => self.serve(exchange, Self::disable_key_rotation, nothing),
            Operation::EnableKey => self.serve(exchange, Self::enable_key, nothing),
            Operation::EnableKeyRotation => self.serve(exchange, Self::enable_key_rotation, nothing),
            Operation::Encrypt => self.serve(exchange, Self::encrypt, json),
            Operation::GenerateDataKey => self.serve(exchange, Self::generate_data_key, json),
            Operation::GenerateDataKeyWithoutPlaintext => {
                self.serve(exchange, Self::generate_data_key_without_plaintext, json)
            }
            Operation::GenerateRandom => self.serve(exchange, Self::generate_random, json),
            Operation::GetKeyPolicy => self.serve(exchange, Self::get_key_policy, json),
            Operation::GetKeyRotationStatus => self.serve(exchange, Self::get_key_rotation_status, json),
            Operation::ListAliases => self.serve(exchange, Self::list_aliases, json),
            Operation::ListGrants => self.serve(exchange, Self::list_grants, json),
            Operation::ListKeyPolicies => self.serve(exchange, Self::list_key_policies, json),
            Operation::ListKeyRotations => self.serve(exchange, Self::list_key_rotations, json),
            Operation::ListKeys => self.serve(exchange, Self::list_keys, json),
            Operation::ListResourceTags => self.serve(exchange, Self::list_resource_tags, json),
            Operation::ListRetirableGrants => self.serve(exchange, Self::list_retirable_grants, json),
            Operation::PutKeyPolicy => self.serve(exchange, Self::put_key_policy, nothing),
            Operation::ReEncrypt => self.serve(exchange, Self::re_encrypt, json),
            Operation::ReplicateKey => self.serve(exchange, Self::replicate_key, json),
            Operation::RetireGrant => self.serve(exchange, Self::retire_grant, nothing),
            Operation::RevokeGrant => self.serve(exchange, Self::revoke_grant, nothing),
            Operation::RotateKeyOnDemand => self.serve(exchange, Self::rotate_key_on_demand, json),
            Operation::ScheduleKeyDeletion => self.serve(exchange, Self::schedule_key_deletion, json),
            Operation::TagResource => self.serve(exchange, Self::tag_resource, nothing),
            Operation::UntagResource => self.serve(exchange, Self::untag_resource, nothing),
            Operation::UpdateAlias => self.serve(exchange, Self::update_alias, nothing),
            Operation::UpdateKeyDescription => self.serve(exchange, Self::update_key_description, nothing),
            Operation::UpdatePrimaryRegion => self.serve(exchange, Self::update_primary_region, nothing),
        }
    }

    /// Reads and checks the request, has it handled, and writes the answer.
    fn serve<I: Input, A>(
        &self,
        exchange: &Exchange<'_>,
        handle: impl FnOnce(&Self, &Exchange<'_>, I) -> Reply<A>,
        write: impl FnOnce(&A) -> Result<Vec<u8>, KmsError>,
    ) -> Served {
        let mut input: I = match input::parse(exchange.call.body) {
            Ok(input) => input,
            Err(error) => return Served::refused(error),
        };
        input.complete();
        let parameters = if self.audit.is_on() { logged(&input) } else { None };
        let checked = input::check(&input, self.max_context_bytes).map_err(Refused::from);
        let (answer, findings) = match checked.and_then(|()| handle(self, exchange, input)) {
            Ok(done) => {
                let (answer, findings) = done.split();
                (write(&answer), findings)
            }
            Err(refused) => {
                let (error, findings) = refused.split();
                (Err(error), findings)
            }
        };
        Served {
            answer,
            findings: Findings { parameters, ..findings },
        }
    }

    fn max_on_demand_rotations(&self) -> u32 {
        self.max_on_demand_rotations.load(Ordering::Relaxed)
    }

    fn propagation_delay(&self) -> Duration {
        Duration::from_millis(self.propagation_delay.load(Ordering::Relaxed))
    }
}

/// How a call ended.
struct Served {
    answer: Result<Vec<u8>, KmsError>,
    findings: Findings,
}

impl Served {
    fn refused(error: KmsError) -> Self {
        Self {
            answer: Err(error),
            findings: Findings::default(),
        }
    }
}

/// The parameters as the audit log has them, unless they are too long for it.
fn logged(input: &impl Input) -> Option<Box<RawValue>> {
    let parameters = serde_json::value::to_raw_value(input).ok();
    parameters.filter(|parameters| parameters.get().len() <= MAX_LOGGED)
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { path, reason } => write!(f, "the state file {}: {reason}", path.display()),
            Self::Seed { alias, reason } => write!(f, "the key {alias}: {}: {}", reason.kind, reason.message),
        }
    }
}

impl std::error::Error for StartError {}
