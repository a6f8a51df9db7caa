//! How the provider handles each response of a service, or of an impostor.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use sealstone::error::{ProviderError, ProviderErrorClass};
use sealstone::format::WrappedKey;
use sealstone::keys::KeyMatch;
use sealstone::rewrap::SlotChoice;
use sealstone::{DataKey, Decryptor, EncryptionContext, Encryptor, Error, ExpectedContext, KeyProvider, Rewrap};
use sealstone_aws_kms::{AwsKms, AwsKmsBuilder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER: &str = "arn:aws:kms:us-east-1:444455556666:key/ffffffff-12ab-34cd-56ef-1234567890ab";
/// 32 and 31 bytes of 0x07.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const SHORT: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==";

/// How a request is handled.
#[derive(Clone)]
enum Answer {
    Json(u16, String),
    /// Claims to be longer than it is.
    Truncated(String),
    /// These bytes, then the end of the connection.
    Raw(&'static str),
    Hang,
    /// Waits for another request of this kind.
    Paired(Arc<Pairs>, String),
}

struct Pairs {
    barrier: Barrier,
    now: AtomicUsize,
    most: AtomicUsize,
}

fn error(status: u16, code: &str) -> Answer {
    Answer::Json(status, format!(r#"{{"__type":"{code}","message":"so it is"}}"#))
}

/// The response of KMS to GenerateDataKey and Decrypt.
fn key(arn: &str, plaintext: &str) -> Answer {
    let body = format!(r#"{{"KeyId":"{arn}","Plaintext":"{plaintext}","CiphertextBlob":"d3JhcHBlZA=="}}"#);
    Answer::Json(200, body)
}

/// A server that returns one response after another, and then repeats the last one forever.
struct Fake {
    endpoint: String,
    /// Operation and body of each request.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    /// A message for each hanging request whose connection was closed.
    gone: mpsc::Receiver<()>,
}

impl Fake {
    fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, gone) = mpsc::channel();
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, log, sender) = (answers.clone(), Arc::clone(&log), sender.clone());
                thread::spawn(move || serve(&stream, &answers, &log, &sender));
            }
        });
        Self { endpoint, seen, gone }
    }

    fn builder(&self, key: &str) -> AwsKmsBuilder {
        AwsKms::builder(key.parse().unwrap())
            .config(config())
            .endpoint_url(&self.endpoint)
    }

    fn provider(&self) -> AwsKms {
        self.builder(ARN).max_attempts(1).build().unwrap()
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn serve(mut stream: &TcpStream, answers: &[Answer], log: &Mutex<Vec<(String, String)>>, gone: &mpsc::Sender<()>) {
    let mut reader = BufReader::new(stream);
    let (mut operation, mut len) = (String::new(), 0);
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        let lower = line.trim_end().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            len = value.parse().unwrap();
        } else if let Some(value) = line.trim_end().split("TrentService.").nth(1) {
            operation = value.to_owned();
        }
        line.clear();
    }
    let mut body = vec![0; len];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let answer = {
        let mut log = log.lock().unwrap();
        log.push((operation, String::from_utf8(body).unwrap()));
        answers[(log.len() - 1).min(answers.len() - 1)].clone()
    };
    let head = |status: u16, len: usize| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-requestid: request-1\r\n\
             connection: close\r\ncontent-length: {len}\r\n\r\n"
        )
    };
    let text = match answer {
        Answer::Json(status, body) => head(status, body.len()) + &body,
        Answer::Truncated(body) => head(200, body.len() + 10) + &body,
        Answer::Raw(text) => text.to_owned(),
        Answer::Hang => {
            // Until the client closes the connection.
            while stream.read(&mut [0; 1]).is_ok_and(|read| read > 0) {}
            let _ = gone.send(());
            return;
        }
        Answer::Paired(pairs, body) => {
            let now = pairs.now.fetch_add(1, SeqCst) + 1;
            pairs.most.fetch_max(now, SeqCst);
            pairs.barrier.wait();
            pairs.now.fetch_sub(1, SeqCst);
            head(200, body.len()) + &body
        }
    };
    let _ = stream.write_all(text.as_bytes());
}

fn config() -> SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "very-secret-access-key", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

fn slot(arn: &str) -> WrappedKey {
    WrappedKey::new("aws-kms", arn, b"wrapped".as_slice())
}

fn context() -> EncryptionContext {
    EncryptionContext::new()
        .with("bucket", "b")
        .with_supplied("object", "o")
}

