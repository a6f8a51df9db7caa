//! `sealstone cat`: objects' plaintext, one after another, or a range of one.

use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use sealstone::positioned::ReadAt;
use sealstone::range::RangeReader;
use sealstone::stream::DecryptReader;
use sealstone::{Error, Progress, Unlocked};

use super::Reading;
use super::decrypt::with_released;
use crate::args::{ByteRange, CatArgs, Common};
use crate::exit::Failure;
use crate::io::{self, Body, Content, Destination, Extent, Input, Keep, Place, Roles, Sink, StoreUrl};
use crate::progress::Bar;
use crate::report::{Outcome, Report};

const COMMAND: &str = "cat";
/// Bytes that are read at once.
const PIECE: usize = 1024 * 1024;
/// The longest suffix that is kept of a stream, whose length is unknown until its end.
const MAX_LAST: u64 = 16 * 1024 * 1024;

/// Writes the objects' plaintext, or the range of one; returns the exit code.
pub(crate) fn run(args: &CatArgs, common: &Common, report: &Report) -> u8 {
    let place = match args.output.output.as_deref() {
        Some(output) => Place::named(output),
        None => Place::Stdout { by_name: true },
    };
    let failed = |input: Option<&PathBuf>, failure: &Failure| {
        report.failure(COMMAND, input.map(PathBuf::as_path), place.is_stdout(), failure);
        failure.code as u8
    };
    let only = (args.inputs.len() == 1).then(|| &args.inputs[0]);
    let mut cat = match Cat::new(args, common, report, &place) {
        Ok(cat) => cat,
        Err(failure) => return failed(only, &failure),
    };
    for (index, input) in args.inputs.iter().enumerate() {
        if let Err(failure) = cat.append(input) {
            let code = failed(Some(input), &failure);
            // Output that follows would look as if nothing were missing.
            let left = args.inputs.len() - index - 1;
            if left > 0 && !failure.is_quiet() {
                report.note(&format!("{left} more not begun, so that no part is missing in between"));
            }
            return code;
        }
    }
    cat.finish().map_or_else(|failure| failed(only, &failure), |()| 0)
}

/// Objects whose plaintext becomes one output.
struct Cat<'a> {
    report: &'a Report,
    reading: Reading<'a>,
    roles: Roles,
    place: &'a Place,
    range: ByteRange,
    /// Opened with the first object: if that cannot be had, nothing is begun.
    destination: Option<Destination>,
    sink: Option<Sink>,
    /// Of several inputs, the one that the fewest may read: the output is no less private.
    most_private: Option<&'a Path>,
}

impl<'a> Cat<'a> {
    fn new(args: &'a CatArgs, common: &'a Common, report: &'a Report, place: &'a Place) -> Result<Self, Failure> {
        if args.range.is_some() && args.inputs.len() > 1 {
            return Err(Failure::usage("--range is for one object"));
        }
        let roles = super::roles(&args.inputs, &args.read, common);
        roles.check(report.is_json())?;
        let reading = Reading::new(&args.inputs, &args.read, common, report)?;
        let destination = Destination::check(place, args.output.force, Content::Plaintext, &roles)?;
        Ok(Self {
            report,
            reading,
            roles,
            place,
            range: args.range.unwrap_or(ByteRange::ALL),
            destination: Some(destination),
            sink: None,
            most_private: most_private(&args.inputs),
        })
    }

