//! Every kind of fault of the service, many times, while files are encrypted, decrypted and rewrapped: each operation
//! ends within bounds, and leaves either the old state or the requested one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kms::config::{Credentials, Region, SharedCredentialsProvider};
use sealstone::file::IfExists;
use sealstone::rewrap::SlotChoice;
use sealstone::{Decryptor, Encryptor, Error, KeyProvider, Rewrap};
use sealstone_aws_kms::AwsKms;
use sealstone_kms_mock::{Fault, InjectedError, MockKms};

const PLAIN: &[u8] = b"large, in practice";

/// Errors that the service returns, and one that it does not have.
const ERRORS: [&str; 12] = [
    "ThrottlingException",
    "LimitExceededException",
    "KMSInternalException",
    "DependencyTimeoutException",
    "KeyUnavailableException",
    "AccessDeniedException",
    "NotFoundException",
    "DisabledException",
    "KMSInvalidStateException",
    "InvalidCiphertextException",
    "IncorrectKeyException",
    "OddException",
];

fn faults() -> Vec<Fault> {
    let errors = ERRORS.map(|kind| Fault {
        error: Some(InjectedError {
            kind: kind.to_owned(),
            message: None,
            status: None,
        }),
        ..Fault::default()
    });
    let others = [
        Fault {
            hang: true,
            ..Fault::default()
        },
        Fault {
            reset_connection: true,
            ..Fault::default()
        },
        Fault {
            truncate_body: true,
            ..Fault::default()
        },
    ];
    errors.into_iter().chain(others).collect()
}

/// A service, two of its keys, and a directory.
struct Place {
    mock: MockKms,
    keys: [Arc<AwsKms>; 2],
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let mock = MockKms::builder().key("alias/one").key("alias/two").start().unwrap();
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(mock.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let key = |name: &str| {
            let builder = AwsKms::builder(name.parse().unwrap()).config(config.clone());
            // One attempt, because other tests cover the waits between attempts.
            let builder = builder.max_attempts(1).attempt_timeout(Duration::from_millis(500));
            Arc::new(builder.rewraps_from(["alias/one".parse().unwrap()]).build().unwrap())
        };
        Self {
            keys: [key("alias/one"), key("alias/two")],
            mock,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn provider(&self, at: usize) -> Arc<dyn KeyProvider> {
        self.keys[at].clone()
    }

    /// Writes `object` again.
    fn encrypt(&self) -> Result<u64, Error> {
        fs::write(self.path("plain"), PLAIN).unwrap();
        Encryptor::new(self.provider(0)).seal_path(self.path("plain"), self.path("object"), IfExists::Replace)
    }

    fn decrypt(&self) -> Result<(), Error> {
        let decryptor = Decryptor::new(self.provider(0));
        let opened = decryptor.open_path(self.path("object"), self.path("opened"), IfExists::Replace);
        opened.map(drop)
    }

    /// From the first key to the second.
    fn rewrap(&self) -> Result<(), Error> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.path("object"))
            .unwrap();
        let rewrap = Rewrap::new(Decryptor::new(self.provider(0)));
        let rewrap = rewrap.replace(SlotChoice::Key(self.provider(0)), self.provider(1));
        rewrap.file(&file).map(drop)
    }

    /// Whether the object opens with the key.
    fn opens(&self, at: usize) -> bool {
        let object = fs::read(self.path("object")).unwrap();
        match Decryptor::new(self.provider(at)).open(&object) {
            Ok(plain) => plain == PLAIN,
            Err(error) => {
                assert!(
                    matches!(error, Error::NoUsableKey { .. } | Error::Provider(_)),
                    "{error}"
                );
                false
            }
        }
    }

    /// Runs `work` while some of the calls fail; returns its result.
    fn under<T>(&self, fault: &Fault, round: u64, work: impl FnOnce() -> T) -> T {
        let fault = Fault {
            // So that the fault hits each of the calls of a rewrap in turn.
            skip_first: round % 3,
            ..fault.clone()
        };
        let id = self.mock.faults().add(fault).unwrap();
        let result = work();
        assert!(self.mock.faults().remove(id));
        result
    }

    fn calls(&self) -> usize {
        self.mock.audit_events().len()
    }
}

/// Unexpected files in the directory.
fn left_over(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names
        .filter(|name| !["plain", "object", "opened"].contains(&name.as_str()))
        .collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn no_fault_of_the_service_leaves_anything_half_done() {
    let mut place = Place::new();
    let rounds = number("SEALSTONE_CASES").unwrap_or(6);
    let mut refused = 0;
    let mut cases = 0;
    for round in 0..rounds {
        // A new service before its log is full, because a full log counts no more calls.
        if round % 10 == 9 {
            place = Place::new();
        }
        for fault in faults() {
            place.encrypt().unwrap();
            let object = fs::read(place.path("object")).unwrap();
            let calls = place.calls();

            // Another object, or the old one.
            let failed = place.under(&fault, round, || place.encrypt()).is_err();
            let found = fs::read(place.path("object")).unwrap();
            assert!(failed == (found == object), "{fault:?}");
            assert!(place.opens(0), "{fault:?}");

            let _ = fs::remove_file(place.path("opened"));
            let failed_to_open = place.under(&fault, round, || place.decrypt()).is_err();
            let opened = fs::read(place.path("opened")).ok();
            assert_eq!(opened.as_deref(), (!failed_to_open).then_some(PLAIN), "{fault:?}");

            let failed_to_rewrap = place.under(&fault, round, || place.rewrap()).is_err();
            assert!(place.opens(usize::from(!failed_to_rewrap)), "{fault:?}");
            assert!(!place.opens(usize::from(failed_to_rewrap)), "{fault:?}");

            let called = place.calls() - calls;
            assert!(
                (1..=12).contains(&called),
                "{called} calls: none is repeated without end"
            );
            assert_eq!(left_over(place.dir.path()), [""; 0], "{fault:?}");
            refused += [failed, failed_to_open, failed_to_rewrap]
                .map(u32::from)
                .iter()
                .sum::<u32>();
            cases += 3;
        }
    }
    assert!(refused > 0);
    println!("campaign: kms_faults cases={cases} refused={refused}");
}
