//! Where operating systems differ.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Which file it is, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileId {
    /// Device and inode.
    #[cfg(unix)]
    Inode(u64, u64),
    /// The name without links, where nothing better is to be had.
    #[cfg(not(unix))]
    Path(PathBuf),
}

/// Which file this is; `None` for one whose content is not stored, such as a terminal: it may be read and written.
#[cfg(unix)]
fn id_of(metadata: &Metadata) -> Option<FileId> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let kind = metadata.file_type();
    (kind.is_file() || kind.is_block_device()).then(|| FileId::Inode(metadata.dev(), metadata.ino()))
}

/// Which file the path leads to.
pub(crate) fn file_id(path: &Path) -> Option<FileId> {
    #[cfg(unix)]
    return id_of(&std::fs::metadata(path).ok()?);
    #[cfg(not(unix))]
    return std::fs::canonicalize(path).ok().map(FileId::Path);
}

/// Which file standard input is.
pub(crate) fn stdin_id() -> Option<FileId> {
    #[cfg(unix)]
    return id_of(&stdin_metadata()?);
    #[cfg(not(unix))]
    None
}

/// Which file standard output is.
pub(crate) fn stdout_id() -> Option<FileId> {
    #[cfg(unix)]
    return id_of(&stdout().ok()?.metadata().ok()?);
    #[cfg(not(unix))]
    None
}

/// The length of standard input, if it is a file.
pub(crate) fn stdin_len() -> Option<u64> {
    #[cfg(unix)]
    return stdin_metadata()
        .filter(Metadata::is_file)
        .map(|metadata| metadata.len());
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn stdin_metadata() -> Option<Metadata> {
    use std::os::fd::AsFd;
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    File::from(stdin).metadata().ok()
}

/// Standard output without the line buffer that std puts before it, which makes no sense for data.
pub(crate) fn stdout() -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::AsHandle;
        io::stdout().as_handle().try_clone_to_owned().map(File::from)
    }
}

/// Opens what a descriptor of this process stands for.
pub(crate) fn open_descriptor(descriptor: u32) -> io::Result<File> {
    #[cfg(unix)]
    return File::open(format!("/dev/fd/{descriptor}"));
    #[cfg(not(unix))]
    {
        let _ = descriptor;
        Err(io::ErrorKind::Unsupported.into())
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
    widen(stream);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// The same of standard input.
pub(crate) fn widen_stdin() {
    #[cfg(target_os = "linux")]
    widen(&io::stdin());
}

#[cfg(target_os = "linux")]
fn widen(stream: &impl std::os::fd::AsFd) {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    if fcntl_getpipe_size(stream).is_ok_and(|size| size < WIDE_PIPE) {
        let _ = fcntl_setpipe_size(stream, WIDE_PIPE);
    }
}

/// The user's directory for settings.
pub(crate) fn config_dir() -> Option<PathBuf> {
    if cfg!(windows) {
        return std::env::var_os("APPDATA").map(PathBuf::from);
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
            let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
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
