//! Where operating systems differ.

use std::fs::Metadata;
use std::path::PathBuf;

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

/// Allows as many open files as the system does: each request may need one of the client and some of the store, and the
/// usual limit is there for programs that use `select`.
pub(crate) fn allow_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let all = Rlimit {
            current: maximum,
            maximum,
        };
        let _ = setrlimit(Resource::Nofile, all);
    }
}

/// Whether users other than the owner can read or change the file.
pub(crate) fn is_open_to_others(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.mode() & 0o077 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// The user's directory for settings.
pub(crate) fn config_dir() -> Option<PathBuf> {
    if cfg!(windows) {
        return std::env::var_os("APPDATA")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
    }
    let home = || std::env::home_dir().filter(|home| home.is_absolute());
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Application Support"));
    }
    let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    // The XDG specification has relative paths ignored.
    configured
        .filter(|path| path.is_absolute())
        .or_else(|| home().map(|home| home.join(".config")))
}
