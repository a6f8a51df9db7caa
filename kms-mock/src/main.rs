//! `kms-mock`: a local AWS KMS.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sealstone_kms_mock::{Audit, Latency, MockKms, Rate, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// A local AWS KMS for tests, compatible with AWS's own clients. NOT a key service: keys are not protected.
#[derive(Debug, Parser)]
#[command(name = "kms-mock", version)]
struct Arguments {
    /// The address to listen on. Port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8600")]
    listen: SocketAddr,
    /// Serve over TLS with a self-made certificate, which is printed: for clients that require TLS.
    #[arg(long)]
    tls: bool,
    /// Write the certificate to this file instead of printing it.
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_certificate: Option<PathBuf>,
    /// Serve a control port: faults, settings, the clock and the audit log, for everyone who can reach it.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Create a key with this alias unless it exists. May be repeated.
    #[arg(long = "key", value_name = "alias/NAME")]
    keys: Vec<String>,
    /// Keep the keys in this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Create the keys that this file describes.
    #[arg(long, value_name = "FILE")]
    seed_keys: Option<PathBuf>,
    /// Delay every answer: 20ms, or 20ms+-5ms.
    #[arg(long, value_name = "TIME")]
    latency: Option<Latency>,
    /// Allow this many cryptographic operations per second, and throttle the rest.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Append audit events to this file, or to standard output for `-`: one JSON object per line.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// The region of keys created at the start. Calls are answered in the region that they are signed for.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// The account in ARNs: twelve digits.
    #[arg(long, value_name = "N", default_value = "000000000000")]
    account: String,
    /// The seed for the random choices of faults and jitter.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kms-mock: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    warn(&arguments);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // Installed before the address is announced.
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let certificate = arguments.tls_certificate.clone();
    let mock = start(arguments)?;
    if let (Some(path), Some(pem)) = (&certificate, mock.certificate()) {
        std::fs::write(path, pem).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    announce(&mock, certificate.as_deref(), &mut io::stdout().lock())?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    Ok(())
}

fn warn(arguments: &Arguments) {
    eprintln!("kms-mock: NOT a real KMS: for tests only. Its keys are not protected, and every caller has access.");
    for (what, address) in [("--listen", Some(arguments.listen)), ("--control", arguments.control)] {
        if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
            eprintln!(
                "kms-mock: WARNING: {what} {address} is not a loopback address: other machines can use all keys."
            );
        }
    }
}

fn start(arguments: Arguments) -> Result<MockKms, Box<dyn Error>> {
    let rate = arguments.rate.map(|per_second| Rate {
        per_second,
        burst: None,
    });
    let settings = Settings {
        rate,
        latency_ms: arguments.latency,
        seed: arguments.seed,
        ..Settings::default()
    };
    let mut builder = MockKms::builder()
        .listen(arguments.listen)
        .region(arguments.region)
        .account(arguments.account)
        .settings(settings)
        .audit(match arguments.audit {
            None => Audit::Memory,
            Some(path) if path.as_os_str() == "-" => Audit::Stdout,
            Some(path) => Audit::File(path),
        });
    if arguments.tls {
        builder = builder.tls();
    }
    if let Some(address) = arguments.control {
        builder = builder.control_on(address);
    }
    if let Some(path) = arguments.state {
        builder = builder.state(path);
    }
    if let Some(path) = arguments.seed_keys {
        builder = builder.seed_keys(path);
    }
    for alias in arguments.keys {
        builder = builder.key(alias);
    }
    Ok(builder.start()?)
}

/// The first line is for programs; the rest is for a shell.
fn announce(mock: &MockKms, certificate: Option<&Path>, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "listening on {}", mock.endpoint())?;
    if let Some(url) = mock.control_endpoint() {
        writeln!(to, "control on {url}")?;
    }
    writeln!(to, "export AWS_ENDPOINT_URL_KMS={}", mock.endpoint())?;
    writeln!(to, "export AWS_ACCESS_KEY_ID=mock")?;
    writeln!(to, "export AWS_SECRET_ACCESS_KEY=mock")?;
    writeln!(to, "export AWS_DEFAULT_REGION={}", mock.region())?;
    match (certificate, mock.certificate()) {
        (Some(path), _) => writeln!(to, "export AWS_CA_BUNDLE={}", path.display())?,
        (None, Some(pem)) => write!(to, "{pem}")?,
        (None, None) => {}
    }
    to.flush()
}
