//! datagate.

use std::process::ExitCode;

fn main() -> ExitCode {
    datagate::cli::main()
}
