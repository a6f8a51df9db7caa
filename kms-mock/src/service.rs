//! The service: from a call to an answer.
//!
//! ```text
//! Call -> may the caller do such things at all? -> input: types, constraints -> the operation -> JSON
//!                                                    |                            |
//!                                                    +---------> findings <-------+ -> audit log, whatever the end
//! ```
//!
//! **Who may do what.** An access key `K` is the user `arn:aws:iam::ACCOUNT:user/K`, and every user may do everything,
//! as under a key policy that leaves it to IAM. Access keys that begin with `GRANTEE` may do nothing but what grants
//! give their ARN: with them, grants and their constraints can be tested.

mod aliases;
mod crypto;
mod deletion;
mod grants;
mod input;
mod keys;
mod lookup;
mod output;
mod policies;
mod regions;
mod rotation;
mod tags;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use self::input::{Checks, Input};
use self::output::{json, nothing};
use crate::audit::{AuditLog, Findings, Setting};
use crate::call::Call;
use crate::clock::Clock;
use crate::error::KmsError;
use crate::operation::Operation;
use crate::store::{AliasPlace, KeyId, Place, Region, Seed, StateFileError, Store};

/// Access keys that begin so have no rights but those of grants.
const GRANTEE_PREFIX: &str = "GRANTEE";

/// As the real service allows of one key.
pub(crate) const ON_DEMAND_ROTATIONS: u32 = 25;

/// Bytes of parameters that the audit log keeps: more than any valid request has but for a policy.
const MAX_LOGGED: usize = 32 * 1024;

/// All keys, and what may be done with them.
#[derive(Debug)]
pub(crate) struct Service {
    account: String,
    /// Of keys that no call made.
    region: Region,
    /// How often one key may be rotated on demand.
    max_on_demand_rotations: AtomicU32,
    max_context_bytes: usize,
    clock: Arc<Clock>,
    audit: AuditLog,
    store: Store,
    /// Milliseconds.
    propagation_delay: AtomicU64,
}

/// What a service is made of.
#[derive(Debug)]
pub(crate) struct ServiceConfig {
    /// 12 digits.
    pub(crate) account: String,
    /// Of keys that no call made.
    pub(crate) region: Region,
    pub(crate) clock: Arc<Clock>,
    pub(crate) audit: AuditLog,
    /// A file that all changes are kept in.
    pub(crate) state: Option<PathBuf>,
    pub(crate) seeds: Vec<Seed>,
    /// Bytes of all keys and values of an encryption context; more than 65,535 are never allowed.
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
    /// A key cannot be made.
    Seed { alias: String, reason: KmsError },
}

impl Service {
    /// Reads the state file, and makes the keys of the seeds that are not there yet.
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

    /// Makes a key with this alias, if there is none; the key's ARN.
    ///
    /// # Errors
    /// As `CreateAlias` for a name that cannot be one.
    pub(crate) fn ensure_alias(&self, alias: &str) -> Result<String, KmsError> {
        self.ensure_seed(&Seed::of_alias(alias))
    }

