//! The three modes of S3's server-side encryption, as a storage system uses them: an object's payload in one place, its
//! header as metadata in another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding};
use md5::{Digest, Md5};
use sealstone::error::ProviderError;
use sealstone::format::{MAX_METADATA_LEN, WrappedKey};
use sealstone::keys::{BoxFuture, GeneratedKey, KeyMatch};
use sealstone::{DataKey, EncryptionContext, Error, Header, KeyProvider, KeyRing, RawKey};
use sealstone_s3_sse::{self as sse, CustomerKey, Mode, ObjectName, ServerSide, SseError, names};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A key service whose slots are as long as those of AWS KMS. It records its calls.
#[derive(Debug)]
struct Service {
    key: RawKey,
    calls: Mutex<Vec<(&'static str, EncryptionContext)>>,
}

impl Service {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            key: RawKey::from_slice(&[9; 32]).unwrap(),
            calls: Mutex::default(),
        })
    }

    fn note(&self, call: &'static str, context: &EncryptionContext) {
        self.calls.lock().unwrap().push((call, context.clone()));
    }

    /// Returns the calls since the last time.
    fn calls(&self) -> Vec<(&'static str, BTreeMap<String, String>)> {
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        let pairs = |context: EncryptionContext| context.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        calls
            .into_iter()
            .map(|(call, context)| (call, pairs(context)))
            .collect()
    }
}

impl KeyProvider for Service {
    fn id(&self) -> &str {
        "aws-kms"
    }

    fn matches(&self, slot: &WrappedKey) -> KeyMatch {
        if slot.key_id == ARN {
            KeyMatch::Yes
        } else {
            KeyMatch::No(None)
        }
    }

    fn generate_key<'a>(
        &'a self,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<GeneratedKey, ProviderError>> {
        Box::pin(async move {
            self.note("generate", context);
            let GeneratedKey { data_key, wrapped, .. } = self.key.generate_key(context).await?;
            let padded = [wrapped.ciphertext.as_slice(), &[0; 184 - 72]].concat();
            let wrapped = WrappedKey::new(self.id(), ARN, padded);
            Ok(GeneratedKey::new(data_key, wrapped))
        })
    }

    fn wrap_key<'a>(
        &'a self,
        data_key: &'a DataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, ProviderError>> {
        Box::pin(async move {
            self.note("wrap", context);
            let wrapped = self.key.wrap_key(data_key, context).await?;
            Ok(WrappedKey::new(
                self.id(),
                ARN,
                [wrapped.ciphertext.as_slice(), &[0; 184 - 72]].concat(),
            ))
        })
    }

    fn unwrap_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<DataKey, ProviderError>> {
        Box::pin(async move {
            self.note("unwrap", context);
            let inner = WrappedKey::new(self.key.id(), self.key.fingerprint(), &wrapped.ciphertext[..72]);
            self.key.unwrap_key(&inner, context).await
        })
    }
}

/// An object in a store.
#[derive(Clone)]
struct Stored {
    metadata: BTreeMap<String, String>,
    payload: Vec<u8>,
}

impl Stored {
    fn put(sse: &ServerSide, name: &ObjectName, plaintext: &[u8]) -> Self {
        let object = sse.encryptor(name).begin().unwrap();
        let metadata = object.header().to_metadata().unwrap();
        let len: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(len <= MAX_METADATA_LEN, "{len}");
        let mut payload = Vec::new();
        object.detach().1.pipe(plaintext, &mut payload).unwrap();
        Self { metadata, payload }
    }

    fn header(&self) -> Header {
        Header::from_metadata(&self.metadata).unwrap()
    }

    fn mode(&self) -> Mode {
        Mode::of(&self.header()).unwrap()
    }

    fn get(&self, sse: &ServerSide, name: &ObjectName) -> Result<Vec<u8>, Refusal> {
        let decryptor = sse.decryptor(name, &self.header()).map_err(Refusal::Request)?;
        let unlocked = decryptor.unlock(self.header()).map_err(Refusal::Object)?;
        unlocked.open(&self.payload).map_err(Refusal::Object)
    }

    fn copied(&self, from: (&ServerSide, &ObjectName), to: (&ServerSide, &ObjectName)) -> Self {
        let rewrap = from.0.copying(from.1, &self.header(), to.0, to.1).unwrap();
        let header = rewrap.header(&self.header()).unwrap().unwrap();
        Self {
            metadata: header.to_metadata().unwrap(),
            payload: self.payload.clone(),
        }
    }
}

