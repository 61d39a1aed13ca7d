//! The operator's process: the command line and its exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use telemetry_operator::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::execute(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // When standard error is gone, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
