//! `slo test`: plays an incident. In: a profile file, how bad it gets and for how long. Out: what fires when. No cluster;
//! promtool is run in a directory of its own under the system's one for temporary files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use clap::Args;
use tempfile::TempDir;

use super::{CliError, Form, SloError, Which, rate, wanted};
use crate::cli::files;
use crate::incident::{Incident, Outcome, Play, RULES};
use crate::slo_report::LONGEST_WINDOW;
use crate::validate::seconds;

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    #[command(flatten)]
    which: Which,
    /// Share of the events that are bad. Of freshness every moment is.
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = percent)]
    bad: f64,
    /// How long it lasts, up to 3d; for freshness, how long the last success is too old.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = length)]
    length: u32,
    /// Events in a second, before, during and after it.
    #[arg(long, value_name = "N", default_value = "10", value_parser = rate)]
    events_per_second: f64,
    /// The promtool to use. Left out: the one in PATH.
    #[arg(long, value_name = "PATH", default_value = "promtool")]
    promtool: PathBuf,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 100.0);
    number.ok_or_else(|| "give a percentage above 0 and up to 100".to_owned())
}

fn length(text: &str) -> Result<u32, String> {
    let length = seconds(text).filter(|seconds| (1..=LONGEST_WINDOW).contains(seconds));
    length.ok_or_else(|| "give a duration with one unit up to 3d, for example 90s, 30m or 2h".to_owned())
}

pub(super) fn run(args: &TestArgs, out: &mut impl Write) -> Result<ExitCode, CliError> {
    let incident =
        Incident { bad_percent: args.bad, seconds: args.length, events_per_second: args.events_per_second };
    let mut outcomes = Vec::new();
    for (profile, slos) in wanted(&args.which)? {
        for slo in slos {
            let failed = |error| SloError::Incident { slo: slo.name.clone(), error };
            let play = Play::new(&profile, &slo, incident).map_err(failed)?;
            let printed = promtool(&args.promtool, &play)?;
            outcomes.push(play.outcome(&printed).map_err(failed)?);
        }
    }
    match args.output {
        Form::Json => writeln!(out, "{}", serde_json::to_string_pretty(&outcomes)?)?,
        Form::Text => {
            let texts: Vec<_> = outcomes.iter().map(Outcome::to_string).collect();
            out.write_all(texts.join("\n").as_bytes())?;
        }
    }
    let finding = outcomes.iter().any(Outcome::is_finding);
    Ok(if finding { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Everything that promtool prints. Its exit code says nothing: no expectation can be met.
fn promtool(program: &Path, play: &Play) -> Result<String, CliError> {
    let error = |source| CliError::File { path: env::temp_dir().display().to_string(), source };
    let directory = TempDir::with_prefix("telemetry-operator-slo-").map_err(error)?;
    files::write(&directory.path().join(RULES), &play.rules)?;
    files::write(&directory.path().join("test.yaml"), &play.test.to_string())?;
    let program = if program.components().count() > 1 {
        // A relative path would be looked for in the other directory.
        fs::canonicalize(program).unwrap_or_else(|_| program.to_owned())
    } else {
        program.to_owned()
    };
    let output = Command::new(&program)
        .args(["test", "rules", "test.yaml"])
        .current_dir(directory.path())
        .output()
        .map_err(|source| SloError::Promtool { program: program.display().to_string(), source })?;
    Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}
