//! The program: from arguments to a server, and back to an exit code.

mod kms_mock;
mod log;
mod signals;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sealstone::KeyRing;

use self::kms_mock::RunningMock;
use self::signals::Signals;
use crate::backend::{Backend, DiskBackend, MemoryBackend};
use crate::config::{AccessKeys, Config, ConfigError, Flags, S3Settings, StoreUrl};
use crate::keys::Keys;
use crate::s3::Gateway;
use crate::server::{Ended, Server};
use crate::sys;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    sys::forbid_core_dumps();
    sys::allow_descriptors();
    let result = Config::new(Flags::parse()).map_err(Into::into).and_then(run);
    match result {
        Ok(Ended::Finished) => ExitCode::SUCCESS,
        Ok(Ended::CutOff) => {
            eprintln!("sealstone-gateway: requests were cut off: they took longer than --shutdown-timeout");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sealstone-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

type Failure = Box<dyn Error + Send + Sync>;

fn run(config: Config) -> Result<Ended, Failure> {
    log::start(config.log.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(config));
    // A store that hangs may block a thread.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(mut config: Config) -> Result<Ended, Failure> {
    let clients = access_keys(&config)?;
    let mock = config.kms_mock.as_ref().map(RunningMock::start).transpose()?;
    if let (Some(mock), Some(kms)) = (&mock, &mut config.kms) {
        mock.configure(kms);
    }
    let backend = open(&config.store, &config.s3).await?;
    let keys = Arc::new(Keys::new(Arc::new(ring(&config)?), config.kms.clone()).cached_for(config.cached_for));
    let gateway = Gateway::new(backend, keys.clone(), config.options.clone());

    // Installed before the address is announced.
    let signals = Signals::install()?;
    let server = Server::bind(config.server.clone(), clients).await?;
    announce(&server, &config, mock.as_ref())?;
    if let Some(age) = config.upload_age {
        tokio::spawn(sweep(gateway.clone(), age));
    }
    let handle = server.handle();
    let reload = move || {
        let ring = reloaded_ring(&config, &keys.ring()).map(|ring| keys.set_ring(Arc::new(ring)));
        let access_keys = access_keys(&config).map(|keys| handle.set_access_keys(keys));
        let files = handle.reload();
        for outcome in [ring, access_keys.map_err(Failure::from), files.map_err(Failure::from)] {
            if let Err(error) = outcome {
                tracing::error!("kept what was loaded before: {error}");
            }
        }
        tracing::info!("reloaded");
    };
    let handle = server.handle();
    signals.watch(reload, move || handle.shut_down());
    Ok(server.serve(gateway.service()).await?)
}

/// Drops stale uploads, until the program ends. All instances do: an upload that is gone does no harm.
async fn sweep(gateway: Gateway, age: Duration) {
    loop {
        match gateway.sweep_uploads(age).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!("dropped {swept} multipart uploads that were never completed"),
            Err(error) => tracing::warn!("cannot drop stale multipart uploads: {error}"),
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

async fn open(store: &StoreUrl, s3: &S3Settings) -> Result<Arc<dyn Backend>, Failure> {
    match store {
        StoreUrl::Memory => Ok(Arc::new(MemoryBackend::default())),
        StoreUrl::Directory(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || DiskBackend::open(path)).await?;
            Ok(Arc::new(opened?))
        }
        StoreUrl::Aws => open_s3(None, s3).await,
        StoreUrl::Endpoint(url) => open_s3(Some(url.clone()), s3).await,
    }
}

#[cfg(feature = "s3")]
async fn open_s3(endpoint: Option<String>, settings: &S3Settings) -> Result<Arc<dyn Backend>, Failure> {
    use crate::backend::{Requirement, S3Backend, S3Config};
    let waived = settings.lacks.iter().map(|name| name.parse());
    let waived: Vec<Requirement> = waived.collect::<Result<_, String>>()?;
    let config = S3Config {
        endpoint,
        region: settings.region.clone(),
        ..S3Config::default()
    };
    let store = S3Backend::new(&config).await;
    match &settings.probe {
        Some(bucket) => store.probe(bucket, &waived).await?,
        None => store.probe_any(&waived).await?,
    }
    Ok(Arc::new(store))
}

#[cfg(not(feature = "s3"))]
async fn open_s3(_: Option<String>, _: &S3Settings) -> Result<Arc<dyn Backend>, Failure> {
    Err("built without S3 stores; build with --features s3".into())
}

fn access_keys(config: &Config) -> Result<AccessKeys, ConfigError> {
    match &config.access_keys {
        Some(path) => AccessKeys::from_file(path),
        None => AccessKeys::from_environment(),
    }
}

/// The ring of SSE-S3. At the first start it is made, except for a key that is named: its name may be a typing error.
fn ring(config: &Config) -> Result<KeyRing, Failure> {
    if let Some(name) = &config.keyring_key {
        return Ok(KeyRing::open(&config.keyring)?.with_sealing_key(name)?);
    }
    let (ring, created) = KeyRing::create_or_open(&config.keyring, KeyRing::DEFAULT_NAME)?;
    if created {
        tracing::warn!(
            "made the key {} in the key ring {}: keep a copy of that file; if it is lost, everything encrypted with it \
             is lost",
            KeyRing::DEFAULT_NAME,
            config.keyring.display()
        );
    }
    Ok(ring)
}

/// The ring, read again. It is not made anew: a file that is missing for a moment must not become another ring. Nor may it
/// lack a key that objects are sealed under.
fn reloaded_ring(config: &Config, loaded: &KeyRing) -> Result<KeyRing, Failure> {
    let mut ring = KeyRing::open(&config.keyring)?;
    if let Some(name) = &config.keyring_key {
        ring = ring.with_sealing_key(name)?;
    }
    let versions = |ring: &KeyRing| -> BTreeSet<(String, String)> {
        let entries = ring.entries();
        let named = entries.flat_map(|entry| {
            let name = entry.name.clone();
            entry
                .versions
                .into_iter()
                .map(move |version| (name.clone(), version.id))
        });
        named.collect()
    };
    if let Some((name, version)) = versions(loaded).difference(&versions(&ring)).next() {
        let path = config.keyring.display();
        return Err(format!("the key ring {path} lacks version {version} of the key {name}, which is in use").into());
    }
    Ok(ring)
}

/// The first line is for programs: it says that the server accepts connections.
fn announce(server: &Server, config: &Config, mock: Option<&RunningMock>) -> io::Result<()> {
    let (scheme, address) = (
        if config.server.tls.is_some() { "https" } else { "http" },
        server.address()?,
    );
    let mut to = io::stdout().lock();
    writeln!(to, "listening on {scheme}://{address}")?;
    if let Some(admin) = server.admin_address() {
        writeln!(to, "admin on http://{admin}")?;
    }
    if let Some(mock) = mock {
        mock.announce(&mut to)?;
    }
    to.flush()?;
    if scheme == "http" && !address.ip().is_loopback() && !config.server.trust_forwarded_proto {
        tracing::warn!("{address} serves objects without TLS: anyone on the network path can read them");
    }
    Ok(())
}
