//! `sealstone verify`: opens everything and keeps nothing.

use std::io::sink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealstone::Progress;

use super::Reading;
use crate::args::{Common, VerifyArgs};
use crate::exit::{Code, Failure};
use crate::io::{self, Body, Input};
use crate::progress::Bar;
use crate::providers::explain;
use crate::report::{Outcome, Report, copy_faults};

const COMMAND: &str = "verify";

/// Verifies the inputs; returns the exit code.
pub(crate) fn run(args: &VerifyArgs, common: &Common, report: &Report) -> u8 {
    let checked = super::roles(&args.inputs, &args.read, common).check(report.is_json());
    match checked.and_then(|()| Reading::new(&args.inputs, &args.read, common, report)) {
        Ok(mut reading) => io::try_all(report, COMMAND, false, args.inputs.clone(), PathBuf::as_path, |input| {
            verify(&mut reading, &input, report)
        }),
        Err(failure) => super::finish(report, COMMAND, Err(failure)),
    }
}

fn verify(reading: &mut Reading<'_>, input: &Path, report: &Report) -> Result<(), Failure> {
    let name = io::display(input);
    let object = reading.object(Input::open(input)?)?;
    let progress = Progress::new();
    let (decryptor, threads) = reading.decryptor(&object, &name)?;
    let decryptor = decryptor.with_progress(progress.clone());

    let start = Instant::now();
    let bar = Bar::show(report.progress(false), &name, object.claimed_len(), move || {
        progress.bytes()
    });
    let opened = match object.body {
        Body::File(file) => decryptor.verify(&file),
        Body::Stream(stream) => decryptor.decrypt_stream(stream, sink()),
    };
    drop(bar);
    let opened = opened.map_err(|error| explain(error.into(), object.header.header()));
    let opened = opened.inspect_err(|failure| reading.keys.forget_if_wrong(failure))?;
    refuse_faults(&copy_faults(&opened.header))?;
    report.outcome(&Outcome {
        command: COMMAND,
        done: "verified",
        input,
        output: None,
        on_stdout: false,
        bytes: opened.plaintext_len,
        object_length: None,
        elapsed: start.elapsed(),
        threads,
    })
}

/// The data is whole, but another fault of the kind would lose it all.
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
