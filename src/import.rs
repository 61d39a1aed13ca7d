//! An application's telemetry.toml → the TelemetryProfile that it means. In: (file name, text, names). Out: YAML in which
//! comments say where each field comes from, or everything that is wrong with the file. No cluster.
//!
//! What is printed has passed `lint`: a value that a profile cannot hold is told with the file's line, not the profile's.

mod commented;
mod names;
mod signals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use telemetry::{ConfigError, ConfigFile, Problem, TelemetryConfig};

use crate::lint::{self, Finding};
use crate::profile::{API_VERSION, KIND};
use crate::yaml::YamlError;
use commented::Commented;

/// What the file does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of the profile. None: made from the service's name.
    pub name: Option<String>,
    /// Namespace of the profile. None: the profile names none.
    pub namespace: Option<String>,
    /// Labels of the application's pods. Empty: guessed from the service's name.
    pub selector: BTreeMap<String, String>,
}

/// What becomes of `[telemetry] enabled`, which a profile has no field for.
const ON: &str = " = true: each signal has its own switch below";
const OFF: &str =
    " = false: every signal is off below, so that the operator runs nothing for this application";

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is at fault.
    #[error("{}", lines(.0))]
    File(Vec<Problem>),
    /// The names that were given beside the file are.
    #[error("{}", lines(.0))]
    Names(Vec<Problem>),
    /// The profile cannot be written.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

impl From<ConfigError> for ImportError {
    fn from(error: ConfigError) -> Self {
        Self::File(error.problems)
    }
}

/// Each problem is an error of its own for whoever reads the lines; the first gets its word from `main`.
fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: ")
}

/// Writes the profile.
///
/// # Errors
/// Everything that is wrong with the file, or with the names.
pub fn import(file_name: &str, text: &str, names: &Names) -> Result<String, ImportError> {
    let source = Source { file: TelemetryConfig::from_toml(file_name, text)?, name: file_name };
    let profile = write(&source, names)?;
    let findings = lint::lint(file_name, &profile);
    if findings.is_empty() {
        return Ok(profile);
    }
    let (flags, file): (Vec<_>, Vec<_>) = findings
        .iter()
        .map(|finding| source.blame(finding, names))
        .partition(|problem| problem.key.starts_with("--"));
    Err(if file.is_empty() { ImportError::Names(flags) } else { ImportError::File(file) })
}

/// The file and its name.
struct Source<'t> {
    file: ConfigFile,
    name: &'t str,
}

impl Source<'_> {
    /// Where a key stands, as in `telemetry.toml:9: tracing.enabled`; none when the file leaves it out.
    fn origin(&self, key: &str) -> Option<String> {
        let line = self.file.lines.get(key)?;
        Some(format!("{}:{line}: {}", self.name, key.trim_start_matches("telemetry.")))
    }

    /// What in the file, or beside it, makes the profile wrong.
    fn blame(&self, finding: &Finding, names: &Names) -> Problem {
        let key = match finding.path.as_str() {
            "metadata.name" if names.name.is_some() => "--name",
            "metadata.namespace" => "--namespace",
            path if path.starts_with("spec.selector") && !names.selector.is_empty() => "--selector",
            "spec.service.version" => "telemetry.service_version",
            "spec.service.environment" => "telemetry.environment",
            "spec.metrics.port" => "telemetry.metrics.prometheus_port",
            _ => "telemetry.service_name",
        };
        let place = self.file.lines.get(key).map(|line| (self.name.to_owned(), *line));
        let fix = if finding.fix.is_empty() { String::new() } else { format!("; {}", finding.fix) };
        let reason = format!("does not fit into {} of a profile: {}{fix}", finding.path, finding.message);
        Problem { place, key: key.to_owned(), reason }
    }
}

fn write(source: &Source<'_>, names: &Names) -> Result<String, YamlError> {
    let config = &source.file.config;
    let name = names.name.clone().unwrap_or_else(|| names::profile_name(&config.service_name));
    let mut out = Commented::default();
    out.comment(&format!(
        "The TelemetryProfile that {} means: each field says which line it comes from.",
        source.name
    ));
    out.field("apiVersion", API_VERSION)?;
    out.field("kind", KIND)?;
    out.section("metadata", |out| {
        if names.name.is_none() {
            let changed = if name == config.service_name { "" } else { ", as a name that Kubernetes takes" };
            comment(out, source, "telemetry.service_name", changed);
        }
        out.field("name", &name)?;
        names.namespace.as_ref().map_or(Ok(()), |namespace| out.field("namespace", namespace))
    })?;
    out.section("spec", |out| {
        selector(out, config, names)?;
        service(out, source)?;
        comment(out, source, "telemetry.enabled", if config.enabled { ON } else { OFF });
        signals::traces(out, source, &name)?;
        signals::metrics(out, source)?;
        signals::logs(out, source)
    })?;
    Ok(out.into_text())
}

fn selector(out: &mut Commented, config: &TelemetryConfig, names: &Names) -> Result<(), YamlError> {
    let mut labels = names.selector.clone();
    if labels.is_empty() {
        out.comment(
            "A guess: the file does not say how the pods are labelled. Look: kubectl get pods --show-labels",
        );
        labels.insert("app.kubernetes.io/name".to_owned(), names::dns_label(&config.service_name, 63));
    }
    out.section("selector", |out| out.field("matchLabels", &labels))
}

fn service(out: &mut Commented, source: &Source<'_>) -> Result<(), YamlError> {
    let config = &source.file.config;
    out.section("service", |out| {
        comment(out, source, "telemetry.service_name", "");
        out.field("name", &config.service_name)?;
        for (key, name, value) in [
            ("telemetry.service_version", "version", &config.service_version),
            ("telemetry.environment", "environment", &config.environment),
        ] {
            if value.is_empty() {
                comment(out, source, key, " is empty: not set");
            } else {
                comment(out, source, key, "");
                out.field(name, value)?;
            }
        }
        Ok(())
    })
}

/// Says where a key stands and, right behind it, more; nothing when the file leaves the key out.
fn comment(out: &mut Commented, source: &Source<'_>, key: &str, more: impl fmt::Display) {
    if let Some(origin) = source.origin(key) {
        out.comment(&format!("{origin}{more}"));
    }
}
