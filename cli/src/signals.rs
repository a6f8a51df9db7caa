//! What has to be undone when a signal ends the process.
//!
//! ```text
//! SIGINT, SIGTERM, SIGHUP -> own thread: remove temporary files, restore the terminal, abort uploads -> exit 128 + signal
//! SIGXFSZ                 -> nothing: the write fails, and its error says why
//! ```
//!
//! Other threads are not waited for: one of them may be blocked in a read forever.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use indicatif::ProgressBar;

use crate::sys::TerminalSettings;

static CLEANUP: Mutex<Cleanup> = Mutex::new(Cleanup {
    temporary: Vec::new(),
    upload: None,
    bar: None,
    terminal: None,
});

/// What has to be undone.
struct Cleanup {
    /// At most an output, followed by its header.
    temporary: Vec<PathBuf>,
    /// What aborts an upload.
    upload: Option<Box<dyn FnOnce() + Send>>,
    bar: Option<ProgressBar>,
    terminal: Option<TerminalSettings>,
}

/// Starts to wait for signals.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        use std::sync::Arc;

        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
        // The flag is not read; but a signal that is caught ends no process.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter();
        let wanted: Vec<_> = wanted.filter(|&signal| !crate::sys::is_ignored(signal)).collect();
        // Without the thread signals end the process as they do by default: only the cleaning up is lost.
        if let Ok(mut signals) = signal_hook::iterator::Signals::new(wanted) {
            let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    clean_up();
                    signal_hook::low_level::exit(128 + signal);
                }
            });
        }
    }
}

/// Locks `CLEANUP`, even after a panic: what is in it still has to be undone.
fn cleanup() -> MutexGuard<'static, Cleanup> {
    CLEANUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Undoes what is unfinished after a panic, of whatever thread: if it is the one that commits, that holds the lock.
pub(crate) fn clean_up_after_panic() {
    match CLEANUP.try_lock() {
        Ok(cleanup) => undo(cleanup),
        Err(TryLockError::Poisoned(poisoned)) => undo(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {}
    }
}

#[cfg(unix)]
fn clean_up() {
    undo(cleanup());
}

fn undo(mut cleanup: MutexGuard<'static, Cleanup>) {
    for path in cleanup.temporary.drain(..) {
        let _ = std::fs::remove_file(path);
    }
    if let Some(terminal) = cleanup.terminal.take() {
        terminal.restore();
    }
    if let Some(bar) = cleanup.bar.take() {
        bar.finish_and_clear();
    }
    // Last, because it may have to wait for an answer.
    if let Some(abort) = cleanup.upload.take() {
        abort();
    }
    // The other threads must not get on from here: a commit would leave a file that was just reported undone.
    std::mem::forget(cleanup);
}

/// What is to be undone no more when it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it is not cleaned up any more"]
pub(crate) struct Registered(fn(&mut Cleanup));

impl Drop for Registered {
    fn drop(&mut self) {
        (self.0)(&mut cleanup());
    }
}

/// Registers a temporary file to be removed. The one registered last is the first to be no more.
pub(crate) fn remove_on_exit(path: PathBuf) -> Registered {
    cleanup().temporary.push(path);
    Registered(|cleanup| drop(cleanup.temporary.pop()))
}

/// Registers what aborts an upload.
pub(crate) fn undo_on_exit(abort: Box<dyn FnOnce() + Send>) -> Registered {
    cleanup().upload = Some(abort);
    Registered(|cleanup| drop(cleanup.upload.take()))
}

/// Registers a bar to be cleared.
pub(crate) fn clear_on_exit(bar: ProgressBar) -> Registered {
    cleanup().bar = Some(bar);
    Registered(|cleanup| cleanup.bar = None)
}

/// Registers the terminal's present settings to be put back.
pub(crate) fn restore_on_exit() -> Registered {
    cleanup().terminal = TerminalSettings::current();
    Registered(|cleanup| cleanup.terminal = None)
}

/// Runs `commit` while no signal ends the process: a file that is being named may have a name for a moment that
/// no other process knows.
pub(crate) fn uninterrupted<T>(commit: impl FnOnce() -> T) -> T {
    let _cleanup = cleanup();
    commit()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Where files need a name from the start, what is unfinished has one. The only test of this module: after it,
    /// the lock is held forever, as intended.
    #[test]
    fn a_temporary_file_is_removed_until_it_is_no_more_registered() {
        let directory = tempfile::tempdir().unwrap();
        let (done, unfinished) = (directory.path().join("done"), directory.path().join("unfinished"));
        std::fs::write(&done, "").unwrap();
        std::fs::write(&unfinished, "").unwrap();
        drop(remove_on_exit(done.clone()));
        let registered = remove_on_exit(unfinished.clone());
        clean_up();
        std::mem::forget(registered);
        assert!(done.exists() && !unfinished.exists());
    }
}
