//! Where operating systems differ.

mod descriptors;
mod identity;

use std::fs::File;
use std::path::PathBuf;

pub(crate) use self::descriptors::{Access, access_of, duplicate};
pub(crate) use self::identity::{FileId, Kind};

/// Waits until `file` can be read or written, for as long as that takes.
pub(crate) fn wait_for(file: &File, access: Access) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, poll};
        let events = match access {
            Access::Read => PollFlags::IN,
            Access::Write => PollFlags::OUT,
        };
        match poll(&mut [PollFd::new(file, events)], None) {
            // Whoever waits asks again.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, access);
        Ok(())
    }
}

/// Bytes that a pipe at either end is made to hold: the processes at its ends then wait for each other less often.
/// As much as Linux allows everybody by default.
#[cfg(target_os = "linux")]
const WIDE_PIPE: usize = 1024 * 1024;

/// Widens `stream` if it is a pipe. One that may not be widened (each user has a share of memory for pipes) stays as it
/// is, as it does on other systems.
pub(crate) fn widen_pipe(stream: &File) {
    #[cfg(target_os = "linux")]
    {
        use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
        if fcntl_getpipe_size(stream).is_ok_and(|size| size < WIDE_PIPE) {
            let _ = fcntl_setpipe_size(stream, WIDE_PIPE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// The width in columns of the terminal at standard error, if known.
pub(crate) fn terminal_width() -> Option<u16> {
    #[cfg(unix)]
    {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
        (size.ws_col > 0).then_some(size.ws_col)
    }
    #[cfg(not(unix))]
    None
}

/// Whether the terminal that standard error is belongs to this program now, and not to the shell that started it in the
/// background.
pub(crate) fn is_in_foreground() -> bool {
    #[cfg(unix)]
    {
        use rustix::process::getpgrp;
        // The terminal of another session does not say.
        rustix::termios::tcgetpgrp(std::io::stderr()).map_or(true, |group| group == getpgrp())
    }
    #[cfg(not(unix))]
    true
}

/// The user's directory for settings.
pub(crate) fn config_dir() -> Option<PathBuf> {
    if cfg!(windows) {
        return std::env::var_os("APPDATA")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
    }
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Application Support"));
    }
    let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    // The XDG specification has relative paths ignored.
    configured
        .filter(|path| path.is_absolute())
        .or_else(|| home().map(|home| home.join(".config")))
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// Keeps keys in memory from being written to disk when the process crashes, and from other processes of the user.
///
/// Failing at that is no reason to fail: the defaults of the system hold then.
pub(crate) fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Whether the process was started with this signal ignored, as `nohup` and shells without job control do: then it
/// is to stay so.
#[cfg(unix)]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let ignored = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        Some(mask >> (signal - 1) & 1 == 1)
    };
    ignored().unwrap_or(false)
}

/// The process's terminal, whatever its streams are.
pub(crate) fn terminal() -> std::io::Result<File> {
    let name = if cfg!(windows) { "CON" } else { "/dev/tty" };
    File::options().read(true).write(true).open(name)
}

/// A terminal's settings, to be put back if the process ends while they are changed.
#[derive(Debug)]
pub(crate) struct TerminalSettings {
    #[cfg(unix)]
    terminal: File,
    #[cfg(unix)]
    settings: rustix::termios::Termios,
}

impl TerminalSettings {
    /// The settings that the process's terminal has now.
    pub(crate) fn current() -> Option<Self> {
        #[cfg(unix)]
        {
            let terminal = terminal().ok()?;
            let settings = rustix::termios::tcgetattr(&terminal).ok()?;
            Some(Self { terminal, settings })
        }
        #[cfg(not(unix))]
        None
    }

    /// Puts them back.
    pub(crate) fn restore(&self) {
        #[cfg(unix)]
        {
            let _ = rustix::termios::tcsetattr(&self.terminal, rustix::termios::OptionalActions::Now, &self.settings);
        }
    }
}
