//! `make demo`: the main job from end to end, on a real node, in one command.
//!
//! In: the programs that cargo has built beside this one, the repository. Out: what a user would see, on standard output;
//! progress on standard error. Everything that is shown is an answer of the cluster, of Jaeger, of
//! Prometheus, of Alertmanager or of VictoriaLogs.
//!
//! - `profiles`: the two profiles and their applications; what became of them
//! - `sidecar`: the collector in the application's pod
//! - `traces`: an export's and a reconcile's trace, and their log lines
//! - `metrics`: what Prometheus knows
//! - `incident`: an outage, the burn rate, the alert; `pager`: its way to people
//! - `picture`: what runs where; `keep`: how to look at it
//! - `show`: how all of it is written

mod incident;
mod keep;
mod metrics;
mod pager;
mod picture;
mod profiles;
mod release;
mod show;
mod sidecar;
mod traces;

use std::env::current_exe;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use testbed::{Part, Stack, interrupt, victoria_logs};

use self::profiles::{EXPORTER, OPERATOR};
use self::show::Progress;

/// Where the operator sends its own traces: to the collector of its own profile. Soon, because somebody waits for them. And
/// where the Prometheus of each profile sends alerts.
const OPERATOR_ENVIRONMENT: [(&str, &str); 3] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://telemetry-operator-collector:4317"),
    ("OTEL_BSP_SCHEDULE_DELAY", "500"),
    ("ALERTMANAGER_URL", pager::URL),
];

/// Shows the operator at work on a real node: two profiles, an incident, and what can be seen of it.
#[derive(Parser)]
struct Arguments {
    /// The repository.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    /// Stay up until Enter is pressed.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::caught() => {
            eprintln!("demo: interrupted; everything is ended and removed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let progress = Progress::begin();
    interrupt::catch()?;
    let programs = current_exe()?;
    let programs = programs.parent().context("the demo's program has no directory")?;
    progress.say("building what is missing, then starting a node and installing the chart on it");
    testbed::ensure(&[Part::Alertmanager, Part::VictoriaLogs])?;
    let stack = Stack::start(&arguments.repository, programs, &OPERATOR_ENVIRONMENT)?;
    release::show(&stack)?;
    pager::start(&stack)?;
    victoria_logs::deploy(&stack)?;

    progress.say("applying the operator's own profile");
    profiles::apply(&stack, &OPERATOR)?;
    stack.wait_until_ready(OPERATOR.namespace, OPERATOR.name)?;
    progress.say(
        "the operator watches itself; applying the exporter's profile, then starting the exporter and the service that it reads from",
    );
    stack.namespace(EXPORTER.namespace)?;
    profiles::apply(&stack, &EXPORTER)?;
    stack.apply_file(Some(EXPORTER.namespace), "examples/exporter/kubernetes.yaml")?;
    stack.wait_until_ready(EXPORTER.namespace, EXPORTER.name)?;
    progress.say("it is Ready");
    profiles::show(&stack)?;
    sidecar::show(&stack, programs)?;

    progress.say("waiting for the trace of the reconcile that has made all this");
    traces::show_reconcile(&stack)?;
    progress.say("waiting for the trace of an export");
    traces::show_export(&stack)?;
    progress.say("waiting for Prometheus to have recorded burn rates while all is well");
    incident::wait_for_calm(&stack)?;
    metrics::show(&stack)?;
    incident::play(&stack, &progress)?;
    picture::show(&stack)?;
    progress.say(
        "done: everything above came from the API server, from Jaeger, from Prometheus, from Alertmanager and from VictoriaLogs",
    );
    if arguments.keep {
        keep::until_told(&stack, &programs.join("../grafana"))?;
    }
    progress.say("ending everything");
    Ok(())
}
