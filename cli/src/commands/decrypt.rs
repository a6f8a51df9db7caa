//! `sealstone decrypt`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use sealstone::file::SparseFile;
use sealstone::{Error, Progress, Unlocked};

use super::Reading;
use crate::args::{Common, DecryptArgs, Sparse};
use crate::exit::Failure;
use crate::io::{self, Body, Content, Destination, Input, Job, Keep, Roles, Sink, StoreUrl};
use crate::progress::Bar;
use crate::report::{Outcome, Report};

const COMMAND: &str = "decrypt";

/// Decrypts the inputs; returns the exit code.
pub(crate) fn run(args: &DecryptArgs, common: &Common, report: &Report) -> u8 {
    match Opening::new(args, common, report).and_then(|opening| Ok((opening, jobs(args)?))) {
        Ok((mut opening, jobs)) => {
            let on_stdout = jobs
                .iter()
                .any(|job| job.place.as_ref().is_ok_and(io::Place::is_stdout));
            io::try_all(
                report,
                COMMAND,
                on_stdout,
                jobs,
                |job| &job.input,
                |job| opening.open(job),
            )
        }
        failed => super::finish(report, COMMAND, failed.map(drop)),
    }
}

fn jobs(args: &DecryptArgs) -> Result<Vec<Job>, Failure> {
    io::plan(&args.inputs, args.output.output.as_deref(), opened_name)
}

fn opened_name(input: &Path) -> Result<PathBuf, Failure> {
    if StoreUrl::of(input).is_some() {
        let message = "its plaintext would be stored beside it: name the output with -o, a file or an object";
        return Err(Failure::usage(message));
    }
    let stem = input
        .file_stem()
        .filter(|_| input.extension().is_some_and(|end| end.eq_ignore_ascii_case("seal")));
    stem.map(|stem| input.with_file_name(stem))
        .ok_or_else(|| Failure::usage("its name does not end in .seal; name the output with -o"))
}

/// How the inputs are opened.
struct Opening<'a> {
    args: &'a DecryptArgs,
    report: &'a Report,
    reading: Reading<'a>,
    roles: Roles,
}

impl<'a> Opening<'a> {
    fn new(args: &'a DecryptArgs, common: &'a Common, report: &'a Report) -> Result<Self, Failure> {
        let roles = super::roles(&args.inputs, &args.read, common);
        roles.check(report.is_json())?;
        Ok(Self {
            args,
            report,
            reading: Reading::new(&args.inputs, &args.read, common, report)?,
            roles,
        })
    }

    fn open(&mut self, job: Job) -> Result<(), Failure> {
        let place = job.place?;
        let destination = Destination::check(&place, self.args.output.force, Content::Plaintext, &self.roles)?;
        let input = Input::open(&job.input)?;
        let keep = if self.args.no_preserve {
            Keep::Privacy
        } else {
            Keep::All
        };
        let destination = destination.with_access(io::access(&input, keep)?);
        let name = io::display(&job.input);
        let object = self.reading.object(input)?;
        object.will_read_all();
        let destination = destination.with_len(object.claimed_len());
        let progress = Progress::new();
        let (decryptor, threads) = self.reading.decryptor(&object, &name, progress.clone())?;
        let sink = destination.open(&self.roles)?;
        if self.args.sparse == Sparse::Always && sink.file().is_none() {
            return Err(Failure::usage("--sparse=always is for outputs that are files"));
        }

        let start = Instant::now();
        let when = self.report.progress(sink.is_terminal());
        let bar = Bar::show(when, &name, object.claimed_len(), move || progress.bytes());
        let unlocked = self.reading.unlock(&decryptor, &object)?;
        let opened = self.open_into(&unlocked, object.body, sink);
        drop(bar);
        let bytes = opened?;
        self.report.copy_faults(&name, unlocked.object_header());
        self.report.outcome(&Outcome {
            command: COMMAND,
            done: "decrypted",
            input: &job.input,
            output: Some(&place),
            on_stdout: place.is_stdout(),
            bytes,
            object_length: None,
            elapsed: start.elapsed(),
            threads,
        })
    }

    /// Opens all of an object into `sink`; returns the length of the plaintext in bytes.
    fn open_into(&self, unlocked: &Unlocked, body: Body, mut sink: Sink) -> Result<u64, Failure> {
        match pour(unlocked, body, &mut sink, self.args.sparse != Sparse::Never) {
            Ok(bytes) => {
                sink.commit(self.report)?;
                Ok(bytes)
            }
            Err(error) => Err(with_released(error, &sink)),
        }
    }
}

/// Opens all of an object into `sink`; if `sparse`, whole blocks of zeros become holes.
fn pour(unlocked: &Unlocked, body: Body, sink: &mut Sink, sparse: bool) -> Result<u64, Error> {
    let Some(target) = sink.file() else {
        return match body {
            Body::File(extent) => unlocked.pipe_at(&extent, sink),
            Body::Stream(payload) => unlocked.pipe(payload, sink),
        };
    };
    if !sparse {
        return match body {
            Body::File(extent) => unlocked.open_at(&extent, target),
            Body::Stream(payload) => unlocked.pipe(payload, target),
        };
    }
    let mut target = SparseFile::new(target)?;
    let opened = match body {
        Body::File(extent) => unlocked.open_at(&extent, &target)?,
        Body::Stream(payload) => unlocked.pipe(payload, &mut target)?,
    };
    target.finish()?;
    Ok(opened)
}

/// Adds how much plaintext was already written, if the output is a stream: it is authentic, but incomplete.
pub(super) fn with_released(error: Error, sink: &Sink) -> Failure {
    let failure = Failure::from(error);
    if !sink.is_stream() {
        return failure;
    }
    let released = sink.written().load(Ordering::Relaxed);
    if released == 0 {
        return failure.and("nothing was written");
    }
    failure.and(&format!(
        "{released} verified bytes were written before that, and are not the whole"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_ends_in_seal_names_its_output() {
        assert_eq!(opened_name(Path::new("d/a.txt.seal")).unwrap(), Path::new("d/a.txt"));
        // Some file systems know capitals only.
        assert_eq!(opened_name(Path::new("NOTE.SEAL")).unwrap(), Path::new("NOTE"));
        for other in ["a", "a.sealed", ".seal", "a.seal.txt"] {
            assert!(opened_name(Path::new(other)).is_err(), "{other}");
        }
    }
}
