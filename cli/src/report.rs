//! What a person or a script is told: result lines, errors, notes, JSON.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use sealstone::{AttachedHeader, Backend, CopyFault};
use serde::Serialize;

use crate::args::{Common, When};
use crate::exit::Failure;

/// How much is told, and in which form.
#[derive(Debug)]
pub(crate) struct Report {
    quiet: bool,
    verbose: bool,
    json: bool,
    /// When to show progress.
    pub(crate) progress: When,
}

/// What was done with one input.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    /// The command.
    pub(crate) command: &'static str,
    /// What was done, as in "encrypted".
    pub(crate) done: &'static str,
    /// The input's name.
    pub(crate) input: &'a str,
    /// The output's, if there is one.
    pub(crate) output: Option<&'a str>,
    /// Whether standard output carries data.
    pub(crate) on_stdout: bool,
    /// Bytes of plaintext.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How many threads worked.
    pub(crate) threads: usize,
}

/// The same as scripts get it.
#[derive(Serialize)]
struct Done<'a> {
    command: &'a str,
    ok: bool,
    input: &'a str,
    output: Option<&'a str>,
    bytes: u64,
    seconds: f64,
    backend: &'a str,
    threads: usize,
}

/// What became of one object's header.
#[derive(Debug, Serialize)]
pub(crate) struct HeaderOutcome<'a> {
    /// The command.
    pub(crate) command: &'static str,
    /// That it was done.
    pub(crate) ok: bool,
    /// The object's name.
    pub(crate) input: &'a str,
    /// What was done: "rewrapped", "repaired" or "unchanged".
    pub(crate) result: &'static str,
    /// What was wrong with its copies, and is no more.
    pub(crate) repaired: Vec<String>,
    /// How often the header was rewritten.
    pub(crate) generation: u64,
    /// Who may decrypt now.
    pub(crate) slots: Vec<String>,
}

/// A failure as scripts get it.
#[derive(Serialize)]
struct Failed<'a> {
    command: &'a str,
    ok: bool,
    input: &'a str,
    exit_code: u8,
    error: &'a str,
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

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Tells the result of one input.
    pub(crate) fn outcome(&self, outcome: &Outcome<'_>) -> Result<(), Failure> {
        let backend = Backend::default().name();
        let seconds = outcome.elapsed.as_secs_f64();
        if self.json {
            let done = Done {
                command: outcome.command,
                ok: true,
                input: outcome.input,
                output: outcome.output,
                bytes: outcome.bytes,
                seconds,
                backend,
                threads: outcome.threads,
            };
            return self.json(&done, outcome.on_stdout);
        }
        if !self.quiet {
            let arrow = outcome.output.map(|output| format!(" -> {output}")).unwrap_or_default();
            self.note(&format!(
                "{} {}{arrow}: {} bytes in {seconds:.2} s, {:.2} GB/s ({backend}, {} {})",
                outcome.done,
                outcome.input,
                outcome.bytes,
                rate(outcome.bytes, seconds),
                outcome.threads,
                if outcome.threads == 1 { "thread" } else { "threads" }
            ));
        }
        Ok(())
    }

    /// Tells what became of one object's header.
    pub(crate) fn header_outcome(&self, outcome: &HeaderOutcome<'_>) -> Result<(), Failure> {
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
                outcome.input,
                outcome.slots.join(", ")
            ));
        }
        Ok(())
    }

    /// Tells why an input was not done.
    pub(crate) fn failure(&self, command: &str, input: &str, on_stdout: bool, failure: &Failure) {
        if failure.is_quiet() {
            return;
        }
        self.note(&format!("{input}: {}", failure.message));
        if self.json {
            let failed = Failed {
                command,
                ok: false,
                input,
                exit_code: failure.code as u8,
                error: &failure.message,
            };
            // The exit code says it too, if nobody reads this.
            let _ = self.json(&failed, on_stdout);
        }
    }

    /// Tells the result of all inputs together.
    pub(crate) fn sum(&self, message: &str) {
        if !self.quiet {
            self.note(message);
        }
    }

    /// Says something on standard error, in one line.
    #[expect(clippy::unused_self, reason = "whoever may speak was given the report")]
    pub(crate) fn note(&self, message: &str) {
        // With standard error gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "sealstone: {}", one_line(message));
    }

    /// The same, if much is to be said.
    pub(crate) fn detail(&self, message: impl FnOnce() -> String) {
        if self.verbose {
            self.note(&message());
        }
    }

    /// Warns of header copies that others may need one day.
    pub(crate) fn copy_faults(&self, input: &str, header: &AttachedHeader) {
        for fault in copy_faults(header) {
            self.note(&format!(
                "warning: {input}: {fault}; the other copy is whole: `sealstone rewrap` repairs it"
            ));
        }
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize, on_stdout: bool) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(|error| Failure::io("writing JSON", &error.into()))?;
        line.push(b'\n');
        if on_stdout {
            let _ = io::stderr().write_all(&line);
            return Ok(());
        }
        self.print(&line)
    }

    /// Writes text to standard output.
    #[expect(clippy::unused_self, reason = "whoever may speak was given the report")]
    pub(crate) fn print(&self, text: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::io("writing to standard output", &error))
    }
}

/// What is wrong with the copies of a header, each fault naming its copy.
pub(crate) fn copy_faults(header: &AttachedHeader) -> Vec<String> {
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
        _ => "cannot be used".to_owned(),
    }
}

/// The text without what would break the line or command the terminal: names and contexts come from anywhere.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |char: char| char.is_control() || is_direction(char);
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|char| match char {
        char if breaks(char) => char.escape_default().to_string(),
        char => char.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// Whether a character turns the direction of writing, which can make one text look like another.
const fn is_direction(char: char) -> bool {
    matches!(char, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Gigabytes per second.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / seconds.max(1e-9) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(one_line("a\x1b[2Jb\nc\u{202E}d é"), "a\\u{1b}[2Jb\\nc\\u{202e}d é");
        assert!(matches!(one_line("plain"), Cow::Borrowed("plain")));
    }
}
