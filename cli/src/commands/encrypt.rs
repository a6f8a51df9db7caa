//! `sealstone encrypt`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealstone::format::ATTACHED_LEN;
use sealstone::{Decryptor, EncryptionContext, Encryptor, Progress};

use super::prefix;
use crate::args::{Common, EncryptArgs};
use crate::exit::{Code, Failure};
use crate::io::{
    self, Bulk, Content, Descriptor, Destination, Input, Job, Keep, Operation, Place, Roles, Sink, check_header,
};
use crate::keys::{SealingKeys, add_keys, check_options, watched};
use crate::progress::Bar;
use crate::report::{Outcome, Report};
use crate::workers::Workers;

const COMMAND: &str = "encrypt";

/// Encrypts the inputs; returns the exit code.
pub(crate) fn run(args: &EncryptArgs, common: &Common, report: &Report) -> u8 {
    if args.all.prefix.recursive {
        return prefix::run(all(args, common, report), COMMAND, report);
    }
    match Sealing::new(args, common, report).and_then(|sealing| Ok((sealing, jobs(args)?))) {
        Ok((mut sealing, jobs)) => {
            let is_on_stdout = |job: &Job| job.place.as_ref().is_ok_and(|place| sealing.is_on_stdout(place));
            let on_stdout = jobs.iter().any(is_on_stdout);
            io::try_all(
                report,
                COMMAND,
                on_stdout,
                jobs,
                |job| &job.input,
                |job| sealing.seal(job),
            )
        }
        failed => super::finish(report, COMMAND, failed.map(drop)),
    }
}

/// The same for all objects under a prefix, each in its place.
fn all<'a>(args: &'a EncryptArgs, common: &Common, report: &Report) -> Result<prefix::Run<'a>, Failure> {
    let others = [
        ("--output", args.output.output.is_some()),
        ("--force", args.output.force),
        ("--header", args.header.is_some()),
        ("--s3-object", args.s3_object.is_some()),
        ("--verify-writes", args.verify_writes),
        ("--no-preserve", args.no_preserve),
    ];
    let url = prefix::prefix_of(&args.inputs, &others)?;
    prefix::check_in_place(args.in_place)?;
    check_options(&args.keys, &common.keys)?;
    let mut roles = Roles::new(&args.inputs, None);
    add_keys(&mut roles, &args.keys, &common.keys);
    roles.check_for_sealing(report.is_json())?;
    let context = super::context(&args.context, &args.context_supplied, None)?;
    let keys = SealingKeys::new(&args.keys, &common.keys, report).providers()?.to_vec();
    let mut bulk = Bulk::new(Operation::Encrypt, keys, Workers::new(args.threads).executor(None)?)?;
    bulk.context = context;
    bulk.chunk_size = args.chunk_size.into();
    bulk.suite = args.suite.into();
    bulk.unconditional = args.all.unconditional;
    Ok(prefix::Run::new(COMMAND, "encrypted", url, bulk, &args.all.prefix))
}

fn jobs(args: &EncryptArgs) -> Result<Vec<Job>, Failure> {
    io::plan(&args.inputs, args.output.output.as_deref(), sealed_name)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a naming")]
fn sealed_name(input: &Path) -> Result<PathBuf, Failure> {
    let mut name = input.as_os_str().to_owned();
    name.push(".seal");
    Ok(name.into())
}

/// How the inputs are sealed.
struct Sealing<'a> {
    args: &'a EncryptArgs,
    report: &'a Report,
    keys: SealingKeys<'a>,
    context: EncryptionContext,
    workers: Workers,
    roles: Roles,
}

impl<'a> Sealing<'a> {
    fn new(args: &'a EncryptArgs, common: &'a Common, report: &'a Report) -> Result<Self, Failure> {
        check_options(&args.keys, &common.keys)?;
        check_header(args.header.as_deref(), args.inputs.len())?;
        let mut roles = Roles::new(&args.inputs, None);
        add_keys(&mut roles, &args.keys, &common.keys);
        roles.check_for_sealing(report.is_json())?;
        Ok(Self {
            args,
            report,
            keys: SealingKeys::new(&args.keys, &common.keys, report),
            context: super::context(&args.context, &args.context_supplied, args.s3_object.as_ref())?,
            workers: Workers::new(args.threads),
            roles,
        })
    }

