//! One module for each command, and what several of them share.

pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod decrypt;
pub(crate) mod encrypt;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod man;
mod prefix;
pub(crate) mod rekey;
pub(crate) mod rewrap;
pub(crate) mod verify;

use std::path::{Path, PathBuf};

use sealstone::{Decryptor, EncryptionContext, ExpectedContext, Progress, Unlocked};

use crate::args::{Command, Common, KeysAction, NewContextArgs, OfferArgs, Pair, ReadArgs, S3Object};
use crate::exit::Failure;
use crate::explain::explain;
use crate::io::{Body, Descriptor, Input, Object, Roles, check_header, check_object_length};
use crate::keys::{Provider, ReadingKeys, add_keys, watched};
use crate::report::Report;
use crate::workers::Workers;

/// How objects are read: what `decrypt`, `cat` and `verify` share.
struct Reading<'a> {
    keys: ReadingKeys<'a>,
    context: ExpectedContext,
    workers: Workers,
    /// The file with the one input's header, if that is stored apart.
    header: Option<&'a Path>,
    /// How much of the one input the object takes, if that is not all.
    object_length: Option<u64>,
    report: &'a Report,
}

impl<'a> Reading<'a> {
    fn new(inputs: &[PathBuf], args: &'a ReadArgs, common: &'a Common, report: &'a Report) -> Result<Self, Failure> {
        check_header(args.header.as_deref(), inputs.len())?;
        check_object_length(args.object_length, inputs.len())?;
        Ok(Self {
            keys: ReadingKeys::new(&args.offer.keys, &common.keys, report),
            context: expected(&args.offer)?,
            workers: Workers::new(args.threads),
            header: args.header.as_deref(),
            object_length: args.object_length,
            report,
        })
    }

    /// Reads the header of `input`, wherever it is.
    fn object(&self, input: Input) -> Result<Object, Failure> {
        let object = Object::read(input, self.header, self.object_length)?;
        object.check_readable()?;
        Ok(object)
    }

    /// Unlocks the object. It may wait for a key service, or derive a key: progress is to be shown.
    fn unlock(&mut self, decryptor: &Decryptor, object: &Object) -> Result<Unlocked, Failure> {
        let header = object.header.clone();
        let unlocked = match &object.body {
            Body::File(file) => decryptor.unlock_at(header, file),
            Body::Stream(_) => decryptor.unlock(header),
        };
        let unlocked = unlocked.map_err(|error| explain(error.into(), object.header.header()));
        unlocked.inspect_err(|failure| self.keys.forget_if_wrong(failure))
    }

    /// The decryptor of `object`, and its number of threads. A person may be asked for a passphrase: progress is not to
    /// be shown yet.
    fn decryptor(&mut self, object: &Object, name: &str, progress: Progress) -> Result<(Decryptor, usize), Failure> {
        let header = object.header.header();
        // Before a person is asked for a passphrase that would be of no use.
        let context = self.context.resolve(header.context())?;
        let providers = self.keys.for_object(header, Some(&context), name)?;
        let calls = max_calls(&providers);
        let mut providers = providers.into_iter().map(watched);
        let first = providers.next().ok_or_else(|| Failure::usage("no key was given"))?;
        let executor = self.workers.executor(object.len)?;
        let threads = executor.thread_count();
        let decryptor = Decryptor::new(first)
            .with_context(self.context.clone())
            .with_max_provider_calls(calls)
            .with_executor(executor)
            .with_progress(progress);
        self.report.detail(|| {
            let slots: Vec<_> = header.slots().iter().map(sealstone::format::WrappedKey::name).collect();
            format!("{name}: {}, sealed for {}", header.suite().name(), slots.join(", "))
        });
        Ok((providers.fold(decryptor, Decryptor::with_key), threads))
    }
}

/// How often keys may be asked to open an object: each that the user named for two slots.
fn max_calls(keys: &[Provider]) -> usize {
    keys.len().saturating_mul(2)
}

/// The context that each of many objects must have.
fn exact(args: &OfferArgs) -> Result<EncryptionContext, Failure> {
    context(&args.context, &args.context_supplied, None)
}

/// What an object's context has to be.
fn expected(args: &OfferArgs) -> Result<ExpectedContext, Failure> {
    let given = context(&args.context, &args.context_supplied, args.s3_object.as_ref())?;
    Ok(match (args.accept_context, given.is_empty()) {
        (false, _) => ExpectedContext::Exact(given),
        (true, false) => ExpectedContext::Contains(given),
        (true, true) => ExpectedContext::AcceptStored,
    })
}

/// The context that is to take another's place, if one is.
fn new_context(args: &NewContextArgs) -> Result<Option<EncryptionContext>, Failure> {
    let context = context(&args.stored, &args.supplied, None)?;
    Ok((args.clear_context || !context.is_empty()).then_some(context))
}

/// What a reading command reads.
fn roles(inputs: &[PathBuf], args: &ReadArgs, common: &Common) -> Roles {
    let mut roles = Roles::new(inputs, args.header.as_deref());
    add_keys(&mut roles, &args.offer.keys, &common.keys);
    roles
}

/// The encryption context that the pairs make. A key given twice is an error.
fn context(stored: &[Pair], supplied: &[Pair], place: Option<&S3Object>) -> Result<EncryptionContext, Failure> {
    let mut context = EncryptionContext::new();
    let stored = stored.iter().map(|pair| (pair, false));
    let supplied = supplied.iter().chain(place.map(|S3Object(pair)| pair));
    for (Pair { key, value }, is_supplied) in stored.chain(supplied.map(|pair| (pair, true))) {
        if context.value(key).is_some() {
            return Err(Failure::usage(format!("context key {key:?} is given twice")));
        }
        context = if is_supplied {
            context.with_supplied(key, value)
        } else {
            context.with(key, value)
        };
    }
    context.validate()?;
    Ok(context)
}

/// Fails before any work if a command would report on standard output and cannot write to it.
pub(crate) fn check_stdout(command: &Command, common: &Common) -> Result<(), Failure> {
    let is_printed = match command {
        Command::Inspect(_) | Command::Completions(_) => true,
        Command::Keys(args) => matches!(args.action, KeysAction::List),
        _ => false,
    };
    if is_printed || common.json {
        drop(Descriptor::STDOUT.writing()?);
    }
    Ok(())
}

/// The exit code of a result that concerns no input.
fn finish(report: &Report, command: &str, done: Result<(), Failure>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(failure) => {
            report.failure(command, None, false, &failure);
            failure.code as u8
        }
    }
}
