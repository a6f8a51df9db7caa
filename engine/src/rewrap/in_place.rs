//! How an attached header is rewritten: `FORMAT.md`, section 8, step by step.
//!
//! ```text
//! sync                                       what is read next is on the disk
//! read both copies                           `begin`
//! plan                                       nothing is written if that fails
//! write current over the other, sync         only if they differ
//! write second = new, sync                   the first copy is intact
//! write first  = new, sync                   the second copy is intact
//! ```

use std::fs::File;
use std::io;

use super::Rewrapped;
use super::plan::Planned;
use crate::decrypt::check_prefix;
use crate::error::{Error, Result};
use crate::header::{ATTACHED_LEN, COPY_LEN, Header, ObjectHeader};
use crate::layout::PREFIX_LEN;
use crate::positioned::{ReadAt, WriteAt, read_full_at, write_all_at};

/// Where the copies begin.
const FIRST: u64 = 0;
const SECOND: u64 = COPY_LEN as u64;

/// The operations that rewriting needs of a file. Tests record the calls, and make them fail.
pub(super) trait HeaderFile: ReadAt + WriteAt {
    /// Returns once everything that was written is on the disk.
    fn sync(&self) -> io::Result<()>;
}

impl HeaderFile for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Reads the header that is to be changed.
pub(super) fn begin(file: &impl HeaderFile) -> Result<ObjectHeader> {
    // The last writer may have been killed before syncing: what we are about to rely on could be in memory only, and a
    // power loss during our own writes would then damage both copies.
    sync(file)?;
    read(file)
}

/// Replaces both copies by what `change` returns for the current one; if it changes nothing, makes both copies equal.
/// The second argument of `change` is whether a copy that differs from the current one will be overwritten.
pub(super) fn rewrite(
    file: &impl HeaderFile,
    found: &ObjectHeader,
    change: impl FnOnce(&Header, bool) -> Result<Planned>,
) -> Result<Rewrapped> {
    let current = found.header();
    let Planned { header, dropped } = change(current, found.faults().iter().any(Option::is_some))?;
    // Encoded before anything is written, because it may not fit.
    let bytes = header.as_ref().map(Header::to_attached).transpose()?;

    for (fault, offset) in found.faults().iter().zip([FIRST, SECOND]) {
        if fault.is_some() {
            write(file, &current.to_attached()?, offset)?;
        }
    }
    if let Some(bytes) = &bytes {
        write(file, bytes, SECOND)?;
        write(file, bytes, FIRST)?;
    }
    Ok(Rewrapped {
        changed: header.is_some(),
        header: header.unwrap_or_else(|| current.clone()),
        repaired: found.faults().clone(),
        dropped,
    })
}

/// Reads the header, and checks that it belongs to the payload after it.
fn read(file: &impl HeaderFile) -> Result<ObjectHeader> {
    let mut start = vec![0; ATTACHED_LEN + PREFIX_LEN];
    let len = read_full_at(file, &mut start, 0)?;
    let found = ObjectHeader::parse(&start[..len])?;
    check_prefix(found.header(), start[..len].get(ATTACHED_LEN..).unwrap_or_default())?;
    Ok(found)
}

/// Writes one of two equal copies, durably.
fn write(file: &impl HeaderFile, copies: &[u8], offset: u64) -> Result<()> {
    write_all_at(file, &copies[..COPY_LEN], offset)?;
    sync(file)
}

fn sync(file: &impl HeaderFile) -> Result<()> {
    file.sync().map_err(Error::io("syncing the header"))
}