    /// From now on, cryptographic operations see a change of a key's state, and a grant without its token, only when
    /// `delay` has passed.
    pub(crate) fn set_propagation_delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.propagation_delay.store(delay, Ordering::Relaxed);
    }

    /// From now on, so many rotations on demand of one key, those before among them.
    pub(crate) fn set_on_demand_rotations(&self, limit: u32) {
        self.max_on_demand_rotations.store(limit, Ordering::Relaxed);
    }

    /// Does what has become due, and keeps the time in the state file: a clock that was moved does not fall back.
    ///
    /// # Errors
    /// `KMSInternalException` if the state cannot be written.
    pub(crate) fn settle(&self) -> Result<(), KmsError> {
        self.store.change(self.clock.now(), |_| Ok(()))
    }

    /// The audit log, for what it keeps in memory.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// Answers a call, and writes it into the audit log: the JSON text, empty for operations that answer nothing.
    pub(crate) fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, KmsError> {
        let mut exchange = Exchange::new(self, call);
        let answer = self.answer(&mut exchange);
        if answer.is_ok() && !call.operation.is_read_only() {
            exchange.findings.complete_response();
        }
        self.record(&exchange, answer.as_ref().err())?;
        answer
    }

    /// Writes a call into the audit log that was refused before it came here.
    pub(crate) fn refused(&self, call: &Call<'_>, error: &KmsError) {
        // The caller gets the refusal either way.
        let _ = self.record(&Exchange::new(self, call), Some(error));
    }

    fn record(&self, exchange: &Exchange<'_>, error: Option<&KmsError>) -> Result<(), KmsError> {
        let setting = Setting {
            account: &self.account,
            region: exchange.call.region,
            caller_arn: &exchange.caller,
            now: exchange.now,
        };
        self.audit.record(exchange.call, setting, &exchange.findings, error)
    }

    fn answer(&self, exchange: &mut Exchange<'_>) -> Result<Vec<u8>, KmsError> {
        let operation = exchange.call.operation;
        if Region::parse(exchange.call.region).is_none() {
            let message = "Credential should be scoped to a valid region.";
            return Err(KmsError::new("InvalidSignatureException", message));
        }
        if exchange.is_grantee() && !operation.is_grantable() {
            return Err(exchange.denied(operation.name(), "*"));
        }
        match operation {
            Operation::CancelKeyDeletion => json(&self.cancel_key_deletion(exchange)?),
            Operation::CreateAlias => nothing(self.create_alias(exchange)),
            Operation::CreateGrant => json(&self.create_grant(exchange)?),
            Operation::CreateKey => json(&self.create_key(exchange)?),
            Operation::Decrypt => json(&self.decrypt(exchange)?),
            Operation::DeleteAlias => nothing(self.delete_alias(exchange)),
            Operation::DescribeKey => json(&self.describe_key(exchange)?),
            Operation::DisableKey => nothing(self.disable_key(exchange)),
            Operation::DisableKeyRotation => nothing(self.disable_key_rotation(exchange)),
            Operation::EnableKey => nothing(self.enable_key(exchange)),
            Operation::EnableKeyRotation => nothing(self.enable_key_rotation(exchange)),
            Operation::Encrypt => json(&self.encrypt(exchange)?),
            Operation::GenerateDataKey => json(&self.generate_data_key(exchange)?),
            Operation::GenerateDataKeyWithoutPlaintext => json(&self.generate_data_key_without_plaintext(exchange)?),
            Operation::GenerateRandom => json(&self.generate_random(exchange)?),
            Operation::GetKeyPolicy => json(&self.get_key_policy(exchange)?),
            Operation::GetKeyRotationStatus => json(&self.get_key_rotation_status(exchange)?),
            Operation::ListAliases => json(&self.list_aliases(exchange)?),
            Operation::ListGrants => json(&self.list_grants(exchange)?),
            Operation::ListKeyPolicies => json(&self.list_key_policies(exchange)?),
            Operation::ListKeyRotations => json(&self.list_key_rotations(exchange)?),
            Operation::ListKeys => json(&self.list_keys(exchange)?),
            Operation::ListResourceTags => json(&self.list_resource_tags(exchange)?),
            Operation::ListRetirableGrants => json(&self.list_retirable_grants(exchange)?),
            Operation::PutKeyPolicy => nothing(self.put_key_policy(exchange)),
            Operation::ReEncrypt => json(&self.re_encrypt(exchange)?),
            Operation::ReplicateKey => json(&self.replicate_key(exchange)?),
            Operation::RetireGrant => nothing(self.retire_grant(exchange)),
            Operation::RevokeGrant => nothing(self.revoke_grant(exchange)),
            Operation::RotateKeyOnDemand => json(&self.rotate_key_on_demand(exchange)?),
            Operation::ScheduleKeyDeletion => json(&self.schedule_key_deletion(exchange)?),
            Operation::TagResource => nothing(self.tag_resource(exchange)),
            Operation::UntagResource => nothing(self.untag_resource(exchange)),
            Operation::UpdateAlias => nothing(self.update_alias(exchange)),
            Operation::UpdateKeyDescription => nothing(self.update_key_description(exchange)),
            Operation::UpdatePrimaryRegion => nothing(self.update_primary_region(exchange)),
        }
    }

    fn max_on_demand_rotations(&self) -> u32 {
        self.max_on_demand_rotations.load(Ordering::Relaxed)
    }

    fn propagation_delay(&self) -> Duration {
        Duration::from_millis(self.propagation_delay.load(Ordering::Relaxed))
    }
}

/// One call while it is answered.
#[derive(Debug)]
struct Exchange<'a> {
    call: &'a Call<'a>,
    now: Duration,
    /// That of the signature: each has keys of its own.
    region: Region,
    /// Its ARN.
    caller: String,
    max_context_bytes: usize,
    logs: bool,
    findings: Findings,
}

impl<'a> Exchange<'a> {
    fn new(service: &Service, call: &'a Call<'a>) -> Self {
        Self {
            call,
            now: service.clock.now(),
            region: Region::parse(call.region).unwrap_or_else(|| service.region.clone()),
            caller: format!("arn:aws:iam::{}:user/{}", service.account, call.access_key),
            max_context_bytes: service.max_context_bytes,
            logs: service.audit.is_on(),
            findings: Findings::default(),
        }
    }

    /// The request, whose constraints hold.
    fn input<T: Input>(&mut self) -> Result<T, KmsError> {
        let mut input: T = input::parse(self.call.body)?;
        input.complete();
        if self.logs {
            let parameters = serde_json::value::to_raw_value(&input).ok();
            self.findings.parameters = parameters.filter(|parameters| parameters.get().len() <= MAX_LOGGED);
        }
        let mut checks = Checks::new(self.max_context_bytes);
        input.check(&mut checks);
        checks.finish()?;
        Ok(input)
    }

    fn place(&self, id: KeyId) -> Place {
        let region = self.region.clone();
        Place { region, id }
    }

    fn alias(&self, name: &str) -> AliasPlace {
        AliasPlace {
            region: self.region.clone(),
            name: name.to_owned(),
        }
    }

    fn is_grantee(&self) -> bool {
        self.call.access_key.starts_with(GRANTEE_PREFIX)
    }

    fn denied(&self, action: &str, resource: &str) -> KmsError {
        KmsError::denied(&self.caller, action, resource)
    }
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