#[derive(Debug)]
enum Refusal {
    Request(SseError),
    Object(Error),
}

fn name(key: &str) -> ObjectName {
    ObjectName::new("bucket", key).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The three headers of a key.
fn customer_headers(key: &[u8]) -> [String; 3] {
    let md5 = Base64::encode_string(&Md5::digest(key));
    ["AES256".to_owned(), Base64::encode_string(key), md5]
}

fn customer(byte: u8) -> ServerSide {
    let [algorithm, key, md5] = customer_headers(&[byte; 32]);
    let key = CustomerKey::from_headers(Some(&algorithm), Some(&key), Some(&md5)).unwrap();
    ServerSide::customer(key.unwrap())
}

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::in_memory("sse-s3").unwrap())
}

#[test]
fn each_mode_opens_what_it_sealed_and_shows_in_the_header() {
    let service = Service::new();
    let bucket_keys = Arc::new(sse::bucket_keys(service.clone()).unwrap());
    let modes = [
        (
            ServerSide::s3(ring()),
            Mode::S3,
            vec![(names::SERVER_SIDE_ENCRYPTION, "AES256")],
        ),
        (
            ServerSide::kms(service.clone()).unwrap(),
            Mode::Kms {
                key_id: ARN.to_owned(),
                bucket_key: false,
            },
            vec![(names::SERVER_SIDE_ENCRYPTION, "aws:kms"), (names::KMS_KEY_ID, ARN)],
        ),
        (
            ServerSide::kms_with_bucket_keys(bucket_keys).unwrap(),
            Mode::Kms {
                key_id: ARN.to_owned(),
                bucket_key: true,
            },
            vec![
                (names::SERVER_SIDE_ENCRYPTION, "aws:kms"),
                (names::KMS_KEY_ID, ARN),
                (names::BUCKET_KEY_ENABLED, "true"),
            ],
        ),
        (customer(1), Mode::Customer, vec![(names::CUSTOMER_ALGORITHM, "AES256")]),
    ];
    for (sse, mode, headers) in modes {
        // The longest key that S3 allows takes no room in the metadata.
        let name = name(&"k".repeat(1024));
        let plaintext = vec![7; 40_000];
        let stored = Stored::put(&sse, &name, &plaintext);
        assert_eq!(stored.mode(), mode);
        assert_eq!(stored.get(&sse, &name).unwrap(), plaintext);
        let decryptor = sse.decryptor(&name, &stored.header()).unwrap();
        let unlocked = decryptor.unlock(stored.header()).unwrap();
        let range = unlocked.range_reader(stored.payload.as_slice()).unwrap();
        assert_eq!(range.read_range(16_380..16_390).unwrap()[..], [7; 10]);
        let mut answered = sse.response_headers(&stored.header());
        let md5 = answered.remove(names::CUSTOMER_KEY_MD5);
        assert_eq!(md5.is_some(), mode == Mode::Customer);
        assert_eq!(answered, headers.into_iter().map(|(k, v)| (k, v.to_owned())).collect());
        // At another place it does not open.
        let moved = stored.get(&sse, &ObjectName::new("bucket", "elsewhere").unwrap());
        assert!(matches!(moved, Err(Refusal::Object(Error::Provider(_)))), "{moved:?}");
    }
}

/// What the key service logs: the object's ARN, or with bucket keys the bucket's, a few times.
#[test]
fn the_key_service_gets_the_default_context() {
    let service = Service::new();
    let kms = ServerSide::kms(service.clone()).unwrap();
    let stored = Stored::put(&kms, &name("key"), b"secret");
    stored.get(&kms, &name("key")).unwrap();
    let context = pairs(&[("aws:s3:arn", "arn:aws:s3:::bucket/key")]);
    assert_eq!(service.calls(), [("generate", context.clone()), ("unwrap", context)]);

    let keys = Arc::new(sse::bucket_keys(service.clone()).unwrap());
    let kms = ServerSide::kms_with_bucket_keys(keys).unwrap();
    for number in 0..100 {
        let name = name(&number.to_string());
        let stored = Stored::put(&kms, &name, b"secret");
        assert_eq!(stored.get(&kms, &name).unwrap(), b"secret");
    }
    // The second pair marks it, so that it cannot be unwrapped as an object's own key.
    let context = pairs(&[
        ("aws:s3:arn", "arn:aws:s3:::bucket"),
        ("sealstone:key", "intermediate@v1"),
    ]);
    assert_eq!(service.calls(), [("generate", context.clone()), ("unwrap", context)]);
}

