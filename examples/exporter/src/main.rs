//! The exporter's process: the command line and its exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    exporter::run(exporter::Cli::parse())
}
