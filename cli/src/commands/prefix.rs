//! What `verify`, `rewrap`, `rekey` and `encrypt` have in common on all objects under a prefix in a store.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::args::PrefixArgs;
use crate::exit::{Code, Failure};
use crate::io::{Bulk, BulkDone, Operation, StoreUrl, for_each_stored};
use crate::report::{InputName, PrefixOutcome, Report};
use crate::{signals, text};

/// What is done, and where.
pub(super) struct Run<'a> {
    command: &'static str,
    /// What a changed object is, as in "rewrapped".
    changed: &'static str,
    url: StoreUrl,
    bulk: Bulk,
    args: &'a PrefixArgs,
}

/// The prefix that the only input names.
///
/// # Errors
/// If it is another kind of input, or one of these options is given, which are for single objects.
pub(super) fn prefix_of(inputs: &[PathBuf], others: &[(&str, bool)]) -> Result<StoreUrl, Failure> {
    if let Some((option, _)) = others.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::usage(format!("{option} is not for --recursive")));
    }
    let [input] = inputs else {
        return Err(Failure::usage(
            "--recursive takes one bucket or prefix; run it for each",
        ));
    };
    let Some(url) = StoreUrl::of(input) else {
        return Err(Failure::usage(
            "--recursive is for objects in stores, as s3://BUCKET/PREFIX/; for files, use find DIR -type f -exec",
        ));
    };
    if !url.is_directory() {
        let message = format!("{url} is the name of an object: a prefix ends in a slash, as {url}/");
        return Err(Failure::usage(message));
    }
    Ok(url)
}

/// Refuses to replace objects unless that was asked for.
pub(super) fn check_in_place(in_place: bool) -> Result<(), Failure> {
    if in_place {
        return Ok(());
    }
    Err(Failure::usage(
        "--recursive replaces objects by encrypted ones: confirm that with --in-place",
    ))
}

/// Works on all objects; returns the exit code: that of the first failure.
pub(super) fn run(run: Result<Run<'_>, Failure>, command: &str, report: &Report) -> u8 {
    match run {
        Ok(run) => run.all(report),
        Err(failure) => super::finish(report, command, Err(failure)),
    }
}

/// How many objects had which outcome.
#[derive(Debug, Default)]
struct Counts {
    changed: u64,
    unchanged: u64,
    verified: u64,
    bytes: u64,
    failed: u64,
}

impl Counts {
    fn add(&mut self, done: BulkDone) {
        match done {
            BulkDone::Changed => self.changed += 1,
            BulkDone::Unchanged => self.unchanged += 1,
            BulkDone::Verified(bytes) => {
                self.verified += 1;
                self.bytes += bytes;
            }
        }
    }

    const fn all(&self) -> u64 {
        self.changed + self.unchanged + self.verified + self.failed
    }
}

impl<'a> Run<'a> {
    /// Does this work as the options say.
    pub(super) fn new(
        command: &'static str,
        changed: &'static str,
        url: StoreUrl,
        mut bulk: Bulk,
        args: &'a PrefixArgs,
    ) -> Self {
        bulk.jobs = args.jobs.map(usize::from);
        bulk.start_after.clone_from(&args.start_after);
        bulk.path_context.clone_from(&args.path_context);
        Self {
            command,
            changed,
            url,
            bulk,
            args,
        }
    }

    fn all(&self, report: &Report) -> u8 {
        if let Err(failure) = self.check_start() {
            return super::finish(report, self.command, Err(failure));
        }
        let mut tally = Tally::new(self.command, report);
        let last = tally.last.clone();
        let _registered = signals::undo_on_exit({
            let report = report.clone();
            Box::new(move || last.report(&report))
        });
        let ended = for_each_stored(&self.url, &self.bulk, &mut |object, result| match result {
            Ok(done) => tally.add(object, done, &self.outcome(object, done)),
            Err(failure) => tally.add_failure(object, &failure),
        });
        let is_complete = matches!(ended, Ok(ControlFlow::Continue(())));
        let is_empty = tally.counts.all() == 0;
        if let Err(failure) = ended {
            tally.fail(&self.url, &failure);
        } else if is_empty && self.args.start_after.is_none() {
            let failure = Failure::new(Code::NotFound, "there are no objects under it");
            tally.fail(&self.url, &failure);
        }
        if !report.is_json() && (!is_empty || self.args.start_after.is_some()) {
            report.sum(&self.summary(&tally.counts));
        }
        if !is_complete {
            tally.last.report(report);
        }
        tally.code
    }

