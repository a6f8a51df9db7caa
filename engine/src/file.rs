//! Files: objects sealed and opened file to file, and outputs that appear complete or not at all.
//!
//! Each worker reads, seals or opens, and writes its own spans:
//!
//! ```text
//! worker 0   claim span 0 -> read at -> seal -> write at -> claim span 2 -> ...
//! worker 1   claim span 1 -> read at -> seal -> write at -> claim span 3 -> ...
//! ```

mod atomic;
mod sparse;

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::atomic::{AtomicFile, FileAccess, IfExists, NamedFile};
pub use self::sparse::SparseFile;
pub use crate::sys::{FileAttributes, NotKept};

use crate::batch::BufferPool;
use crate::chunker::{Cursor, Spans};
use crate::decrypt::machine::OpenMachine;
use crate::decrypt::plan::RangePlan;
use crate::decrypt::{DecryptReader, Decryptor, check_prefix, explain_end};
use crate::encrypt::{Encryptor, NewObject, Unsealed};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::header::ObjectHeader;
use crate::layout::PREFIX_LEN;
use crate::positioned::{PinnedVersion, ReadAt, Sequential, WriteAt, read_full_at, write_all_at};
use crate::unlocked::Unlocked;
use crate::unlocked::runs::Piece;

/// The result of opening an object: its header and its plaintext's length.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenedObject {
    /// The verified plaintext's length, in bytes.
    pub plaintext_len: u64,
    /// The header, with the faults of its copies.
    pub header: ObjectHeader,
}

impl OpenedObject {
    fn new(unlocked: &Unlocked, plaintext_len: u64) -> Self {
        let header = unlocked.object_header().clone();
        Self { plaintext_len, header }
    }
}

impl Encryptor {
    /// Seals the file `source` into the file `target`, which is complete and synced to disk on success and unchanged
    /// after an error. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::SourceChanged`]; [`Error::Io`]; as [`Encryptor::begin`].
    pub fn seal_path(&self, source: impl AsRef<Path>, target: impl AsRef<Path>, if_exists: IfExists) -> Result<u64> {
        let source = File::open(source).map_err(Error::io("opening the input"))?;
        let target = AtomicFile::create(target.as_ref(), if_exists)?;
        let len = self.seal_file(&source, target.file())?;
        target.commit()?;
        Ok(len)
    }

    /// Seals the open file `source` into the empty file `target`. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// As [`Encryptor::seal_path`]. The target is then incomplete.
    pub fn seal_file(&self, source: &File, target: &File) -> Result<u64> {
        self.begin()?.seal_file(source, target)
    }

    /// Seals everything that `source` yields into `sink`. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; as [`Encryptor::begin`]. The object in `sink` is then incomplete.
    pub fn pipe(&self, source: impl Read, sink: impl Write) -> Result<u64> {
        self.begin()?.pipe(source, sink)
    }
}

impl NewObject {
    /// Seals the open file `source` into the empty file `target`. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// As [`NewObject::seal_at`]. The target is then incomplete.
    pub fn seal_file(self, source: &File, target: &File) -> Result<u64> {
        if has_true_length(source)? {
            self.seal_at(source, target)
        } else {
            self.pipe(source, target)
        }
    }

    /// Seals everything that `source` yields into `sink`. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`], [`Error::Io`], [`Error::ObjectTooLarge`], [`Error::Cancelled`]. What `sink` has is
    /// incomplete then.
    pub fn pipe(self, source: impl Read, sink: impl Write) -> Result<u64> {
        self.unsealed()?.pipe(source, sink)
    }