    fn append(&mut self, input: &Path) -> Result<(), Failure> {
        let name = io::display(input);
        let opened = Input::open(input)?;
        let access = match self.most_private {
            Some(other) => io::access(&Input::open(other)?, Keep::Privacy)?,
            None => io::access(&opened, Keep::Privacy)?,
        };
        let object = self.reading.object(opened)?;
        let (decryptor, threads) = self.reading.decryptor(&object, &name, Progress::new())?;
        if let Some(destination) = self.destination.take() {
            self.sink = Some(destination.with_access(access).open(&self.roles)?);
        }
        let Some(sink) = &mut self.sink else {
            return Err(Failure::usage("the output is closed"));
        };

        let start = Instant::now();
        let written = sink.written();
        let before = written.load(Ordering::Relaxed);
        let total = range_len(self.range, object.claimed_len());
        let when = self.report.progress(sink.is_terminal());
        let bar = Bar::show(when, &name, total, move || written.load(Ordering::Relaxed) - before);
        let unlocked = self.reading.unlock(&decryptor, &object)?;
        let done = write_range(&unlocked, object.body, self.range, sink);
        drop(bar);
        let bytes = done?;
        self.report.copy_faults(&name, unlocked.object_header());
        self.report.outcome(&Outcome {
            command: COMMAND,
            done: "read",
            input,
            output: Some(self.place),
            on_stdout: self.place.is_stdout(),
            bytes,
            object_length: None,
            elapsed: start.elapsed(),
            threads,
        })
    }

    fn finish(self) -> Result<(), Failure> {
        self.sink.map_or(Ok(()), |sink| sink.commit(self.report))
    }
}

fn most_private(inputs: &[PathBuf]) -> Option<&Path> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let readers = |input: &&Path| {
            let metadata = match StoreUrl::of(input) {
                Some(_) => None,
                None => input.metadata().ok().filter(std::fs::Metadata::is_file),
            };
            metadata.map(|metadata| (metadata.mode() & 0o077).count_ones())
        };
        let inputs = inputs.iter().map(PathBuf::as_path);
        let stored: Vec<_> = inputs.filter_map(|input| Some((readers(&input)?, input))).collect();
        let most = stored.iter().min_by_key(|(readers, _)| *readers);
        most.filter(|_| stored.len() > 1).map(|(_, input)| *input)
    }
    #[cfg(not(unix))]
    {
        let _ = inputs;
        None
    }
}

/// How long the range is, if the plaintext is as long as claimed.
fn range_len(range: ByteRange, claimed_len: Option<u64>) -> Option<u64> {
    match (range, claimed_len) {
        (ByteRange::From(start, Some(end)), _) => Some(end - start),
        (ByteRange::From(start, None), Some(len)) => Some(len.saturating_sub(start)),
        (ByteRange::Last(count), Some(len)) => Some(count.min(len)),
        (_, None) => None,
    }
}

fn write_range(unlocked: &Unlocked, body: Body, range: ByteRange, sink: &mut Sink) -> Result<u64, Failure> {
    let written = match body {
        Body::File(extent) => {
            announce(unlocked, &extent, range);
            // What no range has is verified as well: padding, and the first bytes of each component.
            if unlocked.is_composite() && range == ByteRange::ALL {
                unlocked.pipe_at(&extent, &mut *sink)
            } else {
                unlocked
                    .range_reader(&extent)
                    .and_then(|reader| from_file(&reader, range, sink))
                    .map_err(|error| explain_end(unlocked, &extent, error))
            }
        }
        Body::Stream(payload) => {
            refuse_long_end(range)?;
            unlocked
                .reader(payload)
                .and_then(|mut reader| from_stream(&mut reader, range, sink))
        }
    };
    match written {
        Ok(len) => Ok(len),
        Err(error @ Error::RangeOutOfBounds { .. }) => Err(error.into()),
        Err(error) => Err(with_released(error, sink)),
    }
}

/// Says which bytes of the object will be read in order, if they are many. The end, which is read before, is not among
/// them.
fn announce(unlocked: &Unlocked, extent: &Extent, range: ByteRange) {
    if range == ByteRange::ALL {
        return extent.will_read_all();
    }
    let opener = match range {
        ByteRange::From(start, Some(end)) => unlocked.range(extent.len(), start..end),
        ByteRange::From(start, None) => unlocked.range(extent.len(), start..),
        ByteRange::Last(count) => match unlocked.plaintext_len(extent.len()) {
            Ok(len) => unlocked.range(extent.len(), len.saturating_sub(count)..),
            Err(error) => Err(error),
        },
    };
    // A range that cannot be had is refused when it is read.
    if let Ok(opener) = opener {
        let stored = opener.ciphertext_range();
        if stored.end - stored.start > PIECE as u64 {
            extent.will_read(stored.clone());
        }
    }
}

