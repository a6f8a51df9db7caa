//! Keys of AWS KMS.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};

use sealstone::Header;
use sealstone::error::ProviderErrorClass;
use sealstone::keys::KeyMatch;
use sealstone::rewrap::SlotChoice;
use sealstone_aws_kms::{AwsKms, KmsKey};

use super::kind::{Key, Kind, Provider};
use super::{KeyOptions, KeySpec, slots};
use crate::exit::{Code, Failure};
use crate::report::Report;

const ID: &str = AwsKms::ID;

/// The clients that were made, by their own key and those whose slots they take over.
type Clients = Vec<(KmsKey, Vec<KmsKey>, Provider)>;

/// The same key may be named for reading and writing, and is used for every input: over the same connections.
static CLIENTS: Mutex<Clients> = Mutex::new(Vec::new());

/// Where AWS KMS is.
#[derive(Debug, clap::Args)]
pub(crate) struct KmsOptions {
    /// The URL of AWS KMS [default: as for all AWS tools: $AWS_ENDPOINT_URL_KMS, profiles, the region's own]
    #[arg(long, global = true, value_name = "URL", help_heading = "Keys")]
    kms_endpoint: Option<String>,
    /// Allow AWS KMS at an http:// URL of another machine: anyone on the network path can read the keys
    #[arg(long, global = true, help_heading = "Keys")]
    kms_insecure_endpoint: bool,
    /// Call AWS KMS at most this many times a second for each key
    #[arg(long, global = true, value_name = "N", help_heading = "Keys", value_parser = clap::value_parser!(u32).range(1..))]
    kms_max_per_second: Option<u32>,
}

/// The kind.
#[derive(Debug)]
pub(super) struct Kms;

impl Kind for Kms {
    fn id(&self) -> &'static str {
        ID
    }

    fn forms(&self) -> &'static [&'static str] {
        &["aws-kms:KEY[@REGION], where KEY is an ARN, an id or alias/NAME"]
    }

    fn parse(&self, rest: Option<&OsStr>) -> Result<KeySpec, String> {
        let key = rest
            .unwrap_or_default()
            .to_str()
            .ok_or("a key of AWS KMS is UTF-8 text")?;
        let key: KmsKey = key
            .parse()
            .map_err(|error: sealstone::error::ProviderError| error.message)?;
        Ok(KeySpec::new(key))
    }

    fn candidates(&self) -> Vec<String> {
        vec!["aws-kms:alias/".to_owned(), "aws-kms:arn:".to_owned()]
    }

    fn waits_for(&self) -> Option<&'static str> {
        Some("waiting for AWS KMS")
    }

    /// A header names what its writer likes: a stranger's key service would learn who asks for what.
    fn advice(&self, key_id: &str) -> String {
        format!("--key {ID}:{key_id}, if that key is yours,")
    }

    /// A region, an endpoint, a key that is not allowed: settings, not files that may be damaged.
    fn code(&self, class: ProviderErrorClass) -> Option<Code> {
        (class == ProviderErrorClass::Configuration).then_some(Code::Usage)
    }
}

impl Key for KmsKey {
    fn kind(&self) -> &'static dyn Kind {
        &Kms
    }

    fn seal_with(&self, replaced: &[KeySpec], options: &KeyOptions, _: &Report) -> Result<Provider, Failure> {
        let replaced: Vec<_> = replaced.iter().filter_map(KeySpec::downcast).cloned().collect();
        client(self, &replaced, &options.aws_kms)
    }

    fn open_with(&self, options: &KeyOptions) -> Result<Option<Provider>, Failure> {
        client(self, &[], &options.aws_kms).map(Some)
    }

    /// Which slots are of an alias, only the service can tell.
    fn slots(&self, header: &Header, options: &KeyOptions) -> Result<SlotChoice, Failure> {
        let client = client(self, &[], &options.aws_kms)?;
        if !self.is_key_arn() {
            return Ok(SlotChoice::Key(client));
        }
        Ok(slots::named(header, |slot| {
            slot.provider == ID && client.matches(slot) == KeyMatch::Yes
        }))
    }
}

/// The client of the service for this key, which may have slots of the keys `from` rewrapped. It makes no call yet.
fn client(key: &KmsKey, from: &[KmsKey], options: &KmsOptions) -> Result<Provider, Failure> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = clients
        .iter()
        .find(|(own, others, _)| own == key && others.as_slice() == from);
    if let Some((.., client)) = known {
        return Ok(client.clone());
    }
    let builder = AwsKms::builder(key.clone()).rewraps_from(from.iter().cloned());
    let builder = match &options.kms_endpoint {
        Some(url) => builder.endpoint_url(url),
        None => builder,
    };
    let builder = if options.kms_insecure_endpoint {
        builder.allow_insecure_endpoint()
    } else {
        builder
    };
    let builder = match options.kms_max_per_second {
        Some(calls) => builder.max_per_second(calls),
        None => builder,
    };
    let client: Provider = Arc::new(builder.build()?);
    clients.push((key.clone(), from.to_vec(), client.clone()));
    Ok(client)
}

#[cfg(test)]
mod tests {
    use sealstone::error::ProviderError;

    use super::*;

    #[test]
    fn a_key_is_what_the_service_calls_it() {
        let spec = "aws-kms:alias/backups@eu-west-1".parse::<KeySpec>().unwrap();
        let key = spec.downcast::<KmsKey>().unwrap();
        assert_eq!((key.id(), key.region()), ("alias/backups", Some("eu-west-1")));
        for wrong in ["aws-kms", "aws-kms:", "aws-kms:backups"] {
            assert!(wrong.parse::<KeySpec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_setting_is_a_wrong_request() {
        let error = ProviderError::new(ProviderErrorClass::Configuration, ID, "words");
        assert_eq!(Failure::from(error).code, Code::Usage);
    }

    #[test]
    fn a_slot_names_the_key_to_add() {
        let advice = slots::keys_to_add(&["aws-kms:arn".to_owned()]);
        assert_eq!(advice, "add --key aws-kms:arn, if that key is yours,");
    }
}
