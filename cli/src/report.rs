//! Reports to people and scripts: result lines, errors, notes, JSON.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use sealstone::format::CopyFault;
use sealstone::{Backend, ObjectHeader};
use serde::Serialize;

use crate::args::{Common, When};
use crate::exit::Failure;
use crate::io::{Descriptor, Place, Stream, display};
use crate::keys::shorten_slots;
use crate::text::{self, one_line};

/// How much is reported, and in which form.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    quiet: bool,
    verbose: bool,
    json: bool,
    progress: When,
}

/// What was done with one input.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    /// The command.
    pub(crate) command: &'static str,
    /// What was done, as in "encrypted".
    pub(crate) done: &'static str,
    /// The input.
    pub(crate) input: &'a Path,
    /// The output, if there is one.
    pub(crate) output: Option<&'a Place>,
    /// Whether standard output carries data.
    pub(crate) on_stdout: bool,
    /// Bytes of plaintext.
    pub(crate) bytes: u64,
    /// The length of the object that was made, in bytes; of its payload, if its header is stored apart.
    pub(crate) object_length: Option<u64>,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How many threads worked.
    pub(crate) threads: usize,
}

/// An input's name as scripts get it.
#[derive(Debug, Serialize)]
pub(crate) struct InputName {
    /// For people; in it, bytes that are no UTF-8 are escaped.
    pub(crate) input: String,
    /// All bytes of a name that is not UTF-8, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_bytes: Option<String>,
}

impl InputName {
    /// The name of the input at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            input: display(path),
            input_bytes: text::path_bytes(path),
        }
    }
}

/// The same as scripts get it.
#[derive(Serialize)]
struct Done<'a> {
    command: &'a str,
    ok: bool,
    #[serde(flatten)]
    input: InputName,
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<String>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_length: Option<u64>,
    seconds: f64,
    backend: &'a str,
    threads: usize,
}

/// What became of one object's header.
#[derive(Debug, Serialize)]
pub(crate) struct HeaderOutcome {
    /// The command.
    pub(crate) command: &'static str,
    /// That it was done.
    pub(crate) ok: bool,
    /// The object.
    #[serde(flatten)]
    pub(crate) input: InputName,
    /// What was done: "rewrapped", "repaired" or "unchanged".
    pub(crate) result: &'static str,
    /// What was wrong with its copies, and is no more.
    pub(crate) repaired: Vec<String>,
    /// How often the header was rewritten.
    pub(crate) generation: u64,
    /// Who may decrypt now.
    pub(crate) slots: Vec<String>,
}

/// What became of one object of many.
#[derive(Debug, Serialize)]
pub(crate) struct PrefixOutcome {
    /// The command.
    pub(crate) command: &'static str,
    /// That it was done.
    pub(crate) ok: bool,
    /// The object.
    #[serde(flatten)]
    pub(crate) input: InputName,
    /// What was done: "verified", "encrypted", "rewrapped", "rekeyed" or "unchanged".
    pub(crate) result: &'static str,
    /// Bytes of plaintext, where all of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
}

/// A failure as scripts get it.
#[derive(Serialize)]
struct Failed<'a> {
    command: &'a str,
    ok: bool,
    #[serde(flatten)]
    input: InputName,
    exit_code: u8,
    error: &'a str,
    /// Where the object ends, if the failure is that other bytes follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_length: Option<u64>,
}

