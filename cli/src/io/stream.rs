//! A pipe, a terminal or another file without a length: read and written in order, and waited for.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};

use crate::sys::{self, Access};

/// An open file that is read or written in order. It may have been opened by a program that does not want to wait for
/// it, as Node and ssh leave their pipes: then this one waits itself.
#[derive(Debug)]
pub(crate) struct Stream(File);

impl Stream {
    /// Takes over an open file. A pipe is made wide.
    pub(crate) fn new(file: File) -> Self {
        sys::widen_pipe(&file);
        Self(file)
    }

    /// Whether it is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        patiently(&self.0, Access::Read, |mut file| file.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(&self.0, Access::Write, |mut file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn patiently(file: &File, access: Access, mut call: impl FnMut(&File) -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call(file) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sys::wait_for(file, access)?,
            ended => return ended,
        }
    }
}