#[test]
fn objects_of_a_ring_that_rotated_still_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring.json");
    let (ring, _) = KeyRing::create_or_open(&path, "sse-s3").unwrap();
    let stored = Stored::put(&ServerSide::s3(Arc::new(ring)), &name("a"), b"old");
    KeyRing::rotate(&path, "sse-s3").unwrap();
    let ring = KeyRing::open(&path).unwrap().with_sealing_key("sse-s3").unwrap();
    let new = ServerSide::s3(Arc::new(ring));
    assert_eq!(stored.get(&new, &name("a")).unwrap(), b"old");
    // A copy onto itself is under the newest version.
    let copied = stored.copied((&new, &name("a")), (&new, &name("a")));
    assert_ne!(copied.header().slots()[0].key_id, stored.header().slots()[0].key_id);
    assert_eq!(copied.get(&new, &name("a")).unwrap(), b"old");
}

#[test]
fn customer_headers_are_checked_as_s3_does() {
    let [algorithm, key, md5] = customer_headers(&[1; 32]);
    let [_, short, short_md5] = customer_headers(&[1; 16]);
    let [_, _, other_md5] = customer_headers(&[2; 32]);
    let check = |algorithm, key, md5| CustomerKey::from_headers(algorithm, key, md5).map(|key| key.is_some());
    let (algorithm, key, md5) = (Some(algorithm.as_str()), Some(key.as_str()), Some(md5.as_str()));
    assert_eq!(check(algorithm, key, md5), Ok(true));
    assert_eq!(check(None, None, None), Ok(false));
    for (checked, error, code) in [
        (
            check(None, key, md5),
            SseError::CustomerHeaderMissing(names::CUSTOMER_ALGORITHM),
            "InvalidArgument",
        ),
        (
            check(algorithm, None, md5),
            SseError::CustomerHeaderMissing(names::CUSTOMER_KEY),
            "InvalidArgument",
        ),
        (
            check(algorithm, key, None),
            SseError::CustomerHeaderMissing(names::CUSTOMER_KEY_MD5),
            "InvalidArgument",
        ),
        (
            check(Some("AES128"), key, md5),
            SseError::CustomerAlgorithm,
            "InvalidEncryptionAlgorithmError",
        ),
        (
            check(algorithm, Some(&short), Some(&short_md5)),
            SseError::CustomerKeyInvalid,
            "InvalidArgument",
        ),
        (
            check(algorithm, Some("not base64"), md5),
            SseError::CustomerKeyInvalid,
            "InvalidArgument",
        ),
        (
            check(algorithm, key, Some(&other_md5)),
            SseError::CustomerKeyMd5,
            "InvalidArgument",
        ),
    ] {
        assert_eq!((checked, error.code(), error.status()), (Err(error.clone()), code, 400));
    }
    let debug = format!("{:?}", customer(0x41));
    assert!(!debug.contains(&"A".repeat(8)) && !debug.contains("QUFB"), "{debug}");
}

#[test]
fn a_request_that_does_not_fit_the_object_is_refused_before_any_key_is_used() {
    let service = Service::new();
    let (s3, kms) = (ServerSide::s3(ring()), ServerSide::kms(service.clone()).unwrap());
    let mine = Stored::put(&customer(1), &name("a"), b"mine");
    let theirs = Stored::put(&kms, &name("a"), b"theirs");
    service.calls();
    for (got, error, status) in [
        (mine.get(&s3, &name("a")), SseError::CustomerKeyRequired, 400),
        (mine.get(&customer(2), &name("a")), SseError::WrongCustomerKey, 403),
        (
            theirs.get(&customer(1), &name("a")),
            SseError::CustomerKeyNotApplicable,
            400,
        ),
        (theirs.get(&s3, &name("a")), SseError::OtherMode(theirs.mode()), 500),
    ] {
        assert!(matches!(&got, Err(Refusal::Request(got)) if *got == error), "{got:?}");
        assert_eq!(error.status(), status);
    }
    assert!(service.calls().is_empty());
    assert_eq!(mine.get(&customer(1), &name("a")).unwrap(), b"mine");
}