impl Report {
    /// As the arguments say.
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            quiet: common.quiet,
            verbose: common.verbose,
            json: common.json,
            progress: common.progress,
        }
    }

    /// When to show progress, if `data_at_terminal` says whether data is typed or shown at a terminal: on one screen,
    /// they would be in each other's way.
    pub(crate) fn progress(&self, data_at_terminal: bool) -> When {
        if data_at_terminal && io::stderr().is_terminal() {
            return When::Never;
        }
        self.progress
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Reports the result of one input.
    pub(crate) fn outcome(&self, outcome: &Outcome<'_>) -> Result<(), Failure> {
        let backend = Backend::default().name();
        let seconds = outcome.elapsed.as_secs_f64();
        if self.json {
            let done = Done {
                command: outcome.command,
                ok: true,
                input: InputName::of(outcome.input),
                output: outcome.output.map(Place::display),
                output_bytes: outcome
                    .output
                    .and_then(Place::path)
                    .and_then(|path| text::path_bytes(&path)),
                bytes: outcome.bytes,
                object_length: outcome.object_length,
                seconds,
                backend,
                threads: outcome.threads,
            };
            return self.json(&done, outcome.on_stdout);
        }
        if !self.quiet {
            let arrow = outcome
                .output
                .map(|output| format!(" -> {}", output.display()))
                .unwrap_or_default();
            let how = if self.verbose {
                let threads = if outcome.threads == 1 { "thread" } else { "threads" };
                format!(", {backend}, {} {threads}", outcome.threads)
            } else {
                String::new()
            };
            self.note(&format!(
                "{} {}{arrow}: {} in {seconds:.2} s ({}/s{how})",
                outcome.done,
                display(outcome.input),
                text::size(outcome.bytes),
                text::rate(outcome.bytes, seconds),
            ));
            if let (Some(device), Some(len)) = (outcome.output.filter(|place| place.is_device()), outcome.object_length)
            {
                self.note(&format!(
                    "{} holds more than the object; read it with --object-length {len}",
                    device.display()
                ));
            }
        }
        Ok(())
    }

    /// Reports what was done with one object's header.
    pub(crate) fn header_outcome(&self, outcome: &HeaderOutcome) -> Result<(), Failure> {
        if self.json {
            return self.json(outcome, false);
        }
        if !self.quiet {
            let already = if outcome.result == "unchanged" {
                " (already)"
            } else {
                ""
            };
            let repaired: String = outcome
                .repaired
                .iter()
                .map(|fault| format!("; repaired: {fault}"))
                .collect();
            self.note(&format!(
                "{}{already} {}: sealed for {}{repaired}",
                outcome.result,
                outcome.input.input,
                shorten_slots(&outcome.slots.join(", "))
            ));
        }
        Ok(())
    }

    /// Reports what was done with one object of many: to people, if that is `news` or they want details.
    pub(crate) fn prefix_outcome(&self, outcome: &PrefixOutcome, news: bool) -> Result<(), Failure> {
        if self.json {
            return self.json(outcome, false);
        }
        if self.verbose || news && !self.quiet {
            self.note(&format!("{} {}", outcome.result, outcome.input.input));
        }
        Ok(())
    }

    /// Reports why an input, or the whole command, failed.
    pub(crate) fn failure(&self, command: &str, input: Option<&Path>, on_stdout: bool, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        let input = InputName::of(input.unwrap_or_else(|| Path::new(command)));
        self.note(&format!("{}: {}", input.input, failure.message));
        if self.json {
            let failed = Failed {
                command,
                ok: false,
                input,
                exit_code: failure.code as u8,
                error: &failure.message,
                object_length: failure.object_length,
            };
            // If this cannot be written, the exit code still says it.
            let _ = self.json(&failed, on_stdout || failure.spares_stdout);
        }
    }

    /// Reports the result of all inputs together.
    pub(crate) fn sum(&self, message: &str) {
        if !self.quiet {
            self.note(message);
        }
    }

    /// Writes a line to standard error.
    #[expect(clippy::unused_self, reason = "only holders of the report may write")]
    pub(crate) fn note(&self, message: &str) {
        // If standard error is gone, there is nowhere to report it.
        let _ = writeln!(io::stderr(), "sealstone: {}", one_line(message));
    }

    /// The same, if `--verbose` is given.
    pub(crate) fn detail(&self, message: impl FnOnce() -> String) {
        if self.verbose {
            self.note(&message());
        }
    }

    /// Warns of damaged header copies.
    pub(crate) fn copy_faults(&self, input: &str, header: &ObjectHeader) {
        for fault in copy_faults(header) {
            self.note(&format!(
                "warning: {input}: {fault}; the other copy is whole: `sealstone rewrap` repairs it"
            ));
        }
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize, on_stdout: bool) -> Result<(), Failure> {
        let mut line = text::json(value).map_err(|error| Failure::io("writing JSON", &error.into()))?;
        line.push(b'\n');
        if on_stdout {
            return write(Descriptor::STDERR, &line);
        }
        self.print(&line)
    }

    /// Writes text to standard output.
    #[expect(clippy::unused_self, reason = "only holders of the report may write")]
    pub(crate) fn print(&self, text: &[u8]) -> Result<(), Failure> {
        write(Descriptor::STDOUT, text)
    }
}

/// Writes all of `text`. std would ignore a descriptor that cannot be written, and not wait for one that is not ready.
fn write(descriptor: Descriptor, text: &[u8]) -> Result<(), Failure> {
    let stream = descriptor.writing()?;
    #[cfg(unix)]
    let written = Stream::new(stream).write_all(text);
    // Consoles take no bytes, and std knows how to write text to them.
    #[cfg(not(unix))]
    let written = {
        drop(stream);
        match descriptor {
            Descriptor::STDERR => io::stderr().write_all(text),
            _ => io::stdout().write_all(text).and_then(|()| io::stdout().flush()),
        }
    };
    written.map_err(|error| Failure::io(format_args!("writing to {descriptor}"), &error))
}

/// What is wrong with the copies of a header, each fault naming its copy.
pub(crate) fn copy_faults(header: &ObjectHeader) -> Vec<String> {
    named_faults(header.faults())
}

/// The faults of a first and a second copy.
pub(crate) fn named_faults(faults: &[Option<CopyFault>; 2]) -> Vec<String> {
    let copies = faults.iter().zip(["first", "second"]);
    copies
        .filter_map(|(fault, copy)| Some(format!("the {copy} header copy {}", describe(fault.as_ref()?))))
        .collect()
}

/// What is wrong with one copy.
pub(crate) fn describe(fault: &CopyFault) -> String {
    match fault {
        CopyFault::Stale => "is stale: a change of the header was interrupted".to_owned(),
        CopyFault::Damaged(error) => format!("is damaged ({error})"),
        CopyFault::DoesNotOpen(error) => format!("is the newer one and does not open the object ({error})"),
        _ => "cannot be used".to_owned(),
    }
}
