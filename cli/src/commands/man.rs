//! `sealstone man`: the manual pages, made of what `--help` says.

use std::fs;
use std::path::Path;

use clap::CommandFactory;

use crate::args::{Args, ManArgs};
use crate::exit::Failure;
use crate::io::display;
use crate::report::Report;

/// Writes the pages; returns the exit code.
pub(crate) fn run(args: &ManArgs, report: &Report) -> u8 {
    super::finish(report, "man", write(&args.directory, report))
}

fn write(directory: &Path, report: &Report) -> Result<(), Failure> {
    let written = fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Args::command(), directory));
    written.map_err(|error| {
        let action = format!("writing the manual pages into {}", display(directory));
        Failure::io(action, &error)
    })?;
    report.sum(&format!("wrote the manual pages into {}", display(directory)));
    Ok(())
}