    /// Seals `source` into `target`, starting at offset 0. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// [`Error::HeaderTooLarge`], [`Error::SourceChanged`], [`Error::Io`], [`Error::ObjectTooLarge`],
    /// [`Error::Cancelled`].
    pub fn seal_at(self, source: &(impl ReadAt + ?Sized), target: &(impl WriteAt + ?Sized)) -> Result<u64> {
        let Unsealed {
            start,
            sealer,
            executor,
            progress,
        } = self.unsealed()?;
        let len = source.size().map_err(Error::io("asking for the input's length"))?;
        let payload_start = (start.len() - PREFIX_LEN) as u64;
        write_all_at(target, &start, 0)?;
        let spans = Spans::all(sealer.layout(), len)?;
        for_each(&executor, spans, |span, buffers| {
            let mut plain = buffers.take(span.plain_len);
            if read_full_at(source, &mut plain, span.plain_offset)? < span.plain_len {
                return Err(Error::SourceChanged { expected: len });
            }
            let mut sealed = buffers.take(span.sealed_len);
            sealer.seal(span.first, &plain, span.ends, &mut sealed)?;
            write_all_at(target, &sealed, payload_start + span.sealed_offset)?;
            buffers.give_back(plain);
            buffers.give_back(sealed);
            progress.advance(span.plain_len)
        })?;
        if source.size().map_err(Error::io("asking for the input's length"))? != len {
            return Err(Error::SourceChanged { expected: len });
        }
        Ok(len)
    }
}

impl Decryptor {
    /// Opens the object in the file `source` into the file `target`, which is complete, verified and synced to disk on
    /// success and unchanged after an error. A new target is accessible only to users who may access the source.
    ///
    /// # Errors
    /// [`Error::OutputExists`]; [`Error::Io`]; as [`Decryptor::read_header`], [`Decryptor::unlock`] and
    /// [`Unlocked::open`].
    pub fn open_path(
        &self,
        source: impl AsRef<Path>,
        target: impl AsRef<Path>,
        if_exists: IfExists,
    ) -> Result<OpenedObject> {
        let source = File::open(source).map_err(Error::io("opening the input"))?;
        let access = FileAccess::AtMost(FileAttributes::of(&source)?);
        let target = AtomicFile::create_with(target.as_ref(), if_exists, access)?;
        let opened = self.open_file(&source, target.file())?;
        target.commit()?;
        Ok(opened)
    }

    /// Opens the object in the open file `source` into the empty file `target`.
    ///
    /// # Errors
    /// As [`Decryptor::open_path`]. The target is then incomplete.
    pub fn open_file(&self, source: &File, target: &File) -> Result<OpenedObject> {
        if has_true_length(source)? {
            let unlocked = self.unlock_source(source)?;
            let plaintext_len = unlocked.open_at(source, target)?;
            Ok(OpenedObject::new(&unlocked, plaintext_len))
        } else {
            self.pipe(source, target)
        }
    }

    /// Opens the object that `source` yields into `sink`. After an error `sink` holds a verified beginning.
    ///
    /// # Errors
    /// As [`Decryptor::open_path`].
    pub fn pipe(&self, source: impl Read, sink: impl Write) -> Result<OpenedObject> {
        let reader = self.reader(source)?;
        let unlocked = reader.unlocked().clone();
        Ok(OpenedObject::new(&unlocked, pour(reader, sink)?))
    }

    /// Opens every chunk of the object in `source` and discards the plaintext.
    ///
    /// # Errors
    /// As [`Decryptor::open_path`].
    pub fn verify(&self, source: &(impl ReadAt + ?Sized)) -> Result<OpenedObject> {
        let unlocked = self.unlock_source(source)?;
        let plaintext_len = unlocked.verify(source)?;
        Ok(OpenedObject::new(&unlocked, plaintext_len))
    }

    /// Rekeys the object in the file `source`: seals its plaintext as a new object, under a new data key, into the file
    /// `target`, which is complete, made of verified plaintext and synced to disk on success and unchanged after an
    /// error. `encryptor` determines the new object's keys and context.
    ///
    /// Rekeying ends the access of anyone who kept the old data key, and takes a pass over all data. To change which
    /// keys open an object, [`Rewrap`](crate::Rewrap) is enough, and its cost does not depend on the object's size.
    ///
    /// # Errors
    /// As [`Decryptor::open_path`] and [`Encryptor::seal_path`].
    pub fn rekey_path(
        &self,
        source: impl AsRef<Path>,
        target: impl AsRef<Path>,
        encryptor: &Encryptor,
        if_exists: IfExists,
    ) -> Result<OpenedObject> {
        let source = File::open(source).map_err(Error::io("opening the input"))?;
        let target = AtomicFile::create(target.as_ref(), if_exists)?;
        let (unlocked, plaintext_len) = if has_true_length(&source)? {
            let unlocked = self.unlock_source(&source)?;
            let len = unlocked.rekey_at(&source, encryptor, target.file())?;
            (unlocked, len)
        } else {
            let reader = self.reader(source)?;
            (reader.unlocked().clone(), reseal(reader, encryptor, target.file())?)
        };
        target.commit()?;
        Ok(OpenedObject::new(&unlocked, plaintext_len))
    }
}

