//! `sealstone cat`: a range of an object's plaintext.

use std::io::{Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sealstone::{DecryptReader, Decryptor, Error, RangeReader, ReadAt};

use super::Reading;
use super::decrypt::with_released;
use crate::args::{ByteRange, CatArgs, Common};
use crate::exit::Failure;
use crate::io::{self, Body, Destination, Extent, Input, Keep, Place, Sink};
use crate::progress::Bar;
use crate::providers::explain;
use crate::report::{Outcome, Report};

const COMMAND: &str = "cat";
/// Bytes that are read at once.
const PIECE: usize = 1024 * 1024;
/// The longest end that is kept of a stream, whose length nobody knows before.
const MAX_LAST: u64 = 16 * 1024 * 1024;

/// Writes the range; gives the exit code.
pub(crate) fn run(args: &CatArgs, common: &Common, report: &Report) -> u8 {
    let place = match args.output.output.as_deref() {
        Some(output) => Place::named(output),
        None => Place::Stdout { by_name: true },
    };
    let work = |_| cat(args, common, report, &place);
    let inputs = vec![args.input.clone()];
    io::try_all(report, COMMAND, place.is_stdout(), inputs, PathBuf::as_path, work)
}

fn cat(args: &CatArgs, common: &Common, report: &Report, place: &Place) -> Result<(), Failure> {
    let inputs = std::slice::from_ref(&args.input);
    let roles = super::roles(inputs, &args.read, common);
    roles.check(report.is_json())?;
    let mut reading = Reading::new(inputs, &args.read, common, report)?;
    let destination = Destination::check(place, args.output.force, false, &roles)?;
    let input = Input::open(&args.input)?;
    let destination = destination.with_access(io::access(&input, Keep::Privacy)?);
    let name = io::display(&args.input);
    let object = reading.object(input)?;
    let (decryptor, threads) = reading.decryptor(&object, &name)?;
    let range = args.range.unwrap_or(ByteRange::From(0, None));
    let sink = destination.open(&roles)?;

    let start = Instant::now();
    let written = sink.written();
    let total = range_len(range, object.claimed_len());
    let when = report.progress(sink.is_terminal());
    let bar = Bar::show(when, &name, total, move || written.load(Ordering::Relaxed));
    let header = object.header.clone();
    let done =
        write_range(&decryptor, object.body, range, sink, report).map_err(|failure| explain(failure, header.header()));
    drop(bar);
    let bytes = done?;
    report.copy_faults(&name, &header);
    report.outcome(&Outcome {
        command: COMMAND,
        done: "read",
        input: &args.input,
        output: Some(place),
        on_stdout: place.is_stdout(),
        bytes,
        object_length: None,
        elapsed: start.elapsed(),
        threads,
    })
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

fn write_range(
    decryptor: &Decryptor,
    body: Body,
    range: ByteRange,
    mut sink: Sink,
    report: &Report,
) -> Result<u64, Failure> {
    let written = match body {
        Body::File(extent) => decryptor
            .range_reader(&extent)
            .and_then(|reader| from_file(&reader, range, &mut sink))
            .map_err(|error| explain_end(decryptor, &extent, error)),
        Body::Stream(stream) => {
            refuse_long_end(range)?;
            decryptor
                .reader(stream)
                .and_then(|mut reader| from_stream(&mut reader, range, &mut sink))
        }
    };
    match written {
        Ok(len) => {
            sink.commit(report)?;
            Ok(len)
        }
        Err(error @ Error::RangeOutOfBounds { .. }) => Err(error.into()),
        Err(error) => Err(with_released(error, &sink)),
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
fn explain_end(decryptor: &Decryptor, extent: &Extent, error: Error) -> Error {
    if !matches!(error, Error::ChunkAltered { .. } | Error::Truncated { .. }) {
        return error;
    }
    match decryptor.find_end(extent) {
        Ok(offset) if offset < extent.len() => Error::TrailingData { offset },
        _ => error,
    }
}

/// Keeps the last bytes until it is certain that they are the last ones.
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
