//! Buffers for whole plaintexts and objects.

use std::io;

use crate::error::{Error, Result};

/// Converts a length to a buffer's: an address space may be smaller than an object.
pub(crate) fn buffer_len(len: u64) -> Result<usize> {
    usize::try_from(len).map_err(|_| Error::ObjectTooLarge)
}

/// Allocates `len` zeros. An object's length is only its author's claim, so it is an error if the buffer does not fit
/// in memory.
///
/// The operating system provides the zeros, page by page, when a worker first writes to them. Writing them here would
/// make one thread touch all pages while the workers wait, which takes half as long again for 64 MiB on two cores.
pub(crate) fn new_buffer(len: u64) -> Result<Vec<u8>> {
    bytemuck::try_zeroed_slice_box(buffer_len(len)?)
        .map(Vec::from)
        .map_err(|()| Error::from_io("making room for the result", io::ErrorKind::OutOfMemory.into()))
}
