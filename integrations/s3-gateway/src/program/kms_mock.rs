//! A local key service in this process, to try the gateway out.

use std::io::{self, Write};

use super::Failure;
use crate::config::KmsMock;
use crate::keys::KmsSettings;

/// The key that the tour uses, beside `alias/aws/s3`.
#[cfg(feature = "kms-mock")]
const KEY: &str = "alias/demo";

/// A key service that runs as long as this exists.
#[cfg(feature = "kms-mock")]
pub(super) struct RunningMock {
    mock: sealstone_kms_mock::MockKms,
    audit: Option<std::path::PathBuf>,
}

#[cfg(feature = "kms-mock")]
impl RunningMock {
    pub(super) fn start(place: &KmsMock) -> Result<Self, Failure> {
        use sealstone_kms_mock::{Audit, MockKms};
        // AWS's own key is made when it is first used, as in AWS.
        let builder = MockKms::builder().key(KEY);
        let (builder, audit) = match place {
            KmsMock::Memory => (builder.audit(Audit::Stdout), None),
            KmsMock::Directory(directory) => {
                std::fs::create_dir_all(directory)?;
                let audit = directory.join("audit.jsonl");
                let builder = builder.state(directory.join("keys.json"));
                (builder.audit(Audit::File(audit.clone())), Some(audit))
            }
        };
        tracing::warn!("--kms-mock is NOT a real KMS: its keys are not protected");
        Ok(Self {
            mock: builder.start()?,
            audit,
        })
    }

    pub(super) fn configure(&self, kms: &mut KmsSettings) {
        use aws_config::{BehaviorVersion, Region, SdkConfig};
        use aws_credential_types::Credentials;
        use aws_credential_types::provider::SharedCredentialsProvider;
        // It takes any credentials, and the environment may have none.
        let credentials = Credentials::new("mock", "mock", None, None, "kms-mock");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.mock.region().to_owned()))
            .endpoint_url(self.mock.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        kms.config = Some(config);
    }

    pub(super) fn announce(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "kms-mock on {} with the key {KEY}", self.mock.endpoint())?;
        match &self.audit {
            Some(path) => writeln!(to, "kms-mock audit log in {}", path.display()),
            None => Ok(()),
        }
    }
}

/// There is none in this build.
#[cfg(not(feature = "kms-mock"))]
pub(super) struct RunningMock(std::convert::Infallible);

#[cfg(not(feature = "kms-mock"))]
impl RunningMock {
    pub(super) fn start(_: &KmsMock) -> Result<Self, Failure> {
        Err("this build has no --kms-mock: build it with the feature kms-mock".into())
    }

    pub(super) fn configure(&self, _: &mut KmsSettings) {
        match self.0 {}
    }

    pub(super) fn announce(&self, _: &mut impl Write) -> io::Result<()> {
        match self.0 {}
    }
}
