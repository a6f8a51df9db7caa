//! What every KMS must do with this provider: run against the local mock, or against the service at
//! `SEALSTONE_TEST_KMS_ENDPOINT`.

use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use sealstone::error::ProviderErrorClass;
use sealstone::format::{ATTACHED_LEN, WrappedKey};
use sealstone::keys::{IntermediateKeys, KeyMatch};
use sealstone::rewrap::SlotChoice;
use sealstone::{
    DataKey, Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, KeyProvider, RawKey, Rewrap,
};
use sealstone_aws_kms::{AwsKms, AwsKmsBuilder};
use sealstone_kms_mock::MockKms;

const REGION: &str = "us-east-1";
const PLAIN: &[u8] = b"large, in practice";

/// A KMS, and a client that creates keys there.
struct Service {
    config: SdkConfig,
    client: Client,
    runtime: tokio::runtime::Runtime,
    /// Stops when this is dropped.
    _mock: Option<MockKms>,
}

impl Service {
    fn start() -> Self {
        let (endpoint, mock) = match std::env::var("SEALSTONE_TEST_KMS_ENDPOINT") {
            Ok(endpoint) => (endpoint, None),
            Err(_) => {
                let mock = MockKms::start().unwrap();
                (mock.endpoint(), Some(mock))
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self {
            client: Client::new(&config),
            config,
            runtime,
            _mock: mock,
        }
    }

    /// A new key's ARN.
    fn key(&self) -> String {
        let made = self.runtime.block_on(self.client.create_key().send()).unwrap();
        made.key_metadata.unwrap().arn.unwrap()
    }

    fn alias(&self, arn: &str) -> String {
        let name = format!("alias/{}", arn.rsplit('/').next().unwrap());
        let call = self.client.create_alias().alias_name(&name).target_key_id(arn).send();
        self.runtime.block_on(call).unwrap();
        name
    }

    fn provider(&self, key: &str) -> AwsKms {
        self.builder(key).build().unwrap()
    }

    fn builder(&self, key: &str) -> AwsKmsBuilder {
        AwsKms::builder(key.parse().unwrap()).config(self.config.clone())
    }
}

fn context(value: &str) -> EncryptionContext {
    EncryptionContext::new()
        .with("bucket", "b")
        .with_supplied("object", value)
}

fn unwrap(key: &AwsKms, slot: &WrappedKey, context: &EncryptionContext) -> Result<DataKey, ProviderErrorClass> {
    pollster::block_on(key.unwrap_key(slot, context)).map_err(|error| error.class)
}

fn opens(object: &[u8], key: Arc<dyn KeyProvider>, context: &EncryptionContext) -> bool {
    let decryptor = Decryptor::new(key).with_context(ExpectedContext::Exact(context.clone()));
    match decryptor.open(object) {
        Ok(plain) => plain == PLAIN,
        Err(Error::NoUsableKey { .. } | Error::Provider(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_data_key_comes_back_by_every_way() {
    let service = Service::start();
    let arn = service.key();
    let alias = service.alias(&arn);
    let id = arn.rsplit('/').next().unwrap();
    for name in [&*arn, id, &alias, &format!("{alias}@{REGION}")] {
        let key = service.provider(name);
        let (from, to) = (context("1"), EncryptionContext::new());
        let generated = pollster::block_on(key.generate_key(&from)).unwrap();
        let wrapped = pollster::block_on(key.wrap_key(&generated.data_key, &from)).unwrap();
        let moved = pollster::block_on(key.rewrap_key(&generated.wrapped, &from, &to)).unwrap();
        let bound = pollster::block_on(key.rebind_key(&wrapped, &from, &to)).unwrap();
        for (slot, context) in [
            (&generated.wrapped, &from),
            (&wrapped, &from),
            (&moved, &to),
            (&bound, &to),
        ] {
            assert_eq!((&*slot.provider, &*slot.key_id), ("aws-kms", &*arn));
            assert!(!matches!(key.matches(slot), KeyMatch::No(_)));
            let opened = pollster::block_on(key.unwrap_key(slot, context)).unwrap();
            assert_eq!(opened.expose(), generated.data_key.expose());
        }
    }
}

#[test]
fn another_context_and_altered_bytes_do_not_open() {
    let service = Service::start();
    let arn = service.key();
    let key = service.provider(&arn);
    let slot = pollster::block_on(key.generate_key(&context("1"))).unwrap().wrapped;
    let mut altered = slot.clone();
    *altered.ciphertext.last_mut().unwrap() ^= 1;
    for (slot, context) in [
        (&slot, context("2")),
        (&slot, EncryptionContext::new()),
        (&slot, context("1").with("more", "1")),
        (&altered, context("1")),
    ] {
        let refused = unwrap(&key, slot, &context).unwrap_err();
        assert_eq!(refused, ProviderErrorClass::BadCiphertext);
        let refused = pollster::block_on(key.rewrap_key(slot, &context, &context)).unwrap_err();
        assert_eq!(refused.class, ProviderErrorClass::BadCiphertext, "{refused}");
    }
    // With the name of another key of the same caller.
    let alias = service.provider(&service.alias(&arn));
    let renamed = WrappedKey::new(slot.provider, service.key(), slot.ciphertext);
    let refused = unwrap(&alias, &renamed, &context("1")).unwrap_err();
    assert_eq!(refused, ProviderErrorClass::BadCiphertext);
}

#[test]
fn another_key_and_a_missing_one_do_not_open() {
    let service = Service::start();
    let [one, two] = [service.key(), service.key()];
    let slot = pollster::block_on(service.provider(&one).generate_key(&context("1")))
        .unwrap()
        .wrapped;
    for name in [&*two, &service.alias(&two)] {
        let refused = unwrap(&service.provider(name), &slot, &context("1")).unwrap_err();
        // Another mock than ours returns the other one.
        let classes = [ProviderErrorClass::OtherKey, ProviderErrorClass::Denied];
        assert!(classes.contains(&refused), "{refused:?}");
    }
    let missing = service.provider("alias/there-is-none");
    let refused = pollster::block_on(missing.generate_key(&context("1"))).unwrap_err();
    assert_eq!(refused.class, ProviderErrorClass::NotFound, "{refused}");
}

#[test]
fn an_object_goes_from_key_to_key_from_local_to_kms_and_back() {
    let service = Service::start();
    let [one, two] = [service.key(), service.key()];
    let local = Arc::new(RawKey::from_slice(&[7; 32]).unwrap());
    let old = Arc::new(service.provider(&one));
    let new = Arc::new(
        service
            .builder(&two)
            .rewraps_from([one.parse().unwrap()])
            .build()
            .unwrap(),
    );
    let context = context("1");
    let mut object = Encryptor::new(local.clone())
        .with_context(context.clone())
        .seal(PLAIN)
        .unwrap();
    let keys: [Arc<dyn KeyProvider>; 4] = [local.clone(), old, new, local];
    for step in keys.windows(2) {
        let [from, to] = step else { unreachable!() };
        let decryptor = Decryptor::new(from.clone()).with_context(ExpectedContext::Exact(context.clone()));
        let rewrap = Rewrap::new(decryptor).replace(SlotChoice::Key(from.clone()), to.clone());
        let header = Decryptor::read_header(object.as_slice()).unwrap();
        let header = rewrap.header(header.header()).unwrap().unwrap();
        object = [&header.to_attached().unwrap(), &object[ATTACHED_LEN..]].concat();
        assert!(opens(&object, to.clone(), &context));
        assert!(!opens(&object, from.clone(), &context));
    }
}

#[test]
fn an_intermediate_key_is_one_call_for_many_objects() {
    let service = Service::start();
    let keys = || IntermediateKeys::new(Arc::new(service.provider(&service.alias(&service.key()))), ["bucket"]);
    let sealing = Arc::new(keys().unwrap());
    let objects: Vec<(Vec<u8>, EncryptionContext)> = (0..20)
        .map(|number| {
            let context = context(&number.to_string());
            let encryptor = Encryptor::new(sealing.clone()).with_context(context.clone());
            (encryptor.seal(PLAIN).unwrap(), context)
        })
        .collect();
    assert_eq!(sealing.stats().generate_calls, 1);
    for (object, context) in &objects {
        assert!(opens(object, sealing.clone(), context));
    }
    assert_eq!(sealing.stats().unwrap_calls, 1);
    assert!(!opens(&objects[0].0, Arc::new(keys().unwrap()), &objects[0].1));
}

#[test]
fn it_works_inside_any_runtime() {
    let service = Service::start();
    let arn = service.key();
    let context = context("1");
    let roundtrip = || async {
        let key = service.provider(&arn);
        let generated = key.generate_key(&context).await.unwrap();
        let opened = key.unwrap_key(&generated.wrapped, &context).await.unwrap();
        assert_eq!(opened.expose(), generated.data_key.expose());
        // Blocking inside a runtime, as the engine's synchronous parts do.
        pollster::block_on(key.unwrap_key(&generated.wrapped, &context)).unwrap();
    };
    pollster::block_on(roundtrip());
    service.runtime.block_on(roundtrip());
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    single.block_on(roundtrip());
}