fn from_file(reader: &RangeReader<impl ReadAt>, range: ByteRange, sink: &mut Sink) -> Result<u64, Error> {
    let Range { start, end } = match range {
        ByteRange::From(start, Some(end)) => reader.resolve(start..end)?,
        ByteRange::From(start, None) => reader.resolve(start..)?,
        ByteRange::Last(count) => {
            let len = reader.verified_len()?;
            len.saturating_sub(count)..len
        }
    };
    let mut piece = vec![0; piece_len(end - start)];
    let mut offset = start;
    while offset < end {
        let wanted = piece_len(end - offset);
        let count = reader.read_at(&mut piece[..wanted], offset)?;
        if count == 0 {
            return Err(Error::SourceChanged { expected: end });
        }
        write(sink, &piece[..count])?;
        offset += count as u64;
    }
    Ok(end - start)
}

fn from_stream<R: Read>(reader: &mut DecryptReader<R>, range: ByteRange, sink: &mut Sink) -> Result<u64, Error> {
    let (start, end) = match range {
        ByteRange::From(start, end) => (start, end),
        ByteRange::Last(count) => return last_of_stream(reader, count, sink),
    };
    // The end is read too if it is asked for; a range before it ends with itself.
    while end.is_none_or(|end| reader.position() < end) {
        let offset = reader.position();
        let Some(bytes) = reader.next_bytes()? else { break };
        let from = start.saturating_sub(offset).min(bytes.len() as u64);
        let to = end.map_or(u64::MAX, |end| end - offset).min(bytes.len() as u64);
        write(sink, &bytes[index(from)..index(to)])?;
    }
    let len = reader.position();
    if start > len || end.is_some_and(|end| end > len) {
        let end = end.unwrap_or(len);
        return Err(Error::RangeOutOfBounds { start, end, len });
    }
    Ok(end.unwrap_or(len) - start)
}

/// A better error, if other bytes follow the object: ranged reads do not look for that.
fn explain_end(unlocked: &Unlocked, extent: &Extent, error: Error) -> Error {
    if !matches!(error, Error::ChunkAltered { .. } | Error::Truncated { .. }) {
        return error;
    }
    match unlocked.find_end(extent) {
        Ok(offset) if offset < extent.len() => Error::TrailingData { offset },
        _ => error,
    }
}

/// Keeps the last bytes until the end of the stream is verified.
fn last_of_stream<R: Read>(reader: &mut DecryptReader<R>, count: u64, sink: &mut Sink) -> Result<u64, Error> {
    let count = index(count);
    let mut kept: Vec<u8> = Vec::new();
    while let Some(bytes) = reader.next_bytes()? {
        kept.extend_from_slice(&bytes);
        // Seldom, so that each byte is moved about once.
        if kept.len() > 2 * count + PIECE {
            kept.drain(..kept.len() - count);
        }
    }
    let last = &kept[kept.len().saturating_sub(count)..];
    write(sink, last)?;
    Ok(last.len() as u64)
}

fn refuse_long_end(range: ByteRange) -> Result<(), Failure> {
    match range {
        ByteRange::Last(count) if count > MAX_LAST => Err(Failure::usage(
            "of a stream at most the last 16 MiB can be had; read the object from a file",
        )),
        _ => Ok(()),
    }
}

fn write(sink: &mut Sink, bytes: &[u8]) -> Result<(), Error> {
    sink.write_all(bytes)
        .map_err(|error| Error::from_io("writing the output", error))
}

fn piece_len(len: u64) -> usize {
    usize::try_from(len).map_or(PIECE, |len| len.min(PIECE))
}

/// An offset in a buffer, as a buffer has it.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("at most a buffer's length: compared with one, or with MAX_LAST")
}