#[test]
fn a_copy_goes_to_any_mode_and_place_without_its_payload() {
    let service = Service::new();
    let modes = [ServerSide::s3(ring()), ServerSide::kms(service).unwrap(), customer(1)];
    let plaintext = vec![3; 100_000];
    for from in &modes {
        for to in &modes {
            let stored = Stored::put(from, &name("a"), &plaintext);
            let copied = stored.copied((from, &name("a")), (to, &name("b")));
            assert_eq!(copied.get(to, &name("b")).unwrap(), plaintext);
            assert!(copied.get(to, &name("a")).is_err());
            assert_eq!(stored.get(from, &name("a")).unwrap(), plaintext);
        }
    }
}

/// Someone moved the object `b` to the place of `a`: a copy of `a` to `b` must not count as already done.
#[test]
fn an_object_at_the_wrong_place_is_not_copied_to_its_own() {
    let sse = ServerSide::s3(ring());
    let wrong = Stored::put(&sse, &name("b"), b"secret");
    let rewrap = sse.copying(&name("a"), &wrong.header(), &sse, &name("b")).unwrap();
    assert!(matches!(rewrap.header(&wrong.header()), Err(Error::Provider(_))));
}

#[test]
fn the_callers_own_pairs_are_kept_and_answered() {
    let service = Service::new();
    let sent = Base64::encode_string(br#"{"tenant":"blue","aws:s3:arn":"arn:aws:s3:::bucket/a"}"#);
    let context = sse::context_from_header(&sent, &name("a")).unwrap();
    let kms = ServerSide::kms(service.clone()).unwrap().with_context(context).unwrap();
    let stored = Stored::put(&kms, &name("a"), b"secret");
    let all = pairs(&[("aws:s3:arn", "arn:aws:s3:::bucket/a"), ("tenant", "blue")]);
    assert_eq!(service.calls(), [("generate", all)]);
    let answered = sse::context_to_header(&stored.header()).unwrap();
    assert_eq!(Base64::decode_vec(&answered).unwrap(), br#"{"tenant":"blue"}"#);
    // Readers need not supply them: the object stores them.
    let any = ServerSide::kms(service).unwrap();
    assert_eq!(stored.get(&any, &name("a")).unwrap(), b"secret");
    assert_eq!(
        sse::context_to_header(&Stored::put(&any, &name("a"), b"").header()),
        None
    );

    let refused = |json: &str| sse::context_from_header(&Base64::encode_string(json.as_bytes()), &name("a"));
    for json in [
        "",
        "[]",
        r#"{"a":1}"#,
        r#"{"":"b"}"#,
        r#"{"aws:s3:arn":"arn:aws:s3:::bucket/b"}"#,
        r#"{"tenant":"blue","tenant":"red"}"#,
        r#"{"tenant":"blue","tenant":"blue"}"#,
        r#"{"tenant":"blue","ten\u0061nt":"red"}"#,
        r#"{"aws:s3:arn":"arn:aws:s3:::bucket/b","aws:s3:arn":"arn:aws:s3:::bucket/a"}"#,
        r#"{"a":"b"} {"a":"b"}"#,
    ] {
        assert!(matches!(refused(json), Err(SseError::Context(_))), "{json}");
    }
    assert!(sse::context_from_header("%", &name("a")).is_err());
    for reserved in ["aws:s3:arn", "s3:key", "sealstone:key"] {
        let own = EncryptionContext::new().with(reserved, "mine");
        assert!(any.clone().with_context(own).is_err(), "{reserved}");
    }
}

#[test]
fn names_and_keys_that_would_be_mistaken_for_others_are_refused() {
    for bucket in ["", "a/b"] {
        assert_eq!(ObjectName::new(bucket, "c"), Err(SseError::BucketName));
    }
    assert!(ServerSide::kms(ring()).is_err());
    assert!(sse::bucket_keys(ring()).is_err());
    let two = Stored::put(&ServerSide::s3(ring()), &name("a"), b"");
    let raw: Arc<dyn KeyProvider> = Arc::new(RawKey::from_slice(&[1; 32]).unwrap());
    let both = sealstone::Encryptor::new(ring()).with_key(raw).begin().unwrap();
    assert_eq!(Mode::of(both.header()), Err(SseError::NotServerSide));
    assert_eq!(two.mode(), Mode::S3);
}
