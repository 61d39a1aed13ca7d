//! The command line: run | crd | policy | render | validate | import | inject | uninject | explain | slo | check | version |
//! completion.
//!
//! In: arguments. Out: results on standard output, everything else on standard error, an exit code: 0 ok, 1 findings,
//! 2 wrong usage or failure. Only `run` and `explain` talk to the cluster, `check` to an operator, and `slo explain` to a
//! Prometheus.

mod check;
mod explain;
mod files;
mod pipe;
mod run;
mod slo;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::import::{self, ImportError, Names};
use crate::kinds::ChildKind;
use crate::openslo::OpenSloError;
use crate::pipe::PipeError;
use crate::render::{self, Assumptions};
use crate::settings::Settings;
use crate::{inject, lint, profile, yaml};
pub use run::RunArgs;

/// One TelemetryProfile for an application: collector, Jaeger, scrape targets, SLO rules and dashboards follow.
#[derive(Debug, Parser)]
#[command(name = "telemetry-operator", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator in a cluster, or against one by KUBECONFIG.
    Run(RunArgs),
    /// Print the CustomResourceDefinition.
    Crd,
    /// Print the MutatingAdmissionPolicy by which the API server injects sidecars, and its binding.
    Policy(PolicyArgs),
    /// Print every object that the operator would apply for the profiles of a file. No cluster is needed.
    Render(RenderArgs),
    /// Check profiles: schema, rules and meaning. No cluster is needed. Exit code 1 when something is found.
    Validate(ValidateArgs),
    /// Print the TelemetryProfile that an application's telemetry.toml means. No cluster is needed.
    Import(ImportArgs),
    /// Write manifests back with the sidecar in every selected pod and pod template. No cluster is needed. Exit code 1 when one
    /// of them cannot have it: it is written as it was.
    Inject(pipe::InjectArgs),
    /// Write manifests back without any sidecar: the opposite of inject.
    Uninject(pipe::UninjectArgs),
    /// Say why a pod has its sidecar or has none, or what would become of a workload's pods. Exit code 1 when something is not as
    /// the profiles want it.
    Explain(explain::ExplainArgs),
    /// Say what SLOs mean.
    #[command(subcommand)]
    Slo(slo::SloCommand),
    /// Wait until an operator answers, and fail when it does not in time.
    Check(check::CheckArgs),
    /// Print the version.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct PolicyArgs {
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct RenderArgs {
    /// File with profiles, - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Directory for one file an object, - for standard output.
    #[arg(short, long, value_name = "DIR", default_value = "-")]
    output: PathBuf,
    /// Namespace of profiles that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// A kind that the cluster is assumed to serve; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = optional_kind)]
    assume_kind: Vec<ChildKind>,
    /// UID of the profile in the cluster, for owner references. Without it there are none.
    #[arg(long, value_name = "UID")]
    owner_uid: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct ValidateArgs {
    /// Files with profiles, - for standard input.
    #[arg(short, long, value_name = "FILE", num_args = 1.., required = true)]
    file: Vec<PathBuf>,
    /// Form of the findings.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The application's TOML file, - for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the profile. Left out: made from service_name.
    #[arg(long)]
    name: Option<String>,
    /// Namespace of the profile, which is that of the application's pods. Left out: none is written.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Label of the application's pods; may be repeated. Left out: app.kubernetes.io/name, guessed from service_name.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    selector: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn optional_kind(text: &str) -> Result<ChildKind, String> {
    let optional = || ChildKind::ALL.into_iter().filter(|kind| kind.is_optional());
    optional().find(|kind| kind.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names: Vec<_> = optional().map(ChildKind::name).collect();
        format!("the kinds that a cluster may lack are {}", names.join(", "))
    })
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as KEY=VALUE".to_owned())
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed or full.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// Something cannot be written as YAML.
    #[error(transparent)]
    Yaml(#[from] yaml::YamlError),
    /// Something cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Profiles cannot be rendered.
    #[error(transparent)]
    Render(#[from] render::RenderError),
    /// A telemetry.toml cannot become a profile.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Manifests cannot be injected.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// There is nothing to explain.
    #[error(transparent)]
    Explain(#[from] explain::ExplainError),
    /// OpenSLO documents cannot be read or written.
    #[error(transparent)]
    OpenSlo(#[from] OpenSloError),
    /// Nothing can be said of SLOs.
    #[error(transparent)]
    Slo(#[from] slo::SloError),
    /// The operator does not answer.
    #[error(transparent)]
    Check(#[from] check::CheckError),
    /// The operator cannot run.
    #[error(transparent)]
    Run(#[from] run::RunError),
}

impl CliError {
    /// 1 where the input is at fault and findings were printed, 2 where the command could not do its work.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Render(_)
            | Self::Import(ImportError::File(_))
            | Self::OpenSlo(OpenSloError::Refused(_))
            | Self::Pipe(_) => 1,
            Self::Import(ImportError::Names(_) | ImportError::Yaml(_)) => 2,
            Self::File { .. }
            | Self::Output(_)
            | Self::Yaml(_)
            | Self::Json(_)
            | Self::Explain(_)
            | Self::Slo(_)
            | Self::OpenSlo(OpenSloError::Yaml(_))
            | Self::Check(_)
            | Self::Run(_) => 2,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When it cannot do its work; findings of `validate` are a result, told by the exit code.
pub fn execute(cli: Cli) -> Result<ExitCode, CliError> {
    let mut out = io::stdout().lock();
    match cli.command {
        Command::Run(args) => run::run(args)?,
        Command::Crd => out.write_all(yaml::to_string(&profile::crd()?)?.as_bytes())?,
        Command::Policy(args) => out.write_all(policy(&args.settings)?.as_bytes())?,
        Command::Render(args) => render_file(args, &mut out)?,
        Command::Validate(args) => return validate_files(&args, &mut out),
        Command::Import(args) => import_file(args, &mut out)?,
        Command::Inject(args) => return pipe::inject(&args, &mut out),
        Command::Uninject(args) => pipe::uninject(&args, &mut out)?,
        Command::Explain(args) => return explain::run(&args, &mut out),
        Command::Slo(command) => return slo::run(&command, &mut out),
        Command::Check(args) => check::run(&args, &mut out)?,
        Command::Version => writeln!(out, "telemetry-operator {}", env!("CARGO_PKG_VERSION"))?,
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "telemetry-operator", &mut out);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The policy and its binding as a stream of documents.
///
/// # Errors
/// When they cannot be written.
pub fn policy(settings: &Settings) -> Result<String, yaml::YamlError> {
    let documents = inject::policy::documents(settings);
    Ok(documents.iter().map(yaml::to_string).collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

fn render_file(args: RenderArgs, out: &mut impl Write) -> Result<(), CliError> {
    let (name, text) = files::read(&args.file)?;
    let assumptions = Assumptions {
        served: args.assume_kind.into_iter().collect(),
        namespace: Some(args.namespace),
        owner_uid: args.owner_uid,
    };
    let rendered = render::render(&name, &text, &assumptions, &args.settings)?;
    let children: Vec<_> = rendered.into_iter().flat_map(|profile| profile.children).collect();
    if args.output.as_os_str() == "-" {
        out.write_all(render::to_yaml_stream(&children)?.as_bytes())?;
        return Ok(());
    }
    for child in &children {
        let path = args.output.join(render::file_name(child));
        files::write(&path, &yaml::to_string(&child.body)?)?;
    }
    Ok(())
}

fn import_file(args: ImportArgs, out: &mut impl Write) -> Result<(), CliError> {
    let (file_name, text) = files::read(&args.file)?;
    let selector = args.selector.into_iter().collect();
    let names = Names { name: args.name, namespace: args.namespace, selector };
    Ok(out.write_all(import::import(&file_name, &text, &names)?.as_bytes())?)
}

fn validate_files(args: &ValidateArgs, out: &mut impl Write) -> Result<ExitCode, CliError> {
    let mut findings = Vec::new();
    for path in &args.file {
        let (name, text) = files::read(path)?;
        findings.extend(lint::lint(&name, &text));
    }
    match args.output {
        Form::Json => writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?,
        Form::Text => {
            for finding in &findings {
                writeln!(out, "{finding}")?;
            }
        }
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
