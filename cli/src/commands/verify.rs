//! `sealstone verify`: opens everything and keeps nothing.

use std::io::sink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealstone::Progress;

use super::{Reading, prefix};
use crate::args::{Common, VerifyArgs};
use crate::exit::{Code, Failure};
use crate::io::{self, Body, Bulk, Input, Operation};
use crate::keys::keys_of_many;
use crate::progress::Bar;
use crate::report::{Outcome, Report, copy_faults};
use crate::workers::Workers;

const COMMAND: &str = "verify";

/// Verifies the inputs; returns the exit code.
pub(crate) fn run(args: &VerifyArgs, common: &Common, report: &Report) -> u8 {
    if args.prefix.recursive {
        return prefix::run(all(args, common, report), COMMAND, report);
    }
    let checked = super::roles(&args.inputs, &args.read, common).check(report.is_json());
    match checked.and_then(|()| Reading::new(&args.inputs, &args.read, common, report)) {
        Ok(mut reading) => io::try_all(report, COMMAND, false, args.inputs.clone(), PathBuf::as_path, |input| {
            verify(&mut reading, &input, report)
        }),
        Err(failure) => super::finish(report, COMMAND, Err(failure)),
    }
}

/// The verification of all objects under a prefix.
fn all<'a>(args: &'a VerifyArgs, common: &Common, report: &Report) -> Result<prefix::Run<'a>, Failure> {
    let url = prefix::prefix_of(&args.inputs, &args.read.single())?;
    super::roles(&args.inputs, &args.read, common).check(report.is_json())?;
    let keys = keys_of_many(&args.read.offer.keys, &common.keys)?;
    let mut bulk = Bulk::new(Operation::Verify, keys, Workers::new(args.read.threads).executor(None)?)?;
    bulk.context = super::exact(&args.read.offer)?;
    Ok(prefix::Run::new(COMMAND, "verified", url, bulk, &args.prefix))
}

fn verify(reading: &mut Reading<'_>, input: &Path, report: &Report) -> Result<(), Failure> {
    let name = io::display(input);
    let object = reading.object(Input::open(input)?)?;
    object.will_read_all();
    let progress = Progress::new();
    let (decryptor, threads) = reading.decryptor(&object, &name, progress.clone())?;

    let start = Instant::now();
    let bar = Bar::show(report.progress(false), &name, object.claimed_len(), move || {
        progress.bytes()
    });
    let unlocked = reading.unlock(&decryptor, &object)?;
    let verified = match object.body {
        Body::File(file) => unlocked.verify(&file),
        Body::Stream(payload) => unlocked.pipe(payload, sink()),
    };
    drop(bar);
    let bytes = verified?;
    refuse_faults(&copy_faults(unlocked.object_header()))?;
    report.outcome(&Outcome {
        command: COMMAND,
        done: "verified",
        input,
        output: None,
        on_stdout: false,
        bytes,
        object_length: None,
        elapsed: start.elapsed(),
        threads,
    })
}

/// The data is complete, but one more fault like this would lose all of it.
fn refuse_faults(faults: &[String]) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}; all data is unaltered: `sealstone rewrap` repairs it while one copy is whole",
        faults.join("; ")
    );
    Err(Failure::new(Code::NotAuthentic, message))
}
