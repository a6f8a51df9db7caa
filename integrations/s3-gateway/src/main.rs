//! The program `sealstone-gateway`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealstone_s3_gateway::program::main()
}
