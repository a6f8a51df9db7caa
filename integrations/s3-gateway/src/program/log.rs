//! The log at standard error, and what panics leave in it.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Starts to log what passes the filter: this one, that in `RUST_LOG`, or all but details.
///
/// # Errors
/// The filter is invalid.
pub(super) fn start(filter: Option<&str>) -> Result<(), ParseError> {
    let from_environment = || std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter.map(str::to_owned).or_else(from_environment);
    let filter = EnvFilter::builder().parse(filter.as_deref().unwrap_or("info"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    log_panics();
    Ok(())
}

/// A panic ends a request, not the process. What it says is left out of the log: it may quote data.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            "internal error at {}: this is a defect of sealstone, please report it",
            place.as_deref().unwrap_or("an unknown place")
        );
    }));
}
