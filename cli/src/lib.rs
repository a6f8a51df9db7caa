//! The library of the command `sealstone`, for that program and this repository's fuzz targets.
//!
//! It promises nothing to other users: any release may change any of it. Programs that encrypt use the crate
//! [`sealstone`]; scripts use the command, whose options, exit codes and JSON are stable.
//!
//! ```text
//! args -> io (what is read, where it goes) -> keys -> engine -> report (result, exit code)
//! ```

mod args;
mod commands;
mod complete;
mod exit;
mod explain;
mod io;
mod keys;
mod panics;
mod progress;
mod prompt;
mod report;
mod signals;
mod sys;
mod text;
mod workers;

use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::report::Report;

/// How arguments are parsed.
pub mod arguments {
    pub use crate::args::{ByteRange, Pair, S3Object};
    pub use crate::keys::{KeySpec, SlotSpec};
}

/// Runs the command with the arguments, streams and environment of this process; returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::from(exit_code())
}

fn exit_code() -> u8 {
    panics::report_in_one_sentence();
    sys::forbid_core_dumps();
    signals::watch();
    complete::answer();
    let Args { common, command } = args::parse();
    let report = Report::new(&common);
    if let Err(failure) = commands::check_stdout(&command, &common) {
        report.note(&failure.message);
        return failure.code as u8;
    }
    match command {
        Command::Encrypt(args) => commands::encrypt::run(&args, &common, &report),
        Command::Decrypt(args) => commands::decrypt::run(&args, &common, &report),
        Command::Cat(args) => commands::cat::run(&args, &common, &report),
        Command::Inspect(args) => commands::inspect::run(&args, &report),
        Command::Verify(args) => commands::verify::run(&args, &common, &report),
        Command::Rewrap(args) => commands::rewrap::run(&args, &common, &report),
        Command::Rekey(args) => commands::rekey::run(&args, &common, &report),
        Command::Keys(args) => commands::keys::run(&args, &common, &report),
        Command::Completions(args) => commands::completions::run(&args, &report),
        Command::Man(args) => commands::man::run(&args, &report),
    }
}
