//! `explain`: why a pod has its sidecar, or has none. In: the name of a pod or workload in the cluster, or manifests.
//! Out: text or JSON. Talks to the cluster by KUBECONFIG, reading only; with manifests and `--profile` it needs none.

mod cluster;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kube::Client;
use serde_json::Value;

use super::run::RunError;
use super::{CliError, Form, files};
use crate::explain::{Candidate, Explanation, Subject, WayReport, explain};
use crate::installation::{self, Installation};
use crate::lint;
use crate::manifest::{stream, template};
use crate::pipe::PipeError;
use crate::profile::TelemetryProfile;
use crate::settings::{COLLECTOR_IMAGE, InjectionMode, Settings};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Kind and name, for example pod web-7c9 or deployment/web.
    #[arg(value_name = "KIND NAME", num_args = 1..=2, required_unless_present = "file", conflicts_with = "file")]
    object: Vec<String>,
    /// File with manifests instead, - for standard input: what would become of their pods?
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// File with the profiles that count instead of the cluster's; may be repeated. Together with --file no cluster is needed.
    #[arg(long, value_name = "FILE", requires = "file")]
    profile: Vec<PathBuf>,
    /// Namespace. Left out: that of the kubeconfig's context, or default.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    /// Image of sidecars where the profile names none; give it as to the operator. Left out: that of the profile's collector.
    #[arg(long, env = "COLLECTOR_IMAGE")]
    collector_image: Option<String>,
    /// Name of the operator's installation; give it as to the operator.
    #[arg(long, env = "INSTALLATION", value_name = "NAME", default_value = installation::DEFAULT)]
    installation: Installation,
    /// How pods get their sidecar; give it as to the operator.
    #[arg(long, env = "INJECTION", value_enum, default_value = "auto")]
    injection: InjectionMode,
}

impl ExplainArgs {
    /// The operator's settings, as far as they matter here and are known.
    fn settings(&self, image: Option<String>) -> Settings {
        let collector_image =
            self.collector_image.clone().or(image).unwrap_or_else(|| COLLECTOR_IMAGE.to_owned());
        Settings {
            collector_image,
            injection: self.injection,
            installation: self.installation.clone(),
            ..Settings::default()
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The words do not name an object.
    #[error("{0}: write KIND NAME or KIND/NAME, with one of the kinds {kinds}", kinds = cluster::KINDS_IN_WORDS)]
    Object(String),
    /// There is no such object.
    #[error("{0} is not there; `kubectl get pods -n NAMESPACE` lists names")]
    Absent(String),
    /// The API server cannot be asked.
    #[error("{what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// What came back.
        source: kube::Error,
    },
    /// There is no way to the cluster.
    #[error(transparent)]
    Cluster(#[from] RunError),
    /// The files have no pod in them.
    #[error("{0} describes no pod")]
    NoPod(String),
}

/// Explains; exit code 1 when something is not as the profiles want it.
pub(super) fn run(args: &ExplainArgs, out: &mut impl Write) -> Result<ExitCode, CliError> {
    let explanations = match &args.file {
        Some(file) => of_file(args, file)?,
        None => with_cluster(async |client| of_object(args, &client).await)?,
    };
    match args.output {
        Form::Json => writeln!(out, "{}", serde_json::to_string_pretty(&explanations)?)?,
        Form::Text => {
            let texts: Vec<_> = explanations.iter().map(ToString::to_string).collect();
            out.write_all(texts.join("\n").as_bytes())?;
        }
    }
    let finding = explanations.iter().any(Explanation::is_finding);
    Ok(if finding { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Runs with a client for the cluster of the kubeconfig.
fn with_cluster<T>(work: impl AsyncFnOnce(Client) -> Result<T, ExplainError>) -> Result<T, ExplainError> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| RunError::Tls)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let config = kube::Config::infer().await.map_err(RunError::from)?;
        work(Client::try_from(config).map_err(RunError::from)?).await
    })
}

async fn of_object(args: &ExplainArgs, client: &Client) -> Result<Vec<Explanation>, ExplainError> {
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let subject = cluster::subject(client, &namespace, &args.object).await?;
    let candidates = cluster::candidates(client, &namespace, args).await?;
    let way = cluster::way(client, args, &candidates).await;
    Ok(vec![explain(subject, &candidates, way)])
}

fn of_file(args: &ExplainArgs, file: &Path) -> Result<Vec<Explanation>, CliError> {
    let (name, text) = files::read(file)?;
    let pieces = stream::split(&text)
        .map_err(|error| CliError::Pipe(PipeError::Findings(vec![lint::syntax(&name, error)])))?;
    let objects = pieces.into_iter().flat_map(|piece| piece.document.expand()).map(|document| document.value);
    let default = args.namespace.as_deref().unwrap_or("default");
    let subjects: Vec<_> = objects.filter_map(|object| subject_of(&object, default)).collect();
    if subjects.is_empty() {
        return Err(ExplainError::NoPod(name).into());
    }
    if args.profile.is_empty() {
        return Ok(with_cluster(async |client| {
            let mut explanations = Vec::new();
            for subject in subjects {
                let candidates = cluster::candidates(&client, &subject.namespace, args).await?;
                let way = cluster::way(&client, args, &candidates).await;
                explanations.push(explain(subject, &candidates, way));
            }
            Ok(explanations)
        })?);
    }
    let profiles = read_profiles(args, default)?;
    let explain_one = |subject: Subject| {
        let of_namespace =
            |profile: &&TelemetryProfile| profile.metadata.namespace.as_ref() == Some(&subject.namespace);
        let candidates: Vec<Candidate> = profiles
            .iter()
            .filter(of_namespace)
            .map(|profile| (profile.clone(), args.settings(None)))
            .collect();
        explain(subject, &candidates, WayReport::unknown("no cluster was asked"))
    };
    Ok(subjects.into_iter().map(explain_one).collect())
}

/// The profiles of `--profile`, each in a namespace.
fn read_profiles(args: &ExplainArgs, default: &str) -> Result<Vec<TelemetryProfile>, CliError> {
    let (mut profiles, mut findings) = (Vec::new(), Vec::new());
    for path in &args.profile {
        let (name, text) = files::read(path)?;
        for located in lint::read(&name, &text) {
            match located {
                Ok(located) => {
                    let mut profile = located.profile;
                    profile.metadata.namespace.get_or_insert_with(|| default.to_owned());
                    profiles.push(profile);
                }
                Err(found) => findings.extend(found),
            }
        }
    }
    if findings.is_empty() { Ok(profiles) } else { Err(PipeError::Findings(findings).into()) }
}

/// An object whose pods do not exist yet; none when it describes no pod.
fn subject_of(object: &Value, default_namespace: &str) -> Option<Subject> {
    let place = template::pod_place(object)?;
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = &object["metadata"];
    Some(Subject {
        kind: word(&object["kind"])?,
        name: word(&metadata["name"]).or_else(|| word(&metadata["generateName"])).unwrap_or_default(),
        namespace: word(&metadata["namespace"]).unwrap_or_else(|| default_namespace.to_owned()),
        pod: template::pod(object, place),
        exists: false,
    })
}
