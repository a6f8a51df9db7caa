//! Who may access an output, and when it was last modified, as far as its input says so.

use std::fs::File;

use sealstone::file::{FileAccess, FileAttributes};

use super::Input;
use super::extent::is_block_device;
use crate::exit::Failure;

/// What an output takes over from its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Owner, group, mode and modification time, as gzip does. For standard input the same as `Privacy`.
    All,
    /// No more users may read it than the input: for plaintext.
    Privacy,
    /// Nothing: for an object, which is useless without a key.
    Nothing,
}

/// Who may access the output of `input`.
pub(crate) fn access(input: &Input, keep: Keep) -> Result<FileAccess, Failure> {
    let file = match input.opened() {
        Some(file) if keep != Keep::Nothing && is_stored(file) => file,
        _ => return Ok(FileAccess::Umask),
    };
    let attributes = FileAttributes::of(file)?;
    let all = keep == Keep::All && input.is_named() && file.metadata().is_ok_and(|metadata| metadata.is_file());
    Ok(if all {
        FileAccess::Like(attributes)
    } else {
        FileAccess::AtMost(attributes)
    })
}

/// Whether the mode protects what is stored there. The mode of a pipe says nothing.
fn is_stored(file: &File) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() || is_block_device(&metadata))
}