impl Unlocked {
    /// Opens the object in `source` into `target`, starting at offset 0. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// As [`Unlocked::open`]; [`Error::SourceChanged`], [`Error::Io`]. The target is then incomplete.
    pub fn open_at(&self, source: &(impl ReadAt + ?Sized), target: &(impl WriteAt + ?Sized)) -> Result<u64> {
        self.open_spans(source, |offset, plain| write_all_at(target, plain, offset))
    }

    /// Opens the object in `source` into `sink`, in order. Returns the plaintext's length in bytes. After an error `sink`
    /// holds a verified beginning. Unlike [`Unlocked::pipe`], this also opens composite objects.
    ///
    /// # Errors
    /// As [`Unlocked::open_at`].
    pub fn pipe_at(&self, source: &(impl ReadAt + ?Sized), sink: impl Write) -> Result<u64> {
        pour(self.reader_at(source)?, sink)
    }

    /// A reader of the whole object in `source`.
    fn reader_at<'s, S: ReadAt + ?Sized>(&self, source: &'s S) -> Result<DecryptReader<Sequential<'s, S>>> {
        let bytes = Sequential::new(source, self.opener().payload_start());
        if !self.is_composite() {
            return self.reader(bytes);
        }
        let unlocked = self.load_pinned(source, bytes.version())?;
        let size = source.size().map_err(Error::io("asking for the input's length"))?;
        let plaintext_len = unlocked.plaintext_len(size)?;
        unlocked.check_padding(source, bytes.version())?;
        let plan = RangePlan::whole(&unlocked, plaintext_len)?;
        Ok(DecryptReader::driving(
            OpenMachine::of_range(&unlocked, &plan),
            bytes,
            unlocked,
        ))
    }

    /// Opens every chunk of the object in `source` and discards the plaintext. Returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// As [`Unlocked::open_at`].
    pub fn verify(&self, source: &(impl ReadAt + ?Sized)) -> Result<u64> {
        self.open_spans(source, |_, _| Ok(()))
    }

    /// Opens a payload into `sink`. `payload` yields the bytes after an attached header. Returns the plaintext's length
    /// in bytes. After an error `sink` holds a verified beginning.
    ///
    /// # Errors
    /// As [`Unlocked::open`]; [`Error::Io`].
    pub fn pipe(&self, payload: impl Read, sink: impl Write) -> Result<u64> {
        pour(self.reader(payload)?, sink)
    }

    /// Rekeys an object into `sink`: see [`Decryptor::rekey_path`]. `payload` yields the bytes after an attached
    /// header. This value's executor opens chunks, and the encryptor's seals them. Returns the plaintext's length in
    /// bytes.
    ///
    /// # Errors
    /// As [`Unlocked::pipe`] and [`Encryptor::pipe`]. The object in `sink` is then incomplete.
    pub fn rekey(&self, payload: impl Read, encryptor: &Encryptor, sink: impl Write) -> Result<u64> {
        reseal(self.reader(payload)?, encryptor, sink)
    }

    /// Rekeys the object in `source` into `sink`, as [`Unlocked::rekey`]. The new object is a plain one, also if the old one
    /// is composite.
    ///
    /// # Errors
    /// As [`Unlocked::open_at`] and [`Encryptor::pipe`]. The object in `sink` is then incomplete.
    pub fn rekey_at(&self, source: &(impl ReadAt + ?Sized), encryptor: &Encryptor, sink: impl Write) -> Result<u64> {
        reseal(self.reader_at(source)?, encryptor, sink)
    }

    /// Opens every span and passes its plaintext's offset and bytes to `take`, from several threads and in any order.
    fn open_spans(
        &self,
        source: &(impl ReadAt + ?Sized),
        take: impl Fn(u64, &[u8]) -> Result<()> + Sync,
    ) -> Result<u64> {
        let opened = self.open_spans_with(source, take);
        opened.map_err(|error| explain_end(source, self, error))
    }

    fn open_spans_with(
        &self,
        source: &(impl ReadAt + ?Sized),
        take: impl Fn(u64, &[u8]) -> Result<()> + Sync,
    ) -> Result<u64> {
        let version = PinnedVersion::default();
        let unlocked = self.load_pinned(source, &version)?;
        if !unlocked.is_composite() {
            let mut prefix = [0; PREFIX_LEN];
            let have = read_full_at(source, &mut prefix, self.opener().payload_start())?;
            check_prefix(self.header(), &prefix[..have])?;
        }
        let size = source.size().map_err(Error::io("asking for the input's length"))?;
        let plaintext_len = unlocked.plaintext_len(size)?;
        version.check(source)?;
        unlocked.check_padding(source, &version)?;
        let pieces = unlocked.pieces(unlocked.all_runs(plaintext_len)?);
        for_each(self.executor(), pieces, |piece, buffers| {
            let piece = piece?;
            let mut plain = buffers.take(piece.span.plain_len);
            open_piece(source, &piece, size, buffers, &mut plain)?;
            version.check(source)?;
            take(piece.plain_offset, &plain)?;
            buffers.give_back(plain);
            self.progress().advance(piece.span.plain_len)
        })?;
        Ok(plaintext_len)
    }
}

