//! Keys that leave the ring, secrets and all, or come into it.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use sealstone::KeyRing;
use sealstone::file::{FileAccess, IfExists};
use zeroize::Zeroizing;

use super::{count, show_json};
use crate::exit::{Code, Failure};
use crate::io::{Descriptor, Source, Stream, create_file, display, is_standard};
use crate::report::Report;
use crate::signals;

/// As long as a ring may be.
const MAX_LEN: usize = 1 << 20;

/// Writes the keys to a file that only its owner can read, or to standard output if that is not a terminal or is named.
pub(super) fn export(path: &Path, names: &[String], output: Option<&Path>, report: &Report) -> Result<(), Failure> {
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let content = KeyRing::open(path)?.export(&names)?;
    let place = match output {
        Some(output) if !is_standard(output) => match Descriptor::named(output) {
            Some(descriptor) => {
                let written = Stream::new(descriptor.writing()?).write_all(&content);
                written.map_err(|error| Failure::io(format_args!("writing to {descriptor}"), &error))?;
                descriptor.to_string()
            }
            None => {
                write_private(output, &content)?;
                display(output)
            }
        },
        None if io::stdout().is_terminal() => {
            return Err(Failure::usage(
                "the keys' secrets would be shown on the terminal; name a file with -o, or insist with -o -",
            ));
        }
        _ => {
            report.print(&content)?;
            "standard output".to_owned()
        }
    };
    report.sum(&format!(
        "exported {} to {place}: whoever has that can decrypt all that is encrypted for it",
        names.join(", ")
    ));
    Ok(())
}

/// Never replaces a file; no other user can read it at any moment.
fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Code::OutputExists,
            format!("{} exists already, and no option replaces it", display(path)),
        ));
    }
    let file = create_file(path, IfExists::Fail, FileAccess::Umask)?;
    let _registered = file
        .temporary_path()
        .map(ToOwned::to_owned)
        .map(signals::remove_on_exit);
    let written = make_private(file.file()).and_then(|()| file.file().write_all(content));
    written
        .and_then(|()| file.file().sync_all())
        .map_err(|error| Failure::io(format_args!("writing {}", display(path)), &error))?;
    Ok(signals::uninterrupted(|| file.name()?.sync())?)
}

fn make_private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    return file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(())
    }
}

/// Imports what the ring does not have yet.
pub(super) fn import(path: &Path, input: &Path, rename: Option<&str>, report: &Report) -> Result<(), Failure> {
    let other = match Source::of_input(input) {
        Source::Path(path) => KeyRing::open(&path)?,
        descriptor => read_once(&descriptor)?,
    };
    let other = match rename {
        Some(name) => other.with_only_key_named(name)?,
        None => other,
    };
    let imported = KeyRing::import(path, &other);
    let (ring, changed) = imported.map_err(|error| {
        let clashes = error.message.contains("another key named");
        let failure = Failure::from(error);
        if clashes {
            failure.and("--as NAME takes it in under another name")
        } else {
            failure
        }
    })?;
    if changed.is_empty() {
        report.sum(&format!("the key ring {} has all of them already", display(path)));
    }
    for name in &changed {
        let versions = ring
            .entries()
            .find(|entry| entry.name == *name)
            .map_or(0, |entry| entry.versions.len());
        report.note(&format!(
            "imported the key {name} into the key ring {}, where it has {} now: renew your copy of that file",
            display(path),
            count(versions)
        ));
        show_json(path, &ring, name, report)?;
    }
    Ok(())
}

/// A ring that comes through a descriptor, and can be read once only.
fn read_once(source: &Source) -> Result<KeyRing, Failure> {
    // Allocated at once, so that no copy is left where a buffer grew.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_LEN + 1));
    let action = format!("reading {source}");
    let read = source.open(&action)?.take(MAX_LEN as u64 + 1).read_to_end(&mut content);
    read.map_err(|error| Failure::io(&action, &error))?;
    Ok(KeyRing::from_content(&content)?)
}