    /// Refuses a key after which nothing under the prefix would follow, or all of it.
    fn check_start(&self) -> Result<(), Failure> {
        match &self.args.start_after {
            Some(key) if !key.starts_with(&self.url.key) => {
                let message = format!("--start-after {key} is not under {}: name the whole key", self.url);
                Err(Failure::usage(message))
            }
            _ => Ok(()),
        }
    }

    fn outcome(&self, object: &StoreUrl, done: BulkDone) -> PrefixOutcome {
        let (result, bytes) = match done {
            BulkDone::Changed => (self.changed, None),
            BulkDone::Unchanged => ("unchanged", None),
            BulkDone::Verified(bytes) => ("verified", Some(bytes)),
        };
        PrefixOutcome {
            command: self.command,
            ok: true,
            input: InputName::of(&object.to_name()),
            result,
            bytes,
        }
    }

    /// For people; scripts count the lines of JSON.
    fn summary(&self, counts: &Counts) -> String {
        let (url, all, failed) = (&self.url, counts.all(), counts.failed);
        if self.bulk.operation == Operation::Verify {
            let (verified, size) = (counts.verified, text::size(counts.bytes));
            return format!("{verified} of {all} objects in {url} are verified, {size}; {failed} are not");
        }
        format!(
            "{} of {all} objects in {url} are as asked for: {} changed, {} already; {failed} are not",
            all - failed,
            counts.changed,
            counts.unchanged
        )
    }
}

/// The outcomes so far, each reported as it comes.
struct Tally<'a> {
    command: &'static str,
    report: &'a Report,
    counts: Counts,
    /// The exit code of the first failure.
    code: u8,
    last: Last,
}

impl<'a> Tally<'a> {
    fn new(command: &'static str, report: &'a Report) -> Self {
        Self {
            command,
            report,
            counts: Counts::default(),
            code: 0,
            last: Last::default(),
        }
    }

    fn add(&mut self, object: &StoreUrl, done: BulkDone, outcome: &PrefixOutcome) -> ControlFlow<()> {
        self.counts.add(done);
        if let Err(failure) = self.report.prefix_outcome(outcome, done == BulkDone::Changed) {
            // No more changes that cannot be reported.
            self.fail(object, &failure);
            return ControlFlow::Break(());
        }
        self.last.set(&object.key, self.counts.failed);
        ControlFlow::Continue(())
    }

    fn add_failure(&mut self, object: &StoreUrl, failure: &Failure) -> ControlFlow<()> {
        self.counts.failed += 1;
        self.fail(object, failure);
        if failure.ends_run {
            self.report
                .note("further objects are not begun, as the key service does not serve us now");
            return ControlFlow::Break(());
        }
        self.last.set(&object.key, self.counts.failed);
        ControlFlow::Continue(())
    }

    fn fail(&mut self, url: &StoreUrl, failure: &Failure) {
        self.report.failure(self.command, Some(&url.to_name()), false, failure);
        if self.code == 0 {
            self.code = failure.code as u8;
        }
    }
}

/// The last object that was reported, and how many had failed up to it. The thread that ends the process after a signal has
/// it too.
#[derive(Debug, Clone, Default)]
struct Last(Arc<Mutex<Option<(String, u64)>>>);

impl Last {
    fn set(&self, key: &str, failed: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((key.to_owned(), failed));
    }

    /// Says how to go on after it, if there is one.
    fn report(&self, report: &Report) {
        if let Some((key, failed)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let key = shlex::try_quote(key).unwrap_or_else(|_| key.into());
            let skipped = match failed {
                0 => String::new(),
                _ => format!("; {failed} before it failed, and are not tried again"),
            };
            report.note(&format!("to resume, add --start-after={key}{skipped}"));
        }
    }
}
