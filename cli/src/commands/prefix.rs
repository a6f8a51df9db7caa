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

/// How many objects came out how.
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
        if let Some(key) = self
            .args
            .start_after
            .as_ref()
            .filter(|key| !key.starts_with(&self.url.key))
        {
            let message = format!("--start-after {key} is not under {}: it takes the whole key", self.url);
            return super::finish(report, self.command, Err(Failure::usage(message)));
        }
        let mut counts = Counts::default();
        let mut code = 0;
        let last = Last::default();
        let _registered = signals::undo_on_exit({
            let (last, report) = (last.clone(), report.clone());
            Box::new(move || last.report(&report))
        });
        let ended = for_each_stored(&self.url, &self.bulk, &mut |object, result| {
            let reported = result.map(|done| {
                counts.add(done);
                report.prefix_outcome(&self.outcome(object, done), done == BulkDone::Changed)
            });
            let is_reported = !matches!(reported, Ok(Err(_)));
            if let Err(failure) = reported.flatten() {
                counts.failed += u64::from(is_reported);
                report.failure(self.command, Some(&object.to_name()), false, &failure);
                if code == 0 {
                    code = failure.code as u8;
                }
                if failure.ends_run {
                    report.note("further objects are not begun, as the key service does not serve us now");
                }
                if failure.ends_run || !is_reported {
                    return ControlFlow::Break(());
                }
            }
            last.set(&object.key, counts.failed);
            ControlFlow::Continue(())
        });
        let is_complete = matches!(ended, Ok(ControlFlow::Continue(())));
        let ended = ended.and_then(|_| match (counts.all(), &self.args.start_after) {
            (0, None) => Err(Failure::new(Code::NotFound, "there are no objects under it")),
            _ => Ok(()),
        });
        if let Err(failure) = ended {
            report.failure(self.command, Some(&self.url.to_name()), false, &failure);
            if code == 0 {
                code = failure.code as u8;
            }
        }
        if (counts.all() > 0 || self.args.start_after.is_some()) && !report.is_json() {
            report.sum(&self.summary(&counts));
        }
        if !is_complete {
            last.report(report);
        }
        code
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

/// The last object that was reported, and how many had failed up to it; also for the thread that ends the process after a signal.
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
                _ => format!("; that skips {failed} that failed"),
            };
            report.note(&format!("to resume, add --start-after={key}{skipped}"));
        }
    }
}
