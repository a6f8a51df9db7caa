//! `sealstone rekey`: a new object of an old one, under a new data key.

use std::path::PathBuf;
use std::time::Instant;

use sealstone::{Encryptor, Progress};

use super::{Reading, prefix};
use crate::args::{Common, RekeyArgs};
use crate::exit::Failure;
use crate::io::{self, Body, Bulk, Content, Destination, Input, Keep, Object, Operation, Place};
use crate::keys::{SealingKeys, add_keys, keys_of_many, watched};
use crate::progress::Bar;
use crate::report::{Outcome, Report};
use crate::workers::Workers;

const COMMAND: &str = "rekey";

/// Rekeys the object; returns the exit code.
pub(crate) fn run(args: &RekeyArgs, common: &Common, report: &Report) -> u8 {
    let place = match &args.output {
        Some(output) if !args.all.prefix.recursive => Place::named(output),
        _ => return prefix::run(all(args, common, report), COMMAND, report),
    };
    let work = |_| rekey(args, common, report, &place);
    let inputs = vec![args.input.clone()];
    io::try_all(report, COMMAND, place.is_stdout(), inputs, PathBuf::as_path, work)
}

/// The same for all objects under a prefix, each in its place.
fn all<'a>(args: &'a RekeyArgs, common: &Common, report: &Report) -> Result<prefix::Run<'a>, Failure> {
    let others = [
        ("--output", args.output.is_some()),
        ("--force", args.force),
        ("--set-context", !args.context.stored.is_empty()),
        ("--set-context-supplied", !args.context.supplied.is_empty()),
        ("--clear-context", args.context.clear_context),
    ];
    let inputs = std::slice::from_ref(&args.input);
    let url = prefix::prefix_of(inputs, &[&others[..], &args.read.single()].concat())?;
    prefix::check_in_place(args.in_place)?;
    let mut roles = super::roles(inputs, &args.read, common);
    add_keys(&mut roles, &args.to, &common.keys);
    roles.check(report.is_json())?;
    let keys = SealingKeys::new(&args.to, &common.keys, report).providers()?.to_vec();
    let mut bulk = Bulk::new(Operation::Rekey, keys, Workers::new(args.read.threads).executor(None)?)?;
    bulk.opening = keys_of_many(&args.read.offer.keys, &common.keys)?;
    bulk.context = super::exact(&args.read.offer)?;
    bulk.unconditional = args.all.unconditional;
    Ok(prefix::Run::new(COMMAND, "rekeyed", url, bulk, &args.all.prefix))
}

fn rekey(args: &RekeyArgs, common: &Common, report: &Report, place: &Place) -> Result<(), Failure> {
    let inputs = std::slice::from_ref(&args.input);
    let mut roles = super::roles(inputs, &args.read, common);
    add_keys(&mut roles, &args.to, &common.keys);
    roles.check(report.is_json())?;
    let mut reading = Reading::new(inputs, &args.read, common, report)?;
    let destination = Destination::check(place, args.force, Content::Object, &roles)?;
    let input = Input::open(&args.input)?;
    let destination = destination.with_access(io::access(&input, Keep::Privacy)?);
    let name = io::display(&args.input);
    let object = reading.object(input)?;
    object.will_read_all();
    let destination = destination.with_len(object.len);
    let progress = Progress::new();
    let (decryptor, threads) = reading.decryptor(&object, &name, progress.clone())?;
    let mut keys = SealingKeys::new(&args.to, &common.keys, report);
    let encryptor = encryptor(args, &reading, &object, &mut keys)?;
    let mut sink = destination.open(&roles)?;

    let start = Instant::now();
    let when = report.progress(sink.is_terminal());
    let bar = Bar::show(when, &name, object.claimed_len(), move || progress.bytes());
    let unlocked = reading.unlock(&decryptor, &object)?;
    let rekeyed = match object.body {
        Body::File(file) => unlocked.rekey_at(&file, &encryptor, &mut sink),
        Body::Stream(payload) => unlocked.rekey(payload, &encryptor, &mut sink),
    };
    drop(bar);
    let plaintext_len = rekeyed?;
    sink.commit(report)?;
    report.copy_faults(&name, unlocked.object_header());
    report.outcome(&Outcome {
        command: COMMAND,
        done: "rekeyed",
        input: &args.input,
        output: Some(place),
        on_stdout: place.is_stdout(),
        bytes: plaintext_len,
        object_length: place.stored_len(encryptor.object_len(plaintext_len).ok()),
        elapsed: start.elapsed(),
        threads,
    })
}

/// Seals as the object was sealed, for the new keys.
fn encryptor(
    args: &RekeyArgs,
    reading: &Reading<'_>,
    object: &Object,
    keys: &mut SealingKeys<'_>,
) -> Result<Encryptor, Failure> {
    let header = object.header.header();
    let context = match super::new_context(&args.context)? {
        Some(context) => context,
        None => reading.context.resolve(header.context())?,
    };
    let (first, others) = keys
        .providers()?
        .split_first()
        .ok_or_else(|| Failure::usage("no key was given"))?;
    let encryptor = Encryptor::new(watched(first.clone()))
        .with_context(context)
        .with_suite(header.suite())
        .with_chunk_size(header.chunk_size())
        .with_executor(reading.workers.executor(object.len)?);
    Ok(others.iter().cloned().map(watched).fold(encryptor, Encryptor::with_key))
}