fn unwrap(key: &AwsKms, slot: &WrappedKey) -> Result<[u8; 32], ProviderError> {
    pollster::block_on(key.unwrap_key(slot, &context())).map(|key| *key.expose())
}

fn generate(key: &AwsKms) -> Result<WrappedKey, ProviderError> {
    pollster::block_on(key.generate_key(&context())).map(|generated| generated.wrapped)
}

#[test]
fn decrypt_names_the_callers_key_and_the_whole_context() {
    let fake = Fake::start([key(ARN, KEY)]);
    for name in [ARN, "alias/mine"] {
        let provider = fake.builder(name).build().unwrap();
        assert_eq!(unwrap(&provider, &slot(ARN)).unwrap(), [7; 32]);
        let (operation, body) = fake.seen.lock().unwrap().pop().unwrap();
        assert_eq!(operation, "Decrypt");
        assert!(body.contains(&format!(r#""KeyId":"{name}""#)), "{body}");
        assert!(
            body.contains(r#""bucket":"b""#) && body.contains(r#""object":"o""#),
            "{body}"
        );
    }
    let provider = fake.provider();
    pollster::block_on(provider.unwrap_key(&slot(ARN), &EncryptionContext::new())).unwrap();
    assert!(!fake.seen.lock().unwrap()[0].1.contains("EncryptionContext"));
}

#[test]
fn each_error_has_its_class_and_says_what_to_do() {
    use ProviderErrorClass::{
        BadCiphertext, Configuration, Denied, KeyState, NotFound, OtherKey, Throttled, Unavailable,
    };
    for (status, code, class, advice) in [
        (400, "AccessDeniedException", Denied, "it needs kms:Decrypt"),
        (400, "UnrecognizedClientException", Denied, "credentials were refused"),
        (400, "InvalidSignatureException", Denied, "the clock"),
        (400, "ExpiredTokenException", Denied, "sign in again"),
        (400, "IncorrectKeyException", OtherKey, "if it is yours"),
        (400, "NotFoundException", NotFound, "no such key"),
        (400, "DisabledException", KeyState, "enable it"),
        (409, "com.amazonaws.kms#DisabledException", KeyState, "enable it"),
        (400, "KMSInvalidStateException", KeyState, "cancel its deletion"),
        (400, "InvalidCiphertextException", BadCiphertext, "encryption context"),
        (400, "ThrottlingException", Throttled, "fewer calls"),
        (400, "LimitExceededException", Throttled, "fewer calls"),
        (500, "KMSInternalException", Unavailable, "KMS failed"),
        (500, "KeyUnavailableException", Unavailable, "KMS failed"),
        (503, "DependencyTimeoutException", Unavailable, "KMS failed"),
        (400, "InvalidKeyUsageException", Configuration, "SYMMETRIC_DEFAULT"),
        (400, "InvalidGrantTokenException", Configuration, "check"),
        (400, "ValidationException", Configuration, "check"),
        (403, "SomethingNew", Denied, "refused"),
        (429, "SomethingNew", Throttled, "fewer calls"),
        (502, "SomethingNew", Unavailable, "KMS failed"),
    ] {
        let fake = Fake::start([error(status, code)]);
        let failure = unwrap(&fake.provider(), &slot(ARN)).unwrap_err();
        assert_eq!(failure.class, class, "{failure}");
        assert_eq!(failure.key_id.as_deref(), Some(ARN));
        let code = code.rsplit('#').next().unwrap();
        for part in [advice, code, "so it is", "Decrypt", "request-1"] {
            assert!(failure.message.contains(part), "{part}: {failure}");
        }
        assert_eq!(fake.calls(), 1);
    }
}

#[test]
fn an_answer_for_another_key_is_refused() {
    // By ARN, and by the list of allowed keys alone.
    let fake = Fake::start([key(OTHER, KEY)]);
    let by_arn = fake.provider();
    let by_alias = fake
        .builder("alias/mine")
        .allow_only([ARN.parse().unwrap()])
        .build()
        .unwrap();
    for provider in [&by_arn, &by_alias] {
        assert_eq!(
            unwrap(provider, &slot(ARN)).unwrap_err().class,
            ProviderErrorClass::Denied
        );
        let error = generate(provider).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Denied);
        assert!(error.message.contains(OTHER), "{error}");
        let data_key = DataKey::random().unwrap();
        let wrapped = pollster::block_on(provider.wrap_key(&data_key, &context()));
        assert_eq!(wrapped.unwrap_err().class, ProviderErrorClass::Denied);
        let rebound = pollster::block_on(provider.rebind_key(&slot(ARN), &context(), &context()));
        assert!(!rebound.unwrap_err().is_retryable());
    }
    // Without a list an alias stands for any key, but the slot must name the key that opened it.
    let any = fake.builder("alias/mine").build().unwrap();
    assert_eq!(
        unwrap(&any, &slot(ARN)).unwrap_err().class,
        ProviderErrorClass::BadCiphertext
    );
    assert!(unwrap(&any, &slot(OTHER)).is_ok());
}

#[test]
fn an_answer_without_sense_is_refused() {
    let answers = [
        key(ARN, SHORT),
        key("alias/mine", KEY),
        key("", KEY),
        Answer::Json(200, "{}".to_owned()),
        Answer::Json(200, String::new()),
        Answer::Json(200, "null".to_owned()),
        Answer::Json(200, format!(r#"{{"KeyId":"{ARN}","Plaintext":7,"CiphertextBlob":[]}}"#)),
        Answer::Json(200, format!(r#"{{"KeyId":"{ARN}","Plaintext":"{KEY}","#)),
        Answer::Json(
            200,
            format!(r#"{{"KeyId":"{ARN}","Plaintext":"%%%","CiphertextBlob":"%%%"}}"#),
        ),
        Answer::Json(200, "\u{0}\u{1b}[2J".to_owned()),
        Answer::Truncated(format!(r#"{{"KeyId":"{ARN}","Plaintext":"{KEY}""#)),
        Answer::Raw("SSH-2.0-nobody\r\n"),
        Answer::Raw(""),
    ];
    for answer in answers {
        let fake = Fake::start([answer]);
        let provider = fake.provider();
        for error in [
            unwrap(&provider, &slot(ARN)).unwrap_err(),
            generate(&provider).unwrap_err(),
        ] {
            let senseless = [ProviderErrorClass::BadCiphertext, ProviderErrorClass::Unavailable];
            assert!(senseless.contains(&error.class), "{error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("BwcHBw") && !shown.contains("7, 7, 7"), "{shown}");
            assert!(!shown.contains('\u{1b}'));
        }
    }
    let large = format!(
        r#"{{"KeyId":"{ARN}","Plaintext":"{KEY}","CiphertextBlob":"{}"}}"#,
        "AAAA".repeat(2049)
    );
    let fake = Fake::start([Answer::Json(200, large)]);
    assert_eq!(
        generate(&fake.provider()).unwrap_err().class,
        ProviderErrorClass::BadCiphertext
    );
}

#[test]
fn what_may_succeed_later_is_tried_again_and_no_oftener_than_allowed() {
    let fake = Fake::start([error(500, "KMSInternalException"), key(ARN, KEY)]);
    assert!(unwrap(&fake.builder(ARN).build().unwrap(), &slot(ARN)).is_ok());
    assert_eq!(fake.calls(), 2);

    for (answer, class) in [
        (error(400, "ThrottlingException"), ProviderErrorClass::Throttled),
        (error(500, "KeyUnavailableException"), ProviderErrorClass::Unavailable),
        (Answer::Raw(""), ProviderErrorClass::Unavailable),
    ] {
        let fake = Fake::start([answer]);
        let provider = fake.builder(ARN).max_attempts(2).build().unwrap();
        assert_eq!(unwrap(&provider, &slot(ARN)).unwrap_err().class, class);
        assert_eq!(fake.calls(), 2);
    }
    let fake = Fake::start([error(400, "DisabledException")]);
    unwrap(&fake.builder(ARN).build().unwrap(), &slot(ARN)).unwrap_err();
    assert_eq!(fake.calls(), 1);
}

#[test]
fn a_service_that_does_not_answer_is_waited_for_within_bounds() {
    let fake = Fake::start([Answer::Hang]);
    let attempt = fake
        .builder(ARN)
        .max_attempts(1)
        .attempt_timeout(Duration::from_millis(50));
    let whole = fake.builder(ARN).timeout(Duration::from_millis(50));
    for builder in [attempt, whole] {
        let error = unwrap(&builder.build().unwrap(), &slot(ARN)).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Unavailable, "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let provider = fake
        .builder(ARN)
        .max_attempts(1)
        .endpoint_url(format!("http://{nobody}"));
    let error = unwrap(&provider.build().unwrap(), &slot(ARN)).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Unavailable);
    assert!(error.message.contains("cannot be reached"), "{error}");
}

#[test]
fn a_dropped_future_ends_its_call_and_a_dropped_provider_all_of_them() {
    let fake = Fake::start([Answer::Hang]);
    let provider = Arc::new(fake.provider());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (slot, context) = (slot(ARN), context());
    runtime.block_on(async {
        // Time for the call to reach the service.
        let call = tokio::time::timeout(Duration::from_secs(1), provider.unwrap_key(&slot, &context));
        assert!(call.await.is_err());
    });
    assert_eq!(fake.calls(), 1);
    fake.gone.recv_timeout(Duration::from_secs(10)).unwrap();
    // Dropping it inside another runtime must neither wait nor panic.
    runtime.block_on(async { drop(provider) });
}

#[test]
fn as_many_calls_are_made_at_once_as_the_limit_lets() {
    let pairs = Arc::new(Pairs {
        barrier: Barrier::new(2),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let Answer::Json(_, body) = key(ARN, KEY) else {
        unreachable!()
    };
    let fake = Fake::start([Answer::Paired(Arc::clone(&pairs), body)]);
    let provider = fake.builder(ARN).max_concurrent(2).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| unwrap(&provider, &slot(ARN)).unwrap());
        }
    });
    assert_eq!((fake.calls(), pairs.most.load(SeqCst)), (8, 2));
}

#[test]
fn a_call_whose_turn_would_come_too_late_is_not_made() {
    let fake = Fake::start([key(ARN, KEY)]);
    let provider = fake.builder(ARN).max_per_second(1).timeout(Duration::from_millis(600));
    let provider = provider.build().unwrap();
    unwrap(&provider, &slot(ARN)).unwrap();
    let error = unwrap(&provider, &slot(ARN)).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Throttled, "{error}");
    assert_eq!(fake.calls(), 1);
}

#[test]
fn a_key_that_a_header_names_and_the_caller_does_not_gets_no_call() {
    let fake = Fake::start([key(ARN, KEY)]);
    let object = Encryptor::new(Arc::new(fake.builder(ARN).build().unwrap()))
        .seal(b"plain")
        .unwrap();
    assert_eq!(fake.calls(), 1);
    let other = OTHER.parse().unwrap();
    let by_arn = fake.builder(OTHER).build().unwrap();
    let by_list = fake.builder("alias/mine").allow_only([other]).build().unwrap();
    for provider in [by_arn, by_list] {
        assert!(matches!(provider.matches(&slot(ARN)), KeyMatch::No(Some(reason)) if reason.contains(ARN)));
        assert!(!provider.can_rewrap(&slot(ARN)));
        for refused in [
            unwrap(&provider, &slot(ARN)).map(drop),
            pollster::block_on(provider.rewrap_key(&slot(ARN), &context(), &context())).map(drop),
            pollster::block_on(provider.rebind_key(&slot(ARN), &context(), &context())).map(drop),
        ] {
            let class = refused.unwrap_err().class;
            assert!(
                matches!(class, ProviderErrorClass::OtherKey | ProviderErrorClass::Denied),
                "{class:?}"
            );
        }
        let decryptor = Decryptor::new(Arc::new(provider)).with_context(ExpectedContext::AcceptStored);
        assert!(matches!(decryptor.open(&object), Err(Error::NoUsableKey { .. })));
    }
    assert_eq!(fake.calls(), 1);

    // Nor is a slot of another provider sent to KMS.
    let foreign = WrappedKey::new("local", ARN, b"wrapped".as_slice());
    let refused = unwrap(&fake.provider(), &foreign).unwrap_err();
    assert_eq!(refused.class, ProviderErrorClass::BadCiphertext);
    assert_eq!(fake.calls(), 1);
}

#[test]
fn reencrypt_asks_for_keys_that_the_caller_named() {
    let answer = format!(r#"{{"CiphertextBlob":"bmV3","SourceKeyId":"{OTHER}","KeyId":"{ARN}"}}"#);
    let incorrect = || error(400, "IncorrectKeyException");
    let names = |source: &str, body: &str| {
        body.contains(&format!(r#""SourceKeyId":"{source}""#))
            && body.contains(&format!(r#""DestinationKeyId":"{ARN}""#))
    };
    // By its ARN, and by an alias that may be the key, after another one that is not.
    for (sources, answers) in [
        (vec![OTHER], vec![Answer::Json(200, answer.clone())]),
        (
            vec!["alias/a", "alias/b"],
            vec![incorrect(), Answer::Json(200, answer.clone())],
        ),
        (vec!["alias/a", OTHER], vec![Answer::Json(200, answer.clone())]),
    ] {
        let calls = answers.len();
        let fake = Fake::start(answers);
        let keys = sources.iter().map(|source| source.parse().unwrap());
        let provider = fake.builder(ARN).rewraps_from(keys).build().unwrap();
        assert!(provider.can_rewrap(&slot(OTHER)));
        assert!(matches!(provider.matches(&slot(OTHER)), KeyMatch::No(_)));
        let made =
            pollster::block_on(provider.rewrap_key(&slot(OTHER), &context(), &EncryptionContext::new())).unwrap();
        assert_eq!(made, WrappedKey::new("aws-kms", ARN, b"new".as_slice()));
        let seen = fake.seen.lock().unwrap();
        assert_eq!(seen.len(), calls);
        let (operation, body) = seen.last().unwrap();
        assert_eq!(operation, "ReEncrypt");
        assert!(names(sources.last().unwrap(), body), "{body}");
        assert!(
            body.contains("SourceEncryptionContext") && !body.contains("DestinationEncryptionContext"),
            "{body}"
        );
    }

    // Rebinding has one key on both sides: the one that the alias stands for, not the one that the slot names.
    let answer = format!(r#"{{"CiphertextBlob":"bmV3","SourceKeyId":"{ARN}","KeyId":"{ARN}"}}"#);
    let fake = Fake::start([Answer::Json(200, answer)]);
    let provider = fake.builder("alias/mine").build().unwrap();
    let forged = pollster::block_on(provider.rebind_key(&slot(OTHER), &context(), &context()));
    assert_eq!(forged.unwrap_err().class, ProviderErrorClass::BadCiphertext);
    let body = fake.seen.lock().unwrap()[0].1.clone();
    assert!(
        !body.contains(OTHER) && body.matches(r#"KeyId":"alias/mine""#).count() == 2,
        "{body}"
    );
}

#[test]
fn between_kms_keys_a_rewrap_is_one_reencrypt() {
    let body = format!(r#"{{"CiphertextBlob":"bmV3","SourceKeyId":"{OTHER}","KeyId":"{ARN}"}}"#);
    let (old, reencrypted) = (|| key(OTHER, KEY), Answer::Json(200, body));
    let opening = vec![old(), old(), reencrypted.clone()];
    for (answers, opens, operations) in [
        (opening, true, &["GenerateDataKey", "Decrypt", "ReEncrypt"][..]),
        (vec![old(), reencrypted], false, &["GenerateDataKey", "ReEncrypt"][..]),
    ] {
        let fake = Fake::start(answers);
        let old = Arc::new(fake.builder(OTHER).build().unwrap());
        let new = fake
            .builder(ARN)
            .rewraps_from([OTHER.parse().unwrap()])
            .build()
            .unwrap();
        let object = Encryptor::new(old.clone()).seal(b"plain").unwrap();
        let rewrap = Rewrap::new(Decryptor::new(old.clone())).replace(SlotChoice::Key(old), Arc::new(new));
        let rewrap = if opens { rewrap } else { rewrap.without_opening() };
        let header = Decryptor::read_header(object.as_slice()).unwrap();
        let header = rewrap.header(header.header()).unwrap().unwrap();
        assert_eq!(header.slots(), [WrappedKey::new("aws-kms", ARN, b"new".as_slice())]);
        let seen = fake.seen.lock().unwrap();
        let asked: Vec<&str> = seen.iter().map(|(operation, _)| operation.as_str()).collect();
        assert_eq!(asked, operations);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_and_debug_shows_no_credentials() {
    let fake = Fake::start([key(ARN, KEY)]);
    let alias = "alias/mine".parse().unwrap();
    for builder in [
        fake.builder(ARN).region("eu-west-1"),
        fake.builder(ARN).endpoint_url("127.0.0.1:4599"),
        fake.builder(ARN).endpoint_url("ftp://127.0.0.1"),
        fake.builder(ARN).endpoint_url("https://"),
        fake.builder(ARN).allow_only([OTHER.parse().unwrap()]),
        fake.builder("alias/mine").allow_only([alias]),
    ] {
        assert_eq!(builder.build().unwrap_err().class, ProviderErrorClass::Configuration);
    }
    let provider = fake.provider();
    unwrap(&provider, &slot(ARN)).unwrap();
    let shown = format!("{provider:?} {:?}", fake.builder(ARN));
    assert!(shown.contains(ARN) && shown.contains(&fake.endpoint), "{shown}");
    assert!(
        !shown.contains("AKIDEXAMPLE") && !shown.contains("very-secret"),
        "{shown}"
    );
}

/// Responses contain data keys, which anyone on the network path could read.
#[test]
fn plain_http_to_another_machine_is_refused_unless_it_is_allowed() {
    let reported = |error: &ProviderError| {
        assert_eq!(error.class, ProviderErrorClass::Configuration, "{error}");
        assert!(error.message.contains("allow_insecure_endpoint"), "{error}");
    };
    let builder = || AwsKms::builder(ARN.parse().unwrap()).config(config());
    // Addresses reserved for documentation: nothing responds there, and no request is sent.
    reported(&builder().endpoint_url("http://192.0.2.1:4599").build().unwrap_err());
    // If a program's configuration sets it, it is detected before the request is signed.
    let elsewhere = config().into_builder().endpoint_url("http://192.0.2.1:4599").build();
    let provider = AwsKms::builder(ARN.parse().unwrap()).config(elsewhere).build().unwrap();
    reported(&pollster::block_on(provider.generate_key(&context())).unwrap_err());

    // If it is allowed, the request is sent: to a name that resolves to this machine but is not recognized as local.
    let fake = Fake::start([key(ARN, KEY)]);
    let insisting = builder()
        .endpoint_url("http://192.0.2.1:4599")
        .allow_insecure_endpoint()
        .connect_timeout(Duration::from_millis(200))
        .max_attempts(1);
    let error = pollster::block_on(insisting.build().unwrap().generate_key(&context())).unwrap_err();
    assert_eq!(error.class, ProviderErrorClass::Unavailable, "{error}");
    unwrap(&fake.builder(ARN).build().unwrap(), &slot(ARN)).unwrap();
}

/// The client puts a region into a host name and a signature, and panics if that is impossible.
#[test]
fn a_region_that_is_none_is_an_error_and_no_panic() {
    for region in ["", " ", "eu west 1", "eu-west-1\r\nx: y", "../..", "\u{0}", "é"] {
        let builder = AwsKms::builder("alias/x".parse().unwrap())
            .config(config())
            .region(region);
        let provider = builder
            .endpoint_url("http://127.0.0.1:9")
            .max_attempts(1)
            .build()
            .unwrap();
        let error = pollster::block_on(provider.generate_key(&context())).unwrap_err();
        assert_eq!(error.class, ProviderErrorClass::Configuration, "{region:?}: {error}");
        assert!(error.message.contains("AWS_REGION"), "{region:?}: {error}");
    }
}

/// The client's own error quotes the request.
#[test]
fn a_request_that_cannot_be_sent_is_not_shown() {
    let data_key = DataKey::from_slice(&[7; 32]).unwrap();
    for url in ["http://[::1", "http://a:b:c", "https://[::1", "https://a:b:c"] {
        let builder = AwsKms::builder(ARN.parse().unwrap()).config(config()).endpoint_url(url);
        // What is obviously not a URL is detected before that.
        let error = match builder.build() {
            Ok(provider) => pollster::block_on(provider.wrap_key(&data_key, &context())).unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.class, ProviderErrorClass::Configuration, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("BwcHBw") && error.source.is_none(), "{shown}");
    }
}

/// Records everything that is logged, at every level.
struct Log;

static LOGGED: Mutex<String> = Mutex::new(String::new());

impl Visit for &Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(LOGGED.lock().unwrap(), "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut &Self);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &Self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &Self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn nothing_of_a_data_key_is_logged() {
    tracing::subscriber::set_global_default(Log).unwrap();
    // 32 bytes of 0x5A, and a pattern that repeats in their base64 text.
    let (text, mark) = ("WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=", "WlpaWlpa");
    let fake = Fake::start([key(ARN, text)]);
    let provider = fake.provider();
    let generated = pollster::block_on(provider.generate_key(&context())).unwrap();
    assert_eq!(generated.data_key.expose(), &[0x5A; 32]);
    unwrap(&provider, &slot(ARN)).unwrap();
    pollster::block_on(provider.wrap_key(&generated.data_key, &context())).unwrap();
    assert!(fake.seen.lock().unwrap()[2].1.contains(mark));
    let logged = LOGGED.lock().unwrap();
    assert!(logged.contains("transmitting request") && logged.contains("GenerateDataKey"));
    assert!(!logged.contains(mark) && !logged.contains("90, 90, 90"));
}