/// Seals everything that the reader verifies as a new object; returns its length in bytes.
fn reseal<R: Read>(reader: DecryptReader<R>, encryptor: &Encryptor, sink: impl Write) -> Result<u64> {
    let mut writer = encryptor.writer(sink)?;
    let len = pour(reader, &mut writer)?;
    writer.finish()?;
    Ok(len)
}

/// Writes everything that the reader verifies into `sink`; returns its length in bytes.
fn pour<R: Read>(mut reader: DecryptReader<R>, mut sink: impl Write) -> Result<u64> {
    loop {
        let plain = reader.fill_buf().map_err(Error::io("reading the input"))?;
        if plain.is_empty() {
            sink.flush().map_err(Error::io("writing the output"))?;
            return Ok(reader.position());
        }
        sink.write_all(plain).map_err(Error::io("writing the output"))?;
        let len = plain.len();
        reader.consume(len);
    }
}

fn open_piece(
    source: &(impl ReadAt + ?Sized),
    piece: &Piece,
    size: u64,
    buffers: &BufferPool,
    plain: &mut [u8],
) -> Result<()> {
    let mut read = buffers.take(piece.lead() + piece.span.sealed_len);
    if read_full_at(source, &mut read, piece.offset() - piece.lead() as u64)? < read.len() {
        return Err(Error::SourceChanged { expected: size });
    }
    piece.open(&read, plain)?;
    buffers.give_back(read);
    Ok(())
}

/// Distributes the items over the executor's threads. After an error no further item is started.
fn for_each<I: Iterator + Send>(
    executor: &Executor,
    items: I,
    work: impl Fn(I::Item, &BufferPool) -> Result<()> + Sync,
) -> Result<()> {
    let cursor = Cursor::new(items);
    let stop = AtomicBool::new(false);
    executor.on_each_worker(|| {
        // One for each worker, so that its buffers stay in its core's cache.
        let buffers = BufferPool::new(2);
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = cursor.claim() else { break };
            work(item, &buffers).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    })
}

/// Whether exactly as many bytes can be read from `file` as its length says. That does not hold for pipes and devices,
/// nor for files that kernels and some file systems generate when they are read: those in `/proc` look empty, those in
/// `/sys` look a page long. Read such a source as a stream.
///
/// # Errors
/// [`Error::Io`].
pub fn has_true_length(file: &File) -> Result<bool> {
    let metadata = file.metadata().map_err(Error::io("asking for the input's length"))?;
    let Some(last) = metadata.len().checked_sub(1).filter(|_| metadata.is_file()) else {
        return Ok(false);
    };
    // The last byte exists, and none follows it.
    let mut end = [0; 2];
    match read_full_at(file, &mut end, last) {
        Ok(count) => Ok(count == 1),
        // An offset that no file can have.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error),
    }
}
