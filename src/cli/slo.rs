//! `slo`: what a profile's SLOs mean. In: a profile file. Out: text or JSON. Talks to no cluster; `explain` asks a Prometheus
//! for the traffic, where one is named, and `test` runs promtool.

mod test;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::run::RunError;
use super::{CliError, Form, files};
use crate::health::http::Http;
use crate::incident::IncidentError;
use crate::openslo::{self, OpenSloError};
use crate::plan::slo::{EVENTS, evaluation_seconds, record};
use crate::render::{Assumptions, planned};
use crate::settings::Settings;
use crate::slo_report::{SloReport, Traffic, counts_time, report};
use crate::validate::{Slo, ValidatedProfile};

#[derive(Debug, Subcommand)]
pub(super) enum SloCommand {
    /// Say what SLOs mean: budgets, thresholds in plain words, and when each alert fires and stops. No cluster is needed.
    Explain(ExplainArgs),
    /// Play an incident against the rules of SLOs with promtool: which alert fires when, and is that in time? No cluster is
    /// needed. Exit code 1 when an alert is not as computed.
    Test(test::TestArgs),
    /// Print the slos of a profile that OpenSLO v1 documents mean. No cluster is needed.
    Import {
        /// File with OpenSLO documents, - for standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Print SLOs as OpenSLO v1 documents; comments say what these cannot hold. No cluster is needed.
    Export(Which),
}

/// Which SLOs.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// File with profiles, - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Name of one SLO. Left out: all of them.
    #[arg(long, value_name = "NAME")]
    slo: Option<String>,
    /// Namespace of profiles that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    which: Which,
    /// Prometheus that has the SLOs' records: the traffic of the last day is asked there.
    #[arg(long, value_name = "URL", conflicts_with = "events_per_second")]
    prometheus_url: Option<String>,
    /// Traffic to reckon with. Left out: what does not need it is told.
    #[arg(long, value_name = "N", value_parser = rate)]
    events_per_second: Option<f64>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

/// Why there is no answer about SLOs.
#[derive(Debug, thiserror::Error)]
pub enum SloError {
    /// The file has no such SLO.
    #[error("{file} has no SLO {name:?}; {there}")]
    Absent {
        /// The file.
        file: String,
        /// The name that was asked for.
        name: String,
        /// Which there are.
        there: String,
    },
    /// Profiles without SLOs.
    #[error("{0} has no SLO: add one under spec.slos, docs/slos.md has examples")]
    None(String),
    /// The SLOs are not measured.
    #[error("{0}: metrics.enabled is false, so that nothing measures its SLOs; set it to true")]
    NoMetrics(String),
    /// Prometheus does not answer.
    #[error("--prometheus-url {url}: {error}")]
    Prometheus {
        /// Its URL.
        url: String,
        /// What came instead.
        error: String,
    },
    /// An incident cannot be played.
    #[error("SLO {slo}: {error}")]
    Incident {
        /// The SLO.
        slo: String,
        /// Why not.
        error: IncidentError,
    },
    /// promtool does not run.
    #[error(
        "cannot run {program}: {source}; it comes with Prometheus (https://prometheus.io/download/), in Debian with the package \
         prometheus: put it into PATH, or name it with --promtool"
    )]
    Promtool {
        /// Which program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no way to ask.
    #[error(transparent)]
    Setup(#[from] RunError),
    /// No HTTP client can be made.
    #[error("no HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

pub(super) fn run(command: &SloCommand, out: &mut impl Write) -> Result<ExitCode, CliError> {
    match command {
        SloCommand::Explain(args) => explain(args, out).map(|()| ExitCode::SUCCESS),
        SloCommand::Test(args) => test::run(args, out),
        SloCommand::Import { file } => import(file, out).map(|()| ExitCode::SUCCESS),
        SloCommand::Export(which) => export(which, out).map(|()| ExitCode::SUCCESS),
    }
}

/// A rate of events: more than none.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "give a number above 0, for example 12.5".to_owned())
}

/// The profiles of the file that have one of the wanted SLOs, each with these.
fn wanted(which: &Which) -> Result<Vec<(ValidatedProfile, Vec<Slo>)>, CliError> {
    let (file, text) = files::read(&which.file)?;
    let assumptions = Assumptions { namespace: Some(which.namespace.clone()), ..Assumptions::default() };
    let profiles = planned(&file, &text, &assumptions, &Settings::default())?;
    let names: Vec<_> =
        profiles.iter().flat_map(|(profile, _)| &profile.slos).map(|slo| slo.name.clone()).collect();
    if names.is_empty() {
        return Err(SloError::None(file).into());
    }
    let mut wanted = Vec::new();
    for (profile, _) in profiles {
        let is_wanted = |slo: &&Slo| which.slo.as_ref().is_none_or(|name| slo.name == *name);
        let slos: Vec<_> = profile.slos.iter().filter(is_wanted).cloned().collect();
        if !slos.is_empty() && profile.metrics.is_none() {
            return Err(SloError::NoMetrics(format!("{}/{}", profile.namespace, profile.name)).into());
        }
        if !slos.is_empty() {
            wanted.push((profile, slos));
        }
    }
    match &which.slo {
        Some(name) if wanted.is_empty() => {
            let there = format!("it has {}", names.join(", "));
            Err(SloError::Absent { file, name: name.clone(), there }.into())
        }
        _ => Ok(wanted),
    }
}

fn explain(args: &ExplainArgs, out: &mut impl Write) -> Result<(), CliError> {
    let mut reports = Vec::new();
    for (profile, slos) in wanted(&args.which)? {
        for slo in slos {
            let traffic = traffic(args, &profile, &slo)?;
            reports.push(report(&profile, &slo, traffic));
        }
    }
    match args.output {
        Form::Json => writeln!(out, "{}", serde_json::to_string_pretty(&reports)?)?,
        Form::Text => {
            let texts: Vec<_> = reports.iter().map(SloReport::to_string).collect();
            out.write_all(texts.join("\n").as_bytes())?;
        }
    }
    Ok(())
}

fn import(file: &Path, out: &mut impl Write) -> Result<(), CliError> {
    let (name, text) = files::read(file)?;
    Ok(out.write_all(openslo::import(&name, &text)?.as_bytes())?)
}

fn export(which: &Which, out: &mut impl Write) -> Result<(), CliError> {
    let wanted = wanted(which)?;
    let slos: Vec<_> =
        wanted.iter().flat_map(|(profile, slos)| slos.iter().map(move |slo| (profile, slo))).collect();
    Ok(out.write_all(openslo::export(&slos).map_err(OpenSloError::from)?.as_bytes())?)
}

fn traffic(args: &ExplainArgs, profile: &ValidatedProfile, slo: &Slo) -> Result<Option<Traffic>, SloError> {
    if counts_time(slo) {
        return Ok(None);
    }
    if let Some(url) = &args.prometheus_url {
        let events_per_second = ask(url, profile, slo)?;
        let of_group = if slo.group_by.is_empty() { "" } else { ", the average group" };
        let source = format!("the last day in {url}{of_group}");
        return Ok(Some(Traffic { events_per_second, source }));
    }
    let source = "--events-per-second".to_owned();
    Ok(args.events_per_second.map(|events_per_second| Traffic { events_per_second, source }))
}

/// An answer of Prometheus to an instant query, as far as it matters.
#[derive(Deserialize)]
struct Vector {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    value: (IgnoredAny, String),
}

/// Events in a second, on the average of the last day as far as the SLO was measured in it.
fn ask(url: &str, profile: &ValidatedProfile, slo: &Slo) -> Result<f64, SloError> {
    let records = record(profile, slo, EVENTS);
    let groups = slo.group_by.join(", ");
    let query = format!(
        "avg(sum by ({groups}) (sum_over_time({records}[1d]))) / (max(sum by ({groups}) (count_over_time({records}[1d]))) * {})",
        evaluation_seconds(profile)
    );
    // There is none yet: this command runs alone.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let failed = |error| SloError::Prometheus { url: url.to_owned(), error };
    let base = url.trim_end_matches('/');
    let http = Http::new()?;
    let answer = runtime.block_on(http.get::<Vector>(base, "query", &[("query", &query)]));
    let answer = answer.map_err(|answer| failed(answer.error))?;
    let rate = answer.result.first().and_then(|sample| sample.value.1.parse().ok());
    rate.filter(|rate: &f64| *rate > 0.0).ok_or_else(|| {
        failed(format!(
            "it has no events of the last day in {records}: are the rules loaded and is there traffic? Or give \
             --events-per-second"
        ))
    })
}