    fn seal(&mut self, job: Job) -> Result<(), Failure> {
        let place = job.place?;
        let content = match self.args.header {
            Some(_) => Content::Payload,
            None => Content::Object,
        };
        let destination = Destination::check(&place, self.args.output.force, content, &self.roles)?;
        let sidecar = self.args.header.as_deref().map(|path| self.sidecar(path, &destination));
        let sidecar = sidecar.transpose()?;
        let input = Input::open(&job.input)?;
        if input.file().is_some_and(|file| Decryptor::read_header(file).is_ok()) {
            self.report.note(&format!(
                "{}: it is a sealstone object already, and is encrypted once more; `sealstone rewrap` changes who may \
                 decrypt it",
                io::display(&job.input)
            ));
        }
        let keep = if self.args.no_preserve {
            Keep::Nothing
        } else {
            Keep::All
        };
        let access = io::access(&input, keep)?;
        let destination = destination.with_access(access.clone());
        let sidecar = sidecar.map(|sidecar| sidecar.with_access(access));
        let progress = Progress::new();
        let (encryptor, threads) = self.encryptor(input.len(), progress.clone())?;
        let object_len = input.len().and_then(|len| encryptor.object_len(len).ok());
        let sink = destination.with_len(object_len).open(&self.roles)?;

        let name = io::display(&job.input);
        let start = Instant::now();
        let when = self.report.progress(input.is_terminal() || sink.is_terminal());
        let bar = Bar::show(when, &name, input.len(), move || progress.bytes());
        let sealed = match sidecar {
            None => seal_into(&encryptor, input, sink, self.report),
            Some(sidecar) => self.seal_apart(&encryptor, input, sink, sidecar),
        };
        drop(bar);
        let bytes = sealed?;
        self.report.outcome(&Outcome {
            command: COMMAND,
            done: "encrypted",
            input: &job.input,
            output: Some(&place),
            on_stdout: self.is_on_stdout(&place),
            bytes,
            object_length: self.object_length(&encryptor, bytes, &place),
            elapsed: start.elapsed(),
            threads,
        })
    }

    /// Whether the object at `place`, or its header, goes to standard output.
    fn is_on_stdout(&self, place: &Place) -> bool {
        let header = self.args.header.as_deref().map(Place::named);
        place.is_stdout() || header.as_ref().is_some_and(Place::is_stdout)
    }

    /// Where the header goes, if it is stored apart. It replaces nothing, `-f` or not: an older payload may need the
    /// header that is there, and two files cannot be replaced at one moment.
    fn sidecar(&self, path: &Path, payload: &Destination) -> Result<Destination, Failure> {
        if path.exists() && Descriptor::named(path).is_none() {
            let message = format!(
                "the header {} exists already, and no option replaces it",
                io::display(path)
            );
            return Err(Failure::new(Code::OutputExists, message));
        }
        let sidecar = Destination::check(&Place::named(path), false, Content::Payload, &self.roles)?;
        if sidecar.is_same(payload) {
            return Err(Failure::usage("header and payload cannot go to one file"));
        }
        Ok(sidecar)
    }

    /// The length of the object, or of its payload if the header is stored apart, of `bytes` of plaintext.
    fn object_length(&self, encryptor: &Encryptor, bytes: u64, place: &Place) -> Option<u64> {
        let len = encryptor.object_len(bytes).ok();
        match self.args.header {
            Some(_) => len?.checked_sub(ATTACHED_LEN as u64),
            None => place.stored_len(len),
        }
    }

    fn encryptor(&mut self, len: Option<u64>, progress: Progress) -> Result<(Encryptor, usize), Failure> {
        let executor = self.workers.executor(len)?;
        let threads = executor.thread_count();
        let (first, others) = self
            .keys
            .providers()?
            .split_first()
            .ok_or_else(|| Failure::usage("no key was given"))?;
        let encryptor = Encryptor::new(watched(first.clone()))
            .with_context(self.context.clone())
            .with_chunk_size(self.args.chunk_size.into())
            .with_suite(self.args.suite.into())
            .with_verify_writes(self.args.verify_writes)
            .with_executor(executor)
            .with_progress(progress);
        Ok((
            others.iter().cloned().map(watched).fold(encryptor, Encryptor::with_key),
            threads,
        ))
    }

    /// Seals all of `input` into `sink`, without the header, which goes to `sidecar`. Both are complete, or neither is
    /// there.
    fn seal_apart(
        &self,
        encryptor: &Encryptor,
        input: Input,
        mut sink: Sink,
        sidecar: Destination,
    ) -> Result<u64, Failure> {
        let (header, payload) = encryptor.begin()?.detach();
        let header = header.to_detached()?;
        let len = match (input.file(), sink.file()) {
            (Some(source), Some(target)) => payload.seal_at(source, target)?,
            _ => payload.pipe(input.into_reader(), &mut sink)?,
        };
        let mut beside = sidecar.open(&self.roles)?;
        let written = beside.write_all(&header);
        written.map_err(|error| Failure::io("writing the header", &error))?;
        sink.commit_behind(beside, self.report)?;
        Ok(len)
    }
}

/// Seals all of `input` into `sink`; returns the length of the plaintext in bytes.
fn seal_into(encryptor: &Encryptor, input: Input, mut sink: Sink, report: &Report) -> Result<u64, Failure> {
    let len = match (input.file(), sink.file()) {
        (Some(source), Some(target)) => encryptor.seal_file(source, target)?,
        _ => encryptor.pipe(input.into_reader(), &mut sink)?,
    };
    sink.commit(report)?;
    Ok(len)
}
