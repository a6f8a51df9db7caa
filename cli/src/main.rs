//! The program `sealstone`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealstone_cli::run()
}
