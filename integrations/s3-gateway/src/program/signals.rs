//! Signals: SIGHUP reloads, SIGTERM and SIGINT shut down, and the second of those exits.

use std::io;

/// Signals that are caught from now on.
pub(super) struct Signals {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // A file that would exceed the process's limit is an error of the write, not the end of the process. The handler
        // stays when this is dropped.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) fn watch(mut self, reload: impl Fn() + Send + Sync + 'static, shut_down: impl Fn() + Send + 'static) {
        let reload = std::sync::Arc::new(reload);
        tokio::spawn(async move {
            let mut stopping = false;
            loop {
                let number = tokio::select! {
                    _ = self.hangup.recv() => {
                        let reload = reload.clone();
                        // It reads files, and a failure has been logged.
                        let _ = tokio::task::spawn_blocking(move || reload()).await;
                        continue;
                    }
                    _ = self.interrupt.recv() => 2,
                    _ = self.terminate.recv() => 15,
                };
                if stopping {
                    std::process::exit(128 + number);
                }
                stopping = true;
                tracing::info!("shutting down after the requests in progress; a second signal exits at once");
                shut_down();
            }
        });
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {})
    }

    pub(super) fn watch(self, _reload: impl Fn() + Send + Sync + 'static, shut_down: impl Fn() + Send + 'static) {
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                shut_down();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
    }
}
