//! `sealstone completions`.

use clap::CommandFactory;

use crate::args::{Args, CompletionsArgs};
use crate::report::Report;

/// Prints the script; gives the exit code.
pub(crate) fn run(args: &CompletionsArgs, report: &Report) -> u8 {
    // By way of memory: clap_complete panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "sealstone", &mut script);
    super::finish(report, "completions", report.print(&script))
}
