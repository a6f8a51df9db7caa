//! Open descriptors, and the names that they have.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;

use crate::exit::Failure;
use crate::sys::{self, Access};

/// How many symbolic links lead to a file at most, as in Linux.
pub(super) const MAX_LINKS: usize = 40;

/// A descriptor that the program was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor(pub(crate) u32);

impl Descriptor {
    pub(crate) const STDIN: Self = Self(0);
    pub(crate) const STDOUT: Self = Self(1);
    pub(crate) const STDERR: Self = Self(2);

    /// The descriptor that `path` is a name of, such as `/dev/stdin`, `/dev/fd/3`, or a link to one.
    pub(crate) fn named(path: &Path) -> Option<Self> {
        if !cfg!(unix) {
            return None;
        }
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if let Some(descriptor) = Self::named_directly(&path) {
                return Some(descriptor);
            }
            let target = fs::read_link(&path).ok()?;
            path = path.parent().unwrap_or_else(|| Path::new("")).join(target);
        }
        None
    }

    fn named_directly(path: &Path) -> Option<Self> {
        // Where /proc is not mounted, these names lead nowhere, and are still understood.
        match path.to_str() {
            Some("/dev/stdin") => return Some(Self::STDIN),
            Some("/dev/stdout") => return Some(Self::STDOUT),
            Some("/dev/stderr") => return Some(Self::STDERR),
            _ => {}
        }
        let number = path.file_name()?.to_str()?;
        // `+3` is a number for Rust, and no descriptor's name.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok()?;
        let directory = path.parent()?;
        is_of_descriptors(directory).then_some(Self(number))
    }

    /// The open file, to be read.
    pub(crate) fn reading(self) -> Result<File, Failure> {
        self.open(Access::Read)
    }

    /// The open file, to be written: at its end, if it was opened to be appended to.
    pub(crate) fn writing(self) -> Result<File, Failure> {
        self.open(Access::Write)
    }

    fn open(self, access: Access) -> Result<File, Failure> {
        let file = sys::duplicate(self.0).map_err(|error| match error.raw_os_error() {
            #[cfg(unix)]
            Some(libc::EBADF) => Failure::usage(format!("{self} is closed")),
            _ => Failure::io(format_args!("opening {self}"), &error),
        })?;
        if !sys::access_of(&file, access).map_err(|error| Failure::io(format_args!("opening {self}"), &error))? {
            let action = match access {
                Access::Read => "reading",
                Access::Write => "writing",
            };
            return Err(Failure::usage(format!("{self} is not open for {action}")));
        }
        Ok(file)
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STDIN => f.write_str("standard input"),
            Self::STDOUT => f.write_str("standard output"),
            Self::STDERR => f.write_str("standard error"),
            Self(number) => write!(f, "descriptor {number}"),
        }
    }
}

/// Whether what is in `directory` are the descriptors of this process.
fn is_of_descriptors(directory: &Path) -> bool {
    if [Path::new("/dev/fd"), Path::new("/proc/self/fd")].contains(&directory) {
        return true;
    }
    let Ok(directory) = fs::canonicalize(directory) else {
        return false;
    };
    let own = format!("/proc/{}", std::process::id());
    directory == Path::new("/dev/fd") || directory.starts_with(own) && directory.ends_with("fd")
}

/// Whether what is in `directory` are the descriptors of some process.
pub(super) fn is_of_any_process(directory: &Path) -> bool {
    let directory = fs::canonicalize(directory).unwrap_or_default();
    directory.starts_with("/proc") && directory.ends_with("fd")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_descriptor_is_known() {
        let place = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &str| {
            let link = place.path().join(name);
            std::os::unix::fs::symlink(target, &link).unwrap();
            link.to_str().unwrap().to_owned()
        };
        let own = format!("/proc/{}/fd/0", std::process::id());
        let of_thread = format!("/proc/{0}/task/{0}/fd/7", std::process::id());
        for (name, number) in [
            ("/dev/stdin", 0),
            ("/dev/stdout", 1),
            ("/dev/stderr", 2),
            ("/dev/fd/63", 63),
            ("/dev/../dev/fd/4", 4),
            ("/proc/self/fd/9", 9),
            ("/proc/thread-self/fd/9", 9),
            (&own, 0),
            (&of_thread, 7),
            (&link("link", "/dev/stdout"), 1),
            (&link("link-of-link", "link"), 1),
            (&format!("{}/5", link("directory", "/dev/fd")), 5),
        ] {
            assert_eq!(Descriptor::named(Path::new(name)), Some(Descriptor(number)), "{name}");
        }
        let number = place.path().join("3");
        fs::write(&number, "").unwrap();
        for name in [
            "/dev/null",
            "/dev/fd",
            "/dev/fd/x",
            "/dev/fd/+1",
            "/dev/fd/99999999999",
            "/proc/1/fd/0",
            "-",
            "",
            number.to_str().unwrap(),
            &link("loop", "loop"),
            &link("dangling", "nowhere"),
        ] {
            assert_eq!(Descriptor::named(Path::new(name)), None, "{name}");
        }
    }
}
