//! Reads a source of any offsets in order.

use std::io::{self, Read};

use sealstone::positioned::ReadAt;

/// Reads what can be read at any offset from its start.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    source: S,
    offset: u64,
}

impl<S: ReadAt> Reader<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, offset: 0 }
    }
}

impl<S: ReadAt> Read for Reader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
