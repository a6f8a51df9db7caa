//! `sealstone completions`.

use clap::ValueEnum;

use crate::args::CompletionsArgs;
use crate::complete;
use crate::exit::Failure;
use crate::report::Report;

/// Prints the script; returns the exit code.
pub(crate) fn run(args: &CompletionsArgs, report: &Report) -> u8 {
    let shell = args.shell.to_possible_value();
    let script = complete::script(shell.as_ref().map_or("", |shell| shell.get_name()));
    let script = script.map_err(|error| Failure::io("writing the script", &error));
    super::finish(report, "completions", script.and_then(|script| report.print(&script)))
}
