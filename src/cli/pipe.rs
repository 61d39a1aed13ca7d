//! `inject` and `uninject`: manifests through the pipe. In: files. Out: manifests on standard output, a line for each object
//! that describes pods on standard error. No cluster.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, files};
use crate::pipe::{self, Done, File, Piped};
use crate::settings::{COLLECTOR_IMAGE, Settings};

#[derive(Debug, Args)]
pub(super) struct InjectArgs {
    /// Files with manifests, - for standard input. All of their documents are written, in order; TelemetryProfiles among them
    /// count.
    #[arg(short, long, value_name = "FILE", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
    /// File with further profiles, which are not written; may be repeated.
    #[arg(long, value_name = "FILE")]
    profile: Vec<PathBuf>,
    /// Namespace of profiles and manifests that name none. A profile selects in its own namespace only.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Image of sidecars where the profile names none; give it as to the operator.
    #[arg(long, env = "COLLECTOR_IMAGE", default_value = COLLECTOR_IMAGE)]
    collector_image: String,
}

#[derive(Debug, Args)]
pub(super) struct UninjectArgs {
    /// Files with manifests, - for standard input.
    #[arg(short, long, value_name = "FILE", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
}

/// Injects; exit code 1 when a selected pod cannot have its sidecar.
pub(super) fn inject(args: &InjectArgs, out: &mut impl Write) -> Result<ExitCode, CliError> {
    let settings = Settings { collector_image: args.collector_image.clone(), ..Settings::default() };
    let (manifests, profiles) = (read(&args.file)?, read(&args.profile)?);
    let piped = pipe::inject(&manifests, &profiles, &args.namespace, &settings)?;
    write(&piped, out)?;
    let refused = piped.notes.iter().any(|note| matches!(note.done, Done::Refused(..)));
    Ok(if refused { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Takes sidecars out.
pub(super) fn uninject(args: &UninjectArgs, out: &mut impl Write) -> Result<(), CliError> {
    write(&pipe::uninject(&read(&args.file)?)?, out)
}

fn read(paths: &[PathBuf]) -> Result<Vec<File>, CliError> {
    paths.iter().map(|path| files::read(path)).collect()
}

fn write(piped: &Piped, out: &mut impl Write) -> Result<(), CliError> {
    out.write_all(piped.text.as_bytes())?;
    let mut notes = io::stderr().lock();
    for note in &piped.notes {
        writeln!(notes, "{note}")?;
    }
    Ok(())
}
